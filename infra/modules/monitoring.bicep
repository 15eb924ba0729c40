// What watches the stamps. It lies in another region than they do: an alarm must not be lost together with what it watches.
param name string

param location string

@description('Mail addresses that alerts go to.')
param emails string[]

@description('https addresses that alerts are posted to (common alert schema).')
param webhooks string[]

@description('How long logs are kept, in days.')
param retentionDays int

param tags object

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    features: { disableLocalAuth: true }
  }
}

resource actions 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: take(name, 12)
    emailReceivers: [for (a, i) in emails: { name: 'mail-${i}', emailAddress: a, useCommonAlertSchema: true }]
    webhookReceivers: [for (u, i) in webhooks: { name: 'webhook-${i}', serviceUri: u, useCommonAlertSchema: true }]
  }
}

output workspaceId string = workspace.id
output actionGroupId string = actions.id
