//! Faults that leave something behind when they are lifted: a process that fell behind, a database that failed, bytes that
//! changed.
//!
//! A database whose disk failed stays failed on that instance until its process starts again [OQ-35], so each failing
//! disk goes together with a crash, by which the disk works again, and a restart.

use crate::fault::Action;
use crate::plan::chaos::{Generator, Target};
use crate::scenario::FaultClass;
use crate::time::Time;
use crate::validate;

/// A process that needs time for every input; the more it needs, the shorter, as what waits has to be handled as well.
pub(super) fn slow_cpu(start: Time, instance: &str, length: Time, g: &mut Generator<'_>) {
    let heavy = g.draw.chance(1, 3);
    let by = if heavy { g.millis(5, 100) } else { Time(g.draw.between(100, 5_000)) };
    let length = if heavy { length.min(Time::secs(4)) } else { length };
    if let Some(end) = g.claim(&[Target::Cpu(instance.into())], start, length) {
        let fault = Action::SlowCpu { instance: instance.into(), by };
        g.pair(start, fault, end, Action::FastCpu(instance.into()));
    }
}

/// A process that dies a few times in a row.
pub(super) fn restart_loop(start: Time, instance: &str, g: &mut Generator<'_>) {
    let times = g.draw.between(2, 5) as u32;
    let (up, down) = (g.millis(20, 2_500), g.millis(10, 1_500));
    let whole = Time(u64::from(times) * (up.0 + down.0));
    if start + whole >= g.until() {
        return;
    }
    if g.claim(&[Target::Process(instance.into())], start, whole).is_some() {
        g.steps.push((start, Action::RestartLoop { instance: instance.into(), times, up, down }));
    }
}

/// A disk whose operations fail, until its process dies; then the disk works, and the process starts again.
pub(super) fn disk(start: Time, instance: &str, class: FaultClass, length: Time, g: &mut Generator<'_>) {
    let fault = if class == FaultClass::DiskError {
        Action::DiskError { instance: instance.into(), count: g.draw.between(1, 3) as u32 }
    } else if class == FaultClass::DiskFull {
        Action::DiskFull(instance.into())
    } else {
        Action::DiskFail(instance.into())
    };
    fail_and_restart(start, instance, fault, length, g);
}

fn fail_and_restart(start: Time, instance: &str, fault: Action, length: Time, g: &mut Generator<'_>) {
    let down = g.millis(20, 3_000);
    let targets = [Target::Disk(instance.into()), Target::Process(instance.into())];
    let Some(end) = g.claim(&targets, start, length + down) else { return };
    let death = Time(end.0.saturating_sub(down.0)).max(Time(start.0 + 1)).min(Time(end.0.saturating_sub(1)));
    // Only then: what a lying disk keeps in its cache is lost by a crash that finds it lying.
    let healed = Time(death.0 + 1);
    g.pair(start, fault, healed, Action::DiskHeal(instance.into()));
    g.pair(death, Action::Crash(instance.into()), end, Action::Restart(instance.into()));
}

/// What is stored in a file rots. Nobody reads it before the process starts again, so mostly it does.
pub(super) fn rot(start: Time, instance: &str, file: &str, g: &mut Generator<'_>) {
    damage(start, instance, Action::Rot { instance: instance.into(), file: file.into() }, g);
}

fn damage(start: Time, instance: &str, damage: Action, g: &mut Generator<'_>) {
    if start >= g.until() {
        return;
    }
    g.steps.push((start, damage));
    if g.draw.chance(3, 4) {
        let (later, length) = (start + g.millis(10, 3_000), g.millis(20, 2_000));
        g.crash(later, instance, length);
    }
}

/// What no protocol stands.
pub(super) fn outside(start: Time, instance: &str, length: Time, g: &mut Generator<'_>) {
    match g.draw.between(0, 5) {
        0 | 1 => fail_and_restart(start, instance, Action::DiskLie(instance.into()), length, g),
        2 => {
            let file = *g.draw.pick(&["log", "record", "boot", "double_write"]).unwrap_or(&"log");
            rot(start, instance, file, g);
        }
        3 | 4 => {
            let file = *g.draw.pick(&["data", "log", "record", "boot", "double_write"]).unwrap_or(&"data");
            let stray = Action::Misdirect { instance: instance.into(), file: file.into() };
            damage(start, instance, stray, g);
        }
        _ => {
            let Some(host) = g.host_of(instance) else { return };
            let bound = validate::clock_rate_bound_ppm(g.longest_timeout_s) as i32;
            let beyond = g.draw.between(1, 8) as i32 * bound;
            let fast = g.draw.chance(1, 2);
            let ppm = if fast { beyond } else { -beyond.min(900_000) };
            let usual = g.usual_rate(&host);
            if let Some(end) = g.claim(&[Target::ClockRate(host.clone())], start, length) {
                let fault = Action::ClockRate { host: host.clone(), ppm };
                g.pair(start, fault, end, Action::ClockRate { host, ppm: usual });
            }
        }
    }
}
