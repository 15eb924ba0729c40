// Refused: the alarm would be lost together with what it watches.
using '../main.bicep'

param monitoringRegion = 'North Europe'
param stamps = [{ name: 'ne', region: 'northeurope', fleet: { plans: {}, services: [] } }]
