// Refused: Azure makes the system topic of an instance nowhere but in the region of the instance.
using '../main.bicep'

param monitoringRegion = 'swedencentral'
param stamps = [{ name: 'ne', region: 'northeurope', fleet: { plans: {}, services: [] } }]
param changeSources = [
  {
    source: '/subscriptions/00000000-0000-0000-0000-000000000002/resourceGroups/contoso/providers/Microsoft.ApiManagement/service/contoso-eu'
    stamps: ['ne']
  }
]
