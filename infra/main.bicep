// apim-dr: one stamp for each region in which services are recovered, what watches the stamps, and the rights that they need. docs/deploy.md tells how.
targetScope = 'subscription'

@description('Begins the names of all that is made; 4 to 12 lower-case letters and digits, unique for you.')
@minLength(4) // of a workspace
@maxLength(12)
param name string = 'apimdr'

@description('One for each region in which services are recovered. No service that a stamp protects lies in its region.')
param stamps Stamp[]

@description('Region of logs and alerts: none of the stamps\', or the alarm would be lost together with what it watches.')
param monitoringRegion string

@description('Mail addresses that alerts go to.')
param alertEmails string[] = []

@description('https addresses that alerts are posted to.')
param alertWebhooks string[] = []

@description('How long logs are kept, in days.')
@minValue(30)
@maxValue(730)
param logDays int = 90

@description('private: storage and Service Bus have private endpoints alone, and so has the app. Service Bus is Premium then, which costs: docs/cost.md.')
param network 'public' | 'private' = 'public'

@description('network: private. The app calls Resource Manager, Entra and Application Insights by a NAT gateway of its own; false: you give its subnet another way out.')
param nat bool = true

@description('key: callers have function keys. entra: they have tokens for the application entraClientId and app roles; for a package made with make package AUTH=entra.')
param auth 'key' | 'entra' = 'key'

param entraClientId string = ''

@description('Sources of change events, and the stamps whose queue changes they go to. Empty: backups are taken by schedule alone.')
param changeSources ChangeSource[] = []

param tags object = {}

type Stamp = {
  @description('Tells the stamps apart: 1 to 8 lower-case letters and digits.')
  @minLength(1)
  @maxLength(8)
  name: string

  @description('Azure region, for example northeurope.')
  region: string

  @description('Plans and services, as docs/configuration.md has them. A plan without a storage of its own names "main", which is made here.')
  fleet: object

  @description('NCRONTAB, UTC.')
  schedules: { backup: string, drill: string, watchdog: string, usage: string? }?

  @description('Of the storage; Standard_LRS where the region has no zones.')
  redundancy: ('Standard_ZRS' | 'Standard_LRS' | 'Standard_GZRS' | 'Standard_GRS')?

  @description('Days for which no backup can be deleted; 0 (the default): it can be. At most 30.')
  @minValue(0)
  @maxValue(30)
  immutableDays: int?

  @description('Where instances do not write with their system-assigned identity: the one that they all have.')
  userAssigned: { clientId: string, principalId: string }?

  @description('network: private. Address space of the stamp, at least a /26.')
  addressSpace: string?

  @description('More settings of the app, by name.')
  settings: object?

  @description('Memory of one instance, MB.')
  memory: (512 | 2048 | 4096)?

  @minValue(1)
  @maxValue(1000)
  maximumInstances: int?
}

type ChangeSource = {
  @description('Resource id of an API Management instance, or /subscriptions/<id> for what Resource Manager writes.')
  source: string

  @description('Region of an instance.')
  region: string?

  @description('Resource group of the system topic, in the source\'s subscription. Of an instance, its own is the default.')
  resourceGroup: string?

  @description('Name of the system topic that the source has already. Azure allows one per source.')
  existingSystemTopic: string?

  @description('Names of the stamps.')
  stamps: string[]
}

var clouds = { AzureCloud: 'public', AzureUSGovernment: 'usgovernment', AzureChinaCloud: 'china' }
var plainRegion = toLower(replace(monitoringRegion, ' ', ''))
var apart = contains(map(stamps, s => toLower(replace(s.region, ' ', ''))), plainRegion)
  ? fail('monitoringRegion is the region of a stamp: its alarm would be lost together with it')
  : plainRegion

// An empty one would be an audience that nobody means.
var application = auth == 'entra' && empty(entraClientId) ? fail('auth: entra needs entraClientId') : entraClientId

// Each instance that a stamp touches, once: services, secondaries and drill instances.
var instances = flatten(map(
  stamps,
  (s, i) =>
    map(
      union(
        map(
          flatten(map(
            s.fleet.services,
            v =>
              concat(
                [v.id],
                map(v.?secondaries ?? [], x => x.id),
                empty(v.?drillInstance ?? '') ? [] : [v.drillInstance]
              )
          )),
          id => toLower(id)
        ),
        []
      ),
      id => { stamp: i, subscription: split(id, '/')[2], group: split(id, '/')[4], name: last(split(id, '/')) }
    )
))
var subscriptions = union(map(instances, i => i.subscription), [])
// The stamps with an instance in a subscription.
var stampsOf = toObject(
  subscriptions,
  s => s,
  s => union(map(filter(instances, i => i.subscription == s), i => i.stamp), [])
)
var deliveries = flatten(map(
  range(0, length(changeSources)),
  i =>
    map(changeSources[i].stamps, s => {
      source: i
      stamp: contains(map(stamps, x => x.name), s)
        ? indexOf(map(stamps, x => x.name), s)
        : fail('changeSources: no stamp has the name ${s}')
    })
))
var sourceGroups = map(
  changeSources,
  s =>
    s.?resourceGroup ?? (length(split(s.source, '/')) == 3
      ? fail('changeSources: a subscription needs resourceGroup, for its system topic')
      : split(s.source, '/')[4])
)

resource groups 'Microsoft.Resources/resourceGroups@2024-03-01' = [
  for s in stamps: {
    name: 'rg-${name}-${s.name}'
    location: s.region
    tags: tags
  }
]

resource monitoringGroup 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${name}-monitoring'
  location: apart
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  name: '${name}-monitoring'
  scope: monitoringGroup
  params: {
    name: name
    location: apart
    emails: alertEmails
    webhooks: alertWebhooks
    retentionDays: logDays
    tags: tags
  }
}

module stamp 'modules/stamp.bicep' = [
  for (s, i) in stamps: {
    name: '${name}-${s.name}'
    scope: groups[i]
    params: {
      name: '${name}-${s.name}'
      location: s.region
      fleet: s.fleet
      schedules: s.?schedules ?? { backup: '0 0 3 * * *', drill: '0 0 5 1 * *', watchdog: '0 */5 * * * *' }
      access: contains(s, 'userAssigned') ? 'userAssigned' : 'systemAssigned'
      accessClientId: s.?userAssigned.?clientId ?? ''
      redundancy: s.?redundancy ?? 'Standard_ZRS'
      immutableDays: s.?immutableDays ?? 0
      network: network
      nat: nat
      addressSpace: s.?addressSpace ?? '10.40.${i}.0/24'
      auth: auth
      entraClientId: application
      settings: s.?settings ?? {}
      memory: s.?memory ?? 512
      maximumInstances: s.?maximumInstances ?? 40
      cloud: clouds[environment().name]
      workspaceId: monitoring.outputs.workspaceId
      actionGroupId: monitoring.outputs.actionGroupId
      monitoringGroup: monitoringGroup.name
      monitoringLocation: apart
      tags: tags
    }
  }
]

module roles 'modules/roles.bicep' = [
  for s in subscriptions: {
    name: '${name}-roles'
    scope: subscription(s)
    params: {
      name: name
      readers: [for i in stampsOf[s]: stamp[i].outputs.principal]
    }
  }
]

module operates 'modules/instance.bicep' = [
  for x in instances: {
    name: '${name}-${stamps[x.stamp].name}-${uniqueString(x.name)}'
    scope: resourceGroup(x.subscription, x.group)
    params: {
      service: x.name
      operator: stamp[x.stamp].outputs.principal
      roleId: roles[indexOf(subscriptions, x.subscription)].outputs.operatorId
    }
  }
]

module writesBackups 'modules/blobaccess.bicep' = [
  for (x, i) in instances: {
    name: '${name}-backups-${uniqueString(x.name)}'
    scope: groups[x.stamp]
    params: {
      account: stamp[x.stamp].outputs.backupAccount
      principal: contains(stamps[x.stamp], 'userAssigned') ? '' : operates[i].outputs.identity
      role: 'contributor'
    }
  }
]

module writesBackupsAsUser 'modules/blobaccess.bicep' = [
  for (s, i) in stamps: {
    name: '${name}-backups-user-assigned'
    scope: groups[i]
    params: {
      account: stamp[i].outputs.backupAccount
      principal: s.?userAssigned.?principalId ?? ''
      role: 'contributor'
    }
  }
]

module topics 'modules/topic.bicep' = [
  for (s, i) in changeSources: {
    name: '${name}-topic-${i}'
    scope: resourceGroup(split(s.source, '/')[2], sourceGroups[i])
    params: {
      source: s.source
      location: length(split(s.source, '/')) == 3
        ? 'global'
        : s.?region ?? fail('changeSources: an instance needs region, where its system topic lies')
      existingSystemTopic: s.?existingSystemTopic ?? ''
      tags: tags
    }
  }
]

module sendsChanges 'modules/queuesender.bicep' = [
  for d in deliveries: {
    name: '${name}-changes-sender-${d.source}'
    scope: groups[d.stamp]
    params: {
      namespace: stamp[d.stamp].outputs.namespace
      queue: 'changes'
      principal: topics[d.source].outputs.sender
    }
  }
]

module changes 'modules/changes.bicep' = [
  for (d, i) in deliveries: {
    name: '${name}-changes-${stamps[d.stamp].name}-${d.source}'
    scope: resourceGroup(split(changeSources[d.source].source, '/')[2], sourceGroups[d.source])
    dependsOn: [sendsChanges[i]]
    params: {
      topic: topics[d.source].outputs.name
      ofSubscription: length(split(changeSources[d.source].source, '/')) == 3
      stamp: '${name}-${stamps[d.stamp].name}'
      queueId: stamp[d.stamp].outputs.changesId
    }
  }
]

@description('For make deploy: the Function App of each stamp with its resource group.')
output apps array = [
  for (s, i) in stamps: { resourceGroup: groups[i].name, name: stamp[i].outputs.functionApp, url: stamp[i].outputs.url }
]

@description('Instances without a system-assigned identity: nothing can be backed up or restored there until they have one and this was deployed again.')
output withoutIdentity array = [
  for (x, i) in instances: contains(stamps[x.stamp], 'userAssigned') || !empty(operates[i].outputs.identity)
    ? ''
    : x.name
]
