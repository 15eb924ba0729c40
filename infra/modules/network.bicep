// The network of a stamp that is private: one subnet for the app, one for the private endpoints.
param name string

param location string

@description('Address space, at least a /26, for example 10.40.0.0/24.')
param addressSpace string

@description('Whether the app goes out by a NAT gateway of its own.')
param nat bool

param tags object

resource address 'Microsoft.Network/publicIPAddresses@2024-05-01' = if (nat) {
  name: name
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource gateway 'Microsoft.Network/natGateways@2024-05-01' = if (nat) {
  name: name
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIpAddresses: [{ id: address.id }] }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressSpace] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressSpace, 27, 0)
          natGateway: nat ? { id: gateway.id } : null
          delegations: [{ name: 'app', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: { addressPrefix: cidrSubnet(addressSpace, 27, 1) }
      }
    ]
  }
}

output id string = network.id
output appSubnetId string = '${network.id}/subnets/app'
output endpointSubnetId string = '${network.id}/subnets/endpoints'
