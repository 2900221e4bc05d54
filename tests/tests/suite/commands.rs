//! Every control statement is accepted and refused, and every permitted transition and numbered event is seen, in chaos
//! with an owner. What a campaign of 2,000 seeds has to show is in `ci/owner-coverage.json`; here a few seeds show each
//! of it once. [TR-*, EV-*]

use crate::{named, reports};
use dbm_sim::campaign::Job;
use dbm_sim::coverage::Coverage;
use dbm_sim::report::Verdict;
use dbm_sim::runner::Driver;
use std::path::Path;

/// What must be seen, each at least once.
fn once() -> Coverage {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/owner-coverage.json");
    let text = std::fs::read_to_string(file).expect("it is in the repository");
    let mut wanted: Coverage = serde_json::from_str(&text).expect("it has the form of a coverage");
    for counts in [&mut wanted.statements, &mut wanted.transitions, &mut wanted.events, &mut wanted.outcomes]
    {
        counts.values_mut().for_each(|least| *least = 1);
    }
    wanted
}

#[test]
fn an_owner_in_chaos_sees_every_answer_transition_and_event() {
    let sources = [named("chaos/owner"), named("chaos/owner-no-witness")];
    let jobs: Vec<Job> = (1..=40).flat_map(|seed| [0, 1].map(|source| Job { source, seed })).collect();
    let mut seen = Coverage::default();
    for report in reports(&sources, &jobs, Driver::Madsim, 2) {
        assert_eq!(report.verdict, Verdict::Held, "{}", report.text());
        seen.add(&report.coverage);
    }
    let missing = seen.missing(&once());
    assert!(missing.is_empty(), "never seen: {missing:#?}");
}
