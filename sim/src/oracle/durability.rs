//! Durability: no confirmed commit ever vanishes. [INV-2, P-5, P-8, OQ-4.1]
//!
//! Free of states. A confirmation with changes names its commit record; that record must be durable on the copy that
//! confirms. The *head* is the confirmed commit that lies furthest; every later confirmation, and the first answer of
//! every new principal or new life of one, must come from a log that contains it. Under SAFETY FULL with a witness a
//! commit that the other copy lacks may be confirmed only when another instance durably holds "not synchronised" for
//! that n. With SAFETY OFF roles never switch by themselves, so the rest holds there as well.
//!
//! *Place for the loss window.* Once service was forced, the new principal may lack the tail of what was confirmed, and
//! without a witness both partners may serve for a while. From then on [`Durability::serves`] and
//! [`Durability::confirms`] move the head to what the server has instead of complaining, and what is missing at the end
//! is counted in `Stats::lost`. The window itself (between failover LSN and the old end) is to be judged here when
//! RESUME is modelled.

use super::chain::{Chain, Commit, NodeId};
use super::history::{History, Outcome};
use super::records::Records;
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::types::{Branch, InstanceId, Lsn, RoleSequence, TxnId};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(super) struct Durability {
    partners: [InstanceId; 2],
    quorum: bool,
    head: Option<NodeId>,
    confirmed: Vec<Commit>,
    /// Who served last: instance, its life, n.
    server: Option<(InstanceId, u32, RoleSequence)>,
    life: Vec<u32>,
}

/// A confirmation as it leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmation {
    pub(super) by: InstanceId,
    pub(super) txn: TxnId,
    pub(super) n: RoleSequence,
    pub(super) lsn: Lsn,
    pub(super) branch: Branch,
    /// Service was forced before, on either partner.
    pub(super) forced: bool,
}

impl Durability {
    /// `quorum`: SAFETY FULL with a witness, so that running exposed needs somebody's durable word.
    pub(super) fn new(partners: [InstanceId; 2], instances: usize, quorum: bool) -> Self {
        Durability {
            partners,
            quorum,
            head: None,
            confirmed: Vec::new(),
            server: None,
            life: vec![0; instances],
        }
    }

    /// The furthest confirmed commit's block.
    pub(super) fn head(&self) -> Option<NodeId> {
        self.head
    }

    /// Who answered a client successfully last.
    pub(super) fn server(&self) -> Option<InstanceId> {
        self.server.map(|(instance, _, _)| instance)
    }

    pub(super) fn started(&mut self, instance: InstanceId, incarnation: u32) {
        if let Some(life) = self.life.get_mut(usize::from(instance.0)) {
            *life = incarnation;
        }
    }

    /// Settings changed so that running exposed needs nobody's word.
    pub(super) fn quorum_unknown(&mut self) {
        self.quorum = false;
    }

    /// A successful answer leaves. `forced`: service was forced before, on either partner.
    pub(super) fn serves(
        &mut self,
        at: Time,
        by: InstanceId,
        n: RoleSequence,
        forced: bool,
        chain: &Chain,
        report: &mut Report,
    ) {
        let life = self.life.get(usize::from(by.0)).copied().unwrap_or_default();
        let now = (by, life, n);
        if self.server == Some(now) {
            return;
        }
        if let Some((before, _, _)) = self.server.replace(now) {
            report.stats.failovers += u64::from(before != by);
            let end = chain.end(by.0.into());
            let Some(head) = self.head else { return };
            report.held(Premise::ServerTookOver);
            if chain.contains(end, head) {
                return;
            }
            if forced {
                let kept = self.confirmed.iter().rev().find(|c| chain.contains(end, c.node));
                self.head = kept.map(|c| c.node);
                return;
            }
            report.fire("durability", "INV-2", at, || {
                let lost = chain.node(head);
                format!(
                    "instance {} serves under n = {n} without the confirmed commit in block {} of branch {}",
                    by.0, lost.lsn, lost.branch
                )
            });
        }
    }

    /// A confirmation leaves.
    pub(super) fn confirms(
        &mut self,
        at: Time,
        c: Confirmation,
        history: &History,
        chain: &Chain,
        records: &Records,
        report: &mut Report,
    ) {
        let end = chain.end(c.by.0.into());
        // A reader's mark may coincide with somebody else's commit record.
        let commit = chain.commit_at(c.lsn, c.branch).filter(|commit| commit.txn == c.txn);
        let Some(commit) = commit else {
            if history.txn(c.txn).is_some_and(|txn| !txn.writes && txn.commit_called) {
                report.stats.confirmed_read_only += 1;
            } else {
                report.held(Premise::CommitConfirmed);
                report.fire("durability", "P-1", at, || {
                    format!(
                        "instance {} confirmed a commit at {} of branch {} that is durable nowhere",
                        c.by.0, c.lsn, c.branch
                    )
                });
            }
            return;
        };
        report.stats.confirmed += 1;
        report.held(Premise::CommitConfirmed);
        if !chain.contains(end, commit.node) {
            report.fire("durability", "P-1", at, || {
                format!(
                    "instance {} confirmed {:?} at {} before it was durable there",
                    c.by.0, commit.txn, c.lsn
                )
            });
        }
        if let Some(head) = self.head {
            report.held(Premise::HeadKept);
            if !c.forced && !chain.contains(end, head) {
                report.fire("durability", "INV-2", at, || {
                    format!(
                        "instance {} confirmed {:?} from a log that lacks an earlier confirmed commit",
                        c.by.0, commit.txn
                    )
                });
            }
        }
        let onward = |head| c.forced || chain.contains(Some(commit.node), head);
        if self.head.is_none_or(onward) {
            self.head = Some(commit.node);
        }
        self.confirmed.push(commit);
        self.judge_exposure(at, c, commit, chain, records, report);
    }

    /// What only one copy has may be confirmed only with another instance's durable word. [OQ-4.1, Q-15]
    fn judge_exposure(
        &self,
        at: Time,
        c: Confirmation,
        commit: Commit,
        chain: &Chain,
        records: &Records,
        report: &mut Report,
    ) {
        let [a, b] = self.partners;
        let other = if c.by == a { b } else { a };
        if !self.quorum || chain.contains(chain.end(other.0.into()), commit.node) {
            return;
        }
        let others = (0..self.life.len() as u8).map(InstanceId).filter(|i| *i != c.by);
        let mut known = false;
        let mut permitted = false;
        for record in others.filter_map(|i| records.current(i)) {
            known = true;
            let synchronised = record.synchronised.is_some_and(|(yes, n, _)| yes && n == c.n);
            permitted |= record.n >= c.n && !synchronised;
        }
        if !known {
            return;
        }
        report.held(Premise::ExposureJudged);
        if !permitted {
            report.fire("durability", "OQ-4.1", at, || {
                format!(
                    "instance {} confirmed {:?}, which instance {} lacks, while every other record says synchronised under n = {}",
                    c.by.0, commit.txn, other.0, c.n
                )
            });
        }
    }

    /// The end of the run: nothing confirmed is missing in the surviving log, nothing that was rolled back is in it.
    pub(super) fn finish(
        &self,
        end: Time,
        history: &History,
        chain: &Chain,
        forced: bool,
        report: &mut Report,
    ) {
        let Some(server) = self.server() else { return };
        let tip = chain.end(server.0.into());
        for commit in &self.confirmed {
            report.held(Premise::FinalJudged);
            if chain.contains(tip, commit.node) {
                continue;
            }
            report.stats.lost += 1;
            if !forced {
                report.fire("durability", "INV-2", end, || {
                    format!(
                        "confirmed {:?} at {} is missing from the log of the last server",
                        commit.txn, commit.lsn
                    )
                });
            }
        }
        let mut survived: BTreeMap<TxnId, u32> = BTreeMap::new();
        for commit in chain.commits().iter().filter(|c| !c.preloaded) {
            let survives = chain.contains(tip, commit.node);
            let times = survived.entry(commit.txn).or_default();
            *times += u32::from(survives);
            if *times > 1 && survives {
                report.fire("durability", "P-8", end, || {
                    format!("{:?} is committed twice in the surviving log", commit.txn)
                });
            }
            let Some(txn) = history.txn(commit.txn) else {
                report.fire("durability", "P-8", end, || {
                    format!("{:?} was committed but no client began it", commit.txn)
                });
                continue;
            };
            if !txn.commit_called {
                report.fire("durability", "P-8", end, || {
                    format!("{:?} of client {} was committed without being asked to", txn.id, txn.client.0)
                });
            }
            if survives && matches!(txn.outcome, Outcome::RolledBack | Outcome::Failed) {
                report.fire("durability", "P-8", end, || {
                    format!(
                        "{:?} was answered {:?} and is committed in the surviving log",
                        txn.id, txn.outcome
                    )
                });
            }
        }
        for txn in history.txns() {
            match txn.outcome {
                Outcome::RolledBack | Outcome::Failed if txn.writes => report.held(Premise::RollbackJudged),
                // Those whose record is known are judged above.
                Outcome::Committed { .. } if txn.writes && !forced && !survived.contains_key(&txn.id) => {
                    report
                        .fire("durability", "INV-2", end, || format!("confirmed {:?} is in no log", txn.id));
                }
                Outcome::Committed { .. }
                | Outcome::RolledBack
                | Outcome::Failed
                | Outcome::Unknown
                | Outcome::Open => {}
            }
        }
        report.stats.rolled_back = count(history, |o| o == Outcome::RolledBack);
        report.stats.failed = count(history, |o| o == Outcome::Failed);
        report.stats.unknown = count(history, |o| matches!(o, Outcome::Unknown | Outcome::Open));
    }
}

fn count(history: &History, f: impl Fn(Outcome) -> bool) -> u64 {
    history.txns().iter().filter(|t| f(t.outcome)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, C0, Log, Made, Rec, W, record};
    use dbm_core::io::{Op, Reply, Request};
    use dbm_core::types::{Key, RoleSequence, TxnId, Value};

    fn add() -> Vec<Op> {
        vec![Op::Append(Key(2000), 1)]
    }
    fn one(log: &mut Log, n: u32, txn: u64, list: &[u8]) -> Made {
        log.add((n, 0), &[Rec::Update(txn, 2000, list), Rec::Commit(txn)])
    }
    const E: [u8; 4] = 1u32.to_le_bytes();

    #[test]
    fn a_confirmed_commit_on_both_copies_is_in_order() {
        let (mut bench, mut log) = (Bench::synchronised(), Log::new());
        let x = one(&mut log, 1, 1, &E);
        bench.batch(C0, A, 1, add());
        bench.log(A, &x);
        bench.log(B, &x);
        bench.lease(A, B, 1);
        bench.committed(C0, A, x.at(1), x.branch, vec![Value::default()]);
        assert_eq!(bench.finish(), []);
    }

    /// [P-1]
    #[test]
    fn a_confirmation_before_the_flush_is_found() {
        let (mut bench, mut log) = (Bench::synchronised(), Log::new());
        let x = one(&mut log, 1, 1, &E);
        bench.batch(C0, A, 1, add());
        bench.log(B, &x);
        bench.lease(A, B, 1);
        bench.committed(C0, A, x.at(1), x.branch, vec![Value::default()]);
        assert_eq!(bench.rules(), [("durability", "P-1")]);
    }

    /// [OQ-4.1]
    #[test]
    fn an_exposed_confirmation_needs_the_word_of_another() {
        for (exposed, expected) in [(true, &[][..]), (false, &[("durability", "OQ-4.1")][..])] {
            let (mut bench, mut log) = (Bench::synchronised(), Log::new());
            if exposed {
                bench.record(W, record(2, 1, A, false, 2, 0));
            }
            let x = one(&mut log, 1, 1, &E);
            bench.batch(C0, A, 1, add());
            bench.log(A, &x);
            bench.lease(A, W, 1);
            bench.committed(C0, A, x.at(1), x.branch, vec![Value::default()]);
            assert_eq!(bench.rules(), expected);
        }
    }

    /// [INV-2]
    #[test]
    fn a_new_principal_without_a_confirmed_commit_is_found() {
        let (mut bench, mut log) = (Bench::synchronised(), Log::new());
        bench.record(W, record(2, 1, A, false, 2, 0));
        let x = one(&mut log, 1, 1, &E);
        bench.batch(C0, A, 1, add());
        bench.log(A, &x);
        bench.lease(A, W, 1);
        bench.committed(C0, A, x.at(1), x.branch, vec![Value::default()]);
        bench.lease(B, W, 2);
        bench.replied(C0, B, Reply::Connected { n: RoleSequence(2), partner: A });
        assert_eq!(bench.rules(), [("records", "P-1"), ("durability", "INV-2")]);
    }

    /// No resurrection. [P-8]
    #[test]
    fn a_rolled_back_transaction_in_the_surviving_log_is_found() {
        for (commit, expected) in
            [(false, &[][..]), (true, &[("durability", "P-8"), ("durability", "P-8")][..])]
        {
            let (mut bench, mut log) = (Bench::synchronised(), Log::new());
            bench.lease(A, B, 1);
            let n = RoleSequence(1);
            bench.called(C0, A, Request::Begin(TxnId(1)));
            bench.answered(C0, A, Reply::Begun { n });
            bench.called(C0, A, Request::Execute(Op::Append(Key(2000), 1)));
            bench.answered(C0, A, Reply::Done { n, value: Value::default() });
            bench.called(C0, A, Request::Rollback);
            bench.answered(C0, A, Reply::RolledBack { n });
            if commit {
                let x = one(&mut log, 1, 1, &E);
                bench.log(A, &x);
            }
            let rules = bench.finish();
            let judged: Vec<_> = rules.into_iter().filter(|(i, _)| *i == "durability").collect();
            assert_eq!(judged, expected);
        }
    }
}
