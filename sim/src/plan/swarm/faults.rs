//! What is done to a seed's world at fixed times: clusters of faults that overlap.
//!
//! The first cluster mostly takes the principal away while mirror and witness are together, because everything that is
//! interesting later needs a failover to have happened. What matters about a time-out is which side of T + i a fault ends
//! on, so lengths are drawn around it.

use super::breaks;
use super::shape::{self, Shape};
use crate::fault::{Action, Path};
use crate::names::CLIENTS;
use crate::plan::chaos::{Generator, Target};
use crate::plan::draw::Draw;
use crate::plan::owner::Owner;
use crate::plan::spans;
use crate::scenario::{Chaos, FaultClass, Scenario};
use crate::time::Time;

/// The faults of a seed, and what its owner does meanwhile.
pub(super) fn draw(plan: &Scenario, shape: &Shape, seed: u64) -> Vec<(Time, Action)> {
    let members = plan.instances.iter().map(|i| i.name.clone()).collect();
    let stream = Draw::named(seed, "plan/swarm/faults");
    let mut g = Generator::new(plan, shape.from, shape.until, members, shape.classes.clone(), stream);
    g.longest_timeout_s = shape::longest_timeout_s(plan, shape.owner.is_some());
    if shape.calm {
        if g.draw.chance(3, 4) {
            let start = g.draw.between(shape.from.0, shape.until.0 - 1);
            one(Time(start), &mut g);
        }
        return g.steps;
    }
    let mut owner = shape.owner.map(|statements| {
        let (from, until, every) = (shape.from, shape.until, shape.every);
        let chaos = Chaos { from, until, every, classes: Vec::new(), statements: Some(statements) };
        Owner::new(plan, &chaos, statements, seed)
    });
    let mut now = shape.from;
    let mut victim = g.draw.chance(9, 10).then(|| plan.session.principal.clone());
    while now < shape.until {
        if let Some(owner) = &mut owner {
            owner.moves_until(now, &mut g);
        }
        let mut gap = Time(g.draw.between(1, 2 * shape.every.0));
        if victim.take().is_some_and(|victim| g.take(now, &victim).is_some()) {
            gap = companions(now, &mut g).max(gap);
        } else {
            cluster(now, shape.cluster, &mut g);
        }
        if g.draw.chance(1, 4) {
            // Whoever is principal by then, one of them is.
            let session = &plan.session;
            victim = g.draw.pick(&[&session.principal, &session.mirror]).map(|name| (*name).clone());
        }
        now = now + gap;
    }
    if let Some(owner) = &mut owner {
        owner.moves_until(shape.until, &mut g);
    }
    insist_on_overlap(plan, shape, &mut g);
    if let Some(owner) = owner {
        owner.bring_back(&mut g);
    }
    g.steps
}

/// Faults that go along with the loss of the principal and do not prevent the failover; returns how long to leave it
/// alone.
fn companions(now: Time, g: &mut Generator<'_>) -> Time {
    let quiet =
        [FaultClass::Disk, FaultClass::Clock, FaultClass::Slow, FaultClass::SlowCpu, FaultClass::Corrupt];
    let known: Vec<FaultClass> = quiet.into_iter().filter(|class| g.has(*class)).collect();
    for _ in 0..g.draw.between(0, 2) {
        let start = now + Time(g.draw.between(1, 2_000_000));
        if let Some(class) = g.draw.pick(&known).copied() {
            fault(start, class, g);
        }
    }
    if g.draw.chance(3, 4) { g.detection() + Time::secs(2) } else { Time(0) }
}

/// A few faults within a few seconds, or a parting of everybody into two sides.
fn cluster(now: Time, most: u64, g: &mut Generator<'_>) {
    if g.has(FaultClass::Cut) && g.draw.chance(1, 6) {
        let start = now + Time(g.draw.between(0, 1_000_000));
        part(start, g);
    }
    for _ in 0..g.draw.between(1, most) {
        let start = now + Time(g.draw.between(0, 3_000_000));
        one(start, g);
    }
}

fn one(start: Time, g: &mut Generator<'_>) {
    let classes = g.classes.clone();
    if let Some(class) = g.draw.pick(&classes) {
        fault(start, *class, g);
    }
}

/// A length on either side of T + i, or just about it.
fn length(g: &mut Generator<'_>) -> Time {
    let detection = g.detection().0;
    let (low, high) = match g.draw.between(0, 9) {
        0..=2 => (20_000, 1_500_000),
        3..=5 => (detection / 4, detection),
        6 | 7 => (detection - 1_000_000, detection + 1_500_000),
        _ => (detection, detection + 8_000_000),
    };
    Time(g.draw.between(low, high))
}

/// Instances and clients part into two sides, all at once; a side may hold the clients alone.
fn part(start: Time, g: &mut Generator<'_>) {
    let length = length(g);
    let mut ends = g.members.clone();
    ends.push(CLIENTS.to_owned());
    let sides: Vec<bool> = ends.iter().map(|_| g.draw.chance(1, 2)).collect();
    for (i, from) in ends.iter().enumerate() {
        for (j, to) in ends.iter().enumerate().skip(i + 1) {
            if sides[i] != sides[j] {
                g.on_path(start, FaultClass::Cut, from.clone(), to.clone(), length);
            }
        }
    }
}

fn fault(start: Time, class: FaultClass, g: &mut Generator<'_>) {
    let members = g.members.clone();
    let Some(instance) = g.draw.pick(&members).cloned() else { return };
    let length = length(g);
    match class {
        FaultClass::Crash => g.crash(start, &instance, length),
        FaultClass::Host => g.host(start, &instance, length),
        FaultClass::Pause => g.pause(start, &instance, length),
        FaultClass::Cut | FaultClass::OneWay | FaultClass::Reset | FaultClass::Stall | FaultClass::Refuse => {
            let clients = class == FaultClass::Cut || class == FaultClass::OneWay;
            if let Some((from, to)) = ends(&instance, clients, g) {
                g.on_path(start, class, from, to, length);
            }
        }
        FaultClass::Slow => slow(start, &instance, length, g),
        FaultClass::Disk => g.disk(start, &instance),
        FaultClass::Clock => g.clock(start, &instance),
        FaultClass::Corrupt => {
            if let Some((from, to)) = ends(&instance, false, g) {
                let one_in = g.draw.pick(&[1, 2, 5, 20, 100]).copied().unwrap_or(2);
                let path = Path { from, to, both: g.draw.chance(1, 2) };
                overlay(start, length, path.clone(), Action::Corrupt { path, one_in }, g);
            }
        }
        FaultClass::SlowCpu => breaks::slow_cpu(start, &instance, length, g),
        FaultClass::RestartLoop => breaks::restart_loop(start, &instance, g),
        FaultClass::DiskError | FaultClass::DiskFail | FaultClass::DiskFull => {
            breaks::disk(start, &instance, class, length, g);
        }
        FaultClass::Rot => {
            // Only partners have data.
            let partner = usize::from(g.draw.chance(1, 2));
            let partner = members.get(partner).cloned().unwrap_or(instance);
            breaks::rot(start, &partner, "data", g);
        }
        FaultClass::Outside => breaks::outside(start, &instance, length, g),
    }
}

/// A path that begins at `instance`, or ends there.
fn ends(instance: &str, clients: bool, g: &mut Generator<'_>) -> Option<(String, String)> {
    let mut others: Vec<String> = g.members.iter().filter(|m| *m != instance).cloned().collect();
    if clients {
        others.push(CLIENTS.to_owned());
    }
    let other = g.draw.pick(&others).cloned()?;
    Some(if g.draw.chance(1, 2) { (instance.to_owned(), other) } else { (other, instance.to_owned()) })
}

fn slow(start: Time, instance: &str, length: Time, g: &mut Generator<'_>) {
    let kind = g.draw.between(0, 4);
    // Clients need no bandwidth to speak of.
    let Some((from, to)) = ends(instance, kind != 0, g) else { return };
    let path = Path { from, to, both: g.draw.chance(1, 2) };
    let fault = match kind {
        0 => Action::Throttle { path: path.clone(), bytes_s: g.draw.between(500, 100_000) },
        1 => Action::SlowStart { path: path.clone(), by: g.millis(20, 8_000) },
        2 => Action::Slow { path: path.clone(), by: Time(0), jitter: g.millis(5, 2_000) },
        _ => Action::Slow { path: path.clone(), by: g.millis(5, 2_000), jitter: g.millis(0, 200) },
    };
    overlay(start, length, path, fault, g);
}

/// A fault of a path, lifted after `length`.
fn overlay(start: Time, length: Time, path: Path, fault: Action, g: &mut Generator<'_>) {
    // A repair lifts everything from its path, so both directions belong to one fault at a time.
    let targets = [(&path.from, &path.to), (&path.to, &path.from)];
    let targets = targets.map(|(from, to)| Target::Path(from.clone(), to.clone()));
    if let Some(end) = g.claim(&targets, start, length) {
        g.pair(start, fault, end, Action::Heal(path));
    }
}

/// Draws on until two faults are in force at the same time.
fn insist_on_overlap(plan: &Scenario, shape: &Shape, g: &mut Generator<'_>) {
    for _ in 0..32 {
        let timeline = g.steps.iter().map(|(at, action)| super::timed(*at, action.clone())).collect();
        if spans::overlap(&Scenario { timeline, ..plan.clone() }) {
            return;
        }
        let start = g.draw.between(shape.from.0, shape.until.0 - 1);
        one(Time(start), g);
    }
}
