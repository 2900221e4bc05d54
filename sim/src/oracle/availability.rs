//! Availability: in a settled world, who serves is what the quorum tables say. [Q-4, Q-5, Q-9, QT-*, QR-*]
//!
//! Safe because it never fails over is wrong. `world` tells when the world is crisp and settled; this module keeps its
//! own memory of who may take over. Judged are the cases without choice:
//!
//! - the owner of the highest n, by its own durable record, is connected to anybody (or there is no witness): it
//!   serves [QT-A1 … A6, B1 … B6, C, D, E, QR-8, 11 … 13, Q-31, Q-33, Q-35];
//! - with a witness, an instance connected to nobody serves nobody [Q-5, QT-A8];
//! - the mirror was armed, because the world was whole and settled and all three records synchronised alike, or because
//!   ARMED reached it and nothing happened since that ends it; then only the principal was lost, step by step, and mirror
//!   and witness still say synchronised: the mirror has taken over [QT-A7, QR-1].
//!
//! Everything else (for example who serves after QR-14) is decided by history and left to the rules on role switches.
//! That somebody serves is judged only where a client asks: a refusal in such a world, or no successful answer at all
//! for some seconds while clients keep asking there, is a violation.

use super::parse::SeatView;
use super::records::Records;
use super::report::{Premise, Report};
use super::roles::Roles;
use super::world::{Change, World};
use crate::time::Time;
use dbm_core::types::{InstanceId, RoleSequence, Safety};

/// Clients that ask no more often than this do not count as trying.
const ASKING_GAP: Time = Time::secs(2);

#[derive(Clone, Debug)]
pub(super) struct Availability {
    partners: [InstanceId; 2],
    witness: Option<InstanceId>,
    /// Principal, n, sequence: a mirror that must take over when only this principal is lost.
    armed: Option<(InstanceId, RoleSequence, u64)>,
    /// The judgement of the settled world, until something changes.
    duty: Option<Duty>,
    /// Roles moved by themselves; give the new owner time.
    not_before: Time,
    /// Clients have been asking since, and last, without any success.
    waiting: Option<(Time, Time)>,
}

#[derive(Clone, Copy, Debug)]
struct Duty {
    server: Option<InstanceId>,
    idle: [bool; 2],
    complained: bool,
}

impl Availability {
    pub(super) fn new(setup: &super::OracleSetup) -> Self {
        Availability {
            partners: setup.partners,
            witness: setup.witness,
            armed: None,
            duty: None,
            not_before: Time(0),
            waiting: None,
        }
    }

    /// Before the world changes: was a mirror armed by then?
    pub(super) fn before_change(&mut self, at: Time, world: &World, records: &Records, roles: &Roles) {
        let Some(witness) = self.witness else { return };
        if let Some(armed) = self.armed_by_word(witness, world, records, roles) {
            self.armed = Some(armed);
        } else if world.settled(at) && world.healthy() {
            let [a, b] = self.partners;
            let all = [a, b, witness].map(|i| records.current(i).copied());
            self.armed = None;
            if let [Some(x), Some(y), Some(z)] = all
                && [x, y, z].iter().all(|r| {
                    !r.suspended
                        && r.claim.is_none()
                        && (r.n, r.owner) == (x.n, x.owner)
                        && r.safety == Safety::Full
                        && r.seat == SeatView::Set(witness)
                })
                && (x.synchronised, x.synchronised) == (y.synchronised, z.synchronised)
                && let Some((true, n, sequence)) = x.synchronised
                && n == x.n
            {
                self.armed = Some((x.owner, x.n, sequence));
            }
        }
    }

    /// Everything is in reach, ARMED has reached the mirror and still counts: its record and the witness's hold the SYNCED
    /// that it rests on, their link stands since, and the owner has given no statement since.
    fn armed_by_word(
        &self,
        witness: InstanceId,
        world: &World,
        records: &Records,
        roles: &Roles,
    ) -> Option<(InstanceId, RoleSequence, u64)> {
        let [a, b] = self.partners;
        let seat = records.current(witness)?;
        let (principal, mirror) = if seat.owner == a { (a, b) } else { (b, a) };
        let own = records.current(mirror)?;
        let (_, n, sequence) = seat.synchronised.filter(|(yes, n, _)| *yes && *n == seat.n)?;
        let alike = own.synchronised == seat.synchronised
            && (own.n, own.owner) == (seat.n, principal)
            && records.bound(mirror) == Some(own)
            && records.bound(witness) == Some(seat);
        let fit = |r: &super::parse::RecordView| {
            !r.suspended && r.safety == Safety::Full && r.seat == SeatView::Set(witness) && !r.undo && !r.over
        };
        let ready = alike && fit(own) && fit(seat) && own.claim.is_none() && world.healthy();
        let since = world.last_statement().max(world.started_at(mirror)).max(world.started_at(witness));
        let armed = ready && roles.armed((principal, mirror, witness), (n, sequence), since);
        armed.then_some((principal, n, sequence))
    }

    /// The world has changed.
    pub(super) fn changed(&mut self, change: Change) {
        match change {
            Change::None => return,
            Change::Statement => self.armed = None,
            Change::Loss(a, b) => {
                let only = self.armed.is_some_and(|(p, _, _)| a == p || b == Some(p));
                if !only {
                    self.armed = None;
                }
            }
            Change::Other => self.armed = None,
        }
        self.duty = None;
        self.waiting = None;
    }

    /// A durable record has changed. `moved`: to another owner or n.
    pub(super) fn record_changed(&mut self, at: Time, moved: bool, world: &World) {
        self.duty = None;
        self.waiting = None;
        if moved {
            self.not_before = at + world.slack();
        }
    }

    /// Time has come to `at`.
    #[inline]
    pub(super) fn tick(&mut self, at: Time, world: &World, records: &Records, report: &mut Report) {
        if self.duty.is_none() && world.settled(at) && at >= self.not_before {
            self.duty = Some(self.judge(at, world, records, report));
        }
    }

    fn judge(&self, at: Time, world: &World, records: &Records, report: &mut Report) -> Duty {
        let mut duty = Duty { server: None, idle: [false; 2], complained: false };
        if world.tried.foreign || !world.guaranteed() {
            return duty;
        }
        let [a, b] = self.partners;
        if let Some(newest) = records.newest() {
            let owner = newest.owner;
            let other = if owner == a { b } else { a };
            // Its own record says who may give it the right to serve. [OQ-16]
            let own = records.current(owner);
            let connected = world.connected(owner, other)
                || match own.map(|r| r.seat) {
                    Some(SeatView::Set(w)) => world.connected(owner, w),
                    Some(SeatView::Off) => true,
                    Some(SeatView::Leaving(_)) | None => false,
                };
            let knows = own.is_some_and(|r| r.n == newest.n && r.owner == owner);
            if world.alive(owner) && connected && knows {
                duty.server = Some(owner);
            }
        }
        let Some(witness) = self.witness else { return duty };
        for (idle, me, other) in [(0, a, b), (1, b, a)] {
            let bound = records.both(me, |r| r.seat == SeatView::Set(witness)) == Some(true);
            duty.idle[idle] =
                bound && world.alive(me) && !world.connected(me, other) && !world.connected(me, witness);
            if duty.idle[idle] {
                report.held(Premise::IsolatedMustNotServe);
            }
        }
        if let Some((principal, n, sequence)) = self.armed
            && let Some(record) = records.current(witness)
        {
            let mirror = if principal == a { b } else { a };
            let alone = !world.connected(principal, mirror) && !world.connected(principal, witness);
            let word = Some((true, n, sequence));
            // The mirror may have noted an EXPOSE that has not reached the witness; once it claims that is over.
            let noted = records.current(mirror).is_some_and(|r| r.n == n && r.synchronised != word);
            let exposed = record.n == n && (record.synchronised != word || noted);
            if alone && world.connected(mirror, witness) && !exposed {
                report.held(Premise::MirrorMustTakeOver);
                if record.owner == principal {
                    report.fire("availability", "QT-A7", at, || {
                        format!(
                            "instance {} did not take over from {} although it was armed",
                            mirror.0, principal.0
                        )
                    });
                }
            }
        }
        duty
    }

    /// A client's call or login reaches an instance.
    #[inline]
    pub(super) fn asked(&mut self, at: Time, instance: InstanceId, world: &World, report: &mut Report) {
        let Some(duty) = self.duty.as_mut().filter(|d| d.server == Some(instance)) else { return };
        report.held(Premise::OwnerMustServe);
        // After a pause it begins anew: a lost call need never be answered.
        let since = match self.waiting {
            Some((since, last)) if at <= last + ASKING_GAP => since,
            Some(_) | None => at,
        };
        self.waiting = Some((since, at));
        if at > since + world.slack() && !duty.complained {
            duty.complained = true;
            report.fire("availability", "Q-4", at, || {
                format!("instance {} must serve, but has answered no client since {since}", instance.0)
            });
        }
    }

    /// A successful answer leaves.
    #[inline]
    pub(super) fn served(&mut self, at: Time, by: InstanceId, report: &mut Report) {
        let Some(duty) = &mut self.duty else { return };
        if duty.server == Some(by) {
            self.waiting = None;
        }
        let idle = (0..2).any(|i| self.partners[i] == by && duty.idle[i]);
        if idle && !duty.complained {
            duty.complained = true;
            report.fire("availability", "Q-5", at, || {
                format!("instance {} answers clients although it has long been connected to nobody", by.0)
            });
        }
    }

    /// A refusal leaves.
    pub(super) fn refused(&mut self, at: Time, by: InstanceId, error: u32, report: &mut Report) {
        if let Some(duty) = &mut self.duty
            && duty.server == Some(by)
            && !duty.complained
        {
            report.held(Premise::OwnerMustServe);
            duty.complained = true;
            report.fire("availability", "Q-4", at, || {
                format!("instance {} must serve and refuses with {error}", by.0)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, C0, W, record};
    use crate::fault::{Action, Path};
    use crate::observe::Fact;
    use dbm_core::io::{ClientEvent, ConnId, Input, Reply, Request};
    use dbm_core::types::RoleSequence;

    fn cut(bench: &mut Bench, from: &str, to: &str) {
        let action = Action::Cut(Path { from: from.into(), to: to.into(), both: true });
        bench.fact(Fact::Acted { step: 0, action: &action });
    }

    ///
    #[test]
    fn a_principal_with_quorum_that_refuses_is_found() {
        let mut bench = Bench::synchronised();
        bench.replied(C0, A, Reply::Refused { error: 955 });
        assert_eq!(bench.rules(), [], "not settled yet");
        bench.at(40);
        bench.replied(C0, B, Reply::Refused { error: 954 });
        assert_eq!(bench.rules(), [], "a mirror may refuse");
        bench.replied(C0, A, Reply::Refused { error: 955 });
        assert_eq!(bench.rules(), [("availability", "Q-4")]);
    }

    ///
    #[test]
    fn a_principal_with_quorum_that_is_silent_is_found() {
        for (answers, expected) in [(true, &[][..]), (false, &[("availability", "Q-4")][..])] {
            let mut bench = Bench::synchronised();
            bench.at(40);
            let input = Input::Client { conn: ConnId(1), event: ClientEvent::Request(Request::Commit) };
            bench.fact(Fact::Handling { instance: A, input: &input });
            for second in 41..60 {
                bench.at(second);
                bench.fact(Fact::Handling { instance: A, input: &input });
                if answers && second % 4 == 0 {
                    bench.replied(C0, A, Reply::RolledBack { n: RoleSequence(1) });
                }
            }
            assert_eq!(bench.rules(), expected);
        }
    }

    ///
    #[test]
    fn an_isolated_principal_that_serves_is_found() {
        let mut bench = Bench::synchronised();
        bench.at(40);
        cut(&mut bench, "A", "B");
        cut(&mut bench, "A", "W");
        bench.record(B, record(2, 1, A, true, 1, 2));
        bench.at(52);
        bench.record(W, record(2, 2, B, false, 1, 0));
        bench.record(B, record(3, 2, B, false, 1, 0));
        bench.at(80);
        bench.replied(C0, A, Reply::Begun { n: RoleSequence(1) });
        assert_eq!(bench.rules(), [("availability", "Q-5")]);
    }

    /// [QT-A7, QR-5]
    #[test]
    fn a_mirror_that_does_not_take_over_is_found_unless_the_principal_ran_exposed() {
        for (exposed, expected) in [(true, &[][..]), (false, &[("availability", "QT-A7")][..])] {
            let mut bench = Bench::synchronised();
            bench.at(40);
            cut(&mut bench, "A", "B");
            if exposed {
                bench.record(W, record(2, 1, A, false, 2, 0));
            }
            cut(&mut bench, "A", "W");
            bench.at(80);
            bench.fact(Fact::ClientLost { client: C0 });
            assert_eq!(bench.rules(), expected);
        }
    }
}
