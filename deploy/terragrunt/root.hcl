# What all units of an environment share: where state is kept, and the provider.

locals {
  environment = get_env("ENVIRONMENT")
  region      = get_env("AWS_REGION")
}

remote_state {
  backend = "s3"
  generate = {
    path      = "backend.tf"
    if_exists = "overwrite_terragrunt"
  }
  config = {
    bucket       = get_env("STATE_BUCKET")
    key          = "${local.environment}/${path_relative_to_include()}/terraform.tfstate"
    region       = get_env("STATE_REGION", local.region)
    encrypt      = true
    use_lockfile = true
  }
}

generate "provider" {
  path      = "provider.tf"
  if_exists = "overwrite_terragrunt"
  contents  = <<-EOF
    provider "aws" {
      region = "${local.region}"
    }
  EOF
}
