//! Stands in for the drivers of the world until they are merged: nothing runs, so nothing is seen.

use crate::expect::{Expectations, Unmet};
use crate::scenario::Scenario;
use crate::time::Time;
use std::collections::BTreeMap;

/// How to drive the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// madsim nodes and tasks.
    #[default]
    Madsim,
    /// A plain loop.
    Plain,
}

/// How to run a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// The driver.
    pub driver: Driver,
    /// Keep the trace.
    pub trace: bool,
    /// The planted bug.
    pub bug: Option<dbm_core::bugs::Bug>,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// When.
    pub at: Time,
    /// What.
    pub what: String,
}

/// What a run has shown.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Rolling digest over every event.
    pub digest: u64,
    /// Number of events.
    pub events: u64,
    /// Virtual time at the end.
    pub end: Time,
    /// The trace, if asked for.
    pub trace: Vec<String>,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// Expectations and triggers that were not met.
    pub unmet: Vec<Unmet>,
    /// How often the premise of each invariant held.
    pub premises: BTreeMap<&'static str, u64>,
    /// Faults that a node felt, by kind.
    pub faults_felt: BTreeMap<&'static str, u64>,
    /// Transactions confirmed to a client.
    pub committed: u64,
    /// Transactions whose outcome no client knows.
    pub unknown: u64,
    /// Transactions that failed for sure.
    pub failed: u64,
    /// Switches of the principal role.
    pub failovers: u64,
    /// Longest time without an answer.
    pub downtime: Time,
    /// Confirmed transactions that are missing.
    pub lost: Vec<u64>,
}

/// Runs `plan`.
pub fn run(plan: &Scenario, _: &RunOptions) -> Outcome {
    let mut expectations = Expectations::new(plan);
    expectations.lost_transactions(0);
    let downtime = expectations.downtime(plan.duration);
    Outcome { end: plan.duration, downtime, unmet: expectations.finish(plan.duration), ..Outcome::default() }
}
