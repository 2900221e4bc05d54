//! `dbmsim mutants`.

use super::{CliError, Streams};
use std::path::PathBuf;

/// Where a matrix is written to by default.
pub const EXAMPLES: &str = "\
Examples:
  dbmsim mutants --write docs/kill-matrix.md
      every bug, both ablations, and the document
  dbmsim mutants --bug no-undo --bug dirty-read --ablation none
      how soon two bugs die, and by what
  dbmsim mutants --seeds 60 --ablation none --json kills.json
      a quick look at all of them

It needs a build with the bugs in it:
  cargo run --release -p dbm-sim --features planted-bugs --target-dir target/bugs -- mutants

Exit status: 0 every bug dies that must; 1 one survives, or a seed fails without any bug; 2 wrong input.";

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct MutantsArgs {
    /// Only these bugs; may be given several times
    #[arg(long, value_name = "NAME")]
    pub bug: Vec<String>,
    /// At most so many seeds a bug
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seeds: u64,
    /// A bug is done with after so many failing seeds
    #[arg(long, value_name = "K", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pub failing: u16,
    /// The scenario whose seeds are run; without it the default swarm
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Where the scenarios of the traces F1 … F10 lie
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    pub scenarios: PathBuf,
    /// What is removed, to see which bugs survive without it
    #[arg(long, value_enum, default_value_t = AblationArg::Both)]
    pub ablation: AblationArg,
    /// At most so many seeds a bug and class of faults
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub ablation_seeds: u64,
    /// Threads; without it one per core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Write all that was measured as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the kill matrix as a document
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

/// What is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AblationArg {
    /// Nothing
    None,
    /// Invariants, by arithmetic
    Oracle,
    /// Classes of faults, by runs of their own
    Faults,
    /// Both
    Both,
}

/// Without the feature there is nothing to run.
#[cfg(not(feature = "planted-bugs"))]
pub fn mutants(_args: &MutantsArgs, _streams: &mut Streams<'_>) -> Result<u8, CliError> {
    Err(CliError::Usage(
        "this build has no planted bugs; build one that has them with\n  \
         cargo build --release -p dbm-sim --features planted-bugs --target-dir target/bugs\n\
         and run target/bugs/release/dbmsim mutants"
            .into(),
    ))
}

/// Measures, writes what is asked for, and tells who survives.
#[cfg(feature = "planted-bugs")]
pub fn mutants(args: &MutantsArgs, streams: &mut Streams<'_>) -> Result<u8, CliError> {
    use super::{FAILED, HELD};
    use crate::campaign::CampaignError;
    use crate::mutants;

    let plan = plan(args)?;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.jobs.map_or_else(cores, usize::from);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| CampaignError::Threads { threads, source })?;
    let bar = super::progress_bar(streams.progress, plan.bugs.len() as u64);
    let told = |done: mutants::Done| {
        bar.set_length(done.of);
        bar.inc(1);
    };
    let matrix = pool.install(|| mutants::measure(&plan, &told))?;
    bar.finish_and_clear();
    let write = |file: &PathBuf, text: String| {
        std::fs::write(file, text).map_err(|source| CliError::Write { file: file.clone(), source })
    };
    if let Some(file) = &args.json {
        let mut text = serde_json::to_string_pretty(&matrix).expect("a matrix has only text keys");
        text.push('\n');
        write(file, text)?;
    }
    if let Some(file) = &args.write {
        write(file, mutants::markdown(&matrix))?;
    }
    streams.out.write_all(mutants::summary(&matrix).as_bytes())?;
    // How long it took is told to whoever waits for it, and written nowhere.
    writeln!(streams.err, "took {:.0?}", bar.elapsed())?;
    Ok(if matrix.holds() { HELD } else { FAILED })
}

#[cfg(feature = "planted-bugs")]
fn plan(args: &MutantsArgs) -> Result<crate::mutants::Plan, CliError> {
    use crate::mutants::{Ablation, Plan};
    use dbm_core::bugs::Bug;

    let by_name = |name: &String| {
        Bug::by_name(name).ok_or_else(|| {
            let names: Vec<&str> = Bug::ALL.iter().map(|b| b.name()).collect();
            CliError::Usage(format!("no bug is called `{name}`; expected one of {}", names.join(", ")))
        })
    };
    let bugs = match &args.bug[..] {
        [] => Bug::ALL.to_vec(),
        names => names.iter().map(by_name).collect::<Result<_, _>>()?,
    };
    let source = match &args.scenario {
        Some(file) => super::load(file)?,
        None => crate::mutants::default_source(),
    };
    Ok(Plan {
        source,
        bugs,
        seeds: args.seeds,
        failing: usize::from(args.failing),
        ablation_seeds: args.ablation_seeds,
        ablation: match args.ablation {
            AblationArg::None => Ablation::None,
            AblationArg::Oracle => Ablation::Oracle,
            AblationArg::Faults => Ablation::Faults,
            AblationArg::Both => Ablation::Both,
        },
        scenarios: args.scenarios.clone(),
    })
}
