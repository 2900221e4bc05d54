//! What can be done to the simulated world: each fault, what a node feels of it, and its repair.
//!
//! Every fault is an *overlay*: it changes no state that its repair would have to reconstruct, and overlays of one
//! kind on one target do not add up (the newest wins, one repair lifts it).
//!
//! | fault | what a node feels | promises that still stand |
//! |---|---|---|
//! | crash, restart | the process is gone at once; its host refuses dials; open links end with a reset after one latency; writes that were not durable are kept, lost or torn, each sector on its own | all |
//! | host down, up | as a crash, but silent: nothing is refused, nothing is reset | all |
//! | pause, unpause | the process does nothing and answers nothing; what arrives waits for it; its clock runs on | all |
//! | cut (one way or both) | frames, dials and resets vanish silently in that direction | all |
//! | stall | frames are held back and arrive in order when it is lifted | all |
//! | slow | latency added in that direction | all |
//! | refuse | dials are answered by a filter's reset (ambiguous, not the host's refusal) | all |
//! | reset | every open link of the pair ends with a reset at both ends, once | all |
//! | disk stall, slow | completions wait, or take longer | all |
//! | clock rate | the host's monotonic clock runs fast or slow by parts per million | all, within the bound of OQ-8 |
//! | clock step, freeze | the wall clock only; views show it | all |
//! | inject | a frame of a lower role sequence appears on an open link, as if it had been delayed below the channel | all |

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
    },
    /// New dials are reset by a filter.
    Refuse(Path),
    /// Breaks the open links of the pair, once.
    Reset(Path),
    /// Lifts cut, stall, slow and refuse from the path.
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
    /// Lifts disk stall and disk slow.
    DiskHeal(String),
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
