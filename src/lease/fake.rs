//! A state table with one record, and machines that want it: what each call comes to, and how each
//! machine's clocks run, is in the test's hands.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time;

use super::RECORD;
use crate::core::time::Timestamp;
use crate::ports::{CallError, Clock, Fault, Ports, Record, StateError, StateStore, Untouched};

/// What becomes of a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It is lost itself.
    Lost,
    /// Its answer is lost, and it takes effect when [`Table::deliver`] says so.
    Late,
    /// It takes effect, and the answer takes so long.
    Slow(Duration),
}

type Write = (Option<Record>, Record);

#[derive(Default)]
pub(super) struct Table {
    pub(super) record: Option<Record>,
    /// Everything else that is in it.
    pub(super) others: Vec<Record>,
    /// What becomes of the next writes; of those after them, nothing special.
    pub(super) fates: VecDeque<Fate>,
    /// No read is answered.
    pub(super) unreadable: bool,
    /// Writes that were sent.
    pub(super) writes: usize,
    late: Vec<Write>,
}

impl Table {
    fn write(&mut self, (expected, new): Write) -> Result<(), StateError> {
        if self.record.as_ref() != Some(&new) && self.record != expected {
            return Err(StateError::Fenced);
        }
        self.record = Some(new);
        Ok(())
    }

    /// What was late arrives.
    pub(super) fn deliver(&mut self) {
        for write in std::mem::take(&mut self.late) {
            // Nobody waits for the answer.
            let _ = self.write(write);
        }
    }

    pub(super) fn token(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.token)
    }

    /// The token, and whether the lease was given back.
    pub(super) fn state(&self) -> (u64, bool) {
        (self.token(), self.released())
    }

    pub(super) fn released(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.body.contains(r#""released":true"#))
    }
}

struct Clocks {
    began: time::Instant,
    /// How far the wall clock was set forward, or went on while the machine slept.
    ahead: Duration,
    /// How fast they run, in percent.
    rate: u32,
}

/// One machine. Clones are handles to it.
#[derive(Clone)]
pub(super) struct Machine {
    table: Arc<Mutex<Table>>,
    clocks: Arc<Mutex<Clocks>>,
}

impl Machine {
    /// A machine with a table of its own.
    pub(super) fn new() -> Self {
        Self::beside_table(Arc::default())
    }

    /// Another machine at the same table.
    pub(super) fn another(&self) -> Self {
        Self::beside_table(self.table.clone())
    }

    fn beside_table(table: Arc<Mutex<Table>>) -> Self {
        // The machine's clocks stand on tokio's, so that pausing one pauses both.
        #[allow(clippy::disallowed_methods)]
        let began = time::Instant::now();
        let clocks = Clocks { began, ahead: Duration::ZERO, rate: 100 };
        Self { table, clocks: Arc::new(Mutex::new(clocks)) }
    }

    /// A machine whose clocks run at so many percent.
    pub(super) fn at_rate(self, percent: u32) -> Self {
        self.clocks.lock().unwrap().rate = percent;
        self
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    /// The next write comes to this.
    pub(super) fn fate(&self, fate: Fate) {
        self.table().fates.push_back(fate);
    }

    /// The machine is suspended for so long: its monotonic clock and its timers stand still meanwhile.
    pub(super) fn suspend(&self, time: Duration) {
        self.set_ahead(time);
    }

    /// Somebody sets the wall clock forward.
    pub(super) fn set_ahead(&self, time: Duration) {
        self.clocks.lock().unwrap().ahead += time;
    }
}

fn no_answer() -> CallError {
    CallError { fault: Fault::Indeterminate, call: "dynamodb:PutItem", detail: "no answer".to_owned() }
}

impl StateStore for Machine {
    async fn check(&self) -> Result<Result<(), String>, CallError> {
        unreachable!("the lease does not look at the table itself")
    }

    async fn load(&self) -> Result<Vec<Record>, CallError> {
        time::sleep(Duration::from_millis(5)).await;
        let table = self.table();
        if table.unreadable {
            return Err(no_answer());
        }
        Ok(table.record.iter().chain(&table.others).cloned().collect())
    }

    async fn get(&self, id: &str) -> Result<Option<Record>, CallError> {
        assert_eq!(id, RECORD);
        time::sleep(Duration::from_millis(5)).await;
        let table = self.table();
        if table.unreadable { Err(no_answer()) } else { Ok(table.record.clone()) }
    }

    async fn put(&self, _record: &Record) -> Result<(), StateError> {
        unreachable!("every write of the lease is conditional")
    }

    async fn delete(&self, _id: &str, _token: u64) -> Result<(), StateError> {
        unreachable!("the lease is never deleted: its token must not begin anew")
    }

    async fn swap(&self, expected: Option<&Record>, new: &Record) -> Result<(), StateError> {
        time::sleep(Duration::from_millis(5)).await;
        let write = (expected.cloned(), new.clone());
        let fate = {
            let mut table = self.table();
            table.writes += 1;
            table.fates.pop_front()
        };
        match fate {
            None => self.table().write(write),
            Some(Fate::AnswerLost) => {
                self.table().write(write)?;
                Err(no_answer().into())
            }
            Some(Fate::Lost) => Err(no_answer().into()),
            Some(Fate::Late) => {
                self.table().late.push(write);
                Err(no_answer().into())
            }
            Some(Fate::Slow(time)) => {
                let answer = self.table().write(write);
                time::sleep(time).await;
                answer
            }
        }
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        let clocks = self.clocks.lock().unwrap();
        Timestamp::from_secs(1_767_225_600) + clocks.began.elapsed() * clocks.rate / 100 + clocks.ahead
    }

    fn monotonic(&self) -> Duration {
        let clocks = self.clocks.lock().unwrap();
        clocks.began.elapsed() * clocks.rate / 100
    }

    fn skew_millis(&self) -> Option<i64> {
        None
    }

    fn random(&self) -> u64 {
        0
    }
}

impl Ports for Machine {
    type Directory = Untouched;
    type Vault = Untouched;
    type Identity = Untouched;
    type UsersTable = Untouched;
    type Streams = Untouched;
    type StateStore = Self;
    type Clock = Self;
    type Alarm = Untouched;

    fn directory(&self) -> &Untouched {
        &Untouched
    }
    fn vault(&self) -> &Untouched {
        &Untouched
    }
    fn identity(&self) -> &Untouched {
        &Untouched
    }
    fn users_table(&self) -> &Untouched {
        &Untouched
    }
    fn streams(&self) -> &Untouched {
        &Untouched
    }
    fn state(&self) -> &Self {
        self
    }
    fn clock(&self) -> &Self {
        self
    }
    fn alarm(&self) -> &Untouched {
        &Untouched
    }
}
