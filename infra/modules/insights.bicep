// Application Insights of one stamp, in the region of the workspace. Only the stamp's identity writes to it.
param name string

param location string

param workspaceId string

@description('Object id of the stamp\'s identity.')
param principal string

param tags object

var publisher = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '3913510d-42f4-4e42-8a64-420c390055eb'
) // Monitoring Metrics Publisher

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: name
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspaceId
    DisableLocalAuth: true
  }
}

resource writes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principal, publisher)
  scope: insights
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: publisher
  }
}

output connectionString string = insights.properties.ConnectionString
