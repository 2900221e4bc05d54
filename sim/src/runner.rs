//! The bridge between the command line and the driver: a plan goes in, an [`Outcome`] comes out.

pub use crate::driver::Driver;
use crate::driver::{self, RunOptions};
use crate::promise::{self, Tier};
use crate::report::{Loss, Outcome, Violation};
use crate::scenario::{SafetyDecl, Scenario};
use crate::world::SESSION;
use dbm_core::bugs::Bug;
use dbm_core::config::Tuning;
use dbm_core::io::FileId;
use dbm_core::prepared::Prepared;
use dbm_core::types::{InstanceId, Key, Safety, Value};
use std::sync::Arc;

/// Money in each account when a run starts.
const OPENING_BALANCE: i64 = 1000;

/// Invariants that no plan is excused from.
const UNCONDITIONAL: [&str; 2] = ["panic", "livelock"];

/// How to run a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The driver.
    pub driver: Driver,
    /// Keep the trace.
    pub trace: bool,
    /// Keep the moments that a step could wait for.
    pub moments: bool,
    /// Keep the events from the first of these numbers up to the second, with the states after them, as text.
    pub record: Option<(u64, u64)>,
    /// The planted bug.
    pub bug: Option<Bug>,
}

/// The files of the prepared session that a plan starts from. [decisions: fixture]
pub fn prepared(plan: &Scenario) -> Vec<(InstanceId, FileId, Vec<u8>)> {
    let id =
        |name: &str| plan.instances.iter().position(|decl| decl.name == name).map(|i| InstanceId(i as u8));
    let accounts = plan.workload.unwrap_or_default().accounts;
    Prepared {
        session: SESSION,
        principal: id(&plan.session.principal).unwrap_or(InstanceId(0)),
        mirror: id(&plan.session.mirror).unwrap_or(InstanceId(1)),
        witness: plan.session.witness.as_deref().and_then(id),
        safety: match plan.session.safety {
            SafetyDecl::Full => Safety::Full,
            SafetyDecl::Off => Safety::Off,
        },
        timeout_s: plan.session.timeout_s,
        geometry: Tuning::default().geometry,
        rows: (0..accounts).map(|key| (Key(key), Value::number(OPENING_BALANCE))).collect(),
    }
    .files()
}

/// Everything a driver needs to run `plan`.
pub fn run_options(plan: &Scenario, options: &Options) -> RunOptions {
    RunOptions {
        driver: options.driver,
        trace: options.trace,
        moments: options.moments,
        record: options.record.map(|(first, end)| first..end),
        bug: options.bug,
        preload: Arc::new(prepared(plan)),
        ..RunOptions::default()
    }
}

/// Runs `plan`, on a thread of its own.
pub fn run(plan: &Scenario, options: &Options) -> Outcome {
    run_with(plan, &run_options(plan, options))
}

/// Runs `plan` with these options, on a thread of its own. Tests put other processes in the place of the product.
pub fn run_with(plan: &Scenario, options: &RunOptions) -> Outcome {
    let seed = plan.seed.expect("a plan has a seed");
    let ran =
        driver::run_apart(plan, seed, options).expect("a plan that was validated names nothing unknown");
    let verdict = ran.verdict.unwrap_or_default();
    let promise = promise::of(plan);
    let broken = verdict.violations.iter().map(|v| Violation {
        invariant: v.invariant,
        rule: v.rule.to_owned(),
        at: v.at,
        what: v.what.clone(),
    });
    // Outside the guarantee nothing is owed but that the program itself is sound.
    let (broken, beyond): (Vec<Violation>, Vec<Violation>) =
        broken.partition(|v| promise.tier != Tier::Outside || UNCONDITIONAL.contains(&v.invariant));
    // How statements end is an expectation of the plan, reported there; panics are reported by the oracle.
    let own = ran.findings.iter().filter(|f| f.rule == "livelock").map(|f| Violation {
        invariant: "livelock",
        rule: "progress".to_owned(),
        at: f.at,
        what: f.text.clone(),
    });
    let mut premises = std::collections::BTreeMap::new();
    for (invariant, premise, count) in &verdict.premises {
        *premises.entry(format!("{invariant}: {premise}")).or_default() += count;
    }
    Outcome {
        digest: ran.digest,
        events: ran.events,
        end: ran.virtual_time,
        trace: ran.trace.map(|t| t.lines().collect()).unwrap_or_default(),
        checkpoints: ran.checkpoints,
        moments: ran.moments,
        recorded: ran.recorded,
        promise,
        violations: broken.into_iter().chain(own).collect(),
        beyond,
        unmet: ran.unmet,
        premises,
        faults_felt: ran.faults_felt,
        committed: verdict.stats.confirmed + verdict.stats.confirmed_read_only,
        unknown: verdict.stats.unknown,
        failed: verdict.stats.failed,
        failovers: verdict.stats.failovers,
        downtime: ran.downtime,
        lost: verdict
            .losses
            .iter()
            .map(|loss| Loss {
                transaction: loss.txn.0,
                by: plan.instances.get(usize::from(loss.by.0)).map(|i| i.name.clone()).unwrap_or_default(),
                confirmed_at: loss.confirmed_at,
                window: loss.window.name(),
            })
            .collect(),
        coverage: ran.coverage,
    }
}
