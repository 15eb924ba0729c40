// One API Management instance: a stamp may operate it. It stands in the instance's own resource group.
@description('Name of the instance.')
param service string

@description('Object id of the stamp\'s identity.')
param operator string

@description('Id of the operator role in the instance\'s subscription.')
param roleId string

resource apim 'Microsoft.ApiManagement/service@2024-05-01' existing = {
  name: service
}

resource operates 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(apim.id, operator, roleId)
  scope: apim
  properties: {
    principalId: operator
    principalType: 'ServicePrincipal'
    roleDefinitionId: roleId
  }
}

@description('Object id of the instance\'s system-assigned identity; empty: it has none.')
output identity string = apim.?identity.?principalId ?? ''
