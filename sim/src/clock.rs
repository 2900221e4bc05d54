//! The two clocks of a host: a monotonic one with a rate error, and a wall clock that can be stepped and frozen.
//!
//! The monotonic clock is piecewise linear in true time. A change of its rate bends the line where it stands, so it
//! never jumps and never goes back. [OQ-8]

use crate::time::Time;
use dbm_core::types::Instant;

const MILLION: u128 = 1_000_000;
/// Rates outside these bounds are cut off: slower would stop the clock, faster tests nothing.
pub const PPM_BOUNDS: (i32, i32) = (-900_000, 9_000_000);
/// What the wall clocks show at the start of a run, in milliseconds since 1970: 2005-11-07, the release day.
const WALL_START_MS: i64 = 1_131_321_600_000;

/// The clocks of one host.
#[derive(Clone, Debug)]
pub struct Clock {
    bent_at: u64,
    local_at_bend: u64,
    ppm: i32,
    base_ppm: i32,
    offset_ms: i64,
    step_ms: i64,
    frozen_ms: Option<i64>,
}

impl Clock {
    /// A clock that shows `zero` (microseconds) at the start of the run, runs `ppm` parts per million fast, and whose
    /// wall clock is `offset_ms` milliseconds ahead.
    pub fn new(zero: u64, ppm: i32, offset_ms: i64) -> Self {
        let ppm = ppm.clamp(PPM_BOUNDS.0, PPM_BOUNDS.1);
        Clock { bent_at: 0, local_at_bend: zero, ppm, base_ppm: ppm, offset_ms, step_ms: 0, frozen_ms: None }
    }

    fn rate(&self) -> u128 {
        (1_000_000 + i64::from(self.ppm)) as u128
    }

    /// What the monotonic clock shows at a true time at or after the last change of rate.
    pub fn local(&self, at: Time) -> Instant {
        assert!(at.0 >= self.bent_at, "a clock is asked about its past");
        let run = u128::from(at.0 - self.bent_at) * self.rate() / MILLION;
        Instant(self.local_at_bend.saturating_add(run as u64))
    }

    /// The earliest true time, not before the last change of rate, at which the clock shows at least `deadline`.
    pub fn true_time(&self, deadline: Instant) -> Time {
        let run = u128::from(deadline.0.saturating_sub(self.local_at_bend));
        let run = (run * MILLION).div_ceil(self.rate());
        Time(self.bent_at.saturating_add(u64::try_from(run).unwrap_or(u64::MAX)))
    }

    /// Sets the rate error from `at` on.
    pub fn set_rate(&mut self, at: Time, ppm: i32) {
        self.local_at_bend = self.local(at).0;
        self.bent_at = at.0;
        self.ppm = ppm.clamp(PPM_BOUNDS.0, PPM_BOUNDS.1);
    }

    /// Does a fault hold the rate away from the scenario's own?
    pub fn disturbed(&self) -> bool {
        self.ppm != self.base_ppm
    }

    /// Has a fault moved the wall clock?
    pub fn stepped(&self) -> bool {
        self.step_ms != 0
    }

    /// Does a fault hold the wall clock?
    pub fn frozen(&self) -> bool {
        self.frozen_ms.is_some()
    }

    /// The wall clock at a true time, in milliseconds since 1970.
    pub fn wall_ms(&self, at: Time) -> i64 {
        self.frozen_ms.unwrap_or_else(|| self.running_wall_ms(at))
    }

    fn running_wall_ms(&self, at: Time) -> i64 {
        WALL_START_MS
            .saturating_add((at.0 / 1000) as i64)
            .saturating_add(self.offset_ms)
            .saturating_add(self.step_ms)
    }

    /// Moves the wall clock, a frozen one as well.
    pub fn step(&mut self, ms: i64) {
        self.step_ms = self.step_ms.saturating_add(ms);
        self.frozen_ms = self.frozen_ms.map(|frozen| frozen.saturating_add(ms));
    }

    /// Freezes the wall clock, or lets it jump to where it would be by now.
    pub fn freeze(&mut self, at: Time, frozen: bool) {
        self.frozen_ms = frozen.then(|| self.wall_ms(at));
    }

    /// Lifts every fault: the scenario's own rate and offset from `at` on.
    pub fn heal(&mut self, at: Time) {
        if self.disturbed() {
            self.set_rate(at, self.base_ppm);
        }
        self.step_ms = 0;
        self.frozen_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_deadline_is_met_at_the_earliest_true_time(
            zero in 0..1u64 << 50, ppm in -900_000..9_000_000i32, ahead in 0..1u64 << 45
        ) {
            let clock = Clock::new(zero, ppm, 0);
            let deadline = Instant(zero + ahead);
            let at = clock.true_time(deadline);
            prop_assert!(clock.local(at) >= deadline);
            prop_assert!(at.0 == 0 || clock.local(Time(at.0 - 1)) < deadline);
        }

        #[test]
        fn a_clock_is_continuous_and_never_goes_back(
            zero in 0..1u64 << 50,
            changes in prop::collection::vec((0..10_000_000u64, -900_000..9_000_000i32), 1..20)
        ) {
            let mut clock = Clock::new(zero, 0, 0);
            let (mut at, mut last) = (0, clock.local(Time(0)));
            for (later, ppm) in changes {
                at += later;
                let before = clock.local(Time(at));
                prop_assert!(before >= last);
                clock.set_rate(Time(at), ppm);
                prop_assert_eq!(clock.local(Time(at)), before);
                last = before;
            }
        }

        #[test]
        fn a_deadline_in_the_past_is_due_at_once(zero in 1..1u64 << 50, at in 0..1u64 << 40, back in 0..1u64 << 40) {
            let mut clock = Clock::new(zero, 150, 0);
            clock.set_rate(Time(at), -150);
            let deadline = Instant(clock.local(Time(at)).0.saturating_sub(back));
            prop_assert_eq!(clock.true_time(deadline), Time(at));
        }
    }

    #[test]
    fn a_fast_clock_gains_its_parts_per_million() {
        let clock = Clock::new(0, 200, 0);
        assert_eq!(clock.local(Time::secs(10)), Instant(10_002_000));
    }

    #[test]
    fn the_wall_clock_steps_freezes_and_catches_up() {
        let mut clock = Clock::new(0, 0, 250);
        let start = clock.wall_ms(Time(0));
        assert_eq!(start, WALL_START_MS + 250);
        clock.step(-5000);
        assert_eq!(clock.wall_ms(Time::secs(1)), start - 4000);
        clock.freeze(Time::secs(2), true);
        assert_eq!(clock.wall_ms(Time::secs(9)), start - 3000);
        clock.freeze(Time::secs(10), false);
        assert_eq!(clock.wall_ms(Time::secs(10)), start + 5000);
        clock.heal(Time::secs(10));
        assert_eq!(clock.wall_ms(Time::secs(10)), start + 10_000);
    }
}
