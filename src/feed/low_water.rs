//! How far a shard's checkpoint may go, while its changes are settled in any order.
//!
//! Pure. Entries are kept in the order in which they were read, and the checkpoint is the last of
//! the settled ones before the first unsettled one. Sequence numbers are never compared here, so no
//! oddity of theirs can make the checkpoint pass a change.

use std::collections::VecDeque;

use crate::core::time::Timestamp;
use crate::ports::{Position, SequenceNumber};

/// The contiguous low-water mark of one shard.
#[derive(Clone, Debug)]
pub(super) struct LowWater {
    /// Everything up to here is settled; `None` is the beginning.
    low: Option<SequenceNumber>,
    /// Everything up to here was read; `None` is the beginning.
    read: Option<SequenceNumber>,
    /// Ordinal of the first entry.
    first: u64,
    /// From the first unsettled one on.
    entries: VecDeque<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// `None` when the checkpoint was withdrawn after this was read.
    sequence: Option<SequenceNumber>,
    created: Timestamp,
    settled: bool,
}

impl LowWater {
    /// Begins after a checkpoint, or at the beginning.
    pub(super) fn new(checkpoint: Option<SequenceNumber>) -> Self {
        Self { low: checkpoint.clone(), read: checkpoint, first: 0, entries: VecDeque::new() }
    }

    /// Takes note of a change that was read. The ordinal names it from now on.
    pub(super) fn read(&mut self, sequence: SequenceNumber, created: Timestamp) -> u64 {
        self.read = Some(sequence.clone());
        self.entries.push_back(Entry { sequence: Some(sequence), created, settled: false });
        self.first + self.entries.len() as u64 - 1
    }

    /// Takes note that a change was settled. Returns the creation time of the last change that the
    /// mark passed by it, if it moved.
    pub(super) fn settle(&mut self, ordinal: u64) -> Option<Timestamp> {
        let index = usize::try_from(ordinal.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)?.settled = true;
        let mut passed = None;
        while self.entries.front().is_some_and(|entry| entry.settled) {
            let Some(entry) = self.entries.pop_front() else { break };
            self.first += 1;
            passed = Some(entry.created);
            if entry.sequence.is_some() {
                self.low = entry.sequence;
            }
        }
        passed
    }

    /// The position was no good: begins at the beginning again. What is outstanding stays so, but
    /// settling it moves the checkpoint no more.
    pub(super) fn withdraw(&mut self) {
        self.low = None;
        self.read = None;
        for entry in &mut self.entries {
            entry.sequence = None;
        }
    }

    /// The checkpoint.
    pub(super) fn low(&self) -> Option<&SequenceNumber> {
        self.low.as_ref()
    }

    /// Where to read on.
    pub(super) fn position(&self) -> Position {
        self.read.clone().map_or(Position::TrimHorizon, Position::After)
    }

    /// How many changes the checkpoint has still to pass.
    pub(super) fn outstanding(&self) -> usize {
        self.entries.len()
    }

    /// When the oldest unsettled change was created.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.entries.front().map(|entry| entry.created)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(n: u64) -> SequenceNumber {
        SequenceNumber(format!("{n}"))
    }

    /// Reads changes 1 to 4, settles those given in this order, and tells the checkpoint after each.
    fn check(settled: &[u64], expected: &[Option<u64>]) {
        let mut mark = LowWater::new(None);
        let ordinals: Vec<u64> =
            (1..=4).map(|n| mark.read(number(n), Timestamp::from_secs(i64::try_from(n).unwrap()))).collect();
        let lows: Vec<_> = settled
            .iter()
            .map(|n| {
                mark.settle(ordinals[usize::try_from(n - 1).unwrap()]);
                mark.low().cloned()
            })
            .collect();
        assert_eq!(lows, expected.iter().map(|n| n.map(number)).collect::<Vec<_>>(), "{settled:?}");
    }

    #[test]
    fn the_checkpoint_is_the_contiguous_low_water_mark() {
        check(&[1, 2, 3, 4], &[Some(1), Some(2), Some(3), Some(4)]);
        check(&[4, 3, 2, 1], &[None, None, None, Some(4)]);
        check(&[1, 3], &[Some(1), Some(1)]);
        check(&[1, 3, 2], &[Some(1), Some(1), Some(3)]);
        check(&[2, 2, 1], &[None, None, Some(2)]);
        check(&[1, 1, 3], &[Some(1), Some(1), Some(1)]);
    }

    #[test]
    fn the_position_is_what_was_read_and_not_what_was_settled() {
        let mut mark = LowWater::new(Some(number(7)));
        assert_eq!(mark.position(), Position::After(number(7)));
        mark.read(number(8), Timestamp::default());
        assert_eq!(mark.position(), Position::After(number(8)));
        assert_eq!(mark.low(), Some(&number(7)));
    }

    #[test]
    fn a_withdrawn_checkpoint_does_not_come_back() {
        let mut mark = LowWater::new(Some(number(7)));
        let before = mark.read(number(8), Timestamp::default());
        mark.withdraw();
        let after = mark.read(number(1), Timestamp::default());
        assert_eq!(mark.low(), None);
        mark.settle(before);
        assert_eq!(mark.low(), None);
        mark.settle(after);
        assert_eq!(mark.low(), Some(&number(1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the order, the mark is what a naive computation says, and never passes an unsettled change.
        #[test]
        fn agrees_with_the_definition(order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle(), until in 0..40usize) {
            let mut mark = LowWater::new(None);
            for n in 0..40 {
                prop_assert_eq!(mark.read(number(n), Timestamp::default()), n);
            }
            let mut settled = [false; 40];
            for ordinal in order.into_iter().take(until) {
                mark.settle(ordinal);
                settled[usize::try_from(ordinal).unwrap()] = true;
                let contiguous = settled.iter().take_while(|s| **s).count();
                prop_assert_eq!(mark.outstanding(), 40 - contiguous);
                prop_assert_eq!(mark.low().cloned(), contiguous.checked_sub(1).map(|n| number(n as u64)));
            }
        }
    }
}
