//! Arguments of `dbmsim`.

use crate::runner::{Driver, Options};
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_STATUS: &str = "Exit status: 0 all held; 1 something failed; 2 wrong input.";

/// Deterministic simulation of database mirroring.
#[derive(Debug, Parser)]
#[command(name = "dbmsim", version, about, after_help = EXIT_STATUS)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios and judge them
    #[command(after_help = EXIT_STATUS)]
    Run {
        /// Scenario files or plans; of a directory, every *.json below it
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Seed; without it the file's own, or 1
        #[arg(long, conflicts_with = "seeds")]
        seed: Option<u64>,
        /// Many seeds: A..B without B, or A..=B
        #[arg(long, value_name = "A..B")]
        seeds: Option<Seeds>,
        /// How to run.
        #[command(flatten)]
        run: RunArgs,
    },
    /// Run a plan exactly as it was
    #[command(after_help = EXIT_STATUS)]
    Replay {
        /// A plan: what `plan` printed or `--save-plan` saved
        plan: PathBuf,
        /// How to run.
        #[command(flatten)]
        run: RunArgs,
    },
    /// Run many seeds and tell distinct failures and what all runs together have tested
    Fuzz(super::fuzz::FuzzArgs),
    /// Explore every order of events, and every place of a few faults, from a situation
    #[command(after_help = EXIT_STATUS)]
    Explore(super::explore::ExploreArgs),
    /// Make a failing plan smaller while it fails the same way
    Shrink(super::shrink::ShrinkArgs),
    /// List scenarios with the rules they are about
    List {
        /// Files or directories
        #[arg(default_value = "scenarios")]
        files: Vec<PathBuf>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Check scenario files without running them
    #[command(after_help = EXIT_STATUS)]
    Check {
        /// Files or directories
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of scenario files
    Schema,
    /// Print the plan that a scenario becomes with a seed
    Plan {
        /// The scenario
        file: PathBuf,
        /// Seed; without it the file's own, or 1
        #[arg(long)]
        seed: Option<u64>,
    },
}

/// How to run.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Show every event
    #[arg(long)]
    pub trace: bool,
    /// One JSON object per run and one for all, a line each
    #[arg(long)]
    pub json: bool,
    /// Only failures and the summary
    #[arg(long, short)]
    pub quiet: bool,
    /// Run everything twice and name the first event that differs
    #[arg(long)]
    pub check_determinism: bool,
    /// Directory for the plans of failed runs
    #[arg(long, value_name = "DIR")]
    pub save_plan: Option<PathBuf>,
    /// Make the first failure of each kind small, as `dbmsim shrink` does; into DIR of --save-plan or target/shrunk
    #[arg(long)]
    pub shrink: bool,
    /// What must be seen over all runs, as in `coverage` of the summary; what is missing fails the campaign
    #[arg(long, value_name = "FILE")]
    pub require: Option<PathBuf>,
    /// Threads; without it one per core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// What drives the world; the result is the same
    #[arg(long, value_enum, default_value_t)]
    pub driver: DriverArg,
    /// Plant this bug
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "NAME", value_parser = bug)]
    pub bug: Option<dbm_core::bugs::Bug>,
}

/// A driver by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DriverArg {
    /// Nodes and tasks of madsim
    #[default]
    Madsim,
    /// A plain loop
    Plain,
}

impl RunArgs {
    /// For the driver.
    pub fn options(&self) -> Options {
        let driver = match self.driver {
            DriverArg::Madsim => Driver::Madsim,
            DriverArg::Plain => Driver::Plain,
        };
        #[allow(unused_mut, reason = "changed only with planted bugs")]
        let mut options = Options { driver, trace: self.trace, ..Options::default() };
        #[cfg(feature = "planted-bugs")]
        {
            options.bug = self.bug;
        }
        options
    }

    /// Number of threads to use.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(cores, usize::from)
    }

    /// Those arguments that change what happens in a run, as they were given.
    pub fn as_flags(&self) -> String {
        let mut flags = String::new();
        if self.driver != DriverArg::default() {
            flags.push_str(" --driver plain");
        }
        if self.check_determinism {
            flags.push_str(" --check-determinism");
        }
        #[cfg(feature = "planted-bugs")]
        if let Some(bug) = self.bug {
            flags.push_str(&format!(" --bug {}", bug.name()));
        }
        flags
    }
}

#[cfg(feature = "planted-bugs")]
pub(super) fn bug(name: &str) -> Result<dbm_core::bugs::Bug, String> {
    use dbm_core::bugs::Bug;
    Bug::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = Bug::ALL.iter().map(|b| b.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// Seeds that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The first.
    pub first: u64,
    /// How many; at least one.
    pub count: u64,
}

impl std::str::FromStr for Seeds {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |t: &str| t.parse::<u64>().map_err(|_| format!("`{t}` is no seed; expected A..B or A..=B"));
        let (first, rest) = text.split_once("..").ok_or_else(|| "expected A..B or A..=B".to_owned())?;
        let first = number(first)?;
        let count = match rest.strip_prefix('=') {
            Some(last) => number(last)?.checked_sub(first).and_then(|n| n.checked_add(1)),
            None => number(rest)?.checked_sub(first).filter(|n| *n > 0),
        };
        count
            .map(|count| Seeds { first, count })
            .ok_or_else(|| "holds no seed; expected a range that goes up".into())
    }
}
