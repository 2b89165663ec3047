# What the running controller may do: each action of the program's own list (actions.json), as
# narrowly as AWS can express it, and then explicit refusals of what it must never do, which hold
# even when somebody attaches a wider policy to the role.

locals {
  program_actions = jsondecode(file("${path.module}/actions.json"))
  uses_kms_key    = var.create_kms_key || var.kms_key_arn != null

  # By what they act on. Changes of users that have a rule of their own are named; all others need an
  # owned user.
  changes_with_own_rule = {
    create_user  = "iam:CreateUser"
    mint_key     = "iam:CreateAccessKey"
    put_boundary = "iam:PutUserPermissionsBoundary"
    tag_user     = "iam:TagUser"
    untag_user   = "iam:UntagUser"
  }
  actions = {
    see_account         = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "account"]
    see_user            = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "user" && !a.mutating]
    teardown_user       = setsubtract([for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "user" && a.mutating], values(local.changes_with_own_rule))
    teardown_mfa_device = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "mfa_device"]
    teardown_membership = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "group"]
    parameter           = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "parameter"]
    parameter_changes   = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "parameter" && a.mutating]
    parameter_key       = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "kms_key"]
    users_table         = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "users_table"]
    users_stream        = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "stream"]
    state_table         = [for a in local.program_actions : "${a.service}:${a.action}" if a.resource == "state_table"]
  }

  owned = { for key, value in local.ownership_tags : "aws:ResourceTag/${key}" => value }

  # Tag keys that the program writes: its own two, the mark of a mint under way, and one for each
  # access key, named by its id (four letters, sixteen characters).
  tag_keys          = concat(keys(local.ownership_tags), local.volatile_tag_keys)
  volatile_tag_keys = ["iam-user-controller:minting", "?KIA????????????????"]

  # Without adoption only users that are being created may be taken over: they have no tag yet.
  takeover_condition = {
    Null                 = var.adopt == "never" ? { for key in keys(local.owned) : key => "true" } : {}
    StringEqualsIfExists = var.adopt == "never" ? {} : { for key, value in local.owned : key => value if endswith(key, ":table") }
  }

  teardown_condition = var.orphans_scope == "account" ? {} : { StringEquals = local.owned }

  observe_statements = [
    {
      Sid      = "SeeTheAccount"
      Effect   = "Allow"
      Action   = local.actions.see_account
      Resource = "*"
    },
    {
      # Every user, not just the own: a name in the table may belong to somebody else, who must then
      # be recognised and left alone.
      Sid      = "SeeUsers"
      Effect   = "Allow"
      Action   = local.actions.see_user
      Resource = "${local.iam_arn}:user/*"
    },
  ]

  user_statements = [
    {
      Sid      = "CreateUserWithBoundary"
      Effect   = "Allow"
      Action   = local.changes_with_own_rule.create_user
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
      # `protected_users`. A user that another table's controller owns is out of reach; one with half
      # of our tags can be made whole.
      Sid      = "TakeUserOver"
      Effect   = "Allow"
      Action   = local.changes_with_own_rule.tag_user
      Resource = local.user_arns
      Condition = merge(
        {
          StringEquals              = { for key, value in local.ownership_tags : "aws:RequestTag/${key}" => value }
          "ForAllValues:StringLike" = { "aws:TagKeys" = local.tag_keys }
        },
        { for operator, keys in local.takeover_condition : operator => keys if length(keys) > 0 },
      )
    },
    {
      Sid      = "TagOwnedUser"
      Effect   = "Allow"
      Action   = local.changes_with_own_rule.tag_user
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
      Action   = local.changes_with_own_rule.untag_user
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
      Action   = local.changes_with_own_rule.put_boundary
      Resource = local.user_arns
      Condition = {
        StringEquals = merge(local.owned, { "iam:PermissionsBoundary" = local.permissions_boundary_arn })
      }
    },
    {
      Sid       = "MintKeyOfOwnedUser"
      Effect    = "Allow"
      Action    = local.changes_with_own_rule.mint_key
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

  changes_of_users = concat(values(local.changes_with_own_rule), tolist(local.actions.teardown_user))

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
        Action   = [local.changes_with_own_rule.create_user, local.changes_with_own_rule.put_boundary]
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
          [local.changes_with_own_rule.mint_key, local.changes_with_own_rule.put_boundary, local.changes_with_own_rule.untag_user],
          var.orphans_scope == "account" ? [] : tolist(local.actions.teardown_user),
        )
        Resource  = "*"
        Condition = { StringNotEquals = { (key) = local.owned[key] } }
      }
    ],
    # In the scope of the account users without labels may be taken down; those that another table's
    # controller owns may not, and half of its labels is enough.
    [
      for key in var.orphans_scope == "account" ? [for key in keys(local.owned) : key if endswith(key, ":table")] : [] : {
        Sid      = "NeverUsersOfOtherTables"
        Effect   = "Deny"
        Action   = tolist(local.actions.teardown_user)
        Resource = "*"
        Condition = {
          Null            = { (key) = "false" }
          StringNotEquals = { (key) = local.owned[key] }
        }
      }
    ],
    [
      for index, key in sort(keys(local.ownership_tags)) : {
        Sid      = "NeverRelabel${index}"
        Effect   = "Deny"
        Action   = local.changes_with_own_rule.tag_user
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
        Action   = local.changes_with_own_rule.untag_user
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
        local.actions.parameter_changes,
        )] : [] : {
        Sid      = "NothingInDryRun"
        Effect   = "Deny"
        Action   = actions
        Resource = "*"
      }
    ],
  )

  # In three policies, because a managed policy holds 6,144 characters and the names may be long.
  task_policies = {
    users = {
      description = "See users; create, key and take down those of the table ${var.users_table_name}"
      document    = jsonencode({ Version = "2012-10-17", Statement = concat(local.observe_statements, local.user_statements) })
    }
    stores = {
      description = "Read the users table, keep state, store key documents"
      document    = jsonencode({ Version = "2012-10-17", Statement = local.store_statements })
    }
    refusals = {
      description = "What the controller must never do, whatever else its role is given"
      document    = jsonencode({ Version = "2012-10-17", Statement = local.refusals })
    }
  }
}

resource "aws_iam_role" "task" {
  name                 = "${var.name}-task"
  path                 = var.policies_path
  description          = "What ${var.name} may do: keep the IAM users of the table ${var.users_table_name}"
  assume_role_policy   = local.trust_policy
  permissions_boundary = var.roles_permissions_boundary_arn

  tags = var.tags
}

resource "aws_iam_policy" "task" {
  for_each = local.task_policies

  name        = "${var.name}-${each.key}"
  path        = var.policies_path
  description = each.value.description
  policy      = each.value.document

  tags = var.tags

  lifecycle {
    precondition {
      condition     = length(each.value.document) <= 6144
      error_message = "The policy ${each.key} has ${length(each.value.document)} characters; IAM takes 6,144. Use shorter names or fewer patterns."
    }
  }
}

resource "aws_iam_role_policy_attachment" "task" {
  for_each = local.task_policies

  role       = aws_iam_role.task.name
  policy_arn = aws_iam_policy.task[each.key].arn
}
