//! What is repeated, what is sent once, and when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use iam_user_controller::aws::limits::{LONGEST_CHANGE, LONGEST_STATE_CALL};
use iam_user_controller::core::observed::Leftover;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::user::AccessKeyId;
use iam_user_controller::ports::{Directory, Fault, NewUser, Ports, Record, StateError, StateStore, Vault};
use tokio::time::Instant;

use crate::canned::{Answer, Aws, name, xml, xml_error, xml_result};
use crate::ssm::parameter;

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
        let aws = Aws::answers(std::slice::from_ref(&first)).await;
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

/// One request for each, though every one of these answers would have the SDK try again.
#[tokio::test(start_paused = true)]
async fn every_change_is_sent_once_and_is_over_in_time() {
    let user = NewUser {
        name: name("mail"),
        path: "/".to_owned(),
        boundary: None,
        tags: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    };
    let key = AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap();
    let record = Record { id: "lease".to_owned(), body: "{}".to_owned(), token: 1 };
    let leftovers = [
        Leftover::LoginProfile,
        Leftover::MfaDevice { serial: "arn:aws:iam::123456789012:mfa/phone".to_owned() },
        Leftover::SshPublicKey("a".to_owned()),
        Leftover::SigningCertificate("a".to_owned()),
        Leftover::ServiceCredential("a".to_owned()),
        Leftover::Group("a".to_owned()),
        Leftover::InlinePolicy("a".to_owned()),
        Leftover::AttachedPolicy("a".to_owned()),
    ];
    for answer in [Answer::Broken, Answer::Silence, xml_error(503, "ServiceUnavailable", "")] {
        let aws = Aws::answers(std::slice::from_ref(&answer)).await;
        let (directory, vault, state) = (aws.ports.directory(), aws.ports.vault(), aws.ports.state());
        let mut sent = 0;
        let mut begun = Instant::now();
        let mut failed = |fault: Fault| {
            assert_eq!(fault, Fault::Indeterminate, "{answer:?}");
            sent += 1;
            assert_eq!(aws.seen().len(), sent, "{answer:?}: {:?}", aws.seen().last());
            assert!(begun.elapsed() <= LONGEST_CHANGE, "{:?}", begun.elapsed());
            begun = Instant::now();
        };
        let who = &user.name;
        failed(directory.create_user(&user).await.unwrap_err().fault);
        failed(directory.tag_user(who, &user.tags).await.unwrap_err().fault);
        failed(directory.untag_user(who, &["a".to_owned()]).await.unwrap_err().fault);
        failed(directory.put_boundary(who, "arn").await.unwrap_err().fault);
        failed(directory.create_key(who).await.unwrap_err().fault);
        failed(directory.deactivate_key(who, &key).await.unwrap_err().fault);
        failed(directory.delete_key(who, &key).await.unwrap_err().fault);
        failed(directory.delete_user(who).await.unwrap_err().fault);
        for leftover in &leftovers {
            failed(directory.remove(who, leftover).await.unwrap_err().fault);
        }
        failed(vault.put(&parameter(), &Secret::new("s")).await.unwrap_err().fault);
        failed(vault.delete(&parameter()).await.unwrap_err().fault);
        let of = |outcome: Result<(), StateError>| match outcome {
            Err(StateError::Call(error)) => error.fault,
            other => panic!("{other:?}"),
        };
        failed(of(state.put(&record).await));
        failed(of(state.delete("lease", 1).await));
        failed(of(state.swap(None, &record).await));
    }
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
