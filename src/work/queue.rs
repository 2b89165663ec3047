//! The per-user work queue, with the semantics of client-go's workqueue.
//!
//! A user is collapsed while it waits, is never handed out while it is being worked on, and is looked
//! at once more when somebody asked for it meanwhile. First in, first out, but for those who are in a
//! [hurry](Queue::hurry). Knows neither IAM nor clocks: the caller passes the time, as a monotonic
//! duration. One task owns it (the executor).
//!
//! Holds at most one entry for each user that is waiting or being worked on, and nothing for others.
//! Every operation takes time logarithmic in the number of such users; [`Queue::take`] also moves the
//! users whose time has come, each once for each time that it was asked for.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// A queue of users, each of which is worked on by one worker at most.
#[derive(Clone, Debug)]
pub struct Queue<K> {
    /// Where every user is that the queue knows of.
    places: BTreeMap<K, Place>,
    /// Users to be handed out now, in the order in which they became so, in each of the two lines.
    ready: BTreeMap<(Line, Ticket), K>,
    /// Users to be handed out later; of those with one deadline, in the order in which it was asked for.
    delayed: BTreeMap<(Duration, Ticket), K>,
    /// Users of `delayed` that go into the first line.
    hurried: BTreeSet<K>,
    /// How many users are being worked on.
    working: usize,
    next_ticket: Ticket,
}

/// A number that grows with each request that is queued. At a billion a second it lasts 500 years.
type Ticket = u64;

/// Nobody of the second line is handed out while somebody is in the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    First,
    Second,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Ready(Line, Ticket),
    Delayed(Duration, Ticket),
    /// Being worked on, and what was asked for meanwhile.
    Working(Option<Wish>),
}

/// What was asked for while a user is being worked on; an earlier look is the smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Now,
    At(Duration),
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            places: BTreeMap::new(),
            ready: BTreeMap::new(),
            delayed: BTreeMap::new(),
            hurried: BTreeSet::new(),
            working: 0,
            next_ticket: 0,
        }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a look now.
    ///
    /// Changes nothing for a user that waits for its turn already. Takes the place of a deadline. Of a
    /// user that is being worked on it is remembered, and takes effect at [`Queue::done`].
    pub fn add(&mut self, key: K) {
        self.ask(key, Wish::Now);
    }

    /// Asks for a look at the monotonic time `at`, unless an earlier one is asked for.
    ///
    /// Of a user that is being worked on it is remembered, and takes effect at [`Queue::done`]. A time
    /// that has passed is as good as any other: [`Queue::take`] finds it due.
    pub fn add_at(&mut self, key: K, at: Duration) {
        self.ask(key, Wish::At(at));
    }

    /// A user that waits goes before all that are in no hurry, from its deadline on when it has one.
    ///
    /// For one whose work would be lost by a long wait. Holds until it is handed out; has no effect on
    /// users that do not wait.
    pub fn hurry(&mut self, key: &K) {
        match self.places.get_mut(key) {
            Some(Place::Ready(line, ticket)) => {
                self.ready.remove(&(*line, *ticket));
                *line = Line::First;
                self.ready.insert((*line, *ticket), key.clone());
            }
            Some(Place::Delayed(..)) => {
                self.hurried.insert(key.clone());
            }
            Some(Place::Working(_)) | None => {}
        }
    }

    fn ask(&mut self, key: K, wish: Wish) {
        match self.places.get_mut(&key) {
            None => self.place(key, wish),
            Some(Place::Ready(..)) => {}
            Some(Place::Working(remembered)) => {
                *remembered = Some(remembered.map_or(wish, |earlier| earlier.min(wish)));
            }
            Some(Place::Delayed(at, ticket)) => {
                let (at, ticket) = (*at, *ticket);
                if wish < Wish::At(at) {
                    self.delayed.remove(&(at, ticket));
                    self.place(key, wish);
                }
            }
        }
    }

    /// Lets a user wait that waits nowhere.
    fn place(&mut self, key: K, wish: Wish) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let place = match wish {
            Wish::Now => {
                let line = if self.hurried.remove(&key) { Line::First } else { Line::Second };
                self.ready.insert((line, ticket), key.clone());
                Place::Ready(line, ticket)
            }
            Wish::At(at) => {
                self.delayed.insert((at, ticket), key.clone());
                Place::Delayed(at, ticket)
            }
        };
        self.places.insert(key, place);
    }

    /// The next user that is due; from now on, until [`Queue::done`], it is being worked on.
    ///
    /// Users whose time has come get in line, in the order of their deadlines, behind those that are
    /// in their line already. A user that is being worked on is never handed out.
    pub fn take(&mut self, now: Duration) -> Option<K> {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            self.place(key, Wish::Now);
        }
        let (_, key) = self.ready.pop_first()?;
        self.places.insert(key.clone(), Place::Working(None));
        self.working += 1;
        Some(key)
    }

    /// The work on a user is over. What was asked for meanwhile takes effect.
    ///
    /// Has no effect on a user that is not being worked on.
    pub fn done(&mut self, key: &K) {
        let Some(Place::Working(remembered)) = self.places.get(key) else { return };
        let remembered = *remembered;
        self.working -= 1;
        self.places.remove(key);
        if let Some(wish) = remembered {
            self.place(key.clone(), wish);
        }
    }

    /// Drops every request for a user. One that is being worked on stays so until [`Queue::done`].
    pub fn forget(&mut self, key: &K) {
        let Entry::Occupied(mut entry) = self.places.entry(key.clone()) else { return };
        match *entry.get() {
            Place::Ready(line, ticket) => {
                self.ready.remove(&(line, ticket));
            }
            Place::Delayed(at, ticket) => {
                self.delayed.remove(&(at, ticket));
                self.hurried.remove(key);
            }
            Place::Working(_) => {
                entry.insert(Place::Working(None));
                return;
            }
        }
        entry.remove();
    }

    /// The earliest deadline of a user that waits for one. Until then [`Queue::take`] yields only
    /// users that are in line now; it may have passed, when nothing was taken since.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many users are in line. Those whose deadline has passed count from the next
    /// [`Queue::take`] on.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many users wait for a deadline.
    pub fn delayed(&self) -> usize {
        self.delayed.len()
    }

    /// How many users are being worked on.
    pub fn working(&self) -> usize {
        self.working
    }

    /// Whether a user is being worked on.
    pub fn is_working(&self, key: &K) -> bool {
        matches!(self.places.get(key), Some(Place::Working(_)))
    }
}
