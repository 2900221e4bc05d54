//! The rolling digest of a run: two runs are the same when their digests are.
//!
//! It takes in every event with its time, node, kind and a checksum of its payload, and after each step of an instance
//! the fingerprint of its state. Checkpoints on the way tell where two runs part; running both again with a recorded
//! window there names the first event that differs.

use crate::driver::Outcome;
use crate::rng::mix;
use dbm_core::io::{ClientEvent, Op, Reply, Request};
use std::fmt;
use std::ops::Range;

/// Events between two checkpoints.
const STRIDE: u64 = 1024;

/// The digest so far.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    value: u64,
    events: u64,
    checkpoints: Vec<(u64, u64)>,
}

impl Digest {
    /// Takes in an event.
    pub fn event(&mut self, at: u64, node: u16, kind: u8, payload: u64) {
        if self.events.is_multiple_of(STRIDE) {
            self.checkpoints.push((self.events, self.value));
        }
        self.events += 1;
        self.take(at);
        self.take(u64::from(node) << 8 | u64::from(kind));
        self.take(payload);
    }

    /// Takes in a word, such as a fingerprint, as part of the newest event.
    pub fn take(&mut self, word: u64) {
        self.value = (self.value.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    /// The digest.
    pub fn value(&self) -> u64 {
        mix(self.value)
    }

    /// Number of events taken in.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// (events before it, digest), in order.
    pub fn into_checkpoints(self) -> Vec<(u64, u64)> {
        self.checkpoints
    }
}

/// A checksum of bytes.
pub fn bytes(bytes: &[u8]) -> u64 {
    u64::from(crc32fast::hash(bytes)) << 32 | bytes.len() as u64
}

/// A checksum of what a client asks.
pub fn client_event(event: &ClientEvent) -> u64 {
    match event {
        ClientEvent::Open { database } => 1 << 8 | u64::from(database.0),
        ClientEvent::Closed => 2,
        ClientEvent::Request(Request::Begin(txn)) => mix(3 ^ txn.0 << 8),
        ClientEvent::Request(Request::Execute(op)) => mix(4 ^ operation(op)),
        ClientEvent::Request(Request::Commit) => 5,
        ClientEvent::Request(Request::Rollback) => 6,
        ClientEvent::Request(Request::Batch(txn, ops)) => {
            ops.iter().fold(7 ^ txn.0 << 8, |sum, op| mix(sum ^ operation(op)))
        }
    }
}

fn operation(op: &Op) -> u64 {
    let (kind, payload) = match op {
        Op::Read(_) => (1, 0),
        Op::Write(_, value) => (2, bytes(&value.0)),
        Op::Add(_, number) => (3, *number as u64),
        Op::Append(_, element) => (4, u64::from(*element)),
    };
    mix(payload ^ mix(u64::from(op.key().0) << 8 | kind))
}

/// A checksum of an answer.
pub fn reply(reply: &Reply) -> u64 {
    match reply {
        Reply::Connected { n, partner } => mix(1 | u64::from(partner.0) << 8 | u64::from(n.0) << 16),
        Reply::Refused { error } => mix(2 | u64::from(*error) << 8),
        Reply::Begun { n } => mix(3 | u64::from(n.0) << 8),
        Reply::Done { n, value } => mix(4 | u64::from(n.0) << 8) ^ bytes(&value.0),
        Reply::Committed { n, txn, at, branch, values } => {
            let sum = mix(5 | u64::from(n.0) << 8) ^ mix(at.raw()) ^ mix(txn.0).rotate_left(9);
            let sum = mix(sum ^ u64::from(branch.n.0) << 32 ^ u64::from(branch.r));
            values.iter().fold(sum, |sum, value| mix(sum ^ bytes(&value.0)))
        }
        Reply::RolledBack { n } => mix(6 | u64::from(n.0) << 8),
        Reply::Failed { n, error } => mix(7 | u64::from(n.0) << 8 | u64::from(*error) << 40),
    }
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The window of events in which they do.
    pub window: Range<u64>,
    /// The first recorded line that differs, in the one run; empty when that run has ended before.
    pub one: String,
    /// The same in the other run.
    pub other: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the runs part between events {} and {}:", self.window.start, self.window.end)?;
        writeln!(f, "  one:   {}", self.one)?;
        write!(f, "  other: {}", self.other)
    }
}

/// Runs twice, and, if the digests differ, twice more to name the first event that does. Each function runs with the
/// window of events to record, see [`RunOptions::record`](crate::driver::RunOptions::record).
pub fn first_difference(
    mut one: impl FnMut(Option<Range<u64>>) -> Outcome,
    mut other: impl FnMut(Option<Range<u64>>) -> Outcome,
) -> Option<Difference> {
    let (a, b) = (one(None), other(None));
    if a.digest == b.digest && a.events == b.events {
        return None;
    }
    let agreed = a.checkpoints.iter().zip(&b.checkpoints).take_while(|(x, y)| x == y).count();
    let start = agreed.saturating_sub(1) as u64 * STRIDE;
    let window = start..start + STRIDE + 1;
    let (a, b) = (one(Some(window.clone())).recorded, other(Some(window.clone())).recorded);
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let line = |lines: Vec<String>| lines.into_iter().nth(same).unwrap_or_default();
    Some(Difference { window, one: line(a), other: line(b) })
}
