//! A campaign over the built-in swarm finds a planted bug, names it, and makes it small; without the bug it holds.

use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The status and the object of `dbmsim fuzz` with these arguments, and a folder of its own.
fn fuzz(name: &str, args: &[&str]) -> (u8, Value) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    let file = folder.join("fuzz.json");
    let (folder, path) = (folder.display().to_string(), file.display().to_string());
    let all = ["dbmsim", "fuzz", "--quiet", "--save", &folder, "--json", &path];
    let all = all.iter().chain(args).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = dbm_sim::cli::Streams { out: &mut out, err: &mut err, progress: false };
    let status = dbm_sim::cli::run(all, &dbm_sim::runner::run, &mut streams);
    let text =
        std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&err)));
    let mut value: Value = serde_json::from_str(&text).expect("it is one JSON object");
    value.as_object_mut().and_then(|object| object.remove("host")).expect("a host is named");
    (status, value)
}

/// The signatures of the failures.
fn signatures(value: &Value) -> Vec<String> {
    let failures = value["failures"].as_array().into_iter().flatten();
    failures.filter_map(|f| f["signature"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_planted_bug_makes_a_campaign_fail_and_without_it_the_same_seeds_hold() {
    let seeds = ["--seeds", "0..60", "--no-shrink"];
    let (status, value) = fuzz("fuzz-without", &seeds);
    assert_eq!((status, signatures(&value)), (0, Vec::new()));
    let (status, value) = fuzz("fuzz-with", &[&seeds[..], &["--bug", "ack-before-flush"]].concat());
    assert_eq!(status, 1);
    let found = signatures(&value);
    assert!(found.iter().any(|signature| signature.starts_with("logs ")), "{found:?}");
    let failure = &value["failures"][0];
    let replay = failure["replay"].as_str().unwrap_or_default();
    assert!(replay.starts_with("dbmsim run scenarios/chaos/swarm.json --seed "), "{replay}");
    assert!(replay.ends_with(" --bug ack-before-flush"), "{replay}");
    let plan = failure["plan"].as_str().map(Path::new);
    assert!(plan.is_some_and(|plan| dbm_sim::read::file(plan).is_ok()), "{failure}");
}

#[test]
fn the_number_of_threads_changes_nothing_but_the_machine() {
    let with = |name, jobs| fuzz(name, &["--seeds", "0..30", "--jobs", jobs]);
    let alone = with("fuzz-1", "1");
    assert_eq!(alone, with("fuzz-3", "3"));
    assert!(alone.1["summary"]["events"].as_u64() > Some(100_000));
}
