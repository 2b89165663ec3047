//! The account-wide limiter of calls to one AWS service: a token bucket whose rate follows what AWS
//! accepts, by additive increase and multiplicative decrease.
//!
//! Pure: it is told the time, as a monotonic duration, and says how long to wait. Whoever calls the
//! service asks it before each call, waits, and reports how the call went. AWS does not publish IAM's
//! limits, and they are shared with everybody else in the account, so they have to be found out.

use std::time::Duration;

/// What the limiter starts from and keeps to. Impossible values are put right by [`Limiter::new`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimiterSettings {
    /// Calls a second at the start.
    pub initial: f64,
    /// Never fewer calls a second than this.
    pub min: f64,
    /// Never more calls a second than this.
    pub max: f64,
    /// Calls that may go at once after a time without any.
    pub burst: u32,
}

/// At full use the rate grows from `min` to `max` within this time.
pub const RECOVERY: Duration = Duration::from_secs(60);

/// What is left of the rate when AWS has throttled.
pub const DECREASE: f64 = 0.5;

/// A call is answered within this time, as a rule. Refusals of calls that went before a decrease say
/// nothing about the rate after it.
pub const ROUND_TRIP: Duration = Duration::from_secs(1);

/// No wait that AWS asks for is honoured beyond this: the next refusal can ask for more.
pub const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The slowest rate of all, whatever the settings say: a call in 100 s.
const SLOWEST: f64 = 0.01;

/// The fastest rate of all: a call in a nanosecond.
const FASTEST: f64 = 1e9;

/// Grants calls to one service, in the order in which they are asked for.
#[derive(Clone, Debug)]
pub struct Limiter {
    min: f64,
    max: f64,
    burst: f64,
    /// Tokens a second.
    rate: f64,
    /// The last moment for which a call was granted; may lie in the future. The bucket is described
    /// as of then, so that a later change of the rate moves no call that was granted already, and
    /// nobody overtakes.
    granted_until: Duration,
    /// Tokens in the bucket at that moment.
    tokens: f64,
    /// Until then, answers tell of calls that went before the last decrease.
    deaf_until: Option<Duration>,
}

impl Limiter {
    /// A limiter with a full bucket, at the monotonic time zero.
    ///
    /// Rates are brought between a call in 100 s and one in a nanosecond, `max` to at least `min`,
    /// `initial` between the two, `burst` to at least one.
    pub fn new(settings: LimiterSettings) -> Self {
        let sane = |rate: f64| if rate.is_nan() { SLOWEST } else { rate.clamp(SLOWEST, FASTEST) };
        let min = sane(settings.min);
        let max = sane(settings.max).max(min);
        let burst = f64::from(settings.burst.max(1));
        Self {
            min,
            max,
            burst,
            rate: sane(settings.initial).clamp(min, max),
            granted_until: Duration::ZERO,
            tokens: burst,
            deaf_until: None,
        }
    }

    /// Reserves the next call and says how long to wait before sending it.
    ///
    /// Never grants more than `burst` + rate × time calls in any span of time, at the highest rate
    /// of that span. A reservation cannot be given back.
    pub fn acquire(&mut self, now: Duration) -> Duration {
        let from = self.granted_until.max(now);
        let earned = (from - self.granted_until).as_secs_f64() * self.rate;
        let tokens = (self.tokens + earned).min(self.burst);
        if tokens >= 1.0 {
            self.granted_until = from;
            self.tokens = tokens - 1.0;
        } else {
            // At most 1 ÷ SLOWEST, so it fits into a Duration.
            self.granted_until = from + Duration::from_secs_f64((1.0 - tokens) / self.rate);
            self.tokens = 0.0;
        }
        self.granted_until - now
    }

    /// A call was accepted: the rate grows, by (`max` − `min`) ÷ [`RECOVERY`] a second at full use,
    /// and more slowly the less it is used.
    pub fn succeeded(&mut self, now: Duration) {
        if self.deaf(now) {
            return;
        }
        let a_second = (self.max - self.min) / RECOVERY.as_secs_f64();
        self.rate = (self.rate + a_second / self.rate).min(self.max);
    }

    /// A call was refused for load: no call is granted for as long as AWS asked, the bucket is empty,
    /// and the rate is [`DECREASE`] of what it was.
    ///
    /// The rate falls once for all calls that were under way together, not once for each: refusals
    /// within a [`ROUND_TRIP`] after the last call that was granted at the old rate change it no more.
    pub fn throttled(&mut self, now: Duration, retry_after: Option<Duration>) {
        if !self.deaf(now) {
            self.rate = (self.rate * DECREASE).max(self.min);
            // Calls granted further ahead than MAX_PAUSE are so few a second that each one counts.
            let last = self.granted_until.clamp(now, now + MAX_PAUSE);
            self.deaf_until = Some(last + ROUND_TRIP);
        }
        let pause = retry_after.unwrap_or_default().min(MAX_PAUSE);
        self.granted_until = self.granted_until.max(now + pause);
        self.tokens = 0.0;
    }

    fn deaf(&self, now: Duration) -> bool {
        self.deaf_until.is_some_and(|until| now < until)
    }

    /// Calls a second that are granted now.
    pub fn rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: LimiterSettings = LimiterSettings { initial: 10.0, min: 1.0, max: 40.0, burst: 5 };

    fn seconds(time: f64) -> Duration {
        Duration::from_secs_f64(time)
    }

    #[derive(Clone, Debug)]
    enum Event {
        Acquire,
        Succeeded,
        Throttled(Option<f64>),
        Pass(f64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            6 => Just(Event::Acquire),
            3 => Just(Event::Succeeded),
            1 => proptest::option::of(0.0..90.0).prop_map(Event::Throttled),
            3 => (0.0..2.0).prop_map(Event::Pass),
        ];
        proptest::collection::vec(event, 1..200)
    }

    proptest! {
        /// In every span between two granted calls: no more than the burst and what the highest rate
        /// gives. First come, first served. The rate stays within its limits.
        #[test]
        fn never_more_than_burst_and_rate(events in events()) {
            let mut limiter = Limiter::new(SETTINGS);
            let (mut now, mut last) = (Duration::ZERO, Duration::ZERO);
            // When each call goes, and the highest rate that was ever in force up to its grant.
            let mut granted: Vec<(Duration, f64)> = Vec::new();
            for event in events {
                match event {
                    Event::Acquire => {
                        let at = now + limiter.acquire(now);
                        prop_assert!(at >= last, "overtaken");
                        last = at;
                        granted.push((at, limiter.rate()));
                    }
                    Event::Succeeded => limiter.succeeded(now),
                    Event::Throttled(pause) => {
                        limiter.throttled(now, pause.map(seconds));
                        let next = now + limiter.clone().acquire(now);
                        prop_assert!(next >= now + seconds(pause.unwrap_or(0.0)).min(MAX_PAUSE));
                    }
                    Event::Pass(time) => now += seconds(time),
                }
                prop_assert!((SETTINGS.min..=SETTINGS.max).contains(&limiter.rate()));
            }
            for (i, (from, _)) in granted.iter().enumerate() {
                let mut highest = 0.0_f64;
                for (j, (to, rate)) in granted.iter().enumerate().skip(i) {
                    // The rate at the grant before `from` filled the bucket; burst covers that.
                    highest = highest.max(*rate);
                    let calls = f64::from(u32::try_from(j - i + 1).unwrap());
                    let span = (*to - *from).as_secs_f64();
                    let allowed = f64::from(SETTINGS.burst) + highest * span + 1e-6;
                    prop_assert!(calls <= allowed, "{calls} calls in {span} s at up to {highest}/s");
                }
            }
        }
    }

    #[test]
    fn a_burst_of_refusals_is_one_decrease() {
        let mut limiter = Limiter::new(SETTINGS);
        (0..5).for_each(|_| assert_eq!(limiter.acquire(seconds(0.0)), Duration::ZERO));
        (0..5).for_each(|_| limiter.throttled(seconds(0.3), None));
        assert_eq!(limiter.rate(), 5.0);
        limiter.succeeded(seconds(0.4));
        assert_eq!(limiter.rate(), 5.0, "an answer to a call from before says nothing");
        limiter.throttled(seconds(1.3), None);
        assert_eq!(limiter.rate(), 2.5, "one round trip later it counts");
        (0..10).for_each(|_| _ = limiter.acquire(seconds(2.0)));
        limiter.throttled(seconds(3.0), None);
        let (before, last) = (limiter.rate(), limiter.granted_until.as_secs_f64());
        assert!(last > 5.0, "calls are granted ahead");
        limiter.throttled(seconds(last + 0.9), None);
        assert_eq!(limiter.rate(), before, "those went at the old rate, too");
        (4..20).for_each(|i| limiter.throttled(seconds(f64::from(i) * 20.0), None));
        assert_eq!(limiter.rate(), 1.0, "never below the minimum");
    }

    #[test]
    fn waits_as_long_as_aws_asks() {
        let mut limiter = Limiter::new(SETTINGS);
        limiter.throttled(seconds(1.0), Some(seconds(7.0)));
        assert_eq!(limiter.acquire(seconds(2.0)), seconds(6.2), "the pause, then one at 5 a second");
        assert_eq!(limiter.acquire(seconds(2.0)), seconds(6.4));
        assert_eq!(limiter.acquire(seconds(9.0)), Duration::ZERO, "earned since");
        limiter.throttled(seconds(9.0), Some(Duration::MAX));
        assert!(limiter.acquire(seconds(9.0)) <= MAX_PAUSE + seconds(1.0), "bounded");
    }

    /// Against a service that takes so many calls a second: settles near that, and finds it again
    /// after the service had got slower.
    #[test]
    fn follows_what_the_service_takes() {
        let mut limiter = Limiter::new(SETTINGS);
        let mut now = Duration::ZERO;
        for (takes, span) in [(20.0, 120.0), (3.0, 120.0), (20.0, 120.0)] {
            let (end, mut bucket, mut last, mut accepted) = (now + seconds(span), 1.0_f64, now, 0.0);
            while now < end {
                now += limiter.acquire(now);
                bucket = (bucket + (now - last).as_secs_f64() * takes).min(takes);
                last = now;
                if bucket >= 1.0 {
                    bucket -= 1.0;
                    accepted += 1.0;
                    limiter.succeeded(now);
                } else {
                    limiter.throttled(now, None);
                }
            }
            let share = accepted / (takes * span);
            assert!(share > 0.6, "{share} of what {takes} a second would allow");
        }
    }

    #[test]
    fn impossible_settings_are_put_right() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let settings = LimiterSettings { initial: bad, min: bad, max: bad, burst: 0 };
            let mut limiter = Limiter::new(settings);
            for i in 0..10 {
                limiter.acquire(seconds(f64::from(i)));
                limiter.succeeded(seconds(f64::from(i)));
                limiter.throttled(seconds(f64::from(i)), None);
            }
            assert!(limiter.rate().is_finite() && limiter.rate() >= SLOWEST);
        }
    }
}
