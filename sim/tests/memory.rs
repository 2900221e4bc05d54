//! A campaign of any length runs in bounded memory. In a process of its own: other tests would disturb the measure.

use dbm_sim::driver::{Driver, RunOptions, run};
use dbm_sim::runner::{self, Options};
use dbm_sim::scenario::Scenario;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux tells the size of a process");
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4
}

#[test]
fn memory_stays_flat_over_many_runs() {
    let plan: Scenario = serde_json::from_value(serde_json::json!({
        "dbmsim": 1, "name": "memory", "duration": "5s",
        "instances": [{"name": "A"}, {"name": "B"}, {"name": "W"}],
        "session": {"principal": "A", "mirror": "B", "witness": "W"},
        "workload": {"clients": 4},
        "timeline": [
            {"at": "1s", "do": {"crash": "A"}},
            {"at": "1s 500ms", "do": {"cut": {"from": "B", "to": "W"}}},
            {"at": "2s", "do": {"restart": "A"}},
            {"at": "3s", "do": {"host_down": "B"}},
            {"at": "4s", "do": "heal_all"},
        ],
    }))
    .expect("the plan is well formed");
    for driver in [Driver::Madsim, Driver::Plain] {
        let options = runner::run_options(&plan, &Options { driver, ..Options::default() });
        let campaign = |seeds: std::ops::Range<u64>, options: &RunOptions| {
            for seed in seeds {
                let outcome = run(&plan, seed, options).expect("the plan names nothing unknown");
                assert!(outcome.events > 500, "seed {seed}: {} events", outcome.events);
            }
        };
        campaign(0..200, &options);
        let before = resident_kib();
        campaign(200..1700, &options);
        // 20 KB stay behind for each run whose wakers are not dropped: 30 MB.
        assert!(resident_kib() < before + 4096, "{before} KiB before, {} KiB after", resident_kib());
    }
}
