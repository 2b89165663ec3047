# The permissions boundary: the most that a created user can ever do, whatever policy anybody
# attaches to it. A boundary grants nothing by itself.
#
# The default is what users of the function have needed: to send mail through SES, and to read their
# own key document to follow a rotation. `$${aws:username}` is IAM's, filled in when a user calls.
# A name with one of `+ = , @` is stored under an escaped name, which no policy variable can spell:
# such a user cannot read its parameter with its own key, and never another user's either.

locals {
  own_parameter_arn = "${local.parameter_root}${replace(var.parameter_name, "{UserName}", "$${aws:username}")}"

  boundary_statements = concat(
    [
      {
        Sid      = "SendMail"
        Effect   = "Allow"
        Action   = ["ses:SendEmail", "ses:SendRawEmail"]
        Resource = ["arn:${local.partition}:ses:*:${local.account}:*"]
      },
      {
        Sid      = "ReadOwnKeys"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter", "ssm:GetParameters"]
        Resource = [local.own_parameter_arn]
      },
    ],
    [
      for arn in local.uses_kms_key ? [local.parameter_kms_key_arn] : [] : {
        Sid      = "DecryptOwnKeys"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = [arn]
        Condition = {
          StringEquals = {
            "kms:ViaService"                      = local.ssm_endpoints
            "kms:EncryptionContext:PARAMETER_ARN" = local.own_parameter_arn
          }
        }
      }
    ],
  )

  boundary_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.boundary_statements
  })
}

resource "aws_iam_policy" "boundary" {
  count = var.create_permissions_boundary ? 1 : 0

  name        = "${var.name}-boundary"
  path        = var.policies_path
  description = "Permissions boundary of every user that ${var.name} creates"
  policy      = coalesce(var.permissions_boundary_policy, local.boundary_policy)

  tags = var.tags
}
