//! What is counted, and AWS's clock.

use iam_user_controller::aws::actions::ACTIONS;
use iam_user_controller::ports::{Clock, Directory, Ports, Streams, Vault};

use crate::canned::{Answer, Aws, json_error, name, xml_error, xml_result};
use crate::ssm::parameter;

fn count(aws: &Aws, operation: &str, outcome: &str) -> Option<u64> {
    let families = aws.registry.gather();
    let requests = families.iter().find(|f| f.name() == "iam_user_controller_aws_requests_total")?;
    let metric = requests.get_metric().iter().find(|metric| {
        let labels = metric.get_label();
        let has = |name: &str, value: &str| labels.iter().any(|l| l.name() == name && l.value() == value);
        has("operation", operation) && has("outcome", outcome)
    })?;
    Some(metric.get_counter().get_value() as u64)
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_counted_by_what_came_of_it() {
    let login =
        "<LoginProfile><UserName>mail</UserName><CreateDate>2026-01-31T12:00:00Z</CreateDate></LoginProfile>";
    let aws = Aws::answers(&[
        xml_error(400, "Throttling", "Rate exceeded"),
        Answer::Silence,
        xml_result("GetLoginProfile", login),
        json_error(400, "AccessDeniedException", "?"),
        json_error(400, "ExpiredIteratorException", "?"),
    ])
    .await;
    assert!(aws.ports.directory().has_console_login(&name("mail")).await.unwrap());
    assert!(aws.ports.vault().delete(&parameter()).await.is_err());
    let iterator = iam_user_controller::ports::ShardIterator("i".to_owned());
    assert!(aws.ports.streams().records(&iterator).await.is_err());
    for (operation, outcome, times) in [
        ("GetLoginProfile", "throttled", 1),
        ("GetLoginProfile", "indeterminate", 1),
        ("GetLoginProfile", "ok", 1),
        ("GetLoginProfile", "denied", 0),
        ("DeleteParameter", "denied", 1),
        ("GetRecords", "invalid", 1),
    ] {
        assert_eq!(count(&aws, operation, outcome), Some(times), "{operation} {outcome}");
    }
}

#[tokio::test]
async fn every_request_that_can_be_made_is_there_from_the_start() {
    let aws = Aws::answers(&[Answer::Broken]).await;
    for action in ACTIONS.iter().filter(|action| action.via.is_none()) {
        assert_eq!(count(&aws, action.action, "indeterminate"), Some(0), "{}", action.action);
    }
}

#[tokio::test]
async fn the_date_of_an_answer_tells_the_skew() {
    let dated = |date: &str| {
        let Answer::Http(status, mut headers, body) = xml_error(404, "NoSuchEntity", "?") else {
            unreachable!()
        };
        headers.push(("date", date.to_owned()));
        Answer::Http(status, headers, body)
    };
    let aws = Aws::answers(&[
        xml_error(404, "NoSuchEntity", "?"),
        dated("yesterday"),
        dated("Wed, 21 Oct 2015 07:28:00 GMT"),
    ])
    .await;
    let ask = async || {
        aws.ports.directory().user(&name("mail")).await.unwrap();
        aws.ports.clock().skew_millis()
    };
    assert_eq!(ask().await, None, "no Date");
    assert_eq!(ask().await, None, "no date in it");
    let ours = aws.ports.clock().now().as_millis() as i64;
    let skew = ask().await.unwrap();
    assert!((ours + skew - 1_445_412_480_500).abs() < 5_000, "{skew}");
}
