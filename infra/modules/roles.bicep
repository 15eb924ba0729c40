// What the app may ask Resource Manager, in one subscription. The local Resource Manager reads these actions from main.json and refuses all others.
targetScope = 'subscription'

@description('Goes into the names of the roles, which are unique in a tenant; so is the id of the subscription, and not what it is called.')
param name string

@description('Object ids of the identities that read this subscription.')
param readers string[]

var operator = guid(subscription().id, name, 'operator')
var reader = guid(subscription().id, name, 'reader')

@description('Given for each instance of the fleet. No write and no delete: the built-in operator role could delete what it is to save.')
resource operatorRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: operator
  properties: {
    roleName: '${name} operator (${subscription().subscriptionId})'
    description: 'apim-dr: backs an API Management instance up and restores into it'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.ApiManagement/service/read'
          'Microsoft.ApiManagement/service/backup/action'
          'Microsoft.ApiManagement/service/restore/action'
          'Microsoft.ApiManagement/service/operationresults/read'
          'Microsoft.ApiManagement/service/workspaces/read'
          'Microsoft.ApiManagement/service/reports/read'
        ]
      }
    ]
  }
}

@description('Given once: what a plan looks at around an instance, and where newer api-versions show how an operation stands.')
resource readerRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: reader
  properties: {
    roleName: '${name} reader (${subscription().subscriptionId})'
    description: 'apim-dr: looks at what lies around an API Management instance'
    type: 'CustomRole'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.ApiManagement/service/read'
          'Microsoft.ApiManagement/locations/operationsStatuses/read'
          'Microsoft.ApiManagement/deletedservices/read'
          'Microsoft.Resources/subscriptions/resourceGroups/read'
        ]
      }
    ]
  }
}

resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for id in readers: {
    name: guid(subscription().id, id, reader)
    properties: {
      principalId: id
      principalType: 'ServicePrincipal'
      roleDefinitionId: readerRole.id
    }
  }
]

output operatorId string = operatorRole.id
