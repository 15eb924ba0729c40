// The private endpoints of a stamp, with the zones of their names.
param name string

param location string

param networkId string

param subnetId string

@description('What gets an endpoint: its id, the part that is reached (group) and the zone of its names.')
param endpoints { name: string, id: string, group: string, zone: string }[]

@description('Names of the zones, each once.')
param zones string[]

param tags object

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for z in zones: {
    name: z
    location: 'global'
    tags: tags
  }
]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (z, i) in zones: {
    parent: zone[i]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: networkId }
    }
  }
]

// One after the other: each one changes the subnet, and Azure refuses an endpoint whose subnet is being changed.
@batchSize(1)
resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for e in endpoints: {
    name: '${name}-${e.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: e.name
          properties: {
            privateLinkServiceId: e.id
            groupIds: [e.group]
          }
        }
      ]
    }
  }
]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (e, i) in endpoints: {
    parent: endpoint[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: e.name
          properties: { privateDnsZoneId: zone[indexOf(zones, e.zone)].id }
        }
      ]
    }
  }
]
