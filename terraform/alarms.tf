# Alarms that need nothing but ECS: they tell that the service is gone also when Prometheus is gone
# with it. ECS sends one CPU sample a minute for each running task, so counting samples counts tasks.

resource "aws_cloudwatch_metric_alarm" "not_running" {
  alarm_name        = "${var.name}-not-running"
  alarm_description = "No task of ${var.name} is running: no user is created, rotated or removed. Runbook: ServiceNotRunning."

  namespace   = "AWS/ECS"
  metric_name = "CPUUtilization"
  dimensions  = { ClusterName = local.cluster_name, ServiceName = aws_ecs_service.this.name }
  statistic   = "SampleCount"

  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"

  alarm_actions = var.alarm_actions
  ok_actions    = var.alarm_actions

  tags = var.tags
}

resource "aws_cloudwatch_metric_alarm" "not_enough_running" {
  count = var.desired_count > 1 ? 1 : 0

  alarm_name        = "${var.name}-without-standby"
  alarm_description = "Fewer than ${var.desired_count} tasks of ${var.name} are running: nothing stands by for the leader. Runbook: ServiceNotRunning."

  namespace   = "AWS/ECS"
  metric_name = "CPUUtilization"
  dimensions  = { ClusterName = local.cluster_name, ServiceName = aws_ecs_service.this.name }
  statistic   = "SampleCount"

  period              = 60
  evaluation_periods  = 15
  datapoints_to_alarm = 15
  comparison_operator = "LessThanThreshold"
  threshold           = var.desired_count
  treat_missing_data  = "breaching"

  alarm_actions = var.alarm_actions
  ok_actions    = var.alarm_actions

  tags = var.tags
}
