//! States and views: only permitted transitions, and what is shown has been durable. [TR-1 … TR-25, P-1]
//!
//! Notices are claims; they are judged, not believed. A transition is judged by the table of `docs/spec/states.md`
//! section 4; causes are judged as far as they are known: SUSPENDED, PENDING_FAILOVER and a principal under SAFETY OFF
//! need a statement that was at least tried. A role is shown as PRINCIPAL only for an n of which the instance's own
//! durable record has named it owner, and no n is shown that was not durable.

use super::records::Records;
use super::report::{Premise, Report};
use super::world::World;
use crate::time::Time;
use dbm_core::types::MirroringState::{
    Disconnected, PendingFailover, Suspended, Synchronized, Synchronizing,
};
use dbm_core::types::Role::{Mirror, Principal};
use dbm_core::types::{InstanceId, MirroringState, Role, RoleSequence, Safety};
use dbm_core::view::Status;

type Shown = (Role, MirroringState);

#[derive(Clone, Debug)]
pub(super) struct States {
    safety: Safety,
    /// Without a witness nobody needs a record of being synchronised. [OQ-4.1]
    witness: bool,
    shown: Vec<Option<(Shown, RoleSequence)>>,
    status: Vec<Option<Status>>,
}

impl States {
    pub(super) fn new(instances: usize, safety: Safety, witness: bool) -> Self {
        States { safety, witness, shown: vec![None; instances], status: vec![None; instances] }
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
    #[expect(clippy::too_many_arguments, reason = "the fields of one notice")]
    pub(super) fn told(
        &mut self,
        at: Time,
        instance: InstanceId,
        from: Option<Shown>,
        to: Shown,
        n: RoleSequence,
        world: &World,
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
            self.forbidden(from, to, world)
        };
        if let Some((rule, why)) = wrong {
            report.fire("states", rule, at, || {
                format!("instance {} told {from:?} -> {to:?} under n = {n}, which {why}", instance.0)
            });
        }
    }

    /// Why a transition is not permitted. [docs/spec/states.md section 4]
    fn forbidden(
        &self,
        from: Option<Shown>,
        to: Shown,
        world: &World,
    ) -> Option<(&'static str, &'static str)> {
        let tried = &world.tried;
        let Some(from) = from else {
            return match to.1 {
                PendingFailover => Some(("TR-12", "begins a failover at the start of a process")),
                Synchronized => Some(("TR-3", "skips SYNCHRONIZING")),
                Suspended | Disconnected | Synchronizing => None,
            };
        };
        let uncaused_suspension =
            to.1 == Suspended && !tried.suspend && tried.force.is_none() && !tried.foreign;
        if to.1 == Suspended && from.1 != Suspended && uncaused_suspension {
            return Some(("TR-5", "suspends the session without a cause"));
        }
        match (from, to) {
            (a, b) if a == b => None,
            (_, (Mirror, PendingFailover)) => Some(("ST-4", "shows PENDING_FAILOVER on a mirror")),
            ((Principal, Synchronized), (Principal, PendingFailover)) if tried.failover || tried.foreign => {
                None
            }
            (_, (Principal, PendingFailover)) => {
                Some(("TR-12", "begins a failover without FAILOVER while SYNCHRONIZED"))
            }
            ((Mirror, Suspended), (Principal, _)) => {
                Some(("FO-29", "takes the principal role out of SUSPENDED"))
            }
            ((Mirror, _), (Principal, Synchronized)) => {
                Some(("TR-15", "is SYNCHRONIZED at once after a role switch"))
            }
            ((Mirror, _), (Principal, Suspended)) => {
                Some(("TR-20", "takes the principal role into SUSPENDED"))
            }
            ((Mirror, _), (Principal, Disconnected | Synchronizing)) => {
                let off =
                    self.safety == Safety::Off && !tried.safety && tried.force.is_none() && !tried.foreign;
                off.then_some(("FO-29", "switches roles with SAFETY OFF and without force"))
            }
            ((Principal, _), (Mirror, Synchronized)) => {
                Some(("TR-13", "is SYNCHRONIZED at once after a role switch"))
            }
            ((Principal, _), (Mirror, Synchronizing | Disconnected | Suspended)) => None,
            ((_, Suspended), (_, Synchronized)) => Some(("TR-9", "skips SYNCHRONIZING")),
            ((_, Disconnected), (_, Synchronized)) => Some(("TR-17", "skips SYNCHRONIZING")),
            ((_, Suspended), (_, Synchronizing)) => {
                (!tried.resume && !tried.foreign).then_some(("TR-9", "ends a suspension without RESUME"))
            }
            ((_, Synchronized), (_, Synchronizing)) => {
                let full = self.safety == Safety::Full && !tried.safety && !tried.foreign;
                full.then_some(("TR-4", "falls behind with SAFETY FULL"))
            }
            ((_, PendingFailover), (_, Synchronizing | Suspended)) => {
                Some(("TR-14", "leaves PENDING_FAILOVER for another state than before"))
            }
            (_, (_, Disconnected)) => None,
            ((_, PendingFailover | Synchronizing), (_, Synchronized)) => None,
            ((_, Synchronized), (_, Synchronized)) => None,
            ((_, Synchronized | Synchronizing | Suspended), (_, Suspended)) => None,
            ((_, Disconnected), (_, Synchronizing | Suspended)) => None,
            ((_, Synchronizing), (_, Synchronizing)) => None,
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
        report.held(Premise::StatusJudged);
        let n = status.n;
        let principal = status.role == Some(Principal);
        let unsynchronised = principal
            && self.witness
            && status.state == Some(Synchronized)
            && status.safety == Safety::Full
            && !records.was_synchronised(instance, n);
        let wrong = if n > record.n {
            Some("shows an n that is not durable there")
        } else if principal && !records.has_owned(instance, n) {
            Some("is shown as principal of an n that its durable record never gave it")
        } else if status.serving && !principal {
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

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, SESSION};
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
            ((Principal, Synchronized), (Principal, Suspended), "TR-5"),
            ((Principal, Synchronized), (Principal, Synchronizing), "TR-4"),
        ] {
            let mut bench = Bench::new(true);
            bench.oracle.states.shown[0] = Some((from, RoleSequence(1)));
            tell(&mut bench, A, Some(from), to);
            assert_eq!(bench.rules(), [("states", rule)]);
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
