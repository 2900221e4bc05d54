//! Durability: no confirmed commit ever vanishes. [INV-2, P-5, P-8, OQ-4.1]
//!
//! Free of states. A confirmation with changes names its commit record; that record must be durable on the copy that
//! confirms. The *head* is the confirmed commit that lies furthest; every later confirmation, and the first answer of
//! every new principal or new life of one, must come from a log that contains it. Under SAFETY FULL with a witness a
//! commit that the other copy lacks may be confirmed only when another instance durably holds "not synchronised" for
//! that n. With SAFETY OFF roles never switch by themselves, so the rest holds there as well.
//!
//! *Loss windows.* A forced service begins a new *lineage*: from its role sequence on, servers need only those confirmed
//! commits that the forced copy's log held. What it lacked is at risk, and is legally lost only if it was confirmed in a
//! documented window: with SAFETY OFF, exposed, suspended, synchronizing, or by the old principal after the force. A
//! commit that only one copy has must not be confirmed under SAFETY FULL while SYNCHRONIZED is shown. The old copy keeps
//! its log until RESUME, and then loses exactly what lies beyond the fork. [FO-62 … FO-68, INV-10, P-16, S-64]

use super::chain::{Chain, Commit, Cut, NodeId};
use super::history::{History, Outcome};
use super::records::Records;
use super::report::{Loss, Premise, Report, Window};
use super::states::States;
use crate::time::Time;
use dbm_core::types::{Branch, InstanceId, Lsn, MirroringState, RoleSequence, Safety, TxnId};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(super) struct Durability {
    partners: [InstanceId; 2],
    lineages: Vec<Lineage>,
    confirmed: Vec<Confirmed>,
    /// A former mirror's copy that was recovered: a database of its own, to which no earlier commit is owed. [FO-47, C-84]
    apart: Option<InstanceId>,
    /// Who served last: instance, its life, n.
    server: Option<(InstanceId, u32, RoleSequence)>,
    /// Who served under the highest n.
    newest: Option<(RoleSequence, InstanceId)>,
    life: Vec<u32>,
    /// Commits that only one copy had when they were confirmed while SYNCHRONIZED was shown, in this instant: the
    /// state may still be told in it.
    doubtful: Vec<usize>,
    /// Ends of logs that were cut off, for judging what clients saw there.
    dead_ends: Vec<NodeId>,
}

/// A stretch of role sequences without a forced service between them.
#[derive(Clone, Copy, Debug)]
struct Lineage {
    start: RoleSequence,
    /// When it began; the first with the run.
    since: Time,
    /// It began with a force.
    forced: bool,
    /// What the forced copy's log held then.
    forced_at: Option<NodeId>,
    /// Somebody has served in it.
    served: bool,
    /// The furthest confirmed commit that servers of it need.
    head: Option<NodeId>,
}

#[derive(Clone, Copy, Debug)]
struct Confirmed {
    commit: Commit,
    by: InstanceId,
    n: RoleSequence,
    at: Time,
    /// Why a later force may cost it.
    window: Window,
}

/// A confirmation as it leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirmation {
    pub(super) by: InstanceId,
    pub(super) txn: TxnId,
    pub(super) n: RoleSequence,
    pub(super) lsn: Lsn,
    pub(super) branch: Branch,
}

/// What a confirmation is judged by.
pub(super) struct Cx<'a> {
    pub(super) history: &'a History,
    pub(super) chain: &'a Chain,
    pub(super) records: &'a Records,
    pub(super) states: &'a States,
    pub(super) report: &'a mut Report,
}

impl Durability {
    pub(super) fn new(partners: [InstanceId; 2], instances: usize) -> Self {
        let first = Lineage {
            start: RoleSequence(0),
            since: Time(0),
            forced: false,
            forced_at: None,
            served: true,
            head: None,
        };
        Durability {
            partners,
            lineages: vec![first],
            confirmed: Vec::new(),
            server: None,
            newest: None,
            apart: None,
            life: vec![0; instances],
            doubtful: Vec::new(),
            dead_ends: Vec::new(),
        }
    }

    fn lineage(&self, n: RoleSequence) -> usize {
        self.lineages.partition_point(|l| l.start <= n).saturating_sub(1)
    }

    /// The furthest confirmed commit's block that a principal of `n` needs.
    pub(super) fn head(&self, n: RoleSequence) -> Option<NodeId> {
        let lineage = self.lineages[self.lineage(n)];
        lineage.head.filter(|_| lineage.served)
    }

    /// Who answered a client successfully under the highest n.
    pub(super) fn server(&self) -> Option<InstanceId> {
        self.newest.map(|(_, instance)| instance)
    }

    /// Service was forced at least once.
    pub(super) fn forced(&self) -> bool {
        self.lineages.len() > 1
    }

    /// Ends of logs on which clients were served and that were cut off, or are still there beside the newest one.
    pub(super) fn other_ends(&self, chain: &Chain) -> Vec<NodeId> {
        let tip = self.server().and_then(|s| chain.end(s.0.into()));
        let mut ends = self.dead_ends.clone();
        ends.extend(self.partners.iter().filter_map(|p| chain.end(p.0.into())));
        ends.retain(|end| !chain.contains(tip, *end));
        ends.dedup();
        ends
    }

    pub(super) fn started(&mut self, instance: InstanceId, incarnation: u32) {
        if let Some(life) = self.life.get_mut(usize::from(instance.0)) {
            *life = incarnation;
        }
    }

    /// A role sequence was made: by a force (`forced`, with the forced copy), or in another way.
    pub(super) fn role_made(&mut self, at: Time, n: RoleSequence, forced: Option<InstanceId>, chain: &Chain) {
        // An attempt that a crash took back makes room for another one.
        self.lineages.retain(|l| l.start != n || l.served);
        let Some(owner) = forced else { return };
        if self.lineages.iter().any(|l| l.start == n) {
            return;
        }
        let forced_at = chain.end(owner.0.into());
        let new = Lineage { start: n, since: at, forced: true, forced_at, served: false, head: None };
        self.lineages.push(new);
        self.lineages.sort_by_key(|l| l.start);
    }

    /// A successful answer leaves.
    pub(super) fn serves(
        &mut self,
        at: Time,
        by: InstanceId,
        n: RoleSequence,
        chain: &Chain,
        report: &mut Report,
    ) {
        let life = self.life.get(usize::from(by.0)).copied().unwrap_or_default();
        let now = (by, life, n);
        if self.server == Some(now) || self.apart == Some(by) {
            return;
        }
        if self.newest.is_none_or(|(newest, _)| n > newest) {
            self.newest = Some((n, by));
        }
        let place = self.lineage(n);
        if !self.lineages[place].served {
            self.begin_lineage(at, place, by, chain, report);
        }
        if let Some((before, _, _)) = self.server.replace(now) {
            report.stats.failovers += u64::from(before != by);
            let end = chain.end(by.0.into());
            let Some(head) = self.lineages[place].head else { return };
            report.held(Premise::ServerTookOver);
            if !chain.contains(end, head) {
                report.fire("durability", "INV-2", at, || {
                    let lost = chain.node(head);
                    format!(
                        "instance {} serves under n = {n} without the confirmed commit in block {} of branch {}",
                        by.0, lost.lsn, lost.branch
                    )
                });
            }
        }
    }

    /// RESTORE DATABASE … WITH RECOVERY, or SET PARTNER OFF, has succeeded there. A copy that lacks what was confirmed
    /// elsewhere is another database from now on, and so is one that was superseded: some record gives a higher role
    /// sequence to its partner, which may serve and confirm until it hears of the end. Any other one goes on where the old
    /// principal ended. [C-84, FO-47]
    pub(super) fn recovered(&mut self, instance: InstanceId, records: &Records, chain: &Chain) {
        let head = self.lineages.last().and_then(|lineage| lineage.head);
        let lacks = head.is_some_and(|head| !chain.contains(chain.end(instance.0.into()), head));
        let own = records.current(instance);
        let superseded = own
            .zip(records.newest())
            .is_some_and(|(own, newest)| newest.n > own.n && newest.owner != instance);
        if lacks || superseded {
            self.apart = Some(instance);
        }
    }

    /// Is its copy a database of its own?
    pub(super) fn apart(&self, instance: InstanceId) -> bool {
        self.apart == Some(instance)
    }

    /// Two databases that once were one answer clients: no single order explains what they saw.
    pub(super) fn parted(&self) -> bool {
        self.apart.is_some()
    }

    /// The first server after a force: what its log holds of the confirmed commits is what later ones need. [FO-62]
    fn begin_lineage(&mut self, at: Time, place: usize, by: InstanceId, chain: &Chain, report: &mut Report) {
        report.held(Premise::LineageBegan);
        let end = chain.end(by.0.into());
        let start = self.lineages[place].start;
        if let Some(had) = self.lineages[place].forced_at
            && !chain.contains(end, had)
        {
            report.fire("durability", "FO-62", at, || {
                format!(
                    "instance {} serves under n = {start} without log that it had when it was forced",
                    by.0
                )
            });
        }
        let kept = self.confirmed.iter().filter(|c| c.n < start && chain.contains(end, c.commit.node));
        let head = kept.map(|c| c.commit.node).max_by_key(|node| chain.node(*node).lsn);
        let lineage = &mut self.lineages[place];
        (lineage.head, lineage.served) = (head, true);
    }

    /// A confirmation leaves.
    pub(super) fn confirms(&mut self, at: Time, c: Confirmation, cx: &mut Cx<'_>) {
        let (chain, report) = (cx.chain, &mut *cx.report);
        let end = chain.end(c.by.0.into());
        // A reader's mark may coincide with somebody else's commit record.
        let commit = chain.commit_at(c.lsn, c.branch).filter(|commit| commit.txn == c.txn);
        let Some(commit) = commit else {
            if cx.history.txn(c.txn).is_some_and(|txn| !txn.writes && txn.commit_called) {
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
        if self.apart == Some(c.by) {
            return;
        }
        let place = self.lineage(c.n);
        if let Some(head) = self.lineages[place].head {
            report.held(Premise::HeadKept);
            if !chain.contains(end, head) {
                report.fire("durability", "INV-2", at, || {
                    format!(
                        "instance {} confirmed {:?} from a log that lacks an earlier confirmed commit",
                        c.by.0, commit.txn
                    )
                });
            }
        }
        if self.lineages[place].head.is_none_or(|head| chain.contains(Some(commit.node), head)) {
            self.lineages[place].head = Some(commit.node);
        }
        let window = self.window(c, commit, cx);
        if window == Window::None && self.alone(c.by, commit, cx.chain) {
            self.doubtful.push(self.confirmed.len());
        }
        // A decision is acted on for others only when it is durable. [OQ-1, P-1]
        if window == Window::Suspended && cx.records.current(c.by).is_some_and(|r| !r.suspended) {
            cx.report.fire("durability", "OQ-1", at, || {
                format!(
                    "instance {} confirmed {:?}, which only it holds, because of a suspension that is not durable there",
                    c.by.0, commit.txn
                )
            });
        }
        self.confirmed.push(Confirmed { commit, by: c.by, n: c.n, at, window });
        self.judge_exposure(at, c, commit, cx);
    }

    /// Does the other partner lack it?
    fn alone(&self, by: InstanceId, commit: Commit, chain: &Chain) -> bool {
        let [a, b] = self.partners;
        let other = if by == a { b } else { a };
        !chain.contains(chain.end(other.0.into()), commit.node)
    }

    /// The window in which a commit is confirmed, if a force may cost it. [FO-65, FO-67]
    fn window(&self, c: Confirmation, commit: Commit, cx: &Cx<'_>) -> Window {
        if !self.alone(c.by, commit, cx.chain) {
            return Window::None;
        }
        if cx.records.both(c.by, |r| r.safety == Safety::Full) == Some(false) {
            return Window::SafetyOff;
        }
        match cx.states.shown(c.by).map(|(_, state)| state) {
            Some(MirroringState::Disconnected) => Window::Exposed,
            Some(MirroringState::Suspended) => Window::Suspended,
            Some(MirroringState::Synchronizing) => Window::Synchronizing,
            Some(MirroringState::Synchronized | MirroringState::PendingFailover) | None => Window::None,
        }
    }

    /// Time has moved on: what was confirmed in the last instant by one copy alone had a state that allows it. [S-64]
    pub(super) fn tick(&mut self, states: &States, report: &mut Report) {
        for i in std::mem::take(&mut self.doubtful) {
            let c = &mut self.confirmed[i];
            c.window = match states.shown(c.by).map(|(_, state)| state) {
                Some(MirroringState::Disconnected) => Window::Exposed,
                Some(MirroringState::Suspended) => Window::Suspended,
                Some(MirroringState::Synchronizing) => Window::Synchronizing,
                // Nothing is known of an instance that tells nothing.
                None => Window::Synchronizing,
                Some(MirroringState::Synchronized | MirroringState::PendingFailover) => Window::None,
            };
            if c.window == Window::None {
                let (by, txn) = (c.by.0, c.commit.txn);
                report.fire("durability", "S-64", c.at, || {
                    format!(
                        "instance {by} confirmed {txn:?}, which only it holds, under SAFETY FULL while it shows SYNCHRONIZED"
                    )
                });
            }
        }
    }

    /// What only one copy has may be confirmed only with another instance's durable word. [OQ-4.1, Q-15]
    fn judge_exposure(&self, at: Time, c: Confirmation, commit: Commit, cx: &mut Cx<'_>) {
        let (chain, records) = (cx.chain, cx.records);
        if !self.alone(c.by, commit, chain) {
            return;
        }
        let quorum = records.both(c.by, |r| r.safety == Safety::Full && r.needs_quorum());
        if quorum != Some(true) {
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
        cx.report.held(Premise::ExposureJudged);
        if !permitted {
            cx.report.fire("durability", "OQ-4.1", at, || {
                format!(
                    "instance {} confirmed {:?}, which the other partner lacks, while every other record says synchronised under n = {}",
                    c.by.0, commit.txn, c.n
                )
            });
        }
    }

    /// A copy's log was cut back. [FO-49, FO-64, INV-10, P-16]
    pub(super) fn cut(&mut self, at: Time, cut: Cut, records: &Records, chain: &Chain, report: &mut Report) {
        self.dead_ends.push(cut.old);
        let lost =
            |node: NodeId| chain.contains(Some(cut.old), node) && !chain.contains(Some(cut.kept), node);
        if let Some(record) = records.current(cut.copy)
            && (record.off_fork || record.undo)
        {
            report.held(Premise::OldLogCut);
            if record.off_fork && record.suspended {
                report.fire("durability", "FO-64", at, || {
                    format!("instance {} dropped log of its old fork before RESUME", cut.copy.0)
                });
            }
        }
        let first = chain.path(Some(cut.old)).into_iter().find(|node| lost(*node));
        if let (Some(first), Some(owner)) = (first, records.newest().map(|r| r.owner))
            && owner != cut.copy
            && chain.contains(chain.end(owner.0.into()), first)
        {
            report.fire("durability", "INV-10", at, || {
                format!("instance {} dropped log that the principal's log holds", cut.copy.0)
            });
        }
        for c in self.confirmed.iter().filter(|c| lost(c.commit.node)) {
            report.held(Premise::ConfirmedCut);
            if !self.exempt(c, RoleSequence(u32::MAX), chain) {
                report.fire("durability", "INV-2", at, || {
                    format!(
                        "instance {} dropped the confirmed {:?} at {} although no force put it at risk",
                        cut.copy.0, c.commit.txn, c.commit.lsn
                    )
                });
            }
        }
    }

    /// Did a force with an n up to `upto` put the commit at risk?
    fn exempt(&self, c: &Confirmed, upto: RoleSequence, chain: &Chain) -> bool {
        let at_risk = |l: &Lineage| {
            l.forced && l.start > c.n && l.start <= upto && !chain.contains(l.forced_at, c.commit.node)
        };
        self.lineages.iter().any(at_risk)
    }

    /// The end of the run: nothing confirmed is missing in the surviving log but what a force may cost, nothing that was
    /// rolled back is in it.
    pub(super) fn finish(&mut self, end: Time, history: &History, chain: &Chain, report: &mut Report) {
        let Some((n, server)) = self.newest else { return };
        let tip = chain.end(server.0.into());
        for c in &self.confirmed {
            report.held(Premise::FinalJudged);
            let commit = c.commit;
            if chain.contains(tip, commit.node) {
                continue;
            }
            report.stats.lost += 1;
            let after = self.lineages.iter().any(|l| l.start > c.n && l.start <= n && l.since <= c.at);
            let window = if after && c.window != Window::None { Window::BothServed } else { c.window };
            report.losses.push(Loss { txn: commit.txn, by: c.by, confirmed_at: c.at, window });
            let why = if !self.exempt(c, n, chain) {
                ("INV-2", "is missing from the log of the last server")
            } else if window == Window::None {
                ("FO-65", "was lost by a force although it was confirmed in no window for that")
            } else {
                report.held(Premise::LossJudged);
                continue;
            };
            report.fire("durability", why.0, end, || {
                format!("confirmed {:?} at {} {}", commit.txn, commit.lsn, why.1)
            });
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
                Outcome::Committed { .. } if txn.writes && !survived.contains_key(&txn.id) => {
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
    use super::super::report::Window;
    use super::super::testkit::{
        A, B, Bench, C0, C1, Log, Made, Rec, SESSION, W, Written, page, record, written,
    };
    use crate::observe::Fact;
    use dbm_core::io::{FileKind, Notice, Op, Reply, Request};
    use dbm_core::types::{InstanceId, Key, MirroringState, Role, RoleSequence, TxnId, Value};

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
        let rules = bench.rules();
        assert_eq!(rules, [("records", "P-1"), ("switches", "OQ-9"), ("durability", "INV-2")]);
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

    fn show(bench: &mut Bench, instance: InstanceId, role: Role, state: MirroringState) {
        let from = bench.oracle.states.shown(instance);
        let notice = Notice::State { session: SESSION, from, to: (role, state), n: RoleSequence(1) };
        bench.fact(Fact::Told { instance, notice: &notice });
    }

    /// What is wrong in the story of a force.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Spoil {
        Nothing,
        /// The commit is confirmed after the force, by the old principal.
        Late,
        /// The old principal showed SYNCHRONIZED when it confirmed alone.
        Synchronized,
        /// No force: the other copy just lacks the commit.
        NoForce,
        /// The old copy follows the new fork before RESUME.
        EarlyCut,
        /// A page of the old copy is replaced before RESUME.
        EarlyPage,
        /// The forced copy had the commit and drops it.
        Had,
        /// A reader of the old fork saw what was not there.
        Misread,
        /// The old principal shows a suspension that is not durable when it confirms alone.
        Hasty,
        /// A removal has been tried before, and failed.
        Removed,
        /// The same, and nobody gave the order to force.
        RemovedUnordered,
    }

    /// A confirms what B lacks; B is forced and goes on from before that; A comes back, RESUME, A follows.
    fn force(spoil: Spoil) -> (Vec<&'static str>, Vec<Window>) {
        let (mut bench, mut log) = (Bench::new(false), Log::new());
        let base = Written { witness: false, ..written(1, 1, A) };
        for instance in [A, B] {
            bench.record(instance, base.bytes());
        }
        show(&mut bench, A, Role::Principal, MirroringState::Synchronizing);
        let x = one(&mut log, 1, 1, &E);
        let mut fork = log.fork_after(&x);
        let list = [E, E].concat();
        let y = one(&mut log, 1, 2, &list);
        let forked = [E, 2u32.to_le_bytes()].concat();
        let z = one(&mut fork, 2, 3, &forked);
        bench.batch(C0, A, 1, add());
        for instance in [A, B] {
            bench.log(instance, &x);
        }
        bench.committed(C0, A, x.at(1), x.branch, vec![Value::default()]);
        bench.at(1);
        if spoil == Spoil::Hasty {
            show(&mut bench, A, Role::Principal, MirroringState::Suspended);
        } else if spoil == Spoil::Synchronized {
            show(&mut bench, A, Role::Principal, MirroringState::Synchronized);
        } else {
            show(&mut bench, A, Role::Principal, MirroringState::Disconnected);
        }
        if spoil == Spoil::Had {
            bench.log(B, &y);
        }
        let confirm = |bench: &mut Bench| {
            bench.batch(C0, A, 2, add());
            bench.log(A, &y);
            bench.committed(C0, A, y.at(1), y.branch, vec![Value(E.to_vec())]);
            bench.batch(C1, A, 4, vec![Op::Read(Key(2000))]);
            let saw = if spoil == Spoil::Misread { &E[..] } else { &list };
            bench.committed(C1, A, y.end(), y.branch, vec![Value(saw.to_vec())]);
        };
        if spoil != Spoil::Late {
            confirm(&mut bench);
        }
        bench.at(2);
        let taken = Written { serial: 2, n: 2, owner: B, suspended: (true, 2, 2), ..base };
        bench.oracle.world.tried.foreign = matches!(spoil, Spoil::Removed | Spoil::RemovedUnordered);
        if spoil == Spoil::RemovedUnordered {
            bench.record(B, taken.bytes());
        } else if spoil != Spoil::NoForce {
            bench.statement(B, "PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS", None);
            bench.record(B, taken.bytes());
        }
        bench.at(3);
        if spoil == Spoil::Late {
            confirm(&mut bench);
        }
        bench.batch(C0, B, 3, vec![Op::Append(Key(2000), 2)]);
        bench.log(B, &z);
        bench.committed(C0, B, z.at(1), z.branch, vec![Value(E.to_vec())]);
        bench.at(4);
        bench.record(A, Written { off_fork: true, ..taken }.bytes());
        if spoil == Spoil::EarlyCut {
            bench.log(A, &z);
        }
        if spoil == Spoil::EarlyPage {
            bench.durable(A, FileKind::Data, 250 * 1024, &page(250, z.at(0), 0, &forked));
        }
        bench.statement(B, "PARTNER RESUME", None);
        let resumed = Written { serial: 3, suspended: (false, 2, 3), ..taken };
        bench.record(B, resumed.bytes());
        bench.record(A, resumed.bytes());
        bench.log(A, &z);
        bench.at(5);
        let end = bench.now;
        let verdict = bench.oracle.finish(end);
        let kept = ["durability", "logs", "data"];
        (
            verdict.violations.iter().filter(|v| kept.contains(&v.invariant)).map(|v| v.rule).collect(),
            verdict.losses.iter().map(|l| l.window).collect(),
        )
    }

    /// [FO-65, FO-66, FO-68]
    #[test]
    fn what_a_force_may_cost_is_listed_with_its_window() {
        assert_eq!(force(Spoil::Nothing), (vec![], vec![Window::Exposed]));
        assert_eq!(force(Spoil::Late), (vec![], vec![Window::BothServed]));
    }

    /// A removal that was tried and failed leaves a session in which service may be forced. [FO-62, FO-65, OQ-35]
    #[test]
    fn a_force_after_a_removal_was_tried_is_followed() {
        assert_eq!(force(Spoil::Removed), force(Spoil::Nothing));
        let (rules, _) = force(Spoil::RemovedUnordered);
        assert!(rules.contains(&"INV-2"), "{rules:?}");
    }

    /// [S-64, FO-65]
    #[test]
    fn a_commit_that_only_one_copy_has_is_not_confirmed_while_synchronized() {
        assert_eq!(force(Spoil::Synchronized), (vec!["S-64", "FO-65"], vec![Window::None]));
    }

    /// [OQ-1]
    #[test]
    fn a_suspension_counts_when_it_is_durable() {
        assert_eq!(force(Spoil::Hasty), (vec!["OQ-1"], vec![Window::Suspended]));
    }

    /// [INV-2]
    #[test]
    fn a_loss_without_a_force_is_found() {
        let (rules, windows) = force(Spoil::NoForce);
        assert_eq!((rules[0], windows), ("INV-2", vec![Window::Exposed]));
    }

    /// [FO-64, P-16]
    #[test]
    fn the_old_log_and_its_pages_stay_until_resume() {
        assert_eq!(force(Spoil::EarlyCut).0, ["FO-64"]);
        assert_eq!(force(Spoil::EarlyPage).0, ["FO-64"]);
    }

    /// [FO-62, FO-49]
    #[test]
    fn a_forced_copy_keeps_all_that_it_had() {
        let (rules, _) = force(Spoil::Had);
        assert!(rules.contains(&"FO-62") && rules.contains(&"INV-2"), "{rules:?}");
    }

    #[test]
    fn clients_of_the_lost_fork_are_judged_by_it() {
        assert_eq!(force(Spoil::Misread).0, ["P-8"]);
    }
}
