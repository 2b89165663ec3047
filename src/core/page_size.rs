//! How many users IAM is asked for on a page of the account.
//!
//! Large pages are few calls, and a page of 1,000 users with long policies was seen to take 10 s. So pages
//! are halved when IAM does not answer in time, and what was found to work is kept.

use std::time::Duration;

/// IAM: at most this many on a page.
const LARGEST: u32 = 1_000;

/// IAM's own default. A page that small that takes half a minute is no matter of size.
const SMALLEST: u32 = 100;

/// Pages that come this soon may be larger: twice as many users take less than half of the call's time.
const QUICK: Duration = Duration::from_secs(5);

/// So many whole lists in a row have to come soon before pages are made larger: a day of hourly sweeps. A larger
/// page that is too slow costs half a minute.
const QUICK_LISTS: u32 = 24;

/// How many users a page may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    most: u32,
    /// Whole lists in a row that came soon.
    quick: u32,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { most: LARGEST, quick: 0 }
    }
}

impl PageSize {
    /// Users on a page, at most.
    pub fn get(self) -> u32 {
        self.most
    }

    /// A page was not answered. The list has to begin anew: that a marker is good for pages of another size,
    /// AWS says nowhere. False when pages cannot be smaller.
    pub fn unanswered(&mut self) -> bool {
        let smallest = self.most == SMALLEST;
        *self = Self { most: (self.most / 2).max(SMALLEST), quick: 0 };
        !smallest
    }

    /// The whole list was answered, its slowest page within this time.
    pub fn answered(&mut self, slowest: Duration) {
        self.quick = if slowest < QUICK { self.quick + 1 } else { 0 };
        if self.quick >= QUICK_LISTS {
            *self = Self { most: (self.most * 2).min(LARGEST), quick: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_halved_and_grow_again() {
        let mut size = PageSize::default();
        let mut sizes = vec![size.get()];
        while size.unanswered() {
            sizes.push(size.get());
        }
        assert_eq!(sizes, [1_000, 500, 250, 125, 100]);
        assert_eq!(size.get(), 100);
        // A page of 200 users that takes 5 s would take 10 s with 400, and could be too slow with 1,000.
        for _ in 0..QUICK_LISTS {
            size.answered(Duration::from_secs(4));
            size.answered(QUICK);
        }
        assert_eq!(size.get(), 100);
        for next in [200, 400, 800, 1_000, 1_000] {
            let before = size.get();
            for _ in 1..QUICK_LISTS {
                size.answered(Duration::from_secs(4));
                assert_eq!(size.get(), before, "a quick list or two say little");
            }
            size.answered(Duration::from_secs(4));
            assert_eq!(size.get(), next);
        }
    }
}
