//! Which fault of a plan is in force when, told from its steps alone: what overlaps, and what is still broken at the end.
//!
//! A step with a trigger happens, as far as a plan can tell, at the last moment at which it may: at `until` and `delay`,
//! or, when it waits without an end, right after the step it stands behind. A fault and a repair that wait for the same
//! moment with different delays so stay in their order.

use crate::fault::{Action, Path};
use crate::scenario::{FaultClass, Scenario};
use crate::time::Time;
use crate::validate;
use std::fmt;

/// What a fault holds, and its repair lifts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A process that is dead.
    Process(String),
    /// A host without power.
    Host(String),
    /// A process that stands still.
    Paused(String),
    /// A slow process.
    Cpu(String),
    /// What passes from one end to the other.
    Path(String, String),
    /// The disk of an instance.
    Disk(String),
    /// What is stored in a file of an instance.
    Stored(String, String),
    /// The rate of a host's clock.
    Rate(String),
    /// A host's wall clock.
    Wall(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Process(name) => write!(f, "the process of {name}"),
            Target::Host(name) => write!(f, "the host {name}"),
            Target::Paused(name) | Target::Cpu(name) => write!(f, "{name}"),
            Target::Path(from, to) => write!(f, "the path from {from} to {to}"),
            Target::Disk(name) => write!(f, "the disk of {name}"),
            Target::Stored(name, file) => write!(f, "the {file} of {name}"),
            Target::Rate(host) | Target::Wall(host) => write!(f, "the clock of {host}"),
        }
    }
}

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The step that installs it.
    pub step: usize,
    /// Its class.
    pub class: FaultClass,
    /// What it holds.
    pub target: Target,
    /// From when.
    pub from: Time,
    /// Until when; `None`: to the end of the run. The same as `from` for what is over at once.
    pub to: Option<Time>,
    /// It happens at this very time, not on a trigger.
    pub timed: bool,
}

impl Span {
    /// Are both in force at some moment, as two faults and not as two halves of one?
    pub fn overlaps(&self, other: &Span) -> bool {
        let ends = |span: &Span| span.to.unwrap_or(Time(u64::MAX));
        self.from != other.from && self.from.max(other.from) <= ends(self).min(ends(other))
    }
}

/// When each step happens, as far as the plan can tell.
pub fn times(plan: &Scenario) -> Vec<Time> {
    let mut times: Vec<Time> = Vec::with_capacity(plan.timeline.len());
    for step in &plan.timeline {
        let before = times.last().copied().unwrap_or_default();
        let time = match (step.at, step.between, step.until) {
            (Some(at), _, _) => at,
            (None, Some([_, to]), _) => to,
            (None, None, Some(until)) => until + step.delay.unwrap_or_default(),
            (None, None, None) => before + step.delay.unwrap_or_default(),
        };
        times.push(time);
    }
    times
}

/// The faults so far, while actions happen one after the other.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    spans: Vec<Span>,
}

impl InForce {
    /// Step `step` of `plan` happens now.
    pub fn act(&mut self, plan: &Scenario, step: usize, action: &Action, now: Time) {
        for span in self.spans.iter_mut().filter(|span| span.to.is_none()) {
            if lifts(action, span, plan) {
                span.to = Some(now);
            }
        }
        let Some(class) = FaultClass::of(action) else { return };
        if returns_to_usual(action, plan) {
            return;
        }
        for target in targets(action) {
            let newer = |span: &&mut Span| span.to.is_none() && span.target == target && span.class == class;
            self.spans.iter_mut().filter(newer).for_each(|span| span.to = Some(now));
            let timed = plan.timeline.get(step).is_some_and(|step| step.on.is_none());
            self.spans.push(Span { step, class, target, from: now, to: over(action, now), timed });
        }
    }

    /// Every fault that has begun, in order; those without an end are in force.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }
}

/// Every fault of `plan` with the time in which it is in force, in the order in which they begin.
pub fn of(plan: &Scenario) -> Vec<Span> {
    let times = times(plan);
    let mut order: Vec<usize> = (0..plan.timeline.len()).collect();
    order.sort_by_key(|&i| (times[i], i));
    let mut faults = InForce::default();
    for step in order {
        faults.act(plan, step, &plan.timeline[step].action, times[step]);
    }
    faults.spans
}

/// Do two faults of `plan` overlap whose times are certain?
pub fn overlap(plan: &Scenario) -> bool {
    let spans: Vec<Span> = of(plan).into_iter().filter(|span| span.timed).collect();
    (0..spans.len()).any(|i| (0..i).any(|j| spans[i].step != spans[j].step && spans[i].overlaps(&spans[j])))
}

/// When the fault ends by itself.
fn over(action: &Action, now: Time) -> Option<Time> {
    match action {
        Action::Reset(_) => Some(now),
        Action::RestartLoop { times, up, down, .. } => {
            let deaths = u64::from(*times);
            Some(now + Time((up.0 + down.0).saturating_mul(deaths).saturating_sub(up.0)))
        }
        _ => None,
    }
}

fn paths(path: &Path) -> Vec<Target> {
    let there = Target::Path(path.from.clone(), path.to.clone());
    let back = Target::Path(path.to.clone(), path.from.clone());
    if path.both { vec![there, back] } else { vec![there] }
}

/// What a fault holds; nothing for repairs, statements and what stands for no fault.
fn targets(action: &Action) -> Vec<Target> {
    match action {
        Action::Crash(name) | Action::RestartLoop { instance: name, .. } => {
            vec![Target::Process(name.clone())]
        }
        Action::HostDown(host) => vec![Target::Host(host.clone())],
        Action::Pause(name) => vec![Target::Paused(name.clone())],
        Action::Cut(path)
        | Action::Stall(path)
        | Action::Slow { path, .. }
        | Action::Throttle { path, .. }
        | Action::Corrupt { path, .. }
        | Action::SlowStart { path, .. }
        | Action::Refuse(path)
        | Action::Reset(path) => paths(path),
        Action::DiskStall(name)
        | Action::DiskSlow { instance: name, .. }
        | Action::DiskError { instance: name, .. }
        | Action::DiskFail(name)
        | Action::DiskFull(name)
        | Action::DiskLie(name) => vec![Target::Disk(name.clone())],
        Action::Misdirect { instance, file } | Action::Rot { instance, file } => {
            vec![Target::Stored(instance.clone(), file.clone())]
        }
        Action::SlowCpu { instance, .. } => vec![Target::Cpu(instance.clone())],
        Action::ClockRate { host, .. } => vec![Target::Rate(host.clone())],
        Action::ClockStep { host, .. } | Action::ClockFreeze { host, .. } => vec![Target::Wall(host.clone())],
        Action::Restart(_)
        | Action::HostUp(_)
        | Action::Unpause(_)
        | Action::Heal(_)
        | Action::DiskHeal(_)
        | Action::FastCpu(_)
        | Action::HealAll
        | Action::Sql { .. }
        | Action::Inject { .. } => Vec::new(),
    }
}

/// A clock that goes back to its usual rate is a repair.
fn returns_to_usual(action: &Action, plan: &Scenario) -> bool {
    match action {
        Action::ClockRate { host, ppm } => *ppm == plan.clocks.get(host).map_or(0, |c| c.rate_ppm),
        _ => false,
    }
}

/// The host of an instance.
fn host<'a>(plan: &'a Scenario, instance: &'a str) -> &'a str {
    let found = plan.instances.iter().position(|i| i.name == instance);
    found.map_or(instance, |i| validate::hosts(plan)[i])
}

/// Does `action` end the fault?
fn lifts(action: &Action, span: &Span, plan: &Scenario) -> bool {
    match (action, &span.target) {
        // Nothing brings back what was stored there.
        (_, Target::Stored(..)) => false,
        (Action::HealAll, _) => true,
        (Action::FastCpu(name), Target::Cpu(of)) => name == of,
        (Action::Restart(name), Target::Process(dead)) => name == dead,
        (Action::HostUp(up), Target::Process(dead)) => up == host(plan, dead),
        (Action::HostUp(up), Target::Host(down)) => up == down,
        // A process that dies does not stand still any more.
        (Action::Unpause(name) | Action::Crash(name), Target::Paused(paused)) => name == paused,
        (Action::HostDown(down), Target::Paused(paused)) => down == host(plan, paused),
        (Action::Heal(path), target @ Target::Path(..)) => paths(path).contains(target),
        (Action::DiskHeal(name), Target::Disk(of)) => name == of,
        (Action::ClockRate { host, .. }, Target::Rate(of)) => host == of,
        (Action::ClockFreeze { host, frozen: false }, Target::Wall(of)) => host == of,
        _ => false,
    }
}
