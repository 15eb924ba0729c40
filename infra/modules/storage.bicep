// A storage account without keys and without anonymous access.
@description('Name of the account: 3 to 24 lower-case letters and digits.')
@minLength(3)
@maxLength(24)
param name string

param location string

@description('Containers to create.')
param containers string[]

@description('ZRS where the region has zones.')
param redundancy 'Standard_ZRS' | 'Standard_LRS' | 'Standard_GZRS' | 'Standard_GRS'

@description('Backups are secrets: what is overwritten or deleted is kept for 31 days, then purged, and gone after 7 more.')
param backups bool

@description('Days for which nothing in the account can be deleted or changed (version-level immutability); 0: it can be. At most 30: a backup cannot be restored after that.')
@minValue(0)
@maxValue(30)
param immutableDays int

@description('private: the public network is refused. trusted: all but trusted Azure services are, such as API Management with its system-assigned identity.')
param network 'public' | 'trusted' | 'private'

@description('Id of the workspace that logs go to; empty: none are kept.')
param workspaceId string

param tags object

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: redundancy }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: network == 'private' ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: network == 'public' ? 'Allow' : 'Deny'
      bypass: network == 'trusted' ? 'AzureServices' : 'None'
    }
    immutableStorageWithVersioning: immutableDays == 0
      ? null
      : {
          enabled: true
          immutabilityPolicy: {
            immutabilityPeriodSinceCreationInDays: max(immutableDays, 1)
            allowProtectedAppendWrites: false
            state: 'Unlocked'
          }
        }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: backups
    deleteRetentionPolicy: { enabled: true, days: 7 }
    containerDeleteRetentionPolicy: { enabled: true, days: 7 }
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = [
  for c in containers: {
    parent: blobs
    name: c
    properties: { publicAccess: 'None' }
  }
]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = if (backups) {
  parent: account
  name: 'default'
  dependsOn: [blobs]
  properties: {
    policy: {
      rules: [
        {
          name: 'purge-old-versions'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'] }
            actions: { version: { delete: { daysAfterCreationGreaterThan: 31 } } }
          }
        }
      ]
    }
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(workspaceId)) {
  name: 'apim-dr'
  scope: blobs
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'StorageRead', enabled: true }
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
  }
}

output id string = account.id
output name string = account.name
output blobEndpoint string = account.properties.primaryEndpoints.blob
