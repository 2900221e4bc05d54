//! How fast a run is: seeds and events per second of a minute of chaos.
//!
//! Three questions, each at 20 and at 100 commits a second: what madsim costs beside the plain loop (`driver`), what
//! watching costs (`observers`), and what one more seed costs (the same plan with another seed every time). Wall time
//! belongs to criterion; nothing in a run sees it. Quote ratios: machines differ.
//!
//! Not in `Cargo.toml` as a `[[bench]]` until `dbm_sim::driver` and `dbm_sim::plan` are here. Assumed of them:
//! `driver::run(&Scenario, &RunOptions)`, whose result has `events: u64`; `RunOptions { driver: Driver, oracle: bool,
//! digest: bool, .. }` with a default; `Driver::{Madsim, Plain}`; `plan::resolve(&Scenario, seed) -> Scenario`, which
//! turns chaos into steps. Only `plan`, `options` and `run` below know.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dbm_sim::driver::{self, Driver, RunOptions};
use dbm_sim::plan::resolve;
use dbm_sim::scenario::{Chaos, InstanceDecl, SafetyDecl, Scenario, SessionDecl, Workload};
use dbm_sim::time::Time;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

const RATES: [u32; 2] = [20, 100];

/// Two partners and a witness for a minute, faults from second 5 to second 50.
fn plan(commits_per_s: u32, seed: u64) -> Scenario {
    let instance = |name: &str| InstanceDecl { name: name.into(), host: None };
    let scenario = Scenario {
        dbmsim: dbm_sim::scenario::FORMAT,
        name: "chaos".into(),
        note: String::new(),
        rules: vec![],
        seed: None,
        duration: Time::secs(60),
        instances: ["A", "B", "W"].map(instance).into(),
        session: SessionDecl {
            database: "sales".into(),
            principal: "A".into(),
            mirror: "B".into(),
            witness: Some("W".into()),
            safety: SafetyDecl::Full,
            timeout_s: 10,
            prepared: true,
        },
        network: Default::default(),
        disk: Default::default(),
        clocks: BTreeMap::new(),
        clock_rate_ppm_max: 200,
        workload: Some(Workload { commits_per_s, ..Workload::default() }),
        timeline: vec![],
        chaos: Some(Chaos {
            from: Time::secs(5),
            until: Time::secs(50),
            every: Time::secs(4),
            classes: vec![],
        }),
        expect: vec![],
    };
    resolve(&scenario, seed)
}

/// Who watches a run.
#[derive(Clone, Copy)]
enum Observers {
    /// Oracle and digest: what users run.
    On,
    /// The world alone.
    Off,
}

fn options(driver: Driver, observers: Observers) -> RunOptions {
    let on = matches!(observers, Observers::On);
    RunOptions { driver, oracle: on, digest: on, ..RunOptions::default() }
}

/// Runs the plan; how many events it took.
fn run(plan: &Scenario, options: &RunOptions) -> u64 {
    driver::run(plan, options).events
}

/// The cells of the comparison: both drivers, watched and not.
fn cells() -> [(&'static str, RunOptions); 4] {
    [
        ("madsim/watched", options(Driver::Madsim, Observers::On)),
        ("madsim/bare", options(Driver::Madsim, Observers::Off)),
        ("plain/watched", options(Driver::Plain, Observers::On)),
        ("plain/bare", options(Driver::Plain, Observers::Off)),
    ]
}

/// Events per second, on one plan: the same events in every cell.
fn events(c: &mut Criterion) {
    for rate in RATES {
        let plan = plan(rate, 1);
        let mut group = c.benchmark_group(format!("events/{rate}-per-s"));
        for (name, options) in cells() {
            group.throughput(Throughput::Elements(run(&plan, &options)));
            group.bench_with_input(BenchmarkId::from_parameter(name), &plan, |b, plan| {
                b.iter(|| black_box(run(plan, &options)));
            });
        }
        group.finish();
    }
}

/// Seeds per second on one core, over many different plans as a search makes them.
fn seeds(c: &mut Criterion) {
    for rate in RATES {
        let mut group = c.benchmark_group(format!("seeds/{rate}-per-s"));
        group.throughput(Throughput::Elements(1));
        for (name, options) in cells() {
            // Seeds count up from 1 in every cell; making the plan is part of the price of a seed.
            let mut seed = 0;
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| {
                    seed += 1;
                    black_box(run(&plan(rate, seed), &options))
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = chaos;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1));
    targets = events, seeds
}
criterion_main!(chaos);
