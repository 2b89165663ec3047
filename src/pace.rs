//! Every call to AWS goes through here: paced for the whole account, and changes only while leading.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time;

use crate::lease::{Guard, Refused};
use crate::ports::{CallError, Clock, Fault, Ports};
use crate::work::limiter::{Limiter, LimiterSettings};

/// Which of AWS's rate limits a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// IAM: one limit an account, not published.
    Iam,
    /// SSM reads: GetParameter, 40 a second an account by default.
    ParameterReads,
    /// SSM writes: PutParameter, 3 a second an account by default.
    ParameterWrites,
}

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
    parameter_writes: Mutex<Limiter>,
}

impl Default for Pace {
    fn default() -> Self {
        let lane = |initial: f64, burst: u32| {
            Mutex::new(Limiter::new(LimiterSettings { initial, min: 0.5, max: 1_000.0, burst }))
        };
        // First guesses; what AWS throttles is what sets the pace from then on.
        Self { iam: lane(50.0, 100), parameter_reads: lane(40.0, 80), parameter_writes: lane(10.0, 30) }
    }
}

impl Pace {
    fn lane(&self, lane: Lane) -> &Mutex<Limiter> {
        match lane {
            Lane::Iam => &self.iam,
            Lane::ParameterReads => &self.parameter_reads,
            Lane::ParameterWrites => &self.parameter_writes,
        }
    }

    /// Makes a call that changes nothing.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn read<P: Ports, T>(
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
