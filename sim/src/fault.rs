//! What can be done to the simulated world: each fault, and what a node feels of it. `docs/faults.md` tells it at length:
//! how faults combine, which promises still stand under each and why, and what is not simulated.
//!
//! Every fault is an *overlay*: it changes no state that its repair would have to reconstruct, and overlays of one
//! kind on one target do not add up (the newest wins, one repair lifts it). What is done to stored bytes (rot, a write
//! that went astray, a write that a crash lost) is no overlay and stays.
//!
//! | fault | what a node feels |
//! |---|---|
//! | crash, restart | the process is gone at once; its host refuses dials; open links end with a reset after one latency; writes that were not durable are kept, lost or torn, each sector on its own |
//! | host down, up | as a crash, but silent: nothing is refused, nothing is reset |
//! | restart loop | crashes and restarts, again and again |
//! | pause, unpause | the process does nothing and answers nothing; what arrives waits for it; its clock runs on |
//! | slow cpu | each input is handled so much later, one after the other |
//! | cut (one way or both) | frames, dials and resets vanish silently in that direction |
//! | stall | frames are held back and arrive in order when it is lifted |
//! | slow, jitter | latency added in that direction |
//! | throttle | frames queue for a narrow path |
//! | corrupt | a frame arrives with a flipped byte |
//! | slow start | a dial takes longer |
//! | refuse | dials are answered by a filter's reset (ambiguous, not the host's refusal) |
//! | reset | every open link of the pair ends with a reset at both ends, once |
//! | disk stall, slow | completions wait, or take longer |
//! | disk error, fail | an operation fails; what it was to make durable is kept, lost or torn |
//! | disk full | a write that would make its file longer fails |
//! | disk lie | what is reported as durable is in a volatile cache |
//! | misdirect, rot | nothing, until the process starts again and reads |
//! | clock rate | the host's monotonic clock runs fast or slow by parts per million |
//! | clock step, freeze | the wall clock only: messages of the error log have wrong dates |
//! | inject | a frame of a lower role sequence appears on an open link, as if it had been delayed below the channel |

use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The direction of a network fault between two named instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// The sending side.
    pub from: String,
    /// The receiving side.
    pub to: String,
    /// `true`: both directions.
    #[serde(default)]
    pub both: bool,
}

/// A thing done to the world: a fault, its repair, or a statement of the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The instance's process dies.
    Crash(String),
    /// The instance's process starts again; without effect while it runs or its host is down.
    Restart(String),
    /// The host loses power: all its instances die, silently.
    HostDown(String),
    /// The host has power again and starts its instances.
    HostUp(String),
    /// The instance's process stops doing anything.
    Pause(String),
    /// It goes on.
    Unpause(String),
    /// Silent loss of everything on the path, clients included when one end is "clients".
    Cut(Path),
    /// Frames are held back.
    Stall(Path),
    /// Adds latency on the path.
    Slow {
        /// The path.
        path: Path,
        /// Added to each frame.
        by: Time,
        /// Up to so much more, drawn for each frame.
        #[serde(default, skip_serializing_if = "Time::is_zero")]
        jitter: Time,
    },
    /// Narrows the path between two instances.
    Throttle {
        /// The path.
        path: Path,
        /// Bytes that pass in a second.
        bytes_s: u64,
    },
    /// Some frames between two instances arrive with a flipped byte.
    Corrupt {
        /// The path.
        path: Path,
        /// One in so many.
        one_in: u32,
    },
    /// New links on the path take longer to open.
    SlowStart {
        /// The path, from the one who dials.
        path: Path,
        /// Added to each dial.
        by: Time,
    },
    /// New dials are reset by a filter.
    Refuse(Path),
    /// Breaks the open links of the pair, once.
    Reset(Path),
    /// Lifts every overlay from the path: cut, stall, slow, throttle, corrupt, slow start and refuse.
    Heal(Path),
    /// No disk operation of the instance completes until lifted.
    DiskStall(String),
    /// Every disk operation takes longer.
    DiskSlow {
        /// The instance.
        instance: String,
        /// Added to each operation.
        by: Time,
    },
    /// The next operations of the instance's disk fail.
    DiskError {
        /// The instance.
        instance: String,
        /// How many.
        count: u32,
    },
    /// Every operation of the instance's disk fails until lifted.
    DiskFail(String),
    /// Writes that would make a file longer fail until lifted.
    DiskFull(String),
    /// Flushes and write-throughs are reported as done but stay in the volatile cache until lifted.
    DiskLie(String),
    /// The next write to a file lands on another sector of it.
    Misdirect {
        /// The instance.
        instance: String,
        /// The file, as in triggers.
        file: String,
    },
    /// One durable bit of a file flips, now.
    Rot {
        /// The instance.
        instance: String,
        /// The file, as in triggers.
        file: String,
    },
    /// The disk works as before: lifts disk stall, slow, error, fail, full, lie, and a misdirection to come.
    DiskHeal(String),
    /// Every input takes the instance's process so long; later ones queue.
    SlowCpu {
        /// The instance.
        instance: String,
        /// Per input.
        by: Time,
    },
    /// The process is as fast as before.
    FastCpu(String),
    /// The process dies again and again, and ends running.
    RestartLoop {
        /// The instance.
        instance: String,
        /// How often it dies, the first time at once.
        times: u32,
        /// From a start to the next death.
        up: Time,
        /// From a death to the next start.
        down: Time,
    },
    /// Sets the rate error of the monotonic clock of a host, in parts per million.
    ClockRate {
        /// The host.
        host: String,
        /// Positive runs fast.
        ppm: i32,
    },
    /// Moves the wall clock of a host by milliseconds.
    ClockStep {
        /// The host.
        host: String,
        /// Positive moves forward.
        ms: i64,
    },
    /// Freezes (`true`) or releases the wall clock of a host.
    ClockFreeze {
        /// The host.
        host: String,
        /// Frozen?
        frozen: bool,
    },
    /// Lifts every fault, restarts and unpauses everything.
    HealAll,
    /// A control statement, as T-SQL text.
    Sql {
        /// The instance it is sent to.
        on: String,
        /// The text.
        text: String,
        /// The error number it must end with; absent: it must succeed; `-1`: however it ends, or if it does not end.
        #[serde(default)]
        error: Option<i32>,
    },
    /// Delivers again, on the open link from one instance to another, the newest frame of that kind which the same
    /// sender sent under a lower role sequence than it has now; restamped so that link and channel take it.
    Inject {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// The frame's kind, as in traces.
        frame: String,
    },
}
