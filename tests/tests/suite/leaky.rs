//! Planted non-determinism is caught by running everything twice, and named by the first event that differs. The second
//! run is in the same process and a fresh thread, as `--check-determinism` does it. [INV-14]

use crate::named;
use crate::toys::leaky::{Into, Leak, LeakyCrew};
use dbm_sim::campaign::{self, Mode};
use dbm_sim::driver::RunOptions;
use dbm_sim::report::{RunReport, Verdict};
use dbm_sim::runner::{self, Driver, Options};
use std::sync::Arc;

/// The report on a calm minute with that leak. On the plain driver: madsim puts its own seeded answers in the place of
/// the system's clock and randomness, so that with it most of these leak nothing.
fn checked(leak: Leak, into: Into, driver: Driver) -> RunReport {
    let source = named("failover/principal-crash-restart");
    let mode = Mode { options: Options { driver, ..Options::default() }, check_determinism: true };
    let run = |plan: &dbm_sim::scenario::Scenario, options: &Options| {
        let crew = Arc::new(LeakyCrew(leak, into));
        runner::run_with(plan, &RunOptions { crew, ..runner::run_options(plan, options) })
    };
    campaign::one(&run, &source, 3, mode).report
}

/// What the report says about two runs that differ.
fn named_difference(leak: Leak, into: Into) -> String {
    let report = checked(leak, into, Driver::Plain);
    let found = report.violations.iter().find(|v| v.invariant == "determinism");
    let found = found.unwrap_or_else(|| panic!("{leak:?} into {into:?} is not noticed: {}", report.text()));
    assert_eq!(report.verdict, Verdict::Failed);
    found.what.clone()
}

/// A timer of B fires at another moment: the trace names B, the moment and what is first done then.
fn caught(leak: Leak) {
    let what = named_difference(leak, Into::Timers);
    assert!(what.starts_with("two runs differ first at event "), "{what}");
    let lines: Vec<&str> = what.lines().collect();
    let (first, second) = (lines[1].trim_start(), lines[2].trim_start());
    assert!(first.starts_with("first  ") && second.starts_with("second "), "{what}");
    assert!(first.contains("  B ") || second.contains("  B "), "B leaks: {what}");
    assert!(!what.contains("the end"), "they differ in an event, not in their length: {what}");
}

#[test]
fn a_node_without_a_leak_is_not_blamed() {
    for (into, driver) in [(Into::Timers, Driver::Plain), (Into::State, Driver::Madsim)] {
        let report = checked(Leak::None, into, driver);
        assert_eq!(report.verdict, Verdict::Held, "{}", report.text());
    }
}

#[test]
fn hash_order() {
    caught(Leak::HashOrder);
}

#[test]
fn ambient_randomness() {
    caught(Leak::AmbientRandom);
}

#[test]
fn the_wall_clock() {
    caught(Leak::WallClock);
}

#[test]
fn a_race_of_threads() {
    caught(Leak::ThreadRace);
}

#[test]
fn state_kept_between_runs() {
    caught(Leak::Static);
}

/// What nobody sees from outside is named as well: by the event after which the states differ.
#[test]
fn a_leak_into_the_state_alone() {
    for leak in [Leak::HashOrder, Leak::WallClock, Leak::Static] {
        let what = named_difference(leak, Into::State);
        assert!(what.starts_with("traces are equal, but digests are "), "{what}");
        let (_, place) =
            what.split_once("two more runs differ first at event ").unwrap_or_else(|| panic!("{what}"));
        assert_eq!(place.matches("node 1 has state ").count(), 2, "{what}");
    }
}

/// The default driver: what madsim does not replace is caught there too, and threads it does not let anybody start.
#[test]
fn leaks_under_madsim() {
    let report = checked(Leak::Static, Into::Timers, Driver::Madsim);
    assert!(report.violations.iter().any(|v| v.invariant == "determinism"), "{}", report.text());
    let report = checked(Leak::ThreadRace, Into::Timers, Driver::Madsim);
    assert_eq!(report.verdict, Verdict::Failed, "{}", report.text());
    for harmless in [Leak::HashOrder, Leak::AmbientRandom, Leak::WallClock] {
        assert_eq!(checked(harmless, Into::Timers, Driver::Madsim).verdict, Verdict::Held, "{harmless:?}");
    }
}
