//! Everything that becomes smaller or plainer, besides the number of steps. Each question is a list of alternatives, the
//! plainest first; the first one with which the plan fails the same way is taken.

use super::Shrinker;
use super::edit::{self, earlier_from, ending, rounded, rounded_up, sorted};
use crate::fault::{Action, Path};
use crate::scenario::{DiskProfile, NetworkProfile, SafetyDecl, Scenario, Step, Workload};
use crate::time::Time;
use std::collections::BTreeSet;

/// What times are rounded to.
const UNITS: [Time; 4] = [Time::secs(1), Time::millis(100), Time::millis(10), Time::millis(1)];
/// Lengths that are tried for pauses and faults, the shortest first.
const LENGTHS: [Time; 9] = [
    Time::millis(10),
    Time::millis(100),
    Time::millis(500),
    Time::secs(1),
    Time::secs(2),
    Time::secs(5),
    Time::secs(10),
    Time::secs(15),
    Time::secs(20),
];

/// Ends the run just after the failure, and drops expectations that are not what fails.
pub fn end(s: &mut Shrinker<'_>) {
    let missed = s.signature.starts_with("unmet ");
    if !s.plan.expect.is_empty() && (!missed || s.judge.reference) {
        let mut candidates = vec![Scenario { expect: Vec::new(), ..s.plan.clone() }];
        if missed {
            candidates = (0..s.plan.expect.len())
                .map(|i| Scenario { expect: vec![s.plan.expect[i].clone()], ..s.plan.clone() })
                .collect();
        }
        s.take("expectations dropped", candidates);
    }
    let last = s.plan.timeline.iter().filter_map(|step| step.at).max().unwrap_or_default();
    let second = Time::secs(1);
    let mut ends = BTreeSet::from([rounded_up(s.at, second)]);
    // A failure that shows at the end may show as well at an earlier one.
    ends.extend(LENGTHS[3..].iter().map(|length| rounded_up(last + *length, second)));
    let rest = s.plan.duration.0.saturating_sub(last.0);
    ends.extend([2, 4, 8].map(|part| rounded_up(last + Time(rest - rest / part), second)));
    let candidates =
        ends.into_iter().filter(|end| *end < s.plan.duration).map(|end| ending(&s.plan, end)).collect();
    s.take("run ends earlier", candidates);
}

/// Fewer clients and instances, default profiles, exact clocks.
pub fn world(s: &mut Shrinker<'_>) {
    s.take("no clients", vec![Scenario { workload: None, ..s.plan.clone() }]);
    load(s);
    let plan = &s.plan;
    let default =
        Scenario { network: NetworkProfile::default(), disk: DiskProfile::default(), ..plan.clone() };
    s.take("default profiles", vec![default]);
    s.take("default network", vec![Scenario { network: NetworkProfile::default(), ..s.plan.clone() }]);
    s.take("default disks", vec![Scenario { disk: DiskProfile::default(), ..s.plan.clone() }]);
    let exact = Scenario { clocks: Default::default(), clock_rate_ppm_max: 0, ..s.plan.clone() };
    let unnamed = Scenario { clocks: Default::default(), ..s.plan.clone() };
    s.take("exact clocks", vec![exact, unnamed, Scenario { clock_rate_ppm_max: 0, ..s.plan.clone() }]);
    session(s);
    instances(s);
}

fn load(s: &mut Shrinker<'_>) {
    type Alternatives = (&'static str, fn(&Workload) -> Vec<Workload>);
    let questions: [Alternatives; 9] = [
        ("fewer clients", |w| {
            let fewer = [1, 2, w.clients / 2].into_iter().filter(|n| (1..w.clients).contains(n));
            fewer.map(|clients| Workload { clients, ..*w }).collect()
        }),
        ("lower rate", |w| {
            let rates = [1, 5, 20, w.commits_per_s / 2].into_iter().filter(|rate| *rate < w.commits_per_s);
            rates.map(|commits_per_s| Workload { commits_per_s, ..*w }).collect()
        }),
        ("no interactive transactions", |w| vec![Workload { interactive_percent: 0, ..*w }]),
        ("all transactions write", |w| vec![Workload { read_only_percent: 0, ..*w }]),
        ("no transactions rolled back", |w| vec![Workload { rollback_percent: 0, ..*w }]),
        ("no lists", |w| vec![Workload { lists: 0, ..*w }]),
        ("fewer accounts", |w| {
            [2, 4, w.accounts / 2]
                .into_iter()
                .filter(|n| *n < w.accounts)
                .map(|accounts| Workload { accounts, ..*w })
                .collect()
        }),
        ("clients until the end", |w| vec![Workload { stop: None, ..*w }]),
        ("usual start and patience", |w| {
            let Workload { start, call_timeout, .. } = Workload::default();
            vec![Workload { start, call_timeout, ..*w }]
        }),
    ];
    for (what, alternatives) in questions {
        let Some(workload) = s.plan.workload else { return };
        let candidates = alternatives(&workload)
            .into_iter()
            .map(|workload| Scenario { workload: Some(workload), ..s.plan.clone() })
            .collect();
        s.take(what, candidates);
    }
}

fn session(s: &mut Shrinker<'_>) {
    let with = |plan: &Scenario, change: &dyn Fn(&mut Scenario)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan
    };
    let full = with(&s.plan, &|plan| plan.session.safety = SafetyDecl::Full);
    s.take("safety FULL", vec![full]);
    let usual = with(&s.plan, &|plan| plan.session.timeout_s = 10);
    s.take("usual time-out period", vec![usual]);
    let apart = with(&s.plan, &|plan| plan.instances.iter_mut().for_each(|i| i.host = None));
    s.take("a host for each instance", vec![apart]);
}

/// Instances that are no partner go, with the steps about them.
fn instances(s: &mut Shrinker<'_>) {
    let session = &s.plan.session;
    let partners = [session.principal.clone(), session.mirror.clone()];
    let others = s.plan.instances.iter().map(|i| i.name.clone()).filter(|name| !partners.contains(name));
    for name in others.collect::<Vec<_>>() {
        let mut plan = s.plan.clone();
        let hosts: Vec<String> = crate::validate::hosts(&plan).into_iter().map(str::to_owned).collect();
        let host = plan.instances.iter().position(|i| i.name == name).map(|i| hosts[i].clone());
        plan.instances.retain(|i| i.name != name);
        let host = host.filter(|host| hosts.iter().filter(|other| *other == host).count() == 1);
        if let Some(host) = &host {
            plan.clocks.remove(host);
        }
        if plan.session.witness.as_deref() == Some(name.as_str()) {
            plan.session.witness = None;
        }
        let steps = plan.timeline.len();
        let is_about =
            |step: &Step| mentions(step, &name) || host.as_ref().is_some_and(|host| mentions(step, host));
        let about = (0..steps).filter(|i| is_about(&plan.timeline[*i])).collect();
        let what = format!("without {name}");
        s.take(&what, vec![edit::without(&plan, &about)]);
    }
}

/// Is the name anywhere in the step? Read from its text: a name that is part of another word costs one candidate.
fn mentions(step: &Step, name: &str) -> bool {
    serde_json::to_string(step)
        .is_ok_and(|text| text.contains(&format!("\"{name}\"")) || text.contains(&format!("{name}:")))
}

/// Plainer actions; a fault and its repair together.
pub fn actions(s: &mut Shrinker<'_>) {
    let mut i = 0;
    while i < s.plan.timeline.len() {
        let pair = edit::pairs(&s.plan.timeline).into_iter().find(|(fault, _)| *fault == i);
        let mut candidates = Vec::new();
        for fault in plainer(&s.plan.timeline[i].action, &s.plan) {
            let mut plan = s.plan.clone();
            plan.timeline[i].action = fault.clone();
            if let Some((_, j)) = pair {
                let repair = &mut plan.timeline[j].action;
                *repair = repair_of(&fault, repair);
            }
            candidates.push(plan);
        }
        // What became plainer may become plainer still.
        if s.take("a plainer action", candidates).is_none() {
            i += 1;
        }
    }
}

/// Actions that do less, or are easier to picture, than `action`.
fn plainer(action: &Action, plan: &Scenario) -> Vec<Action> {
    match action {
        Action::HostDown(host) => {
            let hosts = crate::validate::hosts(plan);
            let on = (0..hosts.len()).filter(|i| hosts[*i] == host);
            on.map(|i| Action::Crash(plan.instances[i].name.clone())).collect()
        }
        Action::RestartLoop { instance, times, up, down } => {
            let again =
                |times| Action::RestartLoop { instance: instance.clone(), times, up: *up, down: *down };
            let fewer = [1, 2, times / 2].into_iter().filter(|n| (1..*times).contains(n));
            fewer.map(again).collect()
        }
        Action::Stall(path) => {
            let mut all = vec![Action::Cut(path.clone())];
            all.extend(one_way(path).into_iter().map(Action::Stall));
            all
        }
        Action::Cut(path) => one_way(path).into_iter().map(Action::Cut).collect(),
        Action::Refuse(path) => one_way(path).into_iter().map(Action::Refuse).collect(),
        Action::Slow { path, by, jitter } => {
            let slow = |path: Path, by, jitter| Action::Slow { path, by, jitter };
            let mut all = vec![slow(path.clone(), *by, Time(0))];
            all.extend(one_way(path).into_iter().map(|path| slow(path, *by, *jitter)));
            all.extend(rounder(*by).into_iter().map(|by| slow(path.clone(), by, *jitter)));
            all.extend(rounder(*jitter).into_iter().map(|jitter| slow(path.clone(), *by, jitter)));
            all
        }
        Action::Throttle { path, bytes_s } => {
            let throttle = |path: Path, bytes_s| Action::Throttle { path, bytes_s };
            let round = [1_000_000, 100_000, 10_000, 1_000].map(|unit| bytes_s / unit * unit);
            let round =
                round.into_iter().filter(|n| *n > 0 && n != bytes_s).map(|n| throttle(path.clone(), n));
            one_way(path).into_iter().map(|path| throttle(path, *bytes_s)).chain(round).collect()
        }
        Action::Corrupt { path, one_in } => {
            let corrupt = |path: Path, one_in| Action::Corrupt { path, one_in };
            let every = (*one_in > 1).then(|| corrupt(path.clone(), 1));
            one_way(path).into_iter().map(|path| corrupt(path, *one_in)).chain(every).collect()
        }
        Action::SlowStart { path, by } => {
            let slow = |path: Path, by| Action::SlowStart { path, by };
            let mut all: Vec<Action> = one_way(path).into_iter().map(|path| slow(path, *by)).collect();
            all.extend(rounder(*by).into_iter().map(|by| slow(path.clone(), by)));
            all
        }
        Action::DiskSlow { instance, by } => {
            rounder(*by).into_iter().map(|by| Action::DiskSlow { instance: instance.clone(), by }).collect()
        }
        Action::DiskFail(instance) => vec![Action::DiskError { instance: instance.clone(), count: 1 }],
        Action::DiskError { instance, count } => {
            let fewer = [1, 2, count / 2].into_iter().filter(|n| (1..*count).contains(n));
            fewer.map(|count| Action::DiskError { instance: instance.clone(), count }).collect()
        }
        Action::SlowCpu { instance, by } => {
            rounder(*by).into_iter().map(|by| Action::SlowCpu { instance: instance.clone(), by }).collect()
        }
        Action::ClockStep { host, ms } => {
            let step = |unit: i64| Action::ClockStep { host: host.clone(), ms: ms / unit * unit };
            [3_600_000, 60_000, 1_000].map(step).into_iter().filter(|a| a != action).collect()
        }
        Action::Crash(_)
        | Action::Restart(_)
        | Action::HostUp(_)
        | Action::Pause(_)
        | Action::Unpause(_)
        | Action::Reset(_)
        | Action::Heal(_)
        | Action::DiskStall(_)
        | Action::DiskFull(_)
        | Action::DiskLie(_)
        | Action::Misdirect { .. }
        | Action::Rot { .. }
        | Action::DiskHeal(_)
        | Action::FastCpu(_)
        | Action::ClockRate { .. }
        | Action::ClockFreeze { .. }
        | Action::HealAll
        | Action::Sql { .. }
        | Action::Inject { .. } => Vec::new(),
    }
}

/// The directions of a path that has both, one by one.
fn one_way(path: &Path) -> Vec<Path> {
    let forth = Path { both: false, ..path.clone() };
    let back = Path { from: path.to.clone(), to: path.from.clone(), both: false };
    if path.both { vec![forth, back] } else { Vec::new() }
}

/// Times that are near `time` and easier to read.
fn rounder(time: Time) -> Vec<Time> {
    let digits = |time: Time| time.to_string().len();
    let round = UNITS.iter().map(|unit| rounded(time, *unit).max(*unit));
    round.filter(|round| digits(*round) < digits(time)).collect()
}

/// The repair that belongs to `fault`, which took the place of the one that `repair` lifted.
fn repair_of(fault: &Action, repair: &Action) -> Action {
    match (fault, repair) {
        (Action::Crash(name), Action::HostUp(_)) => Action::Restart(name.clone()),
        (
            Action::Cut(path)
            | Action::Stall(path)
            | Action::Refuse(path)
            | Action::Slow { path, .. }
            | Action::Throttle { path, .. }
            | Action::Corrupt { path, .. }
            | Action::SlowStart { path, .. },
            Action::Heal(_),
        ) => Action::Heal(path.clone()),
        (Action::ClockStep { ms, .. }, Action::ClockStep { host, .. }) => {
            Action::ClockStep { host: host.clone(), ms: -ms }
        }
        _ => repair.clone(),
    }
}

/// Shorter pauses between steps, shorter faults, earlier occurrences.
pub fn times(s: &mut Shrinker<'_>) {
    gaps(s);
    lengths(s);
    round(s);
    occurrences(s);
}

/// Times that are easier to read, and an end of the run on a whole second.
pub fn round(s: &mut Shrinker<'_>) {
    for unit in UNITS {
        let round = |before: &Scenario, only: Option<usize>| {
            let mut plan = before.clone();
            for (i, step) in plan.timeline.iter_mut().enumerate() {
                if only.is_none_or(|only| only == i) {
                    step.at = step.at.map(|at| rounded(at, unit).min(plan.duration));
                    step.delay = step.delay.map(|delay| rounded(delay, unit).max(unit));
                }
            }
            let plan = sorted(plan);
            // A fault that is over at once is no rounder, only stranger.
            if at_once(&plan) > at_once(before) { before.clone() } else { plan }
        };
        // All at once, or else each for itself.
        if s.take("round times", vec![round(&s.plan, None)]).is_none() {
            for i in 0..s.plan.timeline.len() {
                let step = &s.plan.timeline[i];
                let is_round = |time: Option<Time>| time.is_none_or(|t| t.0.is_multiple_of(unit.0));
                if !is_round(step.at) || !is_round(step.delay) {
                    s.take("a round time", vec![round(&s.plan, Some(i))]);
                }
            }
        }
    }
    // Some milliseconds more are easier to read.
    for unit in &UNITS[..2] {
        if !s.plan.duration.0.is_multiple_of(Time::secs(1).0) {
            let duration = rounded_up(s.plan.duration, *unit);
            s.take("a round end", vec![Scenario { duration, ..s.plan.clone() }]);
        }
    }
}

/// Faults that are lifted at the moment at which they begin.
fn at_once(plan: &Scenario) -> usize {
    let at = |i: usize| plan.timeline[i].at;
    let same = |(fault, repair): &(usize, usize)| at(*fault).is_some() && at(*fault) == at(*repair);
    edit::pairs(&plan.timeline).iter().filter(|pair| same(pair)).count()
}

/// Less time between a step and the one before it: everything from there on comes earlier.
fn gaps(s: &mut Shrinker<'_>) {
    for i in 0..s.plan.timeline.len() {
        let Some(at) = s.plan.timeline[i].at else { continue };
        let before = s.plan.timeline[..i].iter().filter_map(|step| step.at).max().unwrap_or_default();
        let gap = Time(at.0 - before.0.min(at.0));
        let candidates = shorter(gap).into_iter().map(|left| earlier_from(&s.plan, i, Time(gap.0 - left.0)));
        let candidates = candidates.collect();
        s.take("less time before a step", candidates);
    }
}

/// Shorter faults: the repair comes earlier, everything else stays.
fn lengths(s: &mut Shrinker<'_>) {
    for k in 0.. {
        let pairs = edit::pairs(&s.plan.timeline);
        let Some((fault, repair)) = pairs.get(k).copied() else { return };
        let (Some(from), Some(to)) = (s.plan.timeline[fault].at, s.plan.timeline[repair].at) else {
            continue;
        };
        let repaired = |length: Time| {
            let mut plan = s.plan.clone();
            plan.timeline[repair].at = Some(from + length);
            sorted(plan)
        };
        let candidates = shorter(Time(to.0 - from.0)).into_iter().map(repaired).collect();
        s.take("a shorter fault", candidates);
    }
}

/// Lengths to try instead of `length`: those that save at least a tenth, and its half.
fn shorter(length: Time) -> Vec<Time> {
    let mut all: BTreeSet<Time> = LENGTHS.into_iter().filter(|l| l.0 < length.0 / 10 * 9).collect();
    if length > Time::secs(1) {
        all.insert(rounded(Time(length.0 / 2), Time::millis(100)));
    }
    all.into_iter().collect()
}

/// The first occurrence instead of a later one; at once instead of later.
pub fn occurrences(s: &mut Shrinker<'_>) {
    for i in 0..s.plan.timeline.len() {
        let with = |plan: &Scenario, change: &dyn Fn(&mut Step)| {
            let mut plan = plan.clone();
            change(&mut plan.timeline[i]);
            plan
        };
        if s.plan.timeline[i].after_step.is_some() {
            s.take("waits for no other step", vec![with(&s.plan, &|step| step.after_step = None)]);
        }
        if s.plan.timeline[i].until.is_some() {
            s.take("waits as long as it takes", vec![with(&s.plan, &|step| step.until = None)]);
        }
        if let Some(nth) = s.plan.timeline[i].nth {
            let fewer: BTreeSet<u32> = [2, nth / 2, nth.saturating_sub(1)].into_iter().collect();
            let fewer = fewer.into_iter().filter(|n| *n > 1 && *n < nth);
            let mut candidates = vec![with(&s.plan, &|step| step.nth = None)];
            candidates.extend(fewer.map(|n| with(&s.plan, &|step| step.nth = Some(n))));
            s.take("an earlier occurrence", candidates);
        }
        if let Some(delay) = s.plan.timeline[i].delay {
            let mut candidates = vec![with(&s.plan, &|step| step.delay = None)];
            candidates
                .extend(shorter(delay).into_iter().map(|d| with(&s.plan, &|step| step.delay = Some(d))));
            s.take("a shorter delay", candidates);
        }
    }
}
