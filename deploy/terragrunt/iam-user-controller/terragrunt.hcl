# One service in one account and Region. Everything comes from the automation layer, as environment
# variables: what must be given has no default here, what may be left out has the module's. Lists and
# objects are JSON. They are not called IUC_…, because the program refuses settings that it does not
# know, and an automation layer may run both.
#
#   ENVIRONMENT=production AWS_REGION=eu-west-1 STATE_BUCKET=… \
#   CONTROLLER_MODULE=git::https://…//terraform?ref=v1.0.0 CONTROLLER_IMAGE=…:1.0.0 CONTROLLER_USERS_TABLE=iam-users \
#   CONTROLLER_VPC_ID=vpc-… CONTROLLER_SUBNET_IDS='["subnet-…","subnet-…"]' terragrunt apply

include "root" {
  path = find_in_parent_folders("root.hcl")
}

terraform {
  source = get_env("CONTROLLER_MODULE", "../../../terraform")
}

inputs = {
  name = get_env("CONTROLLER_NAME", "iam-user-controller")
  tags = jsondecode(get_env("CONTROLLER_TAGS", "{}"))

  # Tables.
  users_table_name             = get_env("CONTROLLER_USERS_TABLE")
  create_users_table           = tobool(get_env("CONTROLLER_CREATE_USERS_TABLE", "true"))
  users_table_stream_view_type = get_env("CONTROLLER_STREAM_VIEW_TYPE", "KEYS_ONLY")
  state_table_name             = get_env("CONTROLLER_STATE_TABLE", "") == "" ? null : get_env("CONTROLLER_STATE_TABLE", "")
  deletion_protection          = tobool(get_env("CONTROLLER_DELETION_PROTECTION", "true"))
  tables_kms_key_arn           = get_env("CONTROLLER_TABLES_KMS_KEY_ARN", "") == "" ? null : get_env("CONTROLLER_TABLES_KMS_KEY_ARN", "")

  # Users and their keys.
  users_path                  = get_env("CONTROLLER_USERS_PATH", "/")
  adopt                       = get_env("CONTROLLER_ADOPT", "tagged")
  adopted_users_paths         = jsondecode(get_env("CONTROLLER_ADOPTED_USERS_PATHS", "[]"))
  protected_users             = jsondecode(get_env("CONTROLLER_PROTECTED_USERS", "[]"))
  removable_groups            = jsondecode(get_env("CONTROLLER_REMOVABLE_GROUPS", "[\"*\"]"))
  orphans_scope               = get_env("CONTROLLER_ORPHANS_SCOPE", "owned")
  create_permissions_boundary = tobool(get_env("CONTROLLER_CREATE_PERMISSIONS_BOUNDARY", "true"))
  permissions_boundary_arn    = get_env("CONTROLLER_PERMISSIONS_BOUNDARY_ARN", "") == "" ? null : get_env("CONTROLLER_PERMISSIONS_BOUNDARY_ARN", "")
  permissions_boundary_policy = get_env("CONTROLLER_PERMISSIONS_BOUNDARY_POLICY", "") == "" ? null : get_env("CONTROLLER_PERMISSIONS_BOUNDARY_POLICY", "")
  parameter_name              = get_env("CONTROLLER_PARAMETER_NAME", "/iam_users/{UserName}_keys")
  create_kms_key              = tobool(get_env("CONTROLLER_CREATE_KMS_KEY", "true"))
  kms_key_arn                 = get_env("CONTROLLER_KMS_KEY_ARN", "") == "" ? null : get_env("CONTROLLER_KMS_KEY_ARN", "")
  kms_deletion_window_days    = tonumber(get_env("CONTROLLER_KMS_DELETION_WINDOW_DAYS", "30"))
  dry_run                     = tobool(get_env("CONTROLLER_DRY_RUN", "false"))
  settings                    = jsondecode(get_env("CONTROLLER_SETTINGS", "{}"))

  # The service.
  image                  = get_env("CONTROLLER_IMAGE")
  ecr_repository_arn     = get_env("CONTROLLER_ECR_REPOSITORY_ARN", "") == "" ? null : get_env("CONTROLLER_ECR_REPOSITORY_ARN", "")
  cpu                    = tonumber(get_env("CONTROLLER_CPU", "256"))
  memory                 = tonumber(get_env("CONTROLLER_MEMORY", "512"))
  cpu_architecture       = get_env("CONTROLLER_CPU_ARCHITECTURE", "X86_64")
  desired_count          = tonumber(get_env("CONTROLLER_DESIRED_COUNT", "2"))
  shutdown_grace_seconds = tonumber(get_env("CONTROLLER_SHUTDOWN_GRACE_SECONDS", "20"))
  stop_timeout_seconds   = tonumber(get_env("CONTROLLER_STOP_TIMEOUT_SECONDS", "40"))
  wait_for_steady_state  = tobool(get_env("CONTROLLER_WAIT_FOR_STEADY_STATE", "true"))
  create_cluster         = tobool(get_env("CONTROLLER_CREATE_CLUSTER", "true"))
  cluster_arn            = get_env("CONTROLLER_CLUSTER_ARN", "") == "" ? null : get_env("CONTROLLER_CLUSTER_ARN", "")
  container_insights     = get_env("CONTROLLER_CONTAINER_INSIGHTS", "enabled")

  # Network.
  vpc_id                            = get_env("CONTROLLER_VPC_ID")
  subnet_ids                        = jsondecode(get_env("CONTROLLER_SUBNET_IDS"))
  assign_public_ip                  = tobool(get_env("CONTROLLER_ASSIGN_PUBLIC_IP", "false"))
  extra_security_group_ids          = jsondecode(get_env("CONTROLLER_EXTRA_SECURITY_GROUP_IDS", "[]"))
  metrics_source_security_group_ids = jsondecode(get_env("CONTROLLER_METRICS_SOURCE_SECURITY_GROUP_IDS", "{}"))
  metrics_source_cidr_blocks        = jsondecode(get_env("CONTROLLER_METRICS_SOURCE_CIDR_BLOCKS", "[]"))
  service_discovery                 = jsondecode(get_env("CONTROLLER_SERVICE_DISCOVERY", "null"))
  egress_cidr_blocks                = jsondecode(get_env("CONTROLLER_EGRESS_CIDR_BLOCKS", "[\"0.0.0.0/0\"]"))
  http_port                         = tonumber(get_env("CONTROLLER_HTTP_PORT", "8080"))

  # Roles, logs, alarms.
  policies_path                  = get_env("CONTROLLER_POLICIES_PATH", "/")
  roles_permissions_boundary_arn = get_env("CONTROLLER_ROLES_PERMISSIONS_BOUNDARY_ARN", "") == "" ? null : get_env("CONTROLLER_ROLES_PERMISSIONS_BOUNDARY_ARN", "")
  log_retention_days             = tonumber(get_env("CONTROLLER_LOG_RETENTION_DAYS", "365"))
  log_kms_key_arn                = get_env("CONTROLLER_LOG_KMS_KEY_ARN", "") == "" ? null : get_env("CONTROLLER_LOG_KMS_KEY_ARN", "")
  alarm_actions                  = jsondecode(get_env("CONTROLLER_ALARM_ACTIONS", "[]"))
}
