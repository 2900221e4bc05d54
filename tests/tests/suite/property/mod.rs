//! The oracle holds, whatever a plan of faults does: a property over a strategy of plans, shrunk by proptest.
//!
//! A failure leaves a plain scenario file below target/regressions/ and names it; it replays with
//! `dbmsim replay FILE`. Proptest keeps no files of its own.
//!
//!     DBMSIM_SEED=17 cargo test property             other plans
//!     DBMSIM_REGRESSIONS=keep cargo test property    the file goes to scenarios/regressions/, to be kept

mod plans;

use dbm_core::bugs::Bug;
use dbm_sim::campaign::Mode;
use dbm_sim::runner::{self, Options};
use dbm_sim::scenario::Scenario;
use dbm_sim::{plan, read, shrink, validate};
use plans::{FAULTS_MAX, Plan, plans};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// Chooses the plans when DBMSIM_SEED does not.
const SEED: u64 = 2008;
/// Plans that are tried; some ten milliseconds each.
const CASES: u32 = 100;
/// Runs that proptest may spend on making a plan smaller.
const SHRINK_RUNS: u32 = 500;

/// A plan that fails, made smaller.
#[derive(Debug)]
struct Counterexample {
    signature: String,
    file: PathBuf,
    plan: Scenario,
}

/// Tries `cases` plans; the first that fails is made smaller and written below `folder`.
fn check(seed: u64, cases: u32, bug: Option<Bug>, folder: &Path) -> Option<Counterexample> {
    let config =
        Config { cases, max_shrink_iters: SHRINK_RUNS, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng(seed));
    let mode = Mode { options: Options { bug, ..Options::default() }, ..Mode::default() };
    // What failed first has to go on failing: proptest itself would be content with any failure.
    let first: RefCell<Option<String>> = RefCell::new(None);
    let holds = |plan: Plan| {
        let failed = shrink::signatures(&plan.scenario(), &runner::run, mode);
        let mut first = first.borrow_mut();
        let counts = match &*first {
            Some(signature) => failed.contains(signature),
            None => !failed.is_empty(),
        };
        if !counts {
            return Ok(());
        }
        let signature = first.get_or_insert_with(|| failed.into_iter().next().unwrap_or_default());
        Err(TestCaseError::fail(signature.clone()))
    };
    let smallest = match runner.run(&plans(), holds) {
        Ok(()) => return None,
        Err(TestError::Fail(_, plan)) => plan.scenario(),
        Err(TestError::Abort(why)) => panic!("proptest gave up: {why}"),
    };
    let signature = first.into_inner().expect("something has failed");
    let plan = shrink::named(smallest, "the property over plans of faults", &signature, bug);
    let file = folder.join(format!("{}.json", plan.name));
    shrink::save(&file, &plan).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    Some(Counterexample { signature, file, plan })
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// Every fault is lifted in time, so nothing may be lost and everything has to come back.
#[test]
fn the_oracle_holds_over_plans_of_faults() {
    let keep = std::env::var_os("DBMSIM_REGRESSIONS").is_some_and(|wish| wish == "keep");
    let folder = root().join(if keep { "scenarios/regressions" } else { "target/regressions" });
    let seed =
        std::env::var("DBMSIM_SEED").map_or(SEED, |text| text.parse().expect("DBMSIM_SEED is a number"));
    if let Some(found) = check(seed, CASES, None, &folder) {
        let Counterexample { signature, file, plan } = found;
        let (file, steps) = (file.display(), plan.timeline.len());
        panic!(
            "a plan of {steps} steps fails with {signature}: {file}\n\n    dbmsim replay {file}\n\n    \
             DBMSIM_SEED={seed} cargo test property\n"
        );
    }
}

/// The property fails when the protocol is broken, and what is left of the plan is small, a file, and the same failure.
#[test]
fn a_planted_bug_is_found_and_leaves_a_small_scenario() {
    let bug = Bug::by_name("no-expose").expect("a planted bug");
    let folder = root().join("target/regressions/planted");
    let found = check(SEED, CASES, Some(bug), &folder).expect("the property does not notice the bug");
    let plan = read::file(&found.file).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(plan, found.plan);
    assert!(plan::is_plan(&plan));
    let fails = |bug| {
        let mode = Mode { options: Options { bug, ..Options::default() }, ..Mode::default() };
        shrink::signatures(&plan, &runner::run, mode).contains(&found.signature)
    };
    assert!(fails(Some(bug)) && !fails(None), "{}", found.file.display());
    // One fault with its repair, and the repair of everything, or a little more.
    assert!(plan.timeline.len() <= 5, "{}", found.file.display());
    assert!(plan.note.contains(&found.signature) && plan.note.contains("no-expose"), "{}", plan.note);
    // The same once more.
    let again = check(SEED, CASES, Some(bug), &folder).expect("it was found before");
    assert_eq!(again.plan, found.plan);
}

/// Whatever the strategy makes, and whatever proptest makes of it, can be run; and it is no small world.
#[test]
fn every_plan_of_the_strategy_is_a_plan() {
    let mut runner =
        TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng(1));
    let (mut largest, mut triggered) = (0, 0);
    for _ in 0..300 {
        let mut tree = plans().new_tree(&mut runner).expect("nothing is rejected");
        let plan = tree.current();
        largest = largest.max(plan.faults.len());
        triggered += usize::from(plan.scenario().timeline.iter().any(|step| step.on.is_some()));
        for _ in 0..20 {
            let scenario = tree.current().scenario();
            assert_eq!(validate::check(&scenario), [], "{scenario:?}");
            assert!(plan::is_plan(&scenario));
            if !tree.simplify() {
                break;
            }
        }
    }
    assert_eq!(largest, FAULTS_MAX);
    assert!(triggered > 100, "{triggered} of 300 have a step with a trigger");
}
