//! What a run has seen: statements and how they ended, transitions by their rule, numbered events, role switches; which
//! faults were in force together, at which steps of the protocol somebody died, and how deep the run got. Bookkeeping for
//! people and gates, not judgement: it believes what instances tell, and the oracle judges that.
//!
//! Counts are flat maps from text to number, so that the counts of many runs add up.

mod depth;
mod overlap;
mod required;
mod switches;
mod text;

use crate::felt::Felt;
use crate::observe::Fact;
use crate::scenario::Scenario;
use crate::time::Time;
use dbm_core::types::InstanceId;
pub use required::Required;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;

fn count(counts: &mut Counts, name: impl Into<String>) {
    *counts.entry(name.into()).or_default() += 1;
}

/// What was seen, and how often. The order of fields is part of the format of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Coverage {
    /// "FAILOVER accepted", "FAILOVER refused 1470", "FAILOVER unanswered".
    pub statements: Counts,
    /// "TR-12 P:SYNCHRONIZED > P:PENDING_FAILOVER"; "start …" at the start of a process.
    pub transitions: Counts,
    /// State-change events by number, "EV-9".
    pub events: Counts,
    /// Role switches and what came of them, "manual failover completed".
    pub outcomes: Counts,
    /// Classes of faults of which one was installed while another was in force, "crash + cut", and both were felt in the
    /// run; "cut + cut" for two of a class in different places.
    pub overlaps: Counts,
    /// Named steps of the protocol that were reached.
    pub steps: Counts,
    /// Deaths of a process, by the step that it had reached within the last 50 ms.
    pub crashes: Counts,
    /// Deaths in the middle of a list of effects, whose rest was lost, by the step that the process had reached last.
    pub cuts: Counts,
    /// How deep runs got, "log wrapped".
    pub depth: Counts,
}

/// Names of the parts of [`Coverage`], in order.
const PARTS: [&str; 9] =
    ["statements", "transitions", "events", "outcomes", "overlaps", "steps", "crashes", "cuts", "depth"];

impl Coverage {
    fn parts(&self) -> [(&'static str, &Counts); PARTS.len()] {
        let counts = [
            &self.statements,
            &self.transitions,
            &self.events,
            &self.outcomes,
            &self.overlaps,
            &self.steps,
            &self.crashes,
            &self.cuts,
            &self.depth,
        ];
        std::array::from_fn(|i| (PARTS[i], counts[i]))
    }

    fn parts_mut(&mut self) -> [&mut Counts; PARTS.len()] {
        [
            &mut self.statements,
            &mut self.transitions,
            &mut self.events,
            &mut self.outcomes,
            &mut self.overlaps,
            &mut self.steps,
            &mut self.crashes,
            &mut self.cuts,
            &mut self.depth,
        ]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Coverage) {
        for (mine, (_, other)) in self.parts_mut().into_iter().zip(other.parts()) {
            for (name, count) in other {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }

    /// What of `wanted` was seen less often than that, as "transitions TR-9: 0 of 20". A wanted name stands for every
    /// name that begins with its words: "FAILOVER refused" for each error number.
    pub fn missing(&self, wanted: &Coverage) -> Vec<String> {
        let parts = self.parts().into_iter().zip(wanted.parts());
        parts.flat_map(|((part, have), (_, want))| required::missing(part, have, want)).collect()
    }
}

/// Watches one run.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    switches: switches::Switches,
    overlaps: overlap::Overlaps,
    depth: depth::Depth,
}

impl Watcher {
    /// Takes note of one fact.
    pub fn fact(&mut self, plan: &Scenario, at: Time, fact: &Fact<'_>) {
        self.switches.fact(fact);
        self.overlaps.fact(plan, at, fact);
        self.depth.fact(at, fact);
    }

    /// An instance that has just died lost the rest of a list of effects.
    pub fn cut_short(&mut self, instance: InstanceId) {
        self.depth.cut_short(instance);
    }

    /// The end of the run, with what was felt of the faults.
    pub fn finish(self, felt: &Felt) -> Coverage {
        let mut seen = self.switches.finish();
        seen.overlaps = self.overlaps.finish(felt);
        self.depth.finish(&mut seen);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_count() {
        let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
        let have = Coverage {
            statements: counts(&[("FAILOVER refused 1470", 2), ("FAILOVER refused 1422", 1)]),
            transitions: counts(&[("TR-1 a > b", 9), ("TR-12 a > b", 1)]),
            ..Coverage::default()
        };
        let want = Coverage {
            statements: counts(&[("FAILOVER refused", 3), ("FAILOVER accepted", 1)]),
            transitions: counts(&[("TR-1", 10), ("TR-12", 1)]),
            ..Coverage::default()
        };
        assert_eq!(
            have.missing(&want),
            ["statements FAILOVER accepted: 0 of 1", "transitions TR-1: 9 of 10"]
        );
        assert!(have.text().contains("FAILOVER: E1422 1, E1470 2"), "{}", have.text());
    }

    #[test]
    fn counts_of_two_runs_add_up_in_every_part() {
        let one = |name: &str| Counts::from([(name.to_owned(), 1)]);
        let mut sum = Coverage::default();
        for _ in 0..2 {
            let mut run = Coverage::default();
            run.parts_mut().into_iter().zip(PARTS).for_each(|(counts, part)| *counts = one(part));
            sum.add(&run);
        }
        for (part, counts) in sum.parts() {
            assert_eq!(counts, &Counts::from([(part.to_owned(), 2)]), "{part}");
        }
        let json = serde_json::to_value(&sum).expect("counts are JSON");
        let fields = json.as_object().expect("a coverage is an object");
        assert!(fields.len() == PARTS.len() && PARTS.iter().all(|part| fields.contains_key(*part)));
    }
}
