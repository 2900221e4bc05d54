//! Every class of faults, alone, breaks a deliberately naive protocol. A fault that hurts nobody tests nothing: a path
//! that is slow by less than anybody's patience, a disk that only claims to fail. See [`crate::toys::naive`].

use crate::toys::naive::{Answers, Complaint, Habits, NaiveCrew, Newer};
use Complaint::{Lacks, Mangled, TwoAnswers, WentBack};
use dbm_sim::driver::{self, Driver, Outcome, RunOptions};
use dbm_sim::scenario::{Scenario, Step};
use dbm_sim::{felt, schema};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A class of faults, what is done, and what it leads to.
struct Case {
    /// The action, as scenarios call it, or what it does to a disk when somebody dies.
    class: &'static str,
    /// What it counts as where it is felt.
    felt: &'static str,
    habits: Habits,
    /// Happens without the fault as well, and hurts nobody.
    given: &'static str,
    /// The fault and its repair.
    fault: &'static str,
    /// Each seed leads to one of these.
    leads_to: &'static [Complaint],
    /// One of so many seeds is hurt; 1 when the fault leaves nothing to chance.
    within: u64,
}

const NAIVE: Habits = Habits { answers: Answers::Early, newer: Newer::ByWallClock };
const BY_ARRIVAL: Habits = Habits { answers: Answers::Early, newer: Newer::ByArrival };
const LATE: Habits = Habits { answers: Answers::Late, newer: Newer::ByWallClock };

/// Defines the table and a test for each line.
macro_rules! cases {
    ($($test:ident: $class:literal as $felt:literal, $habits:expr, [$($given:literal),*], [$($fault:literal),*],
       $leads_to:expr, within $within:literal;)*) => {
        fn cases() -> Vec<(&'static str, Case)> {
            vec![$((stringify!($test), Case {
                class: $class,
                felt: $felt,
                habits: $habits,
                given: concat!("[", $($given,)* "]"),
                fault: concat!("[", $($fault,)* "]"),
                leads_to: &$leads_to,
                within: $within,
            })),*]
        }
        $(
            #[test]
            fn $test() {
                hurts(stringify!($test));
            }
        )*
    };
}

cases! {
    // The process and its host: the other takes over, and the old leader does not know.
    crash: "crash" as "crash", NAIVE, [],
        [r#"{"at": "3070ms", "do": {"crash": "A"}}, {"at": "5s", "do": {"restart": "A"}}"#],
        [TwoAnswers], within 1;
    host_down: "host_down" as "host_down", NAIVE, [],
        [r#"{"at": "3070ms", "do": {"host_down": "A"}}, {"at": "5s", "do": {"host_up": "A"}}"#],
        [TwoAnswers], within 1;
    pause: "pause" as "pause", NAIVE, [],
        [r#"{"at": "3s", "do": {"pause": "A"}}, {"at": "5s", "do": {"unpause": "A"}}"#],
        [TwoAnswers], within 1;
    slow_cpu: "slow_cpu" as "slow_cpu", NAIVE, [],
        [r#"{"at": "3s", "do": {"slow_cpu": {"instance": "A", "by": "1500ms"}}}, {"at": "7s", "do": {"fast_cpu": "A"}}"#],
        [TwoAnswers], within 1;
    restart_loop: "restart_loop" as "restart_loop", NAIVE, [],
        [r#"{"at": "3s", "do": {"restart_loop": {"instance": "A", "times": 2, "up": "600ms", "down": "1500ms"}}}"#],
        [TwoAnswers], within 1;
    crash_at_a_step: "crash" as "crash", NAIVE, [],
        [r#"{"on": {"reached": {"instance": "A", "step": "answered"}}, "nth": 20, "do": {"crash": "A"}}"#, ",",
         r#"{"on": {"reached": {"instance": "A", "step": "answered"}}, "nth": 20, "delay": "50ms", "do": {"restart": "A"}}"#],
        [TwoAnswers, Lacks('A')], within 1;

    // The network: silence is taken for death.
    cut: "cut" as "cut", NAIVE, [],
        [r#"{"at": "3s", "do": {"cut": {"from": "A", "to": "B", "both": true}}}, {"at": "5s", "do": {"heal": {"from": "A", "to": "B", "both": true}}}"#],
        [TwoAnswers], within 1;
    one_way_cut: "cut" as "cut", NAIVE, [],
        [r#"{"at": "3s", "do": {"cut": {"from": "A", "to": "B"}}}, {"at": "5s", "do": {"heal": {"from": "A", "to": "B"}}}"#],
        [TwoAnswers], within 1;
    cut_beyond_the_patience_of_a_sender: "cut" as "retransmission_time_out", NAIVE, [],
        [r#"{"at": "3s", "do": {"cut": {"from": "A", "to": "B", "both": true}}}"#],
        [TwoAnswers], within 1;
    stall: "stall" as "stall", NAIVE, [],
        [r#"{"at": "3s", "do": {"stall": {"from": "A", "to": "B"}}}, {"at": "5s", "do": {"heal": {"from": "A", "to": "B"}}}"#],
        [TwoAnswers], within 1;
    slow: "slow" as "slow", NAIVE, [],
        [r#"{"at": "3s", "do": {"slow": {"path": {"from": "A", "to": "B"}, "by": "2s"}}}, {"at": "6s", "do": {"heal": {"from": "A", "to": "B"}}}"#],
        [TwoAnswers], within 1;
    jitter: "slow" as "jitter", NAIVE, [],
        [r#"{"at": "3s", "do": {"slow": {"path": {"from": "A", "to": "B"}, "by": "0s", "jitter": "4s"}}}, {"at": "7s", "do": {"heal": {"from": "A", "to": "B"}}}"#],
        [TwoAnswers], within 5;
    throttle: "throttle" as "throttle", NAIVE, [],
        [r#"{"at": "3s", "do": {"throttle": {"path": {"from": "A", "to": "B"}, "bytes_s": 500}}}, {"at": "7s", "do": {"heal": {"from": "A", "to": "B"}}}"#],
        [TwoAnswers], within 1;
    slow_start: "slow_start" as "slow_start", NAIVE, [],
        [r#"{"at": "0s", "do": {"slow_start": {"path": {"from": "A", "to": "B", "both": true}, "by": "3s"}}}"#],
        [TwoAnswers], within 1;
    refuse: "refuse" as "refuse", NAIVE, [],
        [r#"{"at": "0s", "do": {"refuse": {"from": "A", "to": "B"}}}, {"at": "3s", "do": {"heal": {"from": "A", "to": "B"}}}"#],
        [TwoAnswers], within 1;
    reset: "reset" as "reset", NAIVE, [],
        [r#"{"at": "3s", "do": {"reset": {"from": "A", "to": "B", "both": true}}}"#],
        [Lacks('B')], within 1;
    corrupt: "corrupt" as "corrupt", NAIVE, [],
        [r#"{"at": "3s", "do": {"corrupt": {"path": {"from": "A", "to": "B"}, "one_in": 2}}}, {"at": "6s", "do": {"heal": {"from": "A", "to": "B"}}}"#],
        [Mangled('B')], within 1;
    inject: "inject" as "inject", BY_ARRIVAL, [],
        [r#"{"at": "3s", "do": {"inject": {"from": "A", "to": "B", "frame": "log_block"}}}"#],
        [WentBack('B')], within 1;

    // The disk: "done" is believed, whatever was done, and so is what is read.
    disk_stall: "disk_stall" as "disk_stall", NAIVE, [],
        [r#"{"at": "3s", "do": {"disk_stall": "A"}}, {"at": "5s", "do": {"disk_heal": "A"}}"#],
        [TwoAnswers], within 1;
    disk_slow: "disk_slow" as "disk_slow", NAIVE, [],
        [r#"{"at": "3s", "do": {"disk_slow": {"instance": "A", "by": "2s"}}}, {"at": "6s", "do": {"disk_heal": "A"}}"#],
        [TwoAnswers], within 1;
    disk_error: "disk_error" as "disk_error", NAIVE, [],
        [r#"{"at": "3s", "do": {"disk_error": {"instance": "A", "count": 2}}}"#],
        [Lacks('A')], within 1;
    disk_fail: "disk_fail" as "disk_fail", NAIVE, [],
        [r#"{"at": "3s", "do": {"disk_fail": "B"}}"#],
        [Lacks('B')], within 1;
    disk_full: "disk_full" as "disk_full", NAIVE, [],
        [r#"{"at": "3s", "do": {"disk_full": "A"}}, {"at": "10s", "do": {"disk_heal": "A"}}"#],
        [Lacks('A')], within 1;
    lost_write: "crash" as "lost_write", NAIVE, [],
        [r#"{"on": {"disk_issued": {"instance": "A", "file": "log"}}, "nth": 20, "do": {"crash": "A"}}"#, ",",
         r#"{"on": {"disk_issued": {"instance": "A", "file": "log"}}, "nth": 20, "delay": "50ms", "do": {"restart": "A"}}"#],
        [TwoAnswers], within 20;
    torn_write: "crash" as "torn_write", NAIVE, [],
        [r#"{"on": {"disk_issued": {"instance": "A", "file": "log"}}, "nth": 20, "do": {"crash": "A"}}"#, ",",
         r#"{"on": {"disk_issued": {"instance": "A", "file": "log"}}, "nth": 20, "delay": "50ms", "do": {"restart": "A"}}"#],
        [Mangled('A')], within 20;
    misdirect: "misdirect" as "misdirect", NAIVE, [],
        [r#"{"at": "3s", "do": {"misdirect": {"instance": "A", "file": "log"}}}"#],
        [Lacks('A'), Mangled('A')], within 1;
    rot: "rot" as "rot", NAIVE, [],
        [r#"{"at": "3s", "do": {"rot": {"instance": "A", "file": "log"}}}"#],
        [Mangled('A')], within 1;
    disk_lie: "disk_lie" as "disk_lie", LATE,
        [r#"{"at": "5050ms", "do": {"crash": "A"}}, {"at": "5060ms", "do": {"restart": "A"}}"#],
        [r#"{"at": "3s", "do": {"disk_lie": "A"}}"#],
        [TwoAnswers, Lacks('A'), Mangled('A')], within 5;

    // Clocks: one minute is not another's minute.
    clock_rate: "clock_rate" as "clock_rate", NAIVE, [],
        [r#"{"at": "3s", "do": {"clock_rate": {"host": "A", "ppm": -900000}}}, {"at": "6s", "do": {"clock_rate": {"host": "A", "ppm": 0}}}"#],
        [TwoAnswers], within 1;
    clock_step: "clock_step" as "clock_step", NAIVE, [],
        [r#"{"at": "3s", "do": {"clock_step": {"host": "A", "ms": -2000}}}"#],
        [Lacks('B')], within 1;
    clock_freeze: "clock_freeze" as "clock_freeze", NAIVE, [],
        [r#"{"at": "3s", "do": {"clock_freeze": {"host": "A", "frozen": true}}}, {"at": "5s", "do": {"clock_freeze": {"host": "A", "frozen": false}}}"#],
        [Lacks('B')], within 1;
}

/// What is no fault: repairs, and the owner.
const HARMLESS: &[&str] =
    &["restart", "host_up", "unpause", "heal", "disk_heal", "fast_cpu", "heal_all", "sql"];

fn plan(steps: &[&str]) -> Scenario {
    let mut plan: Scenario = serde_json::from_value(json!({
        "dbmsim": 1, "name": "naive", "duration": "15s",
        "instances": [{"name": "A"}, {"name": "B"}],
        "session": {"principal": "A", "mirror": "B"},
        "workload": {"clients": 0},
    }))
    .expect("the plan is well formed");
    for text in steps {
        let steps: Vec<Step> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        plan.timeline.extend(steps);
    }
    for (at, text) in [("11s", "stop"), ("13s", "audit")] {
        for on in ["A", "B"] {
            let step = json!({"at": at, "do": {"sql": {"on": on, "text": text, "error": -1}}});
            plan.timeline.push(serde_json::from_value(step).expect("the step is well formed"));
        }
    }
    plan
}

fn run(habits: Habits, steps: &[&str], seed: u64) -> (Outcome, BTreeSet<Complaint>) {
    let crew = NaiveCrew { habits, ..NaiveCrew::default() };
    let ledger = crew.ledger.clone();
    let options =
        RunOptions { driver: Driver::Plain, crew: Arc::new(crew), judge: false, ..RunOptions::default() };
    let outcome = driver::run(&plan(steps), seed, &options).expect("the plan names nothing unknown");
    let ledger = ledger.lock().expect("the run is over");
    assert!(ledger.answers() > 40, "only {} answers", ledger.answers());
    (outcome, ledger.complaints())
}

/// What is felt besides, because the one brings the other about.
fn comes_with(felt: &str) -> &'static [&'static str] {
    match felt {
        "crash" | "host_down" | "disk_error" | "disk_fail" => &["lost_write", "torn_write"],
        "lost_write" => &["crash", "torn_write"],
        "torn_write" => &["crash", "lost_write"],
        "restart_loop" | "disk_lie" => &["crash", "lost_write", "torn_write"],
        "retransmission_time_out" => &["cut"],
        _ => &[],
    }
}

/// The case: calm without the fault; with it the fault is felt, and somebody has a reason to complain.
fn hurts(name: &str) {
    let case = cases().into_iter().find(|(test, _)| *test == name);
    let case = case.expect("the macro made test and line together").1;
    let mut seen = BTreeSet::new();
    for seed in 0..case.within {
        let (calm, complaints) = run(case.habits, &[case.given], seed);
        assert_eq!((complaints, calm.findings.len()), (BTreeSet::new(), 0), "seed {seed} without {name}");
        assert!(!calm.faults_felt.contains_key(case.felt), "{:?} without {name}", calm.faults_felt);
        let (hurt, complaints) = run(case.habits, &[case.given, case.fault], seed);
        let felt = hurt.faults_felt.get(case.felt).copied().unwrap_or_default();
        let others = hurt.faults_felt.keys().filter(|other| **other != case.felt);
        let strange: Vec<_> = others.filter(|other| !comes_with(case.felt).contains(other)).collect();
        assert!(strange.is_empty(), "{name} is not alone: {strange:?}");
        if case.within == 1 {
            assert!(felt > 0, "{name} is not felt: {:?}", hurt.faults_felt);
        }
        if felt > 0 && case.leads_to.iter().any(|complaint| complaints.contains(complaint)) {
            return;
        }
        seen.extend(complaints);
    }
    panic!("{name} hurts nobody: {seen:?} instead of {:?}", case.leads_to);
}

#[test]
fn a_calm_world_hurts_nobody() {
    for habits in [NAIVE, BY_ARRIVAL, LATE] {
        for seed in 0..20 {
            let (outcome, complaints) = run(habits, &[], seed);
            assert_eq!(
                (complaints, outcome.faults_felt.len()),
                (BTreeSet::new(), 0),
                "seed {seed} {habits:?}"
            );
        }
    }
}

/// Every action of the scenario format that is a fault has a case.
#[test]
fn every_fault_has_a_case() {
    let schema = schema::schema();
    let variants =
        schema.pointer("/$defs/Action/oneOf").and_then(|v| v.as_array()).expect("actions are listed");
    let mut actions = BTreeSet::new();
    for variant in variants {
        let fields = variant["required"].as_array().into_iter().flatten();
        let words = variant["enum"].as_array().into_iter().flatten();
        actions.extend(
            fields
                .chain(words)
                .chain(&variant["const"].is_string().then(|| variant["const"].clone()))
                .filter_map(|v| v.as_str().map(str::to_owned)),
        );
    }
    for harmless in HARMLESS {
        assert!(actions.remove(*harmless), "{harmless} is no action");
    }
    let cases: BTreeSet<String> = cases().iter().map(|(_, case)| case.class.to_owned()).collect();
    assert_eq!(actions, cases);
}

/// And every way in which a node feels one.
#[test]
fn every_feeling_has_a_case() {
    let felt: BTreeSet<&str> = felt::names().iter().copied().collect();
    let cases: BTreeSet<&str> = cases().iter().map(|(_, case)| case.felt).collect();
    assert_eq!(felt, cases);
}
