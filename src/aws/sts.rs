//! Who a key belongs to: the port [`Identity`] on STS.

use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::{Builder, Credentials, IdentityCache};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::errors::{code, failed, unexpected};
use super::intercept::Watch;
use super::limits;
use super::whole::WholeAnswers;
use crate::core::secret::Secret;
use crate::core::user::AccessKeyId;
use crate::ports::{CallError, Caller, Identity, Proof};

/// Codes with which AWS refuses a key that it does not know yet, or knows only in part.
const NOT_YET: &[&str] = &[
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "AuthFailure",
];

/// Codes with which AWS refuses a caller that it knows: a key is authenticated before anything is
/// authorised. Policies cannot deny GetCallerIdentity, but those of a VPC endpoint can.
const KNOWN: &[&str] = &["AccessDenied", "AccessDeniedException"];

/// STS.
#[derive(Clone, Debug)]
pub struct Sts {
    own: Client,
    /// For the clients that sign with a new key: the same endpoint and region, and a connection for each call.
    proving: Builder,
}

impl Sts {
    /// `unpooled` makes a new connection for each call; `None`: that of `config` is used.
    pub(super) fn new(config: &SdkConfig, watch: &Watch, unpooled: Option<SharedHttpClient>) -> Self {
        let builder = |(retry, timeouts)| {
            let config = Builder::from(config).retry_config(retry).timeout_config(timeouts);
            config.interceptor(watch.clone()).interceptor(WholeAnswers)
        };
        let mut proving = builder(limits::once(limits::LONGEST_PROOF));
        if unpooled.is_some() {
            proving.set_http_client(unpooled);
        }
        Self { own: Client::from_conf(builder(limits::read()).build()), proving }
    }
}

impl Identity for Sts {
    async fn caller(&self) -> Result<Caller, CallError> {
        const CALL: &str = "sts:GetCallerIdentity";
        let output = self.own.get_caller_identity().send().await.map_err(|error| failed(CALL, &error))?;
        match (output.account, output.arn, output.user_id) {
            (Some(account), Some(arn), Some(user_id)) => Ok(Caller { account, arn, user_id }),
            _ => Err(unexpected(CALL, "the answer does not say who is calling")),
        }
    }

    async fn prove(&self, key: &AccessKeyId, secret: &Secret) -> Result<Proof, CallError> {
        // The SDK's cache of credentials would keep the secret for as long as the program runs.
        let config = self
            .proving
            .clone()
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(Credentials::new(key.as_str(), secret.expose(), None, None, "a new key"))
            .build();
        match Client::from_conf(config).get_caller_identity().send().await {
            Ok(_) => Ok(Proof::Accepted),
            Err(error) if code(&error).is_some_and(|code| KNOWN.contains(&code)) => Ok(Proof::Accepted),
            Err(error) => match code(&error).filter(|code| NOT_YET.contains(code)) {
                Some(code) => Ok(Proof::Refused { code: code.to_owned() }),
                None => Err(failed("sts:GetCallerIdentity", &error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_config::Region;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::clock::SystemClock;
    use super::super::{Pool, behavior, http_client};
    use super::*;

    const ANSWER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>a</Arn><UserId>u</UserId>\
                          <Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

    /// Answers every request on a connection, and never closes it.
    async fn serve(mut connection: TcpStream) {
        let mut request = Vec::new();
        let mut part = [0; 4_096];
        while let Ok(size @ 1..) = connection.read(&mut part).await {
            request.extend_from_slice(&part[..size]);
            let text = String::from_utf8_lossy(&request).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split_once("content-length: ").map(|(_, rest)| rest.lines().next().unwrap());
            if body.len() >= length.unwrap_or("0").parse::<usize>().unwrap() {
                request.clear();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    /// How many connections eight proofs make, three of them at once.
    async fn connections(unpooled: Option<SharedHttpClient>) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(connection));
            }
        });
        let config = SdkConfig::builder()
            .behavior_version(behavior())
            .region(Region::new("eu-central-1"))
            .endpoint_url(endpoint)
            .http_client(http_client(Pool::Shared))
            .build();
        let watch = Watch::new(SystemClock::start(), &prometheus::Registry::new()).unwrap();
        let sts = Sts::new(&config, &watch, unpooled);
        let (key, secret) = (AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap(), Secret::new("s"));
        for _ in 0..5 {
            assert_eq!(sts.prove(&key, &secret).await, Ok(Proof::Accepted));
        }
        let at_once =
            tokio::join!(sts.prove(&key, &secret), sts.prove(&key, &secret), sts.prove(&key, &secret));
        assert_eq!(at_once, (Ok(Proof::Accepted), Ok(Proof::Accepted), Ok(Proof::Accepted)));
        count.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn each_proof_has_a_connection_of_its_own() {
        assert_eq!(connections(Some(http_client(Pool::None))).await, 8);
        // What the other calls do: a connection is used again.
        assert!(connections(None).await < 8);
    }
}
