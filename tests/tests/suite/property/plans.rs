//! A strategy over plans of faults. A plan is data here as well: a list of faults, each with a target, a start (a time or
//! a moment of the run), and a length. So proptest can make any of it smaller; a scenario is made of it at the end.

use dbm_sim::fault::{Action, Path};
use dbm_sim::scenario::{FORMAT, InstanceDecl, SafetyDecl, Scenario, SessionDecl, Step, Trigger, Workload};
use dbm_sim::time::Time;
use proptest::prelude::*;

/// Times and lengths count in this.
const TICK: Time = Time::millis(100);
/// Faults of a plan at most.
pub const FAULTS_MAX: usize = 8;
/// Latest start of a fault, in ticks.
const START_MAX: u64 = 200;
/// Longest fault, in ticks. Longer than it takes to declare an instance lost. [OQ-3]
const LENGTH_MAX: u64 = 180;
/// From the end of the last fault to the end of the run: enough for everything to come back.
const CALM: Time = Time::secs(30);

/// The instances, in the order in which targets shrink towards the first.
const NAMES: [&str; 3] = ["A", "B", "W"];

/// A plan before it is a scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of latencies, clocks and workload.
    pub seed: u64,
    /// Is there a witness?
    pub witness: bool,
    /// Clients.
    pub clients: u16,
    /// What is done.
    pub faults: Vec<Fault>,
}

/// One fault and its repair.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: Kind,
    /// The instance it hits; for a path, the sending side.
    target: usize,
    /// The other end of a path, counted from the target.
    other: usize,
    both: bool,
    start: Start,
    length: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Crash,
    Cut,
    Pause,
    Reset,
    Host,
    Stall,
    Refuse,
    Slow,
    Corrupt,
    DiskStall,
    DiskSlow,
    SlowCpu,
    ClockRate,
    Failover,
}

/// The plainest first: proptest shrinks towards it.
const KINDS: [Kind; 14] = [
    Kind::Crash,
    Kind::Cut,
    Kind::Pause,
    Kind::Reset,
    Kind::Host,
    Kind::Stall,
    Kind::Refuse,
    Kind::Slow,
    Kind::Corrupt,
    Kind::DiskStall,
    Kind::DiskSlow,
    Kind::SlowCpu,
    Kind::ClockRate,
    Kind::Failover,
];

#[derive(Clone, Debug)]
enum Start {
    At(u64),
    On { moment: usize, nth: u32 },
}

/// Moments at which something may happen that time alone would hardly meet.
fn moments() -> Vec<Trigger> {
    let reached =
        |instance: &str, step: &str| Trigger::Reached { instance: instance.into(), step: step.into() };
    let sent = |frame: &str, from: &str, to: &str| Trigger::Sent {
        frame: frame.into(),
        from: from.into(),
        to: to.into(),
    };
    let issued =
        |instance: &str, file: &str| Trigger::DiskIssued { instance: instance.into(), file: file.into() };
    vec![
        reached("A", "synchronized"),
        reached("B", "armed"),
        reached("B", "claim.durable"),
        reached("B", "takeover"),
        reached("B", "principal.ready"),
        reached("A", "lease.lost"),
        sent("synced", "A", "B"),
        sent("log_block", "A", "B"),
        sent("log_ack", "B", "A"),
        sent("page_reply", "B", "A"),
        issued("A", "record"),
        issued("B", "record"),
        issued("A", "data"),
        issued("B", "log"),
        Trigger::Serving { instance: "B".into() },
        Trigger::Started { instance: "A".into() },
    ]
}

/// Plans whose every fault is lifted in time: safe at all times, and alive at the end.
pub fn plans() -> impl Strategy<Value = Plan> {
    let start = prop_oneof![
        3 => (10..START_MAX).prop_map(Start::At),
        1 => (0..moments().len(), 1..4_u32).prop_map(|(moment, nth)| Start::On { moment, nth }),
    ];
    let kind = prop::sample::select(KINDS.to_vec());
    let fault = (kind, 0..NAMES.len(), 1..NAMES.len(), any::<bool>(), start, 1..LENGTH_MAX);
    let fault = fault.prop_map(|(kind, target, other, both, start, length)| Fault {
        kind,
        target,
        other,
        both,
        start,
        length,
    });
    let faults = prop::collection::vec(fault, 0..=FAULTS_MAX);
    (0..1_000_000_u64, prop::bool::weighted(0.8), 1..5_u16, faults)
        .prop_map(|(seed, witness, clients, faults)| Plan { seed, witness, clients, faults })
}

impl Plan {
    /// The plan as a scenario that can be run.
    pub fn scenario(&self) -> Scenario {
        let names = &NAMES[..if self.witness { 3 } else { 2 }];
        let mut steps: Vec<(Time, Step)> = Vec::new();
        let mut end = Time(0);
        for fault in &self.faults {
            let (hurt, repair) = fault.actions(names);
            let start = match fault.start {
                Start::At(ticks) => Time(ticks * TICK.0),
                Start::On { .. } => Time(0),
            };
            let length = Time(fault.length * TICK.0);
            // A moment may come late, so there is room for it.
            let latest = if start == Time(0) { Time(START_MAX * TICK.0) } else { start };
            end = end.max(latest + length);
            steps.push((start, fault.step(start, None, hurt)));
            steps.extend(repair.map(|repair| {
                // A repair that waits for a moment does not order the file.
                let place = if start == Time(0) { start } else { start + length };
                (place, fault.step(start + length, Some(length), repair))
            }));
        }
        steps.push((end, at(end, Action::HealAll)));
        steps.sort_by_key(|(place, _)| *place);
        Scenario {
            seed: Some(self.seed),
            workload: Some(Workload { clients: self.clients, ..Workload::default() }),
            timeline: steps.into_iter().map(|(_, step)| step).collect(),
            ..bare(names, end + CALM)
        }
    }
}

impl Fault {
    /// A step of this fault: at a time, or at its moment and so long after it.
    fn step(&self, time: Time, delay: Option<Time>, action: Action) -> Step {
        match self.start {
            Start::At(_) => at(time, action),
            Start::On { moment, nth } => Step {
                at: None,
                on: moments().into_iter().nth(moment),
                nth: (nth > 1).then_some(nth),
                delay,
                until: Some(Time(START_MAX * TICK.0)),
                ..at(time, action)
            },
        }
    }

    fn actions(&self, names: &[&str]) -> (Action, Option<Action>) {
        let place = self.target % names.len();
        let name = || names[place].to_owned();
        let path = || {
            let other = (place + 1 + (self.other - 1) % (names.len() - 1)) % names.len();
            Path { from: name(), to: names[other].to_owned(), both: self.both }
        };
        let by = Time(self.length * 10_000);
        match self.kind {
            Kind::Crash => (Action::Crash(name()), Some(Action::Restart(name()))),
            Kind::Host => (Action::HostDown(name()), Some(Action::HostUp(name()))),
            Kind::Pause => (Action::Pause(name()), Some(Action::Unpause(name()))),
            Kind::Cut => (Action::Cut(path()), Some(Action::Heal(path()))),
            Kind::Stall => (Action::Stall(path()), Some(Action::Heal(path()))),
            Kind::Refuse => (Action::Refuse(path()), Some(Action::Heal(path()))),
            Kind::Reset => (Action::Reset(path()), None),
            Kind::Slow => {
                (Action::Slow { path: path(), by, jitter: Time(by.0 / 2) }, Some(Action::Heal(path())))
            }
            Kind::Corrupt => (Action::Corrupt { path: path(), one_in: 20 }, Some(Action::Heal(path()))),
            Kind::DiskStall => (Action::DiskStall(name()), Some(Action::DiskHeal(name()))),
            Kind::DiskSlow => (Action::DiskSlow { instance: name(), by }, Some(Action::DiskHeal(name()))),
            Kind::SlowCpu => {
                (Action::SlowCpu { instance: name(), by: Time(by.0 / 100) }, Some(Action::FastCpu(name())))
            }
            Kind::ClockRate => {
                let rate = |ppm| Action::ClockRate { host: name(), ppm };
                (rate(if self.both { 1_000 } else { -1_000 }), Some(rate(0)))
            }
            Kind::Failover => {
                // A witness answers with an error.
                let text = "ALTER DATABASE sales SET PARTNER FAILOVER".to_owned();
                (Action::Sql { on: name(), text, error: Some(-1) }, None)
            }
        }
    }
}

fn at(time: Time, action: Action) -> Step {
    Step {
        at: Some(time),
        between: None,
        on: None,
        nth: None,
        after_step: None,
        delay: None,
        until: None,
        action,
    }
}

fn bare(names: &[&str], duration: Time) -> Scenario {
    Scenario {
        dbmsim: FORMAT,
        name: "property".into(),
        note: String::new(),
        rules: Vec::new(),
        seed: None,
        duration,
        instances: names.iter().map(|name| InstanceDecl { name: (*name).into(), host: None }).collect(),
        session: SessionDecl {
            database: "sales".into(),
            principal: "A".into(),
            mirror: "B".into(),
            witness: names.get(2).map(|name| (*name).into()),
            safety: SafetyDecl::Full,
            timeout_s: 10,
            prepared: true,
        },
        network: Default::default(),
        disk: Default::default(),
        clocks: Default::default(),
        clock_rate_ppm_max: 200,
        workload: None,
        timeline: Vec::new(),
        chaos: None,
        swarm: None,
        expect: Vec::new(),
    }
}
