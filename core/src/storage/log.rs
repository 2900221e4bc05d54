//! The log of one copy: sealed blocks from the truncation point on, one open block, and what of them is on disk.
//!
//! ```text
//!   start ........ hardened ........ issued ........ end | open block
//!   kept in memory          being written   not yet      records that still gather (principal only)
//! ```
//!
//! On the principal one flush is under way at a time and records gather meanwhile (group commit). On the mirror a block
//! is written as soon as its place in the ring is free. [S-32, P-10, P-11]

use super::block::{self, BLOCK_BYTES_MAX, Block, HEADER_BYTES, Link, Records};
use super::branches::BranchTable;
use super::record::Record;
use super::ring::Ring;
use super::tickets::Tickets;
use crate::bugs::{Bug, planted};
use crate::config::Geometry;
use crate::io::{DiskOp, Durability, Effect, Effects, FileKind, SECTOR_BYTES};
use crate::types::Lsn;
use std::collections::VecDeque;

/// A block being written.
#[derive(Clone, Debug)]
struct InFlight {
    serial: u64,
    end: Lsn,
    done: bool,
}

/// Invariants: hardened <= issued <= end; blocks are contiguous by [`Ring::next_block`] and end at `end`.
#[derive(Clone, Debug, Hash)]
pub(super) struct Log {
    pub ring: Ring,
    pub branches: BranchTable,
    blocks: VecDeque<Block>,
    /// For each block, the bytes of log up to its end since this copy was recovered.
    totals: VecDeque<u64>,
    total: u64,
    /// The last sealed block.
    last: Link,
    end: Lsn,
    issued: Lsn,
    hardened: Lsn,
    in_flight: VecDeque<InFlight>,
    /// LSN and records of the open block; its bytes are in `gather`.
    open: Option<(Lsn, u16)>,
    gather: Vec<u8>,
    flush_wanted: bool,
    /// The planted bug of this run.
    bug: Option<Bug>,
}

impl Log {
    /// A log whose blocks, all durable, end at `end` after the block `last`.
    pub fn new(
        geometry: &Geometry,
        branches: BranchTable,
        blocks: VecDeque<Block>,
        last: Link,
        end: Lsn,
        bug: Option<Bug>,
    ) -> Self {
        let mut total = 0;
        let totals = blocks.iter().map(|b| {
            total += b.bytes.len() as u64;
            total
        });
        Log {
            ring: Ring::new(geometry),
            branches,
            totals: totals.collect(),
            total,
            blocks,
            last,
            end,
            issued: end,
            hardened: end,
            in_flight: VecDeque::new(),
            open: None,
            gather: Vec::with_capacity(BLOCK_BYTES_MAX),
            flush_wanted: false,
            bug,
        }
    }

    pub fn end(&self) -> Lsn {
        self.end
    }
    pub fn hardened(&self) -> Lsn {
        self.hardened
    }
    pub fn last(&self) -> Link {
        self.last
    }
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
    pub fn in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }
    /// Where the block after the last sealed one begins.
    pub fn next_block(&self) -> Lsn {
        self.ring.next_block(self.end)
    }
    /// No later record is below this.
    pub fn next_record(&self) -> Lsn {
        self.open.map_or(self.next_block(), |(lsn, records)| Lsn::new(lsn.vlf(), lsn.block(), records))
    }
    /// Bytes of log since recovery, open block excluded.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Appends a record; its LSN never changes. The caller has made sure of the room.
    pub fn append(&mut self, record: &Record<'_>) -> Lsn {
        if self.open.is_some() && self.gather.len() + record.encoded_bytes() > BLOCK_BYTES_MAX {
            self.seal();
        }
        let next = self.next_block();
        let (lsn, records) = self.open.get_or_insert_with(|| {
            self.gather.clear();
            self.gather.resize(HEADER_BYTES, 0);
            (next, 0)
        });
        let at = Lsn::new(lsn.vlf(), lsn.block(), *records);
        *records += 1;
        record.encode(&mut self.gather);
        at
    }

    /// Closes the open block, if any.
    pub fn seal(&mut self) {
        let Some((lsn, records)) = self.open.take() else { return };
        let branch = self.branches.branch_at(lsn).expect("the end of the log is in the last branch");
        let block = block::seal(&mut self.gather, lsn, self.last, branch, records);
        self.push(block);
    }

    /// Adds a block that follows the last one.
    pub fn push(&mut self, block: Block) {
        assert_eq!(block.lsn, self.next_block(), "blocks are contiguous");
        self.last = Link { lsn: block.lsn, checksum: block.checksum };
        self.end = block.end;
        self.total += block.bytes.len() as u64;
        self.totals.push_back(self.total);
        self.blocks.push_back(block);
    }

    /// All appended so far shall be flushed.
    pub fn want_flush(&mut self) {
        self.flush_wanted = true;
    }

    /// Seals what is wanted and writes it, when no write is under way. (Principal.)
    pub fn flush(&mut self, start: Lsn, tickets: &mut Tickets, out: &mut Effects) {
        if self.in_flight() {
            return;
        }
        if std::mem::take(&mut self.flush_wanted) {
            self.seal();
        }
        self.write(start, tickets, out);
        assert_eq!(self.issued, self.end, "the principal seals only blocks that have a place");
    }

    /// Writes the blocks not yet issued, as far as the ring has room while log from `start` on is kept.
    pub fn write(&mut self, start: Lsn, tickets: &mut Tickets, out: &mut Effects) {
        if self.issued == self.end {
            return;
        }
        let cached = planted(self.bug, Bug::LogWriteCached);
        let durability = if cached { Durability::Cached } else { Durability::Through };
        let from = self.index(self.issued);
        for block in self.blocks.range(from..) {
            if block.lsn.vlf() >= self.ring.limit(start) {
                return;
            }
            let (serial, ticket) = tickets.next();
            let op = DiskOp::Write {
                file: tickets.file(FileKind::Log),
                offset: self.ring.offset(block.lsn),
                bytes: block.bytes.clone(),
                durability,
            };
            out.push(Effect::Disk { ticket, op });
            self.in_flight.push_back(InFlight { serial, end: block.end, done: false });
            self.issued = block.end;
        }
    }

    /// A write is done. Tells whether it was one of the log and whether `hardened` moved.
    pub fn on_written(&mut self, serial: u64) -> Option<bool> {
        let write = self.in_flight.iter_mut().find(|w| w.serial == serial)?;
        write.done = true;
        let before = self.hardened;
        while self.in_flight.front().is_some_and(|w| w.done) {
            self.hardened = self.in_flight.pop_front().expect("just seen").end;
        }
        Some(self.hardened > before)
    }

    /// Index of the first block at or beyond `lsn`.
    pub fn index(&self, lsn: Lsn) -> usize {
        self.blocks.partition_point(|b| b.lsn < lsn)
    }

    pub fn blocks(&self) -> &VecDeque<Block> {
        &self.blocks
    }

    /// The block that begins exactly at `lsn`.
    pub fn block_at(&self, lsn: Lsn) -> Option<&Block> {
        self.blocks.get(self.index(lsn)).filter(|b| b.lsn == lsn)
    }

    /// The begin of the block that holds `lsn`, or of the first one after it.
    pub fn block_start(&self, lsn: Lsn) -> Lsn {
        let at = self.blocks.partition_point(|b| b.end <= lsn);
        self.blocks.get(at).map_or(self.next_block(), |b| b.lsn)
    }

    /// Bytes of the sealed blocks at or beyond `from`.
    pub fn bytes_after(&self, from: Lsn) -> u64 {
        match self.index(from) {
            0 => self.blocks.iter().map(|b| b.bytes.len() as u64).sum(),
            at => self.total - self.totals[at - 1],
        }
    }

    /// Records of the open block.
    pub fn open_records(&self) -> Option<Records<'_>> {
        self.open.map(|(lsn, _)| Records::new(&self.gather[HEADER_BYTES..], lsn))
    }

    /// Sectors that can still be appended, a record a sector, while log from `start` on is kept.
    pub fn usable_sectors(&self, start: Lsn) -> u32 {
        let position = match self.open {
            None => self.next_block(),
            Some((lsn, _)) => {
                Lsn::new(lsn.vlf(), lsn.block() + self.gather.len().div_ceil(SECTOR_BYTES) as u32, 0)
            }
        };
        self.ring.usable_sectors(position, start)
    }

    /// Forgets the blocks below `start`.
    pub fn truncate(&mut self, start: Lsn) {
        let below = self.index(start);
        self.blocks.drain(..below);
        self.totals.drain(..below);
        self.branches.prune_below(start);
    }

    /// Drops the blocks at or beyond `at`, a block boundary; `before` is kept blocks' last one. [P-16]
    pub fn cut(&mut self, at: Lsn) {
        assert!(self.open.is_none(), "an open block is sealed before the log is cut");
        let keep = self.index(at);
        let last = self.blocks.get(keep.checked_sub(1).expect("a cut keeps the block of a checkpoint"));
        let last = last.expect("index below the length");
        assert!(last.end <= at, "the log is cut between two blocks");
        (self.end, self.last) = (last.end, Link { lsn: last.lsn, checksum: last.checksum });
        self.blocks.truncate(keep);
        self.totals.truncate(keep);
        self.total = *self.totals.back().expect("one block is kept");
        self.in_flight.retain(|w| w.end <= self.end);
        self.issued = self.issued.min(self.end);
        self.hardened = self.hardened.min(self.end);
    }

    /// Marks are in order, blocks contiguous and chained.
    pub fn check(&self) {
        assert!(self.hardened <= self.issued, "what is hardened was written");
        assert!(self.issued <= self.end, "what was written is sealed");
        assert_eq!(self.blocks.back().map(|b| b.end), Some(self.end), "the log ends with its last block");
        assert_eq!(
            self.in_flight.back().map_or(self.hardened, |w| w.end),
            self.issued,
            "every write is awaited"
        );
        for (a, b) in self.blocks.iter().zip(self.blocks.range(1..)) {
            assert_eq!(self.ring.next_block(a.end), b.lsn, "blocks are contiguous");
            assert!(a.branch <= b.branch, "branches only grow");
        }
    }
}

/// Completions come in the order of issue, so numbers tell nothing more. [`crate::canon`]
impl std::hash::Hash for InFlight {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.end, self.done).hash(state);
    }
}
