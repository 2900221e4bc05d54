//! The oracle's own reading of durable bytes and frames. It shares no code with the storage it judges; the layouts
//! are those of `docs/storage-format.md`.
//!
//! Frames and session records are serialised with the types of the wire format; decoding those is type knowledge,
//! not a decision of the protocol, and comes in through [`Decoders`].

use dbm_core::io::SECTOR_BYTES;
use dbm_core::message::{Message, Stamp, WitnessSetting};
use dbm_core::types::{Branch, InstanceId, Key, Lsn, RoleSequence, Safety, TxnId};

/// Bytes of a block's header.
pub const BLOCK_HEADER_BYTES: usize = 48;
/// Longest block.
pub const BLOCK_BYTES_MAX: usize = 8192;
/// Bytes of a data page; page p lies at p times this.
pub const PAGE_BYTES: usize = 1024;
/// Rows of a page: key k is row k mod 8 of page k / 8.
pub const PAGE_ROWS: u32 = 8;

const BLOCK_MAGIC: &[u8; 4] = b"DBML";
const PAGE_MAGIC: &[u8; 4] = b"DBMP";
const PAGE_HEADER_BYTES: usize = 20;
/// Length byte of a row that does not exist.
const ABSENT: u8 = 0xFF;

/// A verified log block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockView<'a> {
    /// Where it begins; slot 0.
    pub lsn: Lsn,
    /// Where it ends (exclusive).
    pub end: Lsn,
    /// Where the block before it begins; zero for the first of all.
    pub prev: Lsn,
    /// Checksum of the block before it.
    pub prev_checksum: u32,
    /// The branch it was written in.
    pub branch: Branch,
    /// Its own checksum.
    pub checksum: u32,
    /// Bytes on disk, a multiple of the sector.
    pub length: usize,
    /// Its records, not decoded.
    pub payload: &'a [u8],
}

/// What lies at a place of the log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockAt<'a> {
    /// Not the beginning of a block.
    Nothing,
    /// A block's beginning without the rest: torn, or not written to its end.
    Torn,
    /// A whole block.
    Whole(BlockView<'a>),
}

/// Reads what lies at the front of `bytes`, which may go on after it.
pub fn block(bytes: &[u8]) -> BlockAt<'_> {
    if bytes.len() < SECTOR_BYTES || bytes.get(..4) != Some(&BLOCK_MAGIC[..]) {
        return BlockAt::Nothing;
    }
    let mut r = Reader(&bytes[4..BLOCK_HEADER_BYTES]);
    let (Some(checksum), Some(lsn), Some(prev), Some(prev_checksum)) = (r.u32(), r.u64(), r.u64(), r.u32())
    else {
        return BlockAt::Nothing;
    };
    let (Some(n), Some(restarts), Some(payload_bytes)) = (r.u32(), r.u32(), r.u32()) else {
        return BlockAt::Nothing;
    };
    let used = BLOCK_HEADER_BYTES + payload_bytes as usize;
    let length = used.next_multiple_of(SECTOR_BYTES);
    if length > BLOCK_BYTES_MAX {
        return BlockAt::Nothing;
    }
    if length > bytes.len() || crc32fast::hash(&bytes[8..length]) != checksum {
        return BlockAt::Torn;
    }
    let lsn = Lsn::from_raw(lsn);
    BlockAt::Whole(BlockView {
        lsn,
        end: Lsn::from_raw(lsn.raw() + (((length / SECTOR_BYTES) as u64) << 16)),
        prev: Lsn::from_raw(prev),
        prev_checksum,
        branch: Branch { n: RoleSequence(n), r: restarts },
        checksum,
        length,
        payload: &bytes[BLOCK_HEADER_BYTES..used],
    })
}

/// A row as a record or page holds it; `None` is an absent row.
pub type Image<'a> = Option<&'a [u8]>;

/// One log record, as far as the oracle looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRecord<'a> {
    /// A change of a row by a transaction or by undoing one.
    Change {
        /// The transaction.
        txn: TxnId,
        /// The row.
        key: Key,
        /// The row after it.
        after: Image<'a>,
        /// It undoes an earlier change.
        undoes: bool,
    },
    /// The transaction is committed.
    Commit {
        /// The transaction.
        txn: TxnId,
    },
    /// Anything else.
    Other,
}

/// The records of a block, with their LSNs. Bytes that are no record end the sequence.
pub fn records<'a>(block: &BlockView<'a>) -> impl Iterator<Item = (Lsn, LogRecord<'a>)> + use<'a> {
    let mut reader = Reader(block.payload);
    let mut next = block.lsn.raw();
    std::iter::from_fn(move || {
        let record = one_record(&mut reader)?;
        let lsn = Lsn::from_raw(next);
        next += 1;
        Some((lsn, record))
    })
}

fn one_record<'a>(r: &mut Reader<'a>) -> Option<LogRecord<'a>> {
    let kind = r.u8()?;
    let txn = TxnId(r.u64()?);
    match kind {
        1 | 5 => Some(LogRecord::Other),
        2 => {
            let key = Key(r.u32()?);
            r.image()?;
            Some(LogRecord::Change { txn, key, after: r.image()?, undoes: false })
        }
        3 => {
            let key = Key(r.u32()?);
            let after = r.image()?;
            r.u64()?;
            Some(LogRecord::Change { txn, key, after, undoes: true })
        }
        4 => Some(LogRecord::Commit { txn }),
        6 => {
            r.u64()?;
            Some(LogRecord::Other)
        }
        _ => None,
    }
}

/// A verified data page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageView<'a> {
    /// Its number.
    pub page: u32,
    /// The last record applied to it.
    pub lsn: Lsn,
    /// Its rows.
    pub rows: [Image<'a>; PAGE_ROWS as usize],
}

/// Reads one data page; `None` when the bytes are no whole page (torn, or never written).
pub fn page(bytes: &[u8]) -> Option<PageView<'_>> {
    if bytes.len() != PAGE_BYTES || &bytes[..4] != PAGE_MAGIC {
        return None;
    }
    let mut r = Reader(&bytes[4..]);
    let checksum = r.u32()?;
    if crc32fast::hash(&bytes[8..]) != checksum {
        return None;
    }
    let page = r.u32()?;
    let lsn = Lsn::from_raw(r.u64()?);
    let mut r = Reader(&bytes[PAGE_HEADER_BYTES..]);
    let mut rows = [None; PAGE_ROWS as usize];
    for row in &mut rows {
        *row = r.image()?;
    }
    Some(PageView { page, lsn, rows })
}

/// Takes little-endian fields off the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    fn image(&mut self) -> Option<Image<'a>> {
        match self.u8()? {
            ABSENT => Some(None),
            n => Some(Some(self.take(n.into())?)),
        }
    }
}

/// What the oracle looks at in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameView {
    /// PING.
    Ping {
        /// Role sequence of the sender.
        n: RoleSequence,
        /// The sender's own stamp of this ping, which an echo repeats.
        stamp: u64,
        /// The newest stamp of the receiver that the sender echoes, if it echoes.
        echo: Option<u64>,
    },
    /// LOG_ACK.
    LogAck {
        /// Exclusive mark of the hardened log.
        hardened: Lsn,
        /// The branch of that mark, when the frame tells it; without it a tail that was cut off but is still counted
        /// may hide an early acknowledgement.
        branch: Option<Branch>,
    },
    /// ARMED.
    Armed {
        /// Role sequence of the sender.
        n: RoleSequence,
    },
    /// EXPOSE_OK or SYNCED_OK: the sender holds this word, or a newer one, durably.
    Noted {
        /// Its (n, sequence).
        word: (RoleSequence, u64),
    },
    /// FAILOVER_READY: the sender has hardened the tail of a failover. [OQ-9.2]
    Ready {
        /// Role sequence of the sender.
        n: RoleSequence,
    },
    /// A role record.
    Record {
        /// Its n.
        n: RoleSequence,
        /// The owner of that n.
        owner: InstanceId,
    },
    /// BYE that counts as a definite loss: the principal ended its service, or its database failed. [OQ-3.4]
    Farewell,
    /// Anything else.
    Other,
}

/// What the oracle looks at in a session record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// Counts the writes of the record on this instance; tells the newer of two slots.
    pub serial: u64,
    /// Role sequence.
    pub n: RoleSequence,
    /// Owner of the principal role under n.
    pub owner: InstanceId,
    /// Synchronised?, with the pair (n, sequence) under which that was recorded.
    pub synchronised: Option<(bool, RoleSequence, u64)>,
    /// Mirroring was removed: the record stands for no session. [TR-23]
    pub over: bool,
    /// The suspended flag.
    pub suspended: bool,
    /// The pair (n, sequence) under which it was set.
    pub suspended_at: (RoleSequence, u64),
    /// SAFETY.
    pub safety: Safety,
    /// The pair (n, sequence) under which it was set.
    pub safety_at: (RoleSequence, u64),
    /// WITNESS.
    pub seat: SeatView,
    /// The pair (n, sequence) under which it was set.
    pub seat_at: (RoleSequence, u64),
    /// The n an open claim asks for.
    pub claim: Option<RoleSequence>,
    /// The copy is not on the session's current fork. [OQ-7]
    pub off_fork: bool,
    /// An undo of the copy is in progress. [OQ-21]
    pub undo: bool,
}

impl RecordView {
    /// The quorum rule binds its instance: a witness is named, counting or not. [INV-7, OQ-16]
    pub fn needs_quorum(&self) -> bool {
        self.seat != SeatView::Off
    }
}

/// The WITNESS setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatView {
    /// None: no quorum rule.
    Off,
    /// This instance.
    Set(InstanceId),
    /// This instance until it, or the partner, knows of its removal: the rule binds, it does not count. [OQ-16]
    Leaving(InstanceId),
}

/// How frames and session records are decoded. Both are on the hot path: a decoder looks at the kind first and returns
/// `Other` before it would unpack a log block.
#[derive(Clone, Copy, Debug)]
pub struct Decoders {
    /// A frame; `None` when it is none.
    pub frame: fn(&[u8]) -> Option<FrameView>,
    /// One slot of the record file, from its first byte; `None` when it holds no valid record.
    pub record: fn(&[u8]) -> Option<RecordView>,
    /// The role sequence under which a frame is said; `None` when it is none.
    pub said_under: fn(&[u8]) -> Option<RoleSequence>,
}

impl Default for Decoders {
    fn default() -> Self {
        Decoders { frame, record, said_under }
    }
}

/// Decodes a frame by the types of the wire format; log blocks and pages are passed over unread.
pub fn frame(bytes: &[u8]) -> Option<FrameView> {
    let kind = dbm_core::message::kind_name(dbm_core::wire::peek(bytes)?.kind)?;
    match kind {
        "ping" | "log_ack" | "armed" | "database_failed" | "expose_ok" | "synced_ok" | "record"
        | "failover_ready" => {}
        _ => return Some(FrameView::Other),
    }
    let (header, message) = dbm_core::wire::decode(bytes).ok()?;
    Some(match message {
        Message::Record { record, .. } => FrameView::Record { n: record.n, owner: record.owner },
        Message::Ping { sent, echo, .. } => {
            FrameView::Ping { n: header.n, stamp: sent.0, echo: echo.map(|e| e.0) }
        }
        Message::LogAck { hardened, .. } => FrameView::LogAck { hardened, branch: None },
        Message::Armed { .. } => FrameView::Armed { n: header.n },
        Message::ExposeOk { stamp } | Message::SyncedOk { stamp } => {
            FrameView::Noted { word: (stamp.n, stamp.sequence.into()) }
        }
        Message::FailoverReady { .. } => FrameView::Ready { n: header.n },
        Message::DatabaseFailed => FrameView::Farewell,
        _ => FrameView::Other,
    })
}

/// The role sequence in a frame's header.
pub fn said_under(bytes: &[u8]) -> Option<RoleSequence> {
    dbm_core::wire::peek(bytes).map(|header| header.n)
}

/// Decodes one slot of a session record by the types of its format.
pub fn record(slot: &[u8]) -> Option<RecordView> {
    let (serial, record) = dbm_core::record::decode_slot(slot)?;
    let synchronized = record.shared.synchronized;
    let pair = |stamp: Stamp| (stamp.n, u64::from(stamp.sequence));
    Some(RecordView {
        serial,
        n: record.shared.n,
        owner: record.shared.owner,
        synchronised: Some((synchronized.value, synchronized.stamp.n, synchronized.stamp.sequence.into())),
        over: record.life != dbm_core::record::Life::Session,
        suspended: record.shared.suspended.value,
        suspended_at: pair(record.shared.suspended.stamp),
        safety: record.shared.safety.value,
        safety_at: pair(record.shared.safety.stamp),
        seat: match record.shared.witness.value {
            WitnessSetting::Off => SeatView::Off,
            WitnessSetting::Set(id) => SeatView::Set(id),
            WitnessSetting::Leaving(id) => SeatView::Leaving(id),
        },
        seat_at: pair(record.shared.witness.stamp),
        claim: record.claim,
        off_fork: record.off_fork,
        undo: record.undo.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{self, Rec};
    use super::*;

    #[test]
    fn a_block_is_read_back_with_its_records() {
        let made = testkit::block(
            Lsn::new(1, 4, 0),
            (Lsn::new(1, 2, 0), 9),
            (2, 1),
            &[Rec::Update(7, 3, b"new"), Rec::Commit(7)],
        );
        let BlockAt::Whole(view) = block(&made) else { panic!("a whole block") };
        assert_eq!((view.lsn, view.prev, view.prev_checksum), (Lsn::new(1, 4, 0), Lsn::new(1, 2, 0), 9));
        assert_eq!(view.end, Lsn::new(1, 5, 0));
        let all: Vec<_> = records(&view).collect();
        assert_eq!(all[1], (Lsn::new(1, 4, 1), LogRecord::Commit { txn: TxnId(7) }));
        assert!(matches!(all[0].1, LogRecord::Change { after: Some(b"new"), undoes: false, .. }));
    }

    #[test]
    fn a_block_without_its_rest_is_torn() {
        let mut made = testkit::block(Lsn::new(1, 0, 0), (Lsn::ZERO, 0), (1, 0), &[Rec::Commit(1)]);
        made[100] ^= 1;
        assert_eq!(block(&made), BlockAt::Torn);
        assert_eq!(block(&[0; 512]), BlockAt::Nothing);
    }
}
