// The Event Grid system topic of one source of changes. Azure allows one per source, in the source's subscription and region.
@description('Resource id of an API Management instance, or of a subscription (/subscriptions/…).')
param source string

@description('Region of the source; a subscription\'s topic is global.')
param location string

@description('Name of the system topic that this source has already, in this resource group; it needs a system-assigned identity. Empty: one is made.')
param existingSystemTopic string

param tags object

var subscription = length(split(source, '/')) == 3
var name = empty(existingSystemTopic) ? 'apim-dr-${uniqueString(toLower(source))}' : existingSystemTopic

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (empty(existingSystemTopic)) {
  name: name
  location: subscription ? 'global' : location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: source
    topicType: subscription ? 'Microsoft.Resources.Subscriptions' : 'Microsoft.ApiManagement.Service'
  }
}

resource existing 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (!empty(existingSystemTopic)) {
  name: name
}

output name string = name
@description('Object id of the identity that sends.')
output sender string = empty(existingSystemTopic) ? topic!.identity.principalId : existing!.identity.principalId
