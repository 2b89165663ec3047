//! Proving keys.

use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::user::AccessKeyId;
use iam_user_controller::ports::{Fault, Identity, Ports, Proof};

use crate::canned::{Answer, Aws, OWN_KEY, xml_error, xml_result};

fn caller() -> Answer {
    xml_result(
        "GetCallerIdentity",
        "<Arn>arn:aws:iam::123456789012:user/mail</Arn><UserId>AIDA1</UserId><Account>123456789012</Account>",
    )
}

#[tokio::test]
async fn a_new_key_is_proven_by_a_call_signed_with_it_alone() {
    let key = AccessKeyId::parse("AKIANEWNEWNEWEXAMPLE").unwrap();
    let secret = Secret::new("hunter2");
    for (answer, outcome) in [
        (caller(), Ok(Proof::Accepted)),
        (xml_error(403, "InvalidClientTokenId", "The security token is invalid."), Ok(Proof::NotYet)),
        (xml_error(403, "SignatureDoesNotMatch", "…"), Ok(Proof::NotYet)),
        (xml_error(403, "AccessDenied", "…"), Ok(Proof::Accepted)),
        (xml_error(403, "ExpiredToken", "…"), Err(Fault::Denied)),
        (xml_error(400, "Throttling", "Rate exceeded"), Err(Fault::Throttled { retry_after: None })),
        (xml_error(500, "InternalFailure", ""), Err(Fault::Indeterminate)),
        (Answer::Broken, Err(Fault::Indeterminate)),
    ] {
        let aws = Aws::answers(&[answer]).await;
        let proof = aws.ports.identity().prove(&key, &secret).await;
        assert_eq!(proof.map_err(|error| error.fault), outcome);
        let sent = aws.only();
        assert_eq!(sent.action(), "GetCallerIdentity");
        assert!(sent.authorization.contains("AKIANEWNEWNEWEXAMPLE/"), "{sent:?}");
    }
}

#[tokio::test]
async fn proofs_do_not_change_who_the_controller_is() {
    let aws = Aws::answers(&[caller()]).await;
    let identity = aws.ports.identity();
    for key in ["AKIAFIRSTFIRSTEXAMPL", "AKIASECONDSECONDEXAM"] {
        identity.prove(&AccessKeyId::parse(key).unwrap(), &Secret::new("s")).await.unwrap();
    }
    assert_eq!(identity.caller().await.unwrap().account, "123456789012");
    let seen = aws.seen();
    for (sent, key) in seen.iter().zip(["AKIAFIRSTFIRSTEXAMPL", "AKIASECONDSECONDEXAM", OWN_KEY]) {
        assert!(sent.authorization.contains(key), "{sent:?}");
    }
}
