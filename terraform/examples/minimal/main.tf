# The least that a service needs: where to run, what to run, which table to keep.

module "iam_user_controller" {
  source = "../.."

  users_table_name = "iam-users"
  image            = var.image

  vpc_id     = var.vpc_id
  subnet_ids = var.subnet_ids
}
