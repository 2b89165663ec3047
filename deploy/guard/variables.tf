variable "name" {
  description = "Name of the policies."
  type        = string
  default     = "iam-user-controller-guard"
  nullable    = false
}

variable "controller_role_arns" {
  description = "Task roles of the controllers, one for each account and service: the module's output `task_role_arn`."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.controller_role_arns) > 0 && alltrue([for arn in var.controller_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+$", arn))])
    error_message = "Name at least one role by its ARN, without wildcards. The ARN of an assumed-role session (arn:…:sts::…) is never compared."
  }
}

variable "function_role_arns" {
  description = "Roles of the functions that the controllers replace, while they still run. Empty the list when they are gone."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.function_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+$", arn))])
    error_message = "Name roles by their ARN, without wildcards."
  }
}

variable "operator_arns" {
  description = "Roles and users that may mend tags and the state table by hand, such as a break-glass role; `*` and `?` are wildcards."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.operator_arns : can(regex("^arn:[a-z*-]+:iam::[0-9*]+:(role|user)/.+$", arn))])
    error_message = "Name roles or users by their ARN (arn:…:iam::ACCOUNT:role/NAME)."
  }
}

variable "state_table_arns" {
  description = "State tables of the controllers, which then only they and the operators can read and write; the module's output `state_table_arn`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.state_table_arns : can(regex("^arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[a-zA-Z0-9_.-]+$", arn))])
    error_message = "Name tables by their ARN."
  }
}

variable "guard_key_tags" {
  description = "Whether to guard tags named by an access key id, by which `users.adopt = \"tagged\"` knows the function's users. The IAM console keeps a key's description in such a tag, and can then write none."
  type        = bool
  default     = true
  nullable    = false
}

variable "create_policy" {
  description = "Whether to create a managed policy in this account, to attach to those who may tag users."
  type        = bool
  default     = true
  nullable    = false
}

variable "organization_targets" {
  description = "Root, organizational units or accounts to which the service control policy is attached; none: it is not created. Needs the organization's management account, or its delegated administrator."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for target in var.organization_targets : can(regex("^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|[0-9]{12})$", target))])
    error_message = "A target is a root (r-…), an organizational unit (ou-…) or an account (12 digits)."
  }
}

variable "tags" {
  description = "Tags on the policies."
  type        = map(string)
  default     = {}
  nullable    = false
}
