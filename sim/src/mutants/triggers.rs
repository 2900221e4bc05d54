//! The scenarios that trigger the traces F1 … F10 of the model check, by the bugs that undo their repairs.

use super::{Plan, TRIGGER_SEEDS, Triggered, ran};
use crate::campaign::Source;
use crate::read::{self, ReadError};
use crate::report::Verdict;
use dbm_core::bugs::Bug;
use std::collections::{BTreeMap, BTreeSet};

/// A bug and a scenario that meets it.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    /// The bug.
    pub bug: Bug,
    /// The scenario, below the folder of scenarios and without its ending.
    pub scenario: &'static str,
}

const fn trigger(bug: Bug, scenario: &'static str) -> Trigger {
    Trigger { bug, scenario }
}

/// All of them. Traces and scenarios are explained in `docs/planted-bugs.md`.
pub const TRIGGERS: &[Trigger] = &[
    trigger(Bug::ClaimantFollows, "proof/f1-grant-after-claimant-met-principal"),
    trigger(Bug::NotElected, "model_check/f2-grant-lost-on-the-way"),
    trigger(Bug::NoLogBranch, "proof/f3-new-log-at-the-same-place"),
    trigger(Bug::HandoverKeepsSequence, "model_check/f4-force-after-a-hand-over"),
    trigger(Bug::ForceWithoutClaim, "model_check/f5-force-needs-both-losses"),
    trigger(Bug::LeaseByOwnPeriod, "model_check/f6-lease-by-the-smaller-period"),
    trigger(Bug::SynchronizingDoesNotWait, "proof/f7-commits-wait-until-somebody-noted"),
    trigger(Bug::ReleasedFirst, "model_check/f8-witness-off-binds-until-told"),
    trigger(Bug::StampWithoutRoleSequence, "model_check/f9-forced-suspension-beats-a-lost-resume"),
    trigger(Bug::HandoverHiddenFromWitness, "model_check/f10-hand-over-travels-through-the-witness"),
];

/// The scenarios of the bugs at hand.
pub(super) struct Loaded(Vec<(Bug, &'static str, Source)>);

/// Reads what `plan` needs.
pub(super) fn load(plan: &Plan) -> Result<Loaded, ReadError> {
    let wanted = TRIGGERS.iter().filter(|t| plan.bugs.contains(&t.bug));
    let loaded = wanted.map(|t| {
        let file = plan.scenarios.join(format!("{}.json", t.scenario));
        let source = Source { file: file.display().to_string(), scenario: read::file(&file)? };
        Ok((t.bug, t.scenario, source))
    });
    Ok(Loaded(loaded.collect::<Result<_, ReadError>>()?))
}

impl Loaded {
    /// Runs the scenarios of `bug`; what they expect counts as well.
    pub(super) fn run(&self, bug: Bug) -> Vec<Triggered> {
        let of_bug = self.0.iter().filter(|(b, ..)| *b == bug);
        of_bug.map(|(_, scenario, source)| run(bug, scenario, source)).collect()
    }
}

fn run(bug: Bug, scenario: &str, source: &Source) -> Triggered {
    let mut triggered = Triggered { scenario: scenario.to_owned(), seeds: 0, failed: 0, by: BTreeMap::new() };
    for seed in TRIGGER_SEEDS {
        let report = ran(source, seed, Some(bug));
        triggered.seeds += 1;
        triggered.failed += u64::from(report.verdict == Verdict::Failed);
        let mut by: BTreeSet<&str> = report.violations.iter().map(|v| v.invariant.as_str()).collect();
        by.extend((!report.unmet.is_empty()).then_some("expectation"));
        for name in by {
            *triggered.by.entry(name.to_owned()).or_default() += 1;
        }
    }
    triggered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of the ten repairs is undone by a bug, and each such bug has its scenario.
    #[test]
    fn every_repair_has_its_trigger() {
        for k in 1..=10 {
            assert!(TRIGGERS.iter().any(|t| t.bug.repair() == Some(k)), "F{k}");
        }
        for bug in Bug::ALL {
            let triggered = TRIGGERS.iter().any(|t| t.bug == *bug);
            assert_eq!(bug.repair().is_some(), triggered, "{}", bug.name());
        }
    }
}
