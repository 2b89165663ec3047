//! How long a user whose look failed waits for the next one.
//!
//! A pure function of how often it has failed in a row and of a random number; the caller counts the
//! failures and sets them to zero after a look that did not fail.

use std::time::Duration;

/// Pauses that double from `base` up to `cap`, each shortened by a random part of up to a half, so
/// that users that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first pause.
    pub base: Duration,
    /// The longest pause of all.
    pub cap: Duration,
}

/// The backoff of users: after the first failure a look again within 1 s, after the ninth and every
/// later one within 5 minutes.
///
/// 1 s: IAM needs seconds to spread a change, so a look sooner than that is hardly ever of use. 5 min:
/// a person who has mended the cause sees the effect soon, and a full account of 5,000 users that fail
/// for ever asks for 5,000 ÷ 225 s ≈ 22 looks a second on average, which the limiter then spreads.
///
/// | failures in a row | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 and more |
/// |---|---|---|---|---|---|---|---|---|---|---|
/// | at least | 0.5 s | 1 s | 2 s | 4 s | 8 s | 16 s | 32 s | 64 s | 128 s | 150 s |
/// | at most | 1 s | 2 s | 4 s | 8 s | 16 s | 32 s | 64 s | 128 s | 256 s | 300 s |
pub const USERS: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(300) };

/// The pause after so many failures in a row, by the numbers of [`USERS`].
///
/// `random` is uniform over all of `u64`.
pub fn delay(failures: u32, random: u64) -> Duration {
    USERS.delay(failures, random)
}

impl Backoff {
    /// The pause after so many failures in a row: at most `base × 2^(failures − 1)` and `cap`, at
    /// least half of that. No failure counts as one.
    ///
    /// `random` is uniform over all of `u64`, and so is the pause over its range.
    pub fn delay(self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        // Within 64 bits (584 years), so that the product below fits into 128.
        let cap = self.cap.min(Duration::from_nanos(u64::MAX));
        let half = self.base.saturating_mul(1 << doublings).min(cap) / 2;
        let part = (half.as_nanos() * (u128::from(random) + 1)) >> 64;
        half + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = u64::MAX / 2;

    #[test]
    fn the_table_in_the_documentation() {
        #[rustfmt::skip]
        let table = [
            // failures  at least   in the middle  at most
            (0,          500,       750,           1_000),
            (1,          500,       750,           1_000),
            (2,          1_000,     1_500,         2_000),
            (5,          8_000,     12_000,        16_000),
            (9,          128_000,   192_000,       256_000),
            (10,         150_000,   225_000,       300_000),
            (u32::MAX,   150_000,   225_000,       300_000),
        ];
        for (failures, least, middle, most) in table {
            let millis = |random| delay(failures, random).as_millis();
            assert_eq!((millis(0), millis(HALF), millis(u64::MAX)), (least, middle, most), "{failures}");
        }
    }

    #[test]
    fn other_numbers_and_absurd_ones() {
        let quick = Backoff { base: Duration::from_millis(10), cap: Duration::from_millis(25) };
        assert_eq!(quick.delay(2, u64::MAX), Duration::from_millis(20));
        assert_eq!(quick.delay(3, u64::MAX), Duration::from_millis(25));
        let endless = Backoff { base: Duration::MAX, cap: Duration::MAX };
        assert!(endless.delay(u32::MAX, u64::MAX) > Duration::from_secs(500 * 365 * 86_400));
        let none = Backoff { base: Duration::ZERO, cap: Duration::ZERO };
        assert_eq!(none.delay(7, u64::MAX), Duration::ZERO);
    }
}
