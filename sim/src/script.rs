//! A plan's timeline with every name resolved, so that a run compares numbers.

use crate::fault::{Action, Path};
use crate::network::path::Endpoint;
use crate::node::Roster;
use crate::rng::Stream;
use crate::scenario::{RoleName, Scenario, StateName, Step, Trigger};
use dbm_core::io::FileKind;
use dbm_core::types::{MirroringState, Role};

/// Why a plan cannot be run. (A parsed and checked scenario never fails here.)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A name that no instance has.
    #[error("no instance is called `{0}`")]
    UnknownInstance(String),
    /// A name that no host has.
    #[error("no host is called `{0}`")]
    UnknownHost(String),
    /// A file name that is none.
    #[error("`{0}` is not a file: record, boot, log, data or double_write")]
    UnknownFile(String),
    /// A step without exactly one of `at`, `between` and `on`.
    #[error("step {0} needs exactly one of `at`, `between` and `on`")]
    NoTime(usize),
    /// `after_step` names no other step.
    #[error("step {0} waits for a step that is not there")]
    UnknownStep(usize),
    /// More instances or clients than the world has numbers for.
    #[error("too many instances or clients")]
    TooLarge,
}

/// A path between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The sending side.
    pub from: Endpoint,
    /// The receiving side.
    pub to: Endpoint,
    /// Both directions.
    pub both: bool,
}

impl Route {
    /// The directions it means.
    pub fn directions(self) -> impl Iterator<Item = (Endpoint, Endpoint)> {
        [Some((self.from, self.to)), self.both.then_some((self.to, self.from))].into_iter().flatten()
    }
}

/// How a process dies again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Deaths to come.
    pub times: u32,
    /// Microseconds from a start to the next death.
    pub up: u64,
    /// Microseconds from a death to the next start.
    pub down: u64,
}

/// An [`Action`] with its names resolved; instances and hosts by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The process of an instance dies.
    Crash(u8),
    /// It starts again.
    Restart(u8),
    /// A host loses power.
    HostDown(u8),
    /// It has power again.
    HostUp(u8),
    /// The process of an instance stops doing anything.
    Pause(u8),
    /// It goes on.
    Unpause(u8),
    /// Silent loss.
    Cut(Route),
    /// Held back.
    Stall(Route),
    /// Added latency in microseconds, and up to so much more.
    Slow {
        /// The path.
        route: Route,
        /// Always.
        by: u64,
        /// At most besides.
        jitter: u64,
    },
    /// So many bytes pass in a second.
    Throttle(Route, u64),
    /// One frame in so many is changed.
    Corrupt(Route, u32),
    /// A dial takes so many microseconds longer.
    SlowStart(Route, u64),
    /// Dials are reset.
    Refuse(Route),
    /// Open links break.
    Reset(Route),
    /// The path is lifted of every fault.
    Heal(Route),
    /// No disk operation completes.
    DiskStall(u8),
    /// Disk operations take so many microseconds longer.
    DiskSlow(u8, u64),
    /// So many disk operations fail.
    DiskError(u8, u32),
    /// Disk operations fail.
    DiskFail(u8),
    /// No file grows.
    DiskFull(u8),
    /// What is reported as durable is not.
    DiskLie(u8),
    /// The next write to a file goes astray.
    Misdirect(u8, FileKind),
    /// A bit of a file flips.
    Rot(u8, FileKind),
    /// The disk is as before.
    DiskHeal(u8),
    /// Every input takes so many microseconds.
    SlowCpu(u8, u64),
    /// Inputs take no time.
    FastCpu(u8),
    /// The process of an instance dies again and again.
    RestartLoop(u8, Loop),
    /// A host's monotonic clock is fast by so many parts per million.
    ClockRate(u8, i32),
    /// A host's wall clock moves by milliseconds.
    ClockStep(u8, i64),
    /// A host's wall clock stands still or goes on.
    ClockFreeze(u8, bool),
    /// Every fault is lifted.
    HealAll,
    /// The statement of the step is sent to an instance.
    Sql(u8),
    /// A stale frame of the step's kind comes again.
    Inject {
        /// The sender.
        from: u8,
        /// The receiver.
        to: u8,
    },
}

/// What sets off a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cue {
    /// A true time in microseconds.
    At(u64),
    /// Something in the run.
    On {
        /// What.
        point: Point,
        /// At which occurrence, from 1.
        nth: u32,
        /// Occurrences count only after this step.
        after: Option<usize>,
        /// So many microseconds later.
        delay: u64,
        /// Occurrences count up to this true time.
        until: Option<u64>,
    },
}

/// A [`Trigger`] with its names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// A frame of this kind is handed to the network.
    Sent {
        /// Its kind.
        frame: String,
        /// Sender.
        from: u8,
        /// Receiver.
        to: u8,
    },
    /// A frame of this kind is about to be handled.
    Delivered {
        /// Its kind.
        frame: String,
        /// Sender.
        from: u8,
        /// Receiver.
        to: u8,
    },
    /// An operation on this file is issued.
    DiskIssued(u8, FileKind),
    /// A write or flush of this file is about to be reported.
    DiskDone(u8, FileKind),
    /// The role becomes this.
    Role(u8, Role),
    /// The state becomes this.
    State(u8, MirroringState),
    /// The database opens to clients.
    Serving(u8),
    /// A named step is reported.
    Reached(u8, String),
    /// The process has started.
    Started(u8),
    /// A state-change event of this number is raised.
    Event(u8, u8),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptStep {
    /// When.
    pub cue: Cue,
    /// What.
    pub act: Act,
}

/// The steps of a timeline, by the same index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(pub Vec<ScriptStep>);

impl Script {
    /// Resolves the timeline of a plan. (Windows, which a plan no longer has, are drawn from `("window", step)`.)
    pub fn new(plan: &Scenario, seed: u64, roster: &Roster) -> Result<Self, PlanError> {
        if roster.instances() > 64 || roster.nodes() > 10_000 {
            return Err(PlanError::TooLarge);
        }
        let names = Names(roster);
        plan.timeline
            .iter()
            .enumerate()
            .map(|(index, step)| {
                if step.after_step.is_some_and(|after| after >= plan.timeline.len() || after == index) {
                    return Err(PlanError::UnknownStep(index));
                }
                Ok(ScriptStep { cue: names.cue(index, step, seed)?, act: names.act(&step.action)? })
            })
            .collect::<Result<_, _>>()
            .map(Script)
    }
}

struct Names<'a>(&'a Roster);

impl Names<'_> {
    fn instance(&self, name: &str) -> Result<u8, PlanError> {
        self.0.instance(name).ok_or_else(|| PlanError::UnknownInstance(name.into()))
    }

    fn host(&self, name: &str) -> Result<u8, PlanError> {
        self.0.host(name).ok_or_else(|| PlanError::UnknownHost(name.into()))
    }

    fn endpoint(&self, name: &str) -> Result<Endpoint, PlanError> {
        match self.0.instance(name) {
            Some(instance) => Ok(Endpoint(instance)),
            None if name == "clients" => Ok(Endpoint(self.0.instances() as u8)),
            None => Err(PlanError::UnknownInstance(name.into())),
        }
    }

    fn route(&self, path: &Path) -> Result<Route, PlanError> {
        Ok(Route { from: self.endpoint(&path.from)?, to: self.endpoint(&path.to)?, both: path.both })
    }

    fn file(&self, name: &str) -> Result<FileKind, PlanError> {
        FILE_NAMES
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(kind, _)| *kind)
            .ok_or_else(|| PlanError::UnknownFile(name.into()))
    }

    fn cue(&self, index: usize, step: &Step, seed: u64) -> Result<Cue, PlanError> {
        match (step.at, step.between, &step.on) {
            (Some(at), None, None) => Ok(Cue::At(at.0)),
            (None, Some([from, to]), None) => {
                Ok(Cue::At(Stream::new(seed, "window", &[index as u64]).range(from.0, to.0)))
            }
            (None, None, Some(trigger)) => Ok(Cue::On {
                point: self.point(trigger)?,
                nth: step.nth.unwrap_or(1).max(1),
                after: step.after_step,
                delay: step.delay.map_or(0, |delay| delay.0),
                until: step.until.map(|until| until.0),
            }),
            _ => Err(PlanError::NoTime(index)),
        }
    }

    fn point(&self, trigger: &Trigger) -> Result<Point, PlanError> {
        Ok(match trigger {
            Trigger::Sent { frame, from, to } => {
                Point::Sent { frame: frame.clone(), from: self.instance(from)?, to: self.instance(to)? }
            }
            Trigger::Delivered { frame, from, to } => {
                Point::Delivered { frame: frame.clone(), from: self.instance(from)?, to: self.instance(to)? }
            }
            Trigger::DiskIssued { instance, file } => {
                Point::DiskIssued(self.instance(instance)?, self.file(file)?)
            }
            Trigger::DiskDone { instance, file } => {
                Point::DiskDone(self.instance(instance)?, self.file(file)?)
            }
            Trigger::Role { instance, role } => Point::Role(self.instance(instance)?, role_of(*role)),
            Trigger::State { instance, state } => Point::State(self.instance(instance)?, state_of(*state)),
            Trigger::Serving { instance } => Point::Serving(self.instance(instance)?),
            Trigger::Reached { instance, step } => Point::Reached(self.instance(instance)?, step.clone()),
            Trigger::Started { instance } => Point::Started(self.instance(instance)?),
            Trigger::Event { instance, number } => Point::Event(self.instance(instance)?, *number),
        })
    }

    fn act(&self, action: &Action) -> Result<Act, PlanError> {
        Ok(match action {
            Action::Crash(name) => Act::Crash(self.instance(name)?),
            Action::Restart(name) => Act::Restart(self.instance(name)?),
            Action::HostDown(name) => Act::HostDown(self.host(name)?),
            Action::HostUp(name) => Act::HostUp(self.host(name)?),
            Action::Pause(name) => Act::Pause(self.instance(name)?),
            Action::Unpause(name) => Act::Unpause(self.instance(name)?),
            Action::Cut(path) => Act::Cut(self.route(path)?),
            Action::Stall(path) => Act::Stall(self.route(path)?),
            Action::Slow { path, by, jitter } => {
                Act::Slow { route: self.route(path)?, by: by.0, jitter: jitter.0 }
            }
            Action::Throttle { path, bytes_s } => Act::Throttle(self.route(path)?, *bytes_s),
            Action::Corrupt { path, one_in } => Act::Corrupt(self.route(path)?, *one_in),
            Action::SlowStart { path, by } => Act::SlowStart(self.route(path)?, by.0),
            Action::Refuse(path) => Act::Refuse(self.route(path)?),
            Action::Reset(path) => Act::Reset(self.route(path)?),
            Action::Heal(path) => Act::Heal(self.route(path)?),
            Action::DiskStall(name) => Act::DiskStall(self.instance(name)?),
            Action::DiskSlow { instance, by } => Act::DiskSlow(self.instance(instance)?, by.0),
            Action::DiskError { instance, count } => Act::DiskError(self.instance(instance)?, *count),
            Action::DiskFail(name) => Act::DiskFail(self.instance(name)?),
            Action::DiskFull(name) => Act::DiskFull(self.instance(name)?),
            Action::DiskLie(name) => Act::DiskLie(self.instance(name)?),
            Action::Misdirect { instance, file } => {
                Act::Misdirect(self.instance(instance)?, self.file(file)?)
            }
            Action::Rot { instance, file } => Act::Rot(self.instance(instance)?, self.file(file)?),
            Action::DiskHeal(name) => Act::DiskHeal(self.instance(name)?),
            Action::SlowCpu { instance, by } => Act::SlowCpu(self.instance(instance)?, by.0),
            Action::FastCpu(name) => Act::FastCpu(self.instance(name)?),
            Action::RestartLoop { instance, times, up, down } => {
                Act::RestartLoop(self.instance(instance)?, Loop { times: *times, up: up.0, down: down.0 })
            }
            Action::ClockRate { host, ppm } => Act::ClockRate(self.host(host)?, *ppm),
            Action::ClockStep { host, ms } => Act::ClockStep(self.host(host)?, *ms),
            Action::ClockFreeze { host, frozen } => Act::ClockFreeze(self.host(host)?, *frozen),
            Action::HealAll => Act::HealAll,
            Action::Sql { on, .. } => Act::Sql(self.instance(on)?),
            Action::Inject { from, to, .. } => {
                Act::Inject { from: self.instance(from)?, to: self.instance(to)? }
            }
        })
    }
}

const FILE_NAMES: [(FileKind, &str); 5] = [
    (FileKind::Record, "record"),
    (FileKind::Boot, "boot"),
    (FileKind::Log, "log"),
    (FileKind::Data, "data"),
    (FileKind::DoubleWrite, "double_write"),
];

/// A role, as it is written in files.
pub fn role_name(role: Role) -> RoleName {
    match role {
        Role::Principal => RoleName::Principal,
        Role::Mirror => RoleName::Mirror,
    }
}

/// A mirroring state, as it is written in files.
pub fn state_name(state: MirroringState) -> StateName {
    match state {
        MirroringState::Suspended => StateName::Suspended,
        MirroringState::Disconnected => StateName::Disconnected,
        MirroringState::Synchronizing => StateName::Synchronizing,
        MirroringState::PendingFailover => StateName::PendingFailover,
        MirroringState::Synchronized => StateName::Synchronized,
    }
}

/// The name of a file, in scenarios and traces.
pub fn file_name(kind: FileKind) -> &'static str {
    FILE_NAMES.iter().find(|(k, _)| *k == kind).map_or("?", |(_, name)| name)
}

fn role_of(name: RoleName) -> Role {
    match name {
        RoleName::Principal => Role::Principal,
        RoleName::Mirror => Role::Mirror,
    }
}

fn state_of(name: StateName) -> MirroringState {
    match name {
        StateName::Suspended => MirroringState::Suspended,
        StateName::Disconnected => MirroringState::Disconnected,
        StateName::Synchronizing => MirroringState::Synchronizing,
        StateName::PendingFailover => MirroringState::PendingFailover,
        StateName::Synchronized => MirroringState::Synchronized,
    }
}
