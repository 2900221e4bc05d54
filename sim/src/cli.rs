//! The command line of `dbmsim`. Exit status: 0 everything held, 1 something failed, 2 the input was wrong.
//!
//! Each command writes to the two streams it is given, so that all of it can be tested in-process. A reader that goes
//! away (`dbmsim schema | head`) ends the command without a complaint.

mod args;
mod explore;
mod fuzz;
mod shrink;
mod stopwatch;

use crate::campaign::{self, Finished, Job, Jobs, Mode, Runner, Source};
use crate::coverage::Required;
use crate::plan;
use crate::read::{self, ReadError};
use crate::report::{RunReport, Summary, Verdict};
use crate::runner::Options;
use crate::scenario::Scenario;
use crate::schema;
pub use args::{Args, Command, RunArgs, Seeds};
use clap::Parser;
pub use explore::ExploreArgs;
pub use fuzz::FuzzArgs;
pub use shrink::ShrinkArgs;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Everything held.
pub const HELD: u8 = 0;
/// Something failed; which, is in the output.
pub const FAILED: u8 = 1;
/// The input was wrong; nothing was run.
pub const WRONG_INPUT: u8 = 2;

/// Where a command writes to.
pub struct Streams<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Complaints.
    pub err: &'a mut dyn Write,
    /// Is there a person in front of `err`, who wants to see progress?
    pub progress: bool,
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Several files; all messages.
    #[error("{0}")]
    Reads(String),
    /// What the arguments say does not fit together.
    #[error("{0}")]
    Usage(String),
    /// A file that was to be written.
    #[error("{}: cannot write: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No threads.
    #[error(transparent)]
    Campaign(#[from] campaign::CampaignError),
    /// The reader of the output is gone, or its disk is full.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// `dbmsim` with the arguments of the process and the real streams.
pub fn main() -> ExitCode {
    use std::io::IsTerminal;
    let progress = io::stderr().is_terminal();
    let mut out = anstream::AutoStream::auto(io::stdout());
    let mut err = anstream::AutoStream::auto(io::stderr());
    let mut streams = Streams { out: &mut out, err: &mut err, progress };
    ExitCode::from(run(std::env::args_os(), &crate::runner::run, &mut streams))
}

/// `dbmsim` with arguments (the first is the program's name), a runner and streams; returns the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>, runner: Runner<'_>, streams: &mut Streams<'_>) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(e) => {
            let stream = if e.use_stderr() { &mut *streams.err } else { &mut *streams.out };
            // Nothing can be told to a reader that is gone.
            let _ = write!(stream, "{}", e.render().ansi());
            return if e.use_stderr() { WRONG_INPUT } else { HELD };
        }
    };
    let done = dispatch(args.command, runner, streams).and_then(|status| {
        streams.out.flush()?;
        Ok(status)
    });
    match done {
        Ok(status) => status,
        Err(CliError::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => HELD,
        Err(e) => {
            let style = anstyle::AnsiColor::Red.on_default().bold();
            let _ = writeln!(streams.err, "{style}error:{style:#} {e}");
            WRONG_INPUT
        }
    }
}

fn dispatch(command: Command, runner: Runner<'_>, streams: &mut Streams<'_>) -> Result<u8, CliError> {
    match command {
        Command::Run { files, seed, seeds, run } => {
            let sources = load_all(&read::find(&files)?)?;
            let seeds = match (seed, seeds) {
                (Some(seed), _) => Some(Seeds { first: seed, count: 1 }),
                (None, seeds) => seeds,
            };
            runs(&sources, seeds, &run, runner, streams)
        }
        Command::Replay { plan: file, run } => {
            let source = load(&file)?;
            if !plan::is_plan(&source.scenario) {
                let why = if source.scenario.seed.is_none() {
                    "it has no seed"
                } else {
                    "it leaves things to chance"
                };
                let file = file.display();
                return Err(CliError::Usage(format!("{file}: is no plan: {why}; use `dbmsim run {file}`")));
            }
            runs(&[source], None, &run, runner, streams)
        }
        Command::Fuzz(args) => fuzz::command(&args, runner, streams),
        Command::Explore(args) => explore::explore(&args, streams),
        Command::Shrink(args) => shrink::command(&args, &load(args.file())?, runner, streams),
        Command::List { files, json } => list(&files, json, streams),
        Command::Check { files } => check(&files, streams),
        Command::Schema => {
            writeln!(streams.out, "{:#}", schema::schema())?;
            Ok(HELD)
        }
        Command::Plan { file, seed } => {
            let source = load(&file)?;
            let seed = seed.unwrap_or_else(|| plan::default_seed(&source.scenario));
            streams.out.write_all(plan_text(&plan::resolve(&source.scenario, seed)).as_bytes())?;
            Ok(HELD)
        }
    }
}

fn load(file: &Path) -> Result<Source, ReadError> {
    Ok(Source { file: file.display().to_string(), scenario: read::file(file)? })
}

/// All or nothing: a wrong file among many is told before anything runs, and so is every other one.
fn load_all(files: &[PathBuf]) -> Result<Vec<Source>, CliError> {
    let mut sources = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        match load(file) {
            Ok(source) => sources.push(source),
            Err(e) => wrong.push(e.to_string()),
        }
    }
    if wrong.is_empty() { Ok(sources) } else { Err(CliError::Reads(wrong.join("\n"))) }
}

fn plan_text(plan: &Scenario) -> String {
    let mut text = serde_json::to_string_pretty(plan).expect("a scenario has only text keys");
    text.push('\n');
    text
}

fn list(files: &[PathBuf], json: bool, streams: &mut Streams<'_>) -> Result<u8, CliError> {
    for source in load_all(&read::find(files)?)? {
        let s = &source.scenario;
        if json {
            let line = serde_json::json!({
                "file": source.file, "name": s.name, "duration": s.duration, "rules": s.rules,
                "plan": plan::is_plan(s), "note": s.note,
            });
            writeln!(streams.out, "{line}")?;
        } else {
            let bold = anstyle::Style::new().bold();
            let rules =
                if s.rules.is_empty() { String::new() } else { format!("  [{}]", s.rules.join(", ")) };
            writeln!(streams.out, "{bold}{}{bold:#}  {}{rules}\n    {}", s.name, s.duration, source.file)?;
            if !s.note.is_empty() {
                writeln!(streams.out, "    {}", s.note)?;
            }
        }
    }
    Ok(HELD)
}

fn check(files: &[PathBuf], streams: &mut Streams<'_>) -> Result<u8, CliError> {
    let files = read::find(files)?;
    let mut wrong = 0;
    for file in &files {
        if let Err(e) = load(file) {
            wrong += 1;
            writeln!(streams.err, "{e}")?;
        }
    }
    writeln!(streams.out, "{} checked, {wrong} wrong", crate::report::count(files.len() as u64, "file"))?;
    Ok(if wrong == 0 { HELD } else { WRONG_INPUT })
}

/// The runs of a campaign: every source with its seeds.
struct Schedule {
    per_source: Vec<Seeds>,
    total: usize,
}

impl Schedule {
    fn new(sources: &[Source], seeds: Option<Seeds>) -> Result<Self, CliError> {
        let own = |s: &Source| Seeds { first: plan::default_seed(&s.scenario), count: 1 };
        let per_source: Vec<Seeds> = sources.iter().map(|s| seeds.unwrap_or_else(|| own(s))).collect();
        let total = per_source.iter().try_fold(0_u64, |sum, s| sum.checked_add(s.count));
        let total = total.and_then(|t| usize::try_from(t).ok());
        total.map(|total| Schedule { per_source, total }).ok_or(CliError::Usage("too many runs".into()))
    }

    fn job(&self, index: usize) -> Job {
        let mut rest = index as u64;
        let mut source = 0;
        while let Some(seeds) = self.per_source.get(source)
            && rest >= seeds.count
        {
            rest -= seeds.count;
            source += 1;
        }
        Job { source, seed: self.per_source[source].first + rest }
    }
}

fn runs(
    sources: &[Source],
    seeds: Option<Seeds>,
    args: &RunArgs,
    runner: Runner<'_>,
    streams: &mut Streams<'_>,
) -> Result<u8, CliError> {
    let schedule = Schedule::new(sources, seeds)?;
    let required = args.require.as_deref().map(required).transpose()?;
    let at = |i: usize| schedule.job(i);
    let jobs = Jobs { count: schedule.total, at: &at };
    let mode = Mode { options: args.options(), check_determinism: args.check_determinism };
    let bar = progress_bar(streams.progress && schedule.total > 1, schedule.total as u64);
    let mut summary = Summary::default();
    let mut trouble = None;
    let mut firsts: Vec<FirstFailure> = Vec::new();
    campaign::campaign(runner, sources, &jobs, mode, args.threads(), |mut finished| {
        let index = schedule.job(summary.runs as usize).source;
        let source = &sources[index];
        if finished.report.verdict == Verdict::Failed {
            if args.shrink {
                note_first(&mut firsts, index, &finished.report);
            }
            finished.report.reproduce = Some(reproduce(source, finished.report.seed, args));
        }
        summary.add(&finished.report);
        bar.inc(1);
        let told = bar.suspend(|| tell(&finished, source, args, streams));
        told.map_err(|e| trouble = Some(e)).is_ok()
    })?;
    bar.finish_and_clear();
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    for first in &firsts {
        let source = &sources[first.source];
        let plan = plan::resolve(&source.scenario, first.seed);
        let job = shrink::Job {
            plan: &plan,
            signature: &first.signature,
            failing: &first.failing,
            file: &source.file,
            out: None,
            folder: args.save_plan.as_deref(),
        };
        let mode = Mode { options: Options { trace: false, ..args.options() }, ..Mode::default() };
        match shrink::shrink_one(&job, shrink::Limits::default(), args, mode, runner, streams) {
            // The runs are told all the same, and the next failure may be shrunk.
            Err(e @ (CliError::Usage(_) | CliError::Write { .. })) => {
                writeln!(streams.err, "not shrunk: {}: {e}", first.signature)?;
            }
            shrunk => shrunk?,
        }
    }
    if let Some(required) = required {
        summary.missing = summary.missing_of(&required);
    }
    if args.json {
        writeln!(streams.out, "{}", json(&summary))?;
    } else if summary.runs > 1 || !summary.missing.is_empty() {
        streams.out.write_all(summary.text().as_bytes())?;
    }
    Ok(if summary.failed == 0 && summary.missing.is_empty() { HELD } else { FAILED })
}

/// The first run that failed in some way.
struct FirstFailure {
    source: usize,
    seed: u64,
    signature: String,
    failing: Vec<String>,
}

/// Notes what fails in this run and has not failed in an earlier one.
fn note_first(firsts: &mut Vec<FirstFailure>, source: usize, report: &RunReport) {
    let failing = report.signatures();
    for signature in &failing {
        if !firsts.iter().any(|first| first.signature == *signature) {
            let (signature, failing) = (signature.clone(), failing.clone());
            firsts.push(FirstFailure { source, seed: report.seed, signature, failing });
        }
    }
}

/// The least counts that a file asks for.
fn required(file: &Path) -> Result<Required, CliError> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
    let counts = text.and_then(|text| serde_json::from_str(&text).map_err(|e| e.to_string()));
    counts.map_err(|why| CliError::Usage(format!("{}: {why}", file.display())))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("reports have only text keys")
}

/// Writes what one run has shown.
fn tell(
    finished: &Finished,
    source: &Source,
    args: &RunArgs,
    streams: &mut Streams<'_>,
) -> Result<(), CliError> {
    let report: &RunReport = &finished.report;
    // With JSON, the lines of `out` are for machines only.
    let stream = if args.json { &mut *streams.err } else { &mut *streams.out };
    for line in &finished.trace {
        writeln!(stream, "{line}")?;
    }
    if let (Some(directory), Verdict::Failed) = (&args.save_plan, report.verdict) {
        let file = save_plan(directory, source, report.seed)?;
        writeln!(stream, "plan saved: {}", file.display())?;
    }
    if args.json {
        writeln!(streams.out, "{}", json(report))?;
    } else if !args.quiet || report.verdict == Verdict::Failed {
        streams.out.write_all(report.text().as_bytes())?;
    }
    Ok(())
}

fn save_plan(directory: &Path, source: &Source, seed: u64) -> Result<PathBuf, CliError> {
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |source| CliError::Write { file, source }
    };
    std::fs::create_dir_all(directory).map_err(failed(directory))?;
    let file = directory.join(format!("{}-seed-{seed}.json", source.scenario.name));
    let plan = plan_text(&plan::resolve(&source.scenario, seed));
    std::fs::write(&file, plan).map_err(failed(&file))?;
    Ok(file)
}

/// The command that runs this again, ready for a shell.
fn reproduce(source: &Source, seed: u64, args: &RunArgs) -> String {
    let mut command = format!("dbmsim run {} --seed {seed}", quoted(&source.file));
    command.push_str(&args.as_flags());
    command
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        return word.to_owned();
    }
    let guard = if word.starts_with('-') { "./" } else { "" };
    format!("'{guard}{}'", word.replace('\'', r"'\''"))
}

fn progress_bar(shown: bool, total: u64) -> indicatif::ProgressBar {
    if !shown {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(total);
    if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests;
