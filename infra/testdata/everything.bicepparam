// Each choice that the example does not make, so that a test sees what becomes of it.
using '../main.bicep'

param name = 'contosodr'
param monitoringRegion = 'Sweden Central'
param alertEmails = ['platform@contoso.com', 'oncall@contoso.com']
param alertWebhooks = ['https://alerts.contoso.com/hook']
param logDays = 30
param network = 'private'
param auth = 'entra'
param entraClientId = '00000000-0000-0000-0000-00000000000e'
param tags = { owner: 'platform' }

var one = '/subscriptions/00000000-0000-0000-0000-000000000001'
var two = '/subscriptions/00000000-0000-0000-0000-000000000002'
var eu = '${one}/resourceGroups/contoso-europe/providers/Microsoft.ApiManagement/service/contoso-eu'
var other = '${two}/resourceGroups/fabrikam/providers/Microsoft.ApiManagement/service/fabrikam-eu'

param stamps = [
  {
    name: 'ne'
    region: 'northeurope'
    fleet: {
      plans: { nightly: { storage: 'main', spread: '30m' }, elsewhere: { storage: 'other' } }
      storages: {
        other: { account: 'contosoarchive', container: 'apim-backups', access: 'systemAssigned', region: 'norwayeast' }
      }
      services: [
        { id: eu, region: 'westeurope', plan: 'nightly', secondaries: [{ id: toUpper(other) }] }
        { id: other, region: 'norwaywest', plan: 'elsewhere', secondaries: [{ id: eu }] }
      ]
      usage: { reports: ['byApi', 'byUser'] }
    }
    schedules: { backup: '0 30 1 * * *', drill: '0 0 5 * * 0', watchdog: '0 */5 * * * *', usage: '0 15 4 * * *' }
    redundancy: 'Standard_LRS'
    immutableDays: 14
    userAssigned: {
      clientId: '00000000-0000-0000-0000-00000000000c'
      principalId: '00000000-0000-0000-0000-00000000000d'
    }
    addressSpace: '10.99.0.0/26'
    settings: { LOG_LEVEL: 'debug', DRILL_SCHEDULE: '0 0 6 * * 0' }
    memory: 2048
    maximumInstances: 10
  }
  {
    // Has nothing to do with the first subscription.
    name: 'ch'
    region: 'switzerlandnorth'
    fleet: {
      plans: { nightly: { storage: 'main' } }
      services: [{ id: other, region: 'norwaywest', plan: 'nightly' }]
    }
  }
]

param changeSources = [
  { source: eu, region: 'westeurope', stamps: ['ne'] }
  { source: two, resourceGroup: 'fabrikam', existingSystemTopic: 'fabrikam-changes', stamps: ['ne'] }
]
