//! How fast a run is: events and seeds per second of a minute of chaos.
//!
//! Three questions, each at 20 and at 100 commits a second: what madsim costs beside the plain loop, what watching (the
//! oracle, the digest) costs, and what one more seed costs (`seeds`: another seed every time, on a thread of its own,
//! as a search does it). Wall time belongs to criterion; nothing in a run sees it. Quote ratios: machines differ.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dbm_sim::driver::{self, Driver, RunOptions};
use dbm_sim::plan::resolve;
use dbm_sim::scenario::{Scenario, Workload};
use dbm_sim::{read, runner};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RATES: [u32; 2] = [20, 100];
/// Seeds of one measured batch: single chaos plans differ too much.
const BATCH: u64 = 8;

/// The chaos scenario at a rate of commits.
fn scenario(commits_per_s: u32) -> Scenario {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/chaos/chaos.json");
    let text = std::fs::read_to_string(&file).expect("the chaos scenario is part of the repository");
    let mut scenario = read::text(&file, &text).expect("the chaos scenario is sound");
    let workload = scenario.workload.unwrap_or_default();
    scenario.workload = Some(Workload { commits_per_s, ..workload });
    scenario
}

/// A plan and how to run it.
fn ready(scenario: &Scenario, seed: u64, cell: Cell) -> (Scenario, u64, RunOptions) {
    let plan = resolve(scenario, seed);
    let options = runner::run_options(&plan, &runner::Options { driver: cell.driver, ..Default::default() });
    (plan, seed, RunOptions { judge: cell.judge, digest: cell.digest, ..options })
}

/// Runs the plan on this thread; how many events it took.
fn run((plan, seed, options): &(Scenario, u64, RunOptions)) -> u64 {
    driver::run(plan, *seed, options).expect("the plan is sound").events
}

/// Who drives and who watches.
#[derive(Clone, Copy)]
struct Cell {
    name: &'static str,
    driver: Driver,
    judge: bool,
    digest: bool,
}

const CELLS: [Cell; 6] = [
    Cell { name: "madsim", driver: Driver::Madsim, judge: true, digest: true },
    Cell { name: "plain", driver: Driver::Plain, judge: true, digest: true },
    Cell { name: "madsim/no-oracle", driver: Driver::Madsim, judge: false, digest: true },
    Cell { name: "madsim/no-digest", driver: Driver::Madsim, judge: true, digest: false },
    Cell { name: "madsim/bare", driver: Driver::Madsim, judge: false, digest: false },
    Cell { name: "plain/bare", driver: Driver::Plain, judge: false, digest: false },
];

/// Events per second: the same plans, and so the same events, in every cell.
fn events(c: &mut Criterion) {
    for rate in RATES {
        let scenario = scenario(rate);
        let mut group = c.benchmark_group(format!("events/{rate}-per-s"));
        for cell in CELLS {
            let runs: Vec<_> = (0..BATCH).map(|seed| ready(&scenario, seed, cell)).collect();
            group.throughput(Throughput::Elements(runs.iter().map(run).sum()));
            group.bench_function(BenchmarkId::from_parameter(cell.name), |b| {
                b.iter(|| black_box(runs.iter().map(run).sum::<u64>()));
            });
        }
        group.finish();
    }
}

/// Seeds per second on one core. Making the plan and its thread is part of the price.
fn seeds(c: &mut Criterion) {
    for rate in RATES {
        let scenario = scenario(rate);
        let mut group = c.benchmark_group(format!("seeds/{rate}-per-s"));
        group.throughput(Throughput::Elements(BATCH));
        for cell in CELLS.into_iter().take(2) {
            group.bench_function(BenchmarkId::from_parameter(cell.name), |b| {
                b.iter(|| {
                    for seed in 0..BATCH {
                        let (plan, seed, options) = ready(&scenario, seed, cell);
                        black_box(driver::run_apart(&plan, seed, &options).expect("the plan is sound"));
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = chaos;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = events, seeds
}
criterion_main!(chaos);
