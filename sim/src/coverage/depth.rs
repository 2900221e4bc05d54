//! How deep a run got: steps of the protocol and the deaths at them, failovers that came to their end, a log that came
//! round, copies that found back to each other. A campaign that never gets there tests the beginning of every run only.

use super::{Counts, Coverage, count};
use crate::observe::Fact;
use crate::time::Time;
use dbm_core::config::Geometry;
use dbm_core::io::{DiskOp, FileKind, Notice};
use dbm_core::types::{InstanceId, MirroringState, Role};
use std::collections::BTreeMap;

/// A process that dies within this time after a step dies at that step.
const WITHIN: Time = Time::millis(50);

#[derive(Clone, Debug, Default)]
struct OfInstance {
    /// The newest step of this life.
    step: Option<(Time, &'static str)>,
    /// The newest step of the life before.
    died_at: Option<&'static str>,
    /// It was started again and has not shown a state yet.
    recovering: bool,
    /// It has taken the principal role and not served yet.
    promoted: bool,
    /// It has been synchronized, in this life or another.
    was_synchronized: bool,
    /// The virtual log file of its newest write, by place in the ring.
    vlf: Option<u64>,
}

/// Watches one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Depth {
    of: BTreeMap<InstanceId, OfInstance>,
    steps: BTreeMap<&'static str, u64>,
    crashes: Counts,
    cuts: Counts,
    depth: Counts,
    failovers: u64,
    forced: u64,
}

impl Depth {
    fn of(&mut self, instance: InstanceId) -> &mut OfInstance {
        self.of.entry(instance).or_default()
    }

    /// Takes note of one fact.
    pub(super) fn fact(&mut self, at: Time, fact: &Fact<'_>) {
        match *fact {
            Fact::Told { instance, notice } => self.told(at, instance, notice),
            Fact::DiskIssued { instance, op: DiskOp::Write { file, offset, .. } }
                if file.kind == FileKind::Log =>
            {
                self.log_write(instance, *offset);
            }
            Fact::Started { instance, incarnation } => self.of(instance).recovering = incarnation > 1,
            Fact::Died { instance } => self.died(at, instance),
            _ => {}
        }
    }

    /// The ring of virtual log files came round: the log goes on where it began.
    fn log_write(&mut self, instance: InstanceId, offset: u64) {
        let Geometry { vlf_bytes, vlf_count, .. } = Geometry::default();
        let vlf = offset / u64::from(vlf_bytes);
        let before = self.of(instance).vlf.replace(vlf);
        if vlf == 0 && before == Some(u64::from(vlf_count) - 1) {
            count(&mut self.depth, "log wrapped");
        }
    }

    fn died(&mut self, at: Time, instance: InstanceId) {
        let of = self.of(instance);
        let step = of.step.take();
        of.died_at = step.map(|(_, name)| name);
        (of.promoted, of.recovering, of.vlf) = (false, false, None);
        if let Some((_, name)) = step.filter(|(reached, _)| at.0 - reached.0 <= WITHIN.0) {
            count(&mut self.crashes, name);
        }
    }

    /// An instance that has just died lost the rest of a list of effects.
    pub(super) fn cut_short(&mut self, instance: InstanceId) {
        let name = self.of(instance).died_at.unwrap_or("none");
        count(&mut self.cuts, name);
    }

    fn told(&mut self, at: Time, instance: InstanceId, notice: &Notice) {
        match *notice {
            Notice::Step { name, .. } => {
                *self.steps.entry(name).or_default() += 1;
                self.of(instance).step = Some((at, name));
                match name {
                    "undo.pages" => count(&mut self.depth, "page fetched"),
                    "undo.done" => count(&mut self.depth, "reconciled with undo"),
                    "force.granted" => self.forced += 1,
                    _ => {}
                }
            }
            Notice::State { from, to, .. } => self.state(instance, from, to),
            Notice::Serving { open: true, .. } => {
                if std::mem::take(&mut self.of(instance).promoted) {
                    self.failovers += 1;
                    let ordinal = match self.failovers {
                        1 => "failover completed",
                        2 => "second failover in a run",
                        3 => "third failover in a run",
                        _ => "further failover in a run",
                    };
                    count(&mut self.depth, ordinal);
                }
            }
            Notice::Status { .. }
            | Notice::Message { .. }
            | Notice::Serving { open: false, .. }
            | Notice::Event { .. }
            | Notice::Removed { .. } => {}
        }
    }

    fn state(
        &mut self,
        instance: InstanceId,
        from: Option<(Role, MirroringState)>,
        to: (Role, MirroringState),
    ) {
        let of = self.of(instance);
        if from.is_none() && std::mem::take(&mut of.recovering) {
            count(&mut self.depth, "restart with recovery");
        }
        let of = self.of(instance);
        match (from, to) {
            (Some((Role::Mirror, _)), (Role::Principal, _)) => of.promoted = true,
            (_, (Role::Mirror, _)) => of.promoted = false,
            _ => {}
        }
        if to == (Role::Mirror, MirroringState::Synchronized)
            && from.is_none_or(|(_, state)| state == MirroringState::Synchronizing)
            && std::mem::replace(&mut of.was_synchronized, true)
        {
            count(&mut self.depth, "resynchronized");
        }
        if to.1 == MirroringState::Synchronized {
            self.of(instance).was_synchronized = true;
        }
    }

    /// Hands over what was seen.
    pub(super) fn finish(self, seen: &mut Coverage) {
        seen.steps = self.steps.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        (seen.crashes, seen.cuts, seen.depth) = (self.crashes, self.cuts, self.depth);
        if let Some(n) = seen.outcomes.get("resume with undo") {
            seen.depth.insert("forced service, then reconciled".into(), *n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MirroringState::{Disconnected, Synchronized, Synchronizing};
    use Role::{Mirror, Principal};
    use dbm_core::io::{Durability, FileId};
    use dbm_core::types::{RoleSequence, SessionId};

    const A: InstanceId = InstanceId(0);
    const SESSION: SessionId = SessionId(1);

    fn tell(depth: &mut Depth, at: u64, notice: Notice) {
        depth.fact(Time::millis(at), &Fact::Told { instance: A, notice: &notice });
    }

    fn step(depth: &mut Depth, at: u64, name: &'static str) {
        tell(depth, at, Notice::Step { session: SESSION, name });
    }

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    fn seen(depth: Depth) -> Coverage {
        let mut seen = Coverage::default();
        depth.finish(&mut seen);
        seen
    }

    #[test]
    fn a_death_is_at_the_step_before_it_if_that_is_not_long_ago() {
        let mut depth = Depth::default();
        for (reached, died) in [(0, 20), (100, 150), (200, 251)] {
            step(&mut depth, reached, "takeover");
            depth.fact(Time::millis(died), &Fact::Died { instance: A });
        }
        depth.cut_short(A);
        depth.fact(Time::millis(300), &Fact::Died { instance: A });
        depth.cut_short(A);
        let seen = seen(depth);
        assert_eq!(seen.crashes, counts(&[("takeover", 2)]));
        assert_eq!(seen.cuts, counts(&[("none", 1), ("takeover", 1)]));
        assert_eq!(seen.steps, counts(&[("takeover", 3)]));
    }

    #[test]
    fn a_failover_is_complete_when_the_new_principal_serves() {
        let mut depth = Depth::default();
        let n = RoleSequence(1);
        let state = |from, to| Notice::State { session: SESSION, from, to, n };
        let mirror = (Mirror, Synchronized);
        let principal = (Principal, Disconnected);
        let serving = || Notice::Serving { session: SESSION, open: true };
        tell(&mut depth, 0, serving());
        for _ in 0..2 {
            tell(&mut depth, 1, state(Some(mirror), principal));
            tell(&mut depth, 2, serving());
            tell(&mut depth, 3, serving());
            tell(&mut depth, 4, state(Some(principal), mirror));
        }
        tell(&mut depth, 5, state(Some(mirror), principal));
        depth.fact(Time::millis(6), &Fact::Died { instance: A });
        tell(&mut depth, 7, serving());
        let wanted = counts(&[("failover completed", 1), ("second failover in a run", 1)]);
        assert_eq!(seen(depth).depth, wanted);
    }

    #[test]
    fn a_mirror_that_is_synchronized_once_more_has_found_back() {
        let mut depth = Depth::default();
        let state = |from, to| Notice::State { session: SESSION, from, to, n: RoleSequence(1) };
        let (behind, synced) = ((Mirror, Synchronizing), (Mirror, Synchronized));
        depth.fact(Time(0), &Fact::Started { instance: A, incarnation: 1 });
        tell(&mut depth, 0, state(None, behind));
        tell(&mut depth, 1, state(Some(behind), synced));
        assert_eq!(depth.depth, counts(&[]));
        tell(&mut depth, 2, state(Some(synced), behind));
        depth.fact(Time::millis(3), &Fact::Died { instance: A });
        depth.fact(Time::millis(4), &Fact::Started { instance: A, incarnation: 2 });
        tell(&mut depth, 5, state(None, behind));
        tell(&mut depth, 6, state(Some(behind), synced));
        assert_eq!(seen(depth).depth, counts(&[("restart with recovery", 1), ("resynchronized", 1)]));
    }

    #[test]
    fn a_log_wraps_from_the_last_file_of_its_ring_to_the_first() {
        let mut depth = Depth::default();
        let Geometry { vlf_bytes, vlf_count, .. } = Geometry::default();
        for vlf in [0, 1, 0, vlf_count - 1, vlf_count - 1, 0, 0, 1] {
            let file = FileId { session: SESSION, kind: FileKind::Log };
            let offset = u64::from(vlf) * u64::from(vlf_bytes) + 512;
            let op =
                DiskOp::Write { file, offset, bytes: vec![0; 8].into(), durability: Durability::Through };
            depth.fact(Time(0), &Fact::DiskIssued { instance: A, op: &op });
        }
        assert_eq!(seen(depth).depth, counts(&[("log wrapped", 1)]));
    }
}
