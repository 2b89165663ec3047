# Everything that a careful account would set: users on a path of their own, so that the controller
# cannot reach any other user; administrators named as untouchable; keys for everything at rest; an
# alarm that somebody hears.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

resource "aws_sns_topic" "operators" {
  name              = "iam-user-controller-operators"
  kms_master_key_id = aws_kms_key.operations.arn

  tags = local.tags
}

resource "aws_service_discovery_private_dns_namespace" "internal" {
  name        = "internal"
  description = "Names of services within the VPC"
  vpc         = var.vpc_id

  tags = local.tags
}

# One key for tables, logs and the topic; the module creates another one for the parameters.
resource "aws_kms_key" "operations" {
  description             = "Tables, logs and alarms of iam-user-controller"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = jsonencode(local.operations_key_policy)

  tags = local.tags
}

locals {
  tags = {
    service = "iam-user-controller"
    owner   = "platform"
  }

  account = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"

  operations_key_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AccountAdministers"
        Effect    = "Allow"
        Principal = { AWS = local.account }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogsEncrypt"
        Effect    = "Allow"
        Principal = { Service = "logs.${data.aws_region.current.name}.${data.aws_partition.current.dns_suffix}" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:log-group:/ecs/*"
          }
        }
      },
      {
        Sid       = "AlarmsPublish"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      },
    ]
  }
}

module "iam_user_controller" {
  source = "../.."

  name = "iam-user-controller"
  tags = local.tags

  users_table_name    = "iam-users"
  state_table_name    = "iam-users-state"
  deletion_protection = var.deletion_protection
  tables_kms_key_arn  = aws_kms_key.operations.arn

  users_path       = "/iam-user-controller/"
  adopt            = "never"
  protected_users  = ["admin-*", "break-glass"]
  removable_groups = ["mailers-*"]

  # What users may do at most: send mail from one domain.
  permissions_boundary_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "SendMailOfOneDomain"
        Effect    = "Allow"
        Action    = ["ses:SendEmail", "ses:SendRawEmail"]
        Resource  = "arn:${data.aws_partition.current.partition}:ses:*:${data.aws_caller_identity.current.account_id}:identity/example.org"
        Condition = { StringLike = { "ses:FromAddress" = "*@example.org" } }
      },
    ]
  })

  settings = {
    keys      = { rotate_after = "10d", delete_after = "20d", foreign = "revoke" }
    sweep     = { schedule = "0 */30 * * * *" }
    deletions = { max_count = 5, max_percent = 10 }
    orphans   = { min_age = "1h" }
  }

  image              = var.image
  ecr_repository_arn = var.ecr_repository_arn
  cpu                = 512
  memory             = 1024
  cpu_architecture   = "ARM64"
  desired_count      = 2

  shutdown_grace_seconds = 30
  stop_timeout_seconds   = 60

  vpc_id     = var.vpc_id
  subnet_ids = var.subnet_ids

  # Prometheus finds the tasks as iam-user-controller.internal.
  service_discovery                 = { namespace_id = aws_service_discovery_private_dns_namespace.internal.id }
  metrics_source_security_group_ids = { prometheus = var.prometheus_security_group_id }

  policies_path      = "/iam-user-controller/"
  log_retention_days = 400
  log_kms_key_arn    = aws_kms_key.operations.arn
  alarm_actions      = [aws_sns_topic.operators.arn]
}
