//! Fault ablation: which bugs would survive if the plans lacked a class of faults.
//!
//! A class is removed from a plan by dropping its steps; repairs that nothing needs any more stay and do nothing. A seed
//! whose plan has no such step runs as before, so its outcome is known already.

use super::{Bench, Done, Failing, Row, failing, ran};
use crate::campaign::Source;
use crate::fault::Action;
use crate::plan;
use crate::scenario::{FaultClass, Scenario, Step};
use dbm_core::bugs::Bug;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The class of a step; `None` for repairs. The owner's statements are one as well.
pub fn class_of(action: &Action) -> Option<&'static str> {
    match action {
        Action::Sql { .. } => Some("statements"),
        Action::Inject { .. } => Some("inject"),
        fault => FaultClass::of(fault).map(FaultClass::name),
    }
}

/// What the removal of a class does to one bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Without {
    /// The bug.
    pub bug: &'static str,
    /// Seeds until it is killed with the class; `None`: not within the seeds of the ablation.
    pub before: Option<u64>,
    /// Seeds until it is killed without the class.
    pub after: Option<u64>,
}

/// All removals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultAblation {
    /// At most so many seeds a bug and class.
    pub seeds: u64,
    /// Classes, each with the bugs that are killed without it later or not at all.
    pub classes: BTreeMap<&'static str, Vec<Without>>,
    /// Plans that have the class at all.
    pub plans: BTreeMap<&'static str, u64>,
}

impl FaultAblation {
    /// Bugs that are killed with all classes and survive without this one.
    pub fn survive(&self, class: &str) -> Vec<&'static str> {
        let of = self.classes.get(class).map(Vec::as_slice).unwrap_or_default();
        of.iter().filter(|w| w.before.is_some() && w.after.is_none()).map(|w| w.bug).collect()
    }
}

pub(super) fn measure(bench: &Bench<'_>, rows: &[Row], tell: &(dyn Fn(Done) + Sync)) -> FaultAblation {
    let seeds = bench.plan.ablation_seeds.min(bench.plan.seeds);
    let plans: Vec<Scenario> =
        (1..=seeds).into_par_iter().map(|seed| plan::resolve(&bench.source.scenario, seed)).collect();
    let has: Vec<BTreeSet<&'static str>> = plans.iter().map(classes).collect();
    let all: BTreeSet<&'static str> = has.iter().flatten().copied().collect();
    let ablated = Ablated { bench, plans: &plans, has: &has };
    let found: Vec<(&'static str, Vec<Without>)> = all
        .par_iter()
        .map(|&class| {
            let bugs: Vec<Without> = rows
                .par_iter()
                .filter_map(|row| {
                    let without = ablated.without(class, row);
                    tell(Done { of: (rows.len() * (1 + all.len())) as u64 });
                    (without.before != without.after).then_some(without)
                })
                .collect();
            (class, bugs)
        })
        .collect();
    let count = |class| (class, has.iter().filter(|of| of.contains(class)).count() as u64);
    FaultAblation {
        seeds,
        classes: found.into_iter().collect(),
        plans: all.iter().copied().map(count).collect(),
    }
}

fn classes(plan: &Scenario) -> BTreeSet<&'static str> {
    plan.timeline.iter().filter_map(|step| class_of(&step.action)).collect()
}

struct Ablated<'a> {
    bench: &'a Bench<'a>,
    plans: &'a [Scenario],
    has: &'a [BTreeSet<&'static str>],
}

impl Ablated<'_> {
    fn without(&self, class: &'static str, row: &Row) -> Without {
        let seeds = self.plans.len() as u64;
        let before = row.killed().filter(|n| *n <= seeds);
        let bug = Bug::by_name(row.bug);
        // A bug that lives with all faults is not asked: without one of them it is killed by luck at most.
        let after = before.and_then(|_| (1..=seeds).find(|seed| self.fails(class, row, bug, *seed)));
        Without { bug: row.bug, before, after }
    }

    fn fails(&self, class: &str, row: &Row, bug: Option<Bug>, seed: u64) -> bool {
        let index = seed as usize - 1;
        if !self.has[index].contains(class) && seed <= row.seeds {
            return row.failing.iter().any(|f| f.seed == seed);
        }
        let scenario = drop_class(&self.plans[index], class);
        let source = Source { file: self.bench.source.file.clone(), scenario };
        let found: Option<Failing> = failing(&ran(&source, seed, bug));
        found.and_then(|f| self.bench.beyond_control(f)).is_some()
    }
}

/// The plan without the steps of a class. What came after such a step comes at any time.
fn drop_class(plan: &Scenario, class: &str) -> Scenario {
    let mut left = Vec::new();
    let mut place = vec![None; plan.timeline.len()];
    for (i, step) in plan.timeline.iter().enumerate() {
        if class_of(&step.action) != Some(class) {
            place[i] = Some(left.len());
            left.push(step.clone());
        }
    }
    let timeline = left
        .into_iter()
        .map(|step| Step {
            after_step: step.after_step.and_then(|old| place.get(old).copied().flatten()),
            ..step
        })
        .collect();
    Scenario { timeline, ..plan.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::small;
    use crate::testing;
    use crate::time::Time;

    /// [decisions: fault ablation]
    #[test]
    fn a_class_is_dropped_and_references_follow() {
        let crash = || Action::Crash("A".into());
        let heal = || Action::HealAll;
        let timeline = vec![
            testing::at(Time::secs(1), crash()),
            testing::at(Time::secs(2), heal()),
            Step { after_step: Some(1), ..testing::at(Time::secs(3), heal()) },
            Step { after_step: Some(0), ..testing::at(Time::secs(4), heal()) },
        ];
        let plan = Scenario { timeline, ..small() };
        let left = drop_class(&plan, "crash");
        assert_eq!(left.timeline.len(), 3);
        assert_eq!(left.timeline.iter().map(|s| s.after_step).collect::<Vec<_>>(), [None, Some(0), None]);
        assert_eq!(drop_class(&plan, "pause"), plan);
    }
}
