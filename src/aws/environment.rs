//! What the SDK takes from outside: endpoints and Region that it can use, and empty variables for unset.
//!
//! To the SDK an empty variable is a value: an empty `AWS_ENDPOINT_URL` makes each call panic, an empty
//! `AWS_REGION` hides the profile's. Deployment tools write empty variables where nothing was meant.

use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{ConfigLoader, Region, SdkConfig};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use http::Uri;

use super::ConnectError;

/// The services as the SDK's configuration names them, and the variable that sets the endpoint of each.
const SERVICES: [(&str, &str); 5] = [
    ("IAM", "AWS_ENDPOINT_URL_IAM"),
    ("STS", "AWS_ENDPOINT_URL_STS"),
    ("SSM", "AWS_ENDPOINT_URL_SSM"),
    ("DynamoDB", "AWS_ENDPOINT_URL_DYNAMODB"),
    ("DynamoDB Streams", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"),
];

/// The SDK's configuration of this process.
pub(super) async fn load(mut loader: ConfigLoader) -> Result<SdkConfig, ConnectError> {
    let mut in_profile = ProfileFileRegionProvider::builder();
    if is_empty("AWS_PROFILE") {
        loader = loader.profile_name("default");
        in_profile = in_profile.profile_name("default");
    }
    if is_empty("AWS_REGION") || is_empty("AWS_DEFAULT_REGION") {
        let set = |name: &&str| !is_empty(name) && std::env::var_os(name).is_some();
        let variable = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(set);
        let region = variable.and_then(|name| std::env::var(name).ok()).map(Region::new);
        loader = loader.region(RegionProviderChain::first_try(region).or_else(in_profile.build()));
    }
    let config = loader.load().await;
    let config = config.to_builder().service_config(NotEmpty(config)).build();
    check_region(&config)?;
    check_endpoints(&config)?;
    Ok(config)
}

fn is_empty(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value.trim().is_empty())
}

/// The configuration of single services, without empty values.
#[derive(Debug)]
struct NotEmpty(SdkConfig);

impl LoadServiceConfig for NotEmpty {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let for_all = key.env();
        let value = self.0.service_config()?.load_config(key)?;
        let is_set = |value: &String| !value.trim().is_empty();
        // An empty variable of one service hides the one of all.
        Some(value).filter(is_set).or_else(|| std::env::var(for_all).ok().filter(is_set))
    }
}

/// The Region, when it can be part of a host's name.
fn check_region(config: &SdkConfig) -> Result<(), ConnectError> {
    let in_a_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match config.region().map(Region::as_ref) {
        None | Some("") => Err(ConnectError::NoRegion),
        Some(region) if region.chars().all(in_a_name) => Ok(()),
        Some(region) => Err(ConnectError::Region(region.to_owned())),
    }
}

/// The endpoints that are set have to be URLs: the SDK panics on one that names no host.
fn check_endpoints(config: &SdkConfig) -> Result<(), ConnectError> {
    for (service, variable) in SERVICES {
        let key =
            ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        let own = key.build().ok().and_then(|key| config.service_config()?.load_config(key));
        let Some(url) = own.or_else(|| config.endpoint_url().map(str::to_owned)) else { continue };
        if !is_url(&url) {
            return Err(ConnectError::Endpoint { service, variable, url });
        }
    }
    Ok(())
}

fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_names_scheme_and_host() {
        for url in ["http://localhost:4566", "https://iam.example.com", "https://h/path", "http://[::1]:80"] {
            assert!(is_url(url), "{url}");
        }
        for text in
            ["", " ", "localhost:4566", "iam.example.com", "/path", "ftp://h", "http://", "http://a b"]
        {
            assert!(!is_url(text), "{text}");
        }
    }
}
