//! Changes of a plan that keep it a plan: references between steps follow, times stay in order and inside the run.

use crate::fault::{Action, Path};
use crate::plan::in_order;
use crate::scenario::{Scenario, Step};
use crate::time::Time;
use std::collections::BTreeSet;

/// What a fault lies on; a repair lifts the faults that lie on the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target<'a> {
    Process(&'a str),
    Host(&'a str),
    Pause(&'a str),
    Path(&'a Path),
    Disk(&'a str),
    Cpu(&'a str),
    ClockRate(&'a str),
    WallClock(&'a str),
}

/// Which half of a pair an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Fault,
    Repair,
    /// A fault that another one of its kind lifts.
    Either,
}

fn half(action: &Action) -> Option<(Half, Target<'_>)> {
    Some(match action {
        Action::Crash(name) => (Half::Fault, Target::Process(name)),
        Action::Restart(name) => (Half::Repair, Target::Process(name)),
        Action::HostDown(host) => (Half::Fault, Target::Host(host)),
        Action::HostUp(host) => (Half::Repair, Target::Host(host)),
        Action::Pause(name) => (Half::Fault, Target::Pause(name)),
        Action::Unpause(name) => (Half::Repair, Target::Pause(name)),
        Action::Cut(path)
        | Action::Stall(path)
        | Action::Refuse(path)
        | Action::Slow { path, .. }
        | Action::Throttle { path, .. }
        | Action::Corrupt { path, .. }
        | Action::SlowStart { path, .. } => (Half::Fault, Target::Path(path)),
        Action::Heal(path) => (Half::Repair, Target::Path(path)),
        Action::DiskStall(instance)
        | Action::DiskSlow { instance, .. }
        | Action::DiskError { instance, .. }
        | Action::DiskFail(instance)
        | Action::DiskFull(instance)
        | Action::DiskLie(instance)
        | Action::Misdirect { instance, .. } => (Half::Fault, Target::Disk(instance)),
        Action::DiskHeal(instance) => (Half::Repair, Target::Disk(instance)),
        Action::SlowCpu { instance, .. } => (Half::Fault, Target::Cpu(instance)),
        Action::FastCpu(instance) => (Half::Repair, Target::Cpu(instance)),
        Action::ClockRate { host, .. } => (Half::Either, Target::ClockRate(host)),
        Action::ClockStep { host, .. } | Action::ClockFreeze { host, .. } => {
            (Half::Either, Target::WallClock(host))
        }
        Action::Reset(_)
        | Action::Rot { .. }
        | Action::RestartLoop { .. }
        | Action::HealAll
        | Action::Sql { .. }
        | Action::Inject { .. } => return None,
    })
}

/// Does `repair` lift `fault`?
fn lifts(repair: &Action, fault: &Action) -> bool {
    let (Some((a, repaired)), Some((b, hurt))) = (half(repair), half(fault)) else { return false };
    if matches!((a, b), (Half::Repair, Half::Fault)) {
        return match (repaired, hurt) {
            (Target::Path(repaired), Target::Path(hurt)) => covers(repaired, hurt),
            (repaired, hurt) => repaired == hurt,
        };
    }
    a == Half::Either && repaired == hurt && std::mem::discriminant(repair) == std::mem::discriminant(fault)
}

/// Is every direction of `inner` one of `outer`?
fn covers(outer: &Path, inner: &Path) -> bool {
    let same = (&outer.from, &outer.to) == (&inner.from, &inner.to);
    let crossed = (&outer.from, &outer.to) == (&inner.to, &inner.from);
    if outer.both { same || crossed } else { same && !inner.both }
}

/// Each fault with the repair that follows it, by index.
pub fn pairs(timeline: &[Step]) -> Vec<(usize, usize)> {
    let mut taken = BTreeSet::new();
    let mut pairs = Vec::new();
    for (i, fault) in timeline.iter().enumerate() {
        if taken.contains(&i) {
            continue;
        }
        let repair = (i + 1..timeline.len())
            .find(|j| !taken.contains(j) && lifts(&timeline[*j].action, &fault.action));
        if let Some(j) = repair {
            taken.extend([i, j]);
            pairs.push((i, j));
        }
    }
    pairs
}

/// The steps in units that are removed together: a fault with its repair, or a step alone; in order of their first.
pub fn units(timeline: &[Step]) -> Vec<Vec<usize>> {
    let pairs = pairs(timeline);
    let unit = |i: usize| match pairs.iter().find(|(fault, repair)| i == *fault || i == *repair) {
        Some((fault, repair)) => (i == *fault).then(|| vec![*fault, *repair]),
        None => Some(vec![i]),
    };
    (0..timeline.len()).filter_map(unit).collect()
}

/// The plan without some steps. A step that waited for one of them no longer waits for any.
pub fn without(plan: &Scenario, gone: &BTreeSet<usize>) -> Scenario {
    let mut place = vec![None; plan.timeline.len()];
    let mut kept = Vec::new();
    for (i, step) in plan.timeline.iter().enumerate() {
        if !gone.contains(&i) {
            place[i] = Some(kept.len());
            kept.push(step.clone());
        }
    }
    for step in &mut kept {
        step.after_step = step.after_step.and_then(|old| place.get(old).copied().flatten());
    }
    Scenario { timeline: kept, ..plan.clone() }
}

/// The plan with steps in the order of their times.
pub fn sorted(mut plan: Scenario) -> Scenario {
    plan.timeline = in_order(plan.timeline);
    plan
}

/// The plan ending at `end`: what would come later is left out, expectations about it too.
pub fn ending(plan: &Scenario, end: Time) -> Scenario {
    let late = |step: &Step| step.at.is_some_and(|at| at > end);
    let gone = (0..plan.timeline.len()).filter(|i| late(&plan.timeline[*i])).collect();
    let mut short = without(plan, &gone);
    short.duration = end;
    for step in &mut short.timeline {
        step.delay = step.delay.map(|delay| delay.min(end));
        step.until = step.until.map(|until| until.min(end));
    }
    if let Some(workload) = &mut short.workload {
        workload.start = workload.start.min(end);
        workload.stop = workload.stop.filter(|stop| *stop < end);
    }
    short.expect.retain(|e| {
        let last = [e.by, e.at, e.throughout.map(|[_, to]| to)].into_iter().flatten().max();
        last.is_none_or(|last| last <= end)
    });
    short
}

/// The plan with everything from step `first` on earlier by `by`, up to its end.
pub fn earlier_from(plan: &Scenario, first: usize, by: Time) -> Scenario {
    let mut moved = plan.clone();
    let earlier = |time: Time| Time(time.0.saturating_sub(by.0));
    for step in &mut moved.timeline[first..] {
        step.at = step.at.map(earlier);
        step.until = step.until.map(earlier);
    }
    if let Some(stop) = moved.workload.as_mut().and_then(|w| w.stop.as_mut()) {
        *stop = earlier(*stop);
    }
    moved.duration = earlier(moved.duration);
    moved
}

/// `time` as the nearest multiple of `unit`.
pub fn rounded(time: Time, unit: Time) -> Time {
    Time((time.0 + unit.0 / 2) / unit.0 * unit.0)
}

/// `time` as the next multiple of `unit` that is later.
pub fn rounded_up(time: Time, unit: Time) -> Time {
    Time((time.0 / unit.0 + 1) * unit.0)
}
