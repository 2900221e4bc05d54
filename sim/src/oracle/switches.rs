//! How each role sequence and each suspension came about: by a cause that the rules know, with its preconditions true
//! at that moment. [FO-31 … FO-39, FO-50 … FO-62, OQ-4, OQ-7, OQ-9, INV-9, INV-13]
//!
//! Judged when an instance *begins to write* a record, because from then on it is bound. A role sequence that no durable
//! record anywhere has named before is *made* by that record, in one of four ways:
//!
//! | made by | naming | way | judged |
//! |---|---|---|---|
//! | its owner until then | the other partner | hand-over | here |
//! | a mirror without a witness | itself | force | here |
//! | the witness | the other partner | grant, automatic or forced (then the suspended flag carries the new n) | `roles`, and here what a force needs |
//! | a mirror with a claim for n + 1 | the owner until then, n + 2 | renounced claim | here |
//!
//! Likewise the suspended flag changes only with a new stamp, first written by somebody who was asked for it: SUSPEND or
//! force sets it, RESUME on the principal clears it.

use super::chain::{Chain, NodeId};
use super::parse::{FrameView, RecordView};
use super::records::Records;
use super::report::{Premise, Report};
use super::statements::{Kind, Statements};
use super::states::States;
use crate::time::Time;
use dbm_core::types::{InstanceId, MirroringState, Role, RoleSequence, Safety};
use std::collections::{BTreeMap, BTreeSet};

/// How long an instance that was told of a higher n may need to act on it: a record write on a slow disk.
const TOLD_GRACE: Time = Time::secs(2);

/// How a role sequence came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Granted by the witness to an armed mirror.
    Automatic,
    /// Handed over by its owner.
    HandOver,
    /// Forced.
    Force,
    /// Given back by a mirror that renounced its claim.
    Renounced,
}

/// A role sequence that was just made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) n: RoleSequence,
    pub(super) owner: InstanceId,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) struct Switches {
    partners: [InstanceId; 2],
    /// What some durable record has named.
    known: BTreeMap<RoleSequence, InstanceId>,
    made: BTreeMap<RoleSequence, Made>,
    /// Stamps of the suspended flag that some durable record has held.
    flags: BTreeSet<(RoleSequence, u64)>,
    /// Claims written by somebody whom the owner had told to force.
    forced_claims: BTreeSet<(InstanceId, RoleSequence)>,
    /// The newest FAILOVER_READY that reached an instance in this life.
    ready: Vec<Option<RoleSequence>>,
    /// The first word of a higher n that reached an instance in this life and went unheeded so far.
    told: Vec<Option<(RoleSequence, Time)>>,
    /// Where the log of a copy ended when it last began an undo. As long as no block follows, the chain still counts what
    /// the undo cuts off.
    given_up: Vec<Option<NodeId>>,
}

/// What a record that is about to be written is judged by.
pub(super) struct Issue<'a> {
    pub(super) at: Time,
    pub(super) instance: InstanceId,
    /// What bound the instance before.
    pub(super) before: RecordView,
    pub(super) new: RecordView,
    pub(super) records: &'a Records,
    pub(super) statements: &'a Statements,
    pub(super) states: &'a States,
    pub(super) chain: &'a Chain,
    /// The furthest confirmed commit that the next principal needs.
    pub(super) head: Option<NodeId>,
    pub(super) report: &'a mut Report,
}

impl Switches {
    pub(super) fn new(partners: [InstanceId; 2], instances: usize) -> Self {
        Switches {
            partners,
            known: BTreeMap::new(),
            made: BTreeMap::new(),
            flags: BTreeSet::new(),
            forced_claims: BTreeSet::new(),
            ready: vec![None; instances],
            told: vec![None; instances],
            given_up: vec![None; instances],
        }
    }

    /// The newest attempt at this role sequence; `None` for the first one of the run.
    pub(super) fn made(&self, n: RoleSequence) -> Option<&Made> {
        self.made.get(&n)
    }

    /// Was service forced with a role sequence above `n` and up to `upto`?
    pub(super) fn forced_between(&self, n: RoleSequence, upto: RoleSequence) -> bool {
        self.made.values().any(|m| m.origin == Origin::Force && m.n > n && m.n <= upto)
    }

    fn other(&self, instance: InstanceId) -> InstanceId {
        let [a, b] = self.partners;
        if instance == a { b } else { a }
    }

    pub(super) fn gone(&mut self, instance: InstanceId) {
        let i = usize::from(instance.0);
        if i < self.told.len() {
            self.told[i] = None;
            self.ready[i] = None;
        }
    }

    pub(super) fn delivered(
        &mut self,
        at: Time,
        to: InstanceId,
        frame: &FrameView,
        paused: bool,
        records: &Records,
    ) {
        let i = usize::from(to.0);
        match *frame {
            FrameView::Ready { n } if i < self.ready.len() => self.ready[i] = Some(n),
            FrameView::Record { n, owner, .. } if i < self.told.len() && !paused && owner != to => {
                // A database that has left its session is no principal any more: words of the session pass it by. What
                // it heard before it left still counts. [C-80, C-84]
                let news = records.bound(to).is_some_and(|bound| n > bound.n && !bound.over);
                if news && self.told[i].is_none_or(|(known, _)| n > known) {
                    self.told[i] = Some((n, at));
                }
            }
            _ => {}
        }
    }

    /// A record has become durable.
    pub(super) fn record_durable(&mut self, now: &RecordView) {
        self.known.entry(now.n).or_insert(now.owner);
        self.flags.insert(now.suspended_at);
    }

    /// A successful answer leaves. [OQ-9, INV-13]
    pub(super) fn serves(
        &self,
        at: Time,
        by: InstanceId,
        n: RoleSequence,
        records: &Records,
        report: &mut Report,
    ) {
        if let Some(bound) = records.bound(by) {
            report.held(Premise::BoundJudged);
            if bound.n > n || bound.owner != by {
                report.fire("switches", "OQ-9", at, || {
                    format!(
                        "instance {} answered under n = {n} although its record binds it to n = {} of instance {}",
                        by.0, bound.n, bound.owner.0
                    )
                });
            }
        }
        if let Some(Some((higher, since))) = self.told.get(usize::from(by.0))
            && *higher > n
            && at > *since + TOLD_GRACE
        {
            report.fire("switches", "INV-13", at, || {
                format!("instance {} answered under n = {n}; it was told of n = {higher} at {since}", by.0)
            });
        }
    }

    /// An instance begins to write a record. Tells the role sequence that this makes, if it makes one.
    pub(super) fn issued(&mut self, mut cx: Issue<'_>) -> Option<Made> {
        let (instance, before, new) = (cx.instance, cx.before, cx.new);
        self.note_claim(&cx);
        if !before.undo
            && new.undo
            && let Some(given_up) = self.given_up.get_mut(usize::from(instance.0))
        {
            *given_up = cx.chain.end(instance.0.into());
        }
        let made = (new.n > before.n && (self.known.get(&new.n) != Some(&new.owner) || self.again(&cx)))
            .then(|| self.make(&mut cx))
            .flatten();
        self.judge_flag(&mut cx, made);
        judge_fork(&mut cx);
        if let Some(made) = made {
            self.made.insert(made.n, made);
        }
        made
    }

    fn note_claim(&mut self, cx: &Issue<'_>) {
        let (instance, before, new) = (cx.instance, cx.before, cx.new);
        if new.claim.is_some() && new.claim != before.claim && cx.statements.heard(instance, Kind::Force) {
            self.forced_claims.extend(new.claim.map(|n| (instance, n)));
        }
    }

    /// As [`Switches::issued`] once a removal has been tried: role sequences come about in further ways then (a recovered
    /// copy, a session set up again), which are not judged. A forced service that was ordered is followed all the same,
    /// because of what it may cost: the removal may have failed, or not have been heard of.
    pub(super) fn issued_unjudged(&mut self, cx: &Issue<'_>) -> Option<Made> {
        let (instance, before, new) = (cx.instance, cx.before, cx.new);
        self.note_claim(cx);
        let partner = self.partners.contains(&instance);
        let ordered = if partner {
            before.owner != instance && new.owner == instance && cx.statements.heard(instance, Kind::Force)
        } else {
            self.forced_claims.contains(&(new.owner, new.n))
        };
        let flag = new.suspended && new.suspended_at.0 == new.n && !self.flags.contains(&new.suspended_at);
        let made = (new.n > before.n && flag && ordered).then_some(Made {
            n: new.n,
            owner: new.owner,
            origin: Origin::Force,
        });
        // A force that the witness agreed to lets nobody serve beside it. [INV-1, INV-13]
        if let Some(made) = made.filter(|_| partner) {
            self.made.insert(made.n, made);
        }
        made
    }

    /// The same role sequence and owner as in a record that is known, and yet not taken from it: the owner of a role
    /// sequence that was handed over and never heard of is forced [OQ-9], or granted the role.
    fn again(&self, cx: &Issue<'_>) -> bool {
        let new = cx.new;
        let forced = new.suspended && new.suspended_at.0 == new.n && !self.flags.contains(&new.suspended_at);
        let claimed = cx.records.current(new.owner).is_some_and(|r| r.claim == Some(new.n));
        forced || (!self.partners.contains(&cx.instance) && claimed)
    }

    fn make(&self, cx: &mut Issue<'_>) -> Option<Made> {
        let (at, instance, before, new) = (cx.at, cx.instance, cx.before, cx.new);
        let partner = self.partners.contains(&instance);
        let forced = new.suspended && new.suspended_at.0 == new.n;
        let origin = if !partner {
            if forced { Origin::Force } else { Origin::Automatic }
        } else if before.owner == instance && new.owner == self.other(instance) {
            Origin::HandOver
        } else if before.owner != instance && new.owner == instance {
            Origin::Force
        } else if before.owner != instance && new.owner == before.owner && before.claim.is_some() {
            Origin::Renounced
        } else {
            cx.report.fire("switches", "FO-4", at, || {
                format!(
                    "instance {} made n = {} of instance {} out of n = {} of instance {}: no rule does that",
                    instance.0, new.n, new.owner.0, before.n, before.owner.0
                )
            });
            return None;
        };
        let wrong = match origin {
            Origin::HandOver => self.hand_over(cx),
            Origin::Force => self.force(cx, partner, forced),
            // Judged by `roles` when the grant is durable.
            Origin::Automatic => Vec::new(),
            Origin::Renounced => {
                let next = before.claim == Some(before.n.next()) && new.n == before.n.next().next();
                if next { Vec::new() } else { vec![("OQ-4.3", "there was no claim for the n between")] }
            }
        };
        for (rule, why) in wrong {
            cx.report.fire("switches", rule, at, || {
                let (n, owner) = (new.n, new.owner.0);
                format!(
                    "instance {} made n = {n} of instance {owner} ({origin:?}) although {why}",
                    instance.0
                )
            });
        }
        Some(Made { n: new.n, owner: new.owner, origin })
    }

    /// What a manual failover needs at its hand-over. [FO-31, FO-33 … FO-38, OQ-9]
    fn hand_over(&self, cx: &mut Issue<'_>) -> Vec<(&'static str, &'static str)> {
        cx.report.held(Premise::HandOverJudged);
        let (instance, before, new) = (cx.instance, cx.before, cx.new);
        let mirror = self.other(instance);
        let mut wrong = Vec::new();
        let mut unless = |holds: bool, rule, why| {
            if !holds {
                wrong.push((rule, why));
            }
        };
        unless(cx.statements.heard(instance, Kind::Failover), "FO-31", "no FAILOVER was given there");
        unless(before.safety == Safety::Full, "FO-33", "SAFETY is not FULL");
        unless(!before.suspended, "FO-35", "the session is suspended");
        let synchronised = before.synchronised.is_some_and(|(yes, n, _)| yes && n == before.n);
        unless(synchronised || !before.needs_quorum(), "FO-35", "it has not recorded being synchronised");
        let shown = cx.states.shown(instance);
        let pending = shown.is_none_or(|s| s == (Role::Principal, MirroringState::PendingFailover));
        unless(pending, "FO-37", "it does not show PENDING_FAILOVER");
        let ready = self.ready.get(usize::from(instance.0)).copied().flatten();
        unless(ready == Some(before.n), "FO-34", "no FAILOVER_READY of this n has reached it");
        unless(new.n == before.n.next(), "FO-4", "that is not the next role sequence");
        let theirs = cx.chain.end(mirror.0.into());
        let has = |node: Option<NodeId>| node.is_none_or(|node| cx.chain.contains(theirs, node));
        unless(has(cx.head), "FO-38", "a confirmed commit lies beyond the other partner's durable log");
        let mine = cx.chain.end(instance.0.into());
        let cut = mine.is_some() && self.given_up.get(usize::from(instance.0)) == Some(&mine);
        unless(cut || has(mine), "FO-38", "the other partner lacks log that it holds");
        wrong
    }

    /// What a forced service needs. [FO-50 … FO-61, OQ-7]
    fn force(&self, cx: &mut Issue<'_>, partner: bool, forced: bool) -> Vec<(&'static str, &'static str)> {
        cx.report.held(Premise::ForceJudged);
        let (before, new) = (cx.before, cx.new);
        let mut wrong = Vec::new();
        let mut unless = |holds: bool, rule, why| {
            if !holds {
                wrong.push((rule, why));
            }
        };
        let copy = if partner { Some(before) } else { cx.records.current(new.owner).copied() };
        let ordered = if partner {
            cx.statements.heard(new.owner, Kind::Force)
        } else {
            self.forced_claims.contains(&(new.owner, new.n))
        };
        unless(ordered, "FO-50", "nobody gave FORCE_SERVICE_ALLOW_DATA_LOSS to the new owner");
        unless(!copy.is_some_and(|c| c.off_fork), "FO-55", "its copy is not on the session's current fork");
        unless(!copy.is_some_and(|c| c.undo), "FO-54", "its copy is in the middle of an undo");
        unless(forced, "FO-61", "the suspended flag is not set under the new n");
        unless(new.n == before.n.next(), "FO-60", "that is not the next role sequence");
        if partner {
            unless(!before.needs_quorum(), "OQ-4.6", "there is a witness that has not agreed");
            let apart = cx.states.shown(new.owner).is_none_or(|(_, s)| s == MirroringState::Disconnected);
            unless(apart, "FO-51", "it shows itself connected to the principal");
        }
        wrong
    }

    /// The suspended flag. [INV-9, TR-5, TR-9, OQ-20]
    fn judge_flag(&self, cx: &mut Issue<'_>, made: Option<Made>) {
        let (at, instance, before, new) = (cx.at, cx.instance, cx.before, cx.new);
        if new.suspended == before.suspended && new.suspended_at == before.suspended_at {
            return;
        }
        cx.report.held(Premise::FlagJudged);
        let first = new.suspended_at > before.suspended_at && !self.flags.contains(&new.suspended_at);
        let wrong = if new.suspended_at < before.suspended_at {
            Some(("OQ-20", "takes an older word about the suspension for a newer one"))
        } else if before.suspended && !new.suspended && new.suspended_at == before.suspended_at {
            Some(("INV-9", "ends a suspension without a newer word"))
        } else if !first {
            None
        } else if made.is_some_and(|m| m.origin == Origin::Renounced) {
            // Said anew under the n that goes back to the principal: what it was there.
            (new.suspended != before.suspended)
                .then_some(("OQ-4.3", "changes the suspended flag by renouncing"))
        } else if new.suspended {
            let ordered = cx.statements.heard(instance, Kind::Suspend)
                || made.is_some_and(|m| m.origin == Origin::Force);
            (!ordered).then_some(("TR-5", "suspends the session although nobody asked it to"))
        } else if !cx.statements.heard(instance, Kind::Resume) {
            Some(("INV-9", "ends a suspension although nobody gave it RESUME"))
        } else {
            (before.owner != instance).then_some(("OQ-13", "resumes the session without being principal"))
        };
        if let Some((rule, why)) = wrong {
            cx.report.fire("switches", rule, at, || {
                format!(
                    "instance {} {why}: {} of {}.{} after {} of {}.{}",
                    instance.0,
                    new.suspended,
                    new.suspended_at.0,
                    new.suspended_at.1,
                    before.suspended,
                    before.suspended_at.0,
                    before.suspended_at.1
                )
            });
        }
    }
}

/// A copy off the fork stays as it is, and no undo begins, before RESUME. [FO-45, FO-64]
fn judge_fork(cx: &mut Issue<'_>) {
    let (at, instance, before, new) = (cx.at, cx.instance, cx.before, cx.new);
    let goes_on = new.suspended && before.suspended && new.n == before.n && !new.over;
    let touched = (before.off_fork && !new.off_fork) || (!before.undo && new.undo);
    if goes_on && touched {
        cx.report.fire("switches", "FO-45", at, || {
            format!("instance {} begins or ends an undo while the session is suspended", instance.0)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, C0, Log, Rec, W, Written, ready, role_record, written};
    use dbm_core::io::{Notice, Reply};
    use dbm_core::types::{MirroringState as S, Role, RoleSequence};

    type Rules = Vec<(&'static str, &'static str)>;

    fn of(bench: &Bench) -> Rules {
        bench.rules().into_iter().filter(|(invariant, _)| *invariant == "switches").collect()
    }

    fn show(bench: &mut Bench, instance: dbm_core::types::InstanceId, to: (Role, S)) {
        let from = bench.oracle.states.shown(instance);
        let notice = Notice::State { session: super::super::testkit::SESSION, from, to, n: RoleSequence(1) };
        bench.fact(crate::observe::Fact::Told { instance, notice: &notice });
    }

    fn begun(n: u32) -> Reply {
        Reply::Begun { n: RoleSequence(n) }
    }

    fn hand_over(spoil: &str) -> Rules {
        let mut bench = Bench::synchronised();
        let base = Written { sync: true, seq: 1, ..written(1, 1, A) };
        if spoil != "statement" {
            bench.statement(A, "PARTNER FAILOVER", (spoil == "refused").then_some(Err(1422)));
        }
        if spoil == "off" {
            bench.record(A, Written { safety_off: true, ..base }.bytes());
            bench.record(A, Written { serial: 2, safety_off: true, ..base }.bytes());
        }
        if spoil == "ahead" || spoil == "cut" {
            let mut log = Log::new();
            let (x, y) = (log.add((1, 0), &[Rec::Commit(1)]), log.add((1, 0), &[Rec::Commit(2)]));
            for (i, block) in [(A, &x), (A, &y), (B, &x)] {
                bench.log(i, block);
            }
        }
        if spoil == "cut" {
            bench.record(A, Written { undo: true, ..base }.bytes());
            bench.record(A, Written { serial: 2, ..base }.bytes());
        }
        show(&mut bench, A, (Role::Principal, S::Synchronizing));
        show(&mut bench, A, (Role::Principal, S::Synchronized));
        if spoil != "state" {
            show(&mut bench, A, (Role::Principal, S::PendingFailover));
        }
        if spoil != "ready" {
            bench.deliver(B, A, &ready(1));
        }
        bench.record(A, written(3, 2, B).bytes());
        bench.lease(A, W, 1);
        if spoil == "serves" {
            bench.replied(C0, A, begun(1));
        }
        of(&bench)
    }

    /// [FO-31, FO-33 … FO-39, OQ-9]
    #[test]
    fn a_hand_over_needs_its_preconditions() {
        assert_eq!(hand_over(""), []);
        assert_eq!(hand_over("cut"), [], "no block has followed the undo yet");
        for (spoil, rule) in [
            ("ahead", "FO-38"),
            ("statement", "FO-31"),
            ("refused", "FO-31"),
            ("off", "FO-33"),
            ("state", "FO-37"),
            ("ready", "FO-34"),
            ("serves", "OQ-9"),
        ] {
            assert_eq!(hand_over(spoil), [("switches", rule)], "{spoil}");
        }
    }

    /// A mirror without a witness makes itself owner.
    fn force(spoil: &str) -> Rules {
        let mut bench = Bench::new(false);
        let base = Written { witness: spoil == "witness", ..written(1, 1, A) };
        bench.record(A, base.bytes());
        let own = Written { off_fork: spoil == "fork", undo: spoil == "undo", ..base };
        bench.record(B, own.bytes());
        show(&mut bench, B, (Role::Mirror, S::Disconnected));
        if spoil == "connected" {
            show(&mut bench, B, (Role::Mirror, S::Synchronizing));
        }
        if spoil != "statement" {
            bench.statement(B, "PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS", None);
        }
        let suspended = (spoil != "flag", 2, 2);
        bench.record(B, Written { serial: 2, n: 2, owner: B, suspended, ..own }.bytes());
        of(&bench)
    }

    /// [FO-50 … FO-61, OQ-7]
    #[test]
    fn a_force_needs_its_preconditions() {
        assert_eq!(force(""), []);
        for (spoil, rule) in
            [("fork", "FO-55"), ("undo", "FO-54"), ("connected", "FO-51"), ("witness", "OQ-4.6")]
        {
            assert_eq!(force(spoil), [("switches", rule)], "{spoil}");
        }
        assert_eq!(force("statement"), [("switches", "FO-50")]);
        assert_eq!(force("flag"), [("switches", "FO-61"), ("switches", "INV-9")]);
    }

    /// [FO-50, OQ-4.6]
    #[test]
    fn a_forced_grant_needs_a_claim_that_was_ordered() {
        for (ordered, expected) in [(true, &[][..]), (false, &[("switches", "FO-50")][..])] {
            let mut bench = Bench::synchronised();
            if ordered {
                bench.statement(B, "PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS", None);
            }
            bench.record(B, Written { claim: 2, ..written(2, 1, A) }.bytes());
            let suspended = (true, 2, 2);
            bench.record(W, Written { suspended, ..written(2, 2, B) }.bytes());
            bench.record(B, Written { suspended, ..written(3, 2, B) }.bytes());
            assert_eq!(of(&bench), expected);
        }
    }

    /// [INV-9, TR-5]
    #[test]
    fn a_suspension_begins_and_ends_by_statement() {
        let run = |suspend: bool, resume: bool, on: dbm_core::types::InstanceId| {
            let mut bench = Bench::synchronised();
            if suspend {
                bench.statement(A, "PARTNER SUSPEND", Some(Ok(())));
            }
            let suspended = Written { suspended: (true, 1, 2), ..written(2, 1, A) };
            bench.record(A, suspended.bytes());
            bench.record(B, suspended.bytes());
            if resume {
                bench.statement(on, "PARTNER RESUME", None);
            }
            bench.record(on, Written { suspended: (false, 1, 3), ..written(3, 1, A) }.bytes());
            of(&bench)
        };
        assert_eq!(run(true, true, A), []);
        assert_eq!(run(false, true, A), [("switches", "TR-5")]);
        assert_eq!(run(true, false, A), [("switches", "INV-9")]);
        assert_eq!(run(true, true, B), [("switches", "OQ-13")]);
        let mut bench = Bench::synchronised();
        bench.statement(A, "PARTNER SUSPEND", Some(Ok(())));
        bench.record(A, Written { suspended: (true, 1, 2), ..written(2, 1, A) }.bytes());
        bench.record(A, Written { suspended: (false, 1, 2), ..written(3, 1, A) }.bytes());
        assert_eq!(of(&bench), [("switches", "INV-9")]);
    }

    /// [INV-13]
    #[test]
    fn an_old_principal_that_was_told_of_a_force_stops() {
        let mut bench = Bench::new(false);
        for instance in [A, B] {
            bench.record(instance, Written { witness: false, ..written(1, 1, A) }.bytes());
        }
        bench.deliver(B, A, &role_record(2, B));
        bench.at(1);
        bench.replied(C0, A, begun(1));
        assert_eq!(of(&bench), []);
        bench.at(3);
        bench.replied(C0, A, begun(1));
        assert_eq!(of(&bench), [("switches", "INV-13")]);
    }

    /// Who left the session by the owner's word goes on alone, whatever it hears of the session afterwards; not of what it
    /// had heard before. [INV-13, C-80, C-84]
    #[test]
    fn a_database_that_left_the_session_is_bound_by_no_word_of_it() {
        for (told_first, expected) in [(false, &[][..]), (true, &[("switches", "INV-13")][..])] {
            let mut bench = Bench::new(false);
            let base = Written { witness: false, ..written(1, 1, A) };
            for instance in [A, B] {
                bench.record(instance, base.bytes());
            }
            if told_first {
                bench.deliver(B, A, &role_record(2, B));
            }
            bench.record(A, Written { serial: 2, over: true, ..base }.bytes());
            if !told_first {
                bench.deliver(B, A, &role_record(2, B));
            }
            bench.at(3);
            bench.replied(C0, A, begun(1));
            assert_eq!(of(&bench), expected);
        }
    }

    /// [FO-4]
    #[test]
    fn a_role_sequence_out_of_nowhere_is_found() {
        let mut bench = Bench::synchronised();
        bench.record(A, written(2, 2, A).bytes());
        assert_eq!(of(&bench), [("switches", "FO-4")]);
    }
}
