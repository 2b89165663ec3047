output "users_table_name" {
  description = "The table whose items become IAM users."
  value       = var.users_table_name
}

output "users_table_arn" {
  description = "ARN of the users table, for the policies of those who write it."
  value       = local.users_table_arn
}

output "users_table_stream_arn" {
  description = "ARN of the users table's stream."
  value       = local.users_table_stream_arn
}

output "state_table_name" {
  description = "The table in which the controller keeps checkpoints, its lease and the brake."
  value       = aws_dynamodb_table.state.name
}

output "state_table_arn" {
  description = "ARN of the state table."
  value       = aws_dynamodb_table.state.arn
}

output "permissions_boundary_arn" {
  description = "ARN of the policy that every created user has as its permissions boundary."
  value       = local.permissions_boundary_arn
}

output "parameter_arns" {
  description = "ARN patterns of the parameters with key documents, for the policies of those who read them."
  value       = local.parameter_arns
}

output "parameter_kms_key_arn" {
  description = "ARN of the KMS key that encrypts the parameters; null for the account's default key."
  value       = local.parameter_kms_key_arn
}

output "cluster_arn" {
  description = "ARN of the ECS cluster."
  value       = local.cluster_arn
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  value       = aws_ecs_task_definition.this.arn
}

output "task_role_arn" {
  description = "ARN of the role that the program runs as."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "ARN of the role with which ECS starts the program."
  value       = aws_iam_role.execution.arn
}

output "security_group_id" {
  description = "Security group of the tasks."
  value       = aws_security_group.service.id
}

output "log_group_name" {
  description = "CloudWatch log group of the program."
  value       = aws_cloudwatch_log_group.service.name
}

output "alarm_arns" {
  description = "ARNs of the CloudWatch alarms."
  value       = concat([aws_cloudwatch_metric_alarm.not_running.arn], aws_cloudwatch_metric_alarm.not_enough_running[*].arn)
}

output "environment" {
  description = "The program's environment, as the task definition sets it. Holds no secret."
  value       = local.environment
}

output "policies" {
  description = "The policy documents of this module, as JSON, to be read or simulated."
  value = {
    task      = { for name, policy in local.task_policies : name => policy.document }
    boundary  = var.create_permissions_boundary ? aws_iam_policy.boundary[0].policy : null
    execution = local.execution_policy
    trust     = local.trust_policy
  }
}
