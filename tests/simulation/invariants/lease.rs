//! 5, 6: who leads, and what is sent or arrives under which lease.

use iam_user_controller::ports::Record;

use super::{Excuse, excused, violation};
use crate::account::{Sent, World};
use crate::faults::Call;

/// A change that was sent and has not been answered.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) number: u64,
    pub(super) replica: usize,
    pub(super) subject: String,
    pub(super) begun_ms: u64,
}

/// 5: a change is sent. One user, one worker; and who does not lead begins nothing.
pub(crate) fn take_off(
    world: &mut World,
    replica: usize,
    number: u64,
    begun_ms: u64,
    call: Call,
    subject: &str,
) {
    let flight = InFlight { number, replica, subject: subject.to_owned(), begun_ms };
    // What was begun before another took the lease over counts when it arrives.
    if world.book.holder.is_some_and(|(holder, since)| holder != replica && begun_ms <= since) {
        world.book.in_flight.push(flight);
        excused(world, Excuse::BegunBefore, subject);
        return;
    }
    let book = &world.book;
    let rival = book.holder.filter(|(holder, _)| *holder != replica);
    let leads_since = book.holder.filter(|(holder, _)| *holder == replica).map(|(_, since)| since);
    let mut stale = 0;
    let mut broken = None;
    for flight in book.in_flight.iter().filter(|flight| flight.subject == subject) {
        let harmless = flight.replica != replica && leads_since.is_some_and(|since| flight.begun_ms <= since);
        stale += usize::from(harmless);
        if !harmless || stale > 1 {
            broken = Some(format!(
                "{} on {subject} is sent by replica {replica} while call #{} of replica {} is on its way",
                call.name(),
                flight.number,
                flight.replica
            ));
        }
    }
    if let Some((holder, _)) = rival {
        broken = Some(format!(
            "{} on {subject} is sent by replica {replica} while replica {holder} holds the lease",
            call.name()
        ));
    }
    if book.given_back && rival.is_none() && book.holder.is_some() {
        broken = Some(format!(
            "{} on {subject} is sent by replica {replica} after it has given the lease back",
            call.name()
        ));
    }
    match broken {
        Some(broken) => violation(world, 5, broken),
        None if stale > 0 => excused(world, Excuse::LastCall, subject),
        None => {}
    }
    let when = world.elapsed_ms();
    world.book.sent.push((when, call, subject.to_owned()));
    world.book.in_flight.push(flight);
}

/// A record was put exactly where another was: the lease changes hands so.
pub(crate) fn swapped(world: &mut World, replica: usize, record: &Record) {
    if record.id != world.rules.lease_record {
        return;
    }
    let (now, book) = (world.now, &mut world.book);
    if record.token < book.newest_token {
        violation(world, 5, format!("the lease's token goes down to {}", record.token));
        return;
    }
    book.given_back = record.body.contains(r#""released":true"#);
    book.newest_token = record.token;
    book.tokens.insert(replica, record.token);
    if book.holder.is_none_or(|(holder, _)| holder != replica) {
        book.holder = Some((replica, now));
    }
}

/// 5: a change reaches AWS. Under a token that is not the newest any more, one change of a user may: the
/// one that was on its way. What it does is judged like everything else.
pub(crate) fn arrives(world: &mut World, replica: usize, sent: &Sent) {
    let Some(user) = sent.user.as_ref().filter(|_| sent.token < world.book.newest_token) else { return };
    let late = world.book.overtaken.entry((user.clone(), sent.token)).or_default();
    *late += 1;
    let late = *late;
    world.note(9, replica, user, || "a change arrives after its lease".to_owned());
    if late > 1 {
        let what =
            format!("change number {late} of {user} arrives under token {}, which is stale", sent.token);
        violation(world, 5, what);
    } else {
        excused(world, Excuse::LateCall, user);
    }
}
