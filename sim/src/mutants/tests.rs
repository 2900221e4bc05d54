//! Rows for tests, and the figures of a matrix.

use super::*;

/// A bug with failing seeds and what they break.
pub(super) fn row(bug: &'static str, failing: &[(u64, &[(&str, &str)])]) -> Row {
    let failing = failing.iter().map(|(seed, rules)| Failing {
        seed: *seed,
        rules: rules.iter().map(|(i, r)| ((*i).to_owned(), (*r).to_owned())).collect(),
    });
    Row {
        bug,
        rule: "P-0",
        area: "log",
        about: "Something is wrong.",
        repair: None,
        seeds: 100,
        failing: failing.collect(),
        triggered: Vec::new(),
    }
}

pub(super) fn matrix(rows: Vec<Row>) -> Matrix {
    Matrix {
        scenario: "swarm".into(),
        seeds: 100,
        failing: 30,
        control_failed: Vec::new(),
        control_seeds: 100,
        oracle: Some(OracleAblation::of(&rows)),
        faults: None,
        rows,
    }
}

#[test]
fn a_survivor_counts_as_beyond_all_in_the_median() {
    let killed = |seed| row("killed", &[(seed, &[("logs", "P-11")])]);
    assert_eq!(matrix(vec![killed(3), killed(5), killed(900)]).median(), Some(5));
    assert_eq!(matrix(vec![killed(3), row("alive", &[]), row("alive", &[])]).median(), None);
    assert_eq!(matrix(vec![killed(3), killed(7), row("alive", &[])]).median(), Some(7));
}

#[test]
fn an_undone_repair_has_to_die_by_its_trigger() {
    let mut undone = Row { repair: Some(3), ..row("undone", &[(1, &[("logs", "P-11")])]) };
    assert!(!undone.dies());
    undone.triggered = vec![Triggered { scenario: "f3".into(), seeds: 10, failed: 2, by: BTreeMap::new() }];
    assert!(undone.dies());
    let matrix = matrix(vec![undone, row("alive", &[])]);
    assert_eq!(matrix.survivors().iter().map(|r| r.bug).collect::<Vec<_>>(), ["alive"]);
    assert!(!matrix.holds());
}
