//! Client connections of the principal: transactions begin, execute, wait for locks, commit, and are answered.
//! `Principal::confirm` is the only function that tells a client "committed". [S-64 … S-70, FO-5, CL-50 … CL-54]

use super::*;

/// One client connection.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Client {
    pub(super) txn: Option<TxnId>,
    /// A batch being executed: its operations, those done, what their rows held.
    pub(super) batch: Option<(Vec<Op>, usize, Vec<Value>)>,
    /// An operation that waits for a lock.
    pub(super) parked: Option<Op>,
    /// COMMIT was called and is not answered.
    pub(super) committing: bool,
}

/// A commit that is logged and not confirmed.
#[derive(Clone, Debug, Hash)]
pub(super) struct Pending {
    pub(super) txn: TxnId,
    pub(super) lsn: Lsn,
    /// `None` once the connection is gone: nobody is told, the locks still wait.
    pub(super) conn: Option<ConnId>,
    pub(super) values: Vec<Value>,
}

impl Principal {
    /// Users are thrown out; what they had begun is rolled back, what they had committed keeps waiting. [Q-5, OQ-5]
    pub fn close(&mut self, cx: &mut Cx<'_>, common: &Common, copy: Option<&mut Copy>) {
        if self.serving {
            self.serving = false;
            cx.out.push(Effect::Notice(Notice::Serving { session: common.session, open: false }));
        }
        let clients = std::mem::take(&mut self.clients);
        self.owners.clear();
        for pending in &mut self.pending {
            pending.conn = None;
        }
        let mut open = Vec::new();
        for (conn, client) in clients {
            cx.out.push(Effect::Disconnect { conn });
            open.extend(client.txn.filter(|_| !client.committing));
        }
        if let Some(copy) = copy {
            for txn in open {
                copy.rollback(txn);
                let woken = copy.release(txn);
                debug_assert!(woken.iter().all(|t| !self.owners.contains_key(t)), "nobody is connected");
            }
        }
    }

    /// Tells clients "committed", and nobody else does: own log flushed, and the mirror's where it is needed, and the
    /// right to serve at this very moment. [S-64 … S-70, P-5]
    pub(super) fn confirm(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy) {
        let mut one_more = false;
        while let Some(first) = self.pending.front() {
            // A record below an exclusive mark is covered by it.
            let local = copy.hardened() > first.lsn;
            let mirrored = self.gate_open(cx, common) || self.sending.is_some_and(|s| s.acked > first.lsn);
            let entitled = local && mirrored;
            if !entitled && !one_more {
                break;
            }
            one_more = entitled && cx.bug(Bug::ConfirmsOneTooMany);
            let done = self.pending.pop_front().expect("looked at it");
            if let Some(conn) = done.conn {
                let branch = copy.branches().branch_at(done.lsn).expect("a record lies on a branch");
                let reply =
                    Reply::Committed { n: self.n, txn: done.txn, at: done.lsn, branch, values: done.values };
                cx.out.push(Effect::Reply { conn, reply });
                if let Some(client) = self.clients.get_mut(&conn) {
                    *client = Client::default();
                }
            }
            self.owners.remove(&done.txn);
            let woken = copy.release(done.txn);
            self.wake(cx, common, copy, woken);
        }
    }

    /// Something on a client connection.
    pub fn client(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        conn: ConnId,
        event: ClientEvent,
    ) {
        // A process that was frozen finds its lease gone before it answers anything. [OQ-3.1, FL-15]
        self.open_or_close(cx, common, copy);
        match event {
            ClientEvent::Open { .. } => {
                let reply = if self.serving {
                    self.clients.insert(conn, Client::default());
                    Reply::Connected { n: self.n, partner: self.other }
                } else {
                    let error = match (self.stage, self.handover, self.came) {
                        // In transition: the role is being given away, or has just been taken. [ST-24, ST-26]
                        (_, Some(_), _) | (Stage::Redo | Stage::Branch(..), None, Came::Switched) => 952,
                        (Stage::Redo | Stage::Branch(..), None, Came::Restarted) => 956,
                        (Stage::Ready, None, _) => 955,
                    };
                    Reply::Refused { error }
                };
                cx.out.push(Effect::Reply { conn, reply });
            }
            ClientEvent::Closed => self.client_gone(cx, common, copy, conn),
            ClientEvent::Request(request) => {
                if self.clients.contains_key(&conn) {
                    self.request(cx, common, copy, conn, request);
                } else {
                    cx.out.push(Effect::Disconnect { conn });
                }
            }
        }
    }

    pub(super) fn client_gone(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        conn: ConnId,
    ) {
        let Some(client) = self.clients.remove(&conn) else { return };
        let Some(txn) = client.txn else { return };
        self.owners.remove(&txn);
        if client.committing {
            for pending in self.pending.iter_mut().filter(|p| p.txn == txn) {
                pending.conn = None;
            }
            return;
        }
        copy.rollback(txn);
        let woken = copy.release(txn);
        self.wake(cx, common, copy, woken);
    }

    pub(super) fn request(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        conn: ConnId,
        request: Request,
    ) {
        let client = self.clients.get_mut(&conn).expect("the caller looked");
        let busy = client.parked.is_some() || client.committing;
        match request {
            Request::Begin(txn) if client.txn.is_none() && !busy => {
                client.txn = Some(txn);
                self.owners.insert(txn, conn);
                copy.begin(txn);
                cx.out.push(Effect::Reply { conn, reply: Reply::Begun { n: self.n } });
            }
            Request::Batch(txn, ops) if client.txn.is_none() && !busy => {
                client.txn = Some(txn);
                client.batch = Some((ops, 0, Vec::new()));
                self.owners.insert(txn, conn);
                copy.begin(txn);
                self.run_batch(cx, common, copy, conn);
            }
            Request::Execute(op) if client.txn.is_some() && !busy => {
                self.execute(cx, common, copy, conn, op);
            }
            Request::Commit if client.txn.is_some() && !busy => {
                self.commit(cx, common, copy, conn, Vec::new());
            }
            Request::Rollback if client.txn.is_some() && !busy => {
                let txn = client.txn.take().expect("guarded");
                if cx.bug(Bug::RollbackCommits) {
                    copy.commit(txn);
                } else {
                    copy.rollback(txn);
                }
                cx.out.push(Effect::Reply { conn, reply: Reply::RolledBack { n: self.n } });
                self.owners.remove(&txn);
                let woken = copy.release(txn);
                self.wake(cx, common, copy, woken);
            }
            // Out of protocol: such a client is cut off, as a server cuts off a broken stream.
            Request::Begin(_)
            | Request::Batch(..)
            | Request::Execute(_)
            | Request::Commit
            | Request::Rollback => {
                cx.out.push(Effect::Disconnect { conn });
                self.client_gone(cx, common, copy, conn);
            }
        }
    }

    /// One operation of an interactive transaction.
    pub(super) fn execute(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        conn: ConnId,
        op: Op,
    ) {
        let client = self.clients.get_mut(&conn).expect("only connected clients execute");
        let txn = client.txn.expect("only inside a transaction");
        match copy.execute(txn, &op) {
            Executed::Done(value) => {
                cx.out.push(Effect::Reply { conn, reply: Reply::Done { n: self.n, value } });
            }
            Executed::Wait => client.parked = Some(op),
            Executed::Deadlock => self.fail(cx, common, copy, conn, 1205),
            Executed::LogFull => self.fail(cx, common, copy, conn, 9002),
        }
    }

    /// The rest of a batch, as far as locks allow.
    pub(super) fn run_batch(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy, conn: ConnId) {
        let client = self.clients.get_mut(&conn).expect("only connected clients run batches");
        let txn = client.txn.expect("a batch is a transaction");
        let (ops, mut next, mut values) = client.batch.take().expect("called for batches");
        while next < ops.len() {
            match copy.execute(txn, &ops[next]) {
                Executed::Done(value) => {
                    values.push(value);
                    next += 1;
                }
                Executed::Wait => {
                    client.parked = Some(ops[next].clone());
                    client.batch = Some((ops, next, values));
                    return;
                }
                Executed::Deadlock => return self.fail(cx, common, copy, conn, 1205),
                Executed::LogFull => return self.fail(cx, common, copy, conn, 9002),
            }
        }
        self.commit(cx, common, copy, conn, values);
    }

    /// The transaction is rolled back and the client told why.
    pub(super) fn fail(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        conn: ConnId,
        error: u32,
    ) {
        let client = self.clients.get_mut(&conn).expect("only connected clients fail");
        let txn = client.txn.take().expect("only inside a transaction");
        *client = Client::default();
        copy.rollback(txn);
        let reply = if error == 1205 && cx.bug(Bug::DeadlockToldAsCommit) {
            let (at, branch) = (copy.end_of_log(), copy.branches().last().0);
            Reply::Committed { n: self.n, txn, at, branch, values: Vec::new() }
        } else {
            Reply::Failed { n: self.n, error }
        };
        cx.out.push(Effect::Reply { conn, reply });
        self.owners.remove(&txn);
        let woken = copy.release(txn);
        self.wake(cx, common, copy, woken);
    }

    pub(super) fn commit(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        conn: ConnId,
        values: Vec<Value>,
    ) {
        let client = self.clients.get_mut(&conn).expect("only connected clients commit");
        let txn = client.txn.expect("only inside a transaction");
        match copy.commit(txn) {
            Committing::Logged(lsn) => {
                client.committing = true;
                self.pending.push_back(Pending { txn, lsn, conn: Some(conn), values });
                copy.want_flush();
                if cx.bug(Bug::LocksFreedBeforeConfirm) {
                    let woken = copy.release(txn);
                    self.wake(cx, common, copy, woken);
                }
            }
            Committing::ReadOnly => {
                // Commits are confirmed in log order and keep their locks until then, so what was read is exactly
                // what lies before the oldest unconfirmed one.
                let at = self.pending.front().map_or(copy.end_of_log(), |p| p.lsn);
                let branch = copy.branches().last().0;
                *client = Client::default();
                cx.out.push(Effect::Reply {
                    conn,
                    reply: Reply::Committed { n: self.n, txn, at, branch, values },
                });
                self.owners.remove(&txn);
                let woken = copy.release(txn);
                self.wake(cx, common, copy, woken);
            }
        }
    }

    /// Transactions whose lock has come go on.
    pub(super) fn wake(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy, woken: Vec<TxnId>) {
        for txn in woken {
            let Some(&conn) = self.owners.get(&txn) else { continue };
            let Some(client) = self.clients.get_mut(&conn) else { continue };
            let Some(op) = client.parked.take() else { continue };
            if client.batch.is_some() {
                self.run_batch(cx, common, copy, conn);
            } else {
                self.execute(cx, common, copy, conn, op);
            }
        }
    }
}
