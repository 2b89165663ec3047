# Who may talk to the service: only those who scrape it. What it may talk to: HTTPS, for AWS's APIs.

resource "aws_security_group" "service" {
  name        = var.name
  description = "${var.name}: metrics in, AWS APIs out"
  vpc_id      = var.vpc_id

  tags = merge(var.tags, { Name = var.name })
}

resource "aws_vpc_security_group_ingress_rule" "metrics_from_group" {
  for_each = var.metrics_source_security_group_ids

  security_group_id            = aws_security_group.service.id
  description                  = "Metrics for ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = var.http_port
  to_port                      = var.http_port
  referenced_security_group_id = each.value

  tags = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "metrics_from_network" {
  for_each = toset(var.metrics_source_cidr_blocks)

  security_group_id = aws_security_group.service.id
  description       = "Metrics for ${each.value}"
  ip_protocol       = "tcp"
  from_port         = var.http_port
  to_port           = var.http_port
  cidr_ipv4         = each.value

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "aws_apis" {
  for_each = toset(var.egress_cidr_blocks)

  security_group_id = aws_security_group.service.id
  description       = "AWS APIs"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value

  tags = var.tags
}

# A DNS name with the address of every running task, for Prometheus to find them by.
resource "aws_service_discovery_service" "metrics" {
  count = var.service_discovery == null ? 0 : 1

  name        = var.name
  description = "Tasks of ${var.name}, metrics on port ${var.http_port}"

  dns_config {
    namespace_id   = var.service_discovery.namespace_id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  tags = var.tags
}
