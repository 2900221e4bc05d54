//! Shrinking of failures that random faults have found: small, a scenario file, and still the same failure.
//!
//! The table of `docs/shrinking.md`:
//! `cargo test --release -p dbm-tests --test suite -- --ignored --nocapture table_of_shrunk_plans`

use crate::named;
use dbm_core::bugs::Bug;
use dbm_sim::campaign::{self, Job, Jobs, Mode, Source};
use dbm_sim::fault::{Action, Path};
use dbm_sim::moments::What;
use dbm_sim::plan;
use dbm_sim::read;
use dbm_sim::runner::{self, Options};
use dbm_sim::scenario::{Scenario, Step, Trigger};
use dbm_sim::shrink::{self, Budget, Shrunk, Size};
use dbm_sim::time::Time;

/// A planted bug in a plan that it makes fail.
struct Failure {
    bug: Bug,
    plan: Scenario,
    signature: String,
}

fn with(bug: Option<Bug>) -> Mode {
    Mode { options: Options { bug, ..Options::default() }, ..Mode::default() }
}

/// The first of the seeds from 0 on that fails with the bug.
fn first_failure(bug: Bug, source: &Source, seeds: u64) -> Option<Failure> {
    let mut found = None;
    let at = |i: usize| Job { source: 0, seed: i as u64 };
    let jobs = Jobs { count: seeds as usize, at: &at };
    let sources = std::slice::from_ref(source);
    let told = campaign::campaign(&runner::run, sources, &jobs, with(Some(bug)), 2, |finished| {
        if let Some(signature) = finished.report.signatures().into_iter().next() {
            let plan = plan::resolve(&source.scenario, finished.report.seed);
            found = Some(Failure { bug, plan, signature });
        }
        found.is_none()
    });
    told.expect("threads can be started");
    found
}

fn shrunk(failure: &Failure, jobs: usize) -> Shrunk {
    let budget = Budget { jobs, mode: with(Some(failure.bug)), ..Budget::default() };
    shrink::shrink(&failure.plan, &failure.signature, &runner::run, &budget).unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn shrinks(bug: &str, scenario: &str) {
    let bug = Bug::by_name(bug).expect("a planted bug");
    let failure = first_failure(bug, &named(scenario), 100).expect("it fails in one of a hundred seeds");
    let result = shrunk(&failure, 1);
    // As a file, and from the file.
    let text = shrink::text(&result.plan);
    let plan = read::text("shrunk.json".as_ref(), &text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(plan, result.plan);
    assert!(plan::is_plan(&plan) && plan.seed == failure.plan.seed);
    let fails = |bug| shrink::signatures(&plan, &runner::run, with(bug)).contains(&failure.signature);
    assert!(fails(Some(bug)) && !fails(None), "{text}");
    let (before, after) = (Size::of(&failure.plan), Size::of(&plan));
    assert!(after.steps <= 10 && after.steps < before.steps && after.duration < before.duration, "{text}");
    // The same on any number of threads.
    assert_eq!(shrunk(&failure, 3), result);
}

#[test]
fn a_lease_that_nobody_looks_at() {
    shrinks("no-lease-check", "chaos/chaos");
}

#[test]
fn an_owner_that_stays_mirror() {
    shrinks("not-elected", "chaos/chaos");
}

#[test]
fn a_principal_that_asks_nobody() {
    shrinks("no-expose", "chaos/owner");
}

#[test]
fn a_claim_that_is_forgotten() {
    shrinks("volatile-claim", "chaos/swarm");
}

/// A moment that a run shows is one at which a step that waits for it is performed, by the same count.
#[test]
fn moments_are_counted_as_triggers_count_them() {
    let mut plan = plan::resolve(&named("failover/principal-crash-restart").scenario, 5);
    let options = Options { moments: true, ..Options::default() };
    let mut newest: Vec<(Trigger, u32, Time)> = Vec::new();
    for seen in runner::run(&plan, &options).moments {
        let What::Occurred(trigger) = seen.what else { continue };
        match newest.iter_mut().find(|(known, ..)| *known == trigger) {
            Some((_, count, at)) => (*count, *at) = (*count + 1, seen.at),
            None => newest.push((trigger, 1, seen.at)),
        }
    }
    assert!(newest.len() > 40, "{} triggers", newest.len());
    // Nothing is done there that could be felt: no overlay lies on that path.
    let path = || Path { from: "A".into(), to: "W".into(), both: false };
    let first = plan.timeline.len();
    plan.timeline.extend(newest.iter().map(|(trigger, count, _)| Step {
        at: None,
        between: None,
        on: Some(trigger.clone()),
        nth: Some(*count),
        after_step: None,
        delay: None,
        until: None,
        action: Action::Heal(path()),
    }));
    let again = runner::run(&plan, &options).moments;
    for (i, (trigger, count, at)) in newest.iter().enumerate() {
        let performed = again.iter().find(|seen| seen.what == What::Step(first + i)).map(|seen| seen.at);
        assert_eq!(performed, Some(*at), "{count} {trigger:?}");
    }
}

/// Every planted bug that shows in one of the first seeds, shrunk; for `docs/shrinking.md`.
#[test]
#[ignore = "some minutes; prints the table of docs/shrinking.md"]
fn table_of_shrunk_plans() {
    println!("| bug | plan | fails with | steps | duration | clients | runs | seconds |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut steps = Vec::new();
    let mut times = Vec::new();
    for bug in Bug::ALL {
        for (scenario, seeds) in [("chaos/chaos", 30), ("chaos/owner", 30), ("chaos/swarm", 60)] {
            let Some(failure) = first_failure(*bug, &named(scenario), seeds) else { continue };
            let clock = Clock::start();
            let result = shrunk(&failure, 1);
            let seconds = clock.seconds();
            let (before, after) = (Size::of(&failure.plan), Size::of(&result.plan));
            println!(
                "| `{}` | {scenario} {} | {} | {} → {} | {} → {} | {} → {} | {}{} | {seconds:.1} |",
                bug.name(),
                plan::default_seed(&failure.plan),
                failure.signature.replace('|', "\\|"),
                before.steps,
                after.steps,
                before.duration,
                after.duration,
                before.clients,
                after.clients,
                result.runs,
                if result.exhausted { " (all allowed)" } else { "" },
            );
            steps.push(after.steps);
            times.push(seconds);
        }
    }
    steps.sort_unstable();
    times.sort_by(f64::total_cmp);
    let (middle, last) = (steps.len() / 2, steps.len() - 1);
    println!("\n{} plans; median {} steps, most {}", steps.len(), steps[middle], steps[last]);
    println!("median {:.1} s, longest {:.1} s, on one thread", times[middle], times[last]);
    assert!(steps[middle] <= 10 && times[middle] < 60.0);
}

/// Wall time, outside of every run.
#[allow(clippy::disallowed_types, reason = "how long shrinking takes is what is measured")]
struct Clock(std::time::Instant);

#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "as above")]
impl Clock {
    fn start() -> Self {
        Clock(std::time::Instant::now())
    }
    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
