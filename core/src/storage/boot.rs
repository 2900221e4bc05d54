//! The boot record: where recovery begins. Two slots of one sector, written in turn, so that a torn write leaves the
//! other. One write at a time, for the same reason. Layout in `docs/storage-format.md`.

use super::block::{field_u32, field_u64};
use super::tickets::Tickets;
use crate::io::{DiskOp, Durability, Effect, Effects, FileKind, SECTOR_BYTES};
use crate::types::Lsn;
use std::sync::Arc;

const MAGIC: u32 = u32::from_le_bytes(*b"DBMT");

/// Where recovery begins. Invariant: `log_start` <= `min_lsn` <= `checkpoint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Boot {
    /// Counts boot records; its parity names the slot.
    pub sequence: u64,
    /// The checkpoint record: the pages on disk hold all below the start of its checkpoint.
    pub checkpoint: Lsn,
    /// Where redo and undo begin.
    pub min_lsn: Lsn,
    /// The first block kept, for a mirror that lags or a log that is cut. [INV-8]
    pub log_start: Lsn,
}

impl Boot {
    /// The sector of this record.
    pub fn encode(&self) -> [u8; SECTOR_BYTES] {
        let mut sector = [0; SECTOR_BYTES];
        sector[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        sector[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        sector[16..24].copy_from_slice(&self.checkpoint.raw().to_le_bytes());
        sector[24..32].copy_from_slice(&self.min_lsn.raw().to_le_bytes());
        sector[32..40].copy_from_slice(&self.log_start.raw().to_le_bytes());
        let checksum = crc32fast::hash(&sector[8..]);
        sector[4..8].copy_from_slice(&checksum.to_le_bytes());
        sector
    }

    fn decode(sector: &[u8]) -> Option<Boot> {
        if field_u32(sector, 0) != MAGIC || field_u32(sector, 4) != crc32fast::hash(&sector[8..]) {
            return None;
        }
        let lsn = |at| Lsn::from_raw(field_u64(sector, at));
        Some(Boot {
            sequence: field_u64(sector, 8),
            checkpoint: lsn(16),
            min_lsn: lsn(24),
            log_start: lsn(32),
        })
    }

    /// The newest valid record of the file.
    pub fn newest(file: &[u8]) -> Option<Boot> {
        file.chunks_exact(SECTOR_BYTES).take(2).filter_map(Boot::decode).max_by_key(|boot| boot.sequence)
    }

    /// Byte offset of its slot.
    pub fn offset(&self) -> u64 {
        self.sequence % 2 * SECTOR_BYTES as u64
    }
}

/// Why a boot record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// It names a new checkpoint.
    Checkpoint,
    /// It only lets more log go.
    Truncate,
    /// It names an older checkpoint, below a cut.
    Cut,
}

/// The file: what is durable, what is being written, what waits.
#[derive(Clone, Debug, Hash)]
pub(super) struct BootFile {
    durable: Boot,
    writing: Option<(u64, Boot, Purpose)>,
    waiting: Option<(Boot, Purpose)>,
}

impl BootFile {
    pub fn new(durable: Boot) -> Self {
        BootFile { durable, writing: None, waiting: None }
    }
    pub fn durable(&self) -> &Boot {
        &self.durable
    }
    /// The newest record issued. It may become durable.
    pub fn newest_issued(&self) -> &Boot {
        self.writing.as_ref().map_or(&self.durable, |(_, boot, _)| boot)
    }
    pub fn is_idle(&self) -> bool {
        self.writing.is_none() && self.waiting.is_none()
    }
    /// A cut waits for its boot record; no block may be written over the log that is still named.
    pub fn is_cutting(&self) -> bool {
        let cuts = |purpose: &Purpose| *purpose == Purpose::Cut;
        self.writing.as_ref().is_some_and(|(_, _, p)| cuts(p))
            || self.waiting.as_ref().is_some_and(|(_, p)| cuts(p))
    }
    /// Writes `boot` next; what waited is replaced. Its sequence is set here.
    pub fn put(&mut self, boot: Boot, purpose: Purpose) {
        self.waiting = Some((boot, purpose));
    }
    /// Starts the waiting write when the one before is done.
    pub fn pump(&mut self, tickets: &mut Tickets, out: &mut Effects) {
        if self.writing.is_some() {
            return;
        }
        let Some((mut boot, purpose)) = self.waiting.take() else { return };
        boot.sequence = self.durable.sequence + 1;
        // The write before may have let log go meanwhile.
        boot.log_start = boot.log_start.max(self.durable.log_start);
        let (serial, ticket) = tickets.next();
        let op = DiskOp::Write {
            file: tickets.file(FileKind::Boot),
            offset: boot.offset(),
            bytes: Arc::from(&boot.encode()[..]),
            durability: Durability::Through,
        };
        out.push(Effect::Disk { ticket, op });
        self.writing = Some((serial, boot, purpose));
    }
    /// Takes a completion; tells for what the record was written.
    pub fn on_written(&mut self, serial: u64) -> Option<Purpose> {
        let (_, boot, purpose) = self.writing.take_if(|(s, _, _)| *s == serial)?;
        self.durable = boot;
        Some(purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_valid_slot_counts() {
        let old = Boot { sequence: 4, checkpoint: Lsn::new(1, 2, 3), ..Boot::default() };
        let new = Boot { sequence: 5, ..old };
        let mut file = [old.encode(), new.encode()].concat();
        assert_eq!(Boot::newest(&file), Some(new));
        file[600] ^= 1;
        assert_eq!(Boot::newest(&file), Some(old));
        file[40] ^= 1;
        assert_eq!(Boot::newest(&file), None);
        assert_eq!(Boot::newest(&[]), None);
    }
}
