# What each choice changes.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws-cn", dns_suffix = "amazonaws.com.cn" }
  }
  mock_data "aws_region" {
    defaults = { name = "cn-north-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_dynamodb_table" {
    defaults = {
      arn            = "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/iam-users"
      stream_arn     = "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/iam-users/stream/2026-01-01T00:00:00.000"
      hash_key       = "UserName"
      range_key      = ""
      stream_enabled = true
    }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/iam-users" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/00000000-0000-4000-8000-000000000000" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws-cn:iam::111122223333:policy/iam-user-controller-boundary" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws-cn:iam::111122223333:role/iam-user-controller" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/iam-user-controller" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws-cn:logs:cn-north-1:111122223333:log-group:/ecs/iam-user-controller" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws-cn:servicediscovery:cn-north-1:111122223333:service/srv-1" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws-cn:ecs:cn-north-1:111122223333:task-definition/iam-user-controller:1" }
  }
}

variables {
  users_table_name = "iam-users"
  image            = "registry.example/iam-user-controller:1.0.0"
  vpc_id           = "vpc-1"
  subnet_ids       = ["subnet-1", "subnet-2"]
}

run "every_partition" {
  assert {
    condition = alltrue([
      for policy in concat([for p in local.task_policies : p.document], [local.boundary_policy, local.execution_policy, local.trust_policy, jsonencode(local.kms_key_policy)]) :
      !strcontains(policy, "arn:aws:")
    ])
    error_message = "No policy may name the partition aws when it is another one."
  }
  assert {
    condition     = contains(local.ssm_endpoints, "ssm.cn-north-1.amazonaws.com.cn")
    error_message = "KMS is reached through the partition's own endpoint."
  }
}

run "long_names_fit_the_policies" {
  variables {
    name                = "iam-user-controller-of-the-mail-platform"
    users_table_name    = "a-table-with-a-name-that-somebody-made-up-of-team-and-product-and-stage-and-region"
    users_path          = "/platform/mail/production/iam-user-controller/"
    adopted_users_paths = ["/"]
    protected_users     = ["admin-*", "break-glass", "root-*", "terraform", "ci-*"]
    removable_groups    = ["mailers-*", "readers-*"]
    tables_kms_key_arn  = "arn:aws-cn:kms:cn-north-1:111122223333:key/00000000-0000-4000-8000-000000000001"
    parameter_name      = "/platform/mail/production/iam_users/{UserName}_keys"
    dry_run             = true
  }
  assert {
    condition     = alltrue([for policy in local.task_policies : length(policy.document) <= 6144])
    error_message = "A managed policy holds 6,144 characters."
  }
}

run "names_beyond_a_policy_are_refused" {
  command = plan
  variables {
    protected_users = [for number in range(200) : "administrator-${number}"]
  }
  expect_failures = [aws_iam_policy.task]
}

run "an_existing_table" {
  variables {
    create_users_table = false
  }
  assert {
    condition     = length(aws_dynamodb_table.users) == 0 && output.users_table_stream_arn == "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/iam-users/stream/2026-01-01T00:00:00.000"
    error_message = "The table of another configuration is used, not created."
  }
}

run "an_existing_table_without_stream_is_refused" {
  command = plan
  variables {
    create_users_table = false
  }
  override_data {
    target = data.aws_dynamodb_table.users[0]
    values = { hash_key = "UserName", range_key = "", stream_enabled = false, arn = "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/iam-users", stream_arn = "" }
  }
  expect_failures = [data.aws_dynamodb_table.users]
}

run "an_existing_table_with_another_key_is_refused" {
  command = plan
  variables {
    create_users_table = false
  }
  override_data {
    target = data.aws_dynamodb_table.users[0]
    values = { hash_key = "Name", range_key = "", stream_enabled = true, arn = "arn:aws-cn:dynamodb:cn-north-1:111122223333:table/iam-users", stream_arn = "" }
  }
  expect_failures = [data.aws_dynamodb_table.users]
}

run "an_existing_cluster_key_and_boundary" {
  variables {
    create_cluster              = false
    create_permissions_boundary = false
    cluster_arn                 = "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/shared/one"
    create_kms_key              = false
    kms_key_arn                 = "arn:aws-cn:kms:cn-north-1:111122223333:key/00000000-0000-4000-8000-000000000009"
    permissions_boundary_arn    = "arn:aws-cn:iam::111122223333:policy/ours"
  }
  assert {
    condition     = length(aws_ecs_cluster.this) == 0 && local.cluster_name == "one" && aws_ecs_service.this.cluster == "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/shared/one"
    error_message = "The service runs in the given cluster."
  }
  assert {
    condition     = length(aws_kms_key.parameters) == 0 && output.environment.IUC_PARAMETERS__KMS_KEY_ID == "arn:aws-cn:kms:cn-north-1:111122223333:key/00000000-0000-4000-8000-000000000009"
    error_message = "The given key is used."
  }
  assert {
    condition     = length(aws_iam_policy.boundary) == 0 && output.environment.IUC_USERS__PERMISSIONS_BOUNDARY == "arn:aws-cn:iam::111122223333:policy/ours"
    error_message = "The given boundary is used."
  }
}

run "the_default_key" {
  variables {
    create_kms_key = false
  }
  assert {
    condition     = output.parameter_kms_key_arn == null && !strcontains(local.task_policies.stores.document, "kms:Encrypt") && !contains(keys(output.environment), "IUC_PARAMETERS__KMS_KEY_ID")
    error_message = "Without a key of one's own nothing about KMS is set or allowed."
  }
}

run "another_boundary" {
  variables {
    permissions_boundary_policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"*\"}]}"
  }
  assert {
    condition     = jsondecode(aws_iam_policy.boundary[0].policy).Statement[0].Action == "s3:GetObject"
    error_message = "The given document is the boundary."
  }
}

run "adoption_reaches_further_paths_only_when_it_is_on" {
  variables {
    users_path          = "/mail/"
    adopt               = "never"
    adopted_users_paths = ["/"]
  }
  assert {
    condition     = local.user_arns == ["arn:aws-cn:iam::111122223333:user/mail/*"]
    error_message = "Without adoption only created users are in reach."
  }
}

run "settings" {
  variables {
    protected_users = ["admin-*", "root"]
    orphans_scope   = "account"
    settings = {
      keys      = { rotate_after = "10d", verify = false }
      deletions = { max_count = 3 }
      log       = { level = "debug" }
    }
  }
  assert {
    condition = alltrue([
      output.environment.IUC_KEYS__ROTATE_AFTER == "10d",
      output.environment.IUC_KEYS__VERIFY == "false",
      output.environment.IUC_DELETIONS__MAX_COUNT == "3",
      output.environment.IUC_LOG__LEVEL == "debug",
      output.environment.IUC_ORPHANS__SCOPE == "account",
      output.environment.IUC_ORPHANS__PROTECT == "[\"admin-*\",\"root\"]",
      !contains(keys(output.environment), "IUC_KEYS__DELETE_AFTER"),
    ])
    error_message = "Settings become environment variables: ${jsonencode(output.environment)}"
  }
}

run "those_who_scrape" {
  variables {
    metrics_source_security_group_ids = { prometheus = "sg-1" }
    metrics_source_cidr_blocks        = ["10.1.0.0/16"]
    http_port                         = 9000
    service_discovery                 = { namespace_id = "ns-1" }
  }
  assert {
    condition     = aws_service_discovery_service.metrics[0].name == "iam-user-controller" && length(aws_ecs_service.this.service_registries) == 1
    error_message = "The tasks must be registered under the service's name."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.metrics_from_group["prometheus"].referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.metrics_from_group["prometheus"].from_port == 9000 && aws_vpc_security_group_ingress_rule.metrics_from_group["prometheus"].to_port == 9000
    error_message = "The group may reach the port, and no other."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.metrics_from_network["10.1.0.0/16"].cidr_ipv4 == "10.1.0.0/16" && aws_vpc_security_group_ingress_rule.metrics_from_network["10.1.0.0/16"].to_port == 9000
    error_message = "The network may reach the port, and no other."
  }
}

run "one_task_has_no_standby_to_miss" {
  variables {
    desired_count = 1
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.not_enough_running) == 0
    error_message = "With one task only its absence is an alarm."
  }
}
