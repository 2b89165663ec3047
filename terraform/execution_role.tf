# What ECS itself does before the program runs: fetch the image, open the log stream. Narrower than
# AWS's managed policy for it, which reaches every repository and every log group of the account.

locals {
  trust_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "ecs-tasks.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account }
          ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
        }
      },
    ]
  })

  execution_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "WriteLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.service.arn}:*"
        },
      ],
      [
        # ECR gives out its token for the whole registry only.
        for arn in var.ecr_repository_arn == null ? [] : [var.ecr_repository_arn] : {
          Sid      = "LogInToRegistry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = "*"
        }
      ],
      [
        for arn in var.ecr_repository_arn == null ? [] : [var.ecr_repository_arn] : {
          Sid      = "FetchImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = arn
        }
      ],
    )
  })
}

resource "aws_iam_role" "execution" {
  name                 = "${var.name}-execution"
  path                 = var.policies_path
  description          = "Lets ECS start ${var.name}: fetch its image, open its log"
  assume_role_policy   = local.trust_policy
  permissions_boundary = var.roles_permissions_boundary_arn

  tags = var.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = local.execution_policy
}
