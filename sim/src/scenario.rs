//! The scenario file: what an engineer writes, and what a plan is. Data only; see `docs/scenarios.md`.

use crate::fault::Action;
use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the file format this build reads and writes.
pub const FORMAT: u32 = 1;

/// One scenario. With `seed` present and nothing random left in it, it is a *plan*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Format version, 1.
    pub dbmsim: u32,
    /// Short name.
    pub name: String,
    /// What it shows and why it matters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Ids of the rules it cites, such as "QT-A7".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// The seed of a plan. Latencies and workload are drawn from streams derived from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Length of the run in virtual time.
    pub duration: Time,
    /// The instances. The first two are the partners unless `session` says otherwise.
    pub instances: Vec<InstanceDecl>,
    /// The mirroring session.
    pub session: SessionDecl,
    /// Links between hosts.
    #[serde(default)]
    pub network: NetworkProfile,
    /// Disks.
    #[serde(default)]
    pub disk: DiskProfile,
    /// Clocks, by host; hosts not named draw a rate within `clock_rate_ppm_max`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clocks: BTreeMap<String, ClockProfile>,
    /// Bound for randomly drawn clock rates, in parts per million.
    #[serde(default = "default_ppm")]
    pub clock_rate_ppm_max: u32,
    /// The clients; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// What is done to the world, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Step>,
    /// Random faults mixed in; a plan has none (they have become steps).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<Chaos>,
    /// Everything drawn: session, topology, load and faults; a plan has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Swarm>,
    /// What must be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

fn default_ppm() -> u32 {
    200
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceDecl {
    /// Its name in this file.
    pub name: String,
    /// Its host; absent: one of its own, named like the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Transaction safety in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SafetyDecl {
    /// SAFETY FULL.
    #[serde(rename = "FULL")]
    Full,
    /// SAFETY OFF.
    #[serde(rename = "OFF")]
    Off,
}

/// The session the run starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionDecl {
    /// The database's name.
    #[serde(default = "default_database")]
    pub database: String,
    /// First principal.
    pub principal: String,
    /// First mirror.
    pub mirror: String,
    /// The witness, if one is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// Transaction safety.
    #[serde(default = "default_safety")]
    pub safety: SafetyDecl,
    /// Time-out period in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_s: u16,
    /// The session exists already when the run starts, both copies equal. Only `true` is supported.
    #[serde(default = "default_true")]
    pub prepared: bool,
}

fn default_database() -> String {
    "sales".into()
}
fn default_safety() -> SafetyDecl {
    SafetyDecl::Full
}
fn default_timeout() -> u16 {
    10
}
fn default_true() -> bool {
    true
}

/// A range of durations; each value is drawn, skewed towards the small end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Smallest.
    pub min: Time,
    /// Largest.
    pub max: Time,
}

/// Links between hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkProfile {
    /// One-way latency of a frame.
    pub latency: Spread,
    /// Bytes per second in each direction of a pair of hosts.
    pub bandwidth_bytes_s: u64,
}

impl Default for NetworkProfile {
    fn default() -> Self {
        NetworkProfile {
            latency: Spread { min: Time(200), max: Time::millis(3) },
            bandwidth_bytes_s: 125_000_000,
        }
    }
}

/// Disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiskProfile {
    /// A write into the cache.
    pub write: Spread,
    /// A write-through or a flush.
    pub flush: Spread,
    /// A read of a whole file at start.
    pub read: Spread,
}

impl Default for DiskProfile {
    fn default() -> Self {
        DiskProfile {
            write: Spread { min: Time(10), max: Time(100) },
            flush: Spread { min: Time(200), max: Time::millis(4) },
            read: Spread { min: Time::millis(1), max: Time::millis(20) },
        }
    }
}

/// One host's clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClockProfile {
    /// Rate error of the monotonic clock, parts per million.
    pub rate_ppm: i32,
    /// Offset of the wall clock, milliseconds.
    pub offset_ms: i64,
}

/// The clients' load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// Number of clients.
    pub clients: u16,
    /// Transactions per second, all clients together.
    pub commits_per_s: u32,
    /// Accounts between which money is moved; their sum never changes.
    pub accounts: u32,
    /// Lists that are appended to at the same time.
    pub lists: u32,
    /// Percent of transactions that are interactive (several calls) instead of one batch.
    pub interactive_percent: u8,
    /// Percent of transactions that only read.
    pub read_only_percent: u8,
    /// Percent of interactive transactions that the client rolls back.
    pub rollback_percent: u8,
    /// How long a client waits for an answer before it gives the connection up; the outcome is then unknown.
    pub call_timeout: Time,
    /// When the clients start.
    pub start: Time,
    /// When they stop beginning new transactions; absent: at the end of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Time>,
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            clients: 4,
            commits_per_s: 20,
            accounts: 16,
            lists: 4,
            interactive_percent: 30,
            read_only_percent: 20,
            rollback_percent: 5,
            call_timeout: Time::secs(10),
            start: Time::millis(100),
            stop: None,
        }
    }
}

/// One step of the timeline: exactly one of `at`, `between`, `on`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// At this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// At a random time in this window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<[Time; 2]>,
    /// When this happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Trigger>,
    /// With `on`: at which occurrence, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u32>,
    /// With `on`: count only occurrences after the step of this index (from 0) of the timeline has happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_step: Option<usize>,
    /// With `on`: so much later. Absent or zero: at that very moment, in the middle of a list of effects if need be;
    /// a crash then loses the rest of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Time>,
    /// With `on`: occurrences after this time do not count, and the step need not happen at all. Absent: it must happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What is done.
    #[serde(rename = "do")]
    pub action: Action,
}

/// Something that happens inside the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trigger {
    /// The instance hands a frame of this kind to the network, before it can be delivered.
    Sent {
        /// Kind, as in traces: "log_block", "claim", …
        frame: String,
        /// Sender.
        from: String,
        /// Receiver.
        to: String,
    },
    /// A frame of this kind is about to be handled by its receiver (with a crash of the receiver and no delay: it is not).
    Delivered {
        /// Kind.
        frame: String,
        /// Sender.
        from: String,
        /// Receiver.
        to: String,
    },
    /// The instance issues a disk operation.
    DiskIssued {
        /// The instance.
        instance: String,
        /// "record", "boot", "log", "data", "double_write".
        file: String,
    },
    /// A disk write or flush of the instance has completed and is about to be reported.
    DiskDone {
        /// The instance.
        instance: String,
        /// The file.
        file: String,
    },
    /// The partner's role becomes this.
    Role {
        /// The instance.
        instance: String,
        /// The role.
        role: RoleName,
    },
    /// The partner's mirroring state becomes this.
    State {
        /// The instance.
        instance: String,
        /// The state.
        state: StateName,
    },
    /// The database becomes open to clients on this instance.
    Serving {
        /// The instance.
        instance: String,
    },
    /// The instance reports this named protocol step.
    Reached {
        /// The instance.
        instance: String,
        /// Step name, as in traces: "armed", "claim.durable", …
        step: String,
    },
    /// The instance's process has started.
    Started {
        /// The instance.
        instance: String,
    },
    /// The partner raises this state-change event.
    Event {
        /// The instance.
        instance: String,
        /// Its number, 0 to 12.
        number: u8,
    },
}

/// A partner role in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// PRINCIPAL.
    Principal,
    /// MIRROR.
    Mirror,
}

/// A mirroring state in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StateName {
    /// SUSPENDED.
    Suspended,
    /// DISCONNECTED.
    Disconnected,
    /// SYNCHRONIZING.
    Synchronizing,
    /// PENDING_FAILOVER.
    PendingFailover,
    /// SYNCHRONIZED.
    Synchronized,
}

/// A witness state in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WitnessName {
    /// UNKNOWN.
    Unknown,
    /// CONNECTED.
    Connected,
    /// DISCONNECTED.
    Disconnected,
    /// NULL: no witness.
    Null,
}

/// Something that must be seen: one time form and one condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Must hold at some moment at or before this time (and after `after`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Time>,
    /// Lower end for `by`; absent: the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Time>,
    /// Must hold at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Must hold all the time from the first to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughout: Option<[Time; 2]>,
    /// The condition.
    #[serde(rename = "that")]
    pub condition: Condition,
}

/// A condition on what the views show or the clients feel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// Partner roles; `null`: the instance runs, and its database is in no session.
    Role(BTreeMap<String, Option<RoleName>>),
    /// Mirroring states; `null` as for roles.
    State(BTreeMap<String, Option<StateName>>),
    /// Witness states as the partners see them.
    WitnessState(BTreeMap<String, WitnessName>),
    /// Transaction safety as the partners show it.
    Safety(BTreeMap<String, SafetyDecl>),
    /// Who serves: the instance whose successful reply to a client was the newest within the last second (`by`, `at`),
    /// or the only one that answered in the window, at least once (`throughout`); `null`: nobody answers a client.
    ServedBy(Option<String>),
    /// Role sequence shown by an instance.
    RoleSequence {
        /// The instance.
        instance: String,
        /// The value.
        n: u32,
    },
    /// At most so many confirmed transactions are missing at the end of the run, whatever the time form says.
    LostTransactions(Amount),
    /// Exactly as many confirmed transactions are missing at the end of the run as this instance confirms in the window,
    /// whether or not the answers arrive.
    LostCommitsOf(String),
    /// Longest time without a successful reply to any client, from the first reply and the start of the window
    /// (`throughout`, `after`) to its end or the moment when the clients stop.
    DowntimeMax(Time),
    /// At least so many transactions have been confirmed to a client since the start of the run.
    Committed(u64),
    /// So many transactions are confirmed to clients in the window.
    Commits {
        /// By this instance; absent: by any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<String>,
        /// Smallest number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// Largest number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
    },
    /// So many calls of clients end with this error in the window.
    Errors {
        /// Error number.
        number: u32,
        /// From this instance; absent: from any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<String>,
        /// Smallest number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// Largest number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
    },
    /// The partners raise these state-change events in the window, in this order: with `by` others may come between,
    /// with `throughout` there are no others. Each must name the one before it as the previous one.
    Events(BTreeMap<String, Vec<u8>>),
    /// The instances write these numbered messages in the window, in this order, as for events.
    Messages(BTreeMap<String, Vec<u32>>),
}

/// A number with bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number, or `at_least` and `at_most`")]
pub enum Amount {
    /// At most this.
    AtMost(u64),
    /// Between bounds.
    Between(Range),
}

impl Amount {
    /// Its bounds.
    pub fn range(self) -> Range {
        match self {
            Amount::AtMost(most) => Range { at_least: None, at_most: Some(most) },
            Amount::Between(range) => range,
        }
    }
}

/// Bounds of a number, each included; at least one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// Largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

impl Range {
    /// Does it hold `count`?
    pub fn holds(self, count: u64) -> bool {
        self.at_least.is_none_or(|least| count >= least) && self.at_most.is_none_or(|most| count <= most)
    }
}

/// Random faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// First fault not before this.
    pub from: Time,
    /// All faults are lifted here.
    pub until: Time,
    /// Mean time between faults.
    pub every: Time,
    /// Fault classes to draw from; empty: all.
    #[serde(default)]
    pub classes: Vec<FaultClass>,
    /// Statements of an owner mixed in; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statements: Option<Statements>,
}

/// Random statements of an owner, sane and insane. When the faults are lifted, the owner spends fifteen seconds on
/// bringing the session back: RESUME, SAFETY FULL, the time-out period and the witness of `session`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    /// Mean time between two moves of the owner; a move is a statement, or a few that belong together.
    pub every: Time,
    /// How often each kind of move is made, compared with the others.
    #[serde(default)]
    pub weights: StatementWeights,
}

/// How often each kind of an owner's moves is made, compared with the others; 0: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StatementWeights {
    /// FAILOVER, sometimes with a fault in the middle of it.
    pub failover: u16,
    /// FORCE_SERVICE_ALLOW_DATA_LOSS, mostly after a partner was taken away, and RESUME some time later.
    pub force_service: u16,
    /// SUSPEND, and mostly RESUME some seconds later.
    pub suspend: u16,
    /// RESUME out of the blue.
    pub resume: u16,
    /// SAFETY OFF, and mostly FULL some seconds later.
    pub safety: u16,
    /// SET WITNESS: off, another instance, the same again, an address that is none.
    pub witness: u16,
    /// TIMEOUT with good and bad values.
    pub timeout: u16,
    /// SET PARTNER OFF: removes the session.
    pub remove: u16,
}

impl Default for StatementWeights {
    fn default() -> Self {
        StatementWeights {
            failover: 5,
            force_service: 5,
            suspend: 3,
            resume: 1,
            safety: 2,
            witness: 2,
            timeout: 2,
            remove: 0,
        }
    }
}

/// A swarm: each seed draws its own session, topology, load, fault classes, rates and end. The scenario gives the names
/// (principal, mirror, witness, and one instance more as a spare witness) and the longest duration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Swarm {
    /// Fault classes that are left out of every plan. Nothing else of a seed's plan changes by that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<FaultClass>,
}

/// Classes of random faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// Process crash and restart.
    Crash,
    /// Host power loss.
    Host,
    /// Process pause.
    Pause,
    /// Two-way cut.
    Cut,
    /// One-way cut.
    OneWay,
    /// Reset of open links.
    Reset,
    /// Stalled path; of chaos, slow as well.
    Stall,
    /// Refusing filter together with a reset.
    Refuse,
    /// Disk stall or slow disk.
    Disk,
    /// Clock rate change, step, freeze.
    Clock,
    /// Slow path: latency, jitter, narrow bandwidth, slow opening of links.
    Slow,
    /// Frames with a flipped byte.
    Corrupt,
    /// Slow process.
    SlowCpu,
    /// Process that dies again and again.
    RestartLoop,
    /// Disk operations that fail for a while.
    DiskError,
    /// Disk that fails for good.
    DiskFail,
    /// Full disk.
    DiskFull,
    /// Data pages that rot.
    Rot,
    /// What no protocol stands: flushes that lie, writes that go astray, rot of log and records, clocks beyond their bound.
    Outside,
}

impl FaultClass {
    /// Every class, in the order of the variants.
    pub const ALL: [FaultClass; 19] = [
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
        FaultClass::Slow,
        FaultClass::Corrupt,
        FaultClass::SlowCpu,
        FaultClass::RestartLoop,
        FaultClass::DiskError,
        FaultClass::DiskFail,
        FaultClass::DiskFull,
        FaultClass::Rot,
        FaultClass::Outside,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            FaultClass::Crash => "crash",
            FaultClass::Host => "host",
            FaultClass::Pause => "pause",
            FaultClass::Cut => "cut",
            FaultClass::OneWay => "one_way",
            FaultClass::Reset => "reset",
            FaultClass::Stall => "stall",
            FaultClass::Refuse => "refuse",
            FaultClass::Disk => "disk",
            FaultClass::Clock => "clock",
            FaultClass::Slow => "slow",
            FaultClass::Corrupt => "corrupt",
            FaultClass::SlowCpu => "slow_cpu",
            FaultClass::RestartLoop => "restart_loop",
            FaultClass::DiskError => "disk_error",
            FaultClass::DiskFail => "disk_fail",
            FaultClass::DiskFull => "disk_full",
            FaultClass::Rot => "rot",
            FaultClass::Outside => "outside",
        }
    }

    /// The class of a fault; `None` of a repair, a statement, and what stands for no fault.
    pub fn of(action: &Action) -> Option<FaultClass> {
        Some(match action {
            Action::Crash(_) => FaultClass::Crash,
            Action::HostDown(_) => FaultClass::Host,
            Action::Pause(_) => FaultClass::Pause,
            Action::Cut(path) if path.both => FaultClass::Cut,
            Action::Cut(_) => FaultClass::OneWay,
            Action::Stall(_) => FaultClass::Stall,
            Action::Slow { .. } | Action::Throttle { .. } | Action::SlowStart { .. } => FaultClass::Slow,
            Action::Corrupt { .. } => FaultClass::Corrupt,
            Action::SlowCpu { .. } => FaultClass::SlowCpu,
            Action::RestartLoop { .. } => FaultClass::RestartLoop,
            Action::DiskError { .. } => FaultClass::DiskError,
            Action::DiskFail(_) => FaultClass::DiskFail,
            Action::DiskFull(_) => FaultClass::DiskFull,
            Action::Rot { file, .. } if file == "data" => FaultClass::Rot,
            Action::Misdirect { .. } | Action::Rot { .. } | Action::DiskLie(_) => FaultClass::Outside,
            Action::Refuse(_) => FaultClass::Refuse,
            Action::Reset(_) => FaultClass::Reset,
            Action::DiskStall(_) | Action::DiskSlow { .. } => FaultClass::Disk,
            Action::ClockRate { .. }
            | Action::ClockStep { .. }
            | Action::ClockFreeze { frozen: true, .. } => FaultClass::Clock,
            Action::Restart(_)
            | Action::HostUp(_)
            | Action::Unpause(_)
            | Action::Heal(_)
            | Action::DiskHeal(_)
            | Action::FastCpu(_)
            | Action::ClockFreeze { frozen: false, .. }
            | Action::HealAll
            | Action::Sql { .. }
            | Action::Inject { .. } => return None,
        })
    }
}
