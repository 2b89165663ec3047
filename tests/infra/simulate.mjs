// Evaluates AWS policies as iam-simulate does. It knows AWS's service authorization reference: an
// action that does not exist, a resource of the wrong type, or a condition key that AWS does not send
// with an action is an error here, not a "no".
//
// In: a JSON array of {policies, boundary, principal, account, action, resource, context}.
// Out: an array of {verdict} or {error}, in the same order.
import { runSimulation } from '@cloud-copilot/iam-simulate'

const VERDICTS = { Allowed: 'allowed', ExplicitlyDenied: 'explicitDeny', ImplicitlyDenied: 'implicitDeny' }
const named = (documents) => documents.map((policy, index) => ({ name: `policy${index}`, policy }))

// iam-simulate leaves out condition keys with a colon in their variable part, such as
// kms:EncryptionContext:PARAMETER_ARN. They are given another name, in policies and requests alike.
const renamed = (value) =>
  JSON.parse(JSON.stringify(value ?? null).replaceAll('"kms:EncryptionContext:', '"aws:PrincipalTag/encryption-context-'))

async function verdict(asked) {
  const simulation = {
    request: {
      principal: asked.principal,
      action: asked.action,
      resource: { resource: asked.resource, accountId: asked.account },
      contextVariables: renamed(asked.context),
    },
    identityPolicies: named(renamed(asked.policies)),
    permissionBoundaryPolicies: asked.boundary ? named([renamed(asked.boundary)]) : undefined,
    resourcePolicy: asked.resourcePolicy,
    serviceControlPolicies: [],
    resourceControlPolicies: [],
  }
  const answer = await runSimulation(simulation, {})
  if (answer.resultType === 'error') return { error: JSON.stringify(answer.errors) }
  const ignored = answer.result?.ignoredContextKeys ?? []
  if (ignored.length > 0) return { error: `AWS does not send ${ignored.join(', ')} with ${asked.action}` }
  return { verdict: VERDICTS[answer.overallResult] ?? answer.overallResult }
}

let text = ''
for await (const chunk of process.stdin) text += chunk
const answers = []
for (const asked of JSON.parse(text)) answers.push(await verdict(asked))
process.stdout.write(JSON.stringify(answers))
