//! One copy of the database: its state, what can be asked about it, and how it is driven.

use super::block::Block;
use super::boot::{BootFile, Purpose};
use super::branches::BranchTable;
use super::checkpoint::{Checkpoint, CheckpointMark};
use super::lock::Locks;
use super::log::Log;
use super::page::{Pages, mix};
use super::tickets::Tickets;
use super::txn::{Transactions, TxnState};
use crate::config::Geometry;
use crate::io::{DiskResult, Effects};
use crate::types::{Branch, Key, Lsn, PageId, TxnId, Value};
use std::collections::{BTreeSet, VecDeque};

/// What the copy is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// Just recovered; nothing is written before it is one of the others.
    Undecided,
    /// Executes transactions and writes log; begins with [`Copy::open_branch`].
    Principal,
    /// Receives log and redoes it; begins with the first of `receive`, `redo`, `demote`, `cut`.
    Mirror,
}

/// What a disk completion meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEvent {
    /// [`Copy::hardened`] moved.
    Hardened,
    /// A checkpoint is durable in the boot record; its record's LSN. After [`Copy::checkpoint_now`] on a mirror: all
    /// pages that were dirty then are durable; the LSN is that of the checkpoint in force.
    CheckpointDone(Lsn),
    /// The boot record of a cut is durable; from now on received log is written.
    CutDone,
    /// Nothing to be told.
    Nothing,
    /// The device failed; the copy does nothing more.
    Failed(Device),
}

/// What a copy lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Log and boot record.
    Log,
    /// Pages, in place and in the double-write file.
    Data,
}

/// One copy of the database on one instance.
///
/// Call [`Copy::pump`] after every input in either role; nothing else issues writes, except [`Copy::on_disk`] and
/// [`Copy::receive`].
///
/// Invariants: `log_start <= min_lsn <= checkpoint` of the boot record and all below `end_of_log`;
/// `redone <= end_of_log`; on a principal the pages hold all appended log.
#[derive(Clone, Debug, Hash)]
pub struct Copy {
    pub(super) geometry: Geometry,
    pub(super) side: Side,
    pub(super) log: Log,
    pub(super) pages: Pages,
    pub(super) txns: Transactions,
    pub(super) locks: Locks,
    pub(super) boot: BootFile,
    pub(super) tickets: Tickets,
    /// On a mirror: records below are on the pages and in the transaction table.
    pub(super) redone: Lsn,
    /// Checkpoint records of the kept log that were appended, redone or recovered, in order.
    pub(super) checkpoints: VecDeque<CheckpointMark>,
    /// The checkpoint under way.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) checkpoint_requested: bool,
    /// A client got 9002 and a checkpoint might make room.
    pub(super) log_was_full: bool,
    /// [`Log::total_bytes`] when the last checkpoint began.
    pub(super) bytes_at_checkpoint: u64,
    /// After recovery: a checkpoint record in the log that is newer than the boot record's.
    pub(super) restart_point: Option<CheckpointMark>,
    /// What the mirror is known to have hardened; nothing it might lack is truncated. [INV-8]
    pub(super) mirror_hardened: Lsn,
    /// A mirror whose log is known to be a prefix of its principal's: it has received some or was cut. Before that,
    /// what it has beyond the other's log may still be cut.
    pub(super) follows: bool,
    /// Pages installed and not yet durable.
    pub(super) installed: BTreeSet<PageId>,
    pub(super) failed: bool,
}

impl Copy {
    /// The log branches of the kept log. [OQ-68]
    pub fn branches(&self) -> &BranchTable {
        &self.log.branches
    }
    /// Adopts the principal's table, after it announced a new branch. What the principal has pruned and the own log
    /// still needs stays.
    pub fn set_branches(&mut self, table: BranchTable) {
        self.log.branches.adopt(table);
        self.log.branches.prune_below(self.log_start());
    }
    /// The principal's later blocks carry `branch`, which must be durable in the session record before they are
    /// written. All log is sealed, and hardened or received. [OQ-68]
    pub fn open_branch(&mut self, branch: Branch) {
        assert!(!self.log.is_open(), "a branch begins with a block");
        assert!(!self.boot.is_cutting(), "a cut has ended before log is written");
        let first = self.log.next_block();
        self.log.branches.drop_beyond(first);
        self.log.branches.push(branch, first);
        self.side = Side::Principal;
        self.follows = false;
    }
    /// Principal from here on, in the branch that the log is in already; for a planted bug.
    pub fn continue_branch(&mut self) {
        self.side = Side::Principal;
        self.follows = false;
    }
    /// End (exclusive) of the log sealed or received.
    pub fn end_of_log(&self) -> Lsn {
        self.log.end()
    }
    /// All log below is durable here. [P-11]
    pub fn hardened(&self) -> Lsn {
        self.log.hardened()
    }
    /// All records below are on the pages, and durable. [INV-5]
    pub fn redone(&self) -> Lsn {
        match self.side {
            Side::Principal => self.log.hardened(),
            Side::Mirror | Side::Undecided => self.redone.min(self.log.hardened()),
        }
    }
    /// The first block kept: the truncation point. [S-48]
    pub fn log_start(&self) -> Lsn {
        self.boot.durable().log_start
    }
    /// Where the block after [`Copy::end_of_log`] begins.
    pub fn next_block_lsn(&self) -> Lsn {
        self.log.next_block()
    }
    /// Sealed blocks that begin at or beyond `from`, in order.
    pub fn blocks_after(&self, from: Lsn) -> impl Iterator<Item = &Block> {
        self.log.blocks().range(self.log.index(from)..)
    }
    /// Bytes of those blocks.
    pub fn unsent_bytes(&self, from: Lsn) -> u64 {
        self.log.bytes_after(from)
    }
    /// Log received or sealed and not redone, in bytes of whole blocks. [S-47]
    pub fn redo_queue_bytes(&self) -> u64 {
        self.log.bytes_after(self.redone)
    }
    /// Is there a log write under way, or log that waits for one?
    pub fn is_flushed(&self) -> bool {
        !self.log.is_open() && self.log.hardened() == self.log.end()
    }
    /// The row's value; `None` when absent. Takes no lock.
    pub fn value(&self, key: Key) -> Option<&Value> {
        self.pages.value(key)
    }
    /// Is it a client's transaction, neither committed nor rolled back?
    pub fn is_active(&self, txn: TxnId) -> bool {
        self.txns.get(txn).is_some_and(|t| t.state == TxnState::Active)
    }
    /// The clients' transactions, neither committed nor rolled back.
    pub fn active_transactions(&self) -> Vec<TxnId> {
        self.txns.iter().filter(|(_, t)| t.state == TxnState::Active).map(|(id, _)| id).collect()
    }
    /// What the mirror has hardened; `None`: unknown, nothing more may be truncated than was allowed so far.
    /// [S-48, INV-8, OQ-32]
    pub fn set_mirror_hardened(&mut self, hardened: Option<Lsn>) {
        if let Some(hardened) = hardened {
            self.mirror_hardened = hardened;
        }
    }
    /// Does the mirror hold back the truncation of log (`log_reuse_wait` 5)? [S-50]
    pub fn log_waits_for_mirror(&self) -> bool {
        self.checkpoints.back().is_some_and(|c| c.record >= self.mirror_hardened)
    }
    /// Are all pages that were installed durable?
    pub fn installs_durable(&self) -> bool {
        self.installed.is_empty()
    }

    /// All records appended so far shall be flushed.
    pub fn want_flush(&mut self) {
        self.log.want_flush();
    }

    /// Issues what is due: seals and writes log, goes on with a checkpoint or starts one.
    pub fn pump(&mut self, out: &mut Effects) {
        if self.failed {
            return;
        }
        self.pump_checkpoint(out);
        self.boot.pump(&mut self.tickets, out);
        let start = self.log_start();
        match self.side {
            Side::Undecided => {}
            Side::Principal => self.log.flush(start, &mut self.tickets, out),
            Side::Mirror if self.boot.is_cutting() => {}
            Side::Mirror => self.log.write(start, &mut self.tickets, out),
        }
    }

    /// A disk operation of [`Area::Copy`](crate::io::Area::Copy) has ended; `serial` is its ticket's.
    pub fn on_disk(&mut self, serial: u64, result: DiskResult, out: &mut Effects) -> CopyEvent {
        if self.failed {
            return CopyEvent::Nothing;
        }
        match result {
            DiskResult::Done => {}
            DiskResult::Failed => {
                self.failed = true;
                let log = self.log.on_written(serial).is_some() || self.boot.on_written(serial).is_some();
                return CopyEvent::Failed(if log { Device::Log } else { Device::Data });
            }
            DiskResult::Read(_) => return CopyEvent::Nothing,
        }
        let event = match (self.log.on_written(serial), self.boot.on_written(serial)) {
            (Some(true), _) => CopyEvent::Hardened,
            (Some(false), _) => CopyEvent::Nothing,
            (None, Some(purpose)) => self.on_boot(purpose),
            (None, None) => self.on_checkpoint_disk(serial),
        };
        self.pump(out);
        event
    }

    /// A boot record is durable: log below its start goes.
    fn on_boot(&mut self, purpose: Purpose) -> CopyEvent {
        let boot = *self.boot.durable();
        self.log.truncate(boot.log_start);
        self.checkpoints.retain(|c| c.record >= boot.log_start);
        match purpose {
            Purpose::Checkpoint => {
                self.checkpoint_is_durable();
                CopyEvent::CheckpointDone(boot.checkpoint)
            }
            Purpose::Truncate => CopyEvent::Nothing,
            Purpose::Cut => CopyEvent::CutDone,
        }
    }

    /// Digest of what the copy holds: rows, log and marks. Kept incrementally, so cheap.
    pub fn fingerprint(&self) -> u64 {
        let last = self.log.last();
        let boot = self.boot.durable();
        let words = [
            self.log.next_record().raw(),
            u64::from(last.checksum),
            self.log.hardened().raw(),
            self.redone.raw(),
            boot.checkpoint.raw(),
            boot.log_start.raw(),
            u64::from(self.txns.reserved_sectors()),
        ];
        words.iter().fold(self.pages.digest(), |hash, word| mix(hash ^ word))
    }

    /// Asserts all invariants; linear in the size of the copy.
    pub fn check(&self) {
        self.log.check();
        self.pages.check();
        self.txns.check();
        self.locks.check();
        let boot = self.boot.durable();
        assert!(boot.log_start <= boot.min_lsn, "log that recovery needs is kept");
        assert!(boot.min_lsn <= boot.checkpoint, "a checkpoint begins before its record");
        assert!(self.redone <= self.log.end() || self.side == Side::Principal, "redo follows the log");
        assert!(
            self.checkpoints.iter().is_sorted_by_key(|c| c.record),
            "checkpoints are in the order of the log"
        );
        assert!(
            self.checkpoints.iter().all(|c| c.min_lsn <= c.record),
            "a checkpoint begins before its record"
        );
    }
}
