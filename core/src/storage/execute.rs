//! The principal's side: transactions execute, commit and roll back. [FO-5]
//!
//! Room in the log: each record fits a sector, so a sector for every change that may have to be compensated, one for
//! each transaction's last record and some for checkpoints are kept free; commits, rollbacks and checkpoints therefore
//! never find the log full. [P-13]

use super::block::HEADER_BYTES;
use super::checkpoint::CHECKPOINT_SECTORS;
use super::copy::{Copy, Side};
use super::lock::{Granted, Mode};
use super::record::{RECORD_BYTES_MAX, Record};
use super::txn::{TxnState, UndoEntry};
use crate::bugs::{Bug, planted};
use crate::io::{Op, SECTOR_BYTES};
use crate::types::{Key, Lsn, TxnId, Value};

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// Done; the row before it (a missing row counts as empty).
    Done(Value),
    /// It waits for a lock; [`Copy::release`] of another transaction will name this one, then execute it again.
    Wait,
    /// Waiting would never end: roll the transaction back (1205).
    Deadlock,
    /// No room in the log: roll the transaction back (9002).
    LogFull,
}

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committing {
    /// Its record's LSN; committed once that is hardened, and confirmed as the session's safety demands.
    Logged(Lsn),
    /// It changed nothing, so there is nothing to harden.
    ReadOnly,
}

/// A step of the background rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// Transactions undone in full; release them.
    pub finished: Vec<TxnId>,
    /// Is there more to undo?
    pub more: bool,
}

const _: () = assert!(HEADER_BYTES + RECORD_BYTES_MAX <= SECTOR_BYTES, "a record fits a sector of its own");

impl Copy {
    /// Begins a client's transaction. Its Begin record is logged with its first change.
    pub fn begin(&mut self, txn: TxnId) {
        assert_eq!(self.side, Side::Principal, "only a principal executes");
        self.txns.begin(txn);
    }

    /// Executes one operation of an active transaction.
    pub fn execute(&mut self, txn: TxnId, op: &Op) -> Executed {
        assert_eq!(self.side, Side::Principal, "only a principal executes");
        assert!(self.is_active(txn), "an operation belongs to an active transaction");
        let key = op.key();
        let mode = match op {
            Op::Read(_) => Mode::Shared,
            Op::Write(..) | Op::Add(..) | Op::Append(..) => Mode::Exclusive,
        };
        let dirty = mode == Mode::Shared && planted(self.bug, Bug::DirtyRead);
        match if dirty { Granted::Yes } else { self.locks.acquire(txn, key, mode) } {
            Granted::Yes => {}
            Granted::Wait => return Executed::Wait,
            Granted::Deadlock => return Executed::Deadlock,
        }
        match changed(op, self.pages.value(key)) {
            None => Executed::Done(self.pages.value(key).cloned().unwrap_or_default()),
            Some(after) => self.change(txn, key, &after),
        }
    }

    fn change(&mut self, txn: TxnId, key: Key, after: &Value) -> Executed {
        let begins = self.txns.get(txn).is_none_or(|t| t.first.is_none());
        let records = if begins { 2 } else { 1 };
        // As many sectors again: to compensate the change, and for the last record if this is the first change.
        let needed = 2 * records + self.txns.reserved_sectors() + CHECKPOINT_SECTORS;
        if self.log.usable_sectors(self.log_start()) < needed {
            self.log_was_full = true;
            return Executed::LogFull;
        }
        if begins {
            let record = Record::Begin { txn };
            let lsn = self.log.append(&record);
            self.txns.follow(lsn, &record, TxnState::Active);
        }
        let before = self.pages.value(key);
        let record = Record::Update { txn, key, before: before.map(|v| &v.0[..]), after: Some(&after.0) };
        let lsn = self.log.append(&record);
        self.txns.follow(lsn, &record, TxnState::Active);
        let found = before.cloned().unwrap_or_default();
        let applied = self.pages.apply(lsn, key, Some(&after.0));
        assert!(applied, "a new record is newer than its page");
        Executed::Done(found)
    }

    /// Logs the commit and wants a flush. The locks stay.
    pub fn commit(&mut self, txn: TxnId) -> Committing {
        assert!(self.is_active(txn), "an active transaction commits");
        if self.txns.get(txn).is_some_and(|t| t.first.is_none()) {
            self.txns.end(txn);
            return Committing::ReadOnly;
        }
        let record = Record::Commit { txn };
        let lsn = self.log.append(&record);
        self.txns.follow(lsn, &record, TxnState::Active);
        self.log.want_flush();
        Committing::Logged(lsn)
    }

    /// Undoes an active transaction, and logs it. No flush is needed. The locks stay.
    pub fn rollback(&mut self, txn: TxnId) {
        assert!(self.is_active(txn), "an active transaction is rolled back");
        self.locks.cancel_wait(txn);
        if self.txns.get(txn).is_some_and(|t| t.first.is_none()) {
            self.txns.end(txn);
            return;
        }
        while self.compensate(txn) {}
        self.abort(txn);
    }

    /// Frees the locks of a transaction that has ended. Returns those whose wait is over, in order: execute their
    /// operation again.
    pub fn release(&mut self, txn: TxnId) -> Vec<TxnId> {
        assert!(!self.is_active(txn), "locks are held to the end of the transaction");
        self.txns.remove(txn);
        self.locks.release(txn)
    }

    /// Undoes up to `records` changes of transactions that a former principal or life left unfinished. [FO-5]
    pub fn undo_some(&mut self, records: usize) -> Undo {
        assert_eq!(self.side, Side::Principal, "a mirror never undoes");
        let mut left = records;
        let mut finished = Vec::new();
        while let Some(txn) = self.txns.unfinished() {
            // A ring that is still to be truncated after a promotion may have no room yet.
            if left == 0 || self.log.usable_sectors(self.log_start()) == 0 {
                return Undo { finished, more: true };
            }
            left -= 1;
            if planted(self.bug, Bug::LosersKeepChanges) || !self.compensate(txn) {
                self.abort(txn);
                finished.push(txn);
            }
        }
        Undo { finished, more: false }
    }

    /// Undoes the newest change of `txn`; `false` when there is none.
    fn compensate(&mut self, txn: TxnId) -> bool {
        let entry = self.txns.get(txn).expect("a transaction being undone").undo.split_last();
        let Some((UndoEntry { key, before, .. }, earlier)) = entry.map(|(last, rest)| (last.clone(), rest))
        else {
            return false;
        };
        let after = before.as_ref().map(|v| &v.0[..]);
        let undo_next = earlier.last().map_or(Lsn::ZERO, |e| e.lsn);
        let record = Record::Compensate { txn, key, after, undo_next };
        let lsn = self.log.append(&record);
        self.txns.follow(lsn, &record, TxnState::Active);
        let applied = self.pages.apply(lsn, key, after);
        assert!(applied, "a new record is newer than its page");
        true
    }

    fn abort(&mut self, txn: TxnId) {
        let record = Record::Abort { txn };
        let lsn = self.log.append(&record);
        self.txns.follow(lsn, &record, TxnState::Active);
    }

    /// The locks of unfinished transactions, so that no client sees their changes before they are undone. [FO-5]
    pub(super) fn lock_unfinished(&mut self) {
        for (txn, entry) in self.txns.iter() {
            for change in &entry.undo {
                let granted = self.locks.acquire(txn, change.key, Mode::Exclusive);
                assert_eq!(granted, Granted::Yes, "unfinished transactions changed different rows");
            }
        }
    }
}

/// What a changing operation makes of a row; `None` for a read. A missing row counts as empty.
///
/// Assumed: a value longer than [`Value::MAX`] is cut there; a list that is full drops its oldest element; additions
/// wrap.
pub fn changed(op: &Op, before: Option<&Value>) -> Option<Value> {
    let empty = Value::default();
    let before = before.unwrap_or(&empty);
    match op {
        Op::Read(_) => None,
        Op::Write(_, value) => Some(Value(value.0[..value.0.len().min(Value::MAX)].to_vec())),
        Op::Add(_, n) => Some(Value::number(before.as_number().wrapping_add(*n))),
        Op::Append(_, element) => {
            let whole = before.0.len() / 4 * 4;
            let from = (whole + 4).saturating_sub(Value::MAX);
            let mut list = Vec::with_capacity(whole + 4);
            list.extend_from_slice(&before.0[from..whole]);
            list.extend_from_slice(&element.to_le_bytes());
            Some(Value(list))
        }
    }
}
