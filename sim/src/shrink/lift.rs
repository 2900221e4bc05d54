//! Exact times become triggers: a crash at 12.345 s is an accident of one seed, a crash when a claim has become durable
//! is what the failure is about.
//!
//! A run of the plan shows what happened just before each step. Each of these moments is a candidate, named steps of the
//! protocol first. A candidate has to fail for the plan's own seed; then the form that fails for more of five other seeds
//! is kept, and between equals a named step wins over a time.

use super::{Shrinker, edit};
use crate::moments::{Seen, What};
use crate::scenario::{Scenario, Step, Trigger};
use crate::time::Time;

/// Other seeds that a form is tried with.
const SEEDS: u64 = 5;
/// How far back a moment may lie that a step happens at.
const JUST_BEFORE: Time = Time::millis(500);
/// How far back a moment may lie that a step happens some time after.
const LONG_BEFORE: Time = Time::secs(30);
/// By then the processes that start with the run have started.
const BOOTED: Time = Time::millis(100);
/// Candidates that are run for a step.
const CANDIDATES: usize = 12;
/// Of those that fail, so many are tried with other seeds.
const FINALISTS: usize = 4;

/// Every step with a time, the first one first: later ones may then wait for it.
pub fn triggers(s: &mut Shrinker<'_>) {
    for i in 0..s.plan.timeline.len() {
        if s.over() {
            return;
        }
        // A repair has gone with its fault.
        if s.plan.timeline[i].at.is_some() {
            lift(s, i);
        }
    }
}

/// A form of the plan in which a step waits for something.
#[derive(Clone)]
struct Form {
    plan: Scenario,
    what: String,
    /// Easy to read: at a named moment that comes early, not some time after it.
    plain: bool,
}

fn lift(s: &mut Shrinker<'_>, step: usize) {
    let Some(outcome) = s.observe() else { return };
    let mut forms = forms(&s.plan, step, &outcome.moments);
    forms.truncate(CANDIDATES);
    let failing: Vec<Form> = s.failing(forms, |form| &form.plan).into_iter().take(FINALISTS).collect();
    if failing.is_empty() || s.over() {
        return;
    }
    let own = crate::plan::default_seed(&s.plan);
    let seeds: Vec<u64> = (1..=SEEDS).map(|more| own.wrapping_add(more)).collect();
    let at_time = s.plan.clone();
    let score = s.failing_seeds(&at_time, &seeds);
    let mut best: Option<(usize, Form)> = None;
    for form in failing {
        let failed = s.failing_seeds(&form.plan, &seeds);
        let better = match &best {
            Some((most, _)) => failed > *most,
            None => failed > score || (failed == score && form.plain),
        };
        if better {
            best = Some((failed, form));
        }
        if failed == seeds.len() {
            break;
        }
    }
    if let Some((failed, form)) = best {
        let what =
            format!("{}: fails for {failed} of {SEEDS} other seeds, with a time for {score}", form.what);
        s.keep(&what, form.plan);
    }
}

/// The forms of `plan` in which `step` waits for a moment before the one at which it was performed; the best first.
fn forms(plan: &Scenario, step: usize, seen: &[Seen]) -> Vec<Form> {
    let Some(place) = seen.iter().position(|s| s.what == What::Step(step)) else { return Vec::new() };
    let at = seen[place].at;
    let mut ranked: Vec<((u8, u32, usize), Form)> = Vec::new();
    let mut known: Vec<&Trigger> = Vec::new();
    for (i, moment) in seen[..place].iter().enumerate().rev() {
        if moment.at + LONG_BEFORE < at {
            break;
        }
        let What::Occurred(trigger) = &moment.what else { continue };
        let class = class(trigger);
        // That everybody is started at the beginning says less than a time.
        if matches!(trigger, Trigger::Started { .. }) && moment.at < BOOTED {
            continue;
        }
        let just_before = moment.at + JUST_BEFORE >= at;
        if known.contains(&trigger) || (class > NAMED && !just_before) {
            continue;
        }
        known.push(trigger);
        let (nth, after_step) = occurrence(seen, i, trigger, step);
        let waits = Step {
            at: None,
            on: Some(trigger.clone()),
            nth: (nth > 1).then_some(nth),
            after_step,
            ..plan.timeline[step].clone()
        };
        let later = Time(at.0 - moment.at.0);
        let delays = if just_before { vec![None, Some(later)] } else { vec![Some(later)] };
        for delay in delays.into_iter().filter(|delay| *delay != Some(Time(0))) {
            // A delay is only worth it with a name to it.
            if delay.is_some() && class > NAMED {
                continue;
            }
            let delay = delay.map(round_delay);
            let form = form(
                plan,
                step,
                &Step { delay, ..waits.clone() },
                class <= NAMED && nth <= 2 && delay.is_none(),
            );
            ranked.push(((class + 2 * u8::from(delay.is_some()), nth, place - i), form));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, form)| form).collect()
}

/// To a tenth of a second when it is longer than that.
fn round_delay(delay: Time) -> Time {
    let unit = if delay > Time::secs(1) { Time::millis(100) } else { Time::millis(1) };
    edit::rounded(delay, unit).max(unit)
}

/// `plan` with `waits` in the place of `step`, and its repair as much later as it was.
fn form(plan: &Scenario, step: usize, waits: &Step, plain: bool) -> Form {
    let mut plan = plan.clone();
    let repair = edit::pairs(&plan.timeline).into_iter().find(|(fault, _)| *fault == step);
    if let Some((_, repair)) = repair
        && let (Some(from), Some(to)) = (plan.timeline[step].at, plan.timeline[repair].at)
    {
        let delay = Time(to.0 - from.0) + waits.delay.unwrap_or_default();
        let action = plan.timeline[repair].action.clone();
        let delay = (delay > Time(0)).then_some(delay);
        plan.timeline[repair] = Step { action, delay, ..waits.clone() };
    }
    plan.timeline[step] = waits.clone();
    let on = waits.on.as_ref().and_then(|trigger| serde_json::to_string(trigger).ok()).unwrap_or_default();
    Form { plan, what: format!("step {step} waits for {on}"), plain }
}

/// Which occurrence of `trigger` the one at `place` is: since the start, or since the step performed last before it if
/// that is a smaller number.
fn occurrence(seen: &[Seen], place: usize, trigger: &Trigger, step: usize) -> (u32, Option<usize>) {
    let count = |from: usize| {
        seen[from..=place].iter().filter(|s| matches!(&s.what, What::Occurred(t) if t == trigger)).count()
            as u32
    };
    let all = count(0);
    let anchor = seen[..place].iter().enumerate().rev().find_map(|(i, s)| match s.what {
        What::Step(other) if other != step => Some((i, other)),
        What::Step(_) | What::Occurred(_) => None,
    });
    match anchor {
        Some((from, other)) if all > 1 && count(from) < all => (count(from), Some(other)),
        Some(_) | None => (all, None),
    }
}

/// Triggers up to this class have a name that says what goes on.
const NAMED: u8 = 1;

/// How much a trigger says; less is more.
fn class(trigger: &Trigger) -> u8 {
    match trigger {
        Trigger::Reached { .. } => 0,
        Trigger::Role { .. }
        | Trigger::State { .. }
        | Trigger::Serving { .. }
        | Trigger::Started { .. }
        | Trigger::Event { .. } => 1,
        Trigger::Sent { frame, .. } | Trigger::Delivered { frame, .. } => {
            // These never cease; which one it was says nothing.
            if ROUTINE.contains(&frame.as_str()) { 4 } else { 2 }
        }
        Trigger::DiskIssued { file, .. } | Trigger::DiskDone { file, .. } => {
            if file == "record" {
                2
            } else {
                3
            }
        }
    }
}

const ROUTINE: [&str; 3] = ["ping", "log_block", "log_ack"];
