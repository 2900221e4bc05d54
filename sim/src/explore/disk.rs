//! The disk of one instance: what is durable, what waits, and what a crash may leave of it.
//!
//! Operations of one file complete in the order of issue. A crash keeps, file by file, either everything that was
//! written or only what is durable; torn writes and kept prefixes are left to the testbed's seeds.

use super::canon::{Canon, Digest};
use dbm_core::io::{DiskOp, DiskResult, Durability, FileId, FileKind, Ticket};
use dbm_core::record;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Number of [`FileKind`]s.
pub const FILES: usize = 5;

/// Every kind, in the order of their numbers.
pub const KINDS: [FileKind; FILES] =
    [FileKind::Record, FileKind::Boot, FileKind::Log, FileKind::Data, FileKind::DoubleWrite];

/// Its name in paths.
pub fn file_name(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Record => "record",
        FileKind::Boot => "boot",
        FileKind::Log => "log",
        FileKind::Data => "data",
        FileKind::DoubleWrite => "double_write",
    }
}

#[derive(Clone, Debug)]
struct Write {
    offset: u64,
    bytes: Arc<[u8]>,
    /// Of its bytes, or of the record they hold.
    hash: u128,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(Ticket, Write, Durability),
    Flush(Ticket),
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Arc<Vec<u8>>,
    /// Of the durable content.
    hash: u128,
    /// Done, and not flushed.
    cached: Vec<Write>,
    pending: VecDeque<Pending>,
}

/// One instance's disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: [File; FILES],
}

fn hash_of(kind: FileKind, bytes: &[u8], whole: bool) -> u128 {
    let mut canon = Canon::new(0, 0);
    if kind == FileKind::Record {
        // Slots are written in turn; which of them holds the newest record makes no difference.
        let newest = if whole { record::newest(bytes) } else { record::decode_slot(bytes) };
        newest.map(|(_, record)| record).hash(&mut canon);
    } else {
        canon.write(bytes);
    }
    canon.part().hash
}

impl File {
    fn put(&mut self, kind: FileKind, writes: impl Iterator<Item = Write>) {
        let content = Arc::make_mut(&mut self.durable);
        for write in writes {
            let from = write.offset as usize;
            let end = from + write.bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[from..end].copy_from_slice(&write.bytes);
        }
        self.hash = hash_of(kind, content, true);
    }
}

impl Disk {
    /// Durable content from before the start.
    pub fn prepare(&mut self, file: FileId, bytes: Vec<u8>) {
        let target = &mut self.files[file.kind as usize];
        target.hash = hash_of(file.kind, &bytes, true);
        target.durable = Arc::new(bytes);
    }

    /// The durable content.
    pub fn durable(&self, kind: FileKind) -> &[u8] {
        &self.files[kind as usize].durable
    }

    /// Takes an operation; a read is answered at once.
    pub fn issue(&mut self, ticket: Ticket, op: DiskOp) -> Option<DiskResult> {
        match op {
            DiskOp::ReadAll { file } => Some(DiskResult::Read(self.durable(file.kind).to_vec())),
            DiskOp::Write { file, offset, bytes, durability } => {
                let hash = hash_of(file.kind, &bytes, false);
                let write = Pending::Write(ticket, Write { offset, bytes, hash }, durability);
                self.files[file.kind as usize].pending.push_back(write);
                None
            }
            DiskOp::Flush { file } => {
                self.files[file.kind as usize].pending.push_back(Pending::Flush(ticket));
                None
            }
        }
    }

    /// Files with operations under way.
    pub fn busy(&self) -> impl Iterator<Item = FileKind> {
        KINDS.into_iter().filter(|k| !self.files[*k as usize].pending.is_empty())
    }

    /// Files whose content a crash now could leave in two ways.
    pub fn uncertain(&self) -> impl Iterator<Item = FileKind> {
        KINDS.into_iter().filter(|k| {
            let file = &self.files[*k as usize];
            !file.cached.is_empty() || file.pending.iter().any(|p| matches!(p, Pending::Write(..)))
        })
    }

    /// Completes the oldest operation of a file.
    pub fn complete(&mut self, kind: FileKind) -> Option<Ticket> {
        let file = &mut self.files[kind as usize];
        match file.pending.pop_front()? {
            Pending::Write(ticket, write, Durability::Through) => {
                file.put(kind, std::iter::once(write));
                Some(ticket)
            }
            Pending::Write(ticket, write, Durability::Cached) => {
                file.cached.push(write);
                Some(ticket)
            }
            Pending::Flush(ticket) => {
                let cached = std::mem::take(&mut file.cached);
                file.put(kind, cached.into_iter());
                Some(ticket)
            }
        }
    }

    /// The process dies. Of the files in `kept` (one bit each) everything written stays, of the others what is durable.
    pub fn crash(&mut self, kept: u8) {
        for kind in KINDS {
            let file = &mut self.files[kind as usize];
            let mut writes = std::mem::take(&mut file.cached);
            writes.extend(std::mem::take(&mut file.pending).into_iter().filter_map(|p| match p {
                Pending::Write(_, write, _) => Some(write),
                Pending::Flush(_) => None,
            }));
            if kept >> (kind as u8) & 1 == 1 && !writes.is_empty() {
                file.put(kind, writes.into_iter());
            }
        }
    }

    /// What of it matters.
    pub fn digest(&self) -> Digest {
        let mut canon = Canon::new(0, 0);
        for (kind, file) in KINDS.into_iter().zip(&self.files) {
            canon.wide(file.hash);
            canon.write_usize(file.cached.len());
            for write in &file.cached {
                canon.wide(write.hash);
                canon.write_u64(write.offset);
            }
            canon.write_usize(file.pending.len());
            for pending in &file.pending {
                match pending {
                    Pending::Write(_, write, durability) => {
                        canon.wide(write.hash);
                        durability.hash(&mut canon);
                        if kind != FileKind::Record {
                            canon.write_u64(write.offset);
                        }
                    }
                    Pending::Flush(_) => canon.write_u8(9),
                }
            }
        }
        canon.part()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dbm_core::io::Area;
    use dbm_core::types::SessionId;

    const LOG: FileId = FileId { session: SessionId(1), kind: FileKind::Log };

    fn write(disk: &mut Disk, serial: u64, byte: u8, durability: Durability) {
        let bytes: Arc<[u8]> = vec![byte].into();
        let op = DiskOp::Write { file: LOG, offset: 0, bytes, durability };
        assert!(disk.issue(Ticket::new(LOG.session, Area::Copy, serial), op).is_none());
    }

    /// A crash keeps a write under way or loses it; a completed write-through stays.
    #[test]
    fn crash_keeps_or_loses_what_was_under_way() {
        let mut disk = Disk::default();
        write(&mut disk, 1, 7, Durability::Through);
        assert_eq!(disk.complete(FileKind::Log).map(|t| t.serial()), Some(1));
        write(&mut disk, 2, 8, Durability::Through);
        let mut kept = disk.clone();
        disk.crash(0);
        assert_eq!(disk.durable(FileKind::Log), [7]);
        kept.crash(1 << FileKind::Log as u8);
        assert_eq!(kept.durable(FileKind::Log), [8]);
    }

    /// A cached write is durable only after the flush.
    #[test]
    fn cached_write_is_durable_after_the_flush() {
        let mut disk = Disk::default();
        write(&mut disk, 1, 7, Durability::Cached);
        assert!(disk.complete(FileKind::Log).is_some());
        assert!(disk.durable(FileKind::Log).is_empty());
        assert_eq!(disk.uncertain().count(), 1);
        let ticket = Ticket::new(LOG.session, Area::Copy, 2);
        assert!(disk.issue(ticket, DiskOp::Flush { file: LOG }).is_none());
        assert!(disk.complete(FileKind::Log).is_some());
        assert_eq!(disk.durable(FileKind::Log), [7]);
        assert_eq!(disk.uncertain().count(), 0);
    }
}
