//! `dbmsim fuzz` with a stand-in for the simulator.

use super::*;
use crate::cli::fuzz::{FuzzArgs, fuzz as until};
use serde_json::Value;
use std::sync::atomic::AtomicBool;

/// The object that `--json` writes, without what belongs to the machine.
fn written(folder: &Folder, args: &[&str]) -> (Seen, Value) {
    let file = folder.0.join("fuzz.json").display().to_string();
    let mut all = vec!["fuzz", "--json", &file];
    if !args.contains(&"--save") {
        all.push("--no-shrink");
    }
    all.extend(args);
    let seen = dbmsim(&all);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", seen.err));
    let mut value: Value = serde_json::from_str(&text).expect("it is one JSON object");
    let host = value.as_object_mut().and_then(|object| object.remove("host")).expect("a host is named");
    assert!(host["seconds"].is_number() && host["jobs"].is_number());
    (seen, value)
}

#[test]
fn failures_are_told_once_with_their_smallest_seed() {
    let folder = Folder::new();
    let small = folder.put("small.json", SMALL);
    let (seen, value) = written(&folder, &[&small, "--seeds", "1..41"]);
    assert_eq!(seen.status, FAILED);
    let failures = value["failures"].as_array().expect("failures are listed");
    let told: Vec<_> = failures.iter().map(|f| (f["runs"].as_u64(), f["seed"].as_u64())).collect();
    assert_eq!(told, [(Some(3), Some(3)), (Some(1), Some(13))]);
    assert_eq!(failures[0]["signature"], "unmet by 1s: x");
    assert_eq!(failures[0]["replay"], format!("dbmsim run {small} --seed 3"));
    assert!(failures[1]["signature"].as_str().is_some_and(|s| s.starts_with("panic ")), "{}", failures[1]);
    let summary = &value["summary"];
    assert_eq!(
        (&summary["runs"], &summary["failed"], &value["seeds"]),
        (&40.into(), &4.into(), &"1..41".into())
    );
    assert_eq!(seen.out.matches("new: unmet by 1s: x in seed 3").count(), 1, "{}", seen.out);
    assert!(seen.out.contains("40 runs, 36 held, 4 failed"), "{}", seen.out);
    assert!(seen.out.ends_with(&format!("dbmsim run {small} --seed 13\n")), "{}", seen.out);
    let quiet = dbmsim(&["fuzz", &small, "--seeds", "1..41", "--quiet", "--no-shrink"]);
    assert!(!quiet.out.contains("new: ") && quiet.out.contains("unmet by 1s: x"), "{}", quiet.out);
}

#[test]
fn the_number_of_threads_changes_nothing_but_the_machine() {
    let folder = Folder::new();
    let files = [folder.put("a/one.json", SMALL), folder.put("b/two.json", SMALL)];
    let with = |jobs: &str| {
        let (_, value) = written(&folder, &[&files[0], &files[1], "--seeds", "0..60", "--jobs", jobs]);
        serde_json::to_string(&value).expect("JSON")
    };
    let alone = with("1");
    assert_eq!(alone, with("2"));
    assert_eq!(alone, with("7"));
    let value: Value = serde_json::from_str(&alone).expect("JSON");
    assert_eq!((&value["summary"]["runs"], &value["seeds"]), (&120.into(), &"0..60".into()));
    assert_eq!(value["scenarios"], serde_json::json!(files));
}

#[test]
fn without_a_file_it_is_the_built_in_swarm_and_from_a_thousand_on_it_has_gates() {
    let folder = Folder::new();
    let (seen, value) = written(&folder, &["--seeds", "100..102"]);
    assert_eq!((seen.status, &value["gated"]), (HELD, &false.into()));
    assert_eq!(value["scenarios"][0], crate::plan::swarm::DEFAULT_FILE);
    // The stand-in feels no fault.
    let (seen, value) = written(&folder, &["--seeds", "100..102", "--gate"]);
    assert_eq!((seen.status, &value["gated"]), (FAILED, &true.into()));
    assert!(seen.out.contains("missing: faults_felt crash: 0 of 1"), "{}", seen.out);
    let runner = |_: &Scenario, _: &Options| Outcome::default();
    let status = |args: &[&str]| {
        let args = ["dbmsim", "fuzz"].iter().chain(args).map(OsString::from).collect::<Vec<_>>();
        captured(|streams| run(args, &runner, streams)).status
    };
    assert_eq!((status(&["--seeds", "0..999"]), status(&[])), (HELD, FAILED));
    assert_eq!(status(&["--no-gate"]), HELD);
}

#[test]
fn a_file_may_say_what_is_required() {
    let folder = Folder::new();
    let small = folder.put("small.json", SMALL);
    let want = folder.put("want.json", r#"{"depth": {"log wrapped": 1}, "events": {"EV-7": 0}}"#);
    let seen = dbmsim(&["fuzz", &small, "--seeds", "0..2", "--require", &want]);
    assert_eq!(seen.status, FAILED);
    assert!(seen.out.contains("missing: depth log wrapped: 0 of 1"), "{}", seen.out);
    let wrong = folder.put("wrong.json", r#"{"depths": {}}"#);
    let seen = dbmsim(&["fuzz", &small, "--require", &wrong]);
    assert!(seen.status == WRONG_INPUT && seen.err.contains("unknown field `depths`"), "{}", seen.err);
}

#[test]
fn an_interrupt_or_a_limit_ends_with_a_summary_of_what_was_done() {
    let folder = Folder::new();
    let small = folder.put("small.json", SMALL);
    let parsed = |args: &[&str]| {
        let args = ["dbmsim", "fuzz", &small].iter().chain(args).map(OsString::from).collect::<Vec<_>>();
        match Args::try_parse_from(args).expect("arguments").command {
            Command::Fuzz(args) => args,
            other => panic!("{other:?}"),
        }
    };
    let ended = |args: &FuzzArgs, stop_at: u64| {
        let stop = AtomicBool::new(false);
        let runner = |plan: &Scenario, _: &Options| {
            stop.fetch_or(plan.seed >= Some(stop_at), Ordering::Relaxed);
            Outcome::default()
        };
        captured(|streams| until(args, &runner, streams, &stop).expect("it runs"))
    };
    let seen = ended(&parsed(&["--jobs", "1", "--seeds", "5..1000000"]), 25);
    assert_eq!(seen.status, HELD);
    assert!(seen.out.contains(", interrupted: ") && seen.out.starts_with("seeds 5.."), "{}", seen.out);
    let seen = ended(&parsed(&["--minutes", "0.0005"]), u64::MAX);
    assert!(seen.out.contains(", as far as the time allowed: "), "{}", seen.out);
    let seen = ended(&parsed(&["--seeds", "5..8"]), 0);
    assert!(
        seen.out.starts_with("seeds 5..6 ")
            || seen.out.starts_with("seeds 5..7 ")
            || seen.out.contains("3 runs")
    );
}

#[test]
fn each_distinct_failure_is_saved_and_shrunk() {
    let folder = Folder::new();
    let small = folder.put("small.json", SMALL);
    let plans = folder.0.join("plans").display().to_string();
    let (_, value) = written(&folder, &[&small, "--seeds", "1..41", "--save", &plans]);
    let plan = value["failures"][0]["plan"].as_str().expect("a file is named").to_owned();
    assert!(plan.ends_with("small-seed-3.json") && dbmsim(&["replay", &plan]).status == FAILED);
    let shrunk = &value["failures"][0]["shrunk"];
    let file = shrunk["file"].as_str().unwrap_or_else(|| panic!("it is shrunk: {value}")).to_owned();
    assert!(file.starts_with(&plans) && dbmsim(&["replay", &file]).status == FAILED);
    assert!(shrunk["size"]["steps"].is_number() && shrunk["runs"].is_number());
}

#[test]
fn bad_input_is_told_and_nothing_is_run() {
    let folder = Folder::new();
    let small = folder.put("small.json", SMALL);
    let missing = folder.0.join("none/x.json").display().to_string();
    for (args, message) in [
        (vec!["none.json"], "none.json: cannot read"),
        (vec!["--minutes", "0"], "a number of minutes above zero"),
        (vec!["--minutes", "soon"], "a number of minutes above zero"),
        (vec!["--seeds", "9..3"], "a range that goes up"),
        (vec!["--jobs", "0"], "--jobs"),
        (vec!["--gate", "--no-gate"], "cannot be used with"),
        (vec!["--gate", "--require", "x"], "cannot be used with"),
        (vec!["--require", "none.json"], "none.json: "),
        (vec![&small, "--seeds", "0..1", "--json", &missing], "x.json: cannot write"),
        (vec![&small, &small, "--seeds", "0..=18446744073709551614"], "too many runs"),
    ] {
        let seen = dbmsim(&[&["fuzz"], args.as_slice()].concat());
        assert_eq!(seen.status, WRONG_INPUT, "{args:?}");
        assert!(seen.err.contains(message), "{args:?}: {}", seen.err);
    }
    let help = dbmsim(&["fuzz", "--help"]);
    assert!(help.status == HELD && help.out.contains("Examples:") && help.out.contains("Exit status"));
}
