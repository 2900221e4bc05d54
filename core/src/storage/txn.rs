//! The transaction table: who has changed what, so that it can be undone. Kept by the principal while it executes, and
//! by redo and recovery from the records. [FO-5]

use super::record::Record;
use crate::types::{Key, Lsn, TxnId, Value};
use std::collections::BTreeMap;

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TxnState {
    /// A client's, running.
    Active,
    /// Left by a former principal or a former life; waits to be undone.
    Unfinished,
    /// Its last record is logged; only its locks are left.
    Ended,
}

/// One change that can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UndoEntry {
    /// The update's LSN.
    pub lsn: Lsn,
    /// The row.
    pub key: Key,
    /// The row before the update.
    pub before: Option<Value>,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Txn {
    /// How far it is.
    pub state: TxnState,
    /// Its first record; `None` as long as it only reads.
    pub first: Option<Lsn>,
    /// Changes not undone yet, oldest first.
    pub undo: Vec<UndoEntry>,
}

/// All transactions that are not released.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transactions {
    table: BTreeMap<TxnId, Txn>,
    /// Sectors of log that ending all of them may take: one for each change and one for each last record.
    reserved_sectors: u32,
}

impl Transactions {
    /// Begins a client's transaction.
    pub fn begin(&mut self, txn: TxnId) {
        let new = Txn { state: TxnState::Active, first: None, undo: Vec::new() };
        assert!(self.table.insert(txn, new).is_none(), "a transaction id is used once");
    }

    /// The transaction.
    pub fn get(&self, txn: TxnId) -> Option<&Txn> {
        self.table.get(&txn)
    }

    /// All transactions, by id.
    pub fn iter(&self) -> impl Iterator<Item = (TxnId, &Txn)> {
        self.table.iter().map(|(id, txn)| (*id, txn))
    }

    /// Forgets a transaction whose locks are released.
    pub fn remove(&mut self, txn: TxnId) {
        if let Some(gone) = self.table.remove(&txn) {
            self.reserved_sectors -= reserve(&gone);
        }
    }

    /// The first record of the oldest transaction that may still have to be undone.
    pub fn oldest_first(&self) -> Option<Lsn> {
        self.table.values().filter(|t| t.state != TxnState::Ended).filter_map(|t| t.first).min()
    }

    /// Sectors of log that must stay free for rollbacks.
    pub fn reserved_sectors(&self) -> u32 {
        self.reserved_sectors
    }

    /// Follows a record of the own log. `state` is that of a transaction first seen here.
    pub fn follow(&mut self, lsn: Lsn, record: &Record<'_>, state: TxnState) {
        let (id, ends) = match record {
            Record::Begin { txn } | Record::Update { txn, .. } | Record::Compensate { txn, .. } => {
                (*txn, false)
            }
            Record::Commit { txn } | Record::Abort { txn } => (*txn, true),
            Record::Checkpoint { .. } => return,
        };
        let txn = self.table.entry(id).or_insert_with(|| Txn { state, first: None, undo: Vec::new() });
        self.reserved_sectors -= reserve(txn);
        txn.first.get_or_insert(lsn);
        match record {
            Record::Update { key, before, .. } => {
                txn.undo.push(UndoEntry { lsn, key: *key, before: before.map(|b| Value(b.to_vec())) });
            }
            Record::Compensate { .. } => {
                txn.undo.pop();
            }
            Record::Commit { .. } => txn.undo.clear(),
            Record::Begin { .. } | Record::Abort { .. } | Record::Checkpoint { .. } => {}
        }
        if ends {
            txn.state = TxnState::Ended;
        }
        self.reserved_sectors += reserve(txn);
        if ends && state == TxnState::Unfinished {
            // Redo and recovery hold no locks for it, so nobody will release it.
            self.table.remove(&id);
        }
    }

    /// Ends a transaction that has logged nothing.
    pub fn end(&mut self, txn: TxnId) {
        let txn = self.table.get_mut(&txn).expect("the transaction that ends");
        assert!(txn.first.is_none(), "a transaction with log ends by a record");
        txn.state = TxnState::Ended;
    }

    /// A transaction that waits to be undone: the one that changed something last.
    pub fn unfinished(&self) -> Option<TxnId> {
        let waiting = self.table.iter().filter(|(_, t)| t.state == TxnState::Unfinished);
        waiting.max_by_key(|(_, t)| t.undo.last().map(|u| u.lsn)).map(|(id, _)| *id)
    }

    /// The clients are gone: what has changed something stays, to be undone by whoever is principal; the rest is
    /// forgotten.
    pub fn abandon(&mut self) {
        self.table.retain(|_, txn| txn.state != TxnState::Ended && txn.first.is_some());
        for txn in self.table.values_mut() {
            txn.state = TxnState::Unfinished;
        }
    }

    /// Counters and lists agree.
    pub fn check(&self) {
        let sum: u32 = self.table.values().map(reserve).sum();
        assert_eq!(self.reserved_sectors, sum, "the reserve is that of all transactions");
        for txn in self.table.values() {
            assert!(txn.undo.is_sorted_by_key(|u| u.lsn), "changes are in the order of the log");
            assert!(
                txn.undo.is_empty() || txn.first.is_some(),
                "who has changed something has a first record"
            );
        }
    }
}

/// Every record fits into a sector of its own, so a sector a record is always enough.
fn reserve(txn: &Txn) -> u32 {
    match (txn.state, txn.first) {
        (TxnState::Ended, _) | (_, None) => 0,
        (TxnState::Active | TxnState::Unfinished, Some(_)) => 1 + txn.undo.len() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TxnId = TxnId(1);

    fn lsn(slot: u16) -> Lsn {
        Lsn::new(1, 0, slot)
    }

    #[test]
    fn compensations_take_changes_off_the_undo_list() {
        let mut table = Transactions::default();
        let update = Record::Update { txn: T, key: Key(1), before: None, after: Some(b"a") };
        table.follow(lsn(0), &Record::Begin { txn: T }, TxnState::Unfinished);
        table.follow(lsn(1), &update, TxnState::Unfinished);
        table.follow(lsn(2), &update, TxnState::Unfinished);
        assert_eq!(table.reserved_sectors(), 3);
        let undo = Record::Compensate { txn: T, key: Key(1), after: None, undo_next: lsn(1) };
        table.follow(lsn(3), &undo, TxnState::Unfinished);
        assert_eq!(table.get(T).map(|t| t.undo.len()), Some(1));
        assert_eq!(table.oldest_first(), Some(lsn(0)));
        table.check();
        table.follow(lsn(4), &Record::Abort { txn: T }, TxnState::Unfinished);
        assert_eq!(table.get(T), None);
        assert_eq!(table.reserved_sectors(), 0);
        table.check();
    }
}
