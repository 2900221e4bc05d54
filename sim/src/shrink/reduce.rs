//! Removing steps: large parts first, then smaller ones, down to single steps, until none can go any more.

use super::Shrinker;
use super::edit;
use crate::scenario::Scenario;
use std::collections::BTreeSet;

/// Removes faults together with their repairs, and other steps alone.
pub fn units(s: &mut Shrinker<'_>) {
    minimize(s, |plan| edit::units(&plan.timeline));
}

/// Removes single steps: a repair that nobody waits for, a repair of everything at the end.
pub fn steps(s: &mut Shrinker<'_>) {
    minimize(s, |plan| (0..plan.timeline.len()).map(|i| vec![i]).collect());
}

/// Delta debugging over the units of the plan at hand.
///
/// Later parts are tried first: what comes after the failure has nothing to do with it, and shortens nothing else.
fn minimize(s: &mut Shrinker<'_>, units: impl Fn(&Scenario) -> Vec<Vec<usize>>) {
    let mut size = units(&s.plan).len();
    while size > 0 && !s.over() {
        let mut end = units(&s.plan).len();
        let mut removed = false;
        while end > 0 && !s.over() {
            let all = units(&s.plan);
            // One candidate for each part of `size` units, from the back.
            let mut parts = Vec::new();
            let mut to = end.min(all.len());
            while to > 0 {
                let from = to.saturating_sub(size);
                parts.push(from..to);
                to = from;
            }
            let without = |part: &std::ops::Range<usize>| {
                let gone: BTreeSet<usize> = all[part.clone()].iter().flatten().copied().collect();
                edit::without(&s.plan, &gone)
            };
            let candidates: Vec<Scenario> = parts.iter().map(without).collect();
            let what = if size == 1 { "a step removed".to_owned() } else { format!("{size} units removed") };
            match s.take(&what, candidates) {
                Some(i) => {
                    removed = true;
                    end = parts[i].start;
                }
                None => break,
            }
        }
        size = match (size, removed) {
            (1, false) => 0,
            // What was needed for a step that is gone now may go as well.
            (1, true) => 1,
            (size, _) => (size / 2).min(units(&s.plan).len()),
        };
    }
}
