//! Row locks: shared and exclusive, first come first served, with detection of deadlocks when a request blocks.
//! Held until the client may be answered. [FO-5]

use crate::types::{Key, TxnId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Strength of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Together with other readers.
    Shared,
    /// Alone.
    Exclusive,
}

impl Mode {
    fn conflicts(self, other: Mode) -> bool {
        match (self, other) {
            (Mode::Shared, Mode::Shared) => false,
            (Mode::Exclusive, _) | (_, Mode::Exclusive) => true,
        }
    }
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granted {
    /// Held now.
    Yes,
    /// Queued; [`Locks::release`] of another transaction will name this one.
    Wait,
    /// Waiting would never end; nothing was queued. The requester is the victim.
    Deadlock,
}

/// One row's lock. Invariant: one exclusive holder, or any number of shared ones.
#[derive(Clone, Debug, Default, Hash)]
struct RowLock {
    holders: Vec<(TxnId, Mode)>,
    /// Upgrades stand before all others.
    queue: VecDeque<(TxnId, Mode)>,
}

/// All row locks of a copy.
#[derive(Clone, Debug, Default, Hash)]
pub struct Locks {
    rows: BTreeMap<Key, RowLock>,
    /// Rows a transaction holds.
    held: BTreeMap<TxnId, Vec<Key>>,
    /// The row a transaction waits for.
    waits: BTreeMap<TxnId, Key>,
    /// A row whose queue a transaction left early; others may go on when it releases.
    left: BTreeMap<TxnId, Key>,
}

impl Locks {
    /// Asks for a lock. Asking again for what is held, or weaker, is granted.
    pub fn acquire(&mut self, txn: TxnId, key: Key, mode: Mode) -> Granted {
        if self.waits.contains_key(&txn) {
            return Granted::Wait;
        }
        let row = self.rows.entry(key).or_default();
        let own = row.holders.iter().position(|(t, _)| *t == txn);
        if let Some(own) = own {
            if row.holders[own].1 >= mode {
                return Granted::Yes;
            }
            if row.holders.len() == 1 {
                row.holders[own].1 = mode;
                return Granted::Yes;
            }
            row.queue.push_front((txn, mode));
        } else {
            if row.queue.is_empty() && row.holders.iter().all(|(_, held)| !held.conflicts(mode)) {
                row.holders.push((txn, mode));
                self.held.entry(txn).or_default().push(key);
                return Granted::Yes;
            }
            row.queue.push_back((txn, mode));
        }
        self.waits.insert(txn, key);
        if self.waits_for_itself(txn) {
            self.unqueue(txn);
            return Granted::Deadlock;
        }
        Granted::Wait
    }

    /// Leaves the queue a transaction stands in, if any. Who can go on because of that does so at its release.
    pub fn cancel_wait(&mut self, txn: TxnId) {
        if let Some(key) = self.unqueue(txn) {
            self.left.insert(txn, key);
        }
    }

    /// Frees all locks of a transaction. Returns the transactions whose request is granted by that, in order.
    pub fn release(&mut self, txn: TxnId) -> Vec<TxnId> {
        self.cancel_wait(txn);
        let mut granted = Vec::new();
        let left = self.left.remove(&txn);
        for key in self.held.remove(&txn).unwrap_or_default().into_iter().chain(left) {
            let Some(row) = self.rows.get_mut(&key) else { continue };
            row.holders.retain(|(t, _)| *t != txn);
            while let Some(&(next, mode)) = row.queue.front() {
                if row.holders.iter().any(|(t, held)| *t != next && held.conflicts(mode)) {
                    break;
                }
                row.queue.pop_front();
                self.waits.remove(&next);
                match row.holders.iter_mut().find(|(t, _)| *t == next) {
                    Some(upgraded) => upgraded.1 = mode,
                    None => {
                        row.holders.push((next, mode));
                        self.held.entry(next).or_default().push(key);
                    }
                }
                granted.push(next);
            }
            if row.holders.is_empty() && row.queue.is_empty() {
                self.rows.remove(&key);
            }
        }
        granted
    }

    /// The row a transaction waits for.
    pub fn waits_for(&self, txn: TxnId) -> Option<Key> {
        self.waits.get(&txn).copied()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Locks::default();
    }

    fn unqueue(&mut self, txn: TxnId) -> Option<Key> {
        let key = self.waits.remove(&txn)?;
        let row = self.rows.get_mut(&key).expect("a transaction waits for a row that has a lock");
        row.queue.retain(|(t, _)| *t != txn);
        Some(key)
    }

    /// Walks the wait-for graph from `txn`. Every new cycle passes through the newest request, so this finds all.
    fn waits_for_itself(&self, txn: TxnId) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![txn];
        while let Some(waiter) = open.pop() {
            let Some(key) = self.waits.get(&waiter) else { continue };
            let row = &self.rows[key];
            let at =
                row.queue.iter().position(|(t, _)| *t == waiter).expect("a waiting transaction is queued");
            let mode = row.queue[at].1;
            let before = row.holders.iter().chain(row.queue.iter().take(at));
            for (other, _) in before.filter(|(t, held)| *t != waiter && held.conflicts(mode)) {
                if *other == txn {
                    return true;
                }
                if seen.insert(*other) {
                    open.push(*other);
                }
            }
        }
        false
    }

    /// Holders are compatible; queues, waits and holdings agree.
    pub fn check(&self) {
        let mut queued = 0;
        for row in self.rows.values() {
            let exclusive = row.holders.iter().any(|(_, m)| *m == Mode::Exclusive);
            assert!(!exclusive || row.holders.len() == 1, "an exclusive lock is held alone");
            queued += row.queue.len();
        }
        assert_eq!(queued, self.waits.len(), "a transaction waits for one row at most");
        for (txn, keys) in &self.held {
            assert!(
                keys.iter().all(|k| self.rows[k].holders.iter().any(|(t, _)| t == txn)),
                "a held lock has its holder"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TxnId = TxnId(1);
    const B: TxnId = TxnId(2);
    const C: TxnId = TxnId(3);
    const X: Key = Key(1);
    const Y: Key = Key(2);

    #[test]
    fn readers_share_and_a_writer_waits_for_them() {
        let mut locks = Locks::default();
        assert_eq!(locks.acquire(A, X, Mode::Shared), Granted::Yes);
        assert_eq!(locks.acquire(B, X, Mode::Shared), Granted::Yes);
        assert_eq!(locks.acquire(C, X, Mode::Exclusive), Granted::Wait);
        assert_eq!(locks.release(A), []);
        assert_eq!(locks.release(B), [C]);
        assert_eq!(locks.acquire(C, X, Mode::Exclusive), Granted::Yes);
        locks.check();
    }

    #[test]
    fn a_reader_does_not_overtake_a_waiting_writer() {
        let mut locks = Locks::default();
        locks.acquire(A, X, Mode::Shared);
        assert_eq!(locks.acquire(B, X, Mode::Exclusive), Granted::Wait);
        assert_eq!(locks.acquire(C, X, Mode::Shared), Granted::Wait);
        assert_eq!(locks.release(A), [B]);
        assert_eq!(locks.release(B), [C]);
        locks.check();
    }

    #[test]
    fn a_lone_reader_upgrades_at_once_and_another_waits_first_in_line() {
        let mut locks = Locks::default();
        locks.acquire(A, X, Mode::Shared);
        assert_eq!(locks.acquire(A, X, Mode::Exclusive), Granted::Yes);
        locks.release(A);
        locks.acquire(A, X, Mode::Shared);
        locks.acquire(B, X, Mode::Shared);
        assert_eq!(locks.acquire(C, X, Mode::Exclusive), Granted::Wait);
        assert_eq!(locks.acquire(A, X, Mode::Exclusive), Granted::Wait);
        assert_eq!(locks.release(B), [A]);
        assert_eq!(locks.release(A), [C]);
        locks.check();
    }

    #[test]
    fn the_requester_that_closes_a_cycle_is_the_victim() {
        let mut locks = Locks::default();
        locks.acquire(A, X, Mode::Exclusive);
        locks.acquire(B, Y, Mode::Exclusive);
        assert_eq!(locks.acquire(A, Y, Mode::Shared), Granted::Wait);
        assert_eq!(locks.acquire(B, X, Mode::Shared), Granted::Deadlock);
        assert_eq!(locks.release(B), [A]);
        locks.check();
    }

    #[test]
    fn two_upgrades_of_one_row_are_a_deadlock() {
        let mut locks = Locks::default();
        locks.acquire(A, X, Mode::Shared);
        locks.acquire(B, X, Mode::Shared);
        assert_eq!(locks.acquire(A, X, Mode::Exclusive), Granted::Wait);
        assert_eq!(locks.acquire(B, X, Mode::Exclusive), Granted::Deadlock);
        locks.check();
    }

    #[test]
    fn who_stood_behind_a_cancelled_wait_goes_on() {
        let mut locks = Locks::default();
        locks.acquire(A, X, Mode::Shared);
        locks.acquire(B, X, Mode::Exclusive);
        locks.acquire(C, X, Mode::Shared);
        locks.cancel_wait(B);
        assert_eq!(locks.release(B), [C]);
        locks.check();
    }

    /// Somebody who can go on is always left: whatever is asked and released, nobody waits in a circle for ever.
    fn stuck(locks: &Locks) -> Option<TxnId> {
        let blockers = |txn: &TxnId| -> Vec<TxnId> {
            let Some(key) = locks.waits.get(txn) else { return Vec::new() };
            let row = &locks.rows[key];
            let ahead = row.queue.iter().take_while(|(t, _)| t != txn);
            row.holders.iter().chain(ahead).map(|(t, _)| *t).filter(|t| t != txn).collect()
        };
        locks.waits.keys().copied().find(|start| {
            let mut seen = BTreeSet::new();
            let mut open = vec![*start];
            let mut free = false;
            while let Some(txn) = open.pop() {
                let next = blockers(&txn);
                free |= next.is_empty();
                open.extend(next.into_iter().filter(|t| seen.insert(*t)));
            }
            !free
        })
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
        #[test]
        fn nobody_waits_for_ever(steps in proptest::collection::vec((0u64..6, 0u32..5, 0u8..5), 1..60)) {
            let mut locks = Locks::default();
            for (txn, key, what) in steps {
                let (txn, key) = (TxnId(txn), Key(key));
                let waiting = locks.waits.contains_key(&txn);
                let mode = if what < 4 { Mode::Shared } else { Mode::Exclusive };
                let asks = what >= 2 && !waiting;
                if what == 1 || (what == 0 && !waiting) || (asks && locks.acquire(txn, key, mode) == Granted::Deadlock) {
                    locks.release(txn);
                }
                locks.check();
                proptest::prop_assert_eq!(stuck(&locks), None);
                // And nobody waits although nothing stands in the way.
                for (waiter, key) in &locks.waits {
                    let row = &locks.rows[key];
                    let (first, mode) = *row.queue.front().expect("it waits here");
                    let in_the_way = row.holders.iter().any(|(t, held)| *t != first && held.conflicts(mode));
                    proptest::prop_assert!(in_the_way, "{:?} waits at {:?} for nothing", waiter, key);
                }
            }
        }
    }
}
