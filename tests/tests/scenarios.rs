//! Every file below `scenarios/` is a test of its own, called by its path, and runs with several seeds. The folder is
//! walked: a new file needs no line here.
//!
//!     cargo test qr-5                         the tests whose path holds `qr-5`
//!     DBMSIM_SEED=17 cargo test qr-5          with exactly that seed
//!     DBMSIM_SEEDS=500 cargo test chaos       with the seeds 1 to 500
//!
//! A file with a seed of its own (a plan, as in `scenarios/regressions/`) runs with that one, too.

use dbm_sim::campaign::{self, Job, Jobs, Mode, Source};
use dbm_sim::report::{RunReport, Verdict};
use dbm_sim::scenario::Scenario;
use dbm_sim::time::Time;
use dbm_sim::{read, runner};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Seeds of a scenario whose course is fixed.
const SEEDS: u64 = 5;
/// Seeds of a scenario that lasts for hours.
const SEEDS_OF_HOURS: u64 = 1;
/// Seeds of a scenario with random faults.
const SEEDS_OF_CHAOS: u64 = 30;
/// Failing seeds that are told in full.
const TOLD_MAX: usize = 3;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let files = read::find(&[root.join("scenarios")]).expect("the workspace has a folder scenarios");
    let trials = files.into_iter().map(|file| trial(root, file)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(root: &Path, file: PathBuf) -> Trial {
    let shown = file.strip_prefix(root).expect("found below the root").display().to_string();
    let name = shown.trim_start_matches("scenarios/").trim_end_matches(".json").to_owned();
    Trial::test(name.clone(), move || {
        let scenario = read::file(&file).map_err(|e| e.to_string())?;
        let seeds = seeds(&scenario)?;
        let failed: Vec<RunReport> =
            run(shown, scenario, &seeds).into_iter().filter(|r| r.verdict == Verdict::Failed).collect();
        if failed.is_empty() { Ok(()) } else { Err(Failed::from(complaint(&name, &failed, seeds.len()))) }
    })
}

fn seeds(scenario: &Scenario) -> Result<Vec<u64>, String> {
    let number = |name: &str| match std::env::var(name) {
        Ok(text) => text.parse::<u64>().map(Some).map_err(|_| format!("{name}={text}: is no number")),
        Err(_) => Ok(None),
    };
    if let Some(seed) = number("DBMSIM_SEED")? {
        return Ok(vec![seed]);
    }
    let usual = match scenario {
        s if s.duration >= Time::secs(3600) => SEEDS_OF_HOURS,
        s if s.chaos.is_some() || s.swarm.is_some() => SEEDS_OF_CHAOS,
        _ => SEEDS,
    };
    let count = number("DBMSIM_SEEDS")?.unwrap_or(usual);
    let own = scenario.seed.filter(|seed| !(1..=count).contains(seed));
    Ok(own.into_iter().chain(1..=count).collect())
}

/// On one thread: the harness runs the tests side by side.
fn run(file: String, scenario: Scenario, seeds: &[u64]) -> Vec<RunReport> {
    let sources = [Source { file, scenario }];
    let jobs = Jobs { count: seeds.len(), at: &|i| Job { source: 0, seed: seeds[i] } };
    let mut reports = Vec::new();
    let told = campaign::campaign(&runner::run, &sources, &jobs, Mode::default(), 1, |finished| {
        reports.push(finished.report);
        true
    });
    told.expect("one thread can be started");
    reports
}

fn complaint(name: &str, failed: &[RunReport], ran: usize) -> String {
    let mut text = format!("{} of {ran} seeds failed\n", failed.len());
    for report in failed.iter().take(TOLD_MAX) {
        let (seed, file) = (report.seed, &report.file);
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "\n{}to run it again:\n  cargo run --release -- run {file} --seed {seed} --trace\n  \
             DBMSIM_SEED={seed} cargo test {name}\n",
            report.text()
        );
    }
    text
}
