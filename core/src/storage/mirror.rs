//! The mirror's side: log is received, hardened and redone. [S-32, S-43, P-11, P-12]

use super::block::{Block, BlockError, Link, Verify, parse};
use super::checkpoint::CheckpointMark;
use super::copy::{Copy, Side};
use super::record::Record;
use super::txn::TxnState;
use crate::io::Effects;
use crate::types::{Branch, Lsn};

/// Why received log was not taken. What preceded the block at fault was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// Not a whole, valid block. [P-14]
    #[error(transparent)]
    Block(#[from] BlockError),
    /// It does not begin where the log ends.
    #[error("block {found} where {expected} is next")]
    Gap {
        /// Where the next block begins.
        expected: Lsn,
        /// Where the one received begins.
        found: Lsn,
    },
    /// Other log than the own one at the same place. [P-10]
    #[error("log diverged at {0}")]
    Diverged(Lsn),
    /// Its branch is not the one in force there. [OQ-68]
    #[error("block {lsn} is of branch {found}")]
    Branch {
        /// The block.
        lsn: Lsn,
        /// The branch it names.
        found: Branch,
    },
}

/// A step of redo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redone {
    /// Bytes of the blocks finished.
    pub bytes: usize,
    /// Is there hardened log left to redo?
    pub more: bool,
    /// Redo waits at a Checkpoint record for the flush of an earlier one; go on after the next disk completion.
    pub waits_for_checkpoint: bool,
}

impl Copy {
    /// Takes whole consecutive blocks from the principal, verifies them and writes them through. Blocks already held
    /// are skipped. Blocks without a place in the ring wait in memory until a checkpoint frees it. [S-32]
    pub fn receive(&mut self, bytes: &[u8], out: &mut Effects) -> Result<(), ReceiveError> {
        assert!(self.side != Side::Principal, "a principal receives no log");
        self.side = Side::Mirror;
        let mut rest = bytes;
        let mut result = Ok(());
        while !rest.is_empty() && result.is_ok() {
            result = match parse(rest, Verify::Full) {
                Ok((block, prev)) => {
                    rest = &rest[block.bytes.len()..];
                    self.take(block, prev)
                }
                Err(error) => Err(error.into()),
            };
        }
        self.pump(out);
        result
    }

    fn take(&mut self, block: Block, prev: Link) -> Result<(), ReceiveError> {
        if block.lsn < self.log.end() {
            // Below the truncation point there is nothing left to compare with.
            let known = block.lsn < self.log_start()
                || self.log.block_at(block.lsn).is_some_and(|own| own.checksum == block.checksum);
            return if known { Ok(()) } else { Err(ReceiveError::Diverged(block.lsn)) };
        }
        let expected = self.log.next_block();
        if block.lsn != expected {
            return Err(ReceiveError::Gap { expected, found: block.lsn });
        }
        if prev != self.log.last() {
            return Err(ReceiveError::Diverged(block.lsn));
        }
        if self.log.branches.branch_at(block.lsn) != Some(block.branch) {
            return Err(ReceiveError::Branch { lsn: block.lsn, found: block.branch });
        }
        self.log.push(block);
        self.follows = true;
        Ok(())
    }

    /// Applies hardened records in order, whole blocks until `bytes_max` is reached. At a Checkpoint record the dirty
    /// pages are taken for the restart point, which [`Copy::pump`] then writes; redo waits there only while an earlier
    /// one is under way. [P-12, S-43, S-48]
    pub fn redo(&mut self, bytes_max: usize) -> Redone {
        assert!(self.side != Side::Principal, "a principal has nothing to redo");
        self.side = Side::Mirror;
        let mut step = Redone { bytes: 0, more: false, waits_for_checkpoint: false };
        let mut at = self.log.index(self.log.block_start(self.redone));
        while self.redone < self.log.hardened() {
            // Cheap: the bytes are shared.
            let Some(block) = self.log.blocks().get(at).cloned() else { break };
            if step.bytes >= bytes_max || !self.redo_block(&block, &mut step) {
                step.more = true;
                break;
            }
            step.bytes += block.bytes.len();
            self.redone = block.end;
            at += 1;
        }
        step
    }

    /// Applies a block's records from `redone` on; `false` when it has to wait at one.
    fn redo_block(&mut self, block: &Block, step: &mut Redone) -> bool {
        let from = self.redone;
        for (lsn, record) in block.records().filter(|(lsn, _)| *lsn >= from) {
            if let Record::Checkpoint { min_lsn } = record {
                if self.checkpoint.is_some() || !self.boot.is_idle() {
                    self.redone = lsn;
                    step.waits_for_checkpoint = true;
                    return false;
                }
                let mark = CheckpointMark { record: lsn, min_lsn };
                self.checkpoints.push_back(mark);
                self.restart_point = None;
                self.start_restart_point(mark);
            }
            self.txns.follow(lsn, &record, TxnState::Unfinished);
            if let Some((key, after)) = record.change() {
                self.pages.apply(lsn, key, after);
            }
        }
        true
    }

    /// The mirror becomes principal: everything is redone, and the rows of unfinished transactions are locked until
    /// [`Copy::undo_some`] has undone them. Next is [`Copy::open_branch`]. [FO-5]
    pub fn promote(&mut self) {
        assert_eq!(self.log.hardened(), self.log.end(), "a promoted mirror has hardened all it received");
        assert_eq!(self.redone, self.log.end(), "a promoted mirror has redone all its log");
        self.locks.clear();
        self.lock_unfinished();
    }
}
