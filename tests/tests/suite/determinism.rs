//! A scenario and a seed give one run, whatever ran before it, beside it, and under whichever driver. [INV-14]
//!
//! Two processes are compared in `sim/tests/cli.rs`, debug and release builds by `ci/compare-digests`, and the memory of
//! long campaigns is watched in `sim/tests/memory.rs`.

use crate::{named, reports, shipped};
use dbm_sim::campaign::{Job, Source};
use dbm_sim::plan;
use dbm_sim::report::RunReport;
use dbm_sim::runner::{self, Driver, Options};
use dbm_sim::time::Time;

fn chaos() -> [Source; 1] {
    [named("chaos/chaos")]
}

fn seeds(range: std::ops::RangeInclusive<u64>) -> Vec<Job> {
    range.map(|seed| Job { source: 0, seed }).collect()
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    for path in ["chaos/chaos", "chaos/no-witness", "failover/principal-crash-restart"] {
        let plan = plan::resolve(&named(path).scenario, 4);
        let options = Options { trace: true, ..Options::default() };
        let (first, second) = (runner::run(&plan, &options), runner::run(&plan, &options));
        assert!(first.trace.len() > 1000, "{path}: {} lines", first.trace.len());
        assert_eq!(first.trace.iter().zip(&second.trace).find(|(a, b)| a != b), None, "{path}");
        assert_eq!(first.trace.len(), second.trace.len(), "{path}");
        assert_eq!((first.digest, first.checkpoints), (second.digest, second.checkpoints), "{path}");
    }
}

#[test]
fn another_seed_gives_another_run() {
    let ran = reports(&chaos(), &seeds(1..=30), Driver::Madsim, 2);
    let digests: std::collections::BTreeSet<&String> = ran.iter().map(|r| &r.digest).collect();
    assert_eq!(digests.len(), 30);
}

#[test]
fn both_drivers_give_the_same_report_on_every_seed() {
    let with = |driver| reports(&chaos(), &seeds(1..=100), driver, 2);
    let (madsim, plain) = (with(Driver::Madsim), with(Driver::Plain));
    madsim.iter().zip(&plain).for_each(|(a, b)| assert_eq!(a, b));
    assert_eq!(madsim.len(), plain.len());
}

#[test]
fn both_drivers_give_the_same_report_on_every_scenario() {
    // A run of a day tells no more about the drivers than one of a minute.
    let short = |source: &Source| source.scenario.duration < Time::secs(3600);
    let sources: Vec<Source> = shipped().into_iter().map(|(_, source)| source).filter(short).collect();
    let jobs: Vec<Job> = (0..sources.len()).map(|source| Job { source, seed: 1 }).collect();
    let with = |driver| reports(&sources, &jobs, driver, 2);
    let (madsim, plain) = (with(Driver::Madsim), with(Driver::Plain));
    madsim.iter().zip(&plain).for_each(|(a, b)| assert_eq!(a, b));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let with = |threads| reports(&chaos(), &seeds(1..=40), Driver::Madsim, threads);
    let alone = with(1);
    assert!(alone.iter().map(|r| r.seed).eq(1..=40));
    assert_eq!(alone, with(2));
    assert_eq!(alone, with(5));
}

#[test]
fn the_order_of_seeds_changes_nothing() {
    let forwards = reports(&chaos(), &seeds(1..=40), Driver::Madsim, 1);
    let mut turned = seeds(1..=40);
    turned.reverse();
    let mut backwards: Vec<RunReport> = reports(&chaos(), &turned, Driver::Madsim, 1);
    backwards.reverse();
    assert_eq!(forwards, backwards);
}

/// What is looked at leaves no mark on what happens.
#[test]
fn keeping_the_trace_changes_nothing() {
    let plan = plan::resolve(&chaos()[0].scenario, 9);
    let with = |trace| runner::run(&plan, &Options { trace, ..Options::default() });
    let (loud, quiet) = (with(true), with(false));
    assert_eq!((loud.digest, loud.events), (quiet.digest, quiet.events));
    assert!(quiet.trace.is_empty());
}
