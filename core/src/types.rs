//! Quantities with a meaning, each with a type of its own. Nothing here knows the protocol.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A server instance of the simulated world, by index in its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub u8);

/// A mirroring session, `mirroring_guid` in the views. [S-1]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u16);

/// Role sequence n: grows with every switch of the principal role, the epoch of the session. [FO-4]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoleSequence(pub u32);

impl RoleSequence {
    /// The sequence after this one; a take-over uses it.
    pub fn next(self) -> Self {
        RoleSequence(self.0 + 1)
    }
}

impl fmt::Display for RoleSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A duration in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Micros(pub u64);

impl Micros {
    /// `seconds` as microseconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Micros(seconds * 1_000_000)
    }
    /// `millis` as microseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Micros(millis * 1_000)
    }
}

impl std::ops::Add for Micros {
    type Output = Micros;
    fn add(self, other: Micros) -> Micros {
        Micros(self.0 + other.0)
    }
}

/// A point of the monotonic clock of one host, in microseconds since an arbitrary zero. Never compared across
/// hosts. [OQ-8]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl std::hash::Hash for Instant {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        crate::canon::time(state, *self);
    }
}

impl Instant {
    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Instant) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Micros> for Instant {
    type Output = Instant;
    fn add(self, d: Micros) -> Instant {
        Instant(self.0.saturating_add(d.0))
    }
}

/// A log branch (n, r): n is the role sequence of the principal that wrote it, r counts its restarts. [OQ-68]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Branch {
    /// Role sequence of the writer.
    pub n: RoleSequence,
    /// Restarts of the writer within n.
    pub r: u32,
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.n.0, self.r)
    }
}

/// Log sequence number: virtual log file, block (in sectors within it), record slot. [OQ-45]
///
/// Packed as 24 + 24 + 16 bits, so that comparing numbers compares positions. Only meaningful within one log
/// branch. As a *mark* it is exclusive: everything below `hardened` is hardened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(u64);

impl Lsn {
    /// Below every record.
    pub const ZERO: Lsn = Lsn(0);

    /// `vlf` and `block` below 2^24.
    pub fn new(vlf: u32, block: u32, slot: u16) -> Self {
        assert!(vlf < 1 << 24, "virtual log file number beyond 24 bits");
        assert!(block < 1 << 24, "block number beyond 24 bits");
        Lsn(u64::from(vlf) << 40 | u64::from(block) << 16 | u64::from(slot))
    }
    /// Sequence number of the virtual log file; it never repeats.
    pub fn vlf(self) -> u32 {
        (self.0 >> 40) as u32
    }
    /// Offset of the block in its virtual log file, in sectors.
    pub fn block(self) -> u32 {
        (self.0 >> 16) as u32 & 0xff_ffff
    }
    /// Record within the block.
    pub fn slot(self) -> u16 {
        self.0 as u16
    }
    /// The packed form, for digests and wire.
    pub fn raw(self) -> u64 {
        self.0
    }
    /// The inverse of [`Lsn::raw`].
    pub fn from_raw(raw: u64) -> Self {
        Lsn(raw)
    }
    /// As the views print it, numeric(25,0): vlf, ten digits of block, five of slot. [OQ-45]
    pub fn numeric(self) -> String {
        format!("{}{:010}{:05}", self.vlf(), self.block(), self.slot())
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.vlf(), self.block(), self.slot())
    }
}

/// Transaction id, chosen by the client and unique in a run; it travels into the log with the commit record, so
/// that an unknown outcome can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxnId(pub u64);

/// A row of the mirrored database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(pub u32);

/// The value of a row: at most [`Value::MAX`] bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Value(pub Vec<u8>);

impl Value {
    /// Longest value in bytes.
    pub const MAX: usize = 112;

    /// A number, as eight little-endian bytes.
    pub fn number(v: i64) -> Self {
        Value(v.to_le_bytes().to_vec())
    }
    /// The number held; a missing or shorter value counts as 0.
    pub fn as_number(&self) -> i64 {
        self.0.get(..8).map_or(0, |b| i64::from_le_bytes(b.try_into().expect("slice of eight bytes")))
    }
    /// The list held, four bytes an element.
    pub fn as_list(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().expect("chunks of four")))
    }
}

/// A data page of the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PageId(pub u32);

/// The two roles of a partner. [S-2]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Owns the served copy.
    Principal,
    /// Holds the restoring copy.
    Mirror,
}

/// `mirroring_state`, with the view's codes. [ST-1 … ST-5]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum MirroringState {
    /// Log is not sent. [ST-1]
    Suspended = 0,
    /// The other partner is not connected. [ST-2]
    Disconnected = 1,
    /// The mirror lags, log flows. [ST-3]
    Synchronizing = 2,
    /// A manual failover has begun. [ST-4]
    PendingFailover = 3,
    /// The mirror is caught up. [ST-5]
    Synchronized = 4,
}

/// `mirroring_witness_state`, with the view's codes. [ST-50 … ST-52]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum WitnessState {
    /// Not determined yet.
    Unknown = 0,
    /// Connected.
    Connected = 1,
    /// Not connected.
    Disconnected = 2,
}

/// Transaction safety, with the view's codes. [S-60 … S-63]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Safety {
    /// High-performance mode.
    Off = 1,
    /// High-safety mode.
    Full = 2,
}
