// Refused: changes that go to a stamp that is none.
using '../main.bicep'

param monitoringRegion = 'swedencentral'
param stamps = [{ name: 'ne', region: 'northeurope', fleet: { plans: {}, services: [] } }]
param changeSources = [
  {
    source: '/subscriptions/00000000-0000-0000-0000-000000000002'
    resourceGroup: 'contoso'
    stamps: ['we']
  }
]
