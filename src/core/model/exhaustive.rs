//! From every state: the planner comes to rest, is silent then, and breaks nothing on the way.

use std::collections::{BTreeMap, BTreeSet};

use super::super::plan::{Next, rules};
use super::states;
use super::world::World;

/// What a walk over many states saw.
#[derive(Default)]
struct Walk {
    states: usize,
    longest: usize,
    fired: BTreeSet<&'static str>,
    broken: BTreeMap<String, (usize, String)>,
}

impl Walk {
    fn visit(&mut self, mut world: World) {
        let start = world.clone();
        self.states += 1;
        let outcome = live(&mut world, self.states);
        self.longest = self.longest.max(world.looks);
        self.fired.extend(world.trace.iter().copied());
        if let Err(what) = outcome {
            let rule = world.trace.last().copied().unwrap_or("none");
            let example = self.broken.entry(format!("{rule}: {}", what.split(':').next().unwrap_or("")));
            let (count, _) = example.or_insert_with(|| {
                (0, format!("{what}\n  trace {:?}\n  from {}", world.trace, brief(&start)))
            });
            *count += 1;
        }
    }

    fn report(&self, what: &str) -> String {
        eprintln!("{what}: {} states, at most {} looks to rest", self.states, self.longest);
        self.broken.values().map(|(count, example)| format!("\n{count} times, first: {example}\n")).collect()
    }
}

/// A state in a few lines.
fn brief(world: &World) -> String {
    format!(
        "row {:?}, user {:?}\n  keys {:?}\n  stored {:?}\n  memory {:?}\n  now {}, clock {}",
        world.desired, world.user, world.keys, world.stored, world.memory, world.now, world.clock_trusted
    )
}

/// Comes to rest, and for some starts lives on: through later sweeps, and through later due dates.
fn live(world: &mut World, number: usize) -> Result<(), String> {
    let mut plan = world.settle()?;
    if !number.is_multiple_of(16) {
        return Ok(());
    }
    for _ in 0..3 {
        world.sweep += 1;
        if let Next::Rest { due: Some(due), .. } = plan.next {
            world.pass(due);
            let (_, at_due) = world.look();
            if at_due.next == plan.next {
                return Err(format!("{} rests on when it is due", plan.rule));
            }
        }
        plan = world.settle()?;
    }
    Ok(())
}

#[test]
fn every_state_comes_to_rest_and_nothing_breaks() {
    let (lives, strangers) = std::thread::scope(|scope| {
        let strangers = scope.spawn(|| {
            let mut walk = Walk::default();
            states::strangers(|world| walk.visit(world));
            walk
        });
        let mut lives = Walk::default();
        states::lives(|world| lives.visit(world));
        (lives, strangers.join().unwrap())
    });
    let fired: BTreeSet<&str> = lives.fired.union(&strangers.fired).copied().collect();
    let dead: Vec<&str> = rules().filter(|rule| !fired.contains(rule)).collect();
    eprintln!("rules that never decided: {dead:?}");
    let report = format!("{}{}", strangers.report("strangers"), lives.report("lives"));
    assert!(report.is_empty(), "{report}");
    assert!(dead.is_empty(), "rules that never decide: {dead:?}");
}
