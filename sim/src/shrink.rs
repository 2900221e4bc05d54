//! Failures small enough to read: makes a failing plan smaller while the *same* signature fails.
//!
//! Everything is judged by running: a change is kept when the smaller plan still fails with the signature that was asked
//! for, and thrown away otherwise. What is tried, in this order, round after round until nothing helps any more:
//!
//! 1. the run ends just after the failure (`passes`);
//! 2. steps go: halves, quarters, …, single ones; a fault together with its repair, then each alone (`reduce`);
//! 3. clients, rates, witness, clocks, profiles become fewer or the defaults; actions become plainer; pauses between
//!    steps and lengths of faults become shorter, times round (`passes`);
//! 4. at last exact times become triggers, where other seeds fail at least as often with them (`lift`).
//!
//! The result depends on plan, signature and number of runs allowed, and on nothing else: candidates are made in a
//! fixed order, the first that fails is taken, and how many are run at the same time leaves no mark.

mod edit;
mod lift;
mod passes;
mod reduce;
mod write;

use crate::campaign::{self, Mode, Runner, Source};
use crate::report::{Outcome, count};
use crate::runner::Options;
use crate::scenario::Scenario;
use crate::time::Time;
use crate::{plan, validate};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

pub use write::{FOLDER, Saved, may_write, named, save, text};

/// Runs allowed when nothing else is said.
pub const RUNS: u32 = 2_000;
/// Rounds of all passes at most; two or three are usual.
const ROUNDS: u32 = 8;

/// What shrinking may cost, and how plans are run.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// Runs at most. Runs done ahead of need on other threads do not count.
    pub runs: u32,
    /// Threads.
    pub jobs: usize,
    /// How to run: driver, planted bug, twice for determinism.
    pub mode: Mode,
    /// Is told how it goes.
    pub watch: Option<&'a (dyn Fn(Progress<'_>) + Sync)>,
    /// Stops early when it says so. For limits on wall time, which only a command may have: the result then depends
    /// on more than the plan.
    pub stop: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl Default for Budget<'_> {
    fn default() -> Self {
        Budget { runs: RUNS, jobs: 1, mode: Mode::default(), watch: None, stop: None }
    }
}

/// How large a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Steps of the timeline.
    pub steps: usize,
    /// Length of the run.
    pub duration: Time,
    /// Clients.
    pub clients: u16,
    /// Instances.
    pub instances: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { steps, duration, clients, instances } = self;
        let (steps, clients) = (count(*steps as u64, "step"), count((*clients).into(), "client"));
        write!(f, "{steps}, {duration}, {clients}, {}", count(*instances as u64, "instance"))
    }
}

impl Size {
    /// Of a plan.
    pub fn of(plan: &Scenario) -> Self {
        Size {
            steps: plan.timeline.len(),
            duration: plan.duration,
            clients: plan.workload.map_or(0, |w| w.clients),
            instances: plan.instances.len(),
        }
    }
}

/// A change that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What was done.
    pub what: String,
    /// Runs up to then.
    pub runs: u32,
    /// What is left.
    pub size: Size,
}

/// A plan that has become smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// It fails with the same signature; a scenario that can be saved as it is.
    pub plan: Scenario,
    /// Runs that it took.
    pub runs: u32,
    /// What was changed, in order.
    pub history: Vec<Change>,
    /// Was the number of runs too small to try everything?
    pub exhausted: bool,
}

/// How it goes.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// So many runs are done.
    Ran(u32),
    /// A change was kept.
    Kept(&'a Change),
}

/// Why a plan was not shrunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShrinkError {
    /// Something is left to chance.
    #[error("is no plan: it has no seed or leaves things to chance")]
    NotAPlan,
    /// It does not fail with that signature.
    #[error("does not fail with `{wanted}`; {}", if .found.is_empty() { "everything holds".to_owned() } else { format!("it fails with {}", .found.join(", ")) })]
    DoesNotFail {
        /// What was asked for.
        wanted: String,
        /// What fails instead.
        found: Vec<String>,
    },
    /// It fails without the planted bug as well.
    #[error("fails with `{0}` without the planted bug too")]
    FailsAnyway(String),
    /// No threads.
    #[error("cannot start threads: {0}")]
    Threads(String),
}

/// The smallest plan that still fails with `signature`, as far as `budget` allows.
pub fn shrink(
    plan: &Scenario,
    signature: &str,
    run: Runner<'_>,
    budget: &Budget<'_>,
) -> Result<Shrunk, ShrinkError> {
    if !plan::is_plan(plan) {
        return Err(ShrinkError::NotAPlan);
    }
    let mut shrinker = Shrinker::new(plan, signature, run, budget)?;
    shrinker.begin()?;
    for _ in 0..ROUNDS {
        let before = shrinker.plan.clone();
        passes::end(&mut shrinker);
        reduce::units(&mut shrinker);
        reduce::steps(&mut shrinker);
        passes::world(&mut shrinker);
        passes::actions(&mut shrinker);
        passes::times(&mut shrinker);
        if shrinker.plan == before || shrinker.over() {
            break;
        }
    }
    lift::triggers(&mut shrinker);
    // A step that waits for an event may make another one needless.
    reduce::steps(&mut shrinker);
    passes::end(&mut shrinker);
    passes::round(&mut shrinker);
    Ok(shrinker.finish(plan))
}

/// All that failed in one run of a plan.
pub fn signatures(plan: &Scenario, run: Runner<'_>, mode: Mode) -> Vec<String> {
    campaign::silence_panics();
    report(plan, run, mode).signatures()
}

fn report(plan: &Scenario, run: Runner<'_>, mode: Mode) -> crate::report::RunReport {
    let source = Source { file: String::new(), scenario: plan.clone() };
    campaign::one(run, &source, plan::default_seed(plan), mode).report
}

/// The plan at hand, and what has been tried.
struct Shrinker<'a> {
    run: Runner<'a>,
    signature: &'a str,
    budget: &'a Budget<'a>,
    pool: rayon::ThreadPool,
    plan: Scenario,
    /// When the failure shows in the run of `plan`.
    at: Time,
    judge: Judge,
    tried: BTreeSet<String>,
    runs: u32,
    exhausted: bool,
    history: Vec<Change>,
}

/// What else has to be so for a candidate to count, besides the signature.
#[derive(Clone, Debug, Default)]
struct Judge {
    /// The plan without the planted bug must not fail with the signature: an expectation is easily missed by a plan
    /// that no longer gives it a reason to be met.
    reference: bool,
    /// Without a bug to take away, no other expectation may be missed than before, for the same reason.
    missed: Option<BTreeSet<String>>,
}

impl<'a> Shrinker<'a> {
    fn new(
        plan: &Scenario,
        signature: &'a str,
        run: Runner<'a>,
        budget: &'a Budget<'a>,
    ) -> Result<Self, ShrinkError> {
        campaign::silence_panics();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(budget.jobs.max(1))
            .build()
            .map_err(|e| ShrinkError::Threads(e.to_string()))?;
        Ok(Shrinker {
            run,
            signature,
            budget,
            pool,
            plan: plan.clone(),
            at: plan.duration,
            judge: Judge::default(),
            tried: BTreeSet::from([key(plan)]),
            runs: 0,
            exhausted: false,
            history: Vec::new(),
        })
    }

    /// Runs the plan as it is; it has to fail.
    fn begin(&mut self) -> Result<(), ShrinkError> {
        self.runs += 1;
        let report = report(&self.plan, self.run, self.mode());
        let found = report.signatures();
        if !found.iter().any(|s| s == self.signature) {
            return Err(ShrinkError::DoesNotFail { wanted: self.signature.to_owned(), found });
        }
        if self.signature.starts_with("unmet ") {
            if self.budget.mode.options.bug.is_some() {
                self.judge.reference = true;
            } else {
                let missed = found.into_iter().filter(|s| s.starts_with("unmet "));
                self.judge.missed = Some(missed.collect());
            }
        }
        self.at =
            self.judged(&self.plan).ok_or_else(|| ShrinkError::FailsAnyway(self.signature.to_owned()))?;
        Ok(())
    }

    fn mode(&self) -> Mode {
        Mode { check_determinism: self.signature == "determinism", ..self.budget.mode }
    }

    /// When `plan` fails with the signature; `None` when it does not, or for another reason.
    fn judged(&self, plan: &Scenario) -> Option<Time> {
        let report = report(plan, self.run, self.mode());
        let found = report.signatures();
        if !found.iter().any(|s| s == self.signature) {
            return None;
        }
        if let Some(missed) = &self.judge.missed
            && found.iter().any(|s| s.starts_with("unmet ") && !missed.contains(s))
        {
            return None;
        }
        if self.judge.reference {
            let options = Options { bug: None, ..self.budget.mode.options };
            let sound = self::report(plan, self.run, Mode { options, ..self.mode() });
            if sound.signatures().iter().any(|s| s == self.signature) {
                return None;
            }
        }
        let violation = report.violations.iter().find(|v| v.signature() == self.signature);
        Some(violation.map_or(plan.duration, |v| v.at))
    }

    /// Nothing more may be run.
    fn over(&mut self) -> bool {
        let over = self.runs >= self.budget.runs || self.budget.stop.is_some_and(|stop| stop());
        self.exhausted |= over;
        over
    }

    /// Takes the first of `candidates` that fails the same way; answers which. The others are forgotten.
    fn take(&mut self, what: &str, candidates: Vec<Scenario>) -> Option<usize> {
        let mut fresh: Vec<(usize, Scenario)> = Vec::new();
        for (i, candidate) in candidates.into_iter().enumerate() {
            if validate::check(&candidate).is_empty() && self.tried.insert(key(&candidate)) {
                fresh.push((i, candidate));
            }
        }
        let mut fresh = fresh.into_iter().peekable();
        while fresh.peek().is_some() && !self.over() {
            let room = (self.budget.runs - self.runs) as usize;
            let batch: Vec<(usize, Scenario)> =
                fresh.by_ref().take(self.budget.jobs.clamp(1, room)).collect();
            let this = &*self;
            let judged: Vec<Option<Time>> = self
                .pool
                .install(|| (0..batch.len()).into_par_iter().map(|i| this.judged(&batch[i].1)).collect());
            let first = judged.iter().position(Option::is_some);
            self.runs += first.map_or(batch.len(), |first| first + 1) as u32;
            self.tell(Progress::Ran(self.runs));
            if let Some(first) = first {
                // Those behind it have been run ahead of need: with fewer threads they would not have been tried.
                for (_, ahead) in &batch[first + 1..] {
                    self.tried.remove(&key(ahead));
                }
                for (_, later) in fresh {
                    self.tried.remove(&key(&later));
                }
                let (i, plan) = batch.into_iter().nth(first).expect("a place in the batch");
                self.at = judged[first].unwrap_or(plan.duration);
                self.keep(what, plan);
                return Some(i);
            }
        }
        // What the budget left untried may be tried by nobody else either.
        None
    }

    fn keep(&mut self, what: &str, plan: Scenario) {
        self.plan = plan;
        let change = Change { what: what.to_owned(), runs: self.runs, size: Size::of(&self.plan) };
        self.tell(Progress::Kept(&change));
        self.history.push(change);
    }

    fn tell(&self, progress: Progress<'_>) {
        if let Some(watch) = self.budget.watch {
            watch(progress);
        }
    }

    /// How many of `seeds` let `plan` fail the same way.
    fn failing_seeds(&mut self, plan: &Scenario, seeds: &[u64]) -> usize {
        self.runs = self.runs.saturating_add(seeds.len() as u32);
        let plans: Vec<Scenario> =
            seeds.iter().map(|seed| Scenario { seed: Some(*seed), ..plan.clone() }).collect();
        let this = &*self;
        let failed = |i: usize| usize::from(this.judged(&plans[i]).is_some());
        self.pool.install(|| (0..plans.len()).into_par_iter().map(failed).sum())
    }

    /// Those of `forms` whose plan fails the same way, in their order. All of them are run.
    fn failing<T: Sync>(&mut self, forms: Vec<T>, plan: impl Fn(&T) -> &Scenario + Sync) -> Vec<T> {
        let valid: Vec<T> = forms.into_iter().filter(|form| validate::check(plan(form)).is_empty()).collect();
        self.runs = self.runs.saturating_add(valid.len() as u32);
        let this = &*self;
        let fails = |i: usize| this.judged(plan(&valid[i])).is_some();
        let fails: Vec<bool> = self.pool.install(|| (0..valid.len()).into_par_iter().map(fails).collect());
        valid.into_iter().zip(fails).filter_map(|(form, fails)| fails.then_some(form)).collect()
    }

    /// One more run of the plan at hand, with the moments that a step could wait for.
    fn observe(&mut self) -> Option<Outcome> {
        self.runs += 1;
        let options = Options { moments: true, ..self.budget.mode.options };
        campaign::guard(|| (self.run)(&self.plan, &options)).ok()
    }

    fn finish(self, origin: &Scenario) -> Shrunk {
        let bug = self.budget.mode.options.bug;
        let plan = write::named_after(self.plan, origin, self.signature, bug);
        Shrunk { plan, runs: self.runs, history: self.history, exhausted: self.exhausted }
    }
}

/// A plan as text, to know it again.
fn key(plan: &Scenario) -> String {
    serde_json::to_string(plan).expect("a scenario has only text keys")
}

#[cfg(test)]
mod tests;
