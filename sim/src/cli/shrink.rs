//! `dbmsim shrink`: a failing plan becomes a scenario small enough to read; also after a failing run, with `--shrink`.

use super::args::DriverArg;
use super::{CliError, HELD, RunArgs, Streams, json, quoted};
use crate::campaign::{Mode, Runner, Source};
use crate::plan;
use crate::report::count;
use crate::runner::Options;
use crate::scenario::Scenario;
use crate::shrink::{self, Budget, Progress, ShrinkError, Shrunk, Size};
use std::path::{Path, PathBuf};

const AFTER_HELP: &str = "\
Examples:
  dbmsim shrink scenarios/chaos/chaos.json --seed 17
  dbmsim shrink target/failed/chaos-seed-17.json --signature 'roles INV-1' --out smaller.json

The result is a scenario file: run it, change it, keep it below scenarios/regressions/.
It depends on plan, signature and number of runs only. How it works: docs/shrinking.md.

Exit status: 0 shrunk and written; 2 wrong input, also when the plan does not fail.";

/// What `dbmsim shrink` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ShrinkArgs {
    /// A plan, or a scenario that becomes one by its seed
    file: PathBuf,
    /// Seed; without it the file's own, or 1
    #[arg(long)]
    seed: Option<u64>,
    /// Which failure to keep, when there are several; without it the first
    #[arg(long, value_name = "TEXT")]
    signature: Option<String>,
    /// Runs at most
    #[arg(long, value_name = "N", default_value_t = shrink::RUNS, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Stop after so many seconds of wall time; the result then depends on the machine
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// File for the result; without it target/shrunk/NAME.json
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Threads; without it one per core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// What drives the world; the result is the same
    #[arg(long, value_enum, default_value_t)]
    driver: DriverArg,
    /// Plant this bug
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "NAME", value_parser = super::args::bug)]
    bug: Option<dbm_core::bugs::Bug>,
}

impl ShrinkArgs {
    /// The file to be shrunk.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The same as arguments of a run.
    fn as_run(&self) -> RunArgs {
        RunArgs {
            json: self.json,
            jobs: self.jobs,
            driver: self.driver,
            #[cfg(feature = "planted-bugs")]
            bug: self.bug,
            ..RunArgs::default()
        }
    }
}

/// The command.
pub(super) fn command(
    args: &ShrinkArgs,
    source: &Source,
    runner: Runner<'_>,
    streams: &mut Streams<'_>,
) -> Result<u8, CliError> {
    let scenario = &source.scenario;
    let plan = plan::resolve(scenario, args.seed.unwrap_or_else(|| plan::default_seed(scenario)));
    let run = args.as_run();
    let mode = Mode { options: Options { trace: false, ..run.options() }, ..Mode::default() };
    let wish = args.signature.as_deref();
    let failing =
        shrink::signatures(&plan, runner, Mode { check_determinism: wish == Some("determinism"), ..mode });
    let seed = plan::default_seed(&plan);
    let wrong = |why: String| CliError::Usage(format!("{}: seed {seed} {why}", source.file));
    let Some(first) = failing.first() else {
        return Err(wrong(
            "does not fail, so there is nothing to shrink; `dbmsim run --seeds` finds seeds that do".into(),
        ));
    };
    let signature = wish.unwrap_or(first);
    if !failing.iter().any(|s| s == signature) {
        return Err(wrong(format!("does not fail with `{signature}`; it fails with {}", list(&failing))));
    }
    if !args.json {
        writeln!(streams.out, "{} seed {seed} fails with {}", scenario.name, list(&failing))?;
    }
    let job = Job {
        plan: &plan,
        signature,
        failing: &failing,
        file: &source.file,
        out: args.out.as_deref(),
        folder: None,
    };
    let limits = Limits { runs: args.runs, seconds: args.seconds };
    shrink_one(&job, limits, &run, mode, runner, streams)?;
    Ok(HELD)
}

/// A failure to be made smaller.
pub(super) struct Job<'a> {
    /// The plan that fails.
    pub plan: &'a Scenario,
    /// What must go on failing.
    pub signature: &'a str,
    /// All that fails.
    pub failing: &'a [String],
    /// Where the plan came from.
    pub file: &'a str,
    /// Where the result is to go.
    pub out: Option<&'a Path>,
    /// The directory for it, when no file is named.
    pub folder: Option<&'a Path>,
}

/// When to stop.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Runs.
    pub runs: u32,
    /// Wall time.
    pub seconds: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { runs: shrink::RUNS, seconds: None }
    }
}

/// Shrinks, writes the file, and tells both.
pub(super) fn shrink_one(
    job: &Job<'_>,
    limits: Limits,
    run: &RunArgs,
    mode: Mode,
    runner: Runner<'_>,
    streams: &mut Streams<'_>,
) -> Result<(), CliError> {
    // Said before the work rather than after it.
    if let Some(out) = job.out {
        shrink::may_write(out).map_err(|source| CliError::Write { file: out.to_owned(), source })?;
    }
    let before = Size::of(job.plan);
    if !run.json {
        writeln!(streams.out, "shrinking {}", job.signature)?;
        writeln!(streams.out, "  before  {before}")?;
        streams.out.flush()?;
    }
    let bar = spinner(streams.progress, limits.runs);
    let watch = |progress: Progress<'_>| match progress {
        Progress::Ran(runs) => bar.set_position(runs.into()),
        Progress::Kept(change) => bar.set_message(format!("{}: {}", change.size, change.what)),
    };
    let clock = Stopwatch::start();
    let stop = || limits.seconds.is_some_and(|seconds| clock.seconds() >= seconds);
    let budget =
        Budget { runs: limits.runs, jobs: run.threads(), mode, watch: Some(&watch), stop: Some(&stop) };
    let shrunk = shrink::shrink(job.plan, job.signature, runner, &budget);
    bar.finish_and_clear();
    let shrunk = shrunk.map_err(|e: ShrinkError| CliError::Usage(format!("{}: {e}", job.file)))?;
    let folder = job.folder.unwrap_or(Path::new(shrink::FOLDER));
    let file = job.out.map_or_else(|| folder.join(format!("{}.json", shrunk.plan.name)), Path::to_owned);
    let saved =
        shrink::save(&file, &shrunk.plan).map_err(|source| CliError::Write { file: file.clone(), source })?;
    let again = format!("dbmsim replay {}{}", quoted(&file.display().to_string()), run.as_flags());
    if run.json {
        let line = serde_json::json!({
            "type": "shrunk", "from": job.file, "seed": plan::default_seed(job.plan), "failing": job.failing,
            "signature": job.signature, "before": before, "after": Size::of(&shrunk.plan), "runs": shrunk.runs,
            "exhausted": shrunk.exhausted, "history": shrunk.history, "file": file.display().to_string(),
            "reproduce": again,
        });
        writeln!(streams.out, "{}", json(&line))?;
        return Ok(());
    }
    writeln!(streams.out, "  after   {}; {}", Size::of(&shrunk.plan), effort(&shrunk))?;
    writeln!(streams.out, "{}: {}", file.display(), saved.text())?;
    if job.signature.starts_with("unmet ") && mode.options.bug.is_none() {
        writeln!(
            streams.out,
            "An expectation may be missed for another reason in a smaller plan: look at it."
        )?;
    }
    writeln!(streams.out, "{again}")?;
    Ok(())
}

fn effort(shrunk: &Shrunk) -> String {
    let runs = count(shrunk.runs.into(), "run");
    if shrunk.exhausted { format!("{runs}, stopped before all was tried") } else { runs }
}

fn list(signatures: &[String]) -> String {
    signatures.join(", ")
}

fn spinner(shown: bool, runs: u32) -> indicatif::ProgressBar {
    if !shown {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(runs.into());
    if let Ok(style) =
        indicatif::ProgressStyle::with_template("{spinner} {pos} runs of at most {len}, {wide_msg}")
    {
        bar.set_style(style);
    }
    bar
}

/// Wall time, outside of every run.
#[allow(clippy::disallowed_types, reason = "a limit that the user asked for; no run sees it")]
struct Stopwatch(std::time::Instant);

#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "as above")]
impl Stopwatch {
    fn start() -> Self {
        Stopwatch(std::time::Instant::now())
    }
    fn seconds(&self) -> u64 {
        self.0.elapsed().as_secs()
    }
}
