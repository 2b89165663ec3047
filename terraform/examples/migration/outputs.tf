output "environment" {
  description = "The program's environment."
  value       = module.iam_user_controller.environment
}

output "users_table_stream_arn" {
  description = "The same stream as before the import."
  value       = module.iam_user_controller.users_table_stream_arn
}
