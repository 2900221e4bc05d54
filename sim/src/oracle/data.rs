//! Client truth: what clients observed is strictly serializable, across role switches. [P-8]
//!
//! No search: the order of commit records in the surviving log is the certificate. The model replays the clients'
//! operations in that order; every confirmed transaction must have seen what the model holds at its place, and what
//! the log says a transaction left behind must be what the model computes, so that none is in partly. A read-only
//! transaction stands where its mark says: after all commits below it. If that mark lies on a dead end of the log, any
//! place is accepted at which its values fit and which real time permits. Real time: a transaction that began after
//! another was confirmed stands behind it.
//!
//! Judged are confirmed transactions and, for their effect, unknown ones found in the log. What a transaction saw that
//! was rolled back or failed is not judged. A row whose content the model cannot know (a list beyond its longest) is
//! left out from then on. Every operation but a read is logged, even if it changes nothing.

use super::chain::{Chain, NodeId, Version};
use super::history::{History, Outcome, Txn};
use super::logs::Logs;
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::io::Op;
use dbm_core::types::{Branch, Key, Lsn, TxnId, Value};
use std::collections::BTreeMap;

/// Accounts have the keys below this one; lists those from it on.
pub(super) const FIRST_LIST_KEY: u32 = 1024;
/// What every account holds at first.
pub(super) const ACCOUNT_START: i64 = 1000;

/// The rows, as replayed so far.
struct Model<'a> {
    accounts: u32,
    logs: &'a Logs,
    rows: BTreeMap<Key, Vec<u8>>,
    start: Vec<u8>,
    /// Rows whose content the model cannot know any more.
    blurred: Vec<Key>,
    sum: i64,
}

impl Model<'_> {
    fn get(&self, key: Key) -> &[u8] {
        match self.rows.get(&key) {
            Some(row) => row,
            None => match self.logs.base_row(key.0) {
                Some(row) => row,
                None if key.0 < self.accounts => &self.start,
                None => &[],
            },
        }
    }

    fn knows(&self, key: Key) -> bool {
        !self.blurred.contains(&key)
    }

    fn fits(&self, op: &Op, seen: Option<&Value>) -> bool {
        seen.is_none_or(|seen| !self.knows(op.key()) || self.get(op.key()) == seen.0)
    }

    fn apply(&mut self, op: &Op) {
        let key = op.key();
        let before = self.get(key);
        let number = if key.0 < self.accounts || matches!(op, Op::Add(..)) {
            Value(before.to_vec()).as_number()
        } else {
            0
        };
        let after = match op {
            Op::Read(_) => return,
            Op::Write(_, value) => value.0[..value.0.len().min(Value::MAX)].to_vec(),
            Op::Add(_, amount) => Value::number(number.wrapping_add(*amount)).0,
            Op::Append(_, element) => {
                let mut list = Vec::with_capacity(before.len() + 4);
                list.extend_from_slice(before);
                list.extend_from_slice(&element.to_le_bytes());
                if list.len() > Value::MAX && self.knows(key) {
                    self.blurred.push(key);
                }
                list
            }
        };
        if key.0 < self.accounts {
            let after = Value(after);
            self.sum += after.as_number() - number;
            self.rows.insert(key, after.0);
        } else {
            self.rows.insert(key, after);
        }
    }
}

/// A transaction at its place: before (readers) or as (writers) the commit of that number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    place: usize,
    writer: bool,
    began: u64,
    ended: u64,
    txn: TxnId,
}

/// The commits of the surviving log, in order.
struct Certificate {
    order: Vec<(Branch, Lsn, TxnId)>,
    /// Branches of the log with their exclusive ends.
    branches: Vec<(Branch, Lsn)>,
}

/// A log to judge by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    /// Its last block.
    pub(super) tip: Option<NodeId>,
    /// Rows below this key are accounts.
    pub(super) accounts: u32,
    /// There is no other. After a forced service there may be: then a reader whose mark is not on this log is judged on
    /// its own fork.
    pub(super) only_log: bool,
}

/// Judges the whole history at the end of the run, against one log.
pub(super) fn finish(
    end: Time,
    Fork { tip, accounts, only_log }: Fork,
    history: &History,
    chain: &Chain,
    logs: &Logs,
    report: &mut Report,
) {
    let certificate = certify(tip, chain);
    let finals = finals(tip, chain);
    let mut readers = place_readers(history, &certificate, only_log);
    readers.sort_by_key(|(place, _, _)| *place);
    let mut readers = readers.into_iter().peekable();
    let mut floating: Vec<(&Txn, usize, usize)> = Vec::new();
    let mut placed: Vec<Placed> = Vec::new();
    let start = Value::number(ACCOUNT_START).0;
    let mut model = Model { accounts, logs, rows: BTreeMap::new(), blurred: Vec::new(), sum: 0, start };

    for place in 0..=certificate.order.len() {
        while let Some((_, upto, txn)) = readers.next_if(|(from, _, _)| *from == place) {
            if upto > place {
                floating.push((txn, place, upto));
            } else {
                judge_reader(end, txn, &model, report);
                placed.push(at(txn, place, false));
            }
        }
        floating.retain(|(txn, _, upto)| {
            let fits = txn.ops.iter().all(|(op, seen)| model.fits(op, seen.as_ref()));
            if fits {
                report.held(Premise::ReaderPlaced);
            } else if place >= *upto {
                judge_reader(end, txn, &model, report);
            }
            !fits && place < *upto
        });
        let Some(&(_, lsn, id)) = certificate.order.get(place) else { continue };
        let Some(txn) = history.txn(id) else { continue };
        judge_writer(end, txn, &mut model, report);
        judge_effect(end, txn, lsn, &finals, chain, &model, report);
        placed.push(at(txn, place, true));
    }
    judge_real_time(end, &placed, report);
}

fn at(txn: &Txn, place: usize, writer: bool) -> Placed {
    let ended = match txn.outcome {
        Outcome::Committed { step, .. } => step,
        Outcome::Open | Outcome::RolledBack | Outcome::Failed | Outcome::Unknown => u64::MAX,
    };
    Placed { place, writer, began: txn.step, ended, txn: txn.id }
}

fn certify(tip: Option<NodeId>, chain: &Chain) -> Certificate {
    let mut order: Vec<(Branch, Lsn, TxnId)> = chain
        .commits()
        .iter()
        .filter(|c| !c.preloaded && chain.contains(tip, c.node))
        .map(|c| (chain.node(c.node).branch, c.lsn, c.txn))
        .collect();
    order.sort_unstable();
    let mut branches: Vec<(Branch, Lsn)> = Vec::new();
    for node in chain.path(tip).into_iter().map(|id| chain.node(id)) {
        match branches.last_mut() {
            Some((branch, end)) if *branch == node.branch => *end = node.end,
            Some(_) | None => branches.push((node.branch, node.end)),
        }
    }
    Certificate { order, branches }
}

/// The last version of each row that each transaction left in the surviving log.
fn finals(tip: Option<NodeId>, chain: &Chain) -> BTreeMap<(TxnId, u32), Version> {
    let mut finals = BTreeMap::new();
    for (key, versions) in chain.versions() {
        for version in versions.iter().filter(|v| !v.undoes && chain.contains(tip, v.node)) {
            finals.insert((version.txn, *key), *version);
        }
    }
    finals
}

/// Where each confirmed read-only transaction may stand: from, up to.
fn place_readers<'a>(
    history: &'a History,
    certificate: &Certificate,
    only_log: bool,
) -> Vec<(usize, usize, &'a Txn)> {
    let order = &certificate.order;
    let mut readers = Vec::new();
    for txn in history.txns().iter().filter(|t| !t.writes) {
        let Outcome::Committed { at, branch, step } = txn.outcome else { continue };
        let segment = certificate.branches.iter().position(|(b, _)| *b == branch);
        let on_path = segment.is_some_and(|i| {
            let (_, end) = certificate.branches[i];
            // The end of the newest branch is where the log ends now; a mark beyond it saw what never became durable.
            at <= end
        });
        if on_path {
            let place = order.partition_point(|(b, lsn, _)| (*b, *lsn) < (branch, at));
            readers.push((place, place, txn));
            continue;
        }
        if !only_log {
            continue;
        }
        // Behind everything confirmed before it began, before everything begun after it was confirmed.
        let confirmed = |id: TxnId| {
            history
                .txn(id)
                .is_some_and(|t| matches!(t.outcome, Outcome::Committed { step, .. } if step < txn.step))
        };
        let later = |id: TxnId| history.txn(id).is_some_and(|t| t.step > step);
        let from = order.iter().rposition(|(_, _, id)| confirmed(*id)).map_or(0, |i| i + 1);
        let upto = order.iter().position(|(_, _, id)| later(*id)).unwrap_or(order.len());
        readers.push((from, upto.max(from), txn));
    }
    readers
}

fn judge_reader(end: Time, txn: &Txn, model: &Model<'_>, report: &mut Report) {
    report.held(Premise::ReaderPlaced);
    for (op, seen) in &txn.ops {
        if !model.fits(op, seen.as_ref()) {
            misread(end, txn, op, seen.as_ref(), model.get(op.key()), report);
        }
    }
}

fn judge_writer(end: Time, txn: &Txn, model: &mut Model<'_>, report: &mut Report) {
    let confirmed = match txn.outcome {
        Outcome::Committed { .. } => true,
        Outcome::Unknown | Outcome::Open => false,
        // Durability reports these; the log is still what later transactions saw.
        Outcome::RolledBack | Outcome::Failed => false,
    };
    report.held(if confirmed { Premise::WriterPlaced } else { Premise::UnknownPlaced });
    for (op, seen) in &txn.ops {
        if confirmed && !model.fits(op, seen.as_ref()) {
            misread(end, txn, op, seen.as_ref(), model.get(op.key()), report);
        }
        model.apply(op);
    }
    if model.accounts > 0 {
        report.held(Premise::SumJudged);
        if model.sum != 0 {
            let off = std::mem::take(&mut model.sum);
            report.fire("data", "SUM", end, || {
                format!("the sum of all accounts is off by {off} after {:?}", txn.id)
            });
        }
    }
}

#[cold]
fn misread(end: Time, txn: &Txn, op: &Op, seen: Option<&Value>, model: &[u8], report: &mut Report) {
    report.fire("data", "P-8", end, || {
        format!(
            "{:?} of client {} saw {:?} at {op:?}; at its place in the log the row holds {model:?}",
            txn.id,
            txn.client.0,
            seen.map(|v| &v.0)
        )
    });
}

/// What the log says the transaction left is what its operations leave.
fn judge_effect(
    end: Time,
    txn: &Txn,
    lsn: Lsn,
    finals: &BTreeMap<(TxnId, u32), Version>,
    chain: &Chain,
    model: &Model<'_>,
    report: &mut Report,
) {
    for (op, _) in txn.ops.iter().filter(|(op, _)| !matches!(op, Op::Read(_))) {
        let key = op.key();
        let Some(version) = finals.get(&(txn.id, key.0)) else {
            report.fire("data", "P-8", end, || {
                format!("{:?} at {lsn} is in the log without its {op:?}", txn.id)
            });
            continue;
        };
        let logged = chain.value(version).unwrap_or_default();
        if model.knows(key) && model.get(key) != logged {
            report.fire("data", "P-8", end, || {
                format!(
                    "{:?} left {logged:?} in row {}; its operations leave {:?}",
                    txn.id,
                    key.0,
                    model.get(key)
                )
            });
        }
    }
}

/// Nobody stands before a transaction that was confirmed before it began.
fn judge_real_time(end: Time, placed: &[Placed], report: &mut Report) {
    let mut order: Vec<&Placed> = placed.iter().collect();
    order.sort();
    // The earliest end of all that stand behind, and of whom; readers at one place are in no order.
    let mut earliest: Option<(u64, TxnId)> = None;
    for group in order.chunk_by(|a, b| a.place == b.place && a.writer == b.writer).rev() {
        for item in group {
            if let Some((ended, other)) = earliest
                && ended < item.began
            {
                report.fire("data", "REAL-TIME", end, || {
                    format!(
                        "{:?} began after {other:?} was confirmed and stands before it in the log",
                        item.txn
                    )
                });
            }
        }
        for item in group {
            earliest = Some(earliest.map_or((item.ended, item.txn), |e| e.min((item.ended, item.txn))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, C0, C1, Log, Rec};
    use dbm_core::io::{Op, Reply};
    use dbm_core::types::{Key, RoleSequence, TxnId, Value};

    fn list(of: &[u32]) -> Vec<u8> {
        of.iter().flat_map(|e| e.to_le_bytes()).collect()
    }
    const L: Key = Key(2000);

    /// Two clients append to a list; then one reads. What the second writer and the reader saw can be chosen.
    fn history(second_saw: &[u32], reader_saw: &[u32], after: &[u32]) -> Vec<(&'static str, &'static str)> {
        let (mut bench, mut log) = (Bench::new(false), Log::new());
        let x = log.add((1, 0), &[Rec::Update(1, L.0, &list(&[1])), Rec::Commit(1)]);
        let y = log.add((1, 0), &[Rec::Update(2, L.0, &list(after)), Rec::Commit(2)]);
        bench.batch(C0, A, 1, vec![Op::Append(L, 1)]);
        bench.log(A, &x);
        bench.committed(C0, A, x.at(1), x.branch, vec![Value::default()]);
        bench.batch(C1, A, 2, vec![Op::Append(L, 2)]);
        bench.log(A, &y);
        bench.committed(C1, A, y.at(1), y.branch, vec![Value(list(second_saw))]);
        bench.batch(C0, A, 3, vec![Op::Read(L)]);
        bench.committed(C0, A, y.end(), y.branch, vec![Value(list(reader_saw))]);
        bench.finish()
    }

    #[test]
    fn a_serial_history_is_in_order() {
        assert_eq!(history(&[1], &[1, 2], &[1, 2]), []);
    }

    #[test]
    fn a_lost_update_is_found() {
        assert_eq!(history(&[], &[1, 2], &[1, 2]), [("data", "P-8")]);
    }

    #[test]
    fn a_stale_read_is_found() {
        assert_eq!(history(&[1], &[1], &[1, 2]), [("data", "P-8")]);
    }

    #[test]
    fn an_effect_other_than_the_operations_is_found() {
        assert_eq!(history(&[1], &[1, 2], &[2]), [("data", "P-8")]);
    }

    /// The log orders them against real time.
    #[test]
    fn a_commit_behind_a_later_one_is_found() {
        let (mut bench, mut log) = (Bench::new(false), Log::new());
        let x = log.add((1, 0), &[Rec::Update(2, 2001, &list(&[2])), Rec::Commit(2)]);
        let y = log.add((1, 0), &[Rec::Update(1, 2000, &list(&[1])), Rec::Commit(1)]);
        bench.log(A, &x);
        bench.log(A, &y);
        bench.batch(C0, A, 1, vec![Op::Append(Key(2000), 1)]);
        bench.committed(C0, A, y.at(1), y.branch, vec![Value::default()]);
        bench.batch(C1, A, 2, vec![Op::Append(Key(2001), 2)]);
        bench.committed(C1, A, x.at(1), x.branch, vec![Value::default()]);
        assert_eq!(bench.finish(), [("data", "REAL-TIME")]);
    }

    /// [P-8]
    #[test]
    fn an_unknown_outcome_may_be_in() {
        let (mut bench, mut log) = (Bench::new(false), Log::new());
        let x = log.add((1, 0), &[Rec::Update(1, L.0, &list(&[1])), Rec::Commit(1)]);
        bench.replied(C0, A, Reply::Connected { n: RoleSequence(1), partner: B });
        bench.batch(C0, A, 1, vec![Op::Append(L, 1)]);
        bench.log(A, &x);
        bench.fact(crate::observe::Fact::ClientLost { client: C0 });
        assert_eq!(bench.oracle.history.txn(TxnId(1)).map(|t| t.commit_called), Some(true));
        assert_eq!(bench.finish(), []);
    }

    /// A reader whose mark lies on a dead end of the log may stand wherever its values fit and real time permits.
    #[test]
    fn a_reader_on_a_dead_end_is_placed_where_it_fits() {
        for (saw, expected) in [(&[1][..], &[][..]), (&[9], &[("data", "P-8")])] {
            let (mut bench, mut log) = (Bench::new(false), Log::new());
            let x = log.add((1, 0), &[Rec::Update(1, L.0, &list(&[1])), Rec::Commit(1)]);
            let mut other = log.fork_after(&x);
            let dead = log.add((1, 0), &[Rec::Update(2, L.0, &list(&[1, 2]))]);
            let y = other.add((1, 1), &[Rec::Update(3, L.0, &list(&[1, 3])), Rec::Commit(3)]);
            bench.batch(C0, A, 1, vec![Op::Append(L, 1)]);
            bench.log(A, &x);
            bench.committed(C0, A, x.at(1), x.branch, vec![Value::default()]);
            bench.batch(C1, A, 4, vec![Op::Read(L)]);
            bench.log(B, &x);
            bench.log(B, &dead);
            bench.committed(C1, A, dead.end(), dead.branch, vec![Value(list(saw))]);
            bench.batch(C0, A, 3, vec![Op::Append(L, 3)]);
            bench.log(A, &y);
            bench.committed(C0, A, y.at(1), y.branch, vec![Value(list(&[1]))]);
            assert_eq!(bench.finish(), expected);
        }
    }

    #[test]
    fn money_that_appears_is_found() {
        let (mut bench, mut log) = (Bench::new(false), Log::new());
        let after = Value::number(1005).0;
        let x = log.add((1, 0), &[Rec::Update(1, 0, &after), Rec::Commit(1)]);
        bench.batch(C0, A, 1, vec![Op::Add(Key(0), 5)]);
        bench.log(A, &x);
        bench.committed(C0, A, x.at(1), x.branch, vec![Value::number(1000)]);
        assert_eq!(bench.finish(), [("data", "SUM")]);
    }
}
