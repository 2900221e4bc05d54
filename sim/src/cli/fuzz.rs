//! `dbmsim fuzz`.

use super::args::{DriverArg, RunArgs, Seeds};
use super::stopwatch::Stopwatch;
use super::{CliError, FAILED, HELD, Streams, json, load_all, reproduce, required, save_plan};
use crate::campaign::{self, Job, Jobs, Mode, Runner, Source};
use crate::fuzz::{self, Campaign, Ended, Failure};
use crate::plan::{self, swarm};
use crate::read;
use crate::report::Verdict;
use crate::shrink::{self, Budget, Progress, Size};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  dbmsim fuzz                                1000 seeds of the built-in swarm, with its gates
  dbmsim fuzz --seeds 0..20000 --json a.json
  dbmsim fuzz --minutes 30 --save target/fuzz
  dbmsim fuzz scenarios/chaos --seeds 0..200 --require ci/owner-coverage.json

Exit status: 0 all held; 1 something failed, or something that is required was not seen; 2 wrong input.";

/// So many distinct failures are shrunk; who has more should begin with these.
const SHRUNK_AT_MOST: usize = 10;

/// What to run, and what to ask of it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct FuzzArgs {
    /// Scenario files; of a directory, every *.json below it; without any the built-in swarm
    pub files: Vec<PathBuf>,
    /// Seeds of each scenario: A..B without B, or A..=B; without it 0..1000
    #[arg(long, value_name = "A..B")]
    pub seeds: Option<Seeds>,
    /// Stop after so many minutes: how many seeds were run then depends on the machine, what they show does not
    #[arg(long, value_name = "M", value_parser = minutes)]
    pub minutes: Option<f64>,
    /// Threads; without it one per core. The result is the same
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// File for everything as one JSON object
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What must be seen over all runs, as in ci/fuzz-coverage.json; what is missing fails the campaign
    #[arg(long, value_name = "FILE")]
    pub require: Option<PathBuf>,
    /// Ask for what ci/fuzz-coverage.json asks for, from 10000 runs on for all of ci/fuzz-coverage-long.json; the built-in
    /// swarm does so from 1000 runs on
    #[arg(long, conflicts_with = "require")]
    pub gate: bool,
    /// Ask for nothing
    #[arg(long, conflicts_with_all = ["gate", "require"])]
    pub no_gate: bool,
    /// Directory for the plan and the shrunk scenario of each distinct failure; without it plans are not saved, and what
    /// is shrunk goes to target/shrunk
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
    /// Leave failures as large as they are
    #[arg(long)]
    pub no_shrink: bool,
    /// Only the summary
    #[arg(long, short)]
    pub quiet: bool,
    /// Run everything twice and name the first event that differs
    #[arg(long)]
    pub check_determinism: bool,
    /// What drives the world; the result is the same
    #[arg(long, value_enum, default_value_t)]
    pub driver: DriverArg,
    /// Plant this bug
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "NAME", value_parser = super::args::bug)]
    pub bug: Option<dbm_core::bugs::Bug>,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|m: &f64| m.is_finite() && *m > 0.0 && *m <= 1e6);
    minutes.ok_or_else(|| "expected a number of minutes above zero".into())
}

impl FuzzArgs {
    /// How a single run is done, as `dbmsim run` takes it.
    fn run_args(&self) -> RunArgs {
        RunArgs {
            quiet: self.quiet,
            check_determinism: self.check_determinism,
            jobs: self.jobs,
            driver: self.driver,
            #[cfg(feature = "planted-bugs")]
            bug: self.bug,
            ..RunArgs::default()
        }
    }

    fn sources(&self) -> Result<Vec<Source>, CliError> {
        if self.files.is_empty() {
            let scenario = swarm::default_scenario();
            return Ok(vec![Source { file: swarm::DEFAULT_FILE.into(), scenario }]);
        }
        load_all(&read::find(&self.files)?)
    }

    /// Seeds of each scenario. A limit in minutes needs no other.
    fn seeds(&self) -> Seeds {
        let count = if self.minutes.is_some() { u64::from(u32::MAX) } else { fuzz::GATED_FROM };
        self.seeds.unwrap_or(Seeds { first: 0, count })
    }
}

/// The first Ctrl-C ends the campaign with a summary, the second the program.
fn interrupts() -> &'static AtomicBool {
    static STOP: AtomicBool = AtomicBool::new(false);
    // Without a handler, as where somebody else has one, Ctrl-C just ends the program.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    &STOP
}

/// Runs the command.
pub fn command(args: &FuzzArgs, runner: Runner<'_>, streams: &mut Streams<'_>) -> Result<u8, CliError> {
    fuzz(args, runner, streams, interrupts())
}

/// Runs the command until somebody sets `stop`.
pub(super) fn fuzz(
    args: &FuzzArgs,
    runner: Runner<'_>,
    streams: &mut Streams<'_>,
    stop: &AtomicBool,
) -> Result<u8, CliError> {
    let sources = args.sources()?;
    let asked = args.require.as_deref().map(required).transpose()?;
    let seeds = args.seeds();
    let total = usize::try_from(seeds.count).ok().and_then(|n| n.checked_mul(sources.len()));
    let total = total.ok_or_else(|| CliError::Usage("too many runs".into()))?;
    // Seed by seed, so that a campaign that is cut short has given each scenario as many.
    let at = |i: usize| Job { source: i % sources.len(), seed: seeds.first + (i / sources.len()) as u64 };
    let jobs = Jobs { count: total, at: &at };
    let run_args = args.run_args();
    let mode = Mode { options: run_args.options(), check_determinism: args.check_determinism };
    let limit = args.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let stopwatch = Stopwatch::start();
    let bar = progress(streams.progress, args.minutes.is_none().then_some(total as u64));
    let mut campaign = Campaign::new(&sources, seeds.first);
    let mut ended = Ended::Done;
    let mut trouble = None;
    campaign::campaign(runner, &sources, &jobs, mode, run_args.threads(), |mut finished| {
        let source = &sources[at(campaign.summary.runs as usize).source];
        if finished.report.verdict == Verdict::Failed {
            finished.report.reproduce = Some(reproduce(source, finished.report.seed, &run_args));
        }
        for new in campaign.add(source, &finished.report) {
            let told = bar.suspend(|| first_of_its_kind(&mut campaign, new, source, args, streams));
            trouble = told.err().or(trouble.take());
        }
        bar.inc(1);
        bar.set_message(format!("{} failed", campaign.summary.failed));
        ended = match limit {
            _ if stop.load(Ordering::Relaxed) => Ended::Interrupted,
            Some(limit) if stopwatch.elapsed() >= limit => Ended::TimeLimit,
            _ => Ended::Done,
        };
        // With nothing left to run it does not matter who wanted the end.
        if campaign.summary.runs == total as u64 {
            ended = Ended::Done;
        }
        trouble.is_none() && ended == Ended::Done
    })?;
    bar.finish_and_clear();
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let built_in = args.files.is_empty() && campaign.summary.runs >= fuzz::GATED_FROM;
    let gates = (args.gate || built_in && !args.no_gate).then(|| fuzz::gates(campaign.summary.runs));
    campaign.finish(ended, asked.as_ref().or(gates.as_ref()));
    let seconds = stopwatch.elapsed().as_secs_f64();
    if !args.no_shrink && ended != Ended::Interrupted {
        for failure in campaign.failures.iter_mut().take(SHRUNK_AT_MOST) {
            shrink_one(failure, &sources, args, mode, runner, streams, stop)?;
        }
    }
    if let Some(file) = &args.json {
        let host = serde_json::json!({"seconds": seconds, "jobs": run_args.threads()});
        write_json(file, &campaign, &host)?;
    }
    streams.out.write_all(campaign.text(seconds).as_bytes())?;
    Ok(if campaign.held() { HELD } else { FAILED })
}

/// A failure that no earlier run has shown: told at once, and saved.
fn first_of_its_kind(
    campaign: &mut Campaign,
    new: usize,
    source: &Source,
    args: &FuzzArgs,
    streams: &mut Streams<'_>,
) -> Result<(), CliError> {
    let failure = &mut campaign.failures[new];
    if let Some(directory) = &args.save {
        failure.plan = Some(save_plan(directory, source, failure.seed)?.display().to_string());
    }
    if !args.quiet {
        writeln!(streams.out, "new: {} in seed {}: {}", failure.signature, failure.seed, failure.what)?;
    }
    Ok(())
}

/// Makes the first run that failed so as small as it gets. A failure that does not shrink is told as it is.
fn shrink_one(
    failure: &mut Failure,
    sources: &[Source],
    args: &FuzzArgs,
    mode: Mode,
    runner: Runner<'_>,
    streams: &mut Streams<'_>,
    stop: &AtomicBool,
) -> Result<(), CliError> {
    let Some(source) = sources.iter().find(|source| source.file == failure.file) else { return Ok(()) };
    let plan = plan::resolve(&source.scenario, failure.seed);
    let bar = progress(streams.progress, Some(shrink::RUNS.into()));
    bar.set_message(format!("shrinking {}", failure.signature));
    let watch = |progress: Progress<'_>| {
        if let Progress::Ran(runs) = progress {
            bar.set_position(runs.into());
        }
    };
    let until = || stop.load(Ordering::Relaxed);
    let budget = Budget {
        jobs: args.run_args().threads(),
        mode,
        watch: Some(&watch),
        stop: Some(&until),
        ..Budget::default()
    };
    let shrunk = shrink::shrink(&plan, &failure.signature, runner, &budget);
    bar.finish_and_clear();
    match shrunk {
        Ok(shrunk) => {
            let folder = args.save.clone().unwrap_or_else(|| shrink::FOLDER.into());
            let file = folder.join(format!("{}.json", shrunk.plan.name));
            let written = shrink::save(&file, &shrunk.plan);
            written.map_err(|source| CliError::Write { file: file.clone(), source })?;
            failure.shrunk = Some(fuzz::Shrunk {
                file: file.display().to_string(),
                size: Size::of(&shrunk.plan),
                runs: shrunk.runs,
            });
        }
        Err(why) => writeln!(streams.err, "not shrunk: {}: {why}", failure.signature)?,
    }
    Ok(())
}

/// One object; what belongs to the machine and not to the campaign stands under "host", last.
fn write_json(file: &PathBuf, campaign: &Campaign, host: &serde_json::Value) -> Result<(), CliError> {
    let mut text = json(campaign);
    let end = text.pop();
    assert!(end == Some('}'), "a campaign is an object with fields");
    text.push_str(&format!(",\"host\":{host}}}\n"));
    std::fs::write(file, text).map_err(|source| CliError::Write { file: file.clone(), source })
}

fn progress(shown: bool, total: Option<u64>) -> indicatif::ProgressBar {
    if !shown {
        return indicatif::ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => {
            (indicatif::ProgressBar::new(total), "{bar:40} {pos}/{len} runs, {msg}, {per_sec}, {eta} left")
        }
        None => (indicatif::ProgressBar::new_spinner(), "{spinner} {elapsed} {pos} runs, {msg}, {per_sec}"),
    };
    if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
