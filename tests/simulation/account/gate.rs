//! The gate that every call of the program passes: counted, traced, perhaps gone wrong, judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iam_user_controller::ports::{CallError, Fault, Ports};

use super::{Account, Deferred, Made, Sent, World, refused};
use crate::faults::{Call, Kind};
use crate::invariants;
use crate::prng::Prng;

/// The ports of one start of one replica.
#[derive(Clone)]
pub(crate) struct ReplicaPorts(Arc<Inner>);

struct Inner {
    account: Account,
    replica: usize,
    incarnation: u32,
    prng: Mutex<Prng>,
    answered: AtomicBool,
}

impl ReplicaPorts {
    pub(super) fn new(account: Account, replica: usize, incarnation: u32, seed: u64) -> Self {
        Self(Arc::new(Inner {
            account,
            replica,
            incarnation,
            prng: Mutex::new(Prng::new(seed)),
            answered: AtomicBool::new(false),
        }))
    }

    pub(crate) fn account(&self) -> &Account {
        &self.0.account
    }

    pub(crate) fn replica(&self) -> usize {
        self.0.replica
    }

    pub(crate) fn incarnation(&self) -> u32 {
        self.0.incarnation
    }

    pub(super) fn draw(&self) -> u64 {
        self.0.prng.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// Whether AWS has answered anything yet.
    pub(super) fn answered(&self) -> bool {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// A call that changes nothing.
    pub(super) async fn read<T, E>(
        &self,
        call: Call,
        subject: &str,
        look: impl FnOnce(&mut World) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        E: From<CallError> + Outcome,
    {
        self.awake().await;
        let plan = self.enter(call, subject);
        if plan.fault == Some(Kind::FreezeBefore) {
            self.awake().await;
        }
        self.travel(plan.there, plan.sent).await;
        let answer = match plan.fault {
            Some(Kind::CrashBefore | Kind::CrashAfter) => self.die().await,
            Some(Kind::Error | Kind::TimeOut | Kind::Throttled | Kind::Denied) => {
                Err(plan.error(call).into())
            }
            other => {
                let mut world = self.0.account.lock();
                world.forced_stale = other == Some(Kind::Stale);
                world.quirk =
                    other.filter(|kind| matches!(kind, Kind::Duplicate | Kind::EmptyPage | Kind::Expired));
                let answer = look(&mut world);
                world.forced_stale = false;
                answer
            }
        };
        self.travel(plan.back, false).await;
        self.leave(&plan, call, subject, answer.as_ref().err().map(Outcome::word));
        answer
    }

    /// A call that changes something. The effect outlives the caller: it may come late.
    pub(super) async fn change<T, E, F>(&self, call: Call, subject: &str, effect: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CallError> + Outcome + Send + 'static,
        F: FnOnce(&mut World) -> Result<T, E> + Send + 'static,
    {
        self.awake().await;
        let plan = self.enter(call, subject);
        if plan.fault == Some(Kind::FreezeBefore) {
            self.awake().await;
        }
        let sent = self.send(&plan, call, subject);
        let mut flight = Flight {
            ports: self,
            number: plan.number,
            sent,
            effect: plan.sent.then_some(effect),
            landed: None,
        };
        self.travel(plan.there, plan.sent).await;
        let answer = match plan.fault {
            Some(Kind::CrashBefore) => {
                flight.effect = None;
                self.die().await
            }
            Some(Kind::CrashAfter) => {
                flight.land(false);
                self.die().await
            }
            Some(Kind::CrashLate) => {
                flight.defer();
                self.die().await
            }
            Some(Kind::Late) => {
                flight.defer();
                Err(plan.error(call).into())
            }
            Some(Kind::FreezeSending) => {
                flight.defer_until_awake();
                Err(plan.error(call).into())
            }
            Some(Kind::Lost) => {
                flight.land(false);
                Err(plan.error(call).into())
            }
            Some(Kind::TimeOut) => {
                // Before the answer is given up, after it, or never: as the draw will have it.
                match plan.draw % 3 {
                    0 => flight.effect = None,
                    1 => flight.defer(),
                    _ => flight.land(false),
                }
                Err(plan.error(call).into())
            }
            Some(Kind::Error | Kind::Throttled | Kind::Denied) => {
                flight.effect = None;
                Err(plan.error(call).into())
            }
            // Whoever wants to send something while the machine sleeps finds the connection broken.
            _ if !plan.sent => {
                flight.effect = None;
                Err(refused(call, Fault::Indeterminate, "simulated").into())
            }
            other => {
                flight.land(other == Some(Kind::Stale));
                match flight.landed.take() {
                    Some(answer) => answer,
                    None => Err(plan.error(call).into()),
                }
            }
        };
        self.travel(plan.back, false).await;
        drop(flight);
        self.leave(&plan, call, subject, answer.as_ref().err().map(Outcome::word));
        answer
    }

    fn enter(&self, call: Call, subject: &str) -> Plan {
        let Inner { account, replica, incarnation, .. } = &*self.0;
        let mut guard = account.lock();
        let world = &mut *guard;
        let state = &world.replicas[*replica];
        if state.crashed || state.incarnation != *incarnation {
            // A dead process makes no calls; `travel` never returns.
            return Plan { number: 0, begun_ms: 0, sent: false, fault: None, there: 0, back: 0, draw: 0 };
        }
        let sent = !state.asleep;
        world.calls += 1;
        let number = world.calls;
        if number == world.max_calls {
            invariants::violation(world, 8, format!("{number} calls, and no end"));
        }
        if world.keep_text {
            world.call_log.push(Made { call, leads: world.book.leads(*replica) });
        }
        let fault = world.faults.decide(call, subject, number, &mut world.prng);
        let fault = fault.or_else(|| world.is_beyond_its_limit(call).then_some(Kind::Throttled));
        if let Some(kind) = fault {
            world.occasions.fault(kind);
        }
        let (low, high) = world.conduct.travel_ms;
        let mut way = || if high == 0 { 0 } else { world.prng.between(low, high) };
        let (mut there, mut back) = (way(), way());
        let mut draw = 0;
        match fault {
            Some(Kind::Slow) => there += world.prng.between(1_000, world.conduct.call_timeout_ms * 9 / 10),
            Some(Kind::TimeOut) => {
                draw = world.prng.next();
                there = world.prng.below(world.conduct.call_timeout_ms);
                back = world.conduct.call_timeout_ms - there;
            }
            Some(Kind::Throttled) => draw = world.prng.next(),
            Some(Kind::FreezeBefore | Kind::FreezeAfter | Kind::FreezeSending) => {
                world.replicas[*replica].frozen_until_ms = world.now + world.conduct.freeze_ms;
            }
            _ => {}
        }
        world.note(
            number << 16 | (call as u64) << 8 | fault.map_or(0xFF, |kind| kind as u64),
            *replica,
            subject,
            || match fault {
                None => format!("#{number} {}", call.name()),
                Some(kind) => format!("#{number} {} <{kind:?}>", call.name()),
            },
        );
        if world.book.violated() {
            account.0.violated.notify_one();
        }
        Plan { number, begun_ms: world.now, sent, fault, there, back, draw }
    }

    /// A change leaves the process.
    fn send(&self, plan: &Plan, call: Call, subject: &str) -> Sent {
        if plan.number == 0 || !call.mutates_users() {
            return Sent::default();
        }
        let Inner { account, replica, .. } = &*self.0;
        let mut world = account.lock();
        world.changes += 1;
        invariants::take_off(&mut world, *replica, plan.number, plan.begun_ms, call, subject);
        if world.book.violated() {
            account.0.violated.notify_one();
        }
        Sent { user: Some(subject.to_owned()), token: world.book.token(*replica) }
    }

    fn leave(&self, plan: &Plan, call: Call, subject: &str, error: Option<&'static str>) {
        self.0.answered.store(true, Ordering::Relaxed);
        let Some(error) = error else { return };
        let number = plan.number;
        let word = number << 16 | (call as u64) << 8 | 0xFE;
        self.0.account.lock().note(word, self.0.replica, subject, || format!("#{number} answers {error}"));
    }

    /// Lets simulated time pass and others run. Does not return while paused, nor ever when dead; nor
    /// while the machine sleeps, but for what was sent before.
    async fn travel(&self, ms: u64, sent: bool) {
        if ms == 0 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let Inner { account, replica, incarnation, .. } = &*self.0;
        loop {
            let mut switched = std::pin::pin!(account.0.switched.notified());
            switched.as_mut().enable();
            let (alive, held, frozen_ms) = {
                let world = account.lock();
                let state = &world.replicas[*replica];
                let alive = !state.crashed && state.incarnation == *incarnation;
                let frozen_ms = if sent { 0 } else { state.frozen_until_ms.saturating_sub(world.now) };
                (alive, state.paused || (state.asleep && !sent) || frozen_ms > 0, frozen_ms)
            };
            if !alive {
                std::future::pending::<()>().await;
            }
            if !held {
                return;
            }
            if frozen_ms == 0 {
                switched.await;
            } else {
                let _ = tokio::time::timeout(Duration::from_millis(frozen_ms), switched).await;
            }
        }
    }

    /// Returns at once, unless the process stands still: nothing is begun then.
    async fn awake(&self) {
        let Inner { account, replica, incarnation, .. } = &*self.0;
        loop {
            let (alive, frozen_ms) = {
                let world = account.lock();
                let state = &world.replicas[*replica];
                let alive = !state.crashed && state.incarnation == *incarnation;
                (alive, state.frozen_until_ms.saturating_sub(world.now))
            };
            if frozen_ms == 0 {
                return;
            }
            if !alive {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(frozen_ms)).await;
        }
    }

    async fn die<T>(&self) -> T {
        self.0.account.crash(self.0.replica);
        std::future::pending().await
    }
}

impl World {
    /// Counts the call, and whether it is one too many in this second.
    fn is_beyond_its_limit(&mut self, call: Call) -> bool {
        let limit = self.conduct.limits.iter().find(|(calls, _)| call.name().starts_with(calls));
        let Some((calls, most)) = limit else { return false };
        let second = self.now / 1_000;
        let spent = self.spent.entry(calls).or_default();
        *spent = (second, if spent.0 == second { spent.1 + 1 } else { 1 });
        spent.1 > *most
    }
}

/// What becomes of one call.
struct Plan {
    number: u64,
    begun_ms: u64,
    /// It was on its way before the machine fell asleep, if it did.
    sent: bool,
    fault: Option<Kind>,
    there: u64,
    back: u64,
    draw: u64,
}

impl Plan {
    fn error(&self, call: Call) -> CallError {
        let fault = match self.fault {
            Some(Kind::Throttled) => {
                let asked = self.draw.is_multiple_of(4).then(|| Duration::from_secs(1 + self.draw / 4 % 5));
                Fault::Throttled { retry_after: asked }
            }
            Some(Kind::Denied) => Fault::Denied,
            _ => Fault::Indeterminate,
        };
        refused(call, fault, "simulated")
    }
}

/// A change on its way. Dropped before it landed (the caller has given up, or is dead), it may
/// still arrive.
struct Flight<'a, T, E, F>
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&mut World) -> Result<T, E> + Send + 'static,
{
    ports: &'a ReplicaPorts,
    number: u64,
    sent: Sent,
    effect: Option<F>,
    landed: Option<Result<T, E>>,
}

impl<T, E, F> Flight<'_, T, E, F>
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&mut World) -> Result<T, E> + Send + 'static,
{
    fn land(&mut self, stale: bool) {
        let Some(effect) = self.effect.take() else { return };
        let account = self.ports.account();
        let mut world = account.lock();
        invariants::arrives(&mut world, self.ports.replica(), &self.sent);
        world.forced_stale = stale;
        self.landed = Some(world.take_effect(effect));
        world.forced_stale = false;
        if world.book.violated() {
            account.0.violated.notify_one();
        }
    }

    fn defer(&mut self) {
        if self.effect.is_none() {
            return;
        }
        let mut world = self.ports.account().lock();
        let due_ms = world.now + 1 + world.prng.clone().below(world.conduct.late_ms);
        world.prng.next();
        drop(world);
        self.defer_until(due_ms);
    }

    fn defer_until_awake(&mut self) {
        let due_ms = self.ports.account().lock().replicas[self.ports.replica()].frozen_until_ms;
        self.defer_until(due_ms);
    }

    fn defer_until(&mut self, due_ms: u64) {
        let Some(effect) = self.effect.take() else { return };
        let mut world = self.ports.account().lock();
        let effect = Box::new(move |world: &mut World| drop(effect(world)));
        let sent = std::mem::take(&mut self.sent);
        world.deferred.push(Deferred { due_ms, replica: self.ports.replica(), sent, effect });
    }
}

impl<T, E, F> Drop for Flight<'_, T, E, F>
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&mut World) -> Result<T, E> + Send + 'static,
{
    fn drop(&mut self) {
        let arrives = {
            let mut world = self.ports.account().lock();
            world.book.lands(self.number);
            self.effect.is_some() && self.number != 0 && !world.ended && world.prng.chance(500)
        };
        if arrives {
            self.defer();
        }
    }
}

/// How a failed call is written into the trace.
pub(crate) trait Outcome {
    fn word(&self) -> &'static str;
}

impl Outcome for CallError {
    fn word(&self) -> &'static str {
        self.fault.as_str()
    }
}

impl Ports for ReplicaPorts {
    type Directory = Self;
    type Vault = Self;
    type Identity = Self;
    type UsersTable = Self;
    type Streams = Self;
    type StateStore = Self;
    type Clock = Self;
    type Alarm = Self;

    fn directory(&self) -> &Self {
        self
    }
    fn vault(&self) -> &Self {
        self
    }
    fn identity(&self) -> &Self {
        self
    }
    fn users_table(&self) -> &Self {
        self
    }
    fn streams(&self) -> &Self {
        self
    }
    fn state(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
    fn alarm(&self) -> &Self {
        self
    }
}
