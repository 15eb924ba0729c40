// The namespace, with the queues and the topic as the app needs them. The local stack reads them from main.json.
@description('Name of the namespace.')
param name string

param location string

@description('Object id of the stamp\'s identity, which sends and receives.')
param principal string

@description('private: Premium, which alone has private endpoints; reached through these, and by Event Grid as a trusted service.')
@allowed(['public', 'private'])
param network string

@description('Id of the workspace that logs go to.')
param workspaceId string

param tags object

// Five minutes is the longest lock there is: an invocation ends before (TIMING_INVOCATION). What is delivered ten times in vain dies, and DeadLetter… takes
// it up. A message sent twice within ten minutes is one.
var queues = [
  { name: 'operations', lockDuration: 'PT5M', maxDeliveryCount: 10, duplicateDetectionHistoryTimeWindow: 'PT10M' }
  { name: 'polls', lockDuration: 'PT5M', maxDeliveryCount: 10, duplicateDetectionHistoryTimeWindow: 'PT10M' }
  { name: 'changes', lockDuration: 'PT5M', maxDeliveryCount: 10, duplicateDetectionHistoryTimeWindow: 'PT10M' } // from Event Grid
]
var topics = [
  { name: 'results', duplicateDetectionHistoryTimeWindow: 'PT10M' }
]
var receives = ['operations', 'polls', 'changes']
var sends = ['operations', 'polls']
var publishes = ['results']
var queueNames = map(queues, q => q.name)
var topicNames = map(topics, t => t.name)

var receiver = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0') // Azure Service Bus Data Receiver
var sender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39') // Azure Service Bus Data Sender

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: network == 'private' ? { name: 'Premium', tier: 'Premium', capacity: 1 } : { name: 'Standard', tier: 'Standard' }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: network == 'private' ? 'Disabled' : 'Enabled'
  }

  resource rules 'networkRuleSets' = if (network == 'private') {
    name: 'default'
    properties: {
      defaultAction: 'Deny'
      publicNetworkAccess: 'Disabled'
      trustedServiceAccessEnabled: true
    }
  }
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [
  for q in queues: {
    parent: namespace
    name: q.name
    properties: {
      lockDuration: q.lockDuration
      maxDeliveryCount: q.maxDeliveryCount
      requiresDuplicateDetection: true
      duplicateDetectionHistoryTimeWindow: q.duplicateDetectionHistoryTimeWindow
      deadLetteringOnMessageExpiration: true
      defaultMessageTimeToLive: 'P14D'
      maxSizeInMegabytes: 5120
    }
  }
]

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' = [
  for t in topics: {
    parent: namespace
    name: t.name
    properties: {
      requiresDuplicateDetection: true
      duplicateDetectionHistoryTimeWindow: t.duplicateDetectionHistoryTimeWindow
      defaultMessageTimeToLive: 'P14D'
      maxSizeInMegabytes: 5120
    }
  }
]

resource mayReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for name in receives: {
    name: guid(queue[indexOf(queueNames, name)].id, principal, receiver)
    scope: queue[indexOf(queueNames, name)]
    properties: { principalId: principal, principalType: 'ServicePrincipal', roleDefinitionId: receiver }
  }
]

resource maySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for name in sends: {
    name: guid(queue[indexOf(queueNames, name)].id, principal, sender)
    scope: queue[indexOf(queueNames, name)]
    properties: { principalId: principal, principalType: 'ServicePrincipal', roleDefinitionId: sender }
  }
]

resource mayPublish 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for name in publishes: {
    name: guid(topic[indexOf(topicNames, name)].id, principal, sender)
    scope: topic[indexOf(topicNames, name)]
    properties: { principalId: principal, principalType: 'ServicePrincipal', roleDefinitionId: sender }
  }
]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'apim-dr'
  scope: namespace
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'OperationalLogs', enabled: true }]
  }
}

output id string = namespace.id
output name string = namespace.name
output host string = split(split(namespace.properties.serviceBusEndpoint, '://')[1], ':')[0]
