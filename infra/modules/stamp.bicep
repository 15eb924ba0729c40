// One stamp: what recovers services lies in a region of its own, apart from what it protects.
@description('Goes into the names of what is made.')
param name string

param location string

@description('FLEET without storages: plans and services, as docs/configuration.md has them. The storage "main" is made here and added.')
param fleet object

param schedules object

@description('How instances reach the account of the backups: their system-assigned identity, or one user-assigned identity with this client id.')
param access 'systemAssigned' | 'userAssigned'
param accessClientId string

param redundancy 'Standard_ZRS' | 'Standard_LRS' | 'Standard_GZRS' | 'Standard_GRS'
param immutableDays int
param network 'public' | 'private'
param nat bool
param addressSpace string
param auth 'key' | 'entra'
param entraClientId string
param settings object
param memory int
param maximumInstances int
param cloud string

@description('Id of the workspace, and its resource group and region: alerts and Application Insights go there, so that they are not lost together with the stamp.')
param workspaceId string
param actionGroupId string
param monitoringGroup string
param monitoringLocation string

param tags object

var private = network == 'private'
var suffix = uniqueString(resourceGroup().id, name)
var letters = take(toLower(replace(name, '-', '')), 8)
var backupContainer = 'apim-backups'
var stateContainer = 'apim-dr'
var packageContainer = 'packages'
var usageContainer = 'usage'
var storages = {
  main: union(
    {
      account: 'st${letters}b${take(suffix, 11)}'
      container: backupContainer
      access: access
      region: location
    },
    access == 'userAssigned' ? { clientId: accessClientId } : {}
  )
}
var endpointZones = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.servicebus${serviceBusSuffix}'
  'privatelink${sitesSuffix}'
]
var serviceBusSuffix = { public: '.windows.net', usgovernment: '.usgovcloudapi.net', china: '.chinacloudapi.cn' }[cloud]
var sitesSuffix = { public: '.azurewebsites.net', usgovernment: '.azurewebsites.us', china: '.chinacloudsites.cn' }[cloud]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

module net 'network.bicep' = if (private) {
  name: '${name}-network'
  params: {
    name: name
    location: location
    addressSpace: addressSpace
    nat: nat
    tags: tags
  }
}

module stateStorage 'storage.bicep' = {
  name: '${name}-state'
  params: {
    name: 'st${letters}s${take(suffix, 11)}'
    location: location
    containers: [stateContainer, packageContainer, usageContainer]
    redundancy: redundancy
    backups: false
    immutableDays: 0
    network: private ? 'private' : 'public'
    workspaceId: ''
    tags: tags
  }
}

// Instances write to it from their own networks: private means trusted services and the stamp's endpoint.
module backupStorage 'storage.bicep' = {
  name: '${name}-backups'
  params: {
    name: storages.main.account
    location: location
    containers: [backupContainer]
    redundancy: redundancy
    backups: true
    immutableDays: immutableDays
    network: private ? 'trusted' : 'public'
    workspaceId: workspaceId
    tags: tags
  }
}

@description('Timers take their locks in it, and packages and records lie there.')
module ownsState 'blobaccess.bicep' = {
  name: '${name}-state-owner'
  params: {
    account: stateStorage.outputs.name
    principal: identity.properties.principalId
    role: 'owner'
  }
}

module writesBackups 'blobaccess.bicep' = {
  name: '${name}-backups-stamp'
  params: {
    account: backupStorage.outputs.name
    principal: identity.properties.principalId
    role: 'contributor'
  }
}

module bus 'servicebus.bicep' = {
  name: '${name}-bus'
  params: {
    name: 'sb-${name}-${suffix}'
    location: location
    principal: identity.properties.principalId
    network: network
    workspaceId: workspaceId
    tags: tags
  }
}

module insights 'insights.bicep' = {
  name: '${name}-insights'
  scope: resourceGroup(monitoringGroup)
  params: {
    name: name
    location: monitoringLocation
    workspaceId: workspaceId
    principal: identity.properties.principalId
    tags: tags
  }
}

module app 'app.bicep' = {
  name: '${name}-app'
  dependsOn: [ownsState, writesBackups]
  params: {
    name: 'func-${name}-${suffix}'
    location: location
    identityId: identity.id
    clientId: identity.properties.clientId
    blobEndpoint: stateStorage.outputs.blobEndpoint
    packageContainer: packageContainer
    stateContainer: stateContainer
    usageContainer: usageContainer
    serviceBusHost: bus.outputs.host
    insightsConnectionString: insights.outputs.connectionString
    fleet: union(fleet, { storages: union(storages, fleet.?storages ?? {}) })
    schedules: schedules
    cloud: cloud
    auth: auth
    entraClientId: entraClientId
    settings: settings
    memory: memory
    maximumInstances: maximumInstances
    subnetId: private ? net!.outputs.appSubnetId : ''
    private: private
    tags: tags
  }
}

module endpoints 'endpoints.bicep' = if (private) {
  name: '${name}-endpoints'
  params: {
    name: name
    location: location
    networkId: net!.outputs.id
    subnetId: net!.outputs.endpointSubnetId
    endpoints: [
      { name: 'state', id: stateStorage.outputs.id, group: 'blob', zone: endpointZones[0] }
      { name: 'backups', id: backupStorage.outputs.id, group: 'blob', zone: endpointZones[0] }
      { name: 'bus', id: bus.outputs.id, group: 'namespace', zone: endpointZones[1] }
      { name: 'app', id: app.outputs.id, group: 'sites', zone: endpointZones[2] }
    ]
    zones: endpointZones
    tags: tags
  }
}

module alerts 'alerts.bicep' = {
  name: '${name}-alerts'
  scope: resourceGroup(monitoringGroup)
  params: {
    location: monitoringLocation
    app: app.outputs.name
    workspaceId: workspaceId
    actionGroupId: actionGroupId
    serviceBusId: bus.outputs.id
    tags: tags
  }
}

output principal string = identity.properties.principalId
output backupAccount string = backupStorage.outputs.name
output functionApp string = app.outputs.name
output url string = 'https://${app.outputs.host}'
output namespace string = bus.outputs.name
output changesId string = resourceId('Microsoft.ServiceBus/namespaces/queues', bus.outputs.name, 'changes')
