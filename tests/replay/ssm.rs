//! Parameters.

use iam_user_controller::core::parameter_name::{ParameterName, ParameterTemplate};
use iam_user_controller::core::secret::Secret;
use iam_user_controller::ports::{Fault, Ports, Vault};
use serde_json::json;

use crate::canned::{Aws, REQUEST_ID, json as answer, json_error, name};

pub(crate) fn parameter() -> ParameterName {
    ParameterTemplate::parse("/iam_users/{UserName}_keys").unwrap().name_for(&name("mail"))
}

#[tokio::test]
async fn every_code_of_ssm_is_the_right_fault_and_none_but_one_is_absence() {
    let throttled = Fault::Throttled { retry_after: None };
    for (status, code, fault) in [
        (400, "ParameterNotFound", Fault::NotFound),
        (400, "ParameterAlreadyExists", Fault::AlreadyExists),
        (400, "ParameterLimitExceeded", Fault::Quota),
        (400, "ParameterMaxVersionLimitExceeded", Fault::Quota),
        (400, "ThrottlingException", throttled),
        (400, "TooManyUpdates", throttled),
        (400, "KMSThrottlingException", throttled),
        (400, "AccessDeniedException", Fault::Denied),
        (400, "ExpiredTokenException", Fault::Denied),
        (400, "UnrecognizedClientException", Fault::Denied),
        (400, "KMSAccessDeniedException", Fault::Denied),
        (400, "InvalidKeyId", Fault::Invalid),
        (400, "KMSNotFoundException", Fault::Invalid),
        (400, "NotFoundException", Fault::Invalid),
        (400, "ResourceNotFoundException", Fault::Invalid),
        (400, "ParameterVersionNotFound", Fault::Invalid),
        (400, "HierarchyTypeMismatchException", Fault::Invalid),
        (400, "UnsupportedParameterType", Fault::Invalid),
        (400, "ValidationException", Fault::Invalid),
        (500, "InternalServerError", Fault::Indeterminate),
    ] {
        let aws = Aws::answers(&[json_error(status, code, "Words for a person.")]).await;
        let error = aws.ports.vault().delete(&parameter()).await.unwrap_err();
        assert_eq!((error.fault, error.call), (fault, "ssm:DeleteParameter"), "{code}");
        assert!(error.detail.contains(code) && error.detail.contains(REQUEST_ID), "{error}");
        let sent = aws.only();
        assert_eq!(
            (sent.action(), sent.json()),
            ("DeleteParameter", json!({"Name": "/iam_users/mail_keys"}))
        );
    }
}

#[tokio::test]
async fn a_parameter_is_read_decrypted() {
    let stored = |kind: &str| {
        answer(
            200,
            &json!({"Parameter": {
                "ARN": "arn:aws:ssm:eu-central-1:123456789012:parameter/iam_users/mail_keys",
                "DataType": "text", "LastModifiedDate": 1.769_860_800_25E9, "Name": "/iam_users/mail_keys",
                "Type": kind, "Value": "hunter2", "Version": 3
            }}),
        )
    };
    let aws =
        Aws::answers(&[stored("SecureString"), stored("String"), json_error(400, "ParameterNotFound", "")])
            .await;
    let vault = aws.ports.vault();
    let value = vault.get(&parameter()).await.unwrap().unwrap();
    assert_eq!((value.text.expose(), value.secure), ("hunter2", true));
    assert_eq!(value.modified.to_string(), "2026-01-31T12:00:00.250Z");
    assert!(!vault.get(&parameter()).await.unwrap().unwrap().secure);
    assert_eq!(vault.get(&parameter()).await, Ok(None));
    let sent = &aws.seen()[0];
    assert_eq!(sent.action(), "GetParameter");
    assert_eq!(sent.json(), json!({"Name": "/iam_users/mail_keys", "WithDecryption": true}));
}

#[tokio::test]
async fn a_parameter_is_written_over_with_the_key_each_time() {
    let aws = Aws::answers(&[answer(200, &json!({"Tier": "Standard", "Version": 1}))]).await;
    let vault = aws.ports.vault();
    vault.put(&parameter(), &Secret::new("x".repeat(4_096))).await.unwrap();
    vault.put(&parameter(), &Secret::new("x".repeat(4_097))).await.unwrap();
    let [standard, advanced] = &aws.seen()[..] else { panic!() };
    let mut sent = json!({
        "Name": "/iam_users/mail_keys", "Value": "x".repeat(4_096), "Type": "SecureString",
        "KeyId": "alias/users", "Overwrite": true
    });
    assert_eq!((standard.action(), standard.json()), ("PutParameter", sent.clone()));
    sent["Value"] = json!("x".repeat(4_097));
    sent["Tier"] = json!("Advanced");
    assert_eq!(advanced.json(), sent);
}
