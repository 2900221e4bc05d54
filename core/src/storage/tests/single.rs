//! One copy, transactions and crashes at any point, against a model of rows.

use super::node::{KEYS, Node, Rows, SMALL, branch, everything, initial_rows};
use crate::io::Op;
use crate::storage::*;
use crate::types::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub enum Action {
    /// An operation in a client's transaction, begun if need be.
    Execute {
        client: u8,
        key: u8,
        length: u8,
    },
    Commit {
        client: u8,
    },
    Rollback {
        client: u8,
    },
    Complete {
        file: u8,
    },
    Checkpoint,
    Flush,
    Crash {
        seed: u64,
    },
}

pub fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (0..4u8, 0..KEYS as u8, 0..=Value::MAX as u8)
            .prop_map(|(client, key, length)| Action::Execute { client, key, length }),
        6 => (0..4u8).prop_map(|client| Action::Commit { client }),
        2 => (0..4u8).prop_map(|client| Action::Rollback { client }),
        12 => (0..4u8).prop_map(|file| Action::Complete { file }),
        1 => Just(Action::Checkpoint),
        1 => Just(Action::Flush),
        1 => any::<u64>().prop_map(|seed| Action::Crash { seed }),
    ]
}

/// The clients of one principal and what they know.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    next: u64,
    /// By client: its transaction and what it wrote.
    open: BTreeMap<u8, (TxnId, Rows)>,
    /// Committed, in the order of the log: where, by whom, what.
    pub history: Vec<(Lsn, TxnId, Rows)>,
    /// So many of them are confirmed.
    pub confirmed: usize,
}

impl Clients {
    pub fn execute(&mut self, node: &mut Node, client: u8, key: u8, length: u8) {
        let (txn, written) = self.open.entry(client).or_insert_with(|| {
            self.next += 1;
            node.copy.begin(TxnId(self.next));
            (TxnId(self.next), Rows::new())
        });
        let txn = *txn;
        let value = Value(vec![txn.0 as u8; length.into()]);
        match node.act(|copy, _| copy.execute(txn, &Op::Write(Key(key.into()), value.clone()))) {
            Executed::Done(_) => {
                written.insert(key.into(), value);
            }
            Executed::Wait | Executed::Deadlock | Executed::LogFull => self.roll_back(node, client),
        }
    }

    pub fn roll_back(&mut self, node: &mut Node, client: u8) {
        let Some((txn, _)) = self.open.remove(&client) else { return };
        node.act(|copy, _| copy.rollback(txn));
        assert_eq!(node.copy.release(txn), []);
    }

    pub fn commit(&mut self, node: &mut Node, client: u8) {
        let Some((txn, written)) = self.open.remove(&client) else { return };
        match node.act(|copy, _| copy.commit(txn)) {
            Committing::Logged(lsn) => self.history.push((lsn, txn, written)),
            Committing::ReadOnly => {
                node.copy.release(txn);
            }
        }
    }

    /// Commits below `hardened` are confirmed.
    pub fn confirm(&mut self, node: &mut Node, hardened: Lsn) {
        while let Some((lsn, txn, _)) = self.history.get(self.confirmed)
            && *lsn < hardened
        {
            node.copy.release(*txn);
            self.confirmed += 1;
        }
    }

    /// The principal's log goes on from `end`: what lies beyond never happened, and the clients are gone.
    pub fn end_at(&mut self, end: Lsn) {
        let kept = self.history.partition_point(|(lsn, ..)| *lsn < end);
        assert!(kept >= self.confirmed, "a confirmed commit is lost");
        self.history.truncate(kept);
        self.open.clear();
    }

    /// The rows after all commits.
    pub fn rows(&self) -> Rows {
        let mut rows = initial_rows();
        self.history.iter().for_each(|(_, _, written)| rows.extend(written.clone()));
        rows
    }
}

fn run(actions: Vec<Action>) {
    let mut node = Node::principal(SMALL);
    let mut clients = Clients::default();
    let mut restarts = 1;
    for action in actions {
        node.copy.set_mirror_hardened(everything());
        match action {
            Action::Execute { client, key, length } => clients.execute(&mut node, client, key, length),
            Action::Commit { client } => clients.commit(&mut node, client),
            Action::Rollback { client } => clients.roll_back(&mut node, client),
            Action::Complete { file } => node.complete(file.into()),
            Action::Checkpoint => node.act(|copy, _| copy.checkpoint_now()),
            Action::Flush => node.act(|copy, _| copy.want_flush()),
            Action::Crash { seed } => {
                let report = node.crash(seed);
                clients.end_at(report.end);
                restarts += 1;
                node.open_branch(branch(1, restarts));
                // Sometimes the next crash finds the rollback half done.
                if seed % 3 == 0 {
                    node.act(|copy, _| copy.undo_some(1));
                    continue;
                }
                node.undo();
                assert_eq!(node.rows(), clients.rows());
            }
        }
        node.copy.check();
        let hardened = node.copy.hardened();
        clients.confirm(&mut node, hardened);
    }
    let report = node.crash(1);
    clients.end_at(report.end);
    node.open_branch(branch(1, restarts + 1));
    node.undo();
    assert_eq!(node.rows(), clients.rows());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// After a crash at any point the rows are exactly those of the transactions whose commit is in the log, and every
    /// confirmed one is. [P-1, P-8, P-11, OQ-57, OQ-58]
    #[test]
    fn recovery_keeps_exactly_what_was_committed(actions in prop::collection::vec(action(), 1..900)) {
        run(actions);
    }
}
