//! From the SDK's errors to [`CallError`]: what the caller can do about it, and words for a person.
//!
//! Faults are told by AWS's error code and the HTTP status, never by text. The words hold AWS's code,
//! its message (cut short) and the request id; they never hold anything of a request or of an answer
//! that was understood, so that no secret can be in them.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::ports::{CallError, Fault, Receipt};

/// Characters of one message, at most: AWS's longest names the action, the principal and the resource.
const MAX_MESSAGE: usize = 400;

const THROTTLED: Fault = Fault::Throttled { retry_after: None };

/// Every service.
const ANY: &str = "";

/// Services, error codes, and the fault that they are. The first row that fits decides.
///
/// Codes as they stand in the answer, which differs from the SDK's type names (`LimitExceeded`, a
/// quota of IAM, is `LimitExceededException` there, as which DynamoDB throttles).
const CODES: &[(&str, &[&str], Fault)] = &[
    // Absence is told by these codes alone: a 404 of a proxy or of a wrong endpoint is no evidence.
    ("iam", &["NoSuchEntity"], Fault::NotFound),
    ("ssm", &["ParameterNotFound"], Fault::NotFound),
    ("dynamodb", &["ResourceNotFoundException", "TableNotFoundException"], Fault::NotFound),
    ("iam", &["EntityAlreadyExists"], Fault::AlreadyExists),
    ("ssm", &["ParameterAlreadyExists"], Fault::AlreadyExists),
    ("iam", &["DeleteConflict", "ConcurrentModification", "EntityTemporarilyUnmodifiable"], Fault::Conflict),
    (
        "dynamodb",
        &[
            "ConditionalCheckFailedException",
            "TransactionConflictException",
            "ReplicatedWriteConflictException",
            "ResourceInUseException",
        ],
        Fault::Conflict,
    ),
    ("iam", &["LimitExceeded"], Fault::Quota),
    ("ssm", &["ParameterLimitExceeded", "ParameterMaxVersionLimitExceeded"], Fault::Quota),
    ("ssm", &["TooManyUpdates", "KMSThrottlingException"], THROTTLED),
    // Of the control plane, and of a stream's shard with too many readers.
    ("dynamodb", &["LimitExceededException"], THROTTLED),
    (
        ANY,
        &[
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestLimitExceeded",
            "TooManyRequestsException",
            "ProvisionedThroughputExceededException",
            "BandwidthLimitExceeded",
            "PriorRequestNotComplete",
            "SlowDown",
        ],
        THROTTLED,
    ),
    (
        ANY,
        &[
            "AccessDenied",
            "AccessDeniedException",
            "UnauthorizedOperation",
            "UnauthorizedAccess",
            "NotAuthorized",
            "AuthFailure",
            "OptInRequired",
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
            "InvalidClientTokenId",
            "InvalidAccessKeyId",
            "UnrecognizedClientException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "KMSAccessDeniedException",
        ],
        Fault::Denied,
    ),
    // A missing or disabled KMS key: never to be taken for a missing parameter.
    (
        "ssm",
        &[
            "InvalidKeyId",
            "KMSNotFoundException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSInvalidKeyUsageException",
        ],
        Fault::Invalid,
    ),
    (
        ANY,
        &[
            "InternalFailure",
            "InternalServerError",
            "InternalServerException",
            "InternalError",
            "ServiceFailure",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "RequestTimeout",
            "RequestTimeoutException",
        ],
        Fault::Indeterminate,
    ),
];

/// Codes with which an endpoint says that it has no such action at all: emulators, and partitions
/// that lack a feature.
const UNKNOWN_ACTION: &[&str] =
    &["InvalidAction", "UnknownOperationException", "NotImplemented", "NotSupportedService"];

/// Codes whose messages quote the request: its signature's input with the session token, or the
/// value that was refused.
const QUOTES_THE_REQUEST: &[&str] = &[
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "SerializationException",
];

/// What a refusal by AWS means to the caller. `service` is the prefix of its actions in policies.
pub(super) fn classify(service: &str, status: u16, code: Option<&str>) -> Fault {
    let by_code = CODES.iter().find(|(of, codes, _)| {
        (*of == ANY || *of == service) && code.is_some_and(|code| codes.contains(&code))
    });
    match (by_code, status, code) {
        (Some((_, _, fault)), _, _) => *fault,
        (None, 429, _) => THROTTLED,
        (None, 500.., _) => Fault::Indeterminate,
        (None, 401 | 403, _) => Fault::Denied,
        (None, 400..=499, Some(_)) => Fault::Invalid,
        // Whatever answered, it was not AWS's API.
        (None, _, _) => Fault::Indeterminate,
    }
}

/// The error of a call named as policies name it, `service:Operation`.
pub(super) fn failed<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> CallError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(refused) => {
            let status = refused.raw().status().as_u16();
            let meta = refused.err().meta();
            let (service, _) = call.split_once(':').unwrap_or((call, ""));
            let fault = match classify(service, status, meta.code()) {
                Fault::Throttled { .. } => Fault::Throttled { retry_after: retry_after(refused.raw()) },
                other => other,
            };
            CallError {
                fault,
                call,
                detail: words(call, status, meta.code(), meta.message(), request_id(error)),
            }
        }
        // What was not understood may hold what must not be shown: none of it is quoted.
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let detail = words(call, status, None, Some("the answer could not be read"), request_id(error));
            CallError { fault: Fault::Indeterminate, call, detail }
        }
        SdkError::ConstructionFailure(_) => {
            CallError { fault: Fault::Invalid, call, detail: chain("not sent", error.source()) }
        }
        SdkError::TimeoutError(_) => {
            CallError { fault: Fault::Indeterminate, call, detail: chain("timed out", error.source()) }
        }
        SdkError::DispatchFailure(_) if has_no_credentials(error) => {
            CallError { fault: Fault::Denied, call, detail: chain("no credentials", error.source()) }
        }
        // A connection that broke, and whatever variant the SDK may add.
        _ => CallError { fault: Fault::Indeterminate, call, detail: chain("no answer", error.source()) },
    }
}

/// An answer that AWS should not have given.
pub(super) fn unexpected(call: &'static str, what: &str) -> CallError {
    CallError { fault: Fault::Indeterminate, call, detail: what.to_owned() }
}

/// Makes absence a value.
pub(super) fn absent<T>(error: CallError) -> Result<Option<T>, CallError> {
    if error.fault == Fault::NotFound { Ok(None) } else { Err(error) }
}

/// Whether the endpoint says that it has no such action.
pub(super) fn is_unknown_action<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(refused) = error else { return false };
    refused.raw().status().as_u16() == 501
        || refused.err().meta().code().is_some_and(|code| UNKNOWN_ACTION.contains(&code))
}

/// The proof of a change.
pub(super) fn receipt(output: &impl RequestId) -> Receipt {
    Receipt { request_id: output.request_id().unwrap_or_default().to_owned() }
}

fn request_id<E>(error: &SdkError<E, HttpResponse>) -> Option<&str>
where
    E: ProvideErrorMetadata,
{
    let in_body = || match error {
        SdkError::ServiceError(refused) => refused.err().meta().request_id(),
        _ => None,
    };
    error.request_id().or_else(in_body)
}

fn words(
    call: &str,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    request_id: Option<&str>,
) -> String {
    let mut words = String::new();
    let quotes = code.is_some_and(|code| quotes_the_request(call, code));
    for part in [code, message.filter(|_| !quotes)].into_iter().flatten() {
        push_bounded(&mut words, part);
        words.push_str(": ");
    }
    // Writing to a string cannot fail.
    let _ = write!(words, "HTTP {status}");
    if let Some(id) = request_id {
        words.push_str(", request id ");
        push_bounded(&mut words, id);
    }
    words
}

/// A parameter's value is a secret, so nothing is quoted that says what is wrong with it.
fn quotes_the_request(call: &str, code: &str) -> bool {
    QUOTES_THE_REQUEST.contains(&code)
        || (call == "ssm:PutParameter"
            && classify("ssm", 400, Some(code)) == Fault::Invalid
            && code != "InvalidKeyId")
}

/// What broke on the way, from the outermost to the innermost error.
fn chain(what: &str, mut source: Option<&(dyn Error + 'static)>) -> String {
    let mut words = what.to_owned();
    let mut last = String::new();
    while let Some(error) = source {
        let text = error.to_string();
        // Wrappers often repeat what they wrap.
        if text != last {
            words.push_str(": ");
            push_bounded(&mut words, &text);
        }
        last = text;
        source = error.source();
    }
    words
}

fn push_bounded(words: &mut String, text: &str) {
    words.extend(text.chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }));
}

/// The SDK found no credentials at all: nothing was sent. Any other trouble with them may pass.
fn has_no_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return matches!(
                credentials,
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
            );
        }
        source = error.source();
    }
    false
}

/// How long AWS asks to wait, where it says so.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let number = |header: &str| response.headers().get(header)?.trim().parse::<u64>().ok();
    number("x-amz-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that no code decides; the codes themselves are replayed in `tests/replay`.
    #[test]
    fn without_a_known_code_the_status_decides() {
        let check =
            |status, code, fault| assert_eq!(classify("iam", status, code), fault, "{status} {code:?}");
        check(429, None, THROTTLED);
        check(400, Some("Throttling"), THROTTLED);
        check(503, Some("SlowDown"), THROTTLED);
        check(503, Some("Whatever"), Fault::Indeterminate);
        check(500, None, Fault::Indeterminate);
        check(403, None, Fault::Denied);
        check(400, Some("ValidationError"), Fault::Invalid);
        // Not AWS: a proxy, a captive portal, a wrong port.
        check(404, None, Fault::Indeterminate);
        check(302, None, Fault::Indeterminate);
        check(200, None, Fault::Indeterminate);
        // Another service's word for absence is no absence here.
        check(400, Some("ResourceNotFoundException"), Fault::Invalid);
        check(404, Some("NoSuchBucket"), Fault::Invalid);
    }

    #[test]
    fn no_code_is_decided_twice() {
        let rows = || CODES.iter().flat_map(|(of, codes, _)| codes.iter().map(move |code| (*of, *code)));
        for (service, code) in rows() {
            let same = rows().filter(|(of, other)| other == &code && (*of == service || *of == ANY));
            assert_eq!(same.count(), 1, "{service} {code}");
        }
    }
}
