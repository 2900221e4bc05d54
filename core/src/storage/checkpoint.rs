//! Checkpoints: pages go to disk, so that recovery begins later and log can be truncated. [S-48]
//!
//! ```text
//!   WaitLog      images taken; wait until the log of every image is hardened (write-ahead rule)
//!   DoubleWrite  all images into the double-write file, durable
//!   Protected    that file holds them all
//!   InPlace      the same images in place, then a flush (a flush alone when no page is dirty)
//!   Record       principal only: the Checkpoint record is appended; wait until it is hardened
//!   Boot         the boot record names the checkpoint record
//! ```
//!
//! A mirror goes through the same steps when it redoes a Checkpoint record, and writes none itself.
//!
//! The truncation point lies one checkpoint further back than the newest that may be relied on. A mirror may have
//! hardened a checkpoint record that its principal loses in a crash [OQ-68]; it then has to go back to the one before,
//! which is on both sides, because a checkpoint begins only when the boot record of the last is durable. Both sides
//! truncate by the same rule, so that the mirror's ring has room for whatever the principal's ring holds.

use super::boot::{Boot, Purpose};
use super::copy::{Copy, CopyEvent, Side};
use super::double_write;
use super::page::PAGE_BYTES;
use super::record::Record;
use crate::bugs::{Bug, planted};
use crate::io::{DiskOp, Durability, Effect, Effects, FileKind};
use crate::types::{Lsn, PageId};
use std::sync::Arc;

/// Sectors of log kept free for Checkpoint records, beyond what rollbacks may need.
pub(super) const CHECKPOINT_SECTORS: u32 = 4;

/// A checkpoint record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckpointMark {
    /// The record.
    pub record: Lsn,
    /// Where recovery from it begins.
    pub min_lsn: Lsn,
}

/// What a checkpoint is for.
#[derive(Clone, Copy, Debug, Hash)]
enum Kind {
    /// The principal's: the pages hold everything below `redo_lsn`.
    Principal { redo_lsn: Lsn },
    /// The pages hold everything below a record that is in the log already.
    Restart { mark: CheckpointMark, log_start: Lsn },
    /// Only to have the pages durable.
    Pages,
}

/// How far it is; numbers are those of the disk operation awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    WaitLog,
    DoubleWrite(u64),
    Protected,
    InPlace(u64),
    Record(Lsn),
    Boot,
}

/// A checkpoint under way.
#[derive(Clone, Debug, Hash)]
pub(super) struct Checkpoint {
    kind: Kind,
    stage: Stage,
    ids: Vec<PageId>,
    /// Of the pages `ids`, one after the other.
    images: Vec<u8>,
    /// The newest record on the images.
    newest: Lsn,
}

impl Copy {
    /// Starts a checkpoint as soon as possible. On a mirror: writes the dirty pages, and names no new checkpoint.
    pub fn checkpoint_now(&mut self) {
        self.checkpoint_requested = true;
    }

    /// Starts a checkpoint when due, and goes on with the one under way.
    pub(super) fn pump_checkpoint(&mut self, out: &mut Effects) {
        if self.checkpoint.is_none() && self.boot.is_idle() {
            self.start_due_checkpoint();
        }
        self.truncate_if_allowed();
        self.step_checkpoint(out);
    }

    fn start_due_checkpoint(&mut self) {
        if self.side == Side::Undecided {
            return;
        }
        if let Some(mark) = self.restart_point.take() {
            return self.start_restart_point(mark);
        }
        let due = match self.side {
            Side::Principal => self.principal_checkpoint_is_due(),
            Side::Mirror | Side::Undecided => self.checkpoint_requested,
        };
        if !due {
            return;
        }
        self.checkpoint_requested = false;
        self.bytes_at_checkpoint = self.log.total_bytes();
        self.start(match self.side {
            Side::Principal => Kind::Principal { redo_lsn: self.log.next_record() },
            Side::Mirror | Side::Undecided => Kind::Pages,
        });
    }

    fn principal_checkpoint_is_due(&mut self) -> bool {
        let usable = self.log.usable_sectors(self.log_start());
        if usable <= self.txns.reserved_sectors() {
            return false; // What is left belongs to rollbacks.
        }
        let written = self.log.total_bytes() - self.bytes_at_checkpoint;
        if self.checkpoint_requested || written >= u64::from(self.geometry.checkpoint_bytes) {
            return true;
        }
        self.log_was_full && self.checkpoint_makes_room()
    }

    /// Would another checkpoint, or a second one after it, free a virtual log file? Not while the mirror lacks the
    /// newest: then each would only use up the reserve.
    fn checkpoint_makes_room(&mut self) -> bool {
        let next = self.txns.oldest_first().unwrap_or(self.log.next_record());
        if next.vlf() <= self.log_start().vlf() {
            self.log_was_full = false;
            return false;
        }
        !self.log_waits_for_mirror()
    }

    /// The pages hold everything below the record `mark`: lets the boot record name it.
    pub(super) fn start_restart_point(&mut self, mark: CheckpointMark) {
        let log_start = self.truncation_point(mark.record);
        self.start(Kind::Restart { mark, log_start });
    }

    /// Takes images of all dirty pages.
    fn start(&mut self, kind: Kind) {
        assert!(self.checkpoint.is_none(), "one checkpoint at a time");
        let ids: Vec<PageId> = self.pages.take_dirty().into_iter().collect();
        let mut images = Vec::with_capacity(ids.len() * PAGE_BYTES);
        // A boot record names only what is hardened.
        let mut newest = match kind {
            Kind::Restart { mark, .. } => mark.record,
            Kind::Principal { .. } | Kind::Pages => Lsn::ZERO,
        };
        let own_end = self.log.next_record();
        for id in &ids {
            let page = self.pages.get(*id).expect("a dirty page is resident");
            page.encode(*id, &mut images);
            // A page fetched from the new principal may be ahead of the own log; its sender has flushed. To wait for that
            // log could be for ever: the ring may have no place for it before this checkpoint is done. [OQ-21]
            let fetched = self.side == Side::Mirror && self.installed.contains(id);
            if !fetched && page.lsn < own_end {
                newest = newest.max(page.lsn);
            }
        }
        if newest >= self.log.hardened() {
            self.log.want_flush();
        }
        self.checkpoint = Some(Checkpoint { kind, stage: Stage::WaitLog, ids, images, newest });
    }

    fn step_checkpoint(&mut self, out: &mut Effects) {
        let hardened = self.log.hardened();
        let Some(running) = &mut self.checkpoint else { return };
        match running.stage {
            Stage::WaitLog if running.newest >= hardened && !planted(self.bug, Bug::PageBeforeLog) => {}
            Stage::WaitLog if running.ids.is_empty() || planted(self.bug, Bug::NoDoubleWrite) => {
                self.write_in_place(out);
            }
            Stage::WaitLog => {
                let (serial, ticket) = self.tickets.next();
                let op = DiskOp::Write {
                    file: self.tickets.file(FileKind::DoubleWrite),
                    offset: 0,
                    bytes: Arc::from(double_write::encode(&running.ids, &running.images)),
                    durability: Durability::Through,
                };
                out.push(Effect::Disk { ticket, op });
                running.stage = Stage::DoubleWrite(serial);
            }
            Stage::Protected => self.write_in_place(out),
            Stage::Record(record) if record < hardened => self.put_boot(),
            Stage::DoubleWrite(_) | Stage::InPlace(_) | Stage::Record(_) | Stage::Boot => {}
        }
    }

    /// The double-write file is durable: neighbouring pages go in place with one write each run.
    fn write_in_place(&mut self, out: &mut Effects) {
        let running = self.checkpoint.as_mut().expect("a checkpoint is under way");
        let file = self.tickets.file(FileKind::Data);
        let mut from = 0;
        for run in running.ids.chunk_by(|a, b| a.0 + 1 == b.0) {
            let (_, ticket) = self.tickets.next();
            let bytes = Arc::from(&running.images[from * PAGE_BYTES..(from + run.len()) * PAGE_BYTES]);
            let offset = u64::from(run[0].0) * PAGE_BYTES as u64;
            let op = DiskOp::Write { file, offset, bytes, durability: Durability::Cached };
            out.push(Effect::Disk { ticket, op });
            from += run.len();
        }
        let (serial, ticket) = self.tickets.next();
        out.push(Effect::Disk { ticket, op: DiskOp::Flush { file } });
        running.images = Vec::new();
        running.stage = Stage::InPlace(serial);
    }

    /// A completion that is neither of the log nor of the boot record.
    pub(super) fn on_checkpoint_disk(&mut self, serial: u64) -> CopyEvent {
        let Some(running) = &mut self.checkpoint else { return CopyEvent::Nothing };
        if running.stage == Stage::DoubleWrite(serial) {
            running.stage = Stage::Protected;
        } else if running.stage == Stage::InPlace(serial) {
            return self.pages_are_durable();
        }
        CopyEvent::Nothing
    }

    fn pages_are_durable(&mut self) -> CopyEvent {
        let running = self.checkpoint.as_mut().expect("a checkpoint is under way");
        for id in &running.ids {
            if !self.pages.dirty().contains(id) {
                self.installed.remove(id);
            }
        }
        match running.kind {
            Kind::Principal { redo_lsn } => {
                let min_lsn = self.txns.oldest_first().map_or(redo_lsn, |first| first.min(redo_lsn));
                let record = self.log.append(&Record::Checkpoint { min_lsn });
                self.log.want_flush();
                self.checkpoints.push_back(CheckpointMark { record, min_lsn });
                running.stage = Stage::Record(record);
                CopyEvent::Nothing
            }
            Kind::Restart { .. } => {
                self.put_boot();
                CopyEvent::Nothing
            }
            Kind::Pages => {
                self.checkpoint = None;
                CopyEvent::CheckpointDone(self.boot.durable().checkpoint)
            }
        }
    }

    fn put_boot(&mut self) {
        let running = self.checkpoint.as_mut().expect("a checkpoint is under way");
        running.stage = Stage::Boot;
        let (mark, log_start) = match running.kind {
            Kind::Restart { mark, log_start } => (mark, log_start),
            Kind::Principal { .. } | Kind::Pages => {
                let mark = *self.checkpoints.back().expect("the record was appended");
                (mark, self.truncation_point(mark.record))
            }
        };
        let log_start = log_start.max(self.log_start());
        let boot = Boot { sequence: 0, checkpoint: mark.record, min_lsn: mark.min_lsn, log_start };
        self.boot.put(boot, Purpose::Checkpoint);
    }

    /// The boot record of the checkpoint under way is durable.
    pub(super) fn checkpoint_is_durable(&mut self) {
        if self.checkpoint.as_ref().is_some_and(|c| c.stage == Stage::Boot) {
            self.checkpoint = None;
        }
    }

    /// A checkpoint whose end makes no sense any more. Pages being written in place are written to the end: the
    /// double-write file, which protects them, must not be replaced before.
    pub(super) fn abandon_checkpoint(&mut self) {
        let Some(running) = &mut self.checkpoint else { return };
        match running.stage {
            Stage::WaitLog | Stage::DoubleWrite(_) => {
                let ids = std::mem::take(&mut running.ids);
                self.pages.mark_dirty(ids);
                self.checkpoint = None;
            }
            Stage::Protected | Stage::InPlace(_) => running.kind = Kind::Pages,
            Stage::Record(_) | Stage::Boot => self.checkpoint = None,
        }
    }

    /// The newest checkpoint record that redo has passed and no boot record names. The other partner may have truncated
    /// its log because of it, so this copy must follow, or its ring might have no place for the other's log.
    pub(super) fn missed_checkpoint(&self) -> Option<CheckpointMark> {
        let newest = self.checkpoints.iter().rev().find(|c| c.record < self.redone)?;
        (newest.record > self.boot.newest_issued().checkpoint).then_some(*newest)
    }

    /// As [`Copy::abandon_checkpoint`], but a boot record already on its way may arrive: its checkpoint is in the log.
    pub(super) fn abandon_unlogged_checkpoint(&mut self) {
        if self
            .checkpoint
            .as_ref()
            .is_some_and(|c| c.stage != Stage::Boot && matches!(c.kind, Kind::Principal { .. }))
        {
            self.abandon_checkpoint();
        }
    }

    /// After recovery: torn pages are written in place again from the images the double-write file still holds,
    /// before anything replaces that file.
    pub(super) fn start_repair(&mut self, ids: Vec<PageId>, images: Vec<u8>) {
        let stage = Stage::Protected;
        self.checkpoint = Some(Checkpoint { kind: Kind::Pages, stage, ids, images, newest: Lsn::ZERO });
    }

    /// The first block to keep when `upto` is the newest checkpoint record the boot record may name: the beginning of
    /// the checkpoint before the newest that both this copy and the other partner hold. [S-48, INV-8]
    fn truncation_point(&self, upto: Lsn) -> Lsn {
        let needed = self.needed_from(upto);
        needed.map_or(self.log_start(), |lsn| self.log.block_start(lsn).max(self.log_start()))
    }

    /// The first record to keep by the same rule, if it is known.
    fn needed_from(&self, upto: Lsn) -> Option<Lsn> {
        let all = self.follows || planted(self.bug, Bug::TruncatesWithoutMirror);
        let held = |c: &&CheckpointMark| c.record <= upto && (all || c.record < self.mirror_hardened);
        self.checkpoints.iter().rev().filter(held).nth(1).map(|c| c.min_lsn)
    }

    /// Rewrites the boot record when that frees a virtual log file, as when the mirror has caught up.
    fn truncate_if_allowed(&mut self) {
        if self.side == Side::Undecided || !self.boot.is_idle() {
            return;
        }
        let boot = *self.boot.durable();
        // The block of a record lies in the same virtual log file, so most often nothing has to be searched.
        if self.needed_from(boot.checkpoint).is_none_or(|lsn| lsn.vlf() <= boot.log_start.vlf()) {
            return;
        }
        let log_start = self.truncation_point(boot.checkpoint);
        if log_start.vlf() > boot.log_start.vlf() {
            self.boot.put(Boot { log_start, ..boot }, Purpose::Truncate);
        }
    }
}
