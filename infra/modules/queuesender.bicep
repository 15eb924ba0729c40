// An identity may send to one queue.
@description('Name of the namespace.')
param namespace string

param queue string

@description('Object id of the identity.')
param principal string

var sender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39') // Azure Service Bus Data Sender

resource target 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  name: '${namespace}/${queue}'
}

resource sends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(target.id, principal, sender)
  scope: target
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: sender
  }
}
