output "environment" {
  description = "The program's environment."
  value       = module.iam_user_controller.environment
}

output "policies" {
  description = "The module's policy documents."
  value       = module.iam_user_controller.policies
}
