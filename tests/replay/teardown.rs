//! What IAM demands gone before a user goes.

use iam_user_controller::core::observed::Leftover;
use iam_user_controller::ports::{Directory, Fault, Ports};

use crate::canned::{Answer, Aws, Seen, name, xml_error, xml_result};

const VIRTUAL: &str = "arn:aws:iam::123456789012:mfa/phone";

fn everything(request: &Seen) -> Answer {
    let action = request.action();
    let date = "2026-01-31T12:00:00Z";
    let list = |list: &str, member: String| {
        xml_result(
            action,
            &format!("<{list}><member>{member}</member></{list}><IsTruncated>false</IsTruncated>"),
        )
    };
    match action {
        "GetLoginProfile" => xml_result(
            action,
            &format!("<LoginProfile><UserName>mail</UserName><CreateDate>{date}</CreateDate></LoginProfile>"),
        ),
        "ListMFADevices" => list(
            "MFADevices",
            format!("<UserName>mail</UserName><SerialNumber>{VIRTUAL}</SerialNumber><EnableDate>{date}</EnableDate>"),
        ),
        "ListSSHPublicKeys" => list(
            "SSHPublicKeys",
            format!("<UserName>mail</UserName><SSHPublicKeyId>APKA1</SSHPublicKeyId><Status>Active</Status><UploadDate>{date}</UploadDate>"),
        ),
        "ListSigningCertificates" => list(
            "Certificates",
            "<UserName>mail</UserName><CertificateId>CERT1</CertificateId><CertificateBody>x</CertificateBody><Status>Active</Status>".to_owned(),
        ),
        "ListServiceSpecificCredentials" => list(
            "ServiceSpecificCredentials",
            format!("<UserName>mail</UserName><ServiceName>codecommit.amazonaws.com</ServiceName><ServiceUserName>m</ServiceUserName><ServiceSpecificCredentialId>ACCA1</ServiceSpecificCredentialId><Status>Active</Status><CreateDate>{date}</CreateDate>"),
        ),
        "ListGroupsForUser" => list(
            "Groups",
            format!("<Path>/</Path><GroupName>g</GroupName><GroupId>AGPA1</GroupId><Arn>arn:aws:iam::123456789012:group/g</Arn><CreateDate>{date}</CreateDate>"),
        ),
        "ListUserPolicies" => list("PolicyNames", "inline".to_owned()),
        "ListAttachedUserPolicies" => list(
            "AttachedPolicies",
            "<PolicyName>p</PolicyName><PolicyArn>arn:aws:iam::123456789012:policy/p</PolicyArn>".to_owned(),
        ),
        other => panic!("{other}"),
    }
}

fn all_kinds() -> Vec<Leftover> {
    vec![
        Leftover::LoginProfile,
        Leftover::MfaDevice { serial: VIRTUAL.to_owned() },
        Leftover::SshPublicKey("APKA1".to_owned()),
        Leftover::SigningCertificate("CERT1".to_owned()),
        Leftover::ServiceCredential("ACCA1".to_owned()),
        Leftover::Group("g".to_owned()),
        Leftover::InlinePolicy("inline".to_owned()),
        Leftover::AttachedPolicy("arn:aws:iam::123456789012:policy/p".to_owned()),
    ]
}

#[tokio::test]
async fn leftovers_come_in_teardown_order() {
    let aws = Aws::scripted(|request, _| everything(request)).await;
    assert_eq!(aws.ports.directory().leftovers(&name("mail")).await, Ok(all_kinds()));
    assert!(aws.seen().iter().all(|sent| sent.has("UserName", "mail")));
}

#[tokio::test]
async fn a_kind_that_the_endpoint_does_not_know_is_none_and_any_other_failure_fails() {
    let check = async |code: &'static str, status: u16| {
        let aws = Aws::scripted(move |request, _| match request.action() {
            "ListSSHPublicKeys" => xml_error(status, code, "?"),
            _ => everything(request),
        })
        .await;
        aws.ports.directory().leftovers(&name("mail")).await
    };
    let without_ssh: Vec<_> =
        all_kinds().into_iter().filter(|kind| !matches!(kind, Leftover::SshPublicKey(_))).collect();
    assert_eq!(check("InvalidAction", 400).await, Ok(without_ssh.clone()));
    assert_eq!(check("Whatever", 501).await, Ok(without_ssh));
    for (code, status, fault) in
        [("AccessDenied", 403, Fault::Denied), ("ValidationError", 400, Fault::Invalid)]
    {
        assert_eq!(check(code, status).await.unwrap_err().fault, fault);
    }
}

#[tokio::test]
async fn each_kind_is_removed_by_its_own_call() {
    let expected = [
        ("DeleteLoginProfile", "UserName", "mail"),
        ("DeactivateMFADevice", "SerialNumber", "arn%3Aaws%3Aiam%3A%3A123456789012%3Amfa%2Fphone"),
        ("DeleteSSHPublicKey", "SSHPublicKeyId", "APKA1"),
        ("DeleteSigningCertificate", "CertificateId", "CERT1"),
        ("DeleteServiceSpecificCredential", "ServiceSpecificCredentialId", "ACCA1"),
        ("RemoveUserFromGroup", "GroupName", "g"),
        ("DeleteUserPolicy", "PolicyName", "inline"),
        ("DetachUserPolicy", "PolicyArn", "arn%3Aaws%3Aiam%3A%3A123456789012%3Apolicy%2Fp"),
    ];
    for (leftover, (action, parameter, value)) in all_kinds().iter().zip(expected) {
        let aws = Aws::scripted(|request, _| xml_result(request.action(), "")).await;
        aws.ports.directory().remove(&name("mail"), leftover).await.unwrap();
        let sent = &aws.seen()[0];
        assert_eq!(sent.action(), action);
        assert!(sent.has("UserName", "mail") && sent.has(parameter, value), "{sent:?}");
    }
}

/// The two calls for a device, each with its answer, and what comes of them.
#[tokio::test]
async fn a_virtual_device_is_detached_and_deleted_and_half_done_is_finished() {
    let check = async |serial: &str, deactivate: Option<&'static str>, delete: Option<&'static str>| {
        let aws = Aws::scripted(move |request, _| {
            let refusal = if request.action() == "DeactivateMFADevice" { deactivate } else { delete };
            match refusal {
                None => xml_result(request.action(), ""),
                Some(code) => xml_error(409, code, "?"),
            }
        })
        .await;
        let device = Leftover::MfaDevice { serial: serial.to_owned() };
        let outcome = aws.ports.directory().remove(&name("mail"), &device).await;
        let calls = aws.seen().iter().map(|sent| sent.action().to_owned()).collect::<Vec<_>>().join(" ");
        (outcome.map(drop).map_err(|error| error.fault), calls)
    };
    let (one, both) =
        ("DeactivateMFADevice".to_owned(), "DeactivateMFADevice DeleteVirtualMFADevice".to_owned());
    let gone = Some("NoSuchEntity");
    assert_eq!(check(VIRTUAL, None, None).await, (Ok(()), both.clone()));
    assert_eq!(check(VIRTUAL, gone, None).await, (Ok(()), both.clone()), "half done before");
    assert_eq!(check(VIRTUAL, None, gone).await, (Ok(()), both.clone()));
    assert_eq!(check(VIRTUAL, gone, gone).await, (Err(Fault::NotFound), both.clone()));
    assert_eq!(check(VIRTUAL, None, Some("DeleteConflict")).await, (Err(Fault::Conflict), both));
    assert_eq!(check(VIRTUAL, Some("AccessDenied"), None).await, (Err(Fault::Denied), one.clone()));
    assert_eq!(check("GAHT12345678", None, None).await, (Ok(()), one.clone()));
    assert_eq!(check("GAHT12345678", gone, None).await, (Err(Fault::NotFound), one));
}
