//! Every call of the interesting runs is broken in every way, one at a time, with fresh reads
//! and with reads as late as they may be.

use super::super::plan::{Next, State};
use super::states;
use super::world::{Fault, Stale, World, rests_as};

const READS: [Stale; 4] = [
    Stale { user: false, keys: false },
    Stale { user: true, keys: false },
    Stale { user: false, keys: true },
    Stale { user: true, keys: true },
];

/// Runs until all is done, sweeps included.
fn finish(world: &mut World) -> Result<(), String> {
    let mut plan = world.settle()?;
    for _ in 0..2 {
        world.sweep += 1;
        plan = world.settle()?;
    }
    if let Next::Rest { state: Some(State::Ready) | None, .. } = plan.next {
        return Ok(());
    }
    Err(format!("ends as {:?} by {}: {}", rests_as(&plan), plan.rule, plan.why))
}

#[test]
fn every_call_may_fail_in_every_way() {
    let (mut runs, mut report) = (0, Vec::new());
    for (what, start) in states::turning_points() {
        for stale in READS {
            let mut calm = start.clone();
            calm.stale = stale;
            let end = finish(&mut calm);
            if let Err(error) = &end {
                report.push(format!("{what}, {stale:?}, no fault: {error}\n  {:?}", calm.trace));
            }
            for call in 1..=calm.changes {
                for fault in Fault::ALL {
                    let mut world = start.clone();
                    world.stale = stale;
                    world.fault = Some((call, fault));
                    runs += 1;
                    if let Err(error) = finish(&mut world) {
                        report.push(format!(
                            "{what}, {stale:?}, {fault:?} at call {call}: {error}\n  {:?}",
                            world.trace
                        ));
                    }
                }
            }
        }
    }
    eprintln!("{runs} runs with a fault");
    assert!(report.is_empty(), "{} broken\n{}", report.len(), report.join("\n"));
}
