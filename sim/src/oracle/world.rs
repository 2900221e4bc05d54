//! What has been done to the world, and how long ago: processes, paths, disks, statements. From the plan's actions and
//! the world's own facts, so availability and liveness need not ask an instance.
//!
//! A world is *crisp* when every pair of instances is either fully connected or fully apart and nothing is merely
//! slow, held back or one-way; only then do the quorum tables say who serves. It is *settled* when nothing has changed
//! for longer than a bound: after a loss T + i for the detection, after anything else twice that (an old link may have
//! to time out at both ends in turn, [OQ-18]), each scaled by the drift bound, plus a fixed slack for reconnecting,
//! redo and slow media.

use super::OracleSetup;
use crate::fault::{Action, Path};
use crate::scenario::Scenario;
use crate::time::Time;
use dbm_core::control::{self, PartnerOption, Statement};
use dbm_core::types::InstanceId;

/// What changed, as far as the memory of "armed" must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that matters.
    None,
    /// This instance was lost to one or all others, and nothing else changed.
    Loss(InstanceId, Option<InstanceId>),
    /// The owner gave a statement: no link, process or disk changed.
    Statement,
    /// Anything else.
    Other,
}

/// What statements of the owner were tried so far, as far as records do not tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    /// Something that the oracle does not model: session removed, endpoint stopped, …
    pub(super) foreign: bool,
}

/// The state of the world.
#[derive(Clone, Debug)]
pub(super) struct World {
    names: Vec<String>,
    up: Vec<bool>,
    paused: Vec<bool>,
    started: Vec<Time>,
    cut: Vec<bool>,
    odd: Vec<bool>,
    odd_disk: Vec<bool>,
    slow: Vec<bool>,
    /// An operation of its disk has failed: its database stays failed until its process starts again. [OQ-35]
    failed: Vec<bool>,
    /// What is on its disk may be wrong, for good.
    spoilt: Vec<bool>,
    odd_clients: bool,
    crisp: bool,
    settled_at: Time,
    last_change: Time,
    last_statement: Time,
    loss_bound: Time,
    gain_bound: Time,
    base: Bounds,
    /// Statements tried.
    pub(super) tried: Tried,
    /// Smallest and largest time-out period that may be in force.
    pub(super) timeout: (Time, Time),
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    ping_interval: Time,
    drift_ppm: u64,
    slack: Time,
}

impl World {
    pub(super) fn new(setup: &OracleSetup) -> Self {
        let n = setup.names.len();
        let base = Bounds {
            ping_interval: setup.ping_interval,
            drift_ppm: setup.drift_ppm.into(),
            slack: setup.slack,
        };
        let ten = Time::secs(10);
        let timeout = match setup.safety {
            dbm_core::types::Safety::Full => (setup.timeout, setup.timeout),
            // Ten seconds are in force while SAFETY is OFF, whatever is set. [OQ-34]
            dbm_core::types::Safety::Off => (setup.timeout.min(ten), setup.timeout.max(ten)),
        };
        let mut world = World {
            names: setup.names.clone(),
            up: vec![false; n],
            paused: vec![false; n],
            started: vec![Time(0); n],
            cut: vec![false; n * n],
            odd: vec![false; n * n],
            odd_disk: vec![false; n],
            slow: vec![false; n],
            failed: vec![false; n],
            spoilt: vec![false; n],
            odd_clients: false,
            crisp: false,
            settled_at: Time(u64::MAX),
            last_change: Time(0),
            last_statement: Time(0),
            loss_bound: Time(0),
            gain_bound: Time(0),
            base,
            tried: Tried::default(),
            timeout,
        };
        world.set_bounds();
        world
    }

    fn set_bounds(&mut self) {
        let detect = self.timeout.1 + self.base.ping_interval;
        let detect = Time(detect.0 * (1_000_000 + self.base.drift_ppm) / 1_000_000);
        self.loss_bound = detect + self.base.slack;
        self.gain_bound = detect + detect + self.base.slack;
    }

    /// How long after the last change other than a loss the world is settled.
    pub(super) fn gain_bound(&self) -> Time {
        self.gain_bound
    }

    /// How long a healthy server may leave clients without any answer.
    pub(super) fn slack(&self) -> Time {
        self.base.slack
    }

    /// Clocks are good enough for leases, for every time-out period that may be in force. [OQ-8]
    pub(super) fn guaranteed(&self) -> bool {
        let (t, i) = (u128::from(self.timeout.1.0), u128::from(self.base.ping_interval.0));
        u128::from(self.base.drift_ppm) * (2 * t + i) < i * 1_000_000
    }

    /// When anything last changed.
    pub(super) fn last_change(&self) -> Time {
        self.last_change
    }

    /// When the owner last gave a statement.
    pub(super) fn last_statement(&self) -> Time {
        self.last_statement
    }

    /// Crisp, and nothing has changed for longer than the bound.
    #[inline]
    pub(super) fn settled(&self, at: Time) -> bool {
        self.crisp && at >= self.settled_at
    }

    /// When its process was started last.
    pub(super) fn started_at(&self, instance: InstanceId) -> Time {
        self.started.get(usize::from(instance.0)).copied().unwrap_or_default()
    }

    pub(super) fn is_paused(&self, instance: InstanceId) -> bool {
        self.paused.get(usize::from(instance.0)).copied().unwrap_or_default()
    }

    /// The process runs and is not paused.
    pub(super) fn alive(&self, instance: InstanceId) -> bool {
        let i = usize::from(instance.0);
        self.up.get(i) == Some(&true) && self.paused.get(i) == Some(&false)
    }

    /// Both alive and nothing between them.
    pub(super) fn connected(&self, a: InstanceId, b: InstanceId) -> bool {
        self.alive(a) && self.alive(b) && !self.cut[self.pair(a, b)] && !self.cut[self.pair(b, a)]
    }

    /// Nothing is wrong anywhere.
    pub(super) fn healthy(&self) -> bool {
        self.crisp
            && !self.cut.contains(&true)
            && (0..self.names.len()).all(|i| self.alive(InstanceId(i as u8)))
    }

    fn pair(&self, from: InstanceId, to: InstanceId) -> usize {
        usize::from(from.0) * self.names.len() + usize::from(to.0)
    }

    fn find(&self, name: &str) -> Option<InstanceId> {
        self.names.iter().position(|n| n == name).map(|i| InstanceId(i as u8))
    }

    fn changed(&mut self, at: Time, change: Change) -> Change {
        let n = self.names.len();
        let symmetric = (0..n).all(|i| (0..i).all(|j| self.cut[i * n + j] == self.cut[j * n + i]));
        let odd = [&self.odd, &self.odd_disk, &self.slow, &self.failed, &self.spoilt];
        self.crisp = symmetric && !self.odd_clients && !odd.iter().any(|flags| flags.contains(&true));
        let bound = match change {
            Change::None => return change,
            Change::Loss(..) => self.loss_bound,
            Change::Statement => self.base.slack,
            Change::Other => self.gain_bound,
        };
        match change {
            Change::Statement => self.last_statement = at,
            Change::None | Change::Loss(..) | Change::Other => self.last_change = at,
        }
        self.settled_at =
            if self.settled_at.0 == u64::MAX { at + bound } else { self.settled_at.max(at + bound) };
        change
    }

    pub(super) fn process_started(&mut self, at: Time, instance: InstanceId) -> Change {
        if let Some(up) = self.up.get_mut(usize::from(instance.0)) {
            *up = true;
            self.started[usize::from(instance.0)] = at;
            self.failed[usize::from(instance.0)] = false;
        }
        self.changed(at, Change::Other)
    }

    pub(super) fn died(&mut self, at: Time, instance: InstanceId) -> Change {
        if let Some(up) = self.up.get_mut(usize::from(instance.0)) {
            *up = false;
            self.paused[usize::from(instance.0)] = false;
        }
        self.changed(at, Change::Loss(instance, None))
    }

    pub(super) fn paused(&mut self, at: Time, instance: InstanceId, paused: bool) -> Change {
        if let Some(p) = self.paused.get_mut(usize::from(instance.0)) {
            *p = paused;
        }
        self.changed(at, if paused { Change::Loss(instance, None) } else { Change::Other })
    }

    /// A disk operation has failed, and the process is told.
    pub(super) fn disk_failed(&mut self, at: Time, instance: InstanceId) -> Change {
        self.mark(instance, |world, i| world.failed[i] = true);
        self.changed(at, Change::Other)
    }

    fn mark(&mut self, instance: InstanceId, f: impl FnOnce(&mut World, usize)) {
        if usize::from(instance.0) < self.names.len() {
            f(self, usize::from(instance.0));
        }
    }

    fn mark_named(&mut self, name: &str, f: impl FnOnce(&mut World, usize)) -> Change {
        if let Some(instance) = self.find(name) {
            self.mark(instance, f);
        }
        Change::Other
    }

    pub(super) fn acted(&mut self, at: Time, action: &Action) -> Change {
        let change = match action {
            // Their effect shows as facts of their own.
            Action::Crash(_)
            | Action::Restart(_)
            | Action::HostDown(_)
            | Action::HostUp(_)
            | Action::Pause(_)
            | Action::Unpause(_)
            | Action::ClockStep { .. }
            | Action::ClockFreeze { .. } => Change::None,
            Action::Cut(path) => self.cut(path),
            Action::Stall(path)
            | Action::Slow { path, .. }
            | Action::Throttle { path, .. }
            | Action::Corrupt { path, .. }
            | Action::SlowStart { path, .. }
            | Action::Refuse(path) => {
                self.set(path, |world, i| world.odd[i] = true);
                self.odd_clients |= self.names_clients(path);
                Change::Other
            }
            Action::Heal(path) => {
                self.set(path, |world, i| {
                    world.odd[i] = false;
                    world.cut[i] = false;
                });
                self.odd_clients &= !self.names_clients(path);
                Change::Other
            }
            Action::DiskStall(name)
            | Action::DiskSlow { instance: name, .. }
            | Action::DiskError { instance: name, .. }
            | Action::DiskFail(name)
            | Action::DiskFull(name)
            | Action::DiskLie(name) => self.mark_named(name, |world, i| world.odd_disk[i] = true),
            Action::DiskHeal(name) => self.mark_named(name, |world, i| world.odd_disk[i] = false),
            Action::Misdirect { instance, .. } | Action::Rot { instance, .. } => {
                self.mark_named(instance, |world, i| world.spoilt[i] = true)
            }
            Action::SlowCpu { instance, .. } => self.mark_named(instance, |world, i| world.slow[i] = true),
            Action::FastCpu(name) => self.mark_named(name, |world, i| world.slow[i] = false),
            Action::HealAll => {
                self.cut.fill(false);
                self.odd.fill(false);
                self.odd_disk.fill(false);
                self.slow.fill(false);
                self.odd_clients = false;
                Change::Other
            }
            Action::Sql { text, .. } => {
                self.statement(text);
                Change::Statement
            }
            Action::Reset(_)
            | Action::RestartLoop { .. }
            | Action::ClockRate { .. }
            | Action::Inject { .. } => Change::Other,
        };
        self.changed(at, change)
    }

    fn cut(&mut self, path: &Path) -> Change {
        self.set(path, |world, i| world.cut[i] = true);
        self.odd_clients |= self.names_clients(path);
        match (path.both, self.find(&path.from), self.find(&path.to)) {
            (true, Some(a), Some(b)) => Change::Loss(a, Some(b)),
            _ => Change::Other,
        }
    }

    fn names_clients(&self, path: &Path) -> bool {
        self.find(&path.from).is_none() || self.find(&path.to).is_none()
    }

    fn set(&mut self, path: &Path, f: impl Fn(&mut World, usize)) {
        if let (Some(from), Some(to)) = (self.find(&path.from), self.find(&path.to)) {
            f(self, self.pair(from, to));
            if path.both {
                f(self, self.pair(to, from));
            }
        }
    }

    /// Notes what all statements of the plan may change, before any of them is given.
    pub(super) fn foresee(&mut self, plan: &Scenario) {
        for step in &plan.timeline {
            if let Action::Sql { text, .. } = &step.action {
                self.statement(text);
            }
        }
    }

    /// Notes what a statement may change that records do not tell in time: a period binds an instance before its record
    /// is durable.
    fn statement(&mut self, text: &str) {
        match control::parse(text) {
            Ok(Statement::SetPartner { option, .. }) => match option {
                // What is refused changes nothing. [C-66]
                PartnerOption::Timeout(value) => {
                    if let Ok(seconds) = value.seconds() {
                        // Values below five seconds are raised to five. [FL-9]
                        self.period(Time::secs(seconds.max(5).into()));
                    }
                }
                // Ten seconds are in force while SAFETY is OFF. [OQ-34]
                PartnerOption::Safety(_) => self.period(Time::secs(10)),
                PartnerOption::Failover
                | PartnerOption::ForceServiceAllowDataLoss
                | PartnerOption::Resume
                | PartnerOption::Suspend => {}
                PartnerOption::Off | PartnerOption::Address(_) => self.tried.foreign = true,
            },
            Ok(Statement::SetWitness { .. }) => {}
            Ok(Statement::Recover { .. }) | Err(_) => self.tried.foreign = true,
        }
    }

    fn period(&mut self, t: Time) {
        self.timeout = (self.timeout.0.min(t), self.timeout.1.max(t));
        self.set_bounds();
    }
}
