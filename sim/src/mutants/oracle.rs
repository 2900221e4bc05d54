//! Oracle ablation: which bugs would survive without an invariant, by arithmetic over the violations of failing runs.
//!
//! A run that fails by several rules still fails without one of them. So a bug survives the removal of a rule when every
//! failing run of it was failed by that rule alone.

use super::{Failing, Row};
use serde::Serialize;
use std::collections::BTreeSet;

/// What the removal of one invariant, or of one rule of it, would cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The invariant.
    pub invariant: String,
    /// One rule of it; `None`: all.
    pub rule: Option<String>,
    /// Bugs that some failing run of theirs was failed by it.
    pub hit: Vec<&'static str>,
    /// Of them, those that no other rule has noticed.
    pub survive: Vec<&'static str>,
    /// Of the others, those that would need more seeds: before and after.
    pub later: Vec<(&'static str, u64, u64)>,
}

/// All removals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OracleAblation {
    /// Whole invariants.
    pub invariants: Vec<Removed>,
    /// Single rules.
    pub rules: Vec<Removed>,
}

impl OracleAblation {
    /// From the failing runs of each bug.
    pub fn of(rows: &[Row]) -> Self {
        let seen: BTreeSet<(String, String)> =
            rows.iter().flat_map(|row| &row.failing).flat_map(|f| f.rules.iter().cloned()).collect();
        let invariants: BTreeSet<&String> = seen.iter().map(|(invariant, _)| invariant).collect();
        OracleAblation {
            invariants: invariants.into_iter().map(|i| removed(rows, i, None)).collect(),
            rules: seen.iter().map(|(i, rule)| removed(rows, i, Some(rule))).collect(),
        }
    }
}

fn removed(rows: &[Row], invariant: &str, rule: Option<&str>) -> Removed {
    let gone = |i: &str, r: &str| i == invariant && rule.is_none_or(|rule| r == rule);
    let hit = |f: &Failing| f.rules.iter().any(|(i, r)| gone(i, r));
    let left = |f: &&Failing| f.rules.iter().any(|(i, r)| !gone(i, r));
    let mut removed = Removed {
        invariant: invariant.to_owned(),
        rule: rule.map(str::to_owned),
        hit: Vec::new(),
        survive: Vec::new(),
        later: Vec::new(),
    };
    for row in rows.iter().filter(|row| row.failing.iter().any(hit)) {
        removed.hit.push(row.bug);
        let before = row.killed().expect("a run of it has failed");
        match row.failing.iter().find(left).map(|f| f.seed) {
            None => removed.survive.push(row.bug),
            Some(after) if after > before => removed.later.push((row.bug, before, after)),
            Some(_) => {}
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    /// A bug survives a removal when no failing run of it has another violation.
    #[test]
    fn survivors_are_those_that_nothing_else_has_seen() {
        let rows = [
            row("alone", &[(3, &[("logs", "P-11")]), (5, &[("logs", "P-12")])]),
            row("both", &[(2, &[("logs", "P-11")]), (9, &[("data", "P-8"), ("logs", "P-11")])]),
            row("other", &[(1, &[("data", "P-8")])]),
        ];
        let ablation = OracleAblation::of(&rows);
        let names: Vec<&str> = ablation.invariants.iter().map(|r| r.invariant.as_str()).collect();
        assert_eq!(names, ["data", "logs"]);
        let logs = &ablation.invariants[1];
        assert_eq!((&logs.hit[..], &logs.survive[..]), (&["alone", "both"][..], &["alone"][..]));
        assert_eq!(logs.later, [("both", 2, 9)]);
        // Without one rule of it the other one is left.
        let p11 = ablation.rules.iter().find(|r| r.rule.as_deref() == Some("P-11")).expect("it was seen");
        assert_eq!(p11.survive, [""; 0]);
        assert_eq!(p11.later, [("alone", 3, 5), ("both", 2, 9)]);
        assert_eq!(ablation.invariants[0].survive, ["other"]);
    }
}
