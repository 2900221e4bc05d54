//! What an instance is told at start, besides what it finds on its disk. Constants of the testbed with their
//! defaults; `docs/constants.md` explains them.

use crate::types::{InstanceId, Micros, SessionId};

/// Sizes of one copy's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Bytes of one virtual log file; a multiple of the sector.
    pub vlf_bytes: u32,
    /// Virtual log files in the ring; the log holds at most this many times `vlf_bytes`.
    pub vlf_count: u32,
    /// Log written since the last checkpoint that makes the principal start another one, in bytes.
    pub checkpoint_bytes: u32,
}

impl Default for Geometry {
    fn default() -> Self {
        Geometry { vlf_bytes: 64 << 10, vlf_count: 16, checkpoint_bytes: 128 << 10 }
    }
}

/// Tunables of the protocol that no statement sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Interval between pings, i. [OQ-2]
    pub ping_interval: Micros,
    /// Time after which a statement that waits for another instance fails with E1421. [C-46]
    pub statement_timeout: Micros,
    /// Log bytes the mirror redoes in a second. [FO-72]
    pub redo_bytes_per_s: u64,
    /// Log bytes that may be on their way to the mirror, not yet acknowledged. [S-46]
    pub send_window_bytes: u64,
    /// Sizes of the copy's files.
    pub geometry: Geometry,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            ping_interval: Micros::from_secs(1),
            statement_timeout: Micros::from_secs(10),
            redo_bytes_per_s: 32 << 20,
            send_window_bytes: 1 << 20,
            geometry: Geometry::default(),
        }
    }
}

/// The part an instance plays in a session of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Holds a copy.
    Partner,
    /// Holds only a record.
    Witness,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This instance.
    pub id: InstanceId,
    /// How often this process has been started; a larger number than at any earlier start.
    pub incarnation: u32,
    /// Server network address of every instance, by id: `TCP://host:port`. [NA-1]
    pub addresses: Vec<String>,
    /// The sessions whose files are on this instance's disk, with the database's name.
    pub sessions: Vec<(SessionId, Part, String)>,
    /// Tunables.
    pub tuning: Tuning,
    /// The planted bug of this run, by name; ignored unless the feature `planted-bugs` is on.
    pub bug: Option<crate::bugs::Bug>,
}
