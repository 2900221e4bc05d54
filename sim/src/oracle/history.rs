//! What the clients did and saw: every transaction with its operations, observed values and outcome.

use crate::observe::ClientId;
use dbm_core::io::{Op, Reply, Request};
use dbm_core::types::{Branch, InstanceId, Lsn, TxnId, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// How a transaction ended, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The client still waits or works.
    Open,
    /// Confirmed.
    Committed {
        /// Its place, as told.
        at: Lsn,
        /// The branch of that place.
        branch: Branch,
        /// When it was confirmed, on the scale of [`History`]'s steps.
        step: u64,
    },
    /// Rolled back at the client's wish.
    RolledBack,
    /// Failed, and with that rolled back.
    Failed,
    /// The client does not know.
    Unknown,
}

/// A transaction of a client.
#[derive(Clone, Debug)]
pub(super) struct Txn {
    pub(super) id: TxnId,
    pub(super) client: ClientId,
    /// When it began.
    pub(super) step: u64,
    /// Its operations, each with what the row held before it, once known.
    pub(super) ops: Vec<(Op, Option<Value>)>,
    pub(super) outcome: Outcome,
    /// The client asked for the commit.
    pub(super) commit_called: bool,
    /// It changes something.
    pub(super) writes: bool,
}

#[derive(Clone, Debug, Default)]
struct Client {
    current: Option<usize>,
    /// Read-only transactions whose confirmation may still be under way.
    readers_unknown: u64,
}

/// All transactions, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    txns: Vec<Txn>,
    by_id: BTreeMap<TxnId, usize>,
    clients: BTreeMap<ClientId, Client>,
    step: u64,
}

impl History {
    /// All transactions.
    pub(super) fn txns(&self) -> &[Txn] {
        &self.txns
    }

    /// A transaction by its id.
    pub(super) fn txn(&self, id: TxnId) -> Option<&Txn> {
        self.by_id.get(&id).map(|&i| &self.txns[i])
    }

    /// The transaction its client works on now.
    pub(super) fn current(&self, client: ClientId) -> Option<&Txn> {
        self.clients.get(&client)?.current.map(|i| &self.txns[i])
    }

    pub(super) fn begun(&mut self, client: ClientId, id: TxnId) {
        self.step += 1;
        let i = self.txns.len();
        match self.by_id.entry(id) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => place.insert(i),
        };
        self.give_up(client);
        self.txns.push(Txn {
            id,
            client,
            step: self.step,
            ops: Vec::new(),
            outcome: Outcome::Open,
            commit_called: false,
            writes: false,
        });
        self.clients.entry(client).or_default().current = Some(i);
    }

    pub(super) fn called(&mut self, client: ClientId, request: &Request) {
        match request {
            Request::Begin(id) => self.begun(client, *id),
            Request::Batch(id, ops) => {
                self.begun(client, *id);
                if let Some(txn) = self.current_mut(client) {
                    txn.writes = ops.iter().any(changes);
                    txn.commit_called = true;
                    txn.ops = ops.iter().map(|op| (op.clone(), None)).collect();
                }
            }
            Request::Execute(op) => {
                if let Some(txn) = self.current_mut(client) {
                    txn.writes |= changes(op);
                    txn.ops.push((op.clone(), None));
                }
            }
            Request::Commit => {
                if let Some(txn) = self.current_mut(client) {
                    txn.commit_called = true;
                }
            }
            Request::Rollback => {}
        }
    }

    /// The client has an answer.
    pub(super) fn answered(&mut self, client: ClientId, _from: InstanceId, reply: &Reply) {
        self.step += 1;
        let step = self.step;
        let Some(txn) = self.current_mut(client) else { return };
        let outcome = match reply {
            Reply::Connected { .. } | Reply::Refused { .. } | Reply::Begun { .. } => return,
            Reply::Done { value, .. } => {
                if let Some((_, seen)) = txn.ops.last_mut() {
                    *seen = Some(value.clone());
                }
                return;
            }
            Reply::Committed { at, branch, values, .. } => {
                for ((_, seen), value) in txn.ops.iter_mut().zip(values) {
                    *seen = Some(value.clone());
                }
                Outcome::Committed { at: *at, branch: *branch, step }
            }
            Reply::RolledBack { .. } => Outcome::RolledBack,
            Reply::Failed { .. } => Outcome::Failed,
        };
        txn.outcome = outcome;
        self.clients.entry(client).or_default().current = None;
    }

    /// The client gave up what it was doing.
    pub(super) fn give_up(&mut self, client: ClientId) {
        self.step += 1;
        let Some(state) = self.clients.get_mut(&client) else { return };
        let Some(i) = state.current.take() else { return };
        let txn = &mut self.txns[i];
        txn.outcome = Outcome::Unknown;
        state.readers_unknown += u64::from(!txn.writes && txn.commit_called);
    }

    fn current_mut(&mut self, client: ClientId) -> Option<&mut Txn> {
        let i = self.clients.get(&client)?.current?;
        Some(&mut self.txns[i])
    }
}

fn changes(op: &Op) -> bool {
    match op {
        Op::Read(_) => false,
        Op::Write(..) | Op::Add(..) | Op::Append(..) => true,
    }
}
