use super::*;
use crate::digest::first_difference;
use crate::fault::Action;
use crate::testing::{BusyCrew, at, chaos, options, plan};

fn chaotic(seed: u64, seconds: u64) -> Scenario {
    let mut plan = plan(seconds, 3);
    plan.timeline = chaos(seed, seconds, 12);
    plan
}

fn outcome(plan: &Scenario, seed: u64, driver: Driver) -> Outcome {
    run(plan, seed, &options(driver, BusyCrew)).expect("the plan is sound")
}

#[test]
fn both_drivers_give_the_same_digest_on_every_seed() {
    let mut felt: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..200 {
        let plan = chaotic(seed, 20);
        let (a, b) = (outcome(&plan, seed, Driver::Madsim), outcome(&plan, seed, Driver::Plain));
        assert_eq!((a.digest, a.events, &a.checkpoints), (b.digest, b.events, &b.checkpoints), "seed {seed}");
        assert_eq!(a.faults_felt, b.faults_felt);
        assert!(a.findings.is_empty(), "{:?}", a.findings);
        a.faults_felt.into_iter().for_each(|(name, count)| *felt.entry(name).or_default() += count);
    }
    let missing: Vec<_> =
        crate::felt::names().iter().filter(|name| **name != "inject" && !felt.contains_key(*name)).collect();
    assert!(missing.is_empty(), "never felt: {missing:?} of {felt:?}");
}

#[test]
fn the_real_instance_gives_the_same_digest_under_both_drivers() {
    for seed in 0..20 {
        let plan = chaotic(seed, 20);
        let run = |driver| run(&plan, seed, &RunOptions { driver, ..RunOptions::default() });
        let [a, b] = [Driver::Madsim, Driver::Plain].map(|driver| run(driver).expect("the plan is sound"));
        assert_eq!((a.digest, a.events), (b.digest, b.events), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_here_and_on_a_fresh_thread() {
    let plan = chaotic(5, 20);
    for driver in [Driver::Madsim, Driver::Plain] {
        let first = outcome(&plan, 5, driver).digest;
        assert_eq!(outcome(&plan, 5, driver).digest, first);
        assert_eq!(run_apart(&plan, 5, &options(driver, BusyCrew)).expect("the plan is sound").digest, first);
        assert_ne!(outcome(&plan, 6, driver).digest, first);
    }
}

#[test]
fn nothing_of_one_run_reaches_the_next() {
    let plans = [chaotic(1, 20), chaotic(2, 20)];
    for driver in [Driver::Madsim, Driver::Plain] {
        let digest = |seed: usize| outcome(&plans[seed], seed as u64, driver).digest;
        let (a, b) = (digest(0), digest(1));
        assert_eq!((digest(1), digest(0)), (b, a));
    }
}

#[test]
fn trace_and_record_change_nothing() {
    let plan = chaotic(3, 10);
    let quiet = outcome(&plan, 3, Driver::Madsim);
    let loud = RunOptions { trace: true, record: Some(0..500), ..options(Driver::Madsim, BusyCrew) };
    let loud = run(&plan, 3, &loud).expect("the plan is sound");
    assert_eq!((quiet.digest, quiet.events), (loud.digest, loud.events));
    let lines: Vec<String> = loud.trace.expect("a trace was asked for").lines().collect();
    assert!(
        lines.len() > 1000 && lines[0] == "    0.000000  A          started      incarnation 1",
        "{}",
        lines[0]
    );
    assert!(loud.recorded.iter().any(|line| line.starts_with("event 499 at ")));
}

#[test]
fn the_first_difference_of_two_runs_is_found() {
    let (mut plan, mut other) = (chaotic(4, 20), chaotic(4, 20));
    plan.timeline.clear();
    other.timeline = vec![at(Time::millis(7345), Action::DiskStall("B".into()))];
    let run = |plan: &Scenario, record| {
        let options = RunOptions { record, ..options(Driver::Plain, BusyCrew) };
        run(plan, 4, &options).expect("the plan is sound")
    };
    let found = first_difference(|window| run(&plan, window), |window| run(&other, window));
    let found = found.expect("the stall makes a difference");
    assert!(found.other.contains("at 7345000 us: node 65535 kind 103"), "{found}");
    assert_eq!(first_difference(|window| run(&plan, window), |window| run(&plan, window)), None);
}

#[test]
fn a_plan_with_a_name_that_is_not_there_is_an_error() {
    let mut plan = plan(1, 0);
    plan.timeline = vec![at(Time(0), Action::Crash("C".into()))];
    let error = run(&plan, 0, &RunOptions::default()).expect_err("there is no C");
    assert_eq!(error, PlanError::UnknownInstance("C".into()));
}

#[test]
#[ignore = "a measurement, for people: cargo test --release -- --ignored --nocapture cost"]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "measures the machine, outside of a run"
)]
fn cost_of_an_event() {
    let plan = plan(60, 4);
    for driver in [Driver::Plain, Driver::Madsim, Driver::Plain, Driver::Madsim] {
        let start = std::time::Instant::now();
        let events: u64 = (0..20).map(|seed| outcome(&plan, seed, driver).events).sum();
        let spent = start.elapsed();
        println!("{driver:?}: {events} events, {} ns each", spent.as_nanos() / u128::from(events));
    }
}
