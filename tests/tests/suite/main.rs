//! Tests over the whole simulator that are about no single rule of the protocol.

mod commands;
mod determinism;
mod explorer;
mod fuzz;
mod leaky;
mod livelock;
mod must_hurt;
mod oracle_fires;
mod premises;
mod property;
mod schema;
mod shrinking;
mod toys;

use dbm_sim::campaign::{self, Job, Jobs, Mode, Source};
use dbm_sim::read;
use dbm_sim::report::RunReport;
use dbm_sim::runner::{self, Driver, Options};
use std::path::{Path, PathBuf};

/// The shipped scenarios and their paths.
fn shipped() -> Vec<(PathBuf, Source)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let files = read::find(&[root.join("scenarios")]).expect("the workspace has a folder scenarios");
    let source = |file: &Path| Source {
        file: file.strip_prefix(root).expect("found below the root").display().to_string(),
        scenario: read::file(file).unwrap_or_else(|e| panic!("{e}")),
    };
    files.iter().map(|file| (file.clone(), source(file))).collect()
}

/// The shipped scenario of that path.
fn named(path: &str) -> Source {
    let file = format!("scenarios/{path}.json");
    let found = shipped().into_iter().find(|(_, source)| source.file == file);
    found.unwrap_or_else(|| panic!("there is no {file}")).1
}

/// The reports on these runs, in order.
fn reports(sources: &[Source], jobs: &[Job], driver: Driver, threads: usize) -> Vec<RunReport> {
    let mode = Mode { options: Options { driver, ..Options::default() }, ..Mode::default() };
    let jobs = Jobs { count: jobs.len(), at: &|i| jobs[i] };
    let mut reports = Vec::new();
    let told = campaign::campaign(&runner::run, sources, &jobs, mode, threads, |finished| {
        reports.push(finished.report);
        true
    });
    told.expect("threads can be started");
    reports
}
