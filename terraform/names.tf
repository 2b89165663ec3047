# Names and ARNs that several files need. No `arn:aws:` anywhere: the partition is asked for.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  dns_suffix = data.aws_partition.current.dns_suffix
  region     = data.aws_region.current.name
  account    = data.aws_caller_identity.current.account_id

  state_table_name = coalesce(var.state_table_name, "${var.users_table_name}-controller")

  # The tags that make a user the controller's own. The program writes them and demands them.
  ownership_tags = {
    "managed-by"                = "iam-user-controller"
    "iam-user-controller:table" = var.users_table_name
  }

  # In a policy `*` stands for `/` too: these are the users at any depth below the paths.
  iam_arn     = "arn:${local.partition}:iam::${local.account}"
  users_paths = distinct(concat([var.users_path], var.adopt == "never" ? [] : var.adopted_users_paths))
  user_arns   = [for path in local.users_paths : "${local.iam_arn}:user${path}*"]

  protected_user_arns = flatten([
    for name in var.protected_users : ["${local.iam_arn}:user/${name}", "${local.iam_arn}:user/*/${name}"]
  ])

  # `/a/x-{UserName}-y` is stored at `/a/x-*-y`, and at `/a/encoded/x-*-y` for names that Parameter
  # Store cannot spell.
  parameter_root  = "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter"
  parameter_parts = regex("^(?P<folder>/.*/)(?P<before>[^/]*)\\{UserName\\}(?P<after>.*)$", var.parameter_name)
  parameter_arns = distinct([
    "${local.parameter_root}${local.parameter_parts.folder}${local.parameter_parts.before}*${local.parameter_parts.after}",
    "${local.parameter_root}${local.parameter_parts.folder}encoded/${local.parameter_parts.before}*${local.parameter_parts.after}",
  ])

  # China's endpoints end in another domain than the rest of the world's.
  ssm_endpoints      = distinct(["ssm.${local.region}.amazonaws.com", "ssm.${local.region}.${local.dns_suffix}"])
  dynamodb_endpoints = distinct(["dynamodb.${local.region}.amazonaws.com", "dynamodb.${local.region}.${local.dns_suffix}"])

  parameter_kms_key_arn = var.create_kms_key ? aws_kms_key.parameters[0].arn : var.kms_key_arn

  permissions_boundary_arn = (
    var.create_permissions_boundary ? aws_iam_policy.boundary[0].arn : var.permissions_boundary_arn
  )
}
