//! Views in a settled world: what they show is what is so. [ST-9, ST-50 … ST-53, CV-1]
//!
//! `states` judges each change that a view tells; this one looks at what stands there when the world has long been quiet.
//! Then a partner shows itself DISCONNECTED exactly if the other one is out of reach, its witness CONNECTED exactly if the
//! two reach each other, and the SAFETY of its record. A view may lag behind while things move, so that is not judged.

use super::OracleSetup;
use super::parse::SeatView;
use super::records::Records;
use super::report::{Premise, Report};
use super::states::States;
use super::world::World;
use crate::time::Time;
use dbm_core::types::{InstanceId, MirroringState, WitnessState};

#[derive(Clone, Debug)]
pub(super) struct Views {
    partners: [InstanceId; 2],
    /// This quiet has been looked at.
    judged: bool,
    /// Records have moved: views follow.
    not_before: Time,
}

impl Views {
    pub(super) fn new(setup: &OracleSetup) -> Self {
        Views { partners: setup.partners, judged: false, not_before: Time(0) }
    }

    /// The world has changed.
    pub(super) fn changed(&mut self) {
        self.judged = false;
    }

    /// A durable record has changed.
    pub(super) fn record_changed(&mut self, at: Time, world: &World) {
        self.judged = false;
        self.not_before = at + world.gain_bound();
    }

    /// Time has come to `at`.
    #[inline]
    pub(super) fn tick(
        &mut self,
        at: Time,
        world: &World,
        records: &Records,
        states: &States,
        report: &mut Report,
    ) {
        if !self.judged && world.settled(at) && at >= self.not_before {
            self.judged = true;
            self.judge(at, world, records, states, report);
        }
    }

    fn judge(&self, at: Time, world: &World, records: &Records, states: &States, report: &mut Report) {
        if world.tried.foreign || !world.guaranteed() {
            return;
        }
        let [a, b] = self.partners;
        for (me, other) in [(a, b), (b, a)] {
            let (Some(status), Some(record)) = (states.status(me), records.current(me)) else { continue };
            if !world.alive(me) || record.over || status.role.is_none() {
                continue;
            }
            report.held(Premise::ViewJudged);
            let apart = status.state == Some(MirroringState::Disconnected);
            let reached = world.connected(me, other);
            if apart == reached && self.agreed(records) {
                report.fire("views", "ST-9", at, || {
                    format!("instance {} shows {:?}; its partner is {}", me.0, status.state, reach(reached))
                });
            }
            if status.safety != record.safety {
                report.fire("views", "CV-1", at, || {
                    format!("instance {} shows SAFETY {:?}; it has {:?}", me.0, status.safety, record.safety)
                });
            }
            let expected = match record.seat {
                SeatView::Off => None,
                SeatView::Set(w) => Some(self.seat_holds(w, records).then(|| world.connected(me, w))),
                // On its way out: whether it still answers is left open.
                SeatView::Leaving(_) => continue,
            };
            let shown = status.witness.map(|w| w == WitnessState::Connected);
            let wrong = match expected {
                None => shown.is_some(),
                Some(None) => false,
                Some(Some(connected)) => shown != Some(connected),
            };
            if wrong {
                report.fire("views", "ST-50", at, || {
                    format!("instance {} shows its witness as {:?}", me.0, status.witness)
                });
            }
        }
    }

    /// Both partners hold the session, under the same role sequence.
    fn agreed(&self, records: &Records) -> bool {
        let [a, b] = self.partners.map(|p| records.current(p));
        a.zip(b).is_some_and(|(a, b)| !a.over && !b.over && (a.n, a.owner) == (b.n, b.owner))
    }

    /// The witness holds its seat and follows the session.
    fn seat_holds(&self, witness: InstanceId, records: &Records) -> bool {
        let seat = records.current(witness).filter(|r| !r.over && r.seat == SeatView::Set(witness));
        seat.is_some_and(|seat| records.newest().is_some_and(|newest| newest.n == seat.n))
    }
}

fn reach(reached: bool) -> &'static str {
    if reached { "in reach" } else { "out of reach" }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, Bench, SESSION};
    use crate::fault::{Action, Path};
    use crate::observe::{ClientId, Fact};
    use dbm_core::types::{MirroringState as S, Role, RoleSequence, Safety, WitnessState};
    use dbm_core::view::Status;

    type Rules = Vec<(&'static str, &'static str)>;

    fn shown(state: S, witness: Option<WitnessState>, safety: Safety, cut: &str) -> Rules {
        let mut bench = Bench::synchronised();
        let status = Status {
            role: Some(Role::Principal),
            state: Some(state),
            n: RoleSequence(1),
            witness,
            safety,
            serving: true,
        };
        bench.fact(Fact::Status { instance: A, session: SESSION, status: &status });
        if !cut.is_empty() {
            let action = Action::Cut(Path { from: "A".into(), to: cut.into(), both: true });
            bench.fact(Fact::Acted { step: 0, action: &action });
        }
        bench.at(60);
        bench.fact(Fact::ClientLost { client: ClientId(0) });
        bench.rules().into_iter().filter(|(invariant, _)| *invariant == "views").collect()
    }

    /// [ST-9, ST-50 … ST-52, CV-1]
    #[test]
    fn a_view_that_is_not_so_is_found() {
        use WitnessState::{Connected, Disconnected, Unknown};
        let (full, off) = (Safety::Full, Safety::Off);
        for (state, witness, safety, cut, expected) in [
            (S::Synchronized, Some(Connected), full, "", None),
            (S::Disconnected, Some(Connected), full, "B", None),
            (S::Synchronized, Some(Disconnected), full, "W", None),
            (S::Synchronized, Some(Unknown), full, "W", None),
            (S::Synchronized, Some(Connected), full, "B", Some("ST-9")),
            (S::Disconnected, Some(Connected), full, "", Some("ST-9")),
            (S::Synchronized, Some(Connected), full, "W", Some("ST-50")),
            (S::Synchronized, Some(Disconnected), full, "", Some("ST-50")),
            (S::Synchronized, None, full, "", Some("ST-50")),
            (S::Synchronized, Some(Connected), off, "", Some("CV-1")),
        ] {
            let expected: Rules = expected.into_iter().map(|rule| ("views", rule)).collect();
            assert_eq!(
                shown(state, witness, safety, cut),
                expected,
                "{state:?} {witness:?} {safety:?} {cut}"
            );
        }
    }
}
