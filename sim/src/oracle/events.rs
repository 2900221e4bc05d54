//! Numbered state-change events: each has its occasion, each occasion its event. [EV-0 … EV-12]
//!
//! Occasions are transitions, role switches and changes of the view at one instant on one instance; what an instance
//! told of those is judged by `states` and `switches`. An event names the one before it. An instance may die between an
//! occasion and its event; then nothing is missing. A state that is left in the instant in which it was entered is in the
//! trace, and its event may be left out (assumed: an event class shows what lasted).

use super::report::{Premise, Report};
use super::states::Shown;
use super::switches::Origin;
use crate::time::Time;
use dbm_core::types::MirroringState::{
    Disconnected, PendingFailover, Suspended, Synchronized, Synchronizing,
};
use dbm_core::types::Role::{Mirror, Principal};
use dbm_core::types::{InstanceId, Role, WitnessState};
use dbm_core::view::Status;

/// An event that something gives occasion to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Occasion {
    number: u8,
    /// It has to come.
    demanded: bool,
}

#[derive(Clone, Debug, Default)]
struct OfInstance {
    /// Number of the last event.
    last: u8,
    status: Option<Status>,
    at: Time,
    /// Of this instant, not told yet.
    open: Vec<Occasion>,
}

#[derive(Clone, Debug)]
pub(super) struct Events {
    of: Vec<OfInstance>,
}

impl Events {
    pub(super) fn new(instances: usize) -> Self {
        Events { of: vec![OfInstance::default(); instances] }
    }

    /// A process starts or ends.
    pub(super) fn gone(&mut self, instance: InstanceId) {
        if let Some(of) = self.of.get_mut(usize::from(instance.0)) {
            *of = OfInstance::default();
        }
    }

    /// Mirroring was removed there: nothing is shown any more.
    pub(super) fn removed(&mut self, instance: InstanceId) {
        if let Some(of) = self.of.get_mut(usize::from(instance.0)) {
            of.status = None;
            of.open.clear();
            // The first event of a session has 0 before it.
            of.last = 0;
        }
    }

    fn here(&mut self, at: Time, instance: InstanceId) -> Option<&mut OfInstance> {
        let of = self.of.get_mut(usize::from(instance.0))?;
        of.at = at;
        Some(of)
    }

    /// The role or state has changed. `origin`: how the role sequence came about.
    pub(super) fn transition(
        &mut self,
        at: Time,
        instance: InstanceId,
        (from, to): (Option<Shown>, Shown),
        origin: Option<Option<Origin>>,
        report: &mut Report,
    ) {
        let Some(of) = self.here(at, instance) else { return };
        // What was entered in this instant has not lasted.
        let states = [1, 2, 3, 4, 5, 6, 9, 11];
        of.open.iter_mut().filter(|o| states.contains(&o.number)).for_each(|o| o.demanded = false);
        let connected = of.status.is_some_and(|s| s.witness == Some(WitnessState::Connected));
        let before = of.open.len();
        if origin.is_none() && from.is_some_and(|f| f.0 != to.0) {
            // Any form of role switch may have been the cause.
            let numbers = if to.0 == Mirror { &[7][..] } else { &[8, 9] };
            of.open.extend(numbers.iter().map(|&number| Occasion { number, demanded: false }));
        }
        let mut demand = |number| of.open.push(Occasion { number, demanded: true });
        if from.is_none() {
            demand(0);
        }
        match (from.map(|f| f.0), to.0, origin.flatten()) {
            (Some(Principal), Mirror, Some(Origin::HandOver)) => demand(7),
            (Some(Mirror), Principal, Some(Origin::Automatic)) => demand(8),
            (Some(Mirror), Principal, Some(Origin::Force)) => demand(9),
            _ => {}
        }
        let same_role = from.is_none_or(|f| f.0 == to.0);
        let lost = from.is_some_and(|f| f.1 != Disconnected) && same_role;
        match to {
            (Principal, Synchronized) => demand(if connected { 1 } else { 2 }),
            (Mirror, Synchronized) => demand(if connected { 3 } else { 4 }),
            (Mirror, Disconnected) if lost => demand(5),
            (Principal, Disconnected) if lost => demand(6),
            (_, Suspended) => demand(9),
            (Mirror, Synchronizing) => demand(11),
            (_, Disconnected) | (Principal, Synchronizing) | (_, PendingFailover) => {}
        }
        for _ in before..of.open.len() {
            report.held(Premise::EventDemanded);
        }
    }

    /// The view has changed; told before the transition that belongs to it.
    pub(super) fn status(&mut self, at: Time, instance: InstanceId, now: &Status, report: &mut Report) {
        let Some(of) = self.here(at, instance) else { return };
        let before = of.status.replace(*now);
        let role = now.role == Some(Principal);
        let serves = |s: &Status| s.role == Some(Principal) && s.serving;
        let exposed = |s: &Status| serves(s) && s.state == Some(Disconnected);
        let mut numbers = Vec::new();
        let up = |s: &Status| s.witness == Some(WitnessState::Connected);
        if let Some(before) = before
            && (before.role, before.state) == (now.role, now.state)
            && now.state == Some(Synchronized)
            && up(&before) != up(now)
        {
            numbers.push(witness_event(role, up(now)));
        }
        let closed = before.is_some_and(|b| serves(&b)) && !now.serving;
        if closed && role && now.witness.is_some() && now.state != Some(PendingFailover) {
            numbers.push(10);
        }
        if exposed(now) && !before.is_some_and(|b| exposed(&b)) {
            numbers.push(12);
        }
        for number in numbers {
            report.held(Premise::EventDemanded);
            of.open.push(Occasion { number, demanded: true });
        }
    }

    /// An event is told.
    pub(super) fn told(
        &mut self,
        at: Time,
        instance: InstanceId,
        number: u8,
        previous: u8,
        report: &mut Report,
    ) {
        let Some(of) = self.of.get_mut(usize::from(instance.0)) else { return };
        report.held(Premise::EventJudged);
        let last = std::mem::replace(&mut of.last, number);
        if last != previous {
            report.fire("events", "EV-previous", at, || {
                format!(
                    "instance {} told event {number} after {previous}; the last one was {last}",
                    instance.0
                )
            });
        }
        let place = (of.at == at).then(|| of.open.iter().position(|o| o.number == number)).flatten();
        match place {
            Some(place) => {
                of.open.remove(place);
            }
            None => report.fire("events", NAMES[usize::from(number.min(13))], at, || {
                format!("instance {} told event {number} without an occasion", instance.0)
            }),
        }
    }

    /// Time has moved on: what has not been told is missing.
    pub(super) fn tick(&mut self, report: &mut Report) {
        for (i, of) in self.of.iter_mut().enumerate() {
            for occasion in of.open.drain(..).filter(|o| o.demanded) {
                let number = occasion.number;
                report.fire("events", NAMES[usize::from(number)], of.at, || {
                    let shown: Option<Role> = of.status.and_then(|s| s.role);
                    format!("instance {i} ({shown:?}) did not tell event {number}")
                });
            }
        }
    }
}

fn witness_event(principal: bool, connected: bool) -> u8 {
    match (principal, connected) {
        (true, true) => 1,
        (true, false) => 2,
        (false, true) => 3,
        (false, false) => 4,
    }
}

const NAMES: [&str; 14] = [
    "EV-0", "EV-1", "EV-2", "EV-3", "EV-4", "EV-5", "EV-6", "EV-7", "EV-8", "EV-9", "EV-10", "EV-11",
    "EV-12", "EV-13",
];

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, SESSION};
    use super::*;
    use crate::observe::Fact;
    use dbm_core::io::Notice;
    use dbm_core::types::{RoleSequence, Safety};

    struct Teller {
        bench: Bench,
        instance: InstanceId,
        shown: Option<Shown>,
        last: u8,
    }

    impl Teller {
        fn new(instance: InstanceId) -> Self {
            Teller { bench: Bench::new(true), instance, shown: None, last: 0 }
        }
        /// One second later: view and transition, then these events.
        fn step(&mut self, to: Shown, witness: WitnessState, serving: bool, events: &[u8]) -> &mut Self {
            self.bench.now = self.bench.now + Time::secs(1);
            let (instance, n) = (self.instance, RoleSequence(1));
            let status = Status {
                role: Some(to.0),
                state: Some(to.1),
                n,
                witness: Some(witness),
                safety: Safety::Full,
                serving,
            };
            self.bench.fact(Fact::Status { instance, session: SESSION, status: &status });
            if self.shown != Some(to) {
                let notice = Notice::State { session: SESSION, from: self.shown, to, n };
                self.bench.fact(Fact::Told { instance, notice: &notice });
                self.shown = Some(to);
            }
            for &number in events {
                let notice = Notice::Event { session: SESSION, number, previous: self.last };
                self.bench.fact(Fact::Told { instance, notice: &notice });
                self.last = number;
            }
            self
        }
        fn rules(&mut self) -> Vec<&'static str> {
            self.bench.now = self.bench.now + Time::secs(1);
            self.bench.fact(Fact::ClientLost { client: crate::observe::ClientId(0) });
            let all = self.bench.rules();
            all.into_iter().filter(|(invariant, _)| *invariant == "events").map(|(_, rule)| rule).collect()
        }
    }

    use WitnessState::{Connected, Disconnected as Away};

    #[test]
    fn a_mirror_that_tells_everything_is_in_order() {
        let mut t = Teller::new(B);
        t.step((Mirror, Disconnected), Away, false, &[0])
            .step((Mirror, Synchronizing), Connected, false, &[11])
            .step((Mirror, Synchronized), Connected, false, &[3])
            .step((Mirror, Synchronized), Away, false, &[4])
            .step((Mirror, Suspended), Away, false, &[9])
            .step((Mirror, Disconnected), Away, false, &[5]);
        assert_eq!(t.rules(), [] as [&str; 0]);
    }

    #[test]
    fn a_principal_that_tells_everything_is_in_order() {
        let mut t = Teller::new(A);
        t.step((Principal, Disconnected), Away, false, &[0])
            .step((Principal, Synchronizing), Connected, true, &[])
            .step((Principal, Synchronized), Connected, true, &[1])
            .step((Principal, Disconnected), Connected, true, &[6, 12])
            .step((Principal, Disconnected), Away, false, &[10]);
        assert_eq!(t.rules(), [] as [&str; 0]);
    }

    #[test]
    fn a_missing_event_is_found() {
        for (to, serving, events, rule) in [
            ((Principal, Disconnected), true, &[6][..], "EV-12"),
            ((Principal, Disconnected), true, &[12], "EV-6"),
            ((Principal, Disconnected), false, &[6], "EV-10"),
            ((Principal, Suspended), true, &[], "EV-9"),
        ] {
            let mut t = Teller::new(A);
            t.step((Principal, Synchronizing), Connected, true, &[0]).step(to, Connected, serving, events);
            assert_eq!(t.rules(), [rule]);
        }
    }

    #[test]
    fn an_event_without_an_occasion_and_a_wrong_predecessor_are_found() {
        let mut t = Teller::new(B);
        t.step((Mirror, Disconnected), Away, false, &[0, 5]);
        assert_eq!(t.rules(), ["EV-5"]);
        let mut t = Teller::new(B);
        t.step((Mirror, Synchronizing), Away, false, &[0, 11]);
        t.last = 7;
        t.step((Mirror, Synchronized), Away, false, &[4]);
        assert_eq!(t.rules(), ["EV-previous"]);
    }
}
