# What the module plans when only the required variables are given.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/iam-users" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::111122223333:policy/iam-user-controller-boundary" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/iam-user-controller" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:111122223333:cluster/iam-user-controller" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-west-1:111122223333:service/srv-1" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-west-1:111122223333:task-definition/iam-user-controller:1" }
  }
}

variables {
  users_table_name = "iam-users"
  image            = "registry.example/iam-user-controller:1.0.0"
  vpc_id           = "vpc-1"
  subnet_ids       = ["subnet-1", "subnet-2"]
}

run "tables" {
  assert {
    condition     = aws_dynamodb_table.users[0].hash_key == "UserName" && aws_dynamodb_table.users[0].stream_enabled && aws_dynamodb_table.users[0].stream_view_type == "KEYS_ONLY"
    error_message = "The users table must have the key UserName and a stream."
  }
  assert {
    condition = alltrue([
      for table in [aws_dynamodb_table.users[0], aws_dynamodb_table.state] :
      table.deletion_protection_enabled && table.point_in_time_recovery[0].enabled && table.server_side_encryption[0].enabled
    ])
    error_message = "Both tables must be protected from deletion, backed up and encrypted."
  }
  assert {
    condition     = aws_dynamodb_table.state.name == "iam-users-controller" && aws_dynamodb_table.state.hash_key == "Id"
    error_message = "The state table must be called after the users table, with the key Id."
  }
}

run "task" {
  assert {
    condition     = aws_ecs_task_definition.this.cpu == "256" && aws_ecs_task_definition.this.memory == "512"
    error_message = "The default task has 256 CPU units and 512 MiB."
  }
  assert {
    condition     = aws_ecs_task_definition.this.network_mode == "awsvpc" && contains(aws_ecs_task_definition.this.requires_compatibilities, "FARGATE")
    error_message = "The task must run on Fargate."
  }
  assert {
    condition     = local.container_definitions[0].readonlyRootFilesystem && local.container_definitions[0].user == "65532:65532" && local.container_definitions[0].linuxParameters.capabilities.drop == ["ALL"]
    error_message = "The container must have a read-only root, no root user and no capabilities."
  }
  assert {
    condition     = local.container_definitions[0].healthCheck.command == ["CMD", "/usr/local/bin/iam-user-controller", "health"]
    error_message = "ECS must ask the program for its health without a shell."
  }
  assert {
    condition     = local.container_definitions[0].stopTimeout == 40 && local.environment.IUC_SHUTDOWN__GRACE == "20s"
    error_message = "ECS must wait longer than the program's grace."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].image == "registry.example/iam-user-controller:1.0.0"
    error_message = "The task must run the given image."
  }
}

run "service" {
  assert {
    condition     = aws_ecs_service.this.desired_count == 2 && aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_maximum_percent == 200
    error_message = "Two tasks, and a deploy with overlap."
  }
  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "A failing deploy must be rolled back."
  }
  assert {
    condition     = !aws_ecs_service.this.network_configuration[0].assign_public_ip
    error_message = "No public address unless asked for."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.metrics_from_group) == 0 && length(aws_vpc_security_group_ingress_rule.metrics_from_network) == 0
    error_message = "Nobody may connect unless named."
  }
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_egress_rule.aws_apis : rule.from_port == 443 && rule.to_port == 443])
    error_message = "Only HTTPS may go out."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.not_running.treat_missing_data == "breaching" && length(aws_cloudwatch_metric_alarm.not_enough_running) == 1
    error_message = "A service that sends no sample is not running."
  }
  assert {
    condition     = aws_cloudwatch_log_group.service.retention_in_days == 365
    error_message = "Logs are kept for a year."
  }
}

run "settings_are_the_programs_defaults" {
  assert {
    condition = local.environment == {
      AWS_REGION                      = "eu-west-1"
      IUC_DRY_RUN                     = "false"
      IUC_HTTP__LISTEN                = "0.0.0.0:8080"
      IUC_LOG__FORMAT                 = "json"
      IUC_ORPHANS__SCOPE              = "owned"
      IUC_PARAMETERS__KMS_KEY_ID      = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000"
      IUC_PARAMETERS__NAME            = "/iam_users/{UserName}_keys"
      IUC_SHUTDOWN__GRACE             = "20s"
      IUC_STATE__TABLE                = "iam-users-controller"
      IUC_TABLE__NAME                 = "iam-users"
      IUC_USERS__ADOPT                = "tagged"
      IUC_USERS__PATH                 = "/"
      IUC_USERS__PERMISSIONS_BOUNDARY = "arn:aws:iam::111122223333:policy/iam-user-controller-boundary"
    }
    error_message = "Only what the infrastructure decides may be in the environment: ${jsonencode(local.environment)}"
  }
}

run "policies_name_every_action_of_the_program" {
  assert {
    condition = toset(flatten([
      for s in concat(local.observe_statements, local.user_statements, local.store_statements) : s.Action
    ])) == toset([for a in local.program_actions : "${a.service}:${a.action}"])
    error_message = "The task role must allow what actions.json lists, and nothing else."
  }
  assert {
    condition = alltrue([
      for s in concat(local.observe_statements, local.user_statements, local.store_statements) : s.Resource != "*" || s.Sid == "SeeTheAccount"
    ])
    error_message = "Only what AWS cannot narrow down may be allowed on everything."
  }
  assert {
    condition     = alltrue([for s in local.refusals : s.Effect == "Deny"])
    error_message = "The refusals refuse."
  }
}
