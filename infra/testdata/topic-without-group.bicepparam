// Refused: nobody knows in which resource group the system topic of a subscription stands.
using '../main.bicep'

param monitoringRegion = 'swedencentral'
param stamps = [{ name: 'ne', region: 'northeurope', fleet: { plans: {}, services: [] } }]
param changeSources = [{ source: '/subscriptions/00000000-0000-0000-0000-000000000002', stamps: ['ne'] }]
