// The alerts of one stamp. What they look for stands in alerts.json; a test holds it against the lines that the app writes.
param location string

@description('Name of the Function App.')
param app string

param workspaceId string

param actionGroupId string

@description('Id of the Service Bus namespace.')
param serviceBusId string

param tags object

var alerts = loadJsonContent('../alerts.json')

resource rule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for a in alerts: {
    name: '${app}-${a.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'apim-dr: ${a.title} (${app})'
      description: a.description
      severity: a.severity
      enabled: true
      autoMitigate: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT5M'
      windowSize: a.window
      criteria: {
        allOf: [
          {
            query: join(
              concat(
                [
                  'AppTraces'
                  '| where AppRoleName =~ "${app}"'
                  '| extend line = parse_json(extract(@"\\{.*\\}", 0, Message))'
                  '| where tostring(line.msg) in ("${join(a.messages, '", "')}")'
                ],
                map(items(a.where), w => '| where tostring(line.${w.key}) in ("${join(w.value, '", "')}")'),
                map(a.by, field => '| extend ${field} = tostring(line.${field})')
              ),
              '\n'
            )
            timeAggregation: 'Count'
            operator: a.?missing ?? false ? 'LessThan' : 'GreaterThan'
            threshold: a.?missing ?? false ? 1 : 0
            dimensions: map(a.by, field => { name: field, operator: 'Include', values: ['*'] })
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: [actionGroupId] }
    }
  }
]

@description('The app empties its own dead letters within minutes. What stays lies in a subscriber\'s subscription, or the app does not run.')
resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${app}-dead-letters-stay'
  location: 'global'
  tags: tags
  properties: {
    description: 'Dead letters stay in the namespace: a subscriber of topic results does not handle its messages, or the app does not run.'
    severity: 2
    enabled: true
    autoMitigate: true
    scopes: [serviceBusId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT30M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'dead-letters'
          criterionType: 'StaticThresholdCriterion'
          metricName: 'DeadletteredMessages'
          timeAggregation: 'Minimum'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [{ name: 'EntityName', operator: 'Include', values: ['*'] }]
        }
      ]
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}
