//! Which classes of faults were in force together. Two faults that never meet test no more than each alone.
//!
//! A pair counts when the second is installed while the first is in force, and only if nodes have felt both in the run:
//! a cut of a path on which nobody sends anything overlaps with nothing.

use super::Counts;
use crate::felt::{Feeling, Felt};
use crate::observe::Fact;
use crate::plan::spans::InForce;
use crate::scenario::{FaultClass, Scenario};
use crate::time::Time;
use std::collections::BTreeMap;

/// Watches the faults of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlaps {
    faults: InForce,
    pairs: BTreeMap<(FaultClass, FaultClass), u64>,
}

impl Overlaps {
    /// Takes note of one fact.
    pub(super) fn fact(&mut self, plan: &Scenario, at: Time, fact: &Fact<'_>) {
        let Fact::Acted { step, action } = *fact else { return };
        let before = self.faults.spans().len();
        self.faults.act(plan, step, action, at);
        let (old, new) = self.faults.spans().split_at(before);
        let Some(fault) = new.first() else { return };
        let mut met: Vec<FaultClass> = Vec::new();
        for other in old.iter().filter(|other| new.iter().any(|span| span.overlaps(other))) {
            // A path that is cut both ways is one fault.
            if !met.contains(&other.class) {
                met.push(other.class);
            }
        }
        for other in met {
            let pair = (fault.class.min(other), fault.class.max(other));
            *self.pairs.entry(pair).or_default() += 1;
        }
    }

    /// The pairs of which both were felt.
    pub(super) fn finish(self, felt: &Felt) -> Counts {
        let was_felt = |class: FaultClass| feelings(class).iter().any(|feeling| felt.of(*feeling) > 0);
        let mut counts = Counts::new();
        for ((one, other), n) in self.pairs {
            if was_felt(one) && was_felt(other) {
                counts.insert(name(one, other), n);
            }
        }
        counts
    }
}

/// A pair as counts name it.
pub(super) fn name(one: FaultClass, other: FaultClass) -> String {
    format!("{} + {}", one.name(), other.name())
}

/// How a fault of a class is felt.
fn feelings(class: FaultClass) -> &'static [Feeling] {
    match class {
        FaultClass::Crash => &[Feeling::Crash],
        FaultClass::Host => &[Feeling::HostDown],
        FaultClass::Pause => &[Feeling::Pause],
        FaultClass::Cut | FaultClass::OneWay => &[Feeling::Cut],
        FaultClass::Reset => &[Feeling::Reset],
        FaultClass::Stall => &[Feeling::Stall],
        FaultClass::Refuse => &[Feeling::Refuse],
        FaultClass::Disk => &[Feeling::DiskStall, Feeling::DiskSlow],
        FaultClass::Clock => &[Feeling::ClockRate, Feeling::ClockStep, Feeling::ClockFreeze],
        FaultClass::Slow => &[Feeling::Slow, Feeling::Jitter, Feeling::Throttle, Feeling::SlowStart],
        FaultClass::Corrupt => &[Feeling::Corrupt],
        FaultClass::SlowCpu => &[Feeling::SlowCpu],
        FaultClass::RestartLoop => &[Feeling::RestartLoop],
        FaultClass::DiskError => &[Feeling::DiskError],
        FaultClass::DiskFail => &[Feeling::DiskFail],
        FaultClass::DiskFull => &[Feeling::DiskFull],
        FaultClass::Rot => &[Feeling::Rot, Feeling::Misdirect],
        FaultClass::Outside => &[Feeling::DiskLie, Feeling::Rot, Feeling::Misdirect, Feeling::ClockRate],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Action;
    use crate::testing::{both, plan};

    fn seen(actions: &[(u64, Action)], felt: &[Feeling]) -> Counts {
        let plan = plan(60, 1);
        let mut overlaps = Overlaps::default();
        for (step, (second, action)) in actions.iter().enumerate() {
            overlaps.fact(&plan, Time::secs(*second), &Fact::Acted { step, action });
        }
        let mut all = Felt::default();
        felt.iter().for_each(|feeling| all.count(*feeling));
        overlaps.finish(&all)
    }

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    #[test]
    fn faults_in_force_together_are_a_pair() {
        let (cut, heal) = (Action::Cut(both("A", "B")), Action::Heal(both("A", "B")));
        let crash = |name: &str| Action::Crash(name.into());
        let apart = [(1, cut.clone()), (2, heal.clone()), (3, crash("A"))];
        let felt = [Feeling::Cut, Feeling::Crash];
        assert_eq!(seen(&apart, &felt), counts(&[]));
        let together = [(1, cut.clone()), (2, crash("A")), (3, heal), (4, Action::Restart("A".into()))];
        assert_eq!(seen(&together, &felt), counts(&[("crash + cut", 1)]));
        assert_eq!(seen(&together, &felt[..1]), counts(&[]), "nobody has died");
        let two = [(1, crash("A")), (2, crash("B")), (3, cut)];
        assert_eq!(seen(&two, &felt), counts(&[("crash + crash", 1), ("crash + cut", 1)]));
    }

    #[test]
    fn one_fault_is_no_pair_and_a_moment_can_be_part_of_one() {
        assert_eq!(seen(&[(1, Action::Cut(both("A", "B")))], &[Feeling::Cut]), counts(&[]));
        let felt = [Feeling::Pause, Feeling::Reset];
        let within = [(1, Action::Pause("A".into())), (2, Action::Reset(both("B", "W")))];
        assert_eq!(seen(&within, &felt), counts(&[("pause + reset", 1)]));
        let before = [(1, Action::Reset(both("B", "W"))), (2, Action::Pause("A".into()))];
        assert_eq!(seen(&before, &felt), counts(&[]));
    }
}
