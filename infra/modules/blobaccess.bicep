// What an identity may do with the blobs of an account.
@description('Name of the account.')
param account string

@description('Object id of the identity; empty: there is none, and nothing is given.')
param principal string

@description('contributor: reads and writes. owner: also what the locks of the host\'s timers need.')
param role 'contributor' | 'owner'

var ids = {
  contributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // Storage Blob Data Contributor
  owner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b' // Storage Blob Data Owner
}
var definition = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', ids[role])

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: account
}

resource may 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(principal)) {
  name: guid(storage.id, principal, definition)
  scope: storage
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: definition
  }
}
