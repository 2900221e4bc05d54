//! The bridge between the command line and the driver: a plan goes in, an [`Outcome`] comes out.

use crate::expect::Expectations;
use crate::report::Outcome;
use crate::scenario::Scenario;
use dbm_core::bugs::Bug;

/// Who turns the world.
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
pub struct Options {
    /// The driver.
    pub driver: Driver,
    /// Keep the trace.
    pub trace: bool,
    /// The planted bug.
    pub bug: Option<Bug>,
}

/// Runs `plan`. Stands in for the world until it is merged: nothing runs, so nothing is seen.
pub fn run(plan: &Scenario, _: &Options) -> Outcome {
    let mut expectations = Expectations::new(plan);
    expectations.lost_transactions(0);
    let downtime = expectations.downtime(plan.duration);
    Outcome { end: plan.duration, downtime, unmet: expectations.finish(plan.duration), ..Outcome::default() }
}
