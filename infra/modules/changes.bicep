// Change events of one source go to the queue changes of one stamp. The topic's identity may send there already.
@description('Name of the system topic, in this resource group.')
param topic string

@description('Whether the source is a subscription, of which only what concerns API Management counts.')
param ofSubscription bool

@description('Name of the stamp.')
param stamp string

@description('Id of the queue.')
param queueId string

resource systemTopic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topic
}

resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: systemTopic
  name: 'apim-dr-${stamp}'
  properties: {
    eventDeliverySchema: 'CloudEventSchemaV1_0'
    filter: {
      includedEventTypes: ofSubscription
        ? [
            'Microsoft.Resources.ResourceWriteSuccess'
            'Microsoft.Resources.ResourceDeleteSuccess'
            'Microsoft.Resources.ResourceActionSuccess'
          ]
        : null
      advancedFilters: ofSubscription
        ? [{ operatorType: 'StringContains', key: 'data.operationName', values: ['Microsoft.ApiManagement/service'] }]
        : []
    }
    deliveryWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      destination: {
        endpointType: 'ServiceBusQueue'
        properties: { resourceId: queueId }
      }
    }
  }
}
