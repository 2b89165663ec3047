# What the running controller may do: each action of the program's own list (actions.json), as
# narrowly as AWS can express it, and then explicit refusals of what it must never do, which hold
# even when somebody attaches a wider policy to the role.

locals {
  actions      = jsondecode(file("${path.module}/actions.json"))
  uses_kms_key = var.create_kms_key || var.kms_key_arn != null

  owned = { for key, value in local.ownership_tags : "aws:ResourceTag/${key}" => value }

  # Tag keys that the program writes: its own two, the mark of a mint under way, and one for each
  # access key, named by its id (four letters, sixteen characters).
  tag_keys           = concat(keys(local.ownership_tags), local.volatile_tag_keys)
  volatile_tag_keys  = ["iam-user-controller:minting", "?KIA????????????????"]
  teardown_condition = var.orphans_scope == "account" ? {} : { StringEquals = local.owned }

  observe_statements = [
    {
      Sid      = "SeeTheAccount"
      Effect   = "Allow"
      Action   = concat(local.actions.observe_account, local.actions.identity)
      Resource = "*"
    },
    {
      # Every user, not just the own: a name in the table may belong to somebody else, who must then
      # be recognised and left alone.
      Sid      = "SeeUsers"
      Effect   = "Allow"
      Action   = local.actions.observe_user
      Resource = "${local.iam_arn}:user/*"
    },
  ]

  user_statements = [
    {
      Sid      = "CreateUserWithBoundary"
      Effect   = "Allow"
      Action   = local.actions.create_user
      Resource = "${local.iam_arn}:user${var.users_path}*"
      Condition = {
        StringEquals = merge(
          { "iam:PermissionsBoundary" = local.permissions_boundary_arn },
          { for key, value in local.ownership_tags : "aws:RequestTag/${key}" => value },
        )
        "ForAllValues:StringLike" = { "aws:TagKeys" = local.tag_keys }
      }
    },
    {
      # CreateUser with tags asks for TagUser as well, and adoption is TagUser on a user that is
      # there. IAM cannot tell the two apart, so this reaches each unowned user below the paths: the
      # reason to give created users a path of their own, and to list administrators in
      # `protected_users`. A user that another controller owns is out of reach.
      Sid      = "TakeUserOver"
      Effect   = "Allow"
      Action   = local.actions.tag_user
      Resource = local.user_arns
      Condition = {
        StringEquals              = { for key, value in local.ownership_tags : "aws:RequestTag/${key}" => value }
        "ForAllValues:StringLike" = { "aws:TagKeys" = local.tag_keys }
        Null                      = { for key in keys(local.owned) : key => "true" }
      }
    },
    {
      Sid      = "TagOwnedUser"
      Effect   = "Allow"
      Action   = local.actions.tag_user
      Resource = local.user_arns
      Condition = {
        StringEquals              = local.owned
        "ForAllValues:StringLike" = { "aws:TagKeys" = local.tag_keys }
        Null                      = { "aws:TagKeys" = "false" }
      }
    },
    {
      Sid      = "UntagOwnedUser"
      Effect   = "Allow"
      Action   = local.actions.untag_user
      Resource = local.user_arns
      Condition = {
        StringEquals              = local.owned
        "ForAllValues:StringLike" = { "aws:TagKeys" = local.volatile_tag_keys }
        Null                      = { "aws:TagKeys" = "false" }
      }
    },
    {
      Sid      = "RestoreBoundary"
      Effect   = "Allow"
      Action   = local.actions.put_boundary
      Resource = local.user_arns
      Condition = {
        StringEquals = merge(local.owned, { "iam:PermissionsBoundary" = local.permissions_boundary_arn })
      }
    },
    {
      Sid       = "MintKeyOfOwnedUser"
      Effect    = "Allow"
      Action    = local.actions.mint_key
      Resource  = local.user_arns
      Condition = { StringEquals = local.owned }
    },
    merge(
      {
        Sid      = "TakeUserDown"
        Effect   = "Allow"
        Action   = local.actions.teardown_user
        Resource = local.user_arns
      },
      length(local.teardown_condition) == 0 ? {} : { Condition = local.teardown_condition },
    ),
    {
      # The device, not the user, is what AWS checks here; it refuses a device that is still in use.
      Sid      = "DeleteVirtualMfaDevice"
      Effect   = "Allow"
      Action   = local.actions.teardown_mfa_device
      Resource = "${local.iam_arn}:mfa/*"
    },
    {
      # The group, not the user, is what AWS checks here.
      Sid      = "LeaveGroup"
      Effect   = "Allow"
      Action   = local.actions.teardown_membership
      Resource = [for name in var.removable_groups : "${local.iam_arn}:group/${name}"]
    },
  ]

  store_statements = concat(
    [
      {
        Sid      = "StoreKeys"
        Effect   = "Allow"
        Action   = local.actions.parameter
        Resource = local.parameter_arns
      },
      {
        Sid      = "ReadUsersTable"
        Effect   = "Allow"
        Action   = local.actions.users_table
        Resource = local.users_table_arn
      },
      {
        # Any stream of the table: it gets a new name each time it is enabled.
        Sid      = "ReadUsersStream"
        Effect   = "Allow"
        Action   = local.actions.users_stream
        Resource = "${local.users_table_arn}/stream/*"
      },
      {
        Sid      = "KeepState"
        Effect   = "Allow"
        Action   = local.actions.state_table
        Resource = aws_dynamodb_table.state.arn
      },
    ],
    [
      for arn in local.uses_kms_key ? [local.parameter_kms_key_arn] : [] : {
        Sid      = "EncryptKeysThroughParameterStore"
        Effect   = "Allow"
        Action   = local.actions.parameter_key
        Resource = arn
        Condition = {
          StringEquals = { "kms:ViaService" = local.ssm_endpoints }
          StringLike   = { "kms:EncryptionContext:PARAMETER_ARN" = local.parameter_arns }
        }
      }
    ],
    [
      # DynamoDB decrypts the table's key in the name of the one who reads or writes.
      for arn in var.tables_kms_key_arn == null ? [] : [var.tables_kms_key_arn] : {
        Sid      = "OpenTablesThroughDynamodb"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = arn
        Condition = {
          StringEquals = {
            "kms:ViaService"                                  = local.dynamodb_endpoints
            "kms:EncryptionContext:aws:dynamodb:tableName"    = [var.users_table_name, local.state_table_name]
            "kms:EncryptionContext:aws:dynamodb:subscriberId" = local.account
          }
        }
      }
    ],
  )

  changes_of_users = concat(
    local.actions.create_user, local.actions.tag_user, local.actions.untag_user, local.actions.put_boundary,
    local.actions.mint_key, local.actions.teardown_user,
  )

  refusals = concat(
    [
      {
        Sid    = "NeverLiftABoundary"
        Effect = "Deny"
        Action = [
          "iam:DeleteRolePermissionsBoundary",
          "iam:DeleteUserPermissionsBoundary",
          "iam:PutRolePermissionsBoundary",
        ]
        Resource = "*"
      },
      {
        # Also true of a request that names no boundary at all.
        Sid      = "NeverAnotherBoundary"
        Effect   = "Deny"
        Action   = concat(local.actions.create_user, local.actions.put_boundary)
        Resource = "*"
        Condition = {
          StringNotEquals = { "iam:PermissionsBoundary" = local.permissions_boundary_arn }
        }
      },
      {
        Sid      = "NeverTouchTheBoundaryPolicy"
        Effect   = "Deny"
        Action   = ["iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:SetDefaultPolicyVersion"]
        Resource = local.permissions_boundary_arn
      },
      {
        Sid    = "NeverGrantAnything"
        Effect = "Deny"
        Action = [
          "iam:AddUserToGroup",
          "iam:Attach*Policy",
          "iam:CreateLoginProfile",
          "iam:CreatePolicy*",
          "iam:CreateRole",
          "iam:CreateServiceSpecificCredential",
          "iam:PassRole",
          "iam:Put*Policy",
          "iam:UpdateAssumeRolePolicy",
          "iam:UpdateGroup",
          "iam:UpdateLoginProfile",
          "iam:UpdateUser",
          "iam:UploadSSHPublicKey",
          "iam:UploadSigningCertificate",
          "sts:AssumeRole",
        ]
        Resource = "*"
      },
      {
        Sid      = "NeverWriteTheUsersTable"
        Effect   = "Deny"
        Action   = ["dynamodb:*Write*", "dynamodb:Delete*", "dynamodb:PartiQL*", "dynamodb:Put*", "dynamodb:Update*"]
        Resource = local.users_table_arn
      },
    ],
    # One statement for each tag, because conditions in one statement must all hold for it to apply.
    [
      for index, key in sort(keys(local.owned)) : {
        Sid    = "NeverUsersOfOthers${index}"
        Effect = "Deny"
        Action = concat(
          local.actions.mint_key, local.actions.put_boundary, local.actions.untag_user,
          var.orphans_scope == "account" ? [] : local.actions.teardown_user,
        )
        Resource  = "*"
        Condition = { StringNotEquals = { (key) = local.owned[key] } }
      }
    ],
    [
      for index, key in sort(keys(local.ownership_tags)) : {
        Sid      = "NeverRelabel${index}"
        Effect   = "Deny"
        Action   = local.actions.tag_user
        Resource = "*"
        Condition = {
          Null            = { "aws:RequestTag/${key}" = "false" }
          StringNotEquals = { "aws:RequestTag/${key}" = local.ownership_tags[key] }
        }
      }
    ],
    [
      {
        Sid      = "NeverDisown"
        Effect   = "Deny"
        Action   = local.actions.untag_user
        Resource = "*"
        Condition = {
          "ForAnyValue:StringEquals" = { "aws:TagKeys" = keys(local.ownership_tags) }
        }
      },
    ],
    [
      for arns in length(local.protected_user_arns) == 0 ? [] : [local.protected_user_arns] : {
        Sid      = "NeverProtectedUsers"
        Effect   = "Deny"
        Action   = local.changes_of_users
        Resource = arns
      }
    ],
    [
      for actions in var.dry_run ? [concat(
        local.changes_of_users, local.actions.teardown_mfa_device, local.actions.teardown_membership,
        ["ssm:DeleteParameter", "ssm:PutParameter"],
        )] : [] : {
        Sid      = "NothingInDryRun"
        Effect   = "Deny"
        Action   = actions
        Resource = "*"
      }
    ],
  )

  task_allow_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.observe_statements, local.user_statements, local.store_statements)
  })
  task_deny_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.refusals
  })
}

resource "aws_iam_role" "task" {
  name                 = "${var.name}-task"
  path                 = var.policies_path
  description          = "What ${var.name} may do: keep the IAM users of the table ${var.users_table_name}"
  assume_role_policy   = local.trust_policy
  permissions_boundary = var.roles_permissions_boundary_arn

  tags = var.tags
}

resource "aws_iam_role_policy" "task_allow" {
  name   = "allow"
  role   = aws_iam_role.task.id
  policy = local.task_allow_policy
}

resource "aws_iam_role_policy" "task_deny" {
  name   = "deny"
  role   = aws_iam_role.task.id
  policy = local.task_deny_policy
}
