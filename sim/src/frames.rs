//! What the world must know of a frame: its kind, for triggers and traces, and its stamps, for injection.

use dbm_core::message::kind_name;
use dbm_core::wire;
use std::sync::Arc;

/// The kind of a frame, as in traces and triggers: "log_block", "claim", …; `None` when it cannot be read.
pub fn frame_kind(bytes: &[u8]) -> Option<&'static str> {
    kind_name(wire::peek(bytes)?.kind)
}

/// The role sequence that the frame carries; 0 when it carries none.
pub fn frame_n(bytes: &[u8]) -> u32 {
    wire::peek(bytes).map_or(0, |header| header.n.0)
}

/// The frame's number in its direction of the link.
pub fn frame_channel_sequence(bytes: &[u8]) -> u32 {
    wire::peek(bytes).map_or(0, |header| header.sequence)
}

/// `stale` with the process stamp of `like` and the given number on the link, so that a receiver of `like` takes it as
/// the same link's frame; its content, and with it its role sequence, stays.
pub fn restamp(stale: &[u8], like: &[u8], sequence: u32) -> Arc<[u8]> {
    let incarnation = wire::peek(like).map_or(0, |header| header.incarnation);
    wire::restamp(stale, incarnation, sequence).unwrap_or_else(|| stale.into())
}
