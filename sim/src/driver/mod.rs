//! Running a plan: the world is the same, two drivers turn it.
//!
//! [`Driver::Madsim`] is what users and CI run: nodes, tasks, kill and restart are madsim's. [`Driver::Plain`] is a
//! bare loop, the floor for benchmarks and the cross-check: both must give the same digest on every seed.

#[cfg(madsim)]
mod madsim;
mod plain;

use crate::coverage::Coverage;
use crate::expect::Unmet;
use crate::moments::Seen;
use crate::node::{Crew, Product};
use crate::oracle::Verdict;
use crate::scenario::Scenario;
use crate::script::PlanError;
use crate::time::Time;
use crate::trace::Trace;
use crate::watch::Finding;
use crate::world::{Budget, World};
use dbm_core::bugs::Bug;
use dbm_core::config::Tuning;
use dbm_core::io::FileId;
use dbm_core::types::InstanceId;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Who turns the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// The madsim runtime.
    #[default]
    Madsim,
    /// A plain loop.
    Plain,
}

/// How to run, besides plan and seed. None of it but `tuning`, `bug`, `preload`, `crew`, `budget` and `check_every`
/// changes what happens.
#[derive(Clone)]
pub struct RunOptions {
    /// Who turns the world.
    pub driver: Driver,
    /// Keep a trace of everything.
    pub trace: bool,
    /// Keep the moments that a step could wait for.
    pub moments: bool,
    /// Keep the events with these numbers as text, see [`Outcome::recorded`].
    pub record: Option<Range<u64>>,
    /// The planted bug.
    pub bug: Option<Bug>,
    /// Tunables of every instance.
    pub tuning: Tuning,
    /// Files that are there when the run starts.
    pub preload: Arc<Vec<(InstanceId, FileId, Vec<u8>)>>,
    /// When to give up.
    pub budget: Budget,
    /// Check an instance's invariants after so many of its steps (and at every change of its state).
    pub check_every: u32,
    /// Who plays the processes.
    pub crew: Arc<dyn Crew>,
    /// Let the oracle judge the run.
    pub judge: bool,
    /// Keep the digest; without it [`Outcome::digest`] says nothing.
    pub digest: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            driver: Driver::default(),
            trace: false,
            moments: false,
            record: None,
            bug: None,
            tuning: Tuning::default(),
            preload: Arc::default(),
            budget: Budget::default(),
            check_every: 64,
            crew: Arc::new(Product),
            judge: true,
            digest: true,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Rolling digest of every event and state.
    pub digest: u64,
    /// Events of the world.
    pub events: u64,
    /// True time at the end.
    pub virtual_time: Time,
    /// What the nodes felt of the faults, by name; absent means never.
    pub faults_felt: BTreeMap<&'static str, u64>,
    /// Which steps of the timeline have happened.
    pub steps_happened: Vec<bool>,
    /// (digested events, digest before them) on the way, to find where two runs part.
    pub checkpoints: Vec<(u64, u64)>,
    /// The trace, if one was asked for.
    pub trace: Option<Trace>,
    /// The moments that a step could have waited for, if asked for.
    pub moments: Vec<Seen>,
    /// The events of [`RunOptions::record`], as text.
    pub recorded: Vec<String>,
    /// What the world itself found wrong: panics, livelocks, statements that ended otherwise than expected.
    pub findings: Vec<Finding>,
    /// The oracle's verdict; `None` when it was switched off.
    pub verdict: Option<Verdict>,
    /// Expectations of the plan that were not met.
    pub unmet: Vec<Unmet>,
    /// Statements, transitions, events and role switches that were seen, and how often.
    pub coverage: Coverage,
    /// Longest time without an answer to any client.
    pub downtime: Time,
}

/// Runs a plan on this thread.
pub fn run(plan: &Scenario, seed: u64, options: &RunOptions) -> Result<Outcome, PlanError> {
    let world = World::new(plan, seed, options)?;
    Ok(match options.driver {
        Driver::Plain => plain::run(world),
        #[cfg(madsim)]
        Driver::Madsim => madsim::run(world, seed),
        #[cfg(not(madsim))]
        Driver::Madsim => unreachable!("lib.rs stops the build"),
    })
}

/// Runs a plan on a thread of its own, so that nothing a run might leave behind in its thread reaches another.
pub fn run_apart(plan: &Scenario, seed: u64, options: &RunOptions) -> Result<Outcome, PlanError> {
    std::thread::scope(|scope| match scope.spawn(|| run(plan, seed, options)).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests;
