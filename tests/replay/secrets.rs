//! A secret is in no error, whatever AWS answers and whatever goes wrong on the way.

use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::user::AccessKeyId;
use iam_user_controller::ports::{CallError, Directory, Identity, Ports, Vault};
use serde_json::json;

use crate::canned::{Answer, Aws, json as answer, json_error, name, xml, xml_error};
use crate::ssm::parameter;

const SECRET: &str = "hunter2hunter2/+hunter2";

fn silent_about_it(error: &CallError) {
    let shown = format!("{error} {error:?} {error:#?}");
    assert!(!shown.contains("hunter2") && !shown.contains("own-"), "{shown}");
}

#[tokio::test]
async fn a_minted_secret_is_in_no_error() {
    let key = |id: &str, rest: &str| {
        format!(
            "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>mail</UserName>\
             <SecretAccessKey>{SECRET}</SecretAccessKey><AccessKeyId>{id}</AccessKeyId>\
             <Status>Active</Status>{rest}"
        )
    };
    let whole = "</AccessKey></CreateAccessKeyResult></CreateAccessKeyResponse>";
    for reply in [
        xml(
            200,
            &format!(
                "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>mail</UserName><AccessKeyId>AKIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>{SECRET}"
            ),
        ),
        xml(200, &key("AKIAIOSFODNN7EXAMPLE", &format!("<CreateDate>{SECRET}</CreateDate>{whole}"))),
        xml(200, &key("no/id", whole)),
        xml(500, &key("AKIAIOSFODNN7EXAMPLE", whole)),
        xml(400, &key("AKIAIOSFODNN7EXAMPLE", whole)),
        xml(200, &format!("<{SECRET}>")),
    ] {
        let aws = Aws::answers(&[reply]).await;
        silent_about_it(&aws.ports.directory().create_key(&name("mail")).await.unwrap_err());
        aws.only();
    }
    // And not in what comes of it when all is well.
    let aws = Aws::answers(&[xml(200, &key("AKIAIOSFODNN7EXAMPLE", whole))]).await;
    let minted = aws.ports.directory().create_key(&name("mail")).await.unwrap();
    assert_eq!(minted.0.secret.expose(), SECRET);
    assert!(!format!("{minted:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_stored_secret_is_in_no_error() {
    let quoted =
        format!("1 validation error detected: Value '{SECRET}' at 'value' failed to satisfy constraint");
    for reply in [
        json_error(400, "ValidationException", &quoted),
        json_error(400, "ParameterPatternMismatchException", &quoted),
        json_error(400, "SerializationException", &quoted),
        json_error(400, "InvalidSignatureException", "The Canonical String … x-amz-security-token:own-token"),
        Answer::Http(500, Vec::new(), SECRET.to_owned()),
        Answer::Http(400, Vec::new(), SECRET.to_owned()),
        Answer::Http(200, Vec::new(), SECRET.to_owned()),
        Answer::Broken,
    ] {
        let aws = Aws::answers(&[reply]).await;
        silent_about_it(&aws.ports.vault().put(&parameter(), &Secret::new(SECRET)).await.unwrap_err());
    }
    for reply in [
        answer(200, &json!({"Parameter": {"Value": SECRET, "LastModifiedDate": SECRET}})),
        answer(200, &json!({"Parameter": {"Value": [SECRET]}})),
        Answer::Http(200, Vec::new(), format!("{{\"Parameter\":{{\"Value\":\"{SECRET}")),
    ] {
        let aws = Aws::answers(&[reply]).await;
        silent_about_it(&aws.ports.vault().get(&parameter()).await.unwrap_err());
    }
}

/// The SDK's own error quotes the whole request of some protocols here.
#[tokio::test]
async fn a_request_that_cannot_be_made_is_not_quoted() {
    let aws = Aws::at(Some("not a url"), |_, _| unreachable!()).await;
    let error = aws.ports.directory().delete_user(&name("hunter2")).await.unwrap_err();
    silent_about_it(&error);
    assert!(error.detail.contains("AWS_ENDPOINT_URL"), "{error}");
    silent_about_it(&aws.ports.vault().put(&parameter(), &Secret::new(SECRET)).await.unwrap_err());
    assert!(aws.seen().is_empty());
}

#[tokio::test]
async fn a_proof_that_fails_does_not_tell_the_secret() {
    let key = AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap();
    for reply in [xml_error(403, "IncompleteSignature", SECRET), xml_error(500, "InternalFailure", "")] {
        let aws = Aws::answers(&[reply]).await;
        silent_about_it(&aws.ports.identity().prove(&key, &Secret::new(SECRET)).await.unwrap_err());
    }
}
