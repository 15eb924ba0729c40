// An example: two regions that protect each other, so two stamps. Replace the ids and all that begins with contoso; docs/deploy.md tells how.
using './main.bicep'

param name = 'contosodr'
param monitoringRegion = 'swedencentral'
param alertEmails = ['platform@contoso.com']

var subscription = '/subscriptions/00000000-0000-0000-0000-000000000001'
var europe = '${subscription}/resourceGroups/contoso-europe/providers/Microsoft.ApiManagement/service/contoso-eu'
var america = '${subscription}/resourceGroups/contoso-america/providers/Microsoft.ApiManagement/service/contoso-us'
var drills = '${subscription}/resourceGroups/contoso-america/providers/Microsoft.ApiManagement/service/contoso-drill'

param stamps = [
  {
    // Recovers in America what serves in Europe.
    name: 'us'
    region: 'eastus2'
    fleet: {
      plans: { nightly: { storage: 'main', rpo: '26h' } }
      services: [
        {
          id: europe
          region: 'westeurope'
          plan: 'nightly'
          secondaries: [{ id: america, region: 'eastus2', mode: 'cold' }]
          drillInstance: drills
        }
      ]
    }
  }
  {
    // And the other way round.
    name: 'eu'
    region: 'northeurope'
    fleet: {
      plans: { nightly: { storage: 'main', rpo: '26h' } }
      services: [
        {
          id: america
          region: 'eastus2'
          plan: 'nightly'
          secondaries: [{ id: europe, region: 'westeurope', mode: 'cold' }]
        }
      ]
    }
  }
]
