# --- What it is called ------------------------------------------------------------------------

variable "name" {
  description = "Name of the service and prefix of what belongs to it."
  type        = string
  default     = "iam-user-controller"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,39}$", var.name))
    error_message = "The name must be 2 to 40 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "tags" {
  description = "Tags on every resource of the module. They are not put on the IAM users that the controller creates."
  type        = map(string)
  default     = {}
  nullable    = false
}

# --- Tables -----------------------------------------------------------------------------------

variable "users_table_name" {
  description = "The DynamoDB table whose items become IAM users."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.-]{3,255}$", var.users_table_name))
    error_message = "A table's name has 3 to 255 letters, digits, and _ . - characters."
  }
}

variable "create_users_table" {
  description = "Whether the module manages the users table; false when another configuration does."
  type        = bool
  default     = true
  nullable    = false
}

variable "users_table_stream_view_type" {
  description = "What stream records carry. The controller reads keys only; for an imported table give its present value, because another one replaces the stream."
  type        = string
  default     = "KEYS_ONLY"
  nullable    = false

  validation {
    condition     = contains(["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"], var.users_table_stream_view_type)
    error_message = "The view type is KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES."
  }
}

variable "state_table_name" {
  description = "The table for checkpoints, lease and brake; null for `<users_table_name>-controller`."
  type        = string
  default     = null

  validation {
    condition     = var.state_table_name == null || can(regex("^[a-zA-Z0-9_.-]{3,255}$", var.state_table_name))
    error_message = "A table's name has 3 to 255 letters, digits, and _ . - characters."
  }
  validation {
    condition     = var.state_table_name != var.users_table_name
    error_message = "The state table must be another one than the users table."
  }
  validation {
    condition     = var.state_table_name != null || length(var.users_table_name) <= 244
    error_message = "With a users table's name this long, the state table needs a name of its own."
  }
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the tables. Turn it off, and apply, before a destroy."
  type        = bool
  default     = true
  nullable    = false
}

variable "tables_kms_key_arn" {
  description = "KMS key of the tables; null for the AWS-managed key."
  type        = string
  default     = null

  validation {
    condition     = var.tables_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.tables_kms_key_arn))
    error_message = "It must be the ARN of a key (not of an alias)."
  }
}

# --- Users and their keys ---------------------------------------------------------------------

variable "users_path" {
  description = "IAM path of created users. With a path of their own, such as `/iam-user-controller/`, no user elsewhere is within the controller's reach."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([A-Za-z0-9_.,+@=-]+/)*$", var.users_path)) && length(var.users_path) <= 512
    error_message = "A path begins and ends with a slash, as in / or /mail/."
  }
}

variable "adopt" {
  description = "Which existing users that are in the table may be taken over: `never`, `tagged` (those that look like the function's), or `always`. The role may take over no user that carries another table's tag."
  type        = string
  default     = "tagged"
  nullable    = false

  validation {
    condition     = contains(["never", "tagged", "always"], var.adopt)
    error_message = "Adopt is never, tagged or always."
  }
}

variable "adopted_users_paths" {
  description = "Further IAM paths below which users may be adopted and kept, beside `users_path`; of no effect when `adopt` is `never`."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for path in var.adopted_users_paths : can(regex("^/([A-Za-z0-9_.,+@=-]+/)*$", path))])
    error_message = "A path begins and ends with a slash, as in / or /mail/."
  }
}

variable "protected_users" {
  description = "Name patterns (`*`, `?`) of users that are never changed: the task role is denied it, and sweeps pass over them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.protected_users : can(regex("^[A-Za-z0-9+=,.@_*?-]{1,64}$", name))])
    error_message = "A pattern has 1 to 64 characters of a user name, with * and ? as wildcards."
  }
  validation {
    condition     = !contains(var.protected_users, "*")
    error_message = "The pattern * would protect every user, also those in the table."
  }
}

variable "removable_groups" {
  description = "Name patterns of groups that a user may be taken out of before it is deleted. IAM cannot tie this to the user, so name the groups when membership in others matters (a group that denies something)."
  type        = list(string)
  default     = ["*"]
  nullable    = false

  validation {
    condition     = length(var.removable_groups) > 0
    error_message = "Name at least one pattern: IAM deletes no user that is still in a group."
  }
}

variable "orphans_scope" {
  description = "Which users without an item a sweep may delete: `owned`, or `account` (every user of the account below the paths, as the function did, but for those that another table's controller owns)."
  type        = string
  default     = "owned"
  nullable    = false

  validation {
    condition     = contains(["owned", "account"], var.orphans_scope)
    error_message = "The scope is owned or account."
  }
  validation {
    condition     = var.orphans_scope == "owned" || length(var.protected_users) > 0
    error_message = "The scope account is refused unless protected_users names at least one pattern."
  }
}

variable "create_permissions_boundary" {
  description = "Whether to create the users' permissions boundary; false to use `permissions_boundary_arn`."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.create_permissions_boundary == (var.permissions_boundary_arn == null)
    error_message = "Either create a boundary or name one in permissions_boundary_arn: a user without a boundary is never created."
  }
}

variable "permissions_boundary_arn" {
  description = "An existing policy to use as the users' permissions boundary."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/", var.permissions_boundary_arn))
    error_message = "It must be the ARN of an IAM policy."
  }
}

variable "permissions_boundary_policy" {
  description = "The policy document (JSON) of the boundary to create; null for the default: send mail, read one's own parameter."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_policy == null || can(jsondecode(var.permissions_boundary_policy).Statement)
    error_message = "It must be an IAM policy document as JSON."
  }
  validation {
    condition     = var.permissions_boundary_policy == null || var.create_permissions_boundary
    error_message = "A document is for a boundary that is created, not for an existing one."
  }
}

variable "parameter_name" {
  description = "Where key documents are stored, with the placeholder `{UserName}`."
  type        = string
  default     = "/iam_users/{UserName}_keys"
  nullable    = false

  validation {
    condition     = can(regex("^/[A-Za-z0-9_.-]+/[A-Za-z0-9_./-]*\\{UserName\\}[A-Za-z0-9_./-]*$", var.parameter_name))
    error_message = "It must begin with a folder and hold {UserName} once, as in /iam_users/{UserName}_keys."
  }
  validation {
    condition     = !can(regex("^/(?i:aws|ssm)|//|/$", var.parameter_name))
    error_message = "Parameter Store refuses names that begin with aws or ssm, have an empty part, or end in a slash."
  }
}

variable "create_kms_key" {
  description = "Whether to create a KMS key for the parameters."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = !var.create_kms_key || var.kms_key_arn == null
    error_message = "Either create a key or pass one in kms_key_arn, not both."
  }
}

variable "kms_key_arn" {
  description = "An existing KMS key for the parameters. With null and `create_kms_key` off: the account's default key."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "It must be the ARN of a key (not of an alias): IAM policies cannot name an alias."
  }
}

variable "kms_deletion_window_days" {
  description = "How long a deleted key can still be restored."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.kms_deletion_window_days >= 7 && var.kms_deletion_window_days <= 30
    error_message = "KMS allows 7 to 30 days."
  }
}

variable "dry_run" {
  description = "Observe and plan, change nothing. The task role is denied every change of users and parameters as well."
  type        = bool
  default     = false
  nullable    = false
}

variable "settings" {
  description = "The program's other settings, by section; what is left out has the program's default. Durations are texts such as `15d`."
  type = object({
    keys = optional(object({
      rotate_after   = optional(string)
      delete_after   = optional(string)
      min_overlap    = optional(string)
      foreign        = optional(string)
      verify         = optional(bool)
      verify_timeout = optional(string)
    }), {})
    stream = optional(object({
      poll_interval = optional(string)
      idle_interval = optional(string)
    }), {})
    sweep = optional(object({
      schedule   = optional(string)
      full_every = optional(string)
    }), {})
    orphans = optional(object({
      action                = optional(string)
      include_console_users = optional(bool)
      min_age               = optional(string)
      sweeps                = optional(number)
    }), {})
    deletions = optional(object({
      max_count   = optional(number)
      max_percent = optional(number)
      window      = optional(string)
    }), {})
    executor = optional(object({
      concurrency = optional(number)
    }), {})
    lease = optional(object({
      ttl = optional(string)
    }), {})
    http = optional(object({
      expose_users = optional(bool)
    }), {})
    log = optional(object({
      level = optional(string)
    }), {})
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for duration in compact([
        var.settings.keys.rotate_after, var.settings.keys.delete_after, var.settings.keys.min_overlap,
        var.settings.keys.verify_timeout, var.settings.stream.poll_interval, var.settings.stream.idle_interval,
        var.settings.sweep.full_every, var.settings.orphans.min_age, var.settings.deletions.window, var.settings.lease.ttl,
      ]) : can(regex("^([0-9]+ *(ms|s|m|h|d|w) *)+$", duration))
    ])
    error_message = "A duration is a number with a unit (ms, s, m, h, d, w), as in 15d."
  }
  validation {
    condition     = var.settings.keys.foreign == null || contains(["report", "revoke"], coalesce(var.settings.keys.foreign, "report"))
    error_message = "keys.foreign is report or revoke."
  }
  validation {
    condition     = contains(["delete", "report"], coalesce(var.settings.orphans.action, "delete"))
    error_message = "orphans.action is delete or report."
  }
  validation {
    condition     = contains(["error", "warn", "info", "debug", "trace"], coalesce(var.settings.log.level, "info"))
    error_message = "log.level is error, warn, info, debug or trace."
  }
}

# --- The service ------------------------------------------------------------------------------

variable "image" {
  description = "Container image with a tag or digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^\\s:@]+(:[0-9]+/[^\\s:@]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$", var.image)) && !can(regex(":latest$", var.image)) && can(regex("[^/]+[:@][^/]+$", var.image))
    error_message = "Name the image with a tag other than latest, or with a digest, so that a restart runs what was deployed."
  }
}

variable "ecr_repository_arn" {
  description = "ECR repository of the image, which the execution role may then fetch from; null for a public image."
  type        = string
  default     = null

  validation {
    condition     = var.ecr_repository_arn == null || can(regex("^arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/", var.ecr_repository_arn))
    error_message = "It must be the ARN of an ECR repository."
  }
}

variable "cpu" {
  description = "CPU units of a task; 256 suffices for a full account."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "Fargate has tasks of 256, 512, 1024, 2048 and 4096 units."
  }
}

variable "memory" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.memory >= 2 * var.cpu && var.memory <= 8 * var.cpu && (var.memory % 1024 == 0 || var.memory == 512)
    error_message = "Fargate takes 2 to 8 MiB for each CPU unit, 512 or a multiple of 1024."
  }
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64; the image must be built for it."
  type        = string
  default     = "X86_64"
  nullable    = false

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "The architecture is X86_64 or ARM64."
  }
}

variable "desired_count" {
  description = "Tasks to run: one leads, the others stand by. 0 stops the service."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.desired_count >= 0 && var.desired_count <= 5 && floor(var.desired_count) == var.desired_count
    error_message = "0 to 5 tasks: more than one stand-by makes nothing faster."
  }
}

variable "shutdown_grace_seconds" {
  description = "How long the program may take to finish the users in hand when it is told to stop."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.shutdown_grace_seconds >= 1
    error_message = "At least one second."
  }
}

variable "stop_timeout_seconds" {
  description = "How long ECS waits before it kills a task that was told to stop; more than `shutdown_grace_seconds`."
  type        = number
  default     = 40
  nullable    = false

  validation {
    condition     = var.stop_timeout_seconds > var.shutdown_grace_seconds
    error_message = "ECS must wait longer than the program may take to stop (shutdown_grace_seconds)."
  }
  validation {
    condition     = var.stop_timeout_seconds <= 120
    error_message = "Fargate waits 120 seconds at most."
  }
}

variable "wait_for_steady_state" {
  description = "Whether an apply waits until the new tasks run, and so fails when they do not."
  type        = bool
  default     = false
  nullable    = false
}

variable "create_cluster" {
  description = "Whether to create an ECS cluster; false to run in `cluster_arn`."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.create_cluster == (var.cluster_arn == null)
    error_message = "Either create a cluster or name one in cluster_arn."
  }
}

variable "cluster_arn" {
  description = "An existing ECS cluster to run in."
  type        = string
  default     = null

  validation {
    condition     = var.cluster_arn == null || can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/", var.cluster_arn))
    error_message = "It must be the ARN of an ECS cluster."
  }
}

variable "container_insights" {
  description = "Container Insights of a created cluster: enabled, enhanced or disabled."
  type        = string
  default     = "enabled"
  nullable    = false

  validation {
    condition     = contains(["enabled", "enhanced", "disabled"], var.container_insights)
    error_message = "Container Insights is enabled, enhanced or disabled."
  }
}

# --- Network ----------------------------------------------------------------------------------

variable "vpc_id" {
  description = "VPC of the tasks."
  type        = string
  nullable    = false

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "It must be the id of a VPC (vpc-…)."
  }
}

variable "subnet_ids" {
  description = "Subnets of the tasks, in two availability zones or more, with a way to AWS's APIs (NAT, or endpoints for DynamoDB, IAM, STS, SSM, KMS, ECR, S3 and CloudWatch Logs)."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "Name at least one subnet by its id (subnet-…)."
  }
}

variable "assign_public_ip" {
  description = "Whether tasks get a public address; only for subnets without NAT."
  type        = bool
  default     = false
  nullable    = false
}

variable "extra_security_group_ids" {
  description = "Further security groups of the tasks, such as one that VPC endpoints admit."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "metrics_source_security_group_ids" {
  description = "Security groups that may scrape the metrics, each under a name of your choice."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "metrics_source_cidr_blocks" {
  description = "IPv4 networks that may scrape the metrics."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for block in var.metrics_source_cidr_blocks : can(cidrhost(block, 0)) && block != "0.0.0.0/0"])
    error_message = "Name networks such as 10.0.0.0/16. The whole world is not one: /metrics and /status are for those who operate the service."
  }
}

variable "service_discovery" {
  description = "A private DNS namespace of Cloud Map in which to register the tasks under `name`, so that Prometheus finds them; null for none."
  type        = object({ namespace_id = string })
  default     = null

  validation {
    condition     = var.service_discovery == null || startswith(try(var.service_discovery.namespace_id, ""), "ns-")
    error_message = "It must be the id of a namespace (ns-…)."
  }
}

variable "egress_cidr_blocks" {
  description = "IPv4 networks that tasks may reach on port 443."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false

  validation {
    condition     = length(var.egress_cidr_blocks) > 0 && alltrue([for block in var.egress_cidr_blocks : can(cidrhost(block, 0))])
    error_message = "Name at least one IPv4 network, such as 10.0.0.0/16."
  }
}

variable "http_port" {
  description = "Port of health, status and metrics."
  type        = number
  default     = 8080
  nullable    = false

  validation {
    condition     = var.http_port >= 1024 && var.http_port <= 65535
    error_message = "A port from 1024 to 65535: the program is not root."
  }
}

# --- Roles, logs, alarms ----------------------------------------------------------------------

variable "policies_path" {
  description = "IAM path of the roles and the boundary policy."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([A-Za-z0-9_.,+@=-]+/)*$", var.policies_path))
    error_message = "A path begins and ends with a slash, as in / or /services/."
  }
}

variable "roles_permissions_boundary_arn" {
  description = "Permissions boundary of the task and execution roles, where the organisation asks for one."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept. They say who got which key when, so a year is the default."
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "CloudWatch Logs knows only certain numbers of days, such as 30, 90 or 365."
  }
}

variable "log_kms_key_arn" {
  description = "KMS key of the log group; its policy must admit CloudWatch Logs. Null for AWS's own encryption."
  type        = string
  default     = null
}

variable "alarm_actions" {
  description = "ARNs that are told when an alarm goes off and when it is over, such as an SNS topic."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.alarm_actions : startswith(arn, "arn:")])
    error_message = "Alarm actions are ARNs."
  }
}
