output "environment" {
  description = "The program's environment, to run it somewhere else against the same tables."
  value       = module.iam_user_controller.environment
}

output "users_table_name" {
  description = "Write an item here to get a user."
  value       = module.iam_user_controller.users_table_name
}
