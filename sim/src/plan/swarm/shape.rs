//! What a seed is like before anything is done to it: session, hosts, media, load, which fault classes it knows, how
//! often they strike, and how it ends. Each topic draws from a stream of its own.

use super::ends::End;
use super::stories::Story;
use crate::plan::draw::Draw;
use crate::scenario::{
    ClockProfile, DiskProfile, FaultClass, InstanceDecl, NetworkProfile, SafetyDecl, Scenario, SessionDecl,
    Spread, StatementWeights, Statements, Workload,
};
use crate::time::Time;
use crate::validate;

/// Longest time-out period of a swarm, in seconds; an owner sets none that is longer.
pub const TIMEOUT_S_MAX: u16 = 15;
/// While SAFETY is OFF this many seconds are in force. [OQ-34]
const TIMEOUT_S_OF_OFF: u16 = 10;

/// Everything a seed has drawn about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// At most one fault.
    pub calm: bool,
    /// The fault classes it knows.
    pub classes: Vec<FaultClass>,
    /// How it begins, and when other faults would begin without that.
    pub story: Option<(Story, Time)>,
    /// First fault after the story not before this.
    pub from: Time,
    /// Faults are lifted here.
    pub until: Time,
    /// Mean time between two clusters of faults.
    pub every: Time,
    /// Most faults of a cluster.
    pub cluster: u64,
    /// Steps that wait for a moment of the protocol.
    pub aims: u64,
    /// An owner who gives statements meanwhile.
    pub owner: Option<Statements>,
    /// How it ends.
    pub end: End,
}

/// `scenario` with the session, hosts, media, clocks and load of `seed`, and what else the seed is like.
pub fn draw(scenario: &Scenario, seed: u64) -> (Scenario, Shape) {
    let stream = |name: &str| Draw::named(seed, &format!("plan/swarm/{name}"));
    let mut plan = scenario.clone();
    plan.swarm = None;
    plan.seed = Some(seed);
    session(&mut plan, &mut stream("session"));
    let mut mood = stream("mood");
    let calm = mood.chance(1, 10);
    let mut beginning = stream("story");
    let story = if calm { None } else { Story::draw(&mut beginning) };
    if let Some(story) = story {
        story.set(&mut plan, scenario.session.witness.clone(), &mut beginning);
    }
    let owner = !calm && mood.chance(7, 20) || story.is_some_and(Story::needs_owner);
    let owner = owner.then(|| statements(&mut stream("owner")));
    hosts(&mut plan, owner.is_some(), &mut stream("hosts"));
    plan.network = network(&mut stream("network"));
    plan.disk = disk(&mut stream("disk"));
    clocks(&mut plan, owner.is_some(), &mut stream("clocks"));
    let mut load = workload(&mut stream("workload"));
    if let Some(story) = story {
        story.load(&mut load, &mut beginning);
    }
    plan.workload = Some(load);
    let mut tempo = stream("tempo");
    let start = millis(&mut tempo, 1_500, 4_000);
    let from = story.map_or(start, |story| story.end(&plan, start));
    // What a story left behind shows soon, and the run is to stay short.
    let length = if tempo.chance(3, 5) || story.is_some() {
        millis(&mut tempo, 6_000, 14_000)
    } else {
        millis(&mut tempo, 14_000, 35_000)
    };
    let shape = Shape {
        calm,
        classes: classes(&mut stream("classes")),
        story: story.map(|story| (story, start)),
        from,
        until: from + length,
        every: millis(&mut tempo, 800, 5_000),
        cluster: tempo.between(2, 6),
        aims: if calm { 0 } else { tempo.between(0, 8) },
        end: if calm { End::Healed } else { End::draw(&plan, owner.is_some(), &mut stream("end")) },
        owner,
    };
    (plan, shape)
}

pub(super) fn millis(draw: &mut Draw, low: u64, high: u64) -> Time {
    Time(draw.between(low * 1000, high * 1000))
}

/// The longest time-out period that may come into force in the plan, in seconds.
pub(super) fn longest_timeout_s(plan: &Scenario, owner: bool) -> u16 {
    match (owner, plan.session.safety) {
        (true, _) => TIMEOUT_S_MAX,
        (false, SafetyDecl::Off) => plan.session.timeout_s.max(TIMEOUT_S_OF_OFF),
        (false, SafetyDecl::Full) => plan.session.timeout_s,
    }
}

fn session(plan: &mut Scenario, draw: &mut Draw) {
    let session: &mut SessionDecl = &mut plan.session;
    session.timeout_s = match draw.between(0, 3) {
        0 | 1 => 5,
        2 => draw.between(6, 8) as u16,
        _ => draw.between(9, TIMEOUT_S_MAX.into()) as u16,
    };
    session.safety = if draw.chance(7, 8) { SafetyDecl::Full } else { SafetyDecl::Off };
    if draw.chance(1, 6) {
        session.witness = None;
    }
}

/// Every instance has a host of its own, or the witness shares one with a partner; some have a spare witness.
fn hosts(plan: &mut Scenario, owner: bool, draw: &mut Draw) {
    let session = &plan.session;
    let names = [Some(session.principal.clone()), Some(session.mirror.clone()), session.witness.clone()];
    let member = |name: &String| names.iter().flatten().any(|n| n == name);
    let spare = plan
        .instances
        .iter()
        .map(|i| i.name.clone())
        .find(|name| !member(name) && Some(name) != names[2].as_ref());
    let mut instances: Vec<InstanceDecl> =
        names.iter().flatten().map(|name| InstanceDecl { name: name.clone(), host: None }).collect();
    let guest = draw.between(0, 7);
    if let (Some(host), Some(witness)) =
        (names.get(guest as usize).filter(|_| guest < 2).cloned().flatten(), instances.get_mut(2))
    {
        witness.host = Some(host);
    }
    // Only an owner has a use for it.
    if let Some(name) = spare.filter(|_| draw.chance(1, 2) && owner) {
        instances.push(InstanceDecl { name, host: None });
    }
    plan.instances = instances;
}

fn spread(min_us: u64, max_us: u64) -> Spread {
    Spread { min: Time(min_us), max: Time(max_us) }
}

fn network(draw: &mut Draw) -> NetworkProfile {
    let latency = match draw.between(0, 9) {
        0..=3 => NetworkProfile::default().latency,
        4 | 5 => spread(50, 500),
        6 | 7 => spread(5_000, 40_000),
        _ => spread(200, 60_000),
    };
    let bandwidth_bytes_s =
        if draw.chance(1, 6) { 1_250_000 } else { NetworkProfile::default().bandwidth_bytes_s };
    NetworkProfile { latency, bandwidth_bytes_s }
}

fn disk(draw: &mut Draw) -> DiskProfile {
    match draw.between(0, 9) {
        0..=4 => DiskProfile::default(),
        5..=7 => DiskProfile { write: spread(5, 20), flush: spread(50, 500), read: spread(1_000, 5_000) },
        _ => DiskProfile {
            write: spread(50, 1_000),
            flush: spread(2_000, 30_000),
            read: spread(5_000, 50_000),
        },
    }
}

/// Mostly good clocks, now and then bad ones within the bound, and offsets of wall clocks.
fn clocks(plan: &mut Scenario, owner: bool, draw: &mut Draw) {
    let bound = validate::clock_rate_bound_ppm(longest_timeout_s(plan, owner));
    plan.clock_rate_ppm_max = match draw.between(0, 3) {
        0 => draw.between(1_000, u64::from(bound / 2)) as u32,
        _ => plan.clock_rate_ppm_max.min(bound / 2),
    };
    for host in validate::hosts(plan).into_iter().map(String::from).collect::<Vec<_>>() {
        if draw.chance(1, 5) {
            let rate_ppm = draw.between(0, u64::from(bound)) as i32 - (bound / 2) as i32;
            let offset_ms = draw.between(0, 7_200_000) as i64 - 3_600_000;
            plan.clocks.insert(host, ClockProfile { rate_ppm, offset_ms });
        }
    }
}

/// From a few clients on many rows to many clients on two.
fn workload(draw: &mut Draw) -> Workload {
    let pick = |draw: &mut Draw, of: &[u64]| draw.pick(of).copied().unwrap_or_default();
    let accounts = pick(draw, &[2, 4, 16, 16, 64, 256]) as u32;
    let lists = pick(draw, &[0, 1, 4, 8]) as u32;
    Workload {
        clients: pick(draw, &[1, 2, 4, 6, 12]) as u16,
        commits_per_s: match draw.between(0, 3) {
            0 => draw.between(4, 8),
            1 | 2 => draw.between(8, 25),
            _ => draw.between(25, 60),
        } as u32,
        accounts,
        lists,
        interactive_percent: pick(draw, &[0, 10, 30, 70, 100]) as u8,
        read_only_percent: pick(draw, &[0, 10, 20, 50]) as u8,
        rollback_percent: pick(draw, &[0, 5, 30]) as u8,
        call_timeout: Time::secs(pick(draw, &[3, 10, 10, 20])),
        ..Workload::default()
    }
}

/// Each class is in or out; how likely is drawn as well, so that some seeds know few classes and some nearly all. What
/// breaks promises for good is rare.
fn classes(draw: &mut Draw) -> Vec<FaultClass> {
    let density = draw.between(2, 8);
    let mut classes = Vec::new();
    for class in FaultClass::ALL {
        let all = match class {
            FaultClass::Outside => 60,
            FaultClass::Rot => 25,
            FaultClass::Crash
            | FaultClass::Host
            | FaultClass::Pause
            | FaultClass::Cut
            | FaultClass::OneWay
            | FaultClass::Reset
            | FaultClass::Stall
            | FaultClass::Refuse
            | FaultClass::Disk
            | FaultClass::Clock
            | FaultClass::Slow
            | FaultClass::Corrupt
            | FaultClass::SlowCpu
            | FaultClass::RestartLoop
            | FaultClass::DiskError
            | FaultClass::DiskFail
            | FaultClass::DiskFull => 10,
        };
        if draw.chance(density, all) {
            classes.push(class);
        }
    }
    if classes.is_empty() { vec![FaultClass::Crash, FaultClass::Cut] } else { classes }
}

/// How often the owner does what.
fn statements(draw: &mut Draw) -> Statements {
    let mut weight = |most: u64| if draw.chance(1, 2) { draw.between(1, most) as u16 } else { 0 };
    let weights = StatementWeights {
        failover: 1 + weight(6),
        force_service: weight(6),
        suspend: weight(4),
        resume: weight(2),
        safety: weight(3),
        witness: weight(3),
        timeout: weight(3),
        remove: 0,
    };
    // Seldom: a removed session asks for nothing more.
    let weights = StatementWeights { remove: u16::from(draw.chance(1, 15)), ..weights };
    Statements { every: millis(draw, 800, 4_000), weights }
}
