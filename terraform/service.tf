# The service: a task definition and an ECS service on Fargate. Two tasks by default: one leads, one
# stands by and takes over within `lease.ttl`.

locals {
  container    = "controller"
  cluster_arn  = var.create_cluster ? aws_ecs_cluster.this[0].arn : var.cluster_arn
  cluster_name = element(split("/", local.cluster_arn), length(split("/", local.cluster_arn)) - 1)

  container_definitions = [
    {
      name      = local.container
      image     = var.image
      essential = true
      command   = ["run"]

      user                   = "65532:65532"
      readonlyRootFilesystem = true
      privileged             = false
      linuxParameters = {
        capabilities       = { add = [], drop = ["ALL"] }
        initProcessEnabled = false
      }

      environment = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
      mountPoints = []
      volumesFrom = []
      portMappings = [
        { name = "http", containerPort = var.http_port, hostPort = var.http_port, protocol = "tcp" },
      ]

      # The image has no shell and no curl: the program asks itself.
      healthCheck = {
        command     = ["CMD", "/usr/local/bin/iam-user-controller", "health"]
        interval    = 15
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }

      # ECS kills after this; the program needs `shutdown.grace` to finish what it has in hand.
      stopTimeout = var.stop_timeout_seconds

      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.service.name
          awslogs-region        = local.region
          awslogs-stream-prefix = var.name
        }
      }
    },
  ]
}

resource "aws_cloudwatch_log_group" "service" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn

  tags = var.tags
}

resource "aws_ecs_cluster" "this" {
  count = var.create_cluster ? 1 : 0

  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }

  tags = var.tags
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(local.container_definitions)

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  tags = var.tags
}

resource "aws_ecs_service" "this" {
  name                  = var.name
  cluster               = local.cluster_arn
  task_definition       = aws_ecs_task_definition.this.arn
  desired_count         = var.desired_count
  launch_type           = "FARGATE"
  platform_version      = "LATEST"
  propagate_tags        = "SERVICE"
  wait_for_steady_state = var.wait_for_steady_state

  # New tasks stand by before old ones leave: the lease passes on and nothing waits.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = concat([aws_security_group.service.id], var.extra_security_group_ids)
    assign_public_ip = var.assign_public_ip
  }

  dynamic "service_registries" {
    for_each = aws_service_discovery_service.metrics
    content {
      registry_arn = service_registries.value.arn
    }
  }

  tags = var.tags

  # A task that starts before its permissions are there only fails and is started again.
  depends_on = [
    aws_iam_role_policy.execution,
    aws_iam_role_policy_attachment.task,
  ]
}
