//! Control statements: an answer says what is so. [C-47, C-60 … C-66, FL-9, FO-37d, FO-50 … FO-60]
//!
//! *Done* is a promise: a setting is durable on both partners, a failover has made the other partner owner, a force this
//! one. And a force is refused as "wrong state" only if one of its preconditions does not hold: without a witness a mirror
//! on the current fork that has no link to the principal, no undo and no claim must take it.

use super::parse::{RecordView, SeatView};
use super::records::Records;
use super::report::{Premise, Report};
use super::statements::{Kind, kind};
use super::world::World;
use crate::time::Time;
use dbm_core::io::{LinkId, SqlError};
use dbm_core::types::InstanceId;
use std::collections::BTreeSet;

/// Smallest time-out period. [FL-9]
const TIMEOUT_S_MIN: u16 = 5;
/// A force is refused because of its preconditions with this number.
const WRONG_STATE: u32 = 1455;

/// A statement under way, and what was so when it came.
#[derive(Clone, Debug)]
struct Asked {
    kind: Kind,
    sql: String,
    record: Option<RecordView>,
    /// Nothing stands against a forced service.
    forcible: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Commands {
    partners: [InstanceId; 2],
    asked: Vec<Vec<Asked>>,
    /// Links of each partner to the other one, usable or being opened by the other end.
    links: Vec<BTreeSet<LinkId>>,
}

impl Commands {
    pub(super) fn new(partners: [InstanceId; 2], instances: usize) -> Self {
        Commands { partners, asked: vec![Vec::new(); instances], links: vec![BTreeSet::new(); instances] }
    }

    fn peer(&self, instance: InstanceId) -> InstanceId {
        let [a, b] = self.partners;
        if instance == a { b } else { a }
    }

    /// A process ends.
    pub(super) fn gone(&mut self, instance: InstanceId) {
        let i = usize::from(instance.0);
        if i < self.asked.len() {
            self.asked[i].clear();
            self.links[i].clear();
        }
    }

    /// A link is usable.
    pub(super) fn link_up(&mut self, at: InstanceId, peer: InstanceId, link: LinkId) {
        if self.partners.contains(&at) && self.partners.contains(&peer) {
            self.links[usize::from(at.0)].insert(link);
        }
    }

    /// A link is gone.
    pub(super) fn link_down(&mut self, at: InstanceId, link: LinkId) {
        if let Some(links) = self.links.get_mut(usize::from(at.0)) {
            links.remove(&link);
        }
    }

    /// A statement reaches an instance.
    pub(super) fn asked(&mut self, instance: InstanceId, sql: &str, records: &Records, world: &World) {
        let record = records.current(instance).copied();
        let forcible = self.forcible(instance, records, world);
        if let Some(asked) = self.asked.get_mut(usize::from(instance.0)) {
            asked.push(Asked { kind: kind(sql), sql: sql.into(), record, forcible });
        }
    }

    /// Without a witness: a mirror that is on the current fork, whole, and without a link to the principal.
    /// [FO-51, FO-52, FO-54, FO-55]
    fn forcible(&self, instance: InstanceId, records: &Records, world: &World) -> bool {
        let i = usize::from(instance.0);
        let free = self.links.get(i).is_some_and(BTreeSet::is_empty) && self.asked[i].is_empty();
        // A record that is being written may end a claim, or begin one; its mirror may be about to change its role.
        let still = records.bound(instance) == records.current(instance);
        free && still
            && !world.tried.foreign
            && records.current(instance).is_some_and(|r| {
                r.seat == SeatView::Off
                    && r.owner == self.peer(instance)
                    && !r.over
                    && !r.off_fork
                    && !r.undo
                    && r.claim.is_none()
            })
    }

    /// A statement ends.
    pub(super) fn ended(
        &mut self,
        at: Time,
        instance: InstanceId,
        (sql, result): (&str, &Result<(), SqlError>),
        records: &Records,
        world: &World,
        report: &mut Report,
    ) {
        let Some(asked) = self.asked.get_mut(usize::from(instance.0)) else { return };
        let Some(place) = asked.iter().position(|a| a.sql == sql) else { return };
        let asked = asked.remove(place);
        if world.tried.foreign {
            return;
        }
        match result {
            Ok(()) => self.done(at, instance, &asked, records, report),
            Err(error) => {
                report.held(Premise::RefusalJudged);
                if asked.kind == Kind::Force && asked.forcible && error.number == WRONG_STATE {
                    report.fire("commands", "FO-55", at, || {
                        format!("instance {} refused a force with E{WRONG_STATE} although nothing stood against it", instance.0)
                    });
                }
            }
        }
    }

    fn done(&self, at: Time, instance: InstanceId, asked: &Asked, records: &Records, report: &mut Report) {
        let other = self.peer(instance);
        let (Some(own), Some(before)) = (records.current(instance), asked.record) else { return };
        report.held(Premise::DoneJudged);
        // What was so already is done without a word to anybody.
        let same = match asked.kind {
            Kind::Suspend => before.suspended,
            Kind::Resume => !before.suspended,
            Kind::Safety(value) => before.safety == value,
            Kind::Failover | Kind::Force | Kind::Witness | Kind::Timeout | Kind::Remove | Kind::Other => {
                false
            }
        };
        let stamp = |r: &RecordView| match asked.kind {
            Kind::Suspend | Kind::Resume => Some(r.suspended_at),
            Kind::Safety(_) => Some(r.safety_at),
            Kind::Timeout => Some(r.timeout_at),
            Kind::Failover | Kind::Force | Kind::Witness | Kind::Remove | Kind::Other => None,
        };
        let behind = records.current(other).is_none_or(|theirs| stamp(theirs) < stamp(own));
        let wrong = match asked.kind {
            Kind::Failover if own.owner != other => Some(("FO-37d", "the other partner is not the owner")),
            Kind::Force if own.owner != instance => Some(("FO-60", "it is not the owner")),
            Kind::Suspend | Kind::Resume | Kind::Safety(_) | Kind::Timeout if !same && behind => {
                Some(("C-47", "the other partner does not hold the setting"))
            }
            _ => None,
        };
        if let Some((rule, why)) = wrong {
            report.fire("commands", rule, at, || {
                format!("instance {} answered that {:?} is done, but {why}", instance.0, asked.kind)
            });
        }
    }

    /// A record has become durable. [FL-9]
    pub(super) fn record_durable(
        &self,
        at: Time,
        instance: InstanceId,
        now: &RecordView,
        report: &mut Report,
    ) {
        if now.timeout_s < TIMEOUT_S_MIN {
            report.fire("commands", "FL-9", at, || {
                format!("instance {} holds a time-out period of {} s", instance.0, now.timeout_s)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, Written, written};

    type Rules = Vec<(&'static str, &'static str)>;

    fn of(bench: &Bench) -> Rules {
        bench.rules().into_iter().filter(|(invariant, _)| *invariant == "commands").collect()
    }

    /// [C-47]
    #[test]
    fn a_setting_that_is_done_is_durable_on_both() {
        for (told, expected) in [(true, &[][..]), (false, &[("commands", "C-47")][..])] {
            let mut bench = Bench::synchronised();
            bench.statement(A, "PARTNER SUSPEND", None);
            let paused = Written { suspended: (true, 1, 2), ..written(2, 1, A) };
            bench.record(A, paused.bytes());
            if told {
                bench.record(B, paused.bytes());
            }
            bench.ends(A, "PARTNER SUSPEND", Ok(()));
            assert_eq!(of(&bench), expected);
            // Already so: nothing has to be told.
            bench.statement(A, "PARTNER SUSPEND", Some(Ok(())));
            assert_eq!(of(&bench).len(), expected.len());
        }
    }

    /// [FO-37d, FO-60]
    #[test]
    fn a_role_switch_that_is_done_has_its_owner() {
        for (option, on, owner, expected) in [
            ("PARTNER FAILOVER", A, B, None),
            ("PARTNER FAILOVER", A, A, Some("FO-37d")),
            ("PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS", B, B, None),
            ("PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS", B, A, Some("FO-60")),
        ] {
            let mut bench = Bench::synchronised();
            bench.statement(on, option, None);
            if owner == B {
                bench.record(on, written(2, 2, B).bytes());
            }
            bench.ends(on, option, Ok(()));
            let expected: Rules = expected.into_iter().map(|rule| ("commands", rule)).collect();
            assert_eq!(of(&bench), expected, "{option} {owner:?}");
        }
    }

    /// [FO-50 … FO-55]
    #[test]
    fn a_force_that_nothing_stands_against_is_not_refused() {
        for (off_fork, witness, expected) in
            [(false, false, Some("FO-55")), (true, false, None), (false, true, None)]
        {
            let mut bench = Bench::new(witness);
            bench.record(B, Written { off_fork, witness, ..written(1, 1, A) }.bytes());
            bench.fact(crate::observe::Fact::Died { instance: A });
            bench.statement(B, "PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS", Some(Err(1455)));
            let expected: Rules = expected.into_iter().map(|rule| ("commands", rule)).collect();
            assert_eq!(of(&bench), expected, "{off_fork} {witness}");
        }
    }

    /// [FL-9]
    #[test]
    fn a_period_that_is_too_short_is_found() {
        let mut bench = Bench::synchronised();
        bench.record(A, Written { timeout: (5, 2), ..written(2, 1, A) }.bytes());
        assert_eq!(of(&bench), []);
        bench.record(A, Written { timeout: (4, 3), ..written(3, 1, A) }.bytes());
        assert_eq!(of(&bench), [("commands", "FL-9")]);
    }
}
