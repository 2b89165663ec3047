//! Parameters.

use iam_user_controller::core::parameter::Tier;
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
        (400, "InvalidKeyId", Fault::KmsKey),
        (400, "KMSAccessDeniedException", Fault::KmsKey),
        (400, "KMSDisabledException", Fault::KmsKey),
        (400, "KMSInvalidStateException", Fault::KmsKey),
        (400, "KMSNotFoundException", Fault::KmsKey),
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
    assert_eq!(
        (value.version.number, value.version.modified.to_string().as_str()),
        (3, "2026-01-31T12:00:00.250Z")
    );
    assert!(!vault.get(&parameter()).await.unwrap().unwrap().secure);
    assert_eq!(vault.get(&parameter()).await, Ok(None));
    let sent = &aws.seen()[0];
    assert_eq!(sent.action(), "GetParameter");
    assert_eq!(sent.json(), json!({"Name": "/iam_users/mail_keys", "WithDecryption": true}));
}

#[tokio::test]
async fn a_parameter_is_written_over_with_the_key_each_time() {
    let aws = Aws::answers(&[answer(200, &json!({"Tier": "Standard", "Version": 7}))]).await;
    let vault = aws.ports.vault();
    let written = vault.put(&parameter(), &Secret::new("x".repeat(4_096)), Tier::Standard).await.unwrap();
    assert_eq!((written.number, written.receipt.request_id.as_str()), (7, REQUEST_ID));
    vault.put(&parameter(), &Secret::new("x".repeat(4_097)), Tier::Standard).await.unwrap();
    vault.put(&parameter(), &Secret::new("x"), Tier::Advanced).await.unwrap();
    let [standard, advanced, small] = &aws.seen()[..] else { panic!() };
    let mut sent = json!({
        "Name": "/iam_users/mail_keys", "Value": "x".repeat(4_096), "Type": "SecureString",
        "KeyId": "alias/users", "Overwrite": true
    });
    assert_eq!((standard.action(), standard.json()), ("PutParameter", sent.clone()));
    sent["Value"] = json!("x".repeat(4_097));
    sent["Tier"] = json!("Advanced");
    assert_eq!(advanced.json(), sent);
    sent["Value"] = json!("x");
    assert_eq!(small.json(), sent, "an advanced parameter stays one");
}

#[tokio::test]
async fn the_tier_is_asked_of_the_list() {
    let listed = |tier: &str| {
        let other = json!({"Name": "/iam_users/mail_keys-2", "Tier": "Advanced"});
        answer(
            200,
            &json!({"Parameters": [other, {"Name": "/iam_users/mail_keys", "Tier": tier, "Version": 3}]}),
        )
    };
    let aws = Aws::answers(&[
        listed("Advanced"),
        listed("Standard"),
        // A page that is empty and not the last one.
        answer(200, &json!({"Parameters": [], "NextToken": "more"})),
        listed("Advanced"),
        answer(200, &json!({"Parameters": []})),
        json_error(400, "AccessDeniedException", ""),
    ])
    .await;
    let vault = aws.ports.vault();
    assert_eq!(vault.tier(&parameter()).await, Ok(Some(Tier::Advanced)));
    assert_eq!(vault.tier(&parameter()).await, Ok(Some(Tier::Standard)));
    assert_eq!(vault.tier(&parameter()).await, Ok(Some(Tier::Advanced)));
    assert_eq!(vault.tier(&parameter()).await, Ok(None));
    let denied = vault.tier(&parameter()).await.unwrap_err();
    assert_eq!((denied.fault, denied.call), (Fault::Denied, "ssm:DescribeParameters"));
    let filter = json!([{"Key": "Name", "Option": "Equals", "Values": ["/iam_users/mail_keys"]}]);
    let seen = aws.seen();
    assert_eq!(
        (seen[0].action(), seen[0].json()),
        ("DescribeParameters", json!({"ParameterFilters": filter}))
    );
    assert_eq!(seen[3].json(), json!({"ParameterFilters": filter, "NextToken": "more"}));
}

#[tokio::test]
async fn a_disabled_kms_key_is_named_and_the_value_is_not() {
    const WORDS: &str = "arn:aws:kms:eu-central-1:123456789012:key/1 is disabled. (Service: AWSKMS; Status Code: 400; \
                         Error Code: DisabledException)";
    let aws = Aws::answers(&[json_error(400, "InvalidKeyId", WORDS)]).await;
    let vault = aws.ports.vault();
    for error in [
        vault.get(&parameter()).await.unwrap_err(),
        vault.put(&parameter(), &Secret::new("hunter2"), Tier::Standard).await.unwrap_err(),
    ] {
        assert_eq!(error.fault, Fault::KmsKey);
        let words = error.to_string();
        assert!(words.contains("kms_key_unusable") && words.contains("DisabledException"), "{words}");
        assert!(!words.contains("hunter2"));
    }
}
