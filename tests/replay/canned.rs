//! An HTTP client that answers from a script and remembers what it was asked.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use iam_user_controller::aws::{AwsPorts, AwsSettings};
use iam_user_controller::core::user::UserName;
use prometheus::Registry;

/// The key that requests are signed with.
pub(crate) const OWN_KEY: &str = "AKIACONTROLLEREXAMPLE";

/// What AWS does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, headers, body.
    Http(u16, Vec<(&'static str, String)>, String),
    /// The connection breaks.
    Broken,
    /// Nothing comes, ever.
    Silence,
}

pub(crate) const REQUEST_ID: &str = "7a62c49f-347e-4fc4-9331-6e8eEXAMPLE";

/// An answer of IAM or STS.
pub(crate) fn xml(status: u16, body: &str) -> Answer {
    let headers = vec![("content-type", "text/xml".to_owned()), ("x-amzn-requestid", REQUEST_ID.to_owned())];
    Answer::Http(status, headers, body.to_owned())
}

/// A refusal by IAM or STS.
pub(crate) fn xml_error(status: u16, code: &str, message: &str) -> Answer {
    xml(
        status,
        &format!(
            r#"<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"#
        ),
    )
}

/// The result of an action of IAM or STS.
pub(crate) fn xml_result(action: &str, result: &str) -> Answer {
    xml(
        200,
        &format!(
            r#"<{action}Response xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata></{action}Response>"#
        ),
    )
}

/// An answer of SSM, DynamoDB or DynamoDB Streams.
pub(crate) fn json(status: u16, body: &serde_json::Value) -> Answer {
    let headers = vec![
        ("content-type", "application/x-amz-json-1.0".to_owned()),
        ("x-amzn-requestid", REQUEST_ID.to_owned()),
    ];
    Answer::Http(status, headers, body.to_string())
}

/// A refusal by one of them, as DynamoDB dresses it.
pub(crate) fn json_error(status: u16, code: &str, message: &str) -> Answer {
    json(
        status,
        &serde_json::json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message}),
    )
}

/// A request as it went out.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) authorization: String,
    pub(crate) body: String,
}

impl Seen {
    /// The body of a JSON protocol.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// IAM's and STS's `Action`, or the operation in `X-Amz-Target`.
    pub(crate) fn action(&self) -> &str {
        let of_query = || self.body.strip_prefix("Action=").and_then(|rest| rest.split('&').next());
        self.target.split('.').nth(1).or_else(of_query).unwrap_or_default()
    }

    /// Whether a parameter of the query protocol is there; `value` is percent-encoded.
    pub(crate) fn has(&self, parameter: &str, value: &str) -> bool {
        self.body.split('&').any(|pair| pair == format!("{parameter}={value}"))
    }
}

type Script = dyn Fn(&Seen, usize) -> Answer + Send + Sync;

#[derive(Clone)]
pub(crate) struct Canned {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl std::fmt::Debug for Canned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canned")
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name| request.headers().get(name).unwrap_or_default().to_owned();
        let seen = Seen {
            target: header("x-amz-target"),
            authorization: header("authorization"),
            body: String::from_utf8(request.body().bytes().unwrap_or_default().to_vec()).unwrap(),
        };
        let mut all = self.seen.lock().unwrap();
        let answer = (self.script)(&seen, all.len());
        all.push(seen);
        HttpConnectorFuture::new(async move {
            match answer {
                Answer::Http(status, headers, body) => {
                    let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
                    for (name, value) in headers {
                        response.headers_mut().insert(name, value);
                    }
                    Ok(response)
                }
                Answer::Broken => Err(ConnectorError::io("connection reset by peer".into())),
                Answer::Silence => std::future::pending().await,
            }
        })
    }
}

impl HttpClient for Canned {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The ports on a scripted AWS.
pub(crate) struct Aws {
    pub(crate) ports: AwsPorts,
    pub(crate) registry: Registry,
    canned: Canned,
}

impl Aws {
    /// Every request is answered by `script`, which is told how many came before.
    pub(crate) async fn scripted(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::at(None, script).await
    }

    /// The same with an `AWS_ENDPOINT_URL`.
    pub(crate) async fn at(
        endpoint: Option<&str>,
        script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let canned = Canned { script: Arc::new(script), seen: Arc::default() };
        let own = Credentials::new(OWN_KEY, "own-secret", Some("own-token".to_owned()), None, "test");
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(own))
            .http_client(canned.clone());
        config.set_endpoint_url(endpoint.map(str::to_owned));
        let settings = AwsSettings {
            users_table: "users".to_owned(),
            state_table: "users-controller".to_owned(),
            kms_key_id: Some("alias/users".to_owned()),
            sweep_schedule: "0 0 * * * *".to_owned(),
        };
        let registry = Registry::new();
        let ports = AwsPorts::with_config(&config.build(), &settings, &registry).await.unwrap();
        Self { ports, registry, canned }
    }

    /// The answers, in order; the last one is given for ever.
    pub(crate) async fn answers(answers: &[Answer]) -> Self {
        let answers = answers.to_vec();
        Self::scripted(move |_, before| answers[before.min(answers.len() - 1)].clone()).await
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.canned.seen.lock().unwrap().clone()
    }

    /// The only request.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}
