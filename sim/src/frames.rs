//! What the world must know of a frame: its kind, for triggers and traces, and its stamps, for injection.
//!
//! Stand-ins until the codec lays the format down: a frame is opaque.

use std::sync::Arc;

/// The kind of a frame, as in traces and triggers: "log_block", "claim", …; `None` when it cannot be read.
pub fn frame_kind(_bytes: &[u8]) -> Option<&'static str> {
    None
}

/// The role sequence that the frame carries.
pub fn frame_n(_bytes: &[u8]) -> u32 {
    0
}

/// The frame's number in its channel.
pub fn frame_channel_sequence(_bytes: &[u8]) -> u32 {
    0
}

/// `stale` with the channel stamps of `like` and the given number in the channel, so that a receiver of `like` takes
/// it as the same channel's frame; its content, and with it its role sequence, stays.
pub fn restamp(stale: &[u8], _like: &[u8], _channel_sequence: u32) -> Arc<[u8]> {
    stale.into()
}
