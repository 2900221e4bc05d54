//! One server, leases, and role switches. [INV-1, INV-3, INV-6, INV-7, OQ-3, OQ-4]
//!
//! *Serves* means: a successful answer to a client left. With a witness such answers carry, in true time, an n that
//! never falls, and for each n they come from one instance. Each needs a lease: some peer must have echoed a ping that
//! the server sent as principal of that n no longer ago than T on a clock of any permitted rate.
//!
//! A *grant* is the witness's durable record naming another owner under a higher n that the old owner had not handed
//! over itself. For it both witness and new owner must have lost the old principal in true time: its last ping under
//! the old n was delivered there long enough ago, or its own host has refused a dial since, or it said farewell; after
//! a start the same time has to pass unless refused. An automatic grant also needs SAFETY FULL, a durable claim, the
//! same synchronised record on both, an ARMED since the last break between them, and every confirmed commit durable on
//! the new owner. [FO-11 … FO-16]
//!
//! Pings that reach a paused process wait for it; they are not counted as heard.

use super::chain::{Chain, NodeId};
use super::parse::{FrameView, RecordView, SeatView};
use super::records::Records;
use super::report::{Premise, Report};
use super::statements::{Kind, Statements};
use super::switches::Switches;
use super::world::World;
use crate::time::Time;
use dbm_core::io::{LinkDownCause, LinkId};
use dbm_core::types::{InstanceId, RoleSequence, Safety};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Microseconds that rounding between clocks may hide.
const ROUNDING: u64 = 4;

#[derive(Clone, Debug)]
pub(super) struct Roles {
    instances: usize,
    partners: [InstanceId; 2],
    witness: Option<InstanceId>,
    drift_ppm: u64,
    ping_interval: Time,
    newest: Option<(RoleSequence, InstanceId)>,
    repliers: BTreeMap<RoleSequence, InstanceId>,
    owners: BTreeMap<RoleSequence, InstanceId>,
    pings_seen: bool,
    armed_seen: bool,
    pairs: Vec<Pair>,
    claims: Vec<Option<Claim>>,
    grant: Option<Claim>,
    /// When a record of each instance last became durable.
    written: Vec<Time>,
}

/// What passed from one instance to another.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// Pings sent: stamp, true time, n.
    sent: VecDeque<(u64, Time, RoleSequence)>,
    /// The newest of them that the other end has echoed.
    lease: Option<(Time, RoleSequence)>,
    /// The newest ping delivered to the other end.
    heard: Option<(Time, RoleSequence)>,
    /// The other end has a definite sign that this one is gone.
    gone: Option<Time>,
    /// Links to the other end that are usable at this end.
    links: BTreeSet<LinkId>,
    /// When the last of them ended.
    broken: Option<Time>,
    /// When ARMED was delivered to the other end.
    armed: Option<Time>,
    /// The (n, sequence) of the SYNCED on which that ARMED rests.
    armed_by: Option<(RoleSequence, u64)>,
}

/// What was true when a claim, or a grant, was about to be written.
#[derive(Clone, Copy, Debug)]
struct Claim {
    n: RoleSequence,
    /// The old principal was lost here.
    lost: bool,
    /// For a claim: the claimant was armed, and had not been told since that its link with the witness broke.
    armed: bool,
    at: Time,
}

impl Roles {
    pub(super) fn new(setup: &super::OracleSetup) -> Self {
        let n = setup.names.len();
        let drift_ppm = u64::from(setup.drift_ppm);
        Roles {
            instances: n,
            partners: setup.partners,
            witness: setup.witness,
            drift_ppm,
            ping_interval: setup.ping_interval,
            newest: None,
            repliers: BTreeMap::new(),
            owners: BTreeMap::new(),
            pings_seen: false,
            armed_seen: false,
            pairs: vec![Pair::default(); n * n],
            claims: vec![None; n],
            grant: None,
            written: vec![Time(0); n],
        }
    }

    fn pair(&mut self, from: InstanceId, to: InstanceId) -> &mut Pair {
        &mut self.pairs[usize::from(from.0) * self.instances + usize::from(to.0)]
    }

    fn see(&self, from: InstanceId, to: InstanceId) -> &Pair {
        &self.pairs[usize::from(from.0) * self.instances + usize::from(to.0)]
    }

    pub(super) fn sent(&mut self, at: Time, from: InstanceId, to: InstanceId, frame: &FrameView) {
        if let FrameView::Ping { n, stamp, .. } = *frame {
            self.pings_seen = true;
            self.pair(from, to).sent.push_back((stamp, at, n));
        }
    }

    pub(super) fn delivered(
        &mut self,
        at: Time,
        from: InstanceId,
        to: InstanceId,
        frame: &FrameView,
        paused: bool,
    ) {
        match *frame {
            FrameView::Ping { n, echo, .. } => {
                if !paused {
                    self.pair(from, to).heard = Some((at, n));
                }
                let Some(echo) = echo else { return };
                let own = self.pair(to, from);
                while own.sent.front().is_some_and(|(stamp, _, _)| *stamp < echo) {
                    own.sent.pop_front();
                }
                if let Some(&(stamp, sent, n)) = own.sent.front()
                    && stamp == echo
                {
                    own.lease = Some((sent, n));
                }
            }
            FrameView::Farewell => self.pair(from, to).gone = Some(at),
            FrameView::Armed { word, .. } => {
                self.armed_seen = true;
                let pair = self.pair(from, to);
                (pair.armed, pair.armed_by) = (Some(at), Some(word));
            }
            FrameView::LogAck { .. }
            | FrameView::Noted { .. }
            | FrameView::Ready { .. }
            | FrameView::LogRequest { .. }
            | FrameView::Word { .. }
            | FrameView::Seat { .. }
            | FrameView::Record { .. }
            | FrameView::Other => {}
        }
    }

    pub(super) fn link_up(&mut self, at: InstanceId, peer: InstanceId, link: LinkId) {
        self.pair(at, peer).links.insert(link);
    }

    pub(super) fn link_down(
        &mut self,
        now: Time,
        at: InstanceId,
        peer: InstanceId,
        link: LinkId,
        cause: LinkDownCause,
    ) {
        match cause {
            LinkDownCause::Refused => self.pair(peer, at).gone = Some(now),
            LinkDownCause::Closed | LinkDownCause::Reset => {}
        }
        let pair = self.pair(at, peer);
        if pair.links.remove(&link) && pair.links.is_empty() {
            pair.broken = Some(now);
        }
    }

    pub(super) fn died(&mut self, now: Time, instance: InstanceId) {
        for peer in (0..self.instances as u8).map(InstanceId) {
            let pair = self.pair(instance, peer);
            pair.links.clear();
            pair.broken = Some(now);
        }
    }

    /// A successful answer leaves. [INV-1, INV-3, INV-7, INV-13]
    #[expect(clippy::too_many_arguments, reason = "one answer and the models it is judged by")]
    pub(super) fn serves(
        &mut self,
        at: Time,
        by: InstanceId,
        n: RoleSequence,
        world: &World,
        records: &Records,
        switches: &Switches,
        report: &mut Report,
    ) {
        if let Some(&first) = self.repliers.get(&n) {
            report.held(Premise::ReplyOrdered);
            if first != by {
                report.fire("roles", "INV-3", at, || {
                    format!("instances {} and {} both answered clients under n = {n}", first.0, by.0)
                });
            }
        } else {
            self.repliers.insert(n, by);
        }
        // The quorum rule binds from the record that sets a witness to the one that removes it. [OQ-16]
        let quorum = records.both(by, RecordView::needs_quorum).unwrap_or(self.witness.is_some());
        let alone = quorum && !world.tried.foreign && world.guaranteed();
        // Without a witness both may serve after a forced service. [INV-13]
        if let Some((newest, server)) = self.newest
            && n < newest
            && (alone || !switches.forced_between(n, newest))
        {
            report.fire("roles", "INV-1", at, || {
                format!(
                    "instance {} answered under n = {n} after instance {} had under n = {newest}",
                    by.0, server.0
                )
            });
        }
        if self.newest.is_none_or(|(newest, _)| n > newest) {
            self.newest = Some((n, by));
        }
        if alone && self.pings_seen {
            report.held(Premise::LeaseJudged);
            let period = world.timeout.1.0;
            let longest = Time(period * 1_000_000 / (1_000_000 - self.drift_ppm.min(500_000)) + ROUNDING);
            let leased = (0..self.instances as u8).map(InstanceId).any(|peer| {
                peer != by && self.see(by, peer).lease.is_some_and(|(sent, m)| m == n && sent + longest >= at)
            });
            if !leased {
                report.fire("roles", "INV-7", at, || {
                    let newest = (0..self.instances as u8).filter_map(|p| self.see(by, InstanceId(p)).lease).max();
                    match newest {
                        Some((sent, m)) => format!(
                            "instance {} answered under n = {n}; the newest ping of it that was echoed left at {sent} under n = {m}",
                            by.0
                        ),
                        None => format!("instance {} answered under n = {n}; no ping of it was ever echoed", by.0),
                    }
                });
            }
        }
    }

    /// ARMED reached `mirror` after `since`, resting on `word`, and no link between it and the witness has broken since,
    /// at either end. [OQ-4.2, OQ-15]
    pub(super) fn armed(
        &self,
        (principal, mirror, witness): (InstanceId, InstanceId, InstanceId),
        word: (RoleSequence, u64),
        since: Time,
    ) -> bool {
        let pair = self.see(principal, mirror);
        let stands = |from: InstanceId, to: InstanceId, at: Time| {
            let pair = self.see(from, to);
            !pair.links.is_empty() && pair.broken.is_none_or(|broken| broken < at)
        };
        pair.armed_by == Some(word)
            && pair
                .armed
                .is_some_and(|at| at > since && stands(mirror, witness, at) && stands(witness, mirror, at))
    }

    /// Has `here` lost the principal `old` of `n`, in true time?
    fn lost(&self, now: Time, here: InstanceId, old: InstanceId, n: RoleSequence, world: &World) -> bool {
        let pair = self.see(old, here);
        let heard = pair.heard.filter(|(_, m)| *m == n).map(|(at, _)| at);
        if pair.gone.is_some_and(|gone| heard.is_none_or(|heard| heard <= gone)) {
            return true;
        }
        let wait = (world.timeout.0 + self.ping_interval).0;
        let shortest = (wait * 1_000_000 / (1_000_000 + self.drift_ppm)).saturating_sub(ROUNDING);
        let since = heard.unwrap_or_default().max(world.started_at(here));
        now >= since + Time(shortest)
    }

    /// A record is about to be written: the moment at which a claim or a grant binds.
    pub(super) fn record_issued(
        &mut self,
        at: Time,
        instance: InstanceId,
        new: &RecordView,
        (records, statements): (&Records, &Statements),
        world: &World,
        report: &mut Report,
    ) {
        let Some(old) = records.current(instance) else { return };
        if let Some(n) = new.claim
            && old.claim != Some(n)
        {
            let lost = self.lost(at, instance, old.owner, old.n, world);
            let since = self.see(old.owner, instance).armed.filter(|a| *a >= world.started_at(instance));
            let broken = match new.seat {
                SeatView::Set(w) | SeatView::Leaving(w) => self.see(instance, w).broken,
                SeatView::Off => None,
            };
            let armed = since.is_some_and(|since| broken.is_none_or(|broken| broken < since));
            let claim = Claim { n, lost, armed, at };
            self.claims[usize::from(instance.0)] = Some(claim);
            // What was bound before this write, and not yet durable, may have been another moment.
            let at_once = records.bound(instance) == Some(old) && self.written[usize::from(instance.0)] < at;
            if at_once && !world.tried.foreign && !statements.heard(instance, Kind::Force) {
                self.judge_claim(claim, instance, old, world, report);
            }
        }
        if !self.partners.contains(&instance) && new.n > old.n && new.owner != old.owner {
            let lost = self.lost(at, instance, old.owner, old.n, world);
            self.grant = Some(Claim { n: new.n, lost, armed: true, at });
        }
    }

    /// What a mirror needs that claims the role by itself, at the moment when the claim binds. [FO-11 … FO-16, OQ-15]
    fn judge_claim(
        &self,
        claim: Claim,
        instance: InstanceId,
        old: &RecordView,
        world: &World,
        report: &mut Report,
    ) {
        report.held(Premise::ClaimJudged);
        let mut wrong: Vec<(&'static str, &'static str)> = Vec::new();
        if world.guaranteed() && self.pings_seen && !claim.lost {
            wrong.push(("OQ-3.3", "it has not lost the principal"));
        }
        if self.armed_seen && !claim.armed {
            wrong.push(("OQ-15", "it is not armed, or its link with the witness broke since"));
        }
        if old.safety != Safety::Full {
            wrong.push(("FO-11", "SAFETY is not FULL"));
        }
        if old.suspended {
            wrong.push(("FO-12", "the session is suspended"));
        }
        if !old.synchronised.is_some_and(|(yes, n, _)| yes && n == old.n) {
            wrong.push(("FO-16", "its record does not say synchronised"));
        }
        for (rule, why) in wrong {
            report.fire("roles", rule, claim.at, || {
                format!("instance {} claims n = {} although {why}", instance.0, claim.n)
            });
        }
    }

    /// A record has become durable.
    pub(super) fn record_durable(
        &mut self,
        cx: &mut RecordCx<'_>,
        before: Option<&RecordView>,
        now: &RecordView,
    ) {
        let (at, instance) = (cx.at, cx.instance);
        self.written[usize::from(instance.0)] = at;
        cx.report.held(Premise::RecordJudged);
        if let Some(before) = before
            && now.n < before.n
        {
            cx.report.fire("roles", "FO-4", at, || {
                format!("the durable n of instance {} fell from {} to {}", instance.0, before.n, now.n)
            });
        }
        let owner = *self.owners.entry(now.n).or_insert(now.owner);
        if owner != now.owner {
            cx.report.fire("roles", "INV-3", at, || {
                format!(
                    "n = {} is owned by instance {} and, in the record of instance {}, by {}",
                    now.n, owner.0, instance.0, now.owner.0
                )
            });
        }
        let Some(before) = before else { return };
        if cx.world.tried.foreign {
            return;
        }
        let partner = self.partners.contains(&instance);
        if !partner && now.n > before.n && now.owner != before.owner {
            self.judge_grant(cx, instance, before, now);
        }
        // Two of three: with a witness nobody becomes owner by its own record alone.
        if partner && now.n > before.n && now.owner == instance && before.needs_quorum() {
            let mut others = (0..self.instances as u8).map(InstanceId).filter(|i| *i != instance);
            if !others.any(|i| cx.records.current(i).is_some_and(|r| r.n == now.n && r.owner == instance)) {
                cx.report.fire("roles", "P-2", at, || {
                    format!(
                        "instance {} made itself owner of n = {} and no other record says so",
                        instance.0, now.n
                    )
                });
            }
        }
    }

    fn judge_grant(&self, cx: &mut RecordCx<'_>, witness: InstanceId, before: &RecordView, now: &RecordView) {
        let (at, new, old) = (cx.at, now.owner, before.owner);
        let handed_over = cx.records.current(old).is_some_and(|r| r.n >= now.n);
        let Some(other) = cx.records.current(new) else { return };
        // The new owner itself knows already: it was elected or took over before the witness heard of it.
        if handed_over || other.n >= now.n {
            return;
        }
        let forced = now.suspended && now.suspended_at.0 == now.n;
        let mut wrong: Vec<(&'static str, &'static str)> = Vec::new();
        let grant = self.grant.filter(|g| g.n == now.n);
        let claim = self.claims[usize::from(new.0)].filter(|c| c.n == now.n && other.claim == Some(now.n));
        if cx.world.guaranteed() && self.pings_seen {
            if grant.is_some_and(|g| !g.lost) {
                wrong.push(("OQ-3.3", "the witness had not lost the old principal"));
            }
            if claim.is_some_and(|c| !c.lost) {
                wrong.push(("OQ-3.3", "the new owner had not lost the old principal when it claimed"));
            }
        }
        if other.claim != Some(now.n) {
            wrong.push(("OQ-4.3", "the new owner holds no durable claim"));
        }
        if forced {
            cx.report.held(Premise::ForcedGrantJudged);
        } else {
            cx.report.held(Premise::GrantJudged);
            if before.safety != Safety::Full || other.safety != Safety::Full {
                wrong.push(("FO-11", "SAFETY is not FULL"));
            }
            let word = before.synchronised;
            if !word.is_some_and(|(yes, _, _)| yes) || word != other.synchronised || before.n != other.n {
                wrong.push((
                    "FO-16",
                    "the records of witness and new owner do not both say synchronised alike",
                ));
            }
            if before.suspended || other.suspended {
                wrong.push(("FO-12", "the session is suspended"));
            }
            if self.armed_seen {
                let granted = grant.map_or(at, |g| g.at);
                // The claimant's side was looked at when it claimed; what it claimed before a crash or a break is
                // granted all the same, unless the witness was told of the break first.
                let armed = claim.is_none_or(|c| c.armed);
                let told = self.see(witness, new).broken;
                let broken = claim.zip(told).is_some_and(|(c, told)| c.at < told && told < granted);
                if !armed || broken {
                    wrong.push((
                        "OQ-15",
                        "the new owner was not armed, or its link with the witness broke since",
                    ));
                }
            }
            if let Some(head) = cx.head
                && !cx.chain.contains(cx.chain.end(new.0.into()), head)
            {
                wrong.push(("INV-2", "a confirmed commit lies beyond the new owner's durable log"));
            }
        }
        for (rule, why) in wrong {
            cx.report.fire("roles", rule, at, || {
                format!("the witness made instance {} owner of n = {} although {why}", new.0, now.n)
            });
        }
    }
}

/// What judging a durable record looks at.
pub(super) struct RecordCx<'a> {
    pub(super) at: Time,
    pub(super) instance: InstanceId,
    pub(super) records: &'a Records,
    pub(super) world: &'a World,
    pub(super) chain: &'a Chain,
    pub(super) head: Option<NodeId>,
    pub(super) report: &'a mut Report,
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, C0, W, armed, ping, ready, record};
    use crate::observe::Fact;
    use dbm_core::io::{LinkDownCause, LinkId, Reply};
    use dbm_core::types::RoleSequence;

    fn begun(n: u32) -> Reply {
        Reply::Begun { n: RoleSequence(n) }
    }

    /// [INV-1]
    #[test]
    fn an_answer_under_a_lower_n_is_found() {
        let mut bench = Bench::new(true);
        for (instance, n) in [(A, 1), (B, 2)] {
            bench.lease(instance, W, n);
            bench.replied(C0, instance, begun(n));
        }
        assert_eq!(bench.rules(), []);
        bench.replied(C0, A, begun(1));
        assert_eq!(bench.rules(), [("roles", "INV-1")]);
    }

    /// [INV-3]
    #[test]
    fn two_servers_of_one_n_are_found() {
        let mut bench = Bench::new(true);
        for instance in [A, B] {
            bench.lease(instance, W, 1);
            bench.replied(C0, instance, begun(1));
        }
        assert_eq!(bench.rules(), [("roles", "INV-3")]);
    }

    /// [INV-7]
    #[test]
    fn an_answer_without_a_lease_is_found() {
        let mut bench = Bench::new(true);
        bench.lease(A, W, 1);
        bench.at(9);
        bench.replied(C0, A, begun(1));
        assert_eq!(bench.rules(), []);
        bench.at(11);
        bench.replied(C0, A, begun(1));
        assert_eq!(bench.rules(), [("roles", "INV-7")]);
    }

    /// [FO-4]
    #[test]
    fn a_falling_role_sequence_and_a_second_owner_are_found() {
        let mut bench = Bench::synchronised();
        bench.record(B, record(2, 3, A, false, 2, 0));
        bench.record(B, record(3, 2, A, false, 2, 0));
        bench.record(W, record(2, 3, B, false, 2, 0));
        let rules = bench.rules();
        assert!(rules.contains(&("roles", "FO-4")) && rules.contains(&("roles", "INV-3")), "{rules:?}");
    }

    /// Everything that an automatic take-over needs, with one thing to leave out.
    fn take_over(spoil: &str) -> Vec<(&'static str, &'static str)> {
        let mut bench = Bench::synchronised();
        let link = LinkId(7);
        bench.fact(Fact::LinkUp { at: B, peer: W, link });
        bench.lease(A, W, 1);
        bench.lease(A, B, 1);
        bench.deliver(A, B, &armed(1));
        bench.at(2);
        if spoil == "flap" {
            bench.fact(Fact::LinkDown { at: B, peer: W, link, cause: LinkDownCause::Reset });
            bench.fact(Fact::LinkUp { at: B, peer: W, link });
        }
        if spoil == "exposed" {
            bench.record(W, record(2, 1, A, false, 2, 0));
        }
        bench.at(if spoil == "early" { 6 } else { 12 });
        if spoil == "ping" {
            bench.deliver(A, W, &ping(1, 9, None));
        }
        if spoil != "claim" {
            bench.record(B, record(2, 1, A, true, 1, 2));
        }
        let claimed = bench.rules();
        bench.record(W, record(3, 2, B, false, 1, 0));
        let mut rules = bench.rules();
        if matches!(spoil, "early" | "flap") {
            assert_eq!(claimed, rules[..1], "the claim alone is enough");
        }
        // Claim and grant are judged apart.
        rules.dedup();
        rules
    }

    #[test]
    fn a_take_over_by_the_book_is_in_order() {
        assert_eq!(take_over(""), []);
    }

    #[test]
    fn each_missing_condition_of_a_take_over_is_found() {
        assert_eq!(take_over("early"), [("roles", "OQ-3.3")]);
        assert_eq!(take_over("ping"), [("roles", "OQ-3.3")]);
        assert_eq!(take_over("flap"), [("roles", "OQ-15")]);
        assert_eq!(take_over("exposed"), [("roles", "FO-16")]);
        assert_eq!(take_over("claim"), [("roles", "OQ-4.3")]);
    }

    /// [P-2]
    #[test]
    fn an_owner_by_its_own_word_is_found() {
        let mut bench = Bench::synchronised();
        bench.record(B, record(2, 2, B, false, 1, 0));
        assert!(bench.rules().contains(&("roles", "P-2")));
    }

    /// [OQ-9]
    #[test]
    fn a_hand_over_needs_no_loss() {
        let mut bench = Bench::synchronised();
        bench.lease(A, W, 1);
        bench.statement(A, "PARTNER FAILOVER", None);
        bench.deliver(B, A, &ready(1));
        bench.record(A, record(2, 2, B, false, 1, 0));
        bench.record(B, record(2, 2, B, false, 1, 0));
        bench.record(W, record(2, 2, B, false, 1, 0));
        assert_eq!(bench.rules(), []);
    }

    /// A refusal by the principal's own host is definite. [OQ-3.4]
    #[test]
    fn a_refused_dial_replaces_the_wait() {
        let mut bench = Bench::synchronised();
        bench.lease(A, W, 1);
        bench.lease(A, B, 1);
        bench.at(2);
        for at in [B, W] {
            bench.fact(Fact::LinkDown { at, peer: A, link: LinkId(8), cause: LinkDownCause::Refused });
        }
        bench.record(B, record(2, 1, A, true, 1, 2));
        bench.record(W, record(3, 2, B, false, 1, 0));
        assert_eq!(bench.rules(), []);
    }
}
