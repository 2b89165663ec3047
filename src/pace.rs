//! Every call that counts against a limit of the whole account goes through here: paced, repeated when
//! AWS refuses a read for load, and changes only while leading.
//!
//! Each attempt counts: the limiter of a lane hears of every answer. A repetition below it, as the SDK
//! makes them, would hide refusals, and the lane would go faster while AWS refuses half of its calls. So the
//! adapters send each of these calls once, and reads are repeated [here](Pace::read).
//!
//! | lane | calls |
//! |---|---|
//! | [`Lane::Iam`] | everything of IAM |
//! | [`Lane::ParameterReads`] | `ssm:GetParameter` |
//! | [`Lane::ParameterLists`] | `ssm:DescribeParameters` |
//! | [`Lane::ParameterWrites`] | `ssm:PutParameter`, `ssm:DeleteParameter` |
//! | [`Lane::Proofs`] | `sts:GetCallerIdentity` with a new key |
//!
//! What is not paced is listed in [`UNPACED`], each with its reason.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time;

use crate::config;
use crate::lease::{Guard, Refused};
use crate::ports::{CallError, Clock, Fault, Ports};
use crate::work::limiter::{Limiter, LimiterSettings};

/// Which of AWS's rate limits a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// IAM: one limit an account, not published.
    Iam,
    /// SSM reads: 40 a second for an account and Region by default.
    ParameterReads,
    /// SSM lists: fewer than reads.
    ParameterLists,
    /// SSM writes: PutParameter, 3 a second for an account and Region by default.
    ParameterWrites,
    /// STS: calls that are signed with a new key.
    Proofs,
}

impl Lane {
    /// The lane of a call that is named as policies name it; `None` for those in [`UNPACED`].
    pub fn of(call: &str) -> Option<Self> {
        match call {
            "ssm:GetParameter" => Some(Self::ParameterReads),
            "ssm:DescribeParameters" => Some(Self::ParameterLists),
            "ssm:PutParameter" | "ssm:DeleteParameter" => Some(Self::ParameterWrites),
            "sts:GetCallerIdentity" => Some(Self::Proofs),
            iam if iam.starts_with("iam:") => Some(Self::Iam),
            _ => None,
        }
    }
}

/// Calls that no lane paces, and why.
pub const UNPACED: &[(&str, &str)] = &[
    (
        "dynamodb:DescribeTable",
        "one at the start, one each sweep and one a minute for the stream; AWS takes 2,500 a second",
    ),
    (
        "dynamodb:GetItem",
        "one a look, which IAM's lane paces; a table's reads are limited for itself, not for the account",
    ),
    ("dynamodb:Scan", "one page after the other, once a sweep"),
    ("dynamodb:DescribeStream", "at most 8 of 10 a second, by the feed's own spacing"),
    ("dynamodb:GetShardIterator", "one for each shard and 15 minutes"),
    ("dynamodb:GetRecords", "at most 5 a second and shard, by the feed's own spacing"),
    ("dynamodb:PutItem", "the controller's own table: the lease, and a checkpoint a second and shard"),
    ("dynamodb:DeleteItem", "the controller's own table: what is finished"),
    ("kms:Encrypt", "SSM makes it for each write of a parameter, which is paced"),
    ("kms:GenerateDataKey", "SSM makes it for each write of a parameter, which is paced"),
    ("kms:Decrypt", "SSM makes it for each read of a parameter, which is paced"),
];

/// [`Directory::leftovers`](crate::ports::Directory::leftovers) is one read for each of its eight kinds:
/// so many more than one.
pub const LEFTOVER_CALLS: u32 = 7;

/// Attempts of a read. What is refused more often is the queue's business.
const READ_ATTEMPTS: u32 = 3;

/// Before the second attempt of a read without an answer, at most; doubles from there. After one that was
/// refused for load, the limiter says how long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// No lane gets slower than this many calls a second.
const SLOWEST: f64 = 0.5;

/// STS takes 600 calls a second of an account and Region; a crowd of new keys needs far fewer.
const PROOFS: config::Rate = config::Rate { start: 20, most: 200 };

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Too little is left of the lease.
    #[error("the lease does not last for another call")]
    LeaseEnds,
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The account-wide pace of calls.
pub struct Pace {
    iam: Mutex<Limiter>,
    parameter_reads: Mutex<Limiter>,
    parameter_lists: Mutex<Limiter>,
    parameter_writes: Mutex<Limiter>,
    proofs: Mutex<Limiter>,
}

impl Pace {
    /// Lanes at their start rates. `now` is monotonic.
    pub fn new(settings: &config::Pace, now: Duration) -> Self {
        let lane = |rate: config::Rate| {
            Mutex::new(Limiter::new(
                LimiterSettings {
                    initial: f64::from(rate.start),
                    min: SLOWEST,
                    max: f64::from(rate.most),
                    // After an idle second, half as much again as the start rate at the most.
                    burst: rate.start / 2,
                },
                now,
            ))
        };
        Self {
            iam: lane(settings.iam),
            parameter_reads: lane(settings.parameter_reads),
            parameter_lists: lane(settings.parameter_lists),
            parameter_writes: lane(settings.parameter_writes),
            proofs: lane(PROOFS),
        }
    }

    fn lane(&self, lane: Lane) -> &Mutex<Limiter> {
        match lane {
            Lane::Iam => &self.iam,
            Lane::ParameterReads => &self.parameter_reads,
            Lane::ParameterLists => &self.parameter_lists,
            Lane::ParameterWrites => &self.parameter_writes,
            Lane::Proofs => &self.proofs,
        }
    }

    /// Makes a call that changes nothing; repeats it when AWS refuses it for load or gives no answer.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub async fn read<P: Ports, T, F>(
        &self,
        ports: &P,
        lane: Lane,
        call: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut pause = FIRST_PAUSE;
        for _ in 1..READ_ATTEMPTS {
            match self.page(ports, lane, &call).await {
                Err(CallError { fault: Fault::Indeterminate, .. }) => {
                    let part = (ports.clock().random() >> 11) as f64 / (1_u64 << 53) as f64;
                    time::sleep(pause.mul_f64(0.5 + part / 2.0)).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
        self.attempt(ports, lane, call()).await
    }

    /// As [`read`](Self::read), for a call that the caller repeats in another form when it has no answer.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub async fn page<P: Ports, T, F>(
        &self,
        ports: &P,
        lane: Lane,
        call: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        for _ in 1..READ_ATTEMPTS {
            match self.attempt(ports, lane, call()).await {
                Err(CallError { fault: Fault::Throttled { .. }, .. }) => {}
                answer => return answer,
            }
        }
        self.attempt(ports, lane, call()).await
    }

    /// Waits for so many calls more than the one that is made next, which is that many at once.
    pub async fn besides<P: Ports>(&self, ports: &P, lane: Lane, calls: u32) {
        for _ in 0..calls {
            self.wait(ports, lane).await;
        }
    }

    /// Makes one attempt of a call that changes nothing.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn attempt<P: Ports, T>(
        &self,
        ports: &P,
        lane: Lane,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        self.wait(ports, lane).await;
        let answer = call.await;
        self.note(ports, lane, answer.as_ref().err());
        answer
    }

    /// Makes a call that changes something, if the lease lasts for it.
    ///
    /// # Errors
    /// [`ChangeError::LeaseEnds`] when the call was not made; a call whose answer does not come
    /// before the lease ends is [`Fault::Indeterminate`].
    pub async fn change<P: Ports, T>(
        &self,
        ports: &P,
        lease: &Guard<P>,
        lane: Lane,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, ChangeError> {
        self.wait(ports, lane).await;
        let answer = match lease.make(call).await {
            Ok(answer) => answer,
            Err(Refused::NotBegun) => return Err(ChangeError::LeaseEnds),
            Err(Refused::NotWaitedFor) => Err(CallError {
                fault: Fault::Indeterminate,
                call: "change",
                detail: "no answer in time".to_owned(),
            }),
        };
        self.note(ports, lane, answer.as_ref().err());
        Ok(answer?)
    }

    async fn wait<P: Ports>(&self, ports: &P, lane: Lane) {
        let now = ports.clock().monotonic();
        let pause = self.lane(lane).lock().unwrap_or_else(PoisonError::into_inner).acquire(now);
        if pause > Duration::ZERO {
            time::sleep(pause).await;
        }
    }

    fn note<P: Ports>(&self, ports: &P, lane: Lane, error: Option<&CallError>) {
        let now = ports.clock().monotonic();
        let mut limiter = self.lane(lane).lock().unwrap_or_else(PoisonError::into_inner);
        match error.map(|error| error.fault) {
            None => limiter.succeeded(now),
            Some(Fault::Throttled { retry_after }) => limiter.throttled(now, retry_after),
            Some(_) => {}
        }
    }
}
