//! The kill matrix: which planted bugs would be noticed, how soon, and by what. `dbmsim mutants`.
//!
//! Every planted bug runs the seeds of a scenario in which everything is drawn, one after the other, until it has failed
//! often enough; a bug that undoes a repair of the model check runs the scenario of its trace as well (`triggers`). The
//! same seeds without any bug must hold. From the violations of the failing runs follows, by arithmetic, which bugs would
//! survive without an invariant (`oracle`); which would survive without a class of faults needs runs of its own
//! (`faults`).
//!
//! Only what the oracle finds counts as a kill: expectations belong to a scenario, and a random run has none. Nothing here
//! depends on the number of threads: seeds are run in batches of a fixed size, and what lies behind the last run that
//! counts is forgotten.

mod faults;
mod oracle;
mod table;
mod triggers;

use crate::campaign::{self, Mode, Source};
use crate::plan::swarm;
use crate::report::{RunReport, Verdict};
use crate::runner::{self, Options};
use dbm_core::bugs::Bug;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub use faults::{FaultAblation, Without, class_of};
pub use oracle::{OracleAblation, Removed};
pub use table::{markdown, summary};
pub use triggers::{TRIGGERS, Trigger};

/// Seeds that are run at a time.
const BATCH: u64 = 8;
/// Seeds of the scenario that triggers an undone repair.
const TRIGGER_SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

/// What removal is measured besides the kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ablation {
    /// Nothing.
    None,
    /// Invariants.
    Oracle,
    /// Fault classes.
    Faults,
    /// Both.
    Both,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario whose seeds are run.
    pub source: Source,
    /// The bugs, in the order of reports.
    pub bugs: Vec<Bug>,
    /// At most so many seeds a bug, from 1 on.
    pub seeds: u64,
    /// A bug is done with after so many failing seeds.
    pub failing: usize,
    /// At most so many seeds a bug and fault class.
    pub ablation_seeds: u64,
    /// What else.
    pub ablation: Ablation,
    /// Where the triggers' scenarios lie.
    pub scenarios: std::path::PathBuf,
}

/// A broken rule: invariant and rule.
pub type Rule = (String, String);

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// Its seed.
    pub seed: u64,
    /// What was broken, each once.
    pub rules: BTreeSet<Rule>,
}

impl Failing {
    /// Its invariants, each once.
    pub fn invariants(&self) -> BTreeSet<&str> {
        self.rules.iter().map(|(invariant, _)| invariant.as_str()).collect()
    }
}

/// What the scenario of a trace has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Triggered {
    /// The file, below the folder of scenarios.
    pub scenario: String,
    /// Seeds run.
    pub seeds: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Invariants, or "expectation", with the number of runs that they fail.
    pub by: BTreeMap<String, u64>,
}

/// One bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub bug: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// Where it is.
    pub area: &'static str,
    /// What is wrong.
    pub about: &'static str,
    /// The repair that it undoes.
    pub repair: Option<u8>,
    /// Seeds that were run, from 1 on.
    pub seeds: u64,
    /// The runs that failed, by seed.
    pub failing: Vec<Failing>,
    /// The scenarios of its trace.
    pub triggered: Vec<Triggered>,
}

impl Row {
    /// Seeds until it was killed; `None`: it survived all.
    pub fn killed(&self) -> Option<u64> {
        self.failing.first().map(|f| f.seed)
    }

    /// Has it been killed as it must be: by a random seed or, if it undoes a repair, by the scenario of its trace?
    pub fn dies(&self) -> bool {
        match self.repair {
            Some(_) => self.triggered.iter().any(|t| t.failed > 0),
            None => self.killed().is_some(),
        }
    }
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// The scenario.
    pub scenario: String,
    /// At most so many seeds a bug.
    pub seeds: u64,
    /// Failing seeds after which a bug is done with.
    pub failing: usize,
    /// Seeds that fail without any bug.
    pub control_failed: Vec<Failing>,
    /// Seeds that were run without any bug.
    pub control_seeds: u64,
    /// The bugs.
    pub rows: Vec<Row>,
    /// What would survive without an invariant.
    pub oracle: Option<OracleAblation>,
    /// What would survive without a class of faults.
    pub faults: Option<FaultAblation>,
}

impl Matrix {
    /// Bugs that survive and must not.
    pub fn survivors(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| !row.dies()).collect()
    }

    /// Everything is as it must be.
    pub fn holds(&self) -> bool {
        self.survivors().is_empty() && self.control_failed.is_empty()
    }

    /// The median of the seeds until killed of the bugs that undo no repair; a survivor counts as beyond all.
    pub fn median(&self) -> Option<u64> {
        let mut all: Vec<u64> = self
            .rows
            .iter()
            .filter(|row| row.repair.is_none())
            .map(|row| row.killed().unwrap_or(u64::MAX))
            .collect();
        all.sort_unstable();
        all.get(all.len().saturating_sub(1) / 2).copied().filter(|n| *n < u64::MAX)
    }
}

/// A piece of the work is done.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// So many pieces there are, as far as is known.
    pub of: u64,
}

/// The default swarm.
pub fn default_source() -> Source {
    Source { file: swarm::DEFAULT_FILE.into(), scenario: swarm::default_scenario() }
}

/// Measures `plan` on the threads of the current pool. `tell` hears of each bug, and each bug and fault class, that is
/// done.
pub fn measure(plan: &Plan, tell: &(dyn Fn(Done) + Sync)) -> Result<Matrix, crate::read::ReadError> {
    campaign::silence_panics();
    let mut bench = Bench::new(plan);
    bench.run_control();
    let triggers = triggers::load(plan)?;
    let rows: Vec<Row> = plan
        .bugs
        .par_iter()
        .map(|&bug| {
            let row = bench.row(bug, &triggers);
            tell(Done { of: plan.bugs.len() as u64 });
            row
        })
        .collect();
    let oracle = matches!(plan.ablation, Ablation::Oracle | Ablation::Both);
    let faults = matches!(plan.ablation, Ablation::Faults | Ablation::Both);
    Ok(Matrix {
        scenario: plan.source.file.clone(),
        seeds: plan.seeds,
        failing: plan.failing,
        control_failed: bench.control.values().cloned().collect(),
        control_seeds: plan.seeds,
        oracle: oracle.then(|| OracleAblation::of(&rows)),
        faults: faults.then(|| faults::measure(&bench, &rows, tell)),
        rows,
    })
}

/// Runs seeds with and without bugs.
struct Bench<'a> {
    plan: &'a Plan,
    source: Source,
    /// Seeds that fail without any bug: what they break then kills nobody.
    control: BTreeMap<u64, Failing>,
}

impl<'a> Bench<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut source = plan.source.clone();
        // What a scenario expects is not what the oracle finds.
        source.scenario.expect.clear();
        Bench { plan, source, control: BTreeMap::new() }
    }

    /// The same seeds without any bug.
    fn run_control(&mut self) {
        let failed = (1..=self.plan.seeds).into_par_iter().filter_map(|seed| self.drawn(seed, None));
        self.control = failed.map(|f| (f.seed, f)).collect();
    }

    /// What a seed breaks, if it does, and does not break without a bug.
    fn drawn(&self, seed: u64, bug: Option<Bug>) -> Option<Failing> {
        self.beyond_control(failing(&ran(&self.source, seed, bug))?)
    }

    fn beyond_control(&self, mut failing: Failing) -> Option<Failing> {
        if let Some(anyway) = self.control.get(&failing.seed) {
            failing.rules.retain(|rule| !anyway.rules.contains(rule));
        }
        (!failing.rules.is_empty()).then_some(failing)
    }

    /// Seeds from 1 on until enough of them have failed.
    fn row(&self, bug: Bug, triggers: &triggers::Loaded) -> Row {
        let (mut seeds, mut failing) = (0, Vec::new());
        while seeds < self.plan.seeds && failing.len() < self.plan.failing {
            let batch = seeds + 1..=(seeds + BATCH).min(self.plan.seeds);
            seeds = *batch.end();
            let found: Vec<Failing> =
                batch.into_par_iter().filter_map(|seed| self.drawn(seed, Some(bug))).collect();
            failing.extend(found);
        }
        Row {
            bug: bug.name(),
            rule: bug.rule(),
            area: bug.area().name(),
            about: bug.about(),
            repair: bug.repair(),
            seeds,
            failing,
            triggered: triggers.run(bug),
        }
    }
}

/// One run.
fn ran(source: &Source, seed: u64, bug: Option<Bug>) -> RunReport {
    let mode = Mode { options: Options { bug, ..Options::default() }, ..Mode::default() };
    campaign::one(&runner::run, source, seed, mode).report
}

fn failing(report: &RunReport) -> Option<Failing> {
    let failed = report.verdict == Verdict::Failed && !report.violations.is_empty();
    failed.then(|| Failing {
        seed: report.seed,
        rules: report.violations.iter().map(|v| (v.invariant.clone(), v.rule.clone())).collect(),
    })
}

#[cfg(test)]
mod tests;
