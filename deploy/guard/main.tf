# Who may write the tags by which a controller knows its users. One document, which is a service
# control policy for an organization and an ordinary policy for a single account: it only denies.

locals {
  # Every tag of src/core/tags.rs. A test compares the two.
  own_tags = [
    "iam-user-controller:attached",
    "iam-user-controller:minting",
    "iam-user-controller:seal",
    "iam-user-controller:table",
    "iam-user-controller:table-arn",
  ]

  # For a role, aws:PrincipalArn is the role's own ARN with its path, whatever the session is called.
  others = {
    ArnNotLike = { "aws:PrincipalArn" = concat(var.controller_role_arns, var.function_role_arns, var.operator_arns) }
  }

  # An access key id: AKIA and at least 12 characters more, in every mixture of capitals. There is no
  # operator that knows wildcards and ignores case.
  key_ids = [for letters in setproduct(["A", "a"], ["K", "k"], ["I", "i"], ["A", "a"]) : "${join("", letters)}????????????*"]

  statements = concat(
    [
      {
        # Today's tags and those to come.
        Sid      = "OwnTagsOfTheController"
        Effect   = "Deny"
        Action   = ["iam:CreateUser", "iam:TagUser", "iam:UntagUser"]
        Resource = "*"
        Condition = merge(local.others, {
          "ForAnyValue:StringLike" = { "aws:TagKeys" = ["iam-user-controller:*"] }
        })
      },
      {
        # IAM compares a user's tag keys without regard to case, and so does the controller. The values
        # of aws:TagKeys are compared with regard to case, unless the operator says otherwise.
        Sid      = "OwnTagsInCapitals"
        Effect   = "Deny"
        Action   = ["iam:CreateUser", "iam:TagUser", "iam:UntagUser"]
        Resource = "*"
        Condition = merge(local.others, {
          "ForAnyValue:StringEqualsIgnoreCase" = { "aws:TagKeys" = local.own_tags }
        })
      },
      {
        # Other tools may go on to write `managed-by` with values of their own. The name of a condition
        # key is compared without regard to case: `Managed-By` is meant too.
        Sid       = "ClaimUsers"
        Effect    = "Deny"
        Action    = ["iam:CreateUser", "iam:TagUser"]
        Resource  = "*"
        Condition = merge(local.others, { StringEquals = { "aws:RequestTag/managed-by" = "iam-user-controller" } })
      },
      {
        # To take the tag off, or to write over it, is to take the user away from the controller.
        Sid      = "DisownUsers"
        Effect   = "Deny"
        Action   = ["iam:TagUser", "iam:UntagUser"]
        Resource = "*"
        Condition = merge(local.others, {
          StringEquals                         = { "aws:ResourceTag/managed-by" = "iam-user-controller" }
          "ForAnyValue:StringEqualsIgnoreCase" = { "aws:TagKeys" = ["managed-by"] }
        })
      },
    ],
    [
      for patterns in var.guard_key_tags ? [local.key_ids] : [] : {
        Sid       = "TagsOfKeys"
        Effect    = "Deny"
        Action    = ["iam:CreateUser", "iam:TagUser", "iam:UntagUser"]
        Resource  = "*"
        Condition = merge(local.others, { "ForAnyValue:StringLike" = { "aws:TagKeys" = patterns } })
      }
    ],
    [
      # Who reads this table knows the key of the seals; who writes it lifts the deletion brake.
      for arns in length(var.state_table_arns) == 0 ? [] : [var.state_table_arns] : {
        Sid    = "StateOfTheController"
        Effect = "Deny"
        Action = [
          "dynamodb:*Item",
          "dynamodb:ExportTableToPointInTime",
          "dynamodb:PartiQL*",
          "dynamodb:Query",
          "dynamodb:RestoreTable*",
          "dynamodb:Scan",
        ]
        Resource  = arns
        Condition = local.others
      }
    ],
  )

  document = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_iam_policy" "guard" {
  count = var.create_policy ? 1 : 0

  name        = var.name
  description = "Only iam-user-controller may write the tags by which it knows its users"
  policy      = local.document

  tags = var.tags

  lifecycle {
    precondition {
      condition     = length(local.document) <= 6144
      error_message = "The policy has ${length(local.document)} characters; IAM takes 6,144. Name fewer roles, or patterns of operators."
    }
  }
}

resource "aws_organizations_policy" "guard" {
  count = length(var.organization_targets) > 0 ? 1 : 0

  name        = var.name
  description = "Only iam-user-controller may write the tags by which it knows its users"
  type        = "SERVICE_CONTROL_POLICY"
  content     = local.document

  tags = var.tags

  lifecycle {
    precondition {
      condition     = length(local.document) <= 5120
      error_message = "The policy has ${length(local.document)} characters; a service control policy may have 5,120. Name fewer roles, or patterns of operators."
    }
  }
}

resource "aws_organizations_policy_attachment" "guard" {
  for_each = toset(var.organization_targets)

  policy_id = aws_organizations_policy.guard[0].id
  target_id = each.value
}
