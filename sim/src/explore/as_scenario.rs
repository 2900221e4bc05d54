//! A scenario made of a path: the nearest that the simulator can run.
//!
//! The simulator draws latencies from a seed, so the order of what happens within one moment of the explorer is kept
//! only where a trigger can say it: each step from outside waits for the delivery or the disk operation that it follows
//! on the path. Which bytes a crash leaves, and when exactly clients commit, is the seed's. The path itself, repeated
//! by `dbmsim explore --replay`, is exact.

use super::action::{Action, BreakKind};
use super::disk::file_name;
use super::links::{NAMES, PAIRS};
use super::model::TIMEOUT_S;
use super::path::PathFile;
use super::transcript::Taken;
use crate::fault::{self, Path};
use crate::scenario::{
    DiskProfile, FORMAT, InstanceDecl, NetworkProfile, SafetyDecl, Scenario, SessionDecl, Spread, Step,
    Trigger, Workload,
};
use crate::time::Time;
use std::collections::BTreeMap;

/// The explored world is synchronised and armed within its first moment; the simulator takes a little longer.
const LATER: Time = Time::secs(3);
/// After the last step.
const REST: Time = Time::secs(40);
/// Steps of one moment are so far apart that each is felt before the next.
const APART: Time = Time::millis(5);
/// A step follows what it waits for.
const AFTER: Time = Time(1);

/// The scenario of a path: the way to its situation, then its steps.
pub fn scenario(file: &PathFile, taken: &[Taken]) -> Scenario {
    let mut timeline: Vec<Step> = Vec::new();
    let mut since: usize = 0;
    for (i, step) in taken.iter().enumerate() {
        let actions = actions(step);
        if actions.is_empty() {
            continue;
        }
        let before = timeline.len().checked_sub(1);
        let cue = cue(&taken[since..i], timeline.len());
        for action in actions {
            let at = cue.is_none().then(|| Time(step.at) + LATER + Time(APART.0 * timeline.len() as u64));
            let (on, nth) = cue.clone().unzip();
            let (after_step, delay) = (on.as_ref().and(before), on.as_ref().map(|_| AFTER));
            timeline.push(Step { at, between: None, on, nth, after_step, delay, until: None, action });
        }
        since = i + 1;
    }
    let end = taken.last().map_or(Time(0), |t| Time(t.at));
    let names = if file.question.witness { &NAMES[..] } else { &NAMES[..2] };
    let quick = Spread { min: Time(200), max: Time::millis(1) };
    Scenario {
        dbmsim: FORMAT,
        name: format!("explored-{}-{}", file.question.situation, file.rule),
        note: format!(
            "Made of a path that the explorer found ({}: {}). Orders within a moment are kept only where a trigger \
             tells them; the path file repeats it exactly.",
            file.rule, file.text
        ),
        rules: Vec::new(),
        seed: None,
        duration: end + LATER + REST,
        instances: names.iter().map(|n| InstanceDecl { name: (*n).into(), host: None }).collect(),
        session: SessionDecl {
            database: super::model::DATABASE.into(),
            principal: NAMES[0].into(),
            mirror: NAMES[1].into(),
            witness: file.question.witness.then(|| NAMES[2].into()),
            safety: SafetyDecl::Full,
            timeout_s: TIMEOUT_S,
            prepared: true,
        },
        network: NetworkProfile { latency: quick, ..NetworkProfile::default() },
        disk: DiskProfile::default(),
        clocks: BTreeMap::new(),
        clock_rate_ppm_max: 0,
        workload: Some(Workload { commits_per_s: 50, ..Workload::default() }),
        timeline,
        chaos: None,
        swarm: None,
        expect: Vec::new(),
    }
}

/// What a step is in the simulator; nothing for what the world does by itself.
fn actions(step: &Taken) -> Vec<fault::Action> {
    let name = |i: u8| NAMES[usize::from(i)].to_owned();
    let path = |pair: u8| {
        let (one, other) = PAIRS[usize::from(pair)];
        Path { from: name(one), to: name(other), both: true }
    };
    let sql = |on: u8| fault::Action::Sql {
        on: name(on),
        text: step.text.clone().unwrap_or_default(),
        error: Some(-1),
    };
    match step.action {
        Action::Break(pair, BreakKind::Reset) => vec![fault::Action::Reset(path(pair))],
        Action::Break(pair, BreakKind::Cut) => vec![fault::Action::Cut(path(pair))],
        Action::Break(pair, BreakKind::Drop) => {
            vec![fault::Action::Refuse(path(pair)), fault::Action::Reset(path(pair))]
        }
        Action::Heal(pair) => vec![fault::Action::Heal(path(pair))],
        Action::Crash(instance, _) => vec![fault::Action::Crash(name(instance))],
        // The instances of a scenario run from the start.
        Action::Restart(_) if step.at == 0 => Vec::new(),
        Action::Restart(instance) => vec![fault::Action::Restart(name(instance))],
        Action::Statement(instance) | Action::Resume(instance) => vec![sql(instance)],
        Action::Deliver(..) | Action::Disk(..) | Action::Advance | Action::Commit(_) => Vec::new(),
    }
}

/// What happened last before a step, since the step from outside before it, and at which occurrence; `None`: time went
/// on, or nothing a trigger could name.
fn cue(between: &[Taken], done: usize) -> Option<(Trigger, u32)> {
    let last = between.last()?;
    let name = |i: u8| NAMES[usize::from(i)].to_owned();
    let frame = |what: &str| dbm_core::message::Message::KINDS.iter().any(|(_, n)| *n == what);
    let trigger = match (last.action, last.delivered) {
        (Action::Deliver(..), Some((what, from, to))) if frame(what) => {
            Trigger::Delivered { frame: what.into(), from: name(from), to: name(to) }
        }
        (Action::Disk(instance, file), _) => {
            Trigger::DiskDone { instance: name(instance), file: file_name(file).into() }
        }
        _ => return None,
    };
    let same = |t: &&Taken| match (t.action, last.action) {
        (Action::Deliver(..), Action::Deliver(..)) => t.delivered == last.delivered,
        (one, other) => one == other,
    };
    let nth = between.iter().filter(same).count() as u32;
    // Without an earlier step to count from, the occurrences of the start would be counted too.
    (done > 0).then_some((trigger, nth))
}
