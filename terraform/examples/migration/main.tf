# From the function to the controller, without a new table, a new key, or a new parameter.
#
# 1. Remove the table from the function's configuration without deleting it: a `removed` block with
#    `lifecycle { destroy = false }`, or `terraform state rm`. Delete its schedule and its event source
#    mapping; it must not run beside the controller.
# 2. Apply this. The table is imported: its items and its stream stay. `dry_run` keeps the controller
#    from changing anything, and the task role is denied it besides.
# 3. Read `iam-user-controller plan`: users of the function are adopted by their tags; nothing is due
#    for deletion, and no key is rotated early.
# 4. Set `dry_run = false` and apply again.

import {
  to = module.iam_user_controller.aws_dynamodb_table.users[0]
  id = var.function_table_name
}

module "iam_user_controller" {
  source = "../.."

  users_table_name             = var.function_table_name
  users_table_stream_view_type = "NEW_AND_OLD_IMAGES" # as the function had it: another one would replace the stream
  deletion_protection          = var.deletion_protection

  # The function's users are at the root path and look like its own: `tagged` takes over no other.
  users_path      = "/"
  adopt           = "tagged"
  protected_users = ["admin-*"]

  create_permissions_boundary = false
  permissions_boundary_arn    = var.function_boundary_arn
  create_kms_key              = false # the function used the account's default key; its consumers can read that

  dry_run = var.dry_run

  image      = var.image
  vpc_id     = var.vpc_id
  subnet_ids = var.subnet_ids
}
