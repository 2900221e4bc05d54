//! An owner who gives statements while faults happen, sane and insane ones, and who wants the session back at the end.
//!
//! A *move* is a statement or a few that belong together: a suspension and its RESUME, a partner taken away and the
//! force that follows. Nobody knows beforehand who will be principal, so most moves name both partners or either one;
//! that half of the statements come to the wrong place is part of it. Draws come from a stream of their own, so that the
//! faults of a scenario stay where they are.

use super::chaos::{Generator, Target};
use super::draw::Draw;
use crate::fault::{Action, Path};
use crate::node::Roster;
use crate::scenario::{Chaos, FaultClass, SafetyDecl, Scenario, Statements};
use crate::time::Time;
use dbm_core::control::{PartnerOption, Statement, TimeoutValue, WitnessOption};
use dbm_core::types::Safety;

/// How long the owner works on the session after the faults were lifted.
pub const TAIL: Time = Time::secs(15);
/// Rounds of statements in that time.
const ROUNDS: u64 = 6;
/// Longest time-out period that an owner in chaos sets: with longer ones, no run would be long enough to judge its end.
const TIMEOUT_S_MAX: u64 = 15;

/// Kinds of moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failover,
    Force,
    Suspend,
    Resume,
    Safety,
    Witness,
    Timeout,
    Remove,
}

/// The owner.
pub(super) struct Owner<'a> {
    scenario: &'a Scenario,
    roster: Roster,
    /// When the faults are lifted.
    until: Time,
    /// No statement later than this.
    last: Time,
    every: Time,
    kinds: Vec<Kind>,
    next: Time,
    draw: Draw,
}

impl<'a> Owner<'a> {
    pub(super) fn new(scenario: &'a Scenario, chaos: &Chaos, statements: Statements, seed: u64) -> Self {
        let mut draw = Draw::named(seed, "plan/owner");
        let w = statements.weights;
        let kinds = [
            (Kind::Failover, w.failover),
            (Kind::Force, w.force_service),
            (Kind::Suspend, w.suspend),
            (Kind::Resume, w.resume),
            (Kind::Safety, w.safety),
            (Kind::Witness, w.witness),
            (Kind::Timeout, w.timeout),
            (Kind::Remove, w.remove),
        ];
        Owner {
            scenario,
            roster: Roster::new(scenario),
            until: chaos.until,
            last: chaos.until,
            every: statements.every,
            kinds: kinds
                .into_iter()
                .flat_map(|(kind, weight)| std::iter::repeat_n(kind, weight.into()))
                .collect(),
            next: Time(chaos.from.0 + draw.between(0, statements.every.0)),
            draw,
        }
    }

    /// All moves that begin before `end`.
    pub(super) fn moves_until(&mut self, end: Time, g: &mut Generator<'_>) {
        while self.next < end {
            let now = self.next;
            if let Some(kind) = self.draw.pick(&self.kinds).copied() {
                self.make(kind, now, g);
            }
            self.next = now + Time(self.draw.between(1, 2 * self.every.0));
        }
    }

    fn make(&mut self, kind: Kind, now: Time, g: &mut Generator<'_>) {
        match kind {
            Kind::Failover => self.failover(now, g),
            Kind::Force => self.force(now, g),
            Kind::Suspend => {
                let partner = self.partner();
                self.ask(now, &partner, &PartnerOption::Suspend, g);
                if self.draw.chance(3, 4) {
                    let later = now + self.millis(500, 8_000);
                    self.ask_both(later, &PartnerOption::Resume, g);
                }
            }
            Kind::Resume => {
                let partner = self.partner();
                self.ask(now, &partner, &PartnerOption::Resume, g);
            }
            Kind::Safety => {
                let off = self.draw.chance(3, 4);
                let value = if off { Safety::Off } else { Safety::Full };
                self.ask_both(now, &PartnerOption::Safety(value), g);
                if off && self.draw.chance(3, 4) {
                    let later = now + self.millis(500, 8_000);
                    self.ask_both(later, &PartnerOption::Safety(Safety::Full), g);
                }
            }
            Kind::Witness => self.witness(now, g),
            Kind::Timeout => {
                let seconds = match self.draw.between(0, 7) {
                    0 => TimeoutValue::Integer(-1),
                    1 => TimeoutValue::Integer(32_768),
                    2 | 3 => TimeoutValue::from(self.draw.between(0, 4) as u16),
                    _ => TimeoutValue::from(self.draw.between(5, TIMEOUT_S_MAX) as u16),
                };
                self.ask_both(now, &PartnerOption::Timeout(seconds), g);
            }
            Kind::Remove => {
                let partner = self.partner();
                self.ask(now, &partner, &PartnerOption::Off, g);
            }
        }
    }

    /// FAILOVER on one partner or, one after the other, on both; in a third of all cases something breaks within it.
    fn failover(&mut self, now: Time, g: &mut Generator<'_>) {
        if self.draw.chance(2, 3) {
            self.ask_both(now, &PartnerOption::Failover, g);
        } else {
            let partner = self.partner();
            self.ask(now, &partner, &PartnerOption::Failover, g);
        }
        if !self.draw.chance(1, 3) {
            return;
        }
        let start = now + Time(self.draw.between(0, 30_000));
        let length = self.millis(500, 14_000);
        let partner = self.partner();
        match self.draw.between(0, 2) {
            0 if g.has(FaultClass::Crash) => self.crash(start, &partner, length, g),
            1 if g.has(FaultClass::Reset) => {
                let [from, to] = self.partners();
                g.steps.push((start, Action::Reset(Path { from, to, both: true })));
            }
            _ => {
                let [from, to] = self.partners();
                self.cut(start, from, to, length, g);
            }
        }
    }

    /// Force at a random moment, or after a partner was taken away while the session was not synchronised; then, when
    /// that partner may be back, RESUME.
    fn force(&mut self, now: Time, g: &mut Generator<'_>) {
        let force = PartnerOption::ForceServiceAllowDataLoss;
        if self.draw.chance(1, 4) {
            let partner = self.partner();
            self.ask(now, &partner, &force, g);
            return;
        }
        let [a, b] = self.partners();
        let (gone, left) = if self.draw.chance(1, 2) { (a, b) } else { (b, a) };
        match self.draw.between(0, 4) {
            0 | 1 => self.ask_both(now, &PartnerOption::Suspend, g),
            2 | 3 => self.ask_both(now, &PartnerOption::Safety(Safety::Off), g),
            _ => {}
        }
        let start = now + self.millis(100, 2_000);
        // Time for whoever is left to declare the loss; its own host refuses for a dead process at once.
        let (length, patience) = if g.has(FaultClass::Crash) && self.draw.chance(1, 2) {
            let length = self.millis(1_000, 8_000);
            self.crash(start, &gone, length, g);
            (length, self.millis(50, 1_500).min(length))
        } else {
            let length = g.detection() + self.millis(500, 6_000);
            for other in g.members.clone().into_iter().filter(|m| *m != gone) {
                let start = start + Time(self.draw.between(0, 200_000));
                self.cut(start, gone.clone(), other, length, g);
            }
            (length, g.detection() + self.millis(0, 2_000))
        };
        let asked = start + patience;
        self.ask(asked, &left, &force, g);
        if self.draw.chance(1, 2) {
            let again = asked + self.millis(200, 1_500);
            let who = if self.draw.chance(2, 3) { left } else { gone };
            self.ask(again, &who, &force, g);
        }
        if self.draw.chance(3, 4) {
            let later = start + length + self.millis(500, 6_000);
            self.ask_both(later, &PartnerOption::Resume, g);
        }
    }

    fn witness(&mut self, now: Time, g: &mut Generator<'_>) {
        let session = &self.scenario.session;
        let instances = &self.scenario.instances;
        let no_partner = |name: &String| *name != session.principal && *name != session.mirror;
        let mut seats: Vec<String> = instances.iter().map(|i| i.name.clone()).filter(no_partner).collect();
        seats.extend(session.witness.clone());
        let option = match self.draw.between(0, 7) {
            0 => WitnessOption::Address("no address".into()),
            1 => WitnessOption::Address(self.address(&session.mirror)),
            2 => WitnessOption::Address("TCP://nobody:5022".into()),
            3 | 4 => WitnessOption::Off,
            _ => match self.draw.pick(&seats) {
                Some(seat) => WitnessOption::Address(self.address(seat)),
                None => WitnessOption::Off,
            },
        };
        self.ask_witness(now, option, g);
        if session.witness.is_some() && self.draw.chance(1, 2) {
            let later = now + self.millis(500, 6_000);
            self.original_witness(later, g);
        }
    }

    fn original_witness(&mut self, at: Time, g: &mut Generator<'_>) {
        let option = match &self.scenario.session.witness {
            Some(name) => WitnessOption::Address(self.address(name)),
            None if self.scenario.instances.len() > 2 => WitnessOption::Off,
            None => return,
        };
        self.ask_witness(at, option, g);
    }

    /// The faults are lifted: whoever is principal gets everything that makes the session whole again, several times.
    pub(super) fn bring_back(mut self, g: &mut Generator<'_>) {
        self.last = self.until + TAIL;
        let session = &self.scenario.session;
        let safety = match session.safety {
            SafetyDecl::Full => Safety::Full,
            SafetyDecl::Off => Safety::Off,
        };
        let timeout = PartnerOption::Timeout(session.timeout_s.into());
        let round = TAIL.0 / ROUNDS;
        for i in 0..ROUNDS {
            // Below half a second apart they would meet each other under way.
            let at = |part: u64| Time(self.until.0 + i * round + part * round / 4 + 100_000);
            let [first, second, third, fourth] = [at(0), at(1), at(2), at(3)];
            self.ask_both(first, &PartnerOption::Resume, g);
            self.ask_both(second, &PartnerOption::Safety(safety), g);
            self.original_witness(third, g);
            self.ask_both(fourth, &timeout, g);
        }
    }

    fn partners(&self) -> [String; 2] {
        [self.scenario.session.principal.clone(), self.scenario.session.mirror.clone()]
    }

    fn partner(&mut self) -> String {
        let [a, b] = self.partners();
        if self.draw.chance(1, 2) { a } else { b }
    }

    fn address(&self, name: &str) -> String {
        self.roster.address(self.roster.instance(name).unwrap_or_default().into())
    }

    fn millis(&mut self, low: u64, high: u64) -> Time {
        Time(self.draw.between(low * 1000, high * 1000))
    }

    fn ask(&mut self, at: Time, on: &str, option: &PartnerOption, g: &mut Generator<'_>) {
        let database = self.scenario.session.database.clone();
        let statement = Statement::SetPartner { database, option: option.clone() };
        self.say(at, on, &statement, g);
    }

    /// One of the partners and then the other: only the principal, or the mirror, will take it.
    fn ask_both(&mut self, at: Time, option: &PartnerOption, g: &mut Generator<'_>) {
        let [a, b] = self.partners();
        let (first, second) = if self.draw.chance(1, 2) { (a, b) } else { (b, a) };
        self.ask(at, &first, option, g);
        let gap = Time(self.draw.between(1_000, 50_000));
        self.ask(at + gap, &second, option, g);
    }

    fn ask_witness(&mut self, at: Time, option: WitnessOption, g: &mut Generator<'_>) {
        let database = self.scenario.session.database.clone();
        let statement = Statement::SetWitness { database, option };
        let [a, b] = self.partners();
        let (first, second) = if self.draw.chance(1, 2) { (a, b) } else { (b, a) };
        self.say(at, &first, &statement, g);
        let gap = Time(self.draw.between(1_000, 50_000));
        self.say(at + gap, &second, &statement, g);
    }

    fn say(&self, at: Time, on: &str, statement: &Statement, g: &mut Generator<'_>) {
        if at >= self.last {
            return;
        }
        let action = Action::Sql { on: on.into(), text: statement.to_string(), error: Some(-1) };
        g.steps.push((at, action));
    }

    fn crash(&self, start: Time, instance: &str, length: Time, g: &mut Generator<'_>) {
        if let Some(end) = g.claim(&[Target::Process(instance.into())], start, length) {
            g.pair(start, Action::Crash(instance.into()), end, Action::Restart(instance.into()));
        }
    }

    fn cut(&self, start: Time, from: String, to: String, length: Time, g: &mut Generator<'_>) {
        if !g.has(FaultClass::Cut) {
            return;
        }
        let targets = [Target::Path(from.clone(), to.clone()), Target::Path(to.clone(), from.clone())];
        if let Some(end) = g.claim(&targets, start, length) {
            let path = Path { from, to, both: true };
            g.pair(start, Action::Cut(path.clone()), end, Action::Heal(path));
        }
    }
}
