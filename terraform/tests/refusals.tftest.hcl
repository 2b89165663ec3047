# Inputs that would make a service that does not start, or a promise that does not hold. Each is
# refused at plan, by the variable that is wrong. A run gives several variables one wrong value each,
# all of which must be refused: a plan costs seconds.

mock_provider "aws" {}

variables {
  users_table_name = "iam-users"
  image            = "registry.example/iam-user-controller:1.0.0"
  vpc_id           = "vpc-1"
  subnet_ids       = ["subnet-1", "subnet-2"]
}

run "wrong_values_1" {
  command = plan
  variables {
    name                         = "IAM"                                        # capitals
    users_table_name             = "iam/users"                                  # a slash
    users_table_stream_view_type = "ALL"                                        # unknown
    tables_kms_key_arn           = "arn:aws:kms:eu-west-1:111122223333:alias/x" # an alias
    users_path                   = "/mail"                                      # no slash at the end
    adopt                        = "all"                                        # unknown
    adopted_users_paths          = ["mail"]                                     # no slash
    protected_users              = ["*"]                                        # everybody
    removable_groups             = []                                           # none
    permissions_boundary_arn     = "arn:aws:iam::111122223333:role/x"           # a role
    parameter_name               = "/iam_users/keys"                            # no placeholder
    kms_key_arn                  = "alias/aws/ssm"                              # an alias
    kms_deletion_window_days     = 3                                            # too short
    settings                     = { keys = { rotate_after = "15" } }           # a duration without a unit
    image                        = "registry.example/iam-user-controller"       # no tag
    ecr_repository_arn           = "iam-user-controller"                        # no ARN
    cpu                          = 300                                          # unknown to Fargate
    cpu_architecture             = "arm64"                                      # unknown
    desired_count                = 50                                           # too many
    stop_timeout_seconds         = 121                                          # beyond Fargate's limit
    cluster_arn                  = "shared"                                     # a name
    container_insights           = "on"                                         # unknown
    vpc_id                       = "main"                                       # a name
    subnet_ids                   = []                                           # none
    metrics_source_cidr_blocks   = ["0.0.0.0/0"]                                # the world
    service_discovery            = { namespace_id = "internal" }                # a name
    egress_cidr_blocks           = []                                           # nowhere
    http_port                    = 80                                           # privileged
    policies_path                = "services"                                   # no slash
    log_retention_days           = 100                                          # unknown to CloudWatch
    alarm_actions                = ["operators"]                                # a name
  }
  expect_failures = [
    var.name,
    var.users_table_name,
    var.users_table_stream_view_type,
    var.tables_kms_key_arn,
    var.users_path,
    var.adopt,
    var.adopted_users_paths,
    var.protected_users,
    var.removable_groups,
    var.permissions_boundary_arn,
    var.parameter_name,
    var.kms_key_arn,
    var.kms_deletion_window_days,
    var.settings,
    var.image,
    var.ecr_repository_arn,
    var.cpu,
    var.cpu_architecture,
    var.desired_count,
    var.stop_timeout_seconds,
    var.cluster_arn,
    var.container_insights,
    var.vpc_id,
    var.subnet_ids,
    var.metrics_source_cidr_blocks,
    var.egress_cidr_blocks,
    var.service_discovery,
    var.http_port,
    var.policies_path,
    var.log_retention_days,
    var.alarm_actions,
  ]
}

run "wrong_values_2" {
  command = plan
  variables {
    users_path           = "/*/"                                         # a wildcard
    protected_users      = ["a/b"]                                       # no user's name
    parameter_name       = "/iam_users/{UserName}/{UserName}"            # two placeholders
    settings             = { keys = { foreign = "delete" } }             # an unknown rule
    image                = "registry.example/iam-user-controller:latest" # a tag that moves
    stop_timeout_seconds = 20                                            # shorter than the grace
  }
  expect_failures = [
    var.users_path,
    var.protected_users,
    var.parameter_name,
    var.settings,
    var.image,
    var.stop_timeout_seconds,
  ]
}

run "wrong_values_3" {
  command = plan
  variables {
    parameter_name = "/{UserName}_keys"                          # no folder
    settings       = { log = { level = "loud" } }                # an unknown level
    image          = "registry.example:5000/iam-user-controller" # a port is no tag
  }
  expect_failures = [
    var.parameter_name,
    var.settings,
    var.image,
  ]
}

run "wrong_values_4" {
  command = plan
  variables {
    parameter_name = "/aws/{UserName}_keys" # reserved
  }
  expect_failures = [
    var.parameter_name,
  ]
}

# Variables whose rules look at others, which must be right for the rule to be asked.

run "wrong_values_beside_right_ones" {
  command = plan
  variables {
    orphans_scope               = "all"       # unknown
    permissions_boundary_policy = "allow all" # no JSON
    memory                      = 256         # too little for 256 units
  }
  expect_failures = [var.orphans_scope, var.permissions_boundary_policy, var.memory]
}

run "the_state_table_is_the_users_table" {
  command = plan
  variables {
    state_table_name = "iam-users"
  }
  expect_failures = [var.state_table_name]
}

run "a_key_created_and_given_and_an_unprotected_account" {
  command = plan
  variables {
    kms_key_arn   = "arn:aws:kms:eu-west-1:111122223333:key/x"
    orphans_scope = "account"
  }
  expect_failures = [var.create_kms_key, var.orphans_scope]
}

run "a_cluster_and_a_boundary_created_and_given" {
  command = plan
  variables {
    cluster_arn              = "arn:aws:ecs:eu-west-1:111122223333:cluster/x"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/x"
  }
  expect_failures = [var.create_cluster, var.create_permissions_boundary]
}

run "no_cluster_and_no_boundary" {
  command = plan
  variables {
    create_cluster              = false
    create_permissions_boundary = false
  }
  expect_failures = [var.create_cluster, var.create_permissions_boundary]
}

run "a_document_for_an_existing_boundary" {
  command = plan
  variables {
    create_permissions_boundary = false
    permissions_boundary_arn    = "arn:aws:iam::111122223333:policy/x"
    permissions_boundary_policy = "{\"Statement\":[]}"
  }
  expect_failures = [var.permissions_boundary_policy]
}
