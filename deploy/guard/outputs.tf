output "document" {
  description = "The policy document, as JSON."
  value       = local.document
}

output "policy_arn" {
  description = "ARN of the managed policy; null when it was not created."
  value       = one(aws_iam_policy.guard[*].arn)
}

output "organization_policy_id" {
  description = "Id of the service control policy; null when it was not created."
  value       = one(aws_organizations_policy.guard[*].id)
}
