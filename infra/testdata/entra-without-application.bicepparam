// Refused: built-in authentication would take tokens for an application without an id.
using '../main.bicep'

param monitoringRegion = 'swedencentral'
param auth = 'entra'
param stamps = [{ name: 'a', region: 'northeurope', fleet: { plans: {}, services: [] } }]
