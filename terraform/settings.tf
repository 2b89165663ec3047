# The program's configuration, as the environment variables IUC_<SECTION>__<KEY>. A setting that is
# null is left out, so that the program's own default holds; lists are TOML arrays, which for plain
# strings JSON arrays are.

locals {
  # Settings that the infrastructure depends on, so that the two cannot disagree.
  tied_settings = {
    IUC_TABLE__NAME                 = var.users_table_name
    IUC_STATE__TABLE                = local.state_table_name
    IUC_USERS__PATH                 = var.users_path
    IUC_USERS__PERMISSIONS_BOUNDARY = local.permissions_boundary_arn
    IUC_USERS__ADOPT                = var.adopt
    IUC_PARAMETERS__NAME            = var.parameter_name
    IUC_PARAMETERS__KMS_KEY_ID      = local.parameter_kms_key_arn
    IUC_ORPHANS__SCOPE              = var.orphans_scope
    IUC_ORPHANS__PROTECT            = length(var.protected_users) == 0 ? null : jsonencode(var.protected_users)
    IUC_HTTP__LISTEN                = "0.0.0.0:${var.http_port}"
    IUC_SHUTDOWN__GRACE             = "${var.shutdown_grace_seconds}s"
    IUC_LOG__FORMAT                 = "json"
    IUC_DRY_RUN                     = tostring(var.dry_run)
  }

  free_settings = merge([
    for section, settings in var.settings : {
      for key, value in settings : upper("IUC_${section}__${key}") =>
      value == null ? null : try(tostring(value), jsonencode(value))
    }
  ]...)

  environment = {
    for name, value in merge(local.free_settings, local.tied_settings, {
      AWS_REGION = local.region
    }) : name => value if value != null
  }
}
