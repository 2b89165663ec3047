//! From the SDK's errors to [`CallError`]: what the caller can do about it, and words for a person.
//!
//! Faults are told by AWS's error code and the HTTP status, never by text. The words hold AWS's code,
//! its message (cut short) and the request id. They never hold anything of a request's or an answer's
//! body, so that no secret can be in them.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_iam::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_iam::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;

use super::clock::timestamp;
use crate::core::time::Timestamp;
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
    if let SdkError::ServiceError(refused) = error {
        return refusal(call, refused.raw(), refused.err().meta());
    }
    if let SdkError::ResponseError(answer) = error {
        // What was not understood may hold what must not be shown.
        let detail = words(call, answer.raw(), None, Some("the answer could not be read"));
        return CallError { fault: Fault::Indeterminate, call, detail };
    }
    if let SdkError::TimeoutError(_) = error {
        return CallError { fault: Fault::Indeterminate, call, detail: chain("timed out", error.source()) };
    }
    // A connection that was closed before the answer is one of the "other" failures, but of a known kind.
    if let SdkError::DispatchFailure(broken) = error
        && (broken.is_io() || broken.is_timeout() || broken.as_other().is_some())
    {
        return CallError { fault: Fault::Indeterminate, call, detail: chain("no answer", error.source()) };
    }
    if let Some(credentials) = credentials_error(error) {
        let missing = matches!(
            credentials,
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
        );
        return CallError {
            // Else their source gives none now, which may pass.
            fault: if missing { Fault::Denied } else { Fault::Indeterminate },
            call,
            detail: chain("no credentials", Some(credentials)),
        };
    }
    // The SDK quotes the whole request, with its body, where it could not be made or sent: whatever
    // happened here, its words stay here.
    CallError {
        fault: if matches!(error, SdkError::ConstructionFailure(_)) {
            Fault::Invalid
        } else {
            Fault::Indeterminate
        },
        call,
        detail: "the request could not be made; is AWS_ENDPOINT_URL, or its variant for the service, a URL?"
            .to_owned(),
    }
}

/// AWS has answered, and not as asked.
fn refusal(call: &'static str, answer: &HttpResponse, meta: &ErrorMetadata) -> CallError {
    let (service, _) = call.split_once(':').unwrap_or((call, ""));
    let mut fault = classify(service, answer.status().as_u16(), meta.code());
    if let Fault::Throttled { retry_after } = &mut fault {
        *retry_after = wait(answer);
    }
    CallError { fault, call, detail: words(call, answer, Some(meta), meta.message()) }
}

/// AWS's error code, when it was AWS that refused.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    if let SdkError::ServiceError(refused) = error { refused.err().code() } else { None }
}

/// An answer that AWS should not have given.
pub(super) fn unexpected(call: &'static str, what: &str) -> CallError {
    CallError { fault: Fault::Indeterminate, call, detail: what.to_owned() }
}

/// A time from which an age is counted. One that AWS did not tell would make something infinitely
/// old, and what is old is deleted here.
pub(super) fn dated(call: &'static str, time: Option<&DateTime>) -> Result<Timestamp, CallError> {
    let time = timestamp(time);
    if time == Timestamp::default() { Err(unexpected(call, "the answer lacks a date")) } else { Ok(time) }
}

/// Makes absence a value.
pub(super) fn absent<T>(error: CallError) -> Result<Option<T>, CallError> {
    if error.fault == Fault::NotFound { Ok(None) } else { Err(error) }
}

/// Whether the endpoint says that it has no such action.
pub(super) fn is_unknown_action<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    code(error).is_some_and(|code| UNKNOWN_ACTION.contains(&code))
        || matches!(error, SdkError::ServiceError(refused) if refused.raw().status().as_u16() == 501)
}

/// The proof of a change.
pub(super) fn receipt(output: &impl RequestId) -> Receipt {
    Receipt { request_id: output.request_id().unwrap_or_default().to_owned() }
}

/// `Code: message [HTTP 400, request id …]`.
fn words(call: &str, answer: &HttpResponse, meta: Option<&ErrorMetadata>, message: Option<&str>) -> String {
    let code = meta.and_then(ErrorMetadata::code);
    let quotes = code.is_some_and(|code| quotes_the_request(call, code));
    let mut words = String::new();
    for part in [code, message.filter(|_| !quotes)].into_iter().flatten() {
        if !words.is_empty() {
            words.push_str(": ");
        }
        push_bounded(&mut words, part);
    }
    // Writing to a string cannot fail.
    let _ = write!(words, "{}[HTTP {}", if words.is_empty() { "" } else { " " }, answer.status().as_u16());
    if let Some(id) = answer.headers().request_id().or_else(|| meta.and_then(ErrorMetadata::request_id)) {
        words.push_str(", request id ");
        push_bounded(&mut words, id);
    }
    words.push(']');
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

/// The reason, when it is that there are no credentials to sign with; nothing was sent then.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return Some(credentials);
        }
        source = error.source();
    }
    None
}

/// How long AWS asks to wait, where it says so.
fn wait(response: &HttpResponse) -> Option<Duration> {
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
