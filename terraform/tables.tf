# The users table, which people and pipelines write, and the state table, which only the controller
# writes. Backups are for the first: losing it would look like a wish to delete every user.

resource "aws_dynamodb_table" "users" {
  count = var.create_users_table ? 1 : 0

  name                        = var.users_table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "UserName"
  deletion_protection_enabled = var.deletion_protection
  stream_enabled              = true
  stream_view_type            = var.users_table_stream_view_type

  attribute {
    name = "UserName"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  # Without a key of one's own: the AWS-managed key, whose use CloudTrail records.
  server_side_encryption {
    enabled     = true
    kms_key_arn = var.tables_kms_key_arn
  }

  tags = var.tags
}

# A table that another configuration manages.
data "aws_dynamodb_table" "users" {
  count = var.create_users_table ? 0 : 1

  name = var.users_table_name

  lifecycle {
    postcondition {
      condition     = self.hash_key == "UserName" && self.range_key == "" || self.hash_key == "UserName" && self.range_key == null
      error_message = "The users table must have the hash key UserName and no range key."
    }
    postcondition {
      condition     = self.stream_enabled
      error_message = "The users table must have its stream enabled."
    }
  }
}

locals {
  users_table_arn        = var.create_users_table ? aws_dynamodb_table.users[0].arn : data.aws_dynamodb_table.users[0].arn
  users_table_stream_arn = var.create_users_table ? aws_dynamodb_table.users[0].stream_arn : data.aws_dynamodb_table.users[0].stream_arn
}

resource "aws_dynamodb_table" "state" {
  name                        = local.state_table_name
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "Id"
  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "Id"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.tables_kms_key_arn
  }

  tags = var.tags
}
