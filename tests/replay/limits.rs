//! What is repeated, what is sent once, and when it is over.

use std::time::Duration;

use iam_user_controller::aws::limits::{LONGEST_CHANGE, LONGEST_STATE_CALL};
use iam_user_controller::core::observed::Leftover;
use iam_user_controller::ports::{Directory, Fault, Ports, Record, StateError, StateStore};
use tokio::time::Instant;

use crate::canned::{Answer, Aws, name, xml, xml_error, xml_result};

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_and_then_given_up() {
    let found = xml_result(
        "GetUser",
        "<User><Path>/</Path><UserName>mail</UserName><UserId>AIDA1</UserId><Arn>a</Arn>\
         <CreateDate>2026-01-31T12:00:00Z</CreateDate></User>",
    );
    for first in [
        Answer::Broken,
        Answer::Silence,
        xml_error(400, "Throttling", "Rate exceeded"),
        xml_error(503, "ServiceUnavailable", ""),
    ] {
        let aws = Aws::answers(&[first.clone(), found.clone()]).await;
        assert!(aws.ports.directory().user(&name("mail")).await.unwrap().is_some(), "{first:?}");
        let aws = Aws::answers(&[first.clone()]).await;
        let begun = Instant::now();
        assert!(aws.ports.directory().user(&name("mail")).await.is_err());
        assert_eq!(aws.seen().len(), 3, "{first:?}");
        assert!(begun.elapsed() <= Duration::from_millis(12_500), "{first:?}: {:?}", begun.elapsed());
    }
}

/// Whatever happens to it, and in time for the lease.
#[tokio::test(start_paused = true)]
async fn a_key_is_minted_by_one_request() {
    let cut_off = xml(200, "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>ma");
    for (answer, fault) in [
        (Answer::Broken, Fault::Indeterminate),
        (Answer::Silence, Fault::Indeterminate),
        (cut_off, Fault::Indeterminate),
        (xml_error(500, "InternalFailure", ""), Fault::Indeterminate),
        (xml_error(503, "ServiceUnavailable", ""), Fault::Indeterminate),
        (xml_error(400, "Throttling", "Rate exceeded"), Fault::Throttled { retry_after: None }),
        (xml_error(409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"), Fault::Quota),
    ] {
        let aws = Aws::answers(std::slice::from_ref(&answer)).await;
        let begun = Instant::now();
        let error = aws.ports.directory().create_key(&name("mail")).await.unwrap_err();
        assert_eq!((error.fault, error.call), (fault, "iam:CreateAccessKey"), "{answer:?}");
        assert!(begun.elapsed() <= LONGEST_CHANGE, "{answer:?}: {:?}", begun.elapsed());
        let sent = aws.only();
        assert_eq!(sent.action(), "CreateAccessKey");
        assert!(sent.has("UserName", "mail"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_is_sent_once_and_is_over_in_time() {
    let aws = Aws::answers(&[Answer::Silence]).await;
    let directory = aws.ports.directory();
    let device = Leftover::MfaDevice { serial: "arn:aws:iam::123456789012:mfa/phone".to_owned() };
    let begun = Instant::now();
    let error = directory.remove(&name("mail"), &device).await.unwrap_err();
    assert_eq!(error.fault, Fault::Indeterminate);
    assert!(begun.elapsed() <= LONGEST_CHANGE, "{:?}", begun.elapsed());
    aws.only();
    let error = directory.delete_user(&name("mail")).await.unwrap_err();
    assert_eq!(error.fault, Fault::Indeterminate);
    assert_eq!(aws.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_state_call_is_over_in_time() {
    let aws = Aws::answers(&[Answer::Silence]).await;
    let record = Record { id: "lease".to_owned(), body: "{}".to_owned(), token: 1 };
    let begun = Instant::now();
    let StateError::Call(error) = aws.ports.state().put(&record).await.unwrap_err() else { panic!() };
    assert_eq!(error.fault, Fault::Indeterminate);
    assert!(begun.elapsed() <= LONGEST_STATE_CALL, "{:?}", begun.elapsed());
    aws.only();
}
