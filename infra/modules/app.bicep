// The Function App of one stamp on Flex Consumption. All its connections use the stamp's identity.
@description('Name of the Function App.')
param name string

param location string

@description('Id and client id of the stamp\'s identity.')
param identityId string
param clientId string

@description('Blob endpoint of the app\'s storage account, and its containers for the package, for the records and for usage data.')
param blobEndpoint string
param packageContainer string
param stateContainer string
param usageContainer string

@description('Host name of the Service Bus namespace.')
param serviceBusHost string

param insightsConnectionString string

@description('FLEET, as docs/configuration.md has it.')
param fleet object

@description('Schedules: backup, drill and watchdog, and perhaps usage (NCRONTAB, UTC).')
param schedules object

@description('public, usgovernment or china.')
param cloud string

@description('key: callers have a function key. entra: they have a token for this application (client id), issued in this tenant.')
param auth 'key' | 'entra'
param entraClientId string

@description('More settings of the app, by name; they win.')
param settings object

@allowed([512, 2048, 4096])
param memory int

param maximumInstances int

@description('Id of the subnet that the app reaches everything through; empty: none.')
param subnetId string

@description('Whether callers come in through a private endpoint alone.')
param private bool

param tags object

var base = {
  AzureWebJobsStorage__blobServiceUri: blobEndpoint // accountName would be one of public Azure
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: clientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${clientId}'
  SERVICEBUS__fullyQualifiedNamespace: serviceBusHost
  SERVICEBUS__credential: 'managedidentity'
  SERVICEBUS__clientId: clientId
  STATE_STORAGE__blobServiceUri: blobEndpoint
  STATE_CONTAINER: stateContainer
  CREDENTIAL: 'managedIdentity'
  AZURE_CLIENT_ID: clientId
  AZURE_CLOUD: cloud
  AUTH: auth
  BACKUP_SCHEDULE: schedules.backup
  DRILL_SCHEDULE: schedules.drill
  USAGE_SCHEDULE: schedules.?usage ?? '0 30 3 * * *'
  USAGE_CONTAINER: usageContainer
  WATCHDOG_SCHEDULE: schedules.watchdog
  STAMP_REGION: location
  FLEET: string(fleet)
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'app' }) // by which azd finds it
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    publicNetworkAccess: private ? 'Disabled' : 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      ftpsState: 'Disabled'
    }
    functionAppConfig: {
      runtime: { name: 'custom', version: '1.0' }
      scaleAndConcurrency: {
        instanceMemoryMB: memory
        maximumInstanceCount: maximumInstances
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
    }
  }

  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(base, settings)
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  resource authentication 'config' = {
    name: 'authsettingsV2'
    properties: auth == 'entra'
      ? {
          platform: { enabled: true }
          globalValidation: {
            requireAuthentication: true
            unauthenticatedClientAction: 'Return401'
            excludedPaths: ['/api/dashboard'] // a page without data, which leads to where a session begins
          }
          identityProviders: {
            azureActiveDirectory: {
              enabled: true
              registration: {
                clientId: entraClientId
                openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
              }
              validation: {
                allowedAudiences: [entraClientId, 'api://${entraClientId}']
              }
            }
          }
        }
      : { platform: { enabled: false } }
  }
}

output id string = site.id
output name string = site.name
output host string = site.properties.defaultHostName
