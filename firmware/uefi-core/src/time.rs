//! Time in ticks of the counter, the watchdog, and the monotonic count.

/// UEFI counts timer intervals in units of 100 ns.
const UNITS_PER_SECOND: u64 = 10_000_000;

/// The counter that time is read from.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    frequency: u64,
}

impl Clock {
    /// A clock of `frequency` hertz. A frequency of zero, which a broken platform can report,
    /// counts as one hertz so that conversions stay defined.
    pub const fn new(frequency: u64) -> Self {
        let frequency = if frequency == 0 { 1 } else { frequency };
        Self { frequency }
    }

    /// The ticks in `units` of 100 ns, rounded up: a delay is never shorter than asked for.
    pub fn ticks_from_100ns(&self, units: u64) -> u64 {
        self.ticks(units, UNITS_PER_SECOND)
    }

    /// The ticks in `microseconds`, rounded up.
    pub fn ticks_from_us(&self, microseconds: u64) -> u64 {
        self.ticks(microseconds, 1_000_000)
    }

    /// The ticks in `seconds`.
    pub fn ticks_from_seconds(&self, seconds: u64) -> u64 {
        self.ticks(seconds, 1)
    }

    /// The ticks in `amount` units, of which a second has `per_second`: at most ten million.
    ///
    /// Division of 128 bits would do in one line, but its precompiled function uses x18, which UEFI code must leave
    /// alone (UEFI 2.10, section 2.3.6.4).
    fn ticks(&self, amount: u64, per_second: u64) -> u64 {
        let (seconds, units) = (amount / per_second, amount % per_second);
        let (whole, part) = (self.frequency / per_second, self.frequency % per_second);
        // Both factors are below `per_second`.
        let rest = (units * part).div_ceil(per_second);
        seconds.saturating_mul(self.frequency).saturating_add(units.saturating_mul(whole)).saturating_add(rest)
    }
}

/// The watchdog (UEFI 2.10, section 7.5.1). It is polled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watchdog {
    armed: Option<(u64, u64)>,
}

impl Watchdog {
    /// A disarmed watchdog.
    pub const fn new() -> Self {
        Self { armed: None }
    }

    /// Arms it to expire at tick `deadline`; `code` is reported then.
    pub fn arm(&mut self, deadline: u64, code: u64) {
        self.armed = Some((deadline, code));
    }

    /// Disarms it.
    pub fn disarm(&mut self) {
        self.armed = None;
    }

    /// The code, once the deadline has passed.
    pub fn expired(&self, now: u64) -> Option<u64> {
        self.armed.filter(|(deadline, _)| now >= *deadline).map(|(_, code)| code)
    }
}

/// The low half of the count behind `GetNextMonotonicCount()` (UEFI 2.10, section 7.5.2). The high
/// half lives with the runtime services, which have a function to advance it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicCount(u32);

impl MonotonicCount {
    /// A count whose low half is zero.
    pub const fn new() -> Self {
        Self(0)
    }

    /// The next value; `high` is carried into. No value repeats while `high` does not wrap.
    pub fn next(&mut self, high: &mut u32) -> u64 {
        let (low, carry) = self.0.overflowing_add(1);
        self.0 = low;
        *high = high.wrapping_add(u32::from(carry));
        (u64::from(*high) << 32) | u64::from(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_round_up() {
        let clock = Clock::new(62_500_000);
        assert_eq!(clock.ticks_from_us(1), 63);
        assert_eq!(clock.ticks_from_100ns(1), 7);
        assert_eq!(clock.ticks_from_100ns(0), 0);
        assert_eq!(clock.ticks_from_seconds(2), 125_000_000);
    }

    #[test]
    fn delays_are_exact_for_every_frequency() {
        let amounts = [0, 1, 9, 999_999, 10_000_000, 123_456_789_012, u64::MAX / 3, u64::MAX];
        for frequency in [1, 999, 1_000_000, 24_000_001, 62_500_000, 1_000_000_000, u64::MAX] {
            for amount in amounts {
                let exact = (u128::from(amount) * u128::from(frequency)).div_ceil(10_000_000);
                let ticks = Clock::new(frequency).ticks_from_100ns(amount);
                assert_eq!(ticks, u64::try_from(exact).unwrap_or(u64::MAX), "{amount} at {frequency}");
            }
        }
    }

    #[test]
    fn delays_beyond_the_counter_saturate() {
        let clock = Clock::new(u64::MAX);
        assert_eq!(clock.ticks_from_seconds(u64::MAX), u64::MAX);
        assert_eq!(Clock::new(0).ticks_from_seconds(5), 5);
    }

    #[test]
    fn the_watchdog_expires_at_its_deadline_and_not_before() {
        let mut watchdog = Watchdog::new();
        assert_eq!(watchdog.expired(u64::MAX), None);
        watchdog.arm(100, 0x1_0000);
        assert_eq!(watchdog.expired(99), None);
        assert_eq!(watchdog.expired(100), Some(0x1_0000));
        watchdog.disarm();
        assert_eq!(watchdog.expired(100), None);
    }

    #[test]
    fn the_monotonic_count_carries_into_its_high_half() {
        let mut count = MonotonicCount::new();
        let mut high = 7;
        assert_eq!(count.next(&mut high), (7 << 32) | 1);
        count.0 = u32::MAX;
        assert_eq!(count.next(&mut high), 8 << 32);
        assert_eq!(high, 8);
    }
}
