//! States and views: only permitted transitions, and what is shown has been durable. [TR-1 … TR-25, P-1]
//!
//! Notices are claims; they are judged, not believed. A transition is judged by the table of `docs/spec/states.md`
//! section 4, and its cause by facts: the durable record of the instance, the statements it was given, and how the role
//! sequence came about. A role is shown as PRINCIPAL only for an n of which the instance's own
//! durable record has named it owner, and no n is shown that was not durable.

use super::parse::RecordView;
use super::records::Records;
use super::report::{Premise, Report};
use super::statements::{Kind, Statements};
use super::switches::{Origin, Switches};
use crate::time::Time;
use dbm_core::types::MirroringState::{
    Disconnected, PendingFailover, Suspended, Synchronized, Synchronizing,
};
use dbm_core::types::Role::{Mirror, Principal};
use dbm_core::types::{InstanceId, MirroringState, Role, RoleSequence, Safety};
use dbm_core::view::Status;

/// What an instance shows.
pub(super) type Shown = (Role, MirroringState);

/// Longest time that a statement may be under way.
const STATEMENT_LENGTH: Time = Time::secs(15);

#[derive(Clone, Debug)]
pub(super) struct States {
    /// Without a witness nobody needs a record of being synchronised. [OQ-4.1]
    witness: bool,
    shown: Vec<Option<(Shown, RoleSequence)>>,
    status: Vec<Option<Status>>,
    synchronized_since: Vec<Since>,
}

/// When an instance began to show SYNCHRONIZED, and how often its durable suspended flag had been set until then.
#[derive(Clone, Copy, Debug, Default)]
struct Since {
    at: Time,
    flag: u64,
}

impl States {
    pub(super) fn new(instances: usize, witness: bool) -> Self {
        States {
            witness,
            shown: vec![None; instances],
            status: vec![None; instances],
            synchronized_since: vec![Since::default(); instances],
        }
    }

    /// The role and state that an instance has told last.
    pub(super) fn shown(&self, instance: InstanceId) -> Option<Shown> {
        self.shown.get(usize::from(instance.0))?.map(|(shown, _)| shown)
    }

    /// The newest view of an instance.
    pub(super) fn status(&self, instance: InstanceId) -> Option<&Status> {
        self.status.get(usize::from(instance.0))?.as_ref()
    }

    pub(super) fn gone(&mut self, instance: InstanceId) {
        let i = usize::from(instance.0);
        if i < self.shown.len() {
            self.shown[i] = None;
            self.status[i] = None;
        }
    }

    /// An instance tells a change of its role or state.
    pub(super) fn told(
        &mut self,
        at: Time,
        instance: InstanceId,
        (from, to): (Option<Shown>, Shown),
        n: RoleSequence,
        cx: &Causes<'_>,
        report: &mut Report,
    ) {
        report.held(Premise::TransitionJudged);
        let Some(shown) = self.shown.get_mut(usize::from(instance.0)) else { return };
        let before = shown.replace((to, n));
        let wrong = if before.map(|(s, _)| s) != from {
            Some(("ST-9", "does not begin where the last one ended"))
        } else if before.is_some_and(|(_, m)| n < m) {
            Some(("FO-4", "lowers the role sequence"))
        } else {
            let judged = Told { instance, n, cx };
            let since = self.synchronized_since[usize::from(instance.0)];
            forbidden(from, to, since, &judged, report)
        };
        if to.1 == Synchronized && from.is_none_or(|f| f.1 != Synchronized) {
            let flag = cx.records.current(instance).map_or(0, |r| r.suspended_at.1);
            self.synchronized_since[usize::from(instance.0)] = Since { at, flag };
        }
        if let Some((rule, why)) = wrong {
            report.fire("states", rule, at, || {
                format!("instance {} told {from:?} -> {to:?} under n = {n}, which {why}", instance.0)
            });
        }
    }

    /// What the views show has changed.
    pub(super) fn status_changed(
        &mut self,
        at: Time,
        instance: InstanceId,
        status: &Status,
        records: &Records,
        report: &mut Report,
    ) {
        if let Some(place) = self.status.get_mut(usize::from(instance.0)) {
            *place = Some(*status);
        }
        let Some(record) = records.current(instance) else { return };
        let record_quorum = records.both(instance, RecordView::needs_quorum);
        report.held(Premise::StatusJudged);
        let n = status.n;
        let principal = status.role == Some(Principal);
        let unsynchronised = principal
            && record_quorum.unwrap_or(self.witness)
            && status.state == Some(Synchronized)
            && status.safety == Safety::Full
            && !records.was_synchronised(instance, n);
        let wrong = if n > record.n {
            Some("shows an n that is not durable there")
        } else if principal && !records.has_owned(instance, n) {
            Some("is shown as principal of an n that its durable record never gave it")
        } else if status.serving && !principal && !(status.role.is_none() && record.over) {
            Some("is shown as open to clients without being principal")
        } else if unsynchronised {
            Some("is shown as SYNCHRONIZED without having recorded that for this n")
        } else {
            None
        };
        if let Some(why) = wrong {
            report.fire("states", "CV-1", at, || format!("instance {} {why}: {status:?}", instance.0));
        }
    }
}

/// Where causes of transitions are looked up: durable records, statements, how role sequences came about.
#[derive(Clone, Copy)]
pub(super) struct Causes<'a> {
    pub(super) partners: [InstanceId; 2],
    pub(super) records: &'a Records,
    pub(super) statements: &'a Statements,
    pub(super) switches: &'a Switches,
}

/// A transition and its causes.
struct Told<'a> {
    instance: InstanceId,
    n: RoleSequence,
    cx: &'a Causes<'a>,
}

impl Told<'_> {
    /// The durable suspended flag there; `None`: it has no record. [P-1]
    fn suspended(&self) -> Option<bool> {
        self.cx.records.current(self.instance).map(|r| r.suspended)
    }

    /// The durable record there names it owner.
    fn owner(&self) -> Option<bool> {
        self.cx.records.current(self.instance).map(|r| r.owner == self.instance)
    }

    /// The session was suspended and resumed since, sooner than the suspension could be shown: on a slow disk one write of
    /// the record tells both. Each of the two sets the flag anew. [TR-5, TR-9, P-1]
    fn resumed(&self, since: Since) -> bool {
        let record = self.cx.records.current(self.instance);
        record.is_some_and(|r| !r.suspended && r.suspended_at.1 >= since.flag + 2)
    }

    /// SAFETY is OFF, or the owner has touched SAFETY or WITNESS since: both start the way to SYNCHRONIZED anew.
    fn set_anew(&self, since: Time) -> bool {
        let earliest = Time(since.0.saturating_sub(STATEMENT_LENGTH.0));
        let kinds = [Kind::Safety(Safety::Full), Kind::Safety(Safety::Off), Kind::Witness];
        let said = |p: InstanceId| {
            kinds.iter().any(|k| self.cx.statements.last(p, *k).is_some_and(|at| at >= earliest))
        };
        let off = self
            .cx
            .partners
            .iter()
            .any(|p| self.cx.records.both(*p, |r| r.safety == Safety::Full) == Some(false));
        off || self.cx.partners.iter().any(|p| said(*p))
    }
}

/// Why a transition is not permitted. [docs/spec/states.md section 4]
fn forbidden(
    from: Option<Shown>,
    to: Shown,
    synchronized_since: Since,
    told: &Told<'_>,
    report: &mut Report,
) -> Option<(&'static str, &'static str)> {
    if to.1 == Suspended {
        report.held(Premise::CauseJudged);
        if told.suspended() == Some(false) {
            return Some(("TR-5", "shows a suspension that its durable record does not know"));
        }
    }
    let Some(from) = from else {
        return match to.1 {
            PendingFailover => Some(("TR-12", "begins a failover at the start of a process")),
            Synchronized => Some(("TR-3", "skips SYNCHRONIZING")),
            Suspended | Disconnected | Synchronizing => None,
        };
    };
    if from.0 != to.0 {
        report.held(Premise::CauseJudged);
        return switched(from, to, told);
    }
    match (from.1, to.1) {
        (a, b) if a == b => None,
        (_, PendingFailover) if to.0 == Mirror => Some(("ST-4", "shows PENDING_FAILOVER on a mirror")),
        (Synchronized, PendingFailover) => {
            report.held(Premise::CauseJudged);
            let ordered = told.cx.statements.heard(told.instance, Kind::Failover);
            (!ordered).then_some(("TR-12", "begins a failover although nobody gave FAILOVER there"))
        }
        (_, PendingFailover) => Some(("TR-12", "begins a failover without being SYNCHRONIZED")),
        (Suspended, Synchronized) => Some(("TR-9", "skips SYNCHRONIZING")),
        (Disconnected, Synchronized) => Some(("TR-17", "skips SYNCHRONIZING")),
        (Suspended, Synchronizing) => {
            let open = told.suspended() == Some(true);
            open.then_some(("TR-9", "ends a suspension that its durable record still holds"))
        }
        (Synchronized, Synchronizing) => {
            report.held(Premise::CauseJudged);
            let caused = told.set_anew(synchronized_since.at) || told.resumed(synchronized_since);
            (!caused).then_some(("TR-4", "falls behind with SAFETY FULL"))
        }
        (PendingFailover, Synchronizing | Suspended) => {
            Some(("TR-14", "leaves PENDING_FAILOVER for another state than before"))
        }
        (_, Disconnected)
        | (PendingFailover | Synchronizing, Synchronized)
        | (Synchronized | Synchronizing, Suspended)
        | (Disconnected, Synchronizing | Suspended) => None,
        // Equal states, which the first arm has.
        (Suspended, Suspended) | (Synchronizing, Synchronizing) | (Synchronized, Synchronized) => None,
    }
}

/// Why a role switch is not permitted. [TR-13, TR-15, TR-19 … TR-22, TR-25, FO-29]
fn switched(from: Shown, to: Shown, told: &Told<'_>) -> Option<(&'static str, &'static str)> {
    let origin = told.cx.switches.made(told.n);
    match (from, to) {
        ((Mirror, _), (Principal, _)) if told.owner() == Some(false) => {
            Some(("TR-25", "takes the principal role that its durable record gives to another"))
        }
        ((Mirror, Suspended), (Principal, _)) => Some(("FO-29", "takes the principal role out of SUSPENDED")),
        ((Mirror, _), (Principal, Synchronized)) => {
            Some(("TR-15", "is SYNCHRONIZED at once after a role switch"))
        }
        ((Mirror, _), (Principal, Suspended)) => Some(("TR-20", "takes the principal role into SUSPENDED")),
        ((Mirror, _), (Principal, PendingFailover)) => {
            Some(("TR-12", "begins a failover without being SYNCHRONIZED"))
        }
        ((Mirror, Synchronized), (Principal, Disconnected)) => {
            Some(("TR-19", "takes the principal role without having shown the loss of the old principal"))
        }
        ((Mirror, Synchronized), (Principal, Synchronizing)) => {
            let manual = origin.is_none_or(|m| m.origin == Origin::HandOver);
            (!manual).then_some(("TR-15", "takes the principal role although it was not handed over"))
        }
        (
            (Mirror, Disconnected | Synchronizing | PendingFailover),
            (Principal, Disconnected | Synchronizing),
        ) => {
            let known = origin.is_none_or(|m| m.owner == told.instance);
            (!known).then_some(("TR-25", "takes the principal role of another instance's role sequence"))
        }
        ((Principal, _), (Mirror, _)) if told.owner() == Some(true) => {
            Some(("TR-21", "gives up the principal role although its durable record gives it to itself"))
        }
        ((Principal, _), (Mirror, Synchronized)) => {
            Some(("TR-13", "is SYNCHRONIZED at once after a role switch"))
        }
        ((Principal, _), (Mirror, PendingFailover)) => Some(("ST-4", "shows PENDING_FAILOVER on a mirror")),
        ((Principal, PendingFailover), (Mirror, Synchronizing | Disconnected)) => {
            let manual = origin.is_none_or(|m| m.origin == Origin::HandOver);
            (!manual).then_some(("TR-13", "ends a failover without having handed over"))
        }
        ((Principal, Disconnected), (Mirror, Synchronizing | Disconnected | Suspended)) => None,
        ((Principal, _), (Mirror, Synchronizing | Disconnected | Suspended)) => {
            Some(("TR-21", "gives up the principal role without having shown the loss of its partner"))
        }
        // Not a switch.
        ((Principal, _), (Principal, _)) | ((Mirror, _), (Mirror, _)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, SESSION, Written, written};
    use super::*;
    use crate::observe::Fact;
    use dbm_core::io::Notice;

    fn tell(bench: &mut Bench, instance: InstanceId, from: Option<Shown>, to: Shown) {
        let notice = Notice::State { session: SESSION, from, to, n: RoleSequence(1) };
        bench.fact(Fact::Told { instance, notice: &notice });
    }

    #[test]
    fn the_way_up_is_permitted() {
        let mut bench = Bench::new(true);
        let steps =
            [(Mirror, Disconnected), (Mirror, Synchronizing), (Mirror, Synchronized), (Mirror, Disconnected)];
        tell(&mut bench, B, None, steps[0]);
        for pair in steps.windows(2) {
            tell(&mut bench, B, Some(pair[0]), pair[1]);
        }
        tell(&mut bench, B, Some(steps[3]), (Principal, Disconnected));
        assert_eq!(bench.rules(), []);
    }

    #[test]
    fn forbidden_transitions_are_found() {
        for (from, to, rule) in [
            ((Principal, Disconnected), (Principal, Synchronized), "TR-17"),
            ((Principal, Suspended), (Principal, Synchronized), "TR-9"),
            ((Mirror, Synchronized), (Mirror, PendingFailover), "ST-4"),
            ((Principal, Synchronizing), (Principal, PendingFailover), "TR-12"),
            ((Mirror, Suspended), (Principal, Disconnected), "FO-29"),
            ((Mirror, Synchronized), (Principal, Disconnected), "TR-19"),
            ((Principal, Synchronizing), (Mirror, Synchronizing), "TR-21"),
            ((Principal, Synchronized), (Principal, PendingFailover), "TR-12"),
            ((Principal, Synchronized), (Principal, Synchronizing), "TR-4"),
        ] {
            let mut bench = Bench::new(true);
            bench.oracle.states.shown[0] = Some((from, RoleSequence(1)));
            tell(&mut bench, A, Some(from), to);
            assert_eq!(bench.rules(), [("states", rule)]);
        }
    }

    /// [TR-4, TR-12]
    #[test]
    fn a_statement_is_a_cause() {
        for (option, to) in [("PARTNER FAILOVER", PendingFailover), ("WITNESS OFF", Synchronizing)] {
            let mut bench = Bench::new(true);
            bench.statement(A, option, None);
            let from = (Principal, Synchronized);
            bench.oracle.states.shown[0] = Some((from, RoleSequence(1)));
            tell(&mut bench, A, Some(from), (Principal, to));
            assert_eq!(bench.rules(), []);
        }
    }

    /// [TR-4, TR-5, TR-9]
    #[test]
    fn a_suspension_too_short_to_be_shown_is_a_cause() {
        for (suspended, expected) in
            [((false, 1, 1), Some("TR-4")), ((false, 1, 2), Some("TR-4")), ((false, 1, 3), None)]
        {
            let mut bench = Bench::new(true);
            bench.record(B, written(1, 1, A).bytes());
            tell(&mut bench, B, None, (Mirror, Synchronizing));
            tell(&mut bench, B, Some((Mirror, Synchronizing)), (Mirror, Synchronized));
            for instance in [A, B] {
                bench.statement(instance, "PARTNER RESUME", None);
            }
            bench.record(B, Written { suspended, ..written(2, 1, A) }.bytes());
            tell(&mut bench, B, Some((Mirror, Synchronized)), (Mirror, Synchronizing));
            let rules: Vec<_> = bench.rules().into_iter().filter(|(i, _)| *i == "states").collect();
            let expected: Vec<_> = expected.into_iter().map(|rule| ("states", rule)).collect();
            assert_eq!(rules, expected, "{suspended:?}");
        }
    }

    /// [TR-5, TR-9, TR-25]
    #[test]
    fn what_is_told_must_be_durable() {
        for (suspended, owner, from, to, expected) in [
            (true, A, (Principal, Synchronized), (Principal, Suspended), None),
            (false, A, (Principal, Synchronized), (Principal, Suspended), Some("TR-5")),
            (true, A, (Principal, Suspended), (Principal, Synchronizing), Some("TR-9")),
            (false, A, (Principal, Suspended), (Principal, Synchronizing), None),
            (false, B, (Mirror, Disconnected), (Principal, Disconnected), Some("TR-25")),
            (false, A, (Principal, Disconnected), (Mirror, Disconnected), Some("TR-21")),
            (false, B, (Principal, Disconnected), (Mirror, Disconnected), None),
        ] {
            let mut bench = Bench::new(true);
            bench.record(A, Written { suspended: (suspended, 1, 1), ..written(1, 1, owner) }.bytes());
            bench.oracle.states.shown[0] = Some((from, RoleSequence(1)));
            tell(&mut bench, A, Some(from), to);
            let expected: Vec<_> = expected.into_iter().map(|rule| ("states", rule)).collect();
            assert_eq!(bench.rules(), expected, "{from:?} -> {to:?}");
        }
    }

    /// [P-1]
    #[test]
    fn a_view_ahead_of_the_durable_record_is_found() {
        let status = |n, role| Status {
            role: Some(role),
            state: Some(Disconnected),
            n: RoleSequence(n),
            witness: None,
            safety: Safety::Full,
            serving: false,
        };
        let mut bench = Bench::synchronised();
        for (n, role, expected) in [(1, Mirror, 0), (2, Mirror, 1), (1, Principal, 2)] {
            bench.fact(Fact::Status { instance: B, session: SESSION, status: &status(n, role) });
            assert_eq!(bench.rules().len(), expected);
        }
    }
}
