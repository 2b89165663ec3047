variable "image" {
  description = "Container image with a tag or digest."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the tasks."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the tasks."
  type        = list(string)
}

variable "function_table_name" {
  description = "The table that the function has been serving."
  type        = string
}

variable "function_boundary_arn" {
  description = "The permissions boundary that the function has put on its users."
  type        = string
}

variable "dry_run" {
  description = "True until `iam-user-controller plan` shows what was expected; then false."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the tables."
  type        = bool
  default     = true
}
