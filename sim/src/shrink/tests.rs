//! Shrinking with stand-ins for a run: what fails is known beforehand, and so is what has to be left of it.

use super::*;
use crate::fault::{Action, Path};
use crate::moments::{Seen, What};
use crate::read::tests::small;
use crate::report::Violation;
use crate::scenario::{Condition, Expectation, Step, Trigger, Workload};
use std::sync::Mutex;

fn at(ms: u64, action: Action) -> Step {
    let at = Some(Time::millis(ms));
    Step { at, between: None, on: None, nth: None, after_step: None, delay: None, until: None, action }
}

fn on(trigger: Trigger, after_step: Option<usize>, action: Action) -> Step {
    Step { at: None, on: Some(trigger), after_step, ..at(0, action) }
}

fn crash(name: &str) -> Action {
    Action::Crash(name.into())
}

fn restart(name: &str) -> Action {
    Action::Restart(name.into())
}

fn cut(from: &str, to: &str) -> Action {
    Action::Cut(Path { from: from.into(), to: to.into(), both: true })
}

fn sql(text: &str) -> Action {
    Action::Sql { on: "A".into(), text: text.into(), error: Some(-1) }
}

/// A statement that is told apart by its number.
fn statement(n: u32) -> Action {
    sql(&format!("ALTER DATABASE sales SET PARTNER TIMEOUT {}", 10 + n))
}

/// A plan of a minute with these steps.
fn plan(timeline: Vec<Step>) -> Scenario {
    let plan = Scenario {
        seed: Some(7),
        duration: Time::secs(60),
        workload: Some(Workload::default()),
        timeline,
        ..small()
    };
    assert_eq!(validate::check(&plan), []);
    plan
}

fn twelve() -> Scenario {
    plan((0..12).map(|n| at(1_000 + 137 * u64::from(n), statement(n))).collect())
}

fn broken(invariant: &'static str, rule: &str) -> Violation {
    Violation { invariant, rule: rule.into(), at: Time::secs(5), what: "it is so".into() }
}

fn outcome(violations: impl IntoIterator<Item = Violation>) -> Outcome {
    Outcome { violations: violations.into_iter().collect(), end: Time::secs(60), ..Outcome::default() }
}

fn has(plan: &Scenario, action: &Action) -> bool {
    plan.timeline.iter().any(|step| step.action == *action)
}

/// Fails with `roles INV-1` when `fails` says so.
fn runner(fails: impl Fn(&Scenario) -> bool + Sync) -> impl Fn(&Scenario, &Options) -> Outcome + Sync {
    move |plan, _| outcome(fails(plan).then(|| broken("roles", "INV-1")))
}

fn shrunk(plan: &Scenario, fails: impl Fn(&Scenario) -> bool + Sync) -> Shrunk {
    let result = shrink(plan, "roles INV-1", &runner(fails), &Budget::default()).expect("it fails");
    assert_eq!(validate::check(&result.plan), []);
    assert_eq!(result.plan.seed, plan.seed);
    result
}

fn actions(plan: &Scenario) -> Vec<Action> {
    plan.timeline.iter().map(|step| step.action.clone()).collect()
}

#[test]
fn exactly_the_needed_steps_remain() {
    let needs = |plan: &Scenario| has(plan, &statement(3)) && has(plan, &statement(7));
    assert_eq!(actions(&shrunk(&twelve(), needs).plan), [statement(3), statement(7)]);
}

#[test]
fn a_failure_that_needs_nothing_becomes_a_plan_with_nothing() {
    let plan = shrunk(&twelve(), |_| true).plan;
    assert_eq!((plan.timeline.len(), plan.workload), (0, None));
    assert_eq!(plan.session.witness, None);
    assert_eq!(plan.instances.len(), 2);
}

#[test]
fn a_failure_that_needs_everything_keeps_it() {
    let all = twelve();
    let plan = shrunk(&all, |plan| plan.timeline.len() == 12).plan;
    assert_eq!(actions(&plan), actions(&all));
}

/// Only plans in which every crash is followed by a restart fail, so neither can go alone.
#[test]
fn a_fault_goes_together_with_its_repair() {
    let timeline = vec![
        at(1_000, crash("A")),
        at(2_000, cut("A", "B")),
        at(3_000, restart("A")),
        at(4_000, crash("B")),
        at(5_000, Action::Heal(Path { from: "B".into(), to: "A".into(), both: true })),
        at(6_000, restart("B")),
        at(7_000, Action::HealAll),
    ];
    let balanced = |plan: &Scenario| {
        let count = |wanted: fn(&Action) -> bool| actions(plan).iter().filter(|a| wanted(a)).count();
        let crashes = count(|a| matches!(a, Action::Crash(_)));
        let cuts = count(|a| matches!(a, Action::Cut(_)));
        crashes == count(|a| matches!(a, Action::Restart(_)))
            && cuts == count(|a| matches!(a, Action::Heal(_)))
            && has(plan, &crash("B"))
    };
    assert_eq!(actions(&shrunk(&plan(timeline), balanced).plan), [crash("B"), restart("B")]);
}

#[test]
fn a_repair_that_nobody_needs_goes_alone() {
    let timeline = vec![at(1_000, crash("A")), at(9_000, restart("A")), at(20_000, Action::HealAll)];
    assert_eq!(actions(&shrunk(&plan(timeline), |plan| has(plan, &crash("A"))).plan), [crash("A")]);
}

#[test]
fn references_between_steps_follow_removals() {
    let started = || Trigger::Started { instance: "B".into() };
    let mut timeline: Vec<Step> = (0..6).map(|n| at(1_000 + u64::from(n), statement(n))).collect();
    timeline.push(on(started(), Some(4), crash("A")));
    let waits_for_four = |plan: &Scenario| {
        let anchor = plan.timeline.iter().find(|s| s.action == crash("A")).and_then(|s| s.after_step);
        anchor.is_some_and(|anchor| plan.timeline[anchor].action == statement(4))
    };
    let plan = shrunk(&plan(timeline), waits_for_four).plan;
    assert_eq!(actions(&plan), [statement(4), crash("A")]);
    assert_eq!(plan.timeline[1].after_step, Some(0));
}

#[test]
fn a_step_whose_reference_is_removed_waits_for_nobody() {
    let started = Trigger::Started { instance: "B".into() };
    let timeline = vec![at(1_000, statement(0)), on(started, Some(0), crash("A"))];
    let plan = shrunk(&plan(timeline), |plan| has(plan, &crash("A"))).plan;
    assert_eq!((plan.timeline.len(), plan.timeline[0].after_step), (1, None));
}

/// With fewer than seven steps something else fails, which does not count.
#[test]
fn another_failure_is_not_accepted() {
    let run = |plan: &Scenario, _: &Options| {
        let rule = if plan.timeline.len() < 7 { "INV-3" } else { "INV-1" };
        outcome([broken("roles", rule)])
    };
    let result = shrink(&twelve(), "roles INV-1", &run, &Budget::default()).expect("it fails");
    assert_eq!(result.plan.timeline.len(), 7);
}

#[test]
fn a_panic_is_kept_apart_from_other_panics() {
    let run = |plan: &Scenario, _: &Options| {
        assert!(has(plan, &statement(3)), "another one");
        assert!(!has(plan, &statement(5)), "step {} is cursed", plan.timeline.len());
        Outcome::default()
    };
    let signature = "panic sim/src/shrink/tests.rs: step # is cursed";
    let result = shrink(&twelve(), signature, &run, &Budget::default()).expect("it fails");
    assert_eq!(actions(&result.plan), [statement(3), statement(5)]);
}

#[test]
fn what_does_not_fail_is_refused() {
    let run = runner(|plan| plan.timeline.len() > 3);
    let refused = |plan: &Scenario, signature| {
        shrink(plan, signature, &run, &Budget::default()).expect_err("it does not fail").to_string()
    };
    assert_eq!(
        refused(&plan(Vec::new()), "roles INV-1"),
        "does not fail with `roles INV-1`; everything holds"
    );
    assert_eq!(refused(&twelve(), "data SUM"), "does not fail with `data SUM`; it fails with roles INV-1");
    assert!(refused(&small(), "roles INV-1").contains("is no plan"));
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let fails = |plan: &Scenario| has(plan, &statement(2)) && !plan.timeline.len().is_multiple_of(5);
    let with = |jobs| {
        let budget = Budget { jobs, ..Budget::default() };
        shrink(&twelve(), "roles INV-1", &runner(fails), &budget).expect("it fails")
    };
    let alone = with(1);
    assert!(alone.runs > 10);
    assert_eq!(with(1), alone);
    assert_eq!(with(2), alone);
    assert_eq!(with(7), alone);
}

#[test]
fn the_number_of_runs_is_bounded_and_what_was_found_by_then_is_kept() {
    let fails = |plan: &Scenario| has(plan, &statement(2)) && has(plan, &statement(9));
    for (runs, jobs) in [(1, 1), (4, 1), (4, 3), (9, 2)] {
        let ran = Mutex::new(0_u32);
        let counted = |plan: &Scenario, _: &Options| {
            *ran.lock().expect("nobody panicked") += 1;
            outcome(fails(plan).then(|| broken("roles", "INV-1")))
        };
        let budget = Budget { runs, jobs, ..Budget::default() };
        let result = shrink(&twelve(), "roles INV-1", &counted, &budget).expect("it fails");
        assert!(result.exhausted && result.runs <= runs, "{} of {runs}", result.runs);
        assert!(fails(&result.plan));
        // Ahead of need, and the first one twice: to see all that fails, and to see when.
        assert!(*ran.lock().expect("nobody panicked") <= runs + jobs as u32 * 3);
    }
}

#[test]
fn the_run_ends_just_after_the_failure_and_times_are_round() {
    let late = at(47_113, crash("A"));
    let plan = plan(vec![late, at(58_501, restart("A"))]);
    let run = |plan: &Scenario, _: &Options| {
        let crashed = plan.timeline.iter().find(|s| s.action == crash("A")).and_then(|s| s.at);
        // The instance needs three seconds before, and is missed two seconds later.
        let fails = crashed.filter(|at| *at >= Time::secs(3) && plan.duration >= *at + Time::secs(2));
        outcome(fails.map(|at| Violation { at: at + Time::secs(2), ..broken("roles", "INV-1") }))
    };
    let plan = shrink(&plan, "roles INV-1", &run, &Budget::default()).expect("it fails").plan;
    assert_eq!(plan.timeline, [at(5_000, crash("A"))]);
    assert_eq!(plan.duration, Time::secs(7));
}

#[test]
fn faults_become_shorter_and_plainer() {
    let path = Path { from: "A".into(), to: "W".into(), both: true };
    let timeline = vec![
        at(10_000, Action::HostDown("B".into())),
        at(20_000, Action::Stall(path.clone())),
        at(41_777, Action::HostUp("B".into())),
        at(55_000, Action::Heal(path)),
    ];
    let needs = |plan: &Scenario| {
        let gone = |action: &Action| matches!(action, Action::HostDown(b) | Action::Crash(b) if b == "B");
        let back = |action: &Action| matches!(action, Action::HostUp(b) | Action::Restart(b) if b == "B");
        let when = |wanted: &dyn Fn(&Action) -> bool| {
            plan.timeline.iter().find(|s| wanted(&s.action)).and_then(|s| s.at)
        };
        let long = when(&gone).zip(when(&back)).is_some_and(|(from, to)| to >= from + Time::secs(4));
        long && when(&|a| matches!(a, Action::Cut(p) | Action::Stall(p) if p.from == "A")).is_some()
    };
    let plan = shrunk(&plan(timeline), needs).plan;
    let (crashed, back) = (plan.timeline[0].at, plan.timeline[2].at);
    let one_way = Action::Cut(Path { from: "A".into(), to: "W".into(), both: false });
    assert_eq!(actions(&plan), [crash("B"), one_way, restart("B")]);
    assert_eq!(back, crashed.map(|at| at + Time::secs(5)));
}

#[test]
fn a_fault_is_not_rounded_away() {
    let timeline = vec![at(10_003, crash("A")), at(10_444, restart("A"))];
    let plan = shrunk(&plan(timeline), |plan| has(plan, &crash("A")) && has(plan, &restart("A"))).plan;
    let times: Vec<Option<Time>> = plan.timeline.iter().map(|step| step.at).collect();
    assert!(times.len() == 2 && times[0] < times[1], "{times:?}");
}

#[test]
fn clients_rates_and_profiles_become_as_small_as_they_can() {
    let mut large = plan(vec![at(1_000, crash("A"))]);
    large.workload = Some(Workload { clients: 9, commits_per_s: 200, ..Workload::default() });
    large.disk.flush.max = Time::millis(333);
    large.session.timeout_s = 17;
    let plan = shrunk(&large, |plan| {
        plan.workload.is_some_and(|w| w.clients >= 2 && w.interactive_percent > 0)
            && plan.session.witness.is_some()
    });
    let w = plan.plan.workload.expect("clients are needed");
    assert_eq!((w.clients, w.commits_per_s, w.read_only_percent, w.interactive_percent), (2, 1, 0, 30));
    assert_eq!((plan.plan.disk, plan.plan.session.timeout_s), (crate::scenario::DiskProfile::default(), 10));
    assert_eq!(plan.plan.clock_rate_ppm_max, 0);
    assert_eq!(plan.plan.session.witness.as_deref(), Some("W"));
}

#[test]
fn an_occurrence_becomes_the_first_one_that_still_fails() {
    let mut step = on(Trigger::Started { instance: "B".into() }, None, crash("A"));
    step.nth = Some(9);
    step.delay = Some(Time::millis(7_654));
    let plan = shrunk(&plan(vec![step]), |plan| {
        plan.timeline.first().is_some_and(|s| s.nth.unwrap_or(1) >= 2 && s.delay >= Some(Time::millis(900)))
    });
    let step = &plan.plan.timeline[0];
    assert_eq!((step.nth, step.delay), (Some(2), Some(Time::secs(1))));
}

fn reached_armed() -> Trigger {
    Trigger::Reached { instance: "B".into(), step: "armed".into() }
}

/// Runs in which B becomes armed a little before the crash, which `fails` judges by its step.
fn armed(fails: impl Fn(&Scenario, &Step) -> bool + Sync) -> impl Fn(&Scenario, &Options) -> Outcome + Sync {
    move |plan, options| {
        let ping = Trigger::Sent { frame: "ping".into(), from: "A".into(), to: "B".into() };
        let Some(i) = plan.timeline.iter().position(|s| s.action == crash("A")) else {
            return Outcome::default();
        };
        let seen = |ms, what| Seen { at: Time::millis(ms), what };
        let moments = vec![
            seen(10, What::Occurred(Trigger::Started { instance: "B".into() })),
            seen(4_900, What::Occurred(ping.clone())),
            seen(4_950, What::Occurred(reached_armed())),
            seen(4_960, What::Occurred(ping)),
            seen(5_000, What::Step(i)),
        ];
        let moments = if options.moments { moments } else { Vec::new() };
        let failed = fails(plan, &plan.timeline[i]).then(|| broken("roles", "INV-1"));
        Outcome { moments, ..outcome(failed) }
    }
}

#[test]
fn a_time_becomes_the_trigger_that_fails_for_more_seeds() {
    let plan = plan(vec![at(5_000, crash("A")), at(9_000, restart("A"))]);
    let run = armed(|plan, crash| {
        crash.on == Some(reached_armed()) || crash.at >= Some(Time::secs(5)) && plan.seed == Some(7)
    });
    let result = shrink(&plan, "roles INV-1", &run, &Budget::default()).expect("it fails");
    let step = &result.plan.timeline[0];
    assert_eq!(step.on, Some(reached_armed()));
    assert_eq!((step.at, step.nth, step.after_step, step.delay), (None, None, None, None));
    let change = result.history.iter().find(|c| c.what.contains("armed")).expect("it is told");
    assert!(change.what.ends_with("fails for 5 of 5 other seeds, with a time for 0"), "{}", change.what);
}

#[test]
fn a_trigger_that_fails_for_fewer_seeds_is_not_taken() {
    let plan = plan(vec![at(5_000, crash("A"))]);
    let run = armed(|plan, crash| match crash.at {
        Some(at) => at >= Time::secs(5) && plan.seed != Some(9),
        None => plan.seed == Some(7),
    });
    let result = shrink(&plan, "roles INV-1", &run, &Budget::default()).expect("it fails");
    assert_eq!((result.plan.timeline[0].at, &result.plan.timeline[0].on), (Some(Time::secs(5)), &None));
}

/// The restart is needed, and needed after the crash, which may come at another time with another seed.
#[test]
fn a_repair_waits_for_the_same_trigger_as_its_fault() {
    let plan = plan(vec![at(5_000, crash("A")), at(9_000, restart("A"))]);
    let run = armed(|plan, crash| {
        let Some(back) = plan.timeline.iter().find(|s| s.action == restart("A")) else { return false };
        match crash.at {
            Some(at) => at >= Time::secs(5) && back.at >= Some(at + Time::secs(1)),
            None => back.delay >= Some(Time::secs(1)) || back.at >= Some(Time::secs(6)),
        }
    });
    let steps = shrink(&plan, "roles INV-1", &run, &Budget::default()).expect("it fails").plan.timeline;
    let [crashed, back] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((&crashed.on, crashed.delay), (&Some(reached_armed()), None));
    assert_eq!((&back.on, back.at), (&Some(reached_armed()), None));
    assert_eq!(back.delay, Some(Time::secs(1)));
}

#[test]
fn a_time_stays_where_no_trigger_is_better() {
    let late = |plan: &Scenario| plan.timeline.first().is_some_and(|s| s.at >= Some(Time::secs(2)));
    let plan = shrunk(&plan(vec![at(5_000, crash("A"))]), late).plan;
    assert_eq!((plan.timeline[0].at, &plan.timeline[0].on), (Some(Time::secs(2)), &None));
}

fn expects(role: &str) -> Expectation {
    let condition = serde_json::from_str(&format!(r#"{{"role":{{"B":"{role}"}}}}"#)).expect("a condition");
    Expectation { by: Some(Time::secs(30)), after: None, at: None, throughout: None, condition }
}

#[test]
fn expectations_go_unless_they_are_what_fails() {
    let mut plan = plan(vec![at(1_000, crash("A"))]);
    plan.expect = vec![expects("principal"), expects("mirror")];
    assert_eq!(shrunk(&plan, |_| true).plan.expect, []);
}

/// Without the crash B has no reason to become principal, with or without the bug.
#[test]
fn an_expectation_is_compared_with_the_run_without_the_planted_bug() {
    let mut plan = plan(vec![at(1_000, crash("A")), at(2_000, statement(1))]);
    plan.expect = vec![expects("principal")];
    let run = |plan: &Scenario, options: &Options| {
        let met = plan.expect.is_empty() || has(plan, &crash("A")) && options.bug.is_none();
        let expected = "by 30s: {\"role\":{\"B\":\"principal\"}}".to_owned();
        let unmet =
            crate::expect::Unmet { path: "expect[0]".into(), expected, seen: "B shows MIRROR".into() };
        Outcome { unmet: if met { Vec::new() } else { vec![unmet] }, ..Outcome::default() }
    };
    let options = Options { bug: dbm_core::bugs::Bug::ALL.first().copied(), ..Options::default() };
    let budget = Budget { mode: Mode { options, ..Mode::default() }, ..Budget::default() };
    let signature = r#"unmet {"role":{"B":"principal"}}"#;
    let result = shrink(&plan, signature, &run, &budget).expect("it fails");
    assert_eq!(actions(&result.plan), [crash("A")]);
    assert!(matches!(result.plan.expect[..], [Expectation { condition: Condition::Role(_), .. }]));
    // A plan that fails without the bug as well says nothing about it.
    plan.timeline.remove(0);
    let refused = shrink(&plan, signature, &run, &budget).expect_err("it fails anyway");
    assert_eq!(refused, ShrinkError::FailsAnyway(signature.into()));
}

#[test]
fn the_result_says_where_it_comes_from_and_reads_back() {
    let result = shrunk(&twelve(), |plan| has(plan, &statement(3)));
    assert_eq!(result.plan.name, "small-7-roles-inv-1");
    assert_eq!(
        result.plan.note,
        "Shrunk from small, seed 7 (12 steps, 1m, 4 clients); fails with roles INV-1."
    );
    let text = text(&result.plan);
    let back = crate::read::text(std::path::Path::new("x.json"), &text).expect("it is a scenario");
    assert_eq!(back, result.plan);
    assert!(text.lines().count() <= 16 && !text.contains("bandwidth"), "{text}");
    // Shrunk again, nothing changes, and the origin stays.
    let again = shrunk(&result.plan, |plan| has(plan, &statement(3)));
    assert_eq!(again.plan, result.plan);
}

#[test]
fn every_field_survives_the_short_form() {
    for mut plan in [twelve(), shrunk(&twelve(), |_| true).plan] {
        plan.workload = Some(Workload::default());
        plan.duration = Time::secs(61);
        assert_eq!(crate::read::text(std::path::Path::new("x"), &text(&plan)).expect("reads"), plan);
        plan.disk.flush.max = Time::secs(1);
        plan.session.timeout_s = 99;
        plan.timeline.push(at(50_000, cut("A", "B")));
        plan.expect = vec![expects("mirror")];
        assert_eq!(crate::read::text(std::path::Path::new("x"), &text(&plan)).expect("reads"), plan);
    }
}

#[test]
fn nothing_but_older_results_is_replaced() {
    let folder = std::env::temp_dir().join(format!("dbmsim-shrink-{}", std::process::id()));
    let file = folder.join("deep/result.json");
    let first = shrunk(&twelve(), |plan| has(plan, &statement(3))).plan;
    let second = shrunk(&twelve(), |plan| has(plan, &statement(4))).plan;
    assert_eq!(save(&file, &first).expect("written"), Saved::New);
    assert_eq!(save(&file, &first).expect("written"), Saved::Unchanged);
    assert_eq!(save(&file, &second).expect("written"), Saved::Replaced);
    std::fs::write(&file, text(&twelve())).expect("temporary file");
    let refused = save(&file, &first).expect_err("a scenario of somebody");
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), text(&twelve()));
    std::fs::remove_dir_all(&folder).expect("clean up");
}
