//! Random faults as steps. Faults come in clusters, so that they overlap; each is paired with its repair; everything is
//! lifted at the end.
//!
//! The first cluster tends to take the principal away while mirror and witness are together, because everything that
//! is interesting later needs a failover to have happened. A principal that is not dead but cut off has to stay so for
//! longer than T + i before anybody may take over [OQ-3].

use super::draw::Draw;
use super::owner::Owner;
use crate::fault::{Action, Path};
use crate::names::CLIENTS;
use crate::scenario::{Chaos, FaultClass, Scenario, Step};
use crate::time::Time;
use crate::validate;
use std::collections::BTreeMap;

/// The classes that chaos draws from.
pub const CLASSES: [FaultClass; 10] = [
    FaultClass::Crash,
    FaultClass::Host,
    FaultClass::Pause,
    FaultClass::Cut,
    FaultClass::OneWay,
    FaultClass::Reset,
    FaultClass::Stall,
    FaultClass::Refuse,
    FaultClass::Disk,
    FaultClass::Clock,
];

/// The steps of `chaos` for `seed`, in the order of their times, ending with the repair of everything.
pub fn steps(scenario: &Scenario, chaos: &Chaos, seed: u64) -> Vec<Step> {
    let session = &scenario.session;
    let mut members = vec![session.principal.clone(), session.mirror.clone()];
    members.extend(session.witness.clone());
    if chaos.statements.is_some() {
        // A spare witness is hit as well.
        let spare = scenario.instances.iter().map(|i| &i.name).filter(|name| !members.contains(*name));
        members.extend(spare.cloned().collect::<Vec<_>>());
    }
    let mut owner = chaos.statements.map(|statements| Owner::new(scenario, chaos, statements, seed));
    let classes = if chaos.classes.is_empty() { CLASSES.to_vec() } else { chaos.classes.clone() };
    let draw = Draw::named(seed, "plan");
    let mut g = Generator::new(scenario, chaos.from, chaos.until, members, classes, draw);
    let mut now = Time(chaos.from.0 + g.draw.between(0, chaos.every.0));
    let mut first = true;
    let principal = session.principal.clone();
    while now < chaos.until {
        if let Some(owner) = &mut owner {
            owner.moves_until(now, &mut g);
        }
        let alone = first && g.draw.chance(4, 5);
        let taken = if alone { g.take(now, &principal) } else { None };
        let faults = taken.unwrap_or_else(|| g.cluster(now));
        first = false;
        let mut gap = Time(g.draw.between(1, 2 * faults * chaos.every.0));
        if alone && g.draw.chance(2, 3) {
            // Whatever comes before the loss is declared may well prevent the failover.
            gap = gap.max(g.detection() + Time::secs(3));
        }
        now = now + gap;
    }
    if let Some(owner) = &mut owner {
        owner.moves_until(chaos.until, &mut g);
    }
    g.steps.push((chaos.until, Action::HealAll));
    if let Some(owner) = owner {
        owner.bring_back(&mut g);
    }
    g.steps.sort_by_key(|(at, _)| *at);
    g.steps.into_iter().map(|(at, action)| step(at, action)).collect()
}

fn step(at: Time, action: Action) -> Step {
    Step {
        at: Some(at),
        between: None,
        on: None,
        nth: None,
        after_step: None,
        delay: None,
        until: None,
        action,
    }
}

/// What a fault occupies: overlays of one kind on one target do not add up, so a second one would only shorten the
/// first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Process(String),
    Pause(String),
    Path(String, String),
    Disk(String),
    Cpu(String),
    ClockRate(String),
    WallClock(String),
}

/// Makes faults of the classes it was given, each with its repair.
pub(super) struct Generator<'a> {
    scenario: &'a Scenario,
    /// No fault before this.
    from: Time,
    /// All are lifted by then.
    until: Time,
    /// First principal, first mirror, the witness if there is one, spare instances if the owner may use them.
    pub(super) members: Vec<String>,
    pub(super) classes: Vec<FaultClass>,
    pub(super) draw: Draw,
    /// The longest time-out period that may be in force, in seconds; bounds the rates of clocks. [OQ-8]
    pub(super) longest_timeout_s: u16,
    busy: BTreeMap<Target, Time>,
    pub(super) steps: Vec<(Time, Action)>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        from: Time,
        until: Time,
        members: Vec<String>,
        classes: Vec<FaultClass>,
        draw: Draw,
    ) -> Self {
        let longest_timeout_s = scenario.session.timeout_s;
        let (busy, steps) = (BTreeMap::new(), Vec::new());
        Generator { scenario, from, until, members, classes, draw, longest_timeout_s, busy, steps }
    }

    pub(super) fn has(&self, class: FaultClass) -> bool {
        self.classes.contains(&class)
    }

    /// When all faults are lifted.
    pub(super) fn until(&self) -> Time {
        self.until
    }

    pub(super) fn host_of(&self, instance: &str) -> Option<String> {
        let index = self.scenario.instances.iter().position(|i| i.name == instance)?;
        Some(validate::hosts(self.scenario)[index].to_owned())
    }

    /// The rate of a host's clock without a fault.
    pub(super) fn usual_rate(&self, host: &str) -> i32 {
        self.scenario.clocks.get(host).map_or(0, |c| c.rate_ppm)
    }

    /// How long it takes to declare a silent instance lost, T + i.
    pub(super) fn detection(&self) -> Time {
        Time::secs(u64::from(self.scenario.session.timeout_s) + 1)
    }

    /// A little longer than it takes to declare an instance lost, or much longer.
    pub(super) fn beyond_detection(&mut self) -> Time {
        self.detection() + Time(self.draw.between(500_000, 8_000_000))
    }

    /// A duration from `low` to `high` milliseconds; half of all are in the lowest quarter.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Time {
        let top = if self.draw.chance(1, 2) { low + (high - low) / 4 } else { high };
        Time(self.draw.between(low * 1000, top * 1000))
    }

    /// Claims `targets` from `start` on; cut short by the end of chaos. `None` when one is taken.
    pub(super) fn claim(&mut self, targets: &[Target], start: Time, length: Time) -> Option<Time> {
        if start >= self.until {
            return None;
        }
        if targets.iter().any(|t| self.busy.get(t).is_some_and(|until| *until > start)) {
            return None;
        }
        let end = (start + length).min(self.until);
        for target in targets {
            self.busy.insert(target.clone(), end);
        }
        Some(end)
    }

    pub(super) fn pair(&mut self, start: Time, fault: Action, end: Time, repair: Action) {
        self.steps.push((start, fault));
        self.steps.push((end, repair));
    }

    /// Takes an instance away in one of several ways; returns the number of faults, `None` if no class can.
    pub(super) fn take(&mut self, now: Time, instance: &str) -> Option<u64> {
        let mut ways = Vec::new();
        for (class, weight) in [
            (FaultClass::Crash, 4),
            (FaultClass::Host, 1),
            (FaultClass::Pause, 1),
            (FaultClass::Cut, 2),
            (FaultClass::Stall, 1),
            (FaultClass::OneWay, 1),
        ] {
            if self.has(class) {
                ways.extend(std::iter::repeat_n(class, weight));
            }
        }
        let way = self.draw.pick(&ways).copied()?;
        Some(match way {
            FaultClass::Crash => {
                let slow = self.has(FaultClass::Disk) && self.draw.chance(1, 2);
                if slow {
                    self.slow_disk_around(now, instance);
                }
                let length = self.millis(3_000, 15_000);
                let start = now + Time::secs(u64::from(slow));
                self.crash(start, instance, length);
                1 + u64::from(slow)
            }
            FaultClass::Host => {
                let length = self.beyond_detection();
                self.host(now, instance, length);
                1
            }
            FaultClass::Pause => {
                let length = self.beyond_detection();
                self.pause(now, instance, length);
                1
            }
            FaultClass::Cut
            | FaultClass::Stall
            | FaultClass::OneWay
            | FaultClass::Reset
            | FaultClass::Refuse
            | FaultClass::Disk
            | FaultClass::Clock
            | FaultClass::Slow
            | FaultClass::Corrupt
            | FaultClass::SlowCpu
            | FaultClass::RestartLoop
            | FaultClass::DiskError
            | FaultClass::DiskFail
            | FaultClass::DiskFull
            | FaultClass::Rot
            | FaultClass::Outside => {
                let length = self.beyond_detection();
                self.isolate(now, instance, length, way)
            }
        })
    }

    /// Separates one instance from all others, link by link within half a second.
    pub(super) fn isolate(&mut self, now: Time, instance: &str, length: Time, way: FaultClass) -> u64 {
        let others: Vec<String> = self.members.iter().filter(|m| *m != instance).cloned().collect();
        let outwards = self.draw.chance(1, 2);
        let count = others.len() as u64;
        for other in others {
            let start = now + Time(self.draw.between(0, 500_000));
            let (from, to) =
                if outwards { (instance.to_owned(), other) } else { (other, instance.to_owned()) };
            self.on_path(start, way, from, to, length);
        }
        count
    }

    /// One to four faults that begin within three seconds; returns their number.
    fn cluster(&mut self, now: Time) -> u64 {
        if self.has(FaultClass::Cut) && self.draw.chance(1, 6) {
            let members = self.members.clone();
            if let Some(instance) = self.draw.pick(&members) {
                let length =
                    if self.draw.chance(2, 3) { self.beyond_detection() } else { self.millis(200, 9_000) };
                return self.isolate(now, instance, length, FaultClass::Cut);
            }
        }
        let faults = self.draw.between(1, 4);
        for _ in 0..faults {
            let start = now + Time(self.draw.between(0, 3_000_000));
            let classes = self.classes.clone();
            if let Some(class) = self.draw.pick(&classes) {
                self.fault(start, *class);
            }
        }
        faults
    }

    pub(super) fn fault(&mut self, start: Time, class: FaultClass) {
        let members = self.members.clone();
        let Some(instance) = self.draw.pick(&members) else { return };
        match class {
            FaultClass::Crash => {
                let length =
                    if self.draw.chance(1, 3) { self.millis(20, 2_000) } else { self.millis(2_000, 15_000) };
                if self.has(FaultClass::Disk) && self.draw.chance(1, 3) {
                    self.slow_disk_around(Time(start.0.saturating_sub(1_000_000)).max(self.from), instance);
                }
                self.crash(start, instance, length);
            }
            FaultClass::Host => {
                let length = self.millis(1_000, 20_000);
                self.host(start, instance, length);
            }
            FaultClass::Pause => {
                let length = self.millis(1_000, 30_000);
                self.pause(start, instance, length);
            }
            FaultClass::Cut
            | FaultClass::OneWay
            | FaultClass::Reset
            | FaultClass::Stall
            | FaultClass::Refuse => {
                let mut others: Vec<String> = members.iter().filter(|m| *m != instance).cloned().collect();
                if class == FaultClass::Cut {
                    others.push(CLIENTS.to_owned());
                }
                let Some(other) = self.draw.pick(&others) else { return };
                let long = self.draw.chance(1, 3);
                let length = if long { self.beyond_detection() } else { self.millis(100, 10_000) };
                self.on_path(start, class, instance.clone(), other.clone(), length);
            }
            FaultClass::Disk => self.disk(start, instance),
            FaultClass::Clock => self.clock(start, instance),
            FaultClass::Slow
            | FaultClass::Corrupt
            | FaultClass::SlowCpu
            | FaultClass::RestartLoop
            | FaultClass::DiskError
            | FaultClass::DiskFail
            | FaultClass::DiskFull
            | FaultClass::Rot
            | FaultClass::Outside => {
                unreachable!(
                    "chaos is validated to draw from its own classes, and a swarm makes these itself"
                )
            }
        }
    }

    pub(super) fn crash(&mut self, start: Time, instance: &str, length: Time) {
        if let Some(end) = self.claim(&[Target::Process(instance.into())], start, length) {
            self.pair(start, Action::Crash(instance.into()), end, Action::Restart(instance.into()));
        }
    }

    pub(super) fn host(&mut self, start: Time, instance: &str, length: Time) {
        let scenario = self.scenario;
        let hosts = validate::hosts(scenario);
        let Some(host) = scenario.instances.iter().position(|i| i.name == instance).map(|i| hosts[i]) else {
            return;
        };
        let targets: Vec<Target> = scenario
            .instances
            .iter()
            .zip(&hosts)
            .filter(|(_, h)| **h == host)
            .map(|(i, _)| Target::Process(i.name.clone()))
            .collect();
        if let Some(end) = self.claim(&targets, start, length) {
            self.pair(start, Action::HostDown(host.into()), end, Action::HostUp(host.into()));
        }
    }

    pub(super) fn pause(&mut self, start: Time, instance: &str, length: Time) {
        if let Some(end) = self.claim(&[Target::Pause(instance.into())], start, length) {
            self.pair(start, Action::Pause(instance.into()), end, Action::Unpause(instance.into()));
        }
    }

    pub(super) fn on_path(&mut self, start: Time, class: FaultClass, from: String, to: String, length: Time) {
        let both =
            if class == FaultClass::Stall { self.draw.chance(1, 2) } else { class != FaultClass::OneWay };
        let path = Path { from, to, both };
        if class == FaultClass::Reset {
            if start < self.until {
                self.steps.push((start, Action::Reset(path)));
            }
            return;
        }
        // A repair lifts everything from its path, so both directions belong to one fault at a time.
        let there = Target::Path(path.from.clone(), path.to.clone());
        let back = Target::Path(path.to.clone(), path.from.clone());
        let Some(end) = self.claim(&[there, back], start, length) else { return };
        let fault = if class == FaultClass::Stall {
            if self.draw.chance(1, 2) {
                let by = self.millis(5, 2_000);
                Action::Slow { path: path.clone(), by, jitter: Time(0) }
            } else {
                Action::Stall(path.clone())
            }
        } else if class == FaultClass::Refuse {
            self.steps.push((start, Action::Refuse(path.clone())));
            Action::Reset(path.clone())
        } else {
            Action::Cut(path.clone())
        };
        self.pair(start, fault, end, Action::Heal(path));
    }

    /// A disk so slow that a crash one second later finds writes under way.
    fn slow_disk_around(&mut self, start: Time, instance: &str) {
        if let Some(end) = self.claim(&[Target::Disk(instance.into())], start, Time::secs(3)) {
            let by = self.millis(20, 400);
            let slow = Action::DiskSlow { instance: instance.into(), by };
            self.pair(start, slow, end, Action::DiskHeal(instance.into()));
        }
    }

    pub(super) fn disk(&mut self, start: Time, instance: &str) {
        let length = self.millis(100, 20_000);
        let fault = if self.draw.chance(1, 2) {
            Action::DiskStall(instance.into())
        } else {
            let by = self.millis(5, 1_000);
            Action::DiskSlow { instance: instance.into(), by }
        };
        if let Some(end) = self.claim(&[Target::Disk(instance.into())], start, length) {
            self.pair(start, fault, end, Action::DiskHeal(instance.into()));
        }
    }

    pub(super) fn clock(&mut self, start: Time, instance: &str) {
        let Some(host) = self.host_of(instance) else { return };
        let length = self.millis(1_000, 20_000);
        match self.draw.between(0, 2) {
            0 => {
                let most = u64::from(validate::clock_rate_bound_ppm(self.longest_timeout_s) / 2);
                let ppm = self.draw.between(0, 2 * most) as i32 - most as i32;
                let usual = self.usual_rate(&host);
                if let Some(end) = self.claim(&[Target::ClockRate(host.clone())], start, length) {
                    let fault = Action::ClockRate { host: host.clone(), ppm };
                    self.pair(start, fault, end, Action::ClockRate { host, ppm: usual });
                }
            }
            1 => {
                let ms = self.draw.between(0, 7_200_000) as i64 - 3_600_000;
                if let Some(end) = self.claim(&[Target::WallClock(host.clone())], start, length) {
                    let fault = Action::ClockStep { host: host.clone(), ms };
                    self.pair(start, fault, end, Action::ClockStep { host, ms: -ms });
                }
            }
            _ => {
                if let Some(end) = self.claim(&[Target::WallClock(host.clone())], start, length) {
                    let fault = Action::ClockFreeze { host: host.clone(), frozen: true };
                    self.pair(start, fault, end, Action::ClockFreeze { host, frozen: false });
                }
            }
        }
    }
}
