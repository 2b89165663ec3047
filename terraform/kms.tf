# A key for the parameters, so that who may read key documents can be said in one place more than IAM.

locals {
  kms_key_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        # Without this, nobody could ever change the key again. IAM policies decide from here on.
        Sid       = "AccountAdministers"
        Effect    = "Allow"
        Principal = { AWS = "${local.iam_arn}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
    ]
  }
}

resource "aws_kms_key" "parameters" {
  count = var.create_kms_key ? 1 : 0

  description             = "Encrypts the access keys that ${var.name} stores in Parameter Store"
  enable_key_rotation     = true
  deletion_window_in_days = var.kms_deletion_window_days
  policy                  = jsonencode(local.kms_key_policy)

  tags = var.tags
}

resource "aws_kms_alias" "parameters" {
  count = var.create_kms_key ? 1 : 0

  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.parameters[0].key_id
}
