//! Faults that wait for a moment of the protocol: a role switch or a write that no fixed time would hit. A fault and its
//! repair wait for the same moment with different delays, and both are over before the end of all faults.

use super::shape::Shape;
use crate::fault::{Action, Path};
use crate::plan::draw::Draw;
use crate::scenario::{FaultClass, Scenario, Step, Trigger};
use crate::time::Time;

/// The aims of a seed. An `after_step` stands for the first step that has a time.
pub(super) fn draw(plan: &Scenario, shape: &Shape, seed: u64) -> Vec<Step> {
    let mut aim = Aim { plan, shape, draw: Draw::named(seed, "plan/swarm/aims"), steps: Vec::new() };
    (0..shape.aims).for_each(|_| aim.strike());
    aim.steps
}

/// Faults that wait for a moment of the protocol.
struct Aim<'a> {
    plan: &'a Scenario,
    shape: &'a Shape,
    draw: Draw,
    steps: Vec<Step>,
}

/// Steps of the protocol in which a role changes hands, or what a switch relies on does.
const SWITCHES: [&str; 16] = [
    "claim.durable",
    "claim.granted",
    "claim.refused",
    "claim.renounced",
    "takeover",
    "principal.ready",
    "lease.lost",
    "synced.begin",
    "synchronized",
    "armed",
    "expose.sent",
    "exposed",
    "undo.begin",
    "undo.pages",
    "undo.done",
    "claim.recorded",
];
/// Steps that only an owner's statements lead to.
const STATEMENTS: [&str; 10] = [
    "failover.begin",
    "failover.ready",
    "handover.bound",
    "failover.abandoned",
    "force.begin",
    "force.claim",
    "force.recorded",
    "force.granted",
    "suspended",
    "resumed",
];
/// Steps that the witness reports.
const OF_WITNESS: [&str; 2] = ["claim.recorded", "force.recorded"];
/// Frames between the partners, or between a partner and the witness.
const FRAMES: [&str; 14] = [
    "hello",
    "welcome",
    "ping",
    "record",
    "log_request",
    "log_block",
    "log_ack",
    "expose",
    "expose_ok",
    "synced",
    "synced_ok",
    "armed",
    "page_request",
    "page_reply",
];
/// Frames between the mirror and the witness.
const CLAIMS: [&str; 4] = ["claim", "claim_query", "claim_granted", "claim_refused"];

impl Aim<'_> {
    /// One fault and its repair, which wait for the same moment.
    fn strike(&mut self) {
        let Some((trigger, nth, at)) = self.moment() else { return };
        let delay = if self.draw.chance(3, 4) { Time(0) } else { Time(self.draw.between(0, 50_000)) };
        let Some((fault, repair)) = self.fault(&at) else { return };
        let length = self.length();
        let last = self.shape.until.0.checked_sub(delay.0 + length.0 + 1);
        let Some(until) = last.map(Time).filter(|until| *until > self.shape.from) else { return };
        let after_step = self.draw.chance(3, 4).then_some(0);
        let step = |delay: Time, action| Step {
            at: None,
            between: None,
            on: Some(trigger.clone()),
            nth: Some(nth),
            after_step,
            delay: (delay > Time(0)).then_some(delay),
            until: Some(until),
            action,
        };
        self.steps.push(step(delay, fault));
        self.steps.extend(repair.map(|repair| step(delay + length, repair)));
    }

    fn length(&mut self) -> Time {
        let detection = 1_000_000 * (u64::from(self.plan.session.timeout_s) + 1);
        let high = match self.draw.between(0, 3) {
            0 | 1 => 2_000_000,
            2 => detection,
            _ => detection + 3_000_000,
        };
        Time(self.draw.between(20_000, high))
    }

    fn partner(&mut self) -> String {
        let session = &self.plan.session;
        if self.draw.chance(1, 2) { session.principal.clone() } else { session.mirror.clone() }
    }

    fn other(&self, partner: &str) -> String {
        let session = &self.plan.session;
        if partner == session.principal { session.mirror.clone() } else { session.principal.clone() }
    }

    /// A moment, at which occurrence of it, and who takes part in it.
    fn moment(&mut self) -> Option<(Trigger, u32, Vec<String>)> {
        let partner = self.partner();
        let other = self.other(&partner);
        let witness = self.plan.session.witness.clone();
        match self.draw.between(0, 9) {
            0..=3 => {
                let mut names = SWITCHES.to_vec();
                if self.shape.owner.is_some() {
                    names.extend(STATEMENTS);
                }
                let step = *self.draw.pick(&names)?;
                let instance = if OF_WITNESS.contains(&step) { witness.unwrap_or(partner) } else { partner };
                let nth = 1 + u32::from(self.draw.chance(1, 3));
                Some((
                    Trigger::Reached { instance: instance.clone(), step: step.into() },
                    nth,
                    vec![instance],
                ))
            }
            4 | 5 => {
                // A block of log in the middle of its write may be left torn.
                let files =
                    ["record", "record", "boot", "log", "log", "log", "log", "log", "data", "double_write"];
                let file = *self.draw.pick(&files)?;
                let mut writers = vec![partner];
                writers.extend(witness.filter(|_| file == "record"));
                let instance = self.draw.pick(&writers)?.clone();
                let many = if file == "log" { 200 } else { 15 };
                let nth = self.draw.between(1, many) as u32;
                let (file, name) = (file.to_owned(), instance.clone());
                let issued = self.draw.chance(2, 3);
                let trigger = if issued {
                    Trigger::DiskIssued { instance: name, file }
                } else {
                    Trigger::DiskDone { instance: name, file }
                };
                Some((trigger, nth, vec![instance]))
            }
            6..=8 => {
                let claim = witness.is_some() && self.draw.chance(1, 3);
                let frame = if claim { *self.draw.pick(&CLAIMS)? } else { *self.draw.pick(&FRAMES)? };
                let peer = match witness {
                    Some(witness) if claim || self.draw.chance(1, 3) => witness,
                    Some(_) | None => other,
                };
                let (from, to) = if self.draw.chance(1, 2) { (partner, peer) } else { (peer, partner) };
                let many = match frame {
                    "ping" | "log_block" | "log_ack" => 60,
                    _ => 3,
                };
                let nth = self.draw.between(1, many) as u32;
                let (frame, ends) = (frame.to_owned(), vec![from.clone(), to.clone()]);
                let trigger = if self.draw.chance(1, 2) {
                    Trigger::Sent { frame, from, to }
                } else {
                    Trigger::Delivered { frame, from, to }
                };
                Some((trigger, nth, ends))
            }
            _ => {
                let nth = 1 + u32::from(self.draw.chance(1, 2));
                let name = partner.clone();
                let trigger = if self.draw.chance(1, 2) {
                    Trigger::Serving { instance: name }
                } else {
                    Trigger::Started { instance: name }
                };
                Some((trigger, nth, vec![partner]))
            }
        }
    }

    /// A fault of a class that the seed knows, on one of those who take part.
    fn fault(&mut self, at: &[String]) -> Option<(Action, Option<Action>)> {
        let mut classes = Vec::new();
        for (class, weight) in [
            (FaultClass::Crash, 6),
            (FaultClass::Host, 2),
            (FaultClass::Pause, 1),
            (FaultClass::Cut, 2),
            (FaultClass::OneWay, 2),
            (FaultClass::Reset, 3),
            (FaultClass::Stall, 1),
            (FaultClass::Disk, 1),
        ] {
            if self.shape.classes.contains(&class) {
                classes.extend(std::iter::repeat_n(class, weight));
            }
        }
        let class = *self.draw.pick(&classes)?;
        let name = self.draw.pick(at)?.clone();
        let others: Vec<String> =
            self.plan.instances.iter().map(|i| &i.name).filter(|n| **n != name).cloned().collect();
        let peer = match at {
            [a, b] => {
                if *a == name {
                    b.clone()
                } else {
                    a.clone()
                }
            }
            _ => self.draw.pick(&others)?.clone(),
        };
        let both = class != FaultClass::OneWay;
        let path = Path { from: name.clone(), to: peer, both };
        Some(match class {
            FaultClass::Host => {
                let host = self.plan.instances.iter().find(|i| i.name == name).and_then(|i| i.host.clone());
                let host = host.unwrap_or(name);
                (Action::HostDown(host.clone()), Some(Action::HostUp(host)))
            }
            FaultClass::Pause => (Action::Pause(name.clone()), Some(Action::Unpause(name))),
            FaultClass::Cut | FaultClass::OneWay => (Action::Cut(path.clone()), Some(Action::Heal(path))),
            FaultClass::Reset => (Action::Reset(path), None),
            FaultClass::Stall => (Action::Stall(path.clone()), Some(Action::Heal(path))),
            FaultClass::Disk => (Action::DiskStall(name.clone()), Some(Action::DiskHeal(name))),
            FaultClass::Crash
            | FaultClass::Refuse
            | FaultClass::Clock
            | FaultClass::Slow
            | FaultClass::Corrupt
            | FaultClass::SlowCpu
            | FaultClass::RestartLoop
            | FaultClass::DiskError
            | FaultClass::DiskFail
            | FaultClass::DiskFull
            | FaultClass::Rot
            | FaultClass::Outside => (Action::Crash(name.clone()), Some(Action::Restart(name))),
        })
    }
}
