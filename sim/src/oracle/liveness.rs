//! Liveness: when everything is whole again, or a majority is left whole, and the bound has passed, the session works as
//! if nothing had happened.
//!
//! Judged once, at the end of the run, if the plan promises it and nothing has changed for longer than the settling bound
//! and a catch-up allowance. In a world without any fault: exactly one partner answers, clients make progress while the
//! workload runs, both views show SYNCHRONIZED under FULL (unless an owner's statement suspended the session), and the
//! mirror has what the principal had a moment ago. The same without a witness that is gone for good. When a partner is
//! gone for good, the one that is left with the witness must serve: the promise says that the session was whole before, so
//! a principal can run exposed [QR-8] and a mirror can take over [QT-A7].

use super::OracleSetup;
use super::chain::Chain;
use super::records::Records;
use super::report::{Premise, Report};
use super::states::States;
use super::world::World;
use crate::promise::Tier;
use crate::scenario::Workload;
use crate::time::Time;
use dbm_core::types::{InstanceId, MirroringState, Safety};

/// How far back the end of the run is looked at.
const WINDOW: Time = Time::secs(5);
/// Allowance for catching up after the world has settled.
const CATCH_UP: Time = Time::secs(10);

/// Who is left at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Everybody.
    All,
    /// Both partners, without the witness.
    Partners,
    /// One partner and the witness.
    One(InstanceId),
}

#[derive(Clone, Debug)]
pub(super) struct Liveness {
    partners: [InstanceId; 2],
    witness: Option<InstanceId>,
    tier: Tier,
    safety: Safety,
    workload: Option<Workload>,
    /// When each partner last answered a client successfully.
    answered: [Option<Time>; 2],
    confirmed: Option<Time>,
}

/// From when on the end of a run can be judged whose last fault ended, and whose last statement was given, at these times.
pub(super) fn quiet_after(world: &World, last_change: Time, last_statement: Time) -> Time {
    let settled = (last_change + world.gain_bound()).max(last_statement + world.slack());
    settled + CATCH_UP + WINDOW
}

impl Liveness {
    pub(super) fn new(setup: &OracleSetup) -> Self {
        Liveness {
            partners: setup.partners,
            witness: setup.witness,
            tier: setup.tier,
            safety: setup.safety,
            workload: setup.workload,
            answered: [None; 2],
            confirmed: None,
        }
    }

    #[inline]
    pub(super) fn served(&mut self, at: Time, by: InstanceId) {
        if let Some(i) = self.partners.iter().position(|p| *p == by) {
            self.answered[i] = Some(at);
        }
    }

    #[inline]
    pub(super) fn confirmed(&mut self, at: Time) {
        self.confirmed = Some(at);
    }

    /// Do clients keep the server busy in the last seconds of a run that ends at `end`?
    fn busy(&self, end: Time) -> bool {
        self.workload.is_some_and(|w| {
            // A slow workload may leave a window empty by chance.
            let steady = u64::from(w.commits_per_s) * (WINDOW.0 / 1_000_000) >= 10 && w.clients > 0;
            let rows = w.accounts > 0 || w.lists > 0;
            steady && rows && w.start + WINDOW + WINDOW <= end && w.stop.is_none_or(|stop| stop >= end)
        })
    }

    /// Who is left at the end of a run, if that world is judged.
    fn left(&self, end: Time, world: &World) -> Option<Left> {
        if world.healthy() {
            return Some(Left::All);
        }
        if !world.settled(end) {
            return None;
        }
        let [a, b] = self.partners;
        if world.connected(a, b) {
            let reached = |partner| self.witness.is_some_and(|w| world.connected(partner, w));
            return match [a, b].map(reached) {
                [true, true] => Some(Left::All),
                [false, false] => Some(Left::Partners),
                [true, false] | [false, true] => None,
            };
        }
        let witness = self.witness?;
        match [a, b].map(|partner| world.connected(partner, witness)) {
            [true, false] => Some(Left::One(a)),
            [false, true] => Some(Left::One(b)),
            [true, true] | [false, false] => None,
        }
    }

    pub(super) fn finish(
        &self,
        end: Time,
        world: &World,
        records: &Records,
        states: &States,
        chain: &Chain,
        report: &mut Report,
    ) {
        let quiet = quiet_after(world, world.last_change(), world.last_statement());
        if self.tier != Tier::Live || end < quiet || world.tried.foreign {
            return;
        }
        let Some(left) = self.left(end, world) else { return };
        report.held(Premise::EndJudged);
        if left != Left::All {
            report.held(Premise::SurvivorsJudged);
        }
        let since = Time(end.0 - WINDOW.0);
        let recent: Vec<InstanceId> = (0..2)
            .filter(|&i| self.answered[i].is_some_and(|at| at >= since))
            .map(|i| self.partners[i])
            .collect();
        if recent.len() > 1 {
            report.fire("liveness", "INV-1", end, || "both partners answer clients at the end".into());
        }
        if self.busy(end) {
            report.held(Premise::ProgressJudged);
            if recent.is_empty() {
                report
                    .fire("liveness", "QR-17", end, || format!("nobody has answered a client since {since}"));
            } else if self.confirmed.is_none_or(|at| at < since) {
                report
                    .fire("liveness", "QR-17", end, || format!("no commit has been confirmed since {since}"));
            }
        }
        if let Left::One(partner) = left {
            report.held(Premise::SurvivorServes);
            if recent.iter().any(|server| *server != partner) {
                report.fire("liveness", "Q-5", end, || {
                    format!("instance {} is left with the witness, and another answers clients", partner.0)
                });
            }
            return;
        }
        // A suspended session stays as it is until RESUME. [INV-9]
        let newest = records.newest();
        if newest.is_some_and(|r| r.suspended) {
            return;
        }
        if newest.map_or(self.safety, |r| r.safety) == Safety::Full {
            self.judge_states(end, states, report);
        }
        let principal = recent.first().copied().or_else(|| {
            (0..2)
                .max_by_key(|&i| self.answered[i])
                .filter(|&i| self.answered[i].is_some())
                .map(|i| self.partners[i])
        });
        let Some(principal) = principal else { return };
        let [a, b] = self.partners;
        let mirror = if principal == a { b } else { a };
        let then = chain.end_at(principal.0.into(), since);
        if then.is_some_and(|node| !chain.contains(chain.end(mirror.0.into()), node)) {
            report.fire("liveness", "S-33", end, || {
                format!("instance {} lacks log that instance {} had at {since}", mirror.0, principal.0)
            });
        }
    }

    fn judge_states(&self, end: Time, states: &States, report: &mut Report) {
        let [Some(a), Some(b)] = self.partners.map(|p| states.status(p)) else { return };
        report.held(Premise::StatesJudged);
        for (status, partner) in [(a, self.partners[0]), (b, self.partners[1])] {
            if status.state != Some(MirroringState::Synchronized) {
                report.fire("liveness", "QR-17", end, || {
                    format!("instance {} shows {:?} long after the last fault", partner.0, status.state)
                });
            }
        }
        if [a, b].iter().filter(|s| s.serving).count() != 1 {
            report.fire("liveness", "QR-17", end, || {
                "not exactly one partner is shown as open to clients".into()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, C0, Log, Rec, SESSION, W};
    use crate::observe::Fact;
    use crate::promise::Tier;
    use dbm_core::io::Reply;
    use dbm_core::types::{InstanceId, MirroringState, Role, RoleSequence, Safety};
    use dbm_core::view::Status;

    fn show(bench: &mut Bench, instance: InstanceId, role: Role, state: MirroringState) {
        let serving = role == Role::Principal;
        let n = RoleSequence(1);
        let status =
            Status { role: Some(role), state: Some(state), n, witness: None, safety: Safety::Full, serving };
        bench.fact(Fact::Status { instance, session: SESSION, status: &status });
    }

    fn run(
        mirror_state: MirroringState,
        mirror_has_all: bool,
        answers: bool,
    ) -> Vec<(&'static str, &'static str)> {
        let (mut bench, mut log) = (Bench::new(false), Log::new());
        show(&mut bench, A, Role::Principal, MirroringState::Synchronized);
        show(&mut bench, B, Role::Mirror, mirror_state);
        let x = log.add((1, 0), &[Rec::Update(1, 9, b"x")]);
        let y = log.add((1, 0), &[Rec::Update(1, 9, b"y")]);
        bench.log(A, &x);
        bench.log(B, &x);
        bench.log(A, &y);
        if mirror_has_all {
            bench.log(B, &y);
        }
        bench.replied(C0, A, Reply::Begun { n: RoleSequence(1) });
        bench.at(if answers { 119 } else { 20 });
        bench.oracle.liveness.confirmed(bench.now);
        bench.replied(C0, A, Reply::RolledBack { n: RoleSequence(1) });
        bench.at(120);
        bench.finish()
    }

    #[test]
    fn a_whole_session_at_the_end_is_in_order() {
        assert_eq!(run(MirroringState::Synchronized, true, true), []);
    }

    #[test]
    fn what_does_not_recover_is_found() {
        assert_eq!(run(MirroringState::Synchronizing, true, true), [("liveness", "QR-17")]);
        assert_eq!(run(MirroringState::Synchronized, false, true), [("liveness", "S-33")]);
        assert_eq!(run(MirroringState::Synchronized, true, false), [("liveness", "QR-17")]);
    }

    /// At 40 s `gone` is dead for good; at 119 s `server`, if any, still answers. The run ends at 120 s.
    fn without(
        gone: InstanceId,
        server: Option<InstanceId>,
        tier: Tier,
    ) -> Vec<(&'static str, &'static str)> {
        let mut bench = Bench::new(true);
        bench.oracle.liveness.tier = tier;
        for (partner, role) in [(A, Role::Principal), (B, Role::Mirror)] {
            show(&mut bench, partner, role, MirroringState::Synchronized);
        }
        bench.replied(C0, A, Reply::Begun { n: RoleSequence(1) });
        bench.at(40);
        bench.fact(Fact::Died { instance: gone });
        bench.at(119);
        if let Some(server) = server {
            bench.oracle.liveness.confirmed(bench.now);
            bench.oracle.liveness.served(bench.now, server);
        }
        bench.at(120);
        bench.finish()
    }

    #[test]
    fn survivors_that_serve_are_in_order() {
        assert_eq!(without(W, Some(A), Tier::Live), []);
        assert_eq!(without(B, Some(A), Tier::Live), []);
        assert_eq!(without(A, Some(B), Tier::Live), []);
    }

    #[test]
    fn survivors_that_serve_nobody_are_found_where_the_plan_promises_it() {
        for gone in [A, B, W] {
            assert_eq!(without(gone, None, Tier::Live), [("liveness", "QR-17")]);
            assert_eq!(without(gone, None, Tier::Safe), []);
        }
    }

    #[test]
    fn one_who_is_gone_and_serves_is_found() {
        assert_eq!(without(A, Some(A), Tier::Live), [("liveness", "Q-5")]);
    }

    #[test]
    fn partners_without_their_witness_must_be_synchronized() {
        let mut bench = Bench::new(true);
        show(&mut bench, A, Role::Principal, MirroringState::Synchronized);
        show(&mut bench, B, Role::Mirror, MirroringState::Disconnected);
        bench.fact(Fact::Died { instance: W });
        bench.at(119);
        bench.oracle.liveness.confirmed(bench.now);
        bench.oracle.liveness.served(bench.now, A);
        bench.at(120);
        assert_eq!(bench.finish(), [("liveness", "QR-17")]);
    }
}
