//! Users and keys.

use std::collections::BTreeMap;
use std::time::Duration;

use iam_user_controller::core::time::Timestamp;
use iam_user_controller::core::user::UserId;
use iam_user_controller::ports::{Clock, Directory, Fault, NewUser, Ports};

use crate::canned::{Answer, Aws, REQUEST_ID, name, xml_error, xml_result};

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/boundary";

#[tokio::test]
async fn every_code_of_iam_is_the_right_fault() {
    let throttled = Fault::Throttled { retry_after: None };
    for (status, code, fault) in [
        (404, "NoSuchEntity", Fault::NotFound),
        (409, "EntityAlreadyExists", Fault::AlreadyExists),
        (409, "DeleteConflict", Fault::Conflict),
        (409, "ConcurrentModification", Fault::Conflict),
        (409, "EntityTemporarilyUnmodifiable", Fault::Conflict),
        (409, "LimitExceeded", Fault::Quota),
        (400, "Throttling", throttled),
        (400, "ThrottlingException", throttled),
        (400, "RequestLimitExceeded", throttled),
        (403, "AccessDenied", Fault::Denied),
        (403, "ExpiredToken", Fault::Denied),
        (403, "InvalidClientTokenId", Fault::Denied),
        (403, "SignatureDoesNotMatch", Fault::Denied),
        (403, "OptInRequired", Fault::Denied),
        (400, "RequestExpired", Fault::Denied),
        (400, "IncompleteSignature", Fault::Denied),
        (400, "ValidationError", Fault::Invalid),
        (400, "InvalidInput", Fault::Invalid),
        (400, "MalformedPolicyDocument", Fault::Invalid),
        (400, "InvalidAction", Fault::Invalid),
        (500, "InternalFailure", Fault::Indeterminate),
        (500, "ServiceFailure", Fault::Indeterminate),
        (503, "ServiceUnavailable", Fault::Indeterminate),
        (503, "Whatever", Fault::Indeterminate),
    ] {
        let aws = Aws::answers(&[xml_error(status, code, "Words for a person.")]).await;
        let error = aws.ports.directory().delete_user(&name("mail")).await.unwrap_err();
        assert_eq!((error.fault, error.call), (fault, "iam:DeleteUser"), "{code}");
        assert!(error.detail.contains(code) && error.detail.contains(REQUEST_ID), "{error}");
        let sent = aws.only();
        assert_eq!(sent.action(), "DeleteUser");
        assert!(sent.has("UserName", "mail"), "{sent:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_iams_is_no_evidence_of_anything() {
    for status in [200, 302, 404] {
        let page = Answer::Http(status, Vec::new(), "<html>It works!</html>".to_owned());
        let aws = Aws::answers(&[page]).await;
        let error = aws.ports.directory().user(&name("mail")).await.unwrap_err();
        assert_eq!(error.fault, Fault::Indeterminate, "{status}");
    }
}

#[tokio::test]
async fn how_long_to_wait_is_passed_on() {
    for (header, text, wait) in [("retry-after", "7", 7_000), ("x-amz-retry-after", "1500", 1_500)] {
        let Answer::Http(status, mut headers, body) = xml_error(400, "Throttling", "Rate exceeded") else {
            unreachable!()
        };
        headers.push((header, text.to_owned()));
        let aws = Aws::answers(&[Answer::Http(status, headers, body)]).await;
        let error = aws.ports.directory().delete_user(&name("mail")).await.unwrap_err();
        assert_eq!(error.fault, Fault::Throttled { retry_after: Some(Duration::from_millis(wait)) });
    }
}

#[tokio::test]
async fn a_user_is_read_with_boundary_and_tags() {
    let aws = Aws::answers(&[xml_result(
        "GetUser",
        &format!(
            "<User><Path>/apps/</Path><UserName>mail.Relay+1@x</UserName><UserId>AIDACKCEVSQ6C2EXAMPLE</UserId>\
             <Arn>arn:aws:iam::123456789012:user/apps/mail.Relay+1@x</Arn>\
             <CreateDate>2026-01-31T12:00:00Z</CreateDate>\
             <PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType>\
             <PermissionsBoundaryArn>{BOUNDARY}</PermissionsBoundaryArn></PermissionsBoundary>\
             <Tags><member><Key>managed-by</Key><Value>iam-user-controller</Value></member>\
             <member><Key>empty</Key><Value></Value></member></Tags></User>"
        ),
    )])
    .await;
    let user = aws.ports.directory().user(&name("mail.relay+1@x")).await.unwrap().unwrap();
    assert_eq!(user.name.as_str(), "mail.Relay+1@x", "as IAM spells it");
    assert_eq!(user.id, UserId("AIDACKCEVSQ6C2EXAMPLE".to_owned()));
    assert_eq!(user.created, Timestamp::parse("2026-01-31T12:00:00Z").unwrap());
    assert_eq!(user.boundary.as_deref(), Some(BOUNDARY));
    assert_eq!(user.tags["managed-by"], "iam-user-controller");
    assert_eq!(user.tags["empty"], "");
    let sent = aws.only();
    assert_eq!(sent.action(), "GetUser");
    assert!(sent.has("UserName", "mail.relay%2B1%40x"), "{sent:?}");
}

#[tokio::test]
async fn a_user_that_is_not_there_is_none() {
    let aws =
        Aws::answers(&[xml_error(404, "NoSuchEntity", "The user with name mail cannot be found.")]).await;
    assert_eq!(aws.ports.directory().user(&name("mail")).await, Ok(None));
    assert_eq!(aws.ports.directory().keys(&name("mail")).await, Ok(None));
    assert_eq!(aws.ports.directory().has_console_login(&name("mail")).await, Ok(false));
    let error = aws.ports.directory().leftovers(&name("mail")).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
}

#[tokio::test]
async fn a_user_is_created_with_everything_in_one_call() {
    let aws = Aws::answers(&[xml_result(
        "CreateUser",
        "<User><Path>/apps/</Path><UserName>mail</UserName><UserId>AIDACKCEVSQ6C2EXAMPLE</UserId>\
         <Arn>arn:aws:iam::123456789012:user/apps/mail</Arn><CreateDate>2026-01-31T12:00:00Z</CreateDate></User>",
    )])
    .await;
    let user = NewUser {
        name: name("mail"),
        path: "/apps/".to_owned(),
        boundary: Some(BOUNDARY.to_owned()),
        tags: BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]),
    };
    let (id, created, receipt) = aws.ports.directory().create_user(&user).await.unwrap();
    assert_eq!(id.0, "AIDACKCEVSQ6C2EXAMPLE");
    assert_eq!(created.to_string(), "2026-01-31T12:00:00.000Z");
    assert_eq!(receipt.request_id, REQUEST_ID);
    let sent = aws.only();
    assert_eq!(sent.action(), "CreateUser");
    for (parameter, value) in [
        ("UserName", "mail"),
        ("Path", "%2Fapps%2F"),
        ("PermissionsBoundary", "arn%3Aaws%3Aiam%3A%3A123456789012%3Apolicy%2Fboundary"),
        ("Tags.member.1.Key", "a"),
        ("Tags.member.1.Value", "1"),
        ("Tags.member.2.Key", "b"),
        ("Tags.member.2.Value", "2"),
    ] {
        assert!(sent.has(parameter, value), "{parameter}={value}: {sent:?}");
    }
}

fn key(id: &str, status: &str, created: &str) -> String {
    format!(
        "<member><UserName>mail</UserName><AccessKeyId>{id}</AccessKeyId><Status>{status}</Status>\
         <CreateDate>{created}</CreateDate></member>"
    )
}

#[tokio::test]
async fn keys_of_all_pages_come_oldest_first() {
    let (younger, older) = (
        key("AKIAYOUNGEREXAMPLE00", "Active", "2026-02-01T00:00:00Z"),
        key("AKIAOLDEREXAMPLE0000", "Inactive", "2026-01-01T00:00:00Z"),
    );
    let aws = Aws::answers(&[
        xml_result(
            "ListAccessKeys",
            &format!("<AccessKeyMetadata>{younger}</AccessKeyMetadata><IsTruncated>true</IsTruncated><Marker>m1</Marker>"),
        ),
        xml_result(
            "ListAccessKeys",
            &format!("<AccessKeyMetadata>{older}</AccessKeyMetadata><IsTruncated>false</IsTruncated>"),
        ),
    ])
    .await;
    let keys = aws.ports.directory().keys(&name("mail")).await.unwrap().unwrap();
    let told: Vec<_> = keys.iter().map(|key| (key.id.as_str(), key.active)).collect();
    assert_eq!(told, [("AKIAOLDEREXAMPLE0000", false), ("AKIAYOUNGEREXAMPLE00", true)]);
    assert!(aws.seen()[1].has("Marker", "m1"));
}

/// Without a date a key would be older than any limit, and rotated or deleted at once.
#[tokio::test]
async fn what_has_no_date_is_not_taken_for_old() {
    let undated =
        "<UserName>mail</UserName><AccessKeyId>AKIAIOSFODNN7EXAMPLE</AccessKeyId><Status>Active</Status>";
    let aws = Aws::scripted(move |request, _| match request.action() {
        "ListAccessKeys" => xml_result(
            "ListAccessKeys",
            &format!("<AccessKeyMetadata><member>{undated}</member></AccessKeyMetadata><IsTruncated>false</IsTruncated>"),
        ),
        action => xml_result(
            action,
            &format!("<AccessKey>{undated}<SecretAccessKey>s</SecretAccessKey></AccessKey>"),
        ),
    })
    .await;
    assert_eq!(aws.ports.directory().keys(&name("mail")).await.unwrap_err().fault, Fault::Indeterminate);
    // A new key is as old as the call.
    let begun = aws.ports.clock().now();
    let (minted, _) = aws.ports.directory().create_key(&name("mail")).await.unwrap();
    assert!(begun <= minted.created && minted.created <= aws.ports.clock().now());
}

#[tokio::test]
async fn pages_that_lead_nowhere_end() {
    for marker in ["", "<Marker></Marker>", "<Marker>again</Marker>"] {
        let page = format!("<AccessKeyMetadata></AccessKeyMetadata><IsTruncated>true</IsTruncated>{marker}");
        let aws = Aws::answers(&[xml_result("ListAccessKeys", &page)]).await;
        let error = aws.ports.directory().keys(&name("mail")).await.unwrap_err();
        assert_eq!(error.fault, Fault::Indeterminate);
        assert!(aws.seen().len() <= 2);
    }
    // Always another page.
    let endless = Aws::scripted(|_, before| {
        let page = format!(
            "<AccessKeyMetadata></AccessKeyMetadata><IsTruncated>true</IsTruncated><Marker>{before}</Marker>"
        );
        xml_result("ListAccessKeys", &page)
    })
    .await;
    let error = endless.ports.directory().keys(&name("mail")).await.unwrap_err();
    assert_eq!((error.fault, endless.seen().len()), (Fault::Indeterminate, 100));
}

#[tokio::test]
async fn a_glance_passes_over_what_is_no_user() {
    let user = |inner: &str| format!("<member>{inner}</member>");
    let whole = format!(
        "<Path>/</Path><UserName>mail</UserName><UserId>AIDACKCEVSQ6C2EXAMPLE</UserId>\
         <Arn>arn:aws:iam::123456789012:user/mail</Arn><CreateDate>2026-01-31T12:00:00Z</CreateDate>\
         <GroupList/><AttachedManagedPolicies><member><PolicyName>AWSCompromisedKeyQuarantineV3</PolicyName>\
         <PolicyArn>arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3</PolicyArn></member></AttachedManagedPolicies>\
         <PermissionsBoundary><PermissionsBoundaryArn>{BOUNDARY}</PermissionsBoundaryArn></PermissionsBoundary>\
         <Tags><member><Key>k</Key><Value>v</Value></member></Tags>"
    );
    let nameless = "<UserId>AIDA1</UserId><CreateDate>2026-01-31T12:00:00Z</CreateDate>";
    let odd = "<UserName>a/b</UserName><UserId>AIDA2</UserId><CreateDate>2026-01-31T12:00:00Z</CreateDate>";
    let bare = "<UserName>bare</UserName><UserId>AIDA3</UserId><CreateDate>2026-01-31T12:00:00Z</CreateDate>";
    let page = [whole.as_str(), nameless, odd, bare].map(user).concat();
    let aws = Aws::answers(&[xml_result(
        "GetAccountAuthorizationDetails",
        &format!("<UserDetailList>{page}</UserDetailList><IsTruncated>true</IsTruncated><Marker>EXAMPLE/m+1==</Marker>"),
    )])
    .await;
    let page = aws.ports.directory().glance(Some("before")).await.unwrap();
    assert_eq!(page.next.as_deref(), Some("EXAMPLE/m+1=="));
    let [mail, bare] = page.items.as_slice() else { panic!("{page:?}") };
    assert_eq!(mail.user.boundary.as_deref(), Some(BOUNDARY));
    assert_eq!(mail.user.tags["k"], "v");
    assert_eq!(mail.attached_policies, ["AWSCompromisedKeyQuarantineV3"]);
    assert_eq!(bare.user.name.as_str(), "bare");
    let sent = aws.only();
    assert_eq!(sent.action(), "GetAccountAuthorizationDetails");
    assert!(
        sent.has("Filter.member.1", "User") && sent.has("MaxItems", "1000") && sent.has("Marker", "before")
    );
}
