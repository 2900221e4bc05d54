//! Frames: one header, one checksum, one body. A frame that does not decode breaks its link; it never panics and is
//! never half applied. [P-14, FL-29]
//!
//! ```text
//! offset  size  field
//!      0     2  magic "DM"
//!      2     1  format version, 1
//!      3     1  kind, see `Message::KINDS`
//!      4     2  session
//!      6     1  sender
//!      7     1  zero
//!      8     4  sender's incarnation
//!     12     4  sender's role sequence n in this session
//!     16     4  channel sequence: 0, 1, 2, … in each direction of a link
//!     20     4  body length
//!     24     4  CRC-32 of everything but this field
//!     28     …  body: the message by postcard, then bulk bytes (compressed log, page image)
//! ```
//! All numbers are little-endian.

use crate::message::Message;
use crate::types::{InstanceId, RoleSequence, SessionId};
use std::sync::Arc;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 28;
/// Longest body in bytes.
pub const MAX_BODY_BYTES: usize = 256 << 10;
/// Longest group of log blocks in one frame, in bytes before compression.
pub const MAX_GROUP_BYTES: usize = 64 << 10;

const MAGIC: [u8; 2] = *b"DM";
const VERSION: u8 = 1;

/// What every frame says of itself. [OQ-1]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Frame kind.
    pub kind: u8,
    /// The session; 0 for frames of the link itself (HELLO, WELCOME).
    pub session: SessionId,
    /// Sender.
    pub from: InstanceId,
    /// The sender's incarnation.
    pub incarnation: u32,
    /// The sender's role sequence.
    pub n: RoleSequence,
    /// Place in the link's direction.
    pub sequence: u32,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter than header or announced body.
    #[error("frame of {0} bytes is cut short or too long")]
    Length(usize),
    /// Not our protocol.
    #[error("bad magic or version")]
    Magic,
    /// Damaged.
    #[error("checksum does not match")]
    Checksum,
    /// Announces more than the limit.
    #[error("body of {0} bytes is over the limit")]
    TooLong(usize),
    /// Checksum fine, content not: a bug or an attack.
    #[error("body of kind {0} does not decode")]
    Body(u8),
}

/// Encodes one frame.
pub fn encode(header: &Header, message: &Message) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(HEADER_BYTES + 96);
    out.resize(HEADER_BYTES, 0);
    let mut out = postcard::to_extend(message, out).expect("messages have no unencodable part");
    match message {
        Message::LogBlock { bytes, .. } => out.extend_from_slice(bytes),
        Message::PageReply { image, .. } => out.extend_from_slice(image),
        _ => {}
    }
    let body = out.len() - HEADER_BYTES;
    assert!(body <= MAX_BODY_BYTES, "a message outgrew the frame limit");
    seal(&mut out, header, message.code());
    out.into()
}

/// Writes header and checksum over a frame whose body stands.
fn seal(out: &mut [u8], header: &Header, kind: u8) {
    let body = (out.len() - HEADER_BYTES) as u32;
    out[0..2].copy_from_slice(&MAGIC);
    out[2] = VERSION;
    out[3] = kind;
    out[4..6].copy_from_slice(&header.session.0.to_le_bytes());
    out[6] = header.from.0;
    out[7] = 0;
    out[8..12].copy_from_slice(&header.incarnation.to_le_bytes());
    out[12..16].copy_from_slice(&header.n.0.to_le_bytes());
    out[16..20].copy_from_slice(&header.sequence.to_le_bytes());
    out[20..24].copy_from_slice(&body.to_le_bytes());
    let crc = checksum(out);
    out[24..28].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..24]);
    hasher.update(&frame[HEADER_BYTES..]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("slice of four bytes"))
}

/// The header of a frame, without looking at checksum or body; `None` when it cannot be a frame. For observers.
pub fn peek(bytes: &[u8]) -> Option<Header> {
    if bytes.len() < HEADER_BYTES || bytes[0..2] != MAGIC || bytes[2] != VERSION {
        return None;
    }
    Some(Header {
        kind: bytes[3],
        session: SessionId(u16::from_le_bytes([bytes[4], bytes[5]])),
        from: InstanceId(bytes[6]),
        incarnation: u32_at(bytes, 8),
        n: RoleSequence(u32_at(bytes, 12)),
        sequence: u32_at(bytes, 16),
    })
}

/// Decodes one frame, whole.
pub fn decode(bytes: &[u8]) -> Result<(Header, Message), WireError> {
    let header = shape(bytes)?;
    if checksum(bytes) != u32_at(bytes, 24) || bytes[7] != 0 {
        return Err(WireError::Checksum);
    }
    body(header, bytes)
}

/// As [`decode`], whatever the checksum says; for a planted bug.
pub(crate) fn decode_unchecked(bytes: &[u8]) -> Result<(Header, Message), WireError> {
    body(shape(bytes)?, bytes)
}

/// The header of a frame that is as long as it says.
fn shape(bytes: &[u8]) -> Result<Header, WireError> {
    if bytes.len() < HEADER_BYTES {
        return Err(WireError::Length(bytes.len()));
    }
    let header = peek(bytes).ok_or(WireError::Magic)?;
    let length = u32_at(bytes, 20) as usize;
    if length > MAX_BODY_BYTES {
        return Err(WireError::TooLong(length));
    }
    if bytes.len() - HEADER_BYTES != length {
        return Err(WireError::Length(bytes.len()));
    }
    Ok(header)
}

fn body(header: Header, bytes: &[u8]) -> Result<(Header, Message), WireError> {
    let (mut message, rest) = postcard::take_from_bytes::<Message>(&bytes[HEADER_BYTES..])
        .map_err(|_| WireError::Body(header.kind))?;
    let bulk_expected = match &mut message {
        Message::LogBlock { bytes, .. } => {
            *bytes = rest.to_vec();
            true
        }
        Message::PageReply { image, .. } => {
            *image = rest.to_vec();
            true
        }
        _ => false,
    };
    if message.code() != header.kind || (!bulk_expected && !rest.is_empty()) {
        return Err(WireError::Body(header.kind));
    }
    Ok((header, message))
}

/// Compresses a group of log blocks.
pub fn compress(raw: &[u8]) -> Vec<u8> {
    assert!(raw.len() <= MAX_GROUP_BYTES, "a log group outgrew its limit");
    lz4_flex::block::compress(raw)
}

/// Decompresses a group of log blocks; `None` when it is damaged, or not of the announced size.
pub fn decompress(compressed: &[u8], raw_bytes: u32) -> Option<Vec<u8>> {
    if raw_bytes as usize > MAX_GROUP_BYTES {
        return None;
    }
    let raw = lz4_flex::block::decompress(compressed, raw_bytes as usize).ok()?;
    (raw.len() == raw_bytes as usize).then_some(raw)
}

/// For fault injection below the channel: `frame` as if it had been sent at place `sequence` of the link direction on
/// which `like` travelled last, by the same process. The role sequence stays as it was.
pub fn restamp(frame: &[u8], incarnation: u32, sequence: u32) -> Option<Arc<[u8]>> {
    let (header, message) = decode(frame).ok()?;
    Some(encode(&Header { incarnation, sequence, ..header }, &message))
}

/// What a receiver acts on: the place in the channel is checked before, and an incarnation matters only to a greeting,
/// where it is named. [`crate::canon`]
impl std::hash::Hash for Header {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.kind, self.session, self.from, self.n).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Instant, Lsn};
    use proptest::prelude::*;

    fn header(kind: u8) -> Header {
        Header {
            kind,
            session: SessionId(3),
            from: InstanceId(1),
            incarnation: 7,
            n: RoleSequence(9),
            sequence: 11,
        }
    }

    fn sample() -> impl Strategy<Value = Message> {
        let lsn = any::<u64>().prop_map(Lsn::from_raw);
        prop_oneof![
            (any::<u32>(), any::<Option<(u32, u32)>>())
                .prop_map(|(dial, welcomed)| Message::Hello { dial, welcomed }),
            (any::<u16>(), any::<u64>(), any::<Option<u64>>()).prop_map(|(timeout_s, sent, echo)| {
                Message::Ping {
                    timeout_s,
                    sent: Instant(sent),
                    echo: echo.map(Instant),
                    other: None,
                    state: None,
                }
            }),
            (lsn.clone(), lsn.clone(), any::<u64>()).prop_map(|(hardened, redone, redo_queue_bytes)| {
                Message::LogAck { hardened, redone, redo_queue_bytes }
            }),
            (lsn.clone(), lsn, prop::collection::vec(any::<u8>(), 0..3000)).prop_map(|(first, end, raw)| {
                Message::LogBlock {
                    first,
                    end,
                    raw_bytes: raw.len() as u32,
                    hardened: end,
                    bytes: compress(&raw),
                }
            }),
            prop::collection::vec(any::<u8>(), 0..1024)
                .prop_map(|image| Message::PageReply { page: crate::types::PageId(4), image }),
        ]
    }

    proptest! {
        /// What was encoded decodes to the same. [OQ-1]
        #[test]
        fn frame_round_trip(message in sample()) {
            let bytes = encode(&header(0), &message);
            let (got, back) = decode(&bytes).expect("own frame");
            prop_assert_eq!(got, header(message.code()));
            prop_assert_eq!(back, message);
        }

        /// Arbitrary bytes are refused, never a panic. [P-14]
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode(&bytes);
            let _ = peek(&bytes);
            let _ = decompress(&bytes, 4000);
        }

        /// Arbitrary bodies under a true header and checksum never panic. [P-14]
        #[test]
        fn arbitrary_bodies_never_panic(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut frame = vec![0; HEADER_BYTES];
            frame.extend_from_slice(&body);
            seal(&mut frame, &header(kind), kind);
            let _ = decode(&frame);
        }

        /// One flipped bit is always noticed. [P-14]
        #[test]
        fn one_flipped_bit_is_noticed(message in sample(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = encode(&header(0), &message).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
        }
    }

    /// An injected stale frame keeps its role sequence and takes the place it is given.
    #[test]
    fn restamped_frame_keeps_its_role_sequence() {
        let message = Message::LogAck { hardened: Lsn::ZERO, redone: Lsn::ZERO, redo_queue_bytes: 0 };
        let frame = encode(&header(0), &message);
        let again = restamp(&frame, 70, 110).expect("own frame");
        let (got, back) = decode(&again).expect("restamped frame");
        assert_eq!((got.n, got.incarnation, got.sequence, back), (RoleSequence(9), 70, 110, message));
    }
}
