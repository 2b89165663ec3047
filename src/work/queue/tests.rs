//! The queue against a model that is too simple to be wrong: a list of requests, searched linearly.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::Queue;

/// Few users, so that they meet.
const USERS: u8 = 5;

fn seconds(at: u64) -> Duration {
    Duration::from_secs(at)
}

#[derive(Clone, Debug)]
enum Call {
    Add(u8),
    /// So many seconds from now; zero is due at once.
    AddIn(u8, u64),
    Take,
    Done(u8),
    Forget(u8),
    Hurry(u8),
    Pass(u64),
}

/// What was asked for, in words: nobody waits twice, so each list has a user once at most.
#[derive(Clone, Debug, Default)]
struct Model {
    now: u64,
    /// In line, first one first; but for those in a hurry, who come before them.
    line: Vec<u8>,
    /// Those who wait and are in a hurry.
    hurried: BTreeSet<u8>,
    /// Deadline and user, in the order in which the deadline was set.
    deadlines: Vec<(u64, u8)>,
    working: BTreeSet<u8>,
    /// Asked for while being worked on: `None` is now.
    remembered: Vec<(u8, Option<u64>)>,
    /// What the last `Take` yields.
    taken: Option<u8>,
}

impl Model {
    fn ask(&mut self, user: u8, at: Option<u64>) {
        if self.working.contains(&user) {
            let before = self.remembered.iter().position(|(u, _)| *u == user);
            match before {
                None => self.remembered.push((user, at)),
                Some(i) => {
                    // `None` is less than any time, as "now" is.
                    self.remembered[i].1 = self.remembered[i].1.min(at);
                }
            }
            return;
        }
        if self.line.contains(&user) {
            return;
        }
        let before = self.deadlines.iter().find(|(_, u)| *u == user).map(|(at, _)| *at);
        if let (Some(before), Some(at)) = (before, at)
            && before <= at
        {
            return;
        }
        self.deadlines.retain(|(_, u)| *u != user);
        match at {
            None => self.line.push(user),
            Some(at) => self.deadlines.push((at, user)),
        }
    }

    fn take(&mut self) -> Option<u8> {
        let mut due: Vec<_> = self.deadlines.iter().copied().filter(|(at, _)| *at <= self.now).collect();
        due.sort_by_key(|(at, _)| *at);
        self.deadlines.retain(|(at, _)| *at > self.now);
        self.line.extend(due.into_iter().map(|(_, user)| user));
        if self.line.is_empty() {
            return None;
        }
        let first = self.line.iter().position(|user| self.hurried.contains(user));
        let user = self.line.remove(first.unwrap_or(0));
        self.hurried.remove(&user);
        self.working.insert(user);
        Some(user)
    }

    fn done(&mut self, user: u8) {
        if !self.working.remove(&user) {
            return;
        }
        if let Some(i) = self.remembered.iter().position(|(u, _)| *u == user) {
            let (_, at) = self.remembered.remove(i);
            self.ask(user, at);
        }
    }

    fn forget(&mut self, user: u8) {
        self.line.retain(|u| *u != user);
        self.deadlines.retain(|(_, u)| *u != user);
        self.remembered.retain(|(u, _)| *u != user);
        self.hurried.remove(&user);
    }

    fn hurry(&mut self, user: u8) {
        if self.line.contains(&user) || self.deadlines.iter().any(|(_, u)| *u == user) {
            self.hurried.insert(user);
        }
    }

    fn wanted(&self) -> BTreeSet<u8> {
        let waiting = self.line.iter().copied().chain(self.deadlines.iter().map(|(_, u)| *u));
        waiting.chain(self.remembered.iter().map(|(u, _)| *u)).collect()
    }
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Call;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Call> {
        let user = 0..USERS;
        prop_oneof![
            4 => user.clone().prop_map(Call::Add),
            4 => (user.clone(), 0_u64..6).prop_map(|(user, wait)| Call::AddIn(user, wait)),
            5 => Just(Call::Take),
            4 => user.clone().prop_map(Call::Done),
            1 => user.clone().prop_map(Call::Forget),
            2 => user.prop_map(Call::Hurry),
            3 => (0_u64..4).prop_map(Call::Pass),
        ]
        .boxed()
    }

    fn apply(mut model: Model, call: &Call) -> Model {
        model.taken = None;
        match *call {
            Call::Add(user) => model.ask(user, None),
            Call::AddIn(user, wait) => model.ask(user, Some(model.now + wait)),
            Call::Take => model.taken = model.take(),
            Call::Done(user) => model.done(user),
            Call::Forget(user) => model.forget(user),
            Call::Hurry(user) => model.hurry(user),
            Call::Pass(time) => model.now += time,
        }
        model
    }
}

struct Checked;

impl StateMachineTest for Checked {
    type SystemUnderTest = Queue<u8>;
    type Reference = Model;

    fn init_test(_: &Model) -> Queue<u8> {
        Queue::new()
    }

    fn apply(mut queue: Queue<u8>, model: &Model, call: Call) -> Queue<u8> {
        let now = seconds(model.now);
        match call {
            Call::Add(user) => queue.add(user),
            Call::AddIn(user, wait) => queue.add_at(user, seconds(model.now + wait)),
            Call::Take => {
                let working: Vec<u8> = (0..USERS).filter(|user| queue.is_working(user)).collect();
                let taken = queue.take(now);
                assert!(taken.is_none_or(|user| !working.contains(&user)), "handed out twice at once");
                assert_eq!(taken, model.taken);
            }
            Call::Done(user) => queue.done(&user),
            Call::Forget(user) => queue.forget(&user),
            Call::Hurry(user) => queue.hurry(&user),
            Call::Pass(_) => {}
        }
        queue
    }

    fn check_invariants(queue: &Queue<u8>, model: &Model) {
        assert_eq!(queue.ready(), model.line.len());
        assert_eq!(queue.delayed(), model.deadlines.len());
        assert_eq!(queue.working(), model.working.len());
        assert!((0..USERS).all(|user| queue.is_working(&user) == model.working.contains(&user)));
        assert_eq!(queue.next_deadline(), model.deadlines.iter().map(|(at, _)| seconds(*at)).min());
        assert_eq!(queue.places.len(), queue.ready() + queue.delayed() + queue.working(), "bounded");
        assert!(queue.hurried.len() <= queue.delayed(), "bounded");
        everything_asked_for_is_handed_out(queue.clone(), model);
    }
}

/// Liveness: with the work done and time passing, each user that was asked for comes, once, and then
/// nothing is left.
fn everything_asked_for_is_handed_out(mut queue: Queue<u8>, model: &Model) {
    let mut wanted = model.wanted();
    (0..USERS).for_each(|user| queue.done(&user));
    let mut now = seconds(model.now);
    loop {
        while let Some(user) = queue.take(now) {
            assert!(wanted.remove(&user), "nobody asked for {user}");
            queue.done(&user);
        }
        let Some(deadline) = queue.next_deadline() else { break };
        assert!(deadline > now, "take at the deadline yields the user");
        now = deadline;
    }
    assert_eq!(wanted, BTreeSet::new());
    assert!(queue.places.is_empty());
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_the_model(sequential 1..60 => Checked);
}

/// The contract in small, as a reader would ask for it.
#[test]
fn a_user_asked_for_while_it_is_worked_on_is_looked_at_once_more() {
    let mut queue = Queue::new();
    queue.add("a");
    queue.add("b");
    queue.add("a");
    assert_eq!(queue.take(seconds(0)), Some("a"));
    queue.add("a");
    queue.add_at("a", seconds(9));
    assert_eq!(queue.take(seconds(0)), Some("b"));
    assert_eq!(queue.take(seconds(0)), None, "a is being worked on");
    queue.done(&"a");
    assert_eq!(queue.take(seconds(0)), Some("a"));
    queue.done(&"a");
    assert_eq!((queue.take(seconds(99)), queue.next_deadline()), (None, None), "now includes later");
}
