//! Random histories also have people who may tag users, or who are users themselves, and a controller
//! in another Region whose table has the same name. Each is drawn apart, so that the other histories are
//! what they were without.

use std::time::Duration;

use iam_user_controller::core::observed::{Leftover, Tags};

use crate::harness::{Act, Scenario};
use crate::prng::Prng;
use crate::stories::days;
use crate::swarm::any_name;

/// Whom nobody has handed to the controller.
const STRANGERS: [&str; 2] = ["boss", "chief"];

/// Served in the other Region.
const NEIGHBOURS: [&str; 3] = ["gina", "hugo", "ida"];

fn one_of(prng: &mut Prng, names: &[&str]) -> String {
    names[usize::try_from(prng.below(names.len() as u64)).unwrap_or(0)].to_owned()
}

fn moment(prng: &mut Prng, length: u64) -> Duration {
    Duration::from_millis(prng.below(length * 1_000))
}

fn phone() -> Leftover {
    Leftover::MfaDevice { serial: "arn:aws:iam::123456789012:mfa/phone".to_owned() }
}

/// In a share of the histories: users of people, and somebody who copies and forges tags.
pub(crate) fn forgers(scenario: &mut Scenario, seed: u64, length: u64) {
    let mut prng = Prng::new(seed.wrapping_mul(0xA076_1D64_78BD_642F) ^ 0xF0_4634);
    if !prng.chance(250) {
        return;
    }
    for name in STRANGERS.map(str::to_owned) {
        scenario.before.push(Act::MakeUser { name: name.clone(), boundary: None, tags: Tags::new() });
        scenario.before.push(Act::AddForeignKey(name.clone()));
        if prng.chance(500) {
            scenario.before.push(Act::AddLeftover(name.clone(), Leftover::LoginProfile));
        }
        if prng.chance(300) {
            scenario.before.push(Act::AddLeftover(name, phone()));
        }
    }
    if prng.chance(300) {
        scenario.account.rules.policy.adopt_paths = vec!["/bots/".to_owned(), "/robots/".to_owned()];
    }
    // A user that was handed over once, whose row is gone, and that a person works with since.
    if prng.chance(500) {
        scenario.before.push(Act::OwnedPerson("former".to_owned()));
    }
    for _ in 0..prng.between(1, 6) {
        let (stranger, name) = (one_of(&mut prng, &STRANGERS), any_name(&mut prng));
        let act = match prng.below(16) {
            0..4 => Act::CopyTags(name, stranger),
            4..7 => Act::ForgeTags(stranger),
            7..9 => Act::TagKeys(stranger),
            9..11 => Act::PutRow(stranger),
            11 => Act::RemoveRow(stranger),
            12 => Act::CopyTags(any_name(&mut prng), name),
            13 => Act::ForgeTags(name),
            14 => Act::AddLeftover(name, if prng.chance(500) { phone() } else { Leftover::LoginProfile }),
            _ => Act::SetPath(name, if prng.chance(500) { "/staff/" } else { "/bots/x/" }.to_owned()),
        };
        scenario.acts.push((moment(&mut prng, length), act));
    }
}

/// In a share of the histories: a controller in another Region. The names that it serves are its own,
/// but for one that has a row here as well: a call that is late when a name changes hands would meet
/// the other's user.
pub(crate) fn neighbours(scenario: &mut Scenario, seed: u64, length: u64) {
    let mut prng = Prng::new(seed.wrapping_mul(0xE703_7ED1_A0B4_28DB) ^ 0x0E15_E888);
    if !prng.chance(250) {
        return;
    }
    let elsewhere = |act| Act::Elsewhere(Box::new(act));
    scenario.elsewhere.push((prng.between(0, 3_000) as i64 - 1_500, prng.between(0, 100) as i64 - 50));
    for name in NEIGHBOURS.map(str::to_owned) {
        let (current, pending) = (days(prng.between(1, 25)), None);
        if prng.chance(600) {
            scenario.before.push(elsewhere(Act::OwnedUser { name: name.clone(), current, pending }));
        }
        // A table that was empty a moment ago is another matter.
        if name == NEIGHBOURS[0] || prng.chance(700) {
            scenario.before.push(elsewhere(Act::PutRow(name)));
        }
    }
    if prng.chance(400) {
        scenario.before.push(Act::PutRow(NEIGHBOURS[0].to_owned()));
    }
    let replica = scenario.replicas.len();
    for _ in 0..prng.between(1, 5) {
        let name = one_of(&mut prng, &NEIGHBOURS[1..]);
        let act = match prng.below(8) {
            0..3 => elsewhere(Act::PutRow(name)),
            3..5 => elsewhere(Act::RemoveRow(name)),
            5 => Act::Kill(replica),
            6 => Act::Terminate(replica),
            _ => elsewhere(Act::AddLeftover(name, Leftover::LoginProfile)),
        };
        scenario.acts.push((moment(&mut prng, length), act));
    }
}
