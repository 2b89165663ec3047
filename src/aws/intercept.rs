//! Watches every request on its way: counts it, times it, and reads AWS's clock off the answer.
//!
//! Sees each attempt, so that what the SDK's repetitions pass over still shows. Changes nothing and
//! never fails a call.

use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::Format;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::actions::ACTIONS;
use super::clock::{SystemClock, timestamp};
use super::errors::classify;
use crate::core::time::Timestamp;
use crate::ports::{Clock, Fault};

/// From a call within the region to a read that needs all of its time.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// An attempt that AWS answered as asked.
const OK: &str = "ok";

/// All values of the label `outcome`: the faults' names and `ok`.
const FAULTS: &[Fault] = &[
    Fault::NotFound,
    Fault::AlreadyExists,
    Fault::Conflict,
    Fault::Quota,
    Fault::Throttled { retry_after: None },
    Fault::Denied,
    Fault::Invalid,
    Fault::Indeterminate,
];

/// Watches the requests of all clients; clones share the metrics.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    clock: SystemClock,
    requests: IntCounterVec,
    seconds: HistogramVec,
}

/// When an attempt began and when its request went out. Kept in the SDK's bag of this one call.
#[derive(Clone, Copy, Debug)]
struct Begun(Duration);

#[derive(Clone, Copy, Debug)]
struct Sent {
    wall: Timestamp,
    at: Duration,
}

impl Storable for Begun {
    type Storer = StoreReplace<Self>;
}

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl Watch {
    /// Registers the metrics, at 0 for every request that the program can make.
    pub(super) fn new(clock: SystemClock, registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "iam_user_controller_aws_requests_total",
                "HTTP requests to AWS, every attempt of a call counted.",
            ),
            &["service", "operation", "outcome"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "iam_user_controller_aws_request_duration_seconds",
                "Time to the answer of an HTTP request to AWS.",
            )
            .buckets(SECONDS.to_vec()),
            &["service", "operation"],
        )?;
        for action in ACTIONS.iter().filter(|action| action.via.is_none()) {
            for outcome in FAULTS.iter().map(|fault| fault.as_str()).chain([OK]) {
                requests.with_label_values(&[action.service, action.action, outcome]);
            }
        }
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { clock, requests, seconds })
    }

    /// The clock that takes in the measurements.
    pub(super) fn clock(&self) -> &SystemClock {
        &self.clock
    }

    /// `Date` tells whole seconds, rounded down, of some time between request and
    /// answer: half a second is added, and the middle of the round trip is compared.
    fn measure(&self, service: &'static str, sent: Sent, response: &HttpResponse) {
        let date = response.headers().get("date").map(|date| DateTime::from_str(date, Format::HttpDate));
        let Some(Ok(date)) = date else { return };
        let received = self.clock.monotonic();
        let theirs = timestamp(Some(&date)) + Duration::from_millis(500);
        let ours = sent.wall + received.saturating_sub(sent.at) / 2;
        let millis = |time: Timestamp| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.clock.measured(service, millis(theirs).saturating_sub(millis(ours)), received);
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(Begun(self.clock.monotonic()));
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let sent = Sent { wall: self.clock.now(), at: self.clock.monotonic() };
        bag.interceptor_state().store_put(sent);
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(sent), Some(metadata)) = (bag.load::<Sent>(), bag.load::<Metadata>()) {
            self.measure(prefix(metadata.service()), *sent, context.response());
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (Some(begun), Some(metadata)) = (bag.load::<Begun>(), bag.load::<Metadata>()) else {
            return Ok(());
        };
        let (service, operation) = (prefix(metadata.service()), metadata.name());
        let outcome = match (context.output_or_error(), context.response()) {
            (Some(Ok(_)), _) => OK,
            (_, Some(response)) => {
                let status = response.status().as_u16();
                classify(service, status, code(response).as_deref()).as_str()
            }
            (_, None) => Fault::Indeterminate.as_str(),
        };
        self.requests.with_label_values(&[service, operation, outcome]).inc();
        let seconds = self.clock.monotonic().saturating_sub(begun.0).as_secs_f64();
        self.seconds.with_label_values(&[service, operation]).observe(seconds);
        Ok(())
    }
}

/// The prefix of a service's actions in policies, from the SDK's name of the service.
fn prefix(service: &str) -> &'static str {
    match service {
        "IAM" => "iam",
        "SSM" => "ssm",
        "STS" => "sts",
        "DynamoDB" | "DynamoDB Streams" => "dynamodb",
        _ => "other",
    }
}

/// The error code in an answer, as JSON protocols (header or `__type`) and IAM's XML tell it. The
/// SDK reads it too, but into a type for each operation that an interceptor cannot name.
fn code(response: &HttpResponse) -> Option<String> {
    let in_header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let in_body = || {
        let body = std::str::from_utf8(response.body().bytes()?).ok()?;
        if let Ok(json) = serde_json::from_str::<serde_json::Value>(body) {
            return json.get("__type").or_else(|| json.get("code"))?.as_str().map(str::to_owned);
        }
        let (_, rest) = body.split_once("<Code>")?;
        rest.split_once("</Code>").map(|(code, _)| code.trim().to_owned())
    };
    let code = in_header.or_else(in_body)?;
    // `namespace#Code` and `Code:http://…` are the ways in which it may be dressed.
    let code = code.rsplit('#').next().unwrap_or_default();
    code.split(':').next().map(str::to_owned)
}
