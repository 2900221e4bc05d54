//! Liveness: when everything is whole again and the bound has passed, the session works as if nothing had happened.
//!
//! Judged once, at the end of the run, if no fault is in force and nothing has changed for longer than the settling
//! bound and a catch-up allowance: exactly one partner answers, clients make progress while the workload runs, both
//! views show SYNCHRONIZED under FULL (unless an owner's statement suspended the session), and the mirror has what the
//! principal had a moment ago.

use super::OracleSetup;
use super::chain::Chain;
use super::records::Records;
use super::report::{Premise, Report};
use super::states::States;
use super::world::World;
use crate::scenario::Workload;
use crate::time::Time;
use dbm_core::types::{InstanceId, MirroringState, Safety};

/// How far back the end of the run is looked at.
const WINDOW: Time = Time::secs(5);
/// Allowance for catching up after the world has settled.
const CATCH_UP: Time = Time::secs(10);

#[derive(Clone, Debug)]
pub(super) struct Liveness {
    partners: [InstanceId; 2],
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
        if !world.healthy() || end < quiet || world.tried.foreign {
            return;
        }
        report.held(Premise::EndJudged);
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
    use super::super::testkit::{A, B, Bench, C0, Log, Rec, SESSION};
    use crate::observe::Fact;
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
}
