//! The command line as its users see it: output and exit status.

mod fuzz;

use super::*;
use crate::expect::Unmet;
use crate::read::tests::SMALL;
use crate::report::Outcome;
use crate::runner::Options;
use crate::time::Time;
use std::sync::atomic::{AtomicU32, Ordering};

struct Seen {
    status: u8,
    out: String,
    err: String,
}

/// Runs `dbmsim` with a runner under which every seed that ends in 3 fails, and seed 13 panics.
fn dbmsim(args: &[&str]) -> Seen {
    captured(|streams| {
        let args = std::iter::once("dbmsim").chain(args.iter().copied()).map(OsString::from);
        run(args, &stand_in, streams)
    })
}

fn stand_in(plan: &Scenario, options: &Options) -> Outcome {
    let seed = plan.seed.unwrap_or_default();
    assert_ne!(seed, 13, "unlucky");
    let unmet = Unmet { path: "expect[0]".into(), expected: "by 1s: x".into(), seen: "y".into() };
    Outcome {
        digest: seed * 17,
        end: plan.duration,
        downtime: Time::millis(1500),
        unmet: if seed % 10 == 3 { vec![unmet] } else { Vec::new() },
        trace: if options.trace { vec![format!("event of {seed}")] } else { Vec::new() },
        ..Outcome::default()
    }
}

/// What a command writes, without colours.
fn captured(command: impl FnOnce(&mut Streams<'_>) -> u8) -> Seen {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut strip_out = anstream::StripStream::new(&mut out as &mut dyn Write);
    let mut strip_err = anstream::StripStream::new(&mut err as &mut dyn Write);
    let mut streams = Streams { out: &mut strip_out, err: &mut strip_err, progress: false };
    let status = command(&mut streams);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    Seen { status, out: text(out), err: text(err) }
}

/// A directory of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dbmsim-cli-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary directory");
        Folder(path)
    }
    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("temporary directory");
        std::fs::write(&path, content).expect("temporary file");
        path.display().to_string()
    }
    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_run_that_holds_ends_with_0() {
    let folder = Folder::new();
    let seen = dbmsim(&["run", &folder.put("small.json", SMALL)]);
    assert_eq!((seen.status, seen.err.as_str()), (0, ""));
    assert!(seen.out.starts_with("held   small seed 1  digest 0000000000000011"), "{}", seen.out);
}

#[test]
fn the_last_line_of_a_failure_is_the_command_that_runs_it_again() {
    let folder = Folder::new();
    let file = folder.put("it's.json", SMALL);
    let seen = dbmsim(&["run", &file, "--seed", "3", "--driver", "plain"]);
    assert_eq!(seen.status, 1);
    let last = format!("dbmsim run '{}' --seed 3 --driver plain", file.replace('\'', r"'\''"));
    assert_eq!(seen.out.lines().last(), Some(last.as_str()));
    assert!(seen.out.contains("not seen: expect[0]: by 1s: x; y"));
    let seen = dbmsim(&["run", &file, "--seeds", "0..20", "--jobs", "4", "--quiet"]);
    assert_eq!(seen.status, 1);
    assert!(seen.out.contains("20 runs: 18 held, 2 failed"), "{}", seen.out);
    assert!(seen.out.contains("panic at 0s: ") && seen.out.contains("unlucky"), "{}", seen.out);
    assert!(seen.out.lines().last().is_some_and(|l| l.ends_with("--seed 3")), "{}", seen.out);
}

#[test]
fn output_is_the_same_for_any_number_of_threads() {
    let folder = Folder::new();
    folder.put("a/one.json", SMALL);
    folder.put("b/two.json", SMALL);
    let with = |jobs: &str| dbmsim(&["run", &folder.name(), "--seeds", "1..=40", "--json", "--jobs", jobs]);
    let alone = with("1");
    assert_eq!(alone.out.lines().count(), 81);
    assert_eq!(alone.out, with("5").out);
    let lines: Vec<serde_json::Value> =
        alone.out.lines().map(|l| serde_json::from_str(l).expect("each line is JSON")).collect();
    assert_eq!(
        (&lines[0]["type"], &lines[0]["seed"], &lines[0]["verdict"]),
        (&"run".into(), &1.into(), &"held".into())
    );
    assert_eq!(
        (&lines[0]["reproduce"], &lines[0]["downtime"]),
        (&serde_json::Value::Null, &"1s 500ms".into())
    );
    assert!(lines[2]["reproduce"].as_str().is_some_and(|c| c.ends_with("one.json --seed 3")));
    assert_eq!((&lines[80]["type"], &lines[80]["failed"]), (&"summary".into(), &8.into()));
}

#[test]
fn what_is_required_and_not_seen_fails_the_campaign() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    let want = folder.put("want.json", r#"{"statements": {"FAILOVER accepted": 2}, "events": {"EV-7": 0}}"#);
    let seen = dbmsim(&["run", &file, "--require", &want]);
    assert_eq!(seen.status, FAILED);
    assert!(seen.out.contains("missing: statements FAILOVER accepted: 0 of 2"), "{}", seen.out);
    let none = folder.put("none.json", r#"{"transitions": {}}"#);
    assert_eq!(dbmsim(&["run", &file, "--require", &none]).status, HELD);
    let wrong = folder.put("wrong.json", r#"{"transition": {}}"#);
    let seen = dbmsim(&["run", &file, "--require", &wrong]);
    assert!(seen.status == WRONG_INPUT && seen.err.contains("unknown field `transition`"), "{}", seen.err);
}

#[test]
fn with_json_the_trace_goes_to_the_other_stream() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    assert!(dbmsim(&["run", &file, "--trace"]).out.starts_with("event of 1\n"));
    let seen = dbmsim(&["run", &file, "--trace", "--json"]);
    assert_eq!(seen.err, "event of 1\n");
    assert_eq!(seen.out.lines().count(), 2);
}

#[test]
fn a_saved_plan_replays() {
    let folder = Folder::new();
    let chaos = SMALL.replace(
        "\"session\"",
        "\"chaos\": {\"from\": \"2s\", \"until\": \"20s\", \"every\": \"1s\"}, \"session\"",
    );
    let file = folder.put("small.json", chaos);
    let plans = folder.0.join("plans");
    let seen = dbmsim(&["run", &file, "--seeds", "1..5", "--save-plan", &plans.display().to_string()]);
    assert_eq!(seen.status, 1);
    let plan = plans.join("small-seed-3.json").display().to_string();
    assert!(seen.out.contains(&format!("plan saved: {plan}")), "{}", seen.out);
    assert_eq!(std::fs::read_dir(&plans).expect("plans").count(), 1);
    let again = dbmsim(&["replay", &plan]);
    assert_eq!(again.status, 1);
    assert!(again.out.contains("seed 3"));
    assert_eq!(dbmsim(&["plan", &file, "--seed", "3"]).out, std::fs::read_to_string(&plan).expect("plan"));
    assert_eq!(dbmsim(&["plan", &plan]).out, std::fs::read_to_string(&plan).expect("plan"));
    let refused = dbmsim(&["replay", &file]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("is no plan: it has no seed"), "{}", refused.err);
}

#[test]
fn bad_input_ends_with_2_and_its_place() {
    let folder = Folder::new();
    let missing = folder.0.join("none.json").display().to_string();
    let cases: Vec<(String, &str)> = vec![
        (missing, "none.json: cannot read"),
        (folder.put("broken.json", &SMALL[..60]), "broken.json:5:3: EOF"),
        (
            folder.put("unknown.json", SMALL.replace("\"name\": \"small\"", "\"nam\": \"small\"")),
            "unknown.json:3:",
        ),
        (
            folder.put("types.json", SMALL.replace("\"30s\"", "true")),
            "types.json:4:18: duration: invalid type",
        ),
        (folder.put("version.json", SMALL.replace(": 1,", ": 9,")), "dbmsim: this is format version 9"),
        (
            folder.put("who.json", SMALL.replace("\"mirror\": \"B\"", "\"mirror\": \"C\"")),
            "session.mirror: there is no",
        ),
        (folder.put("empty.json", ""), "empty.json: is empty"),
        (folder.put("latin1.json", b"{\"name\": \"\xe9\"}"), "latin1.json:1:11: is not UTF-8"),
        (folder.put("list.json", "[]"), "list.json:1:"),
    ];
    for (file, message) in &cases {
        for command in ["run", "check", "plan", "replay", "list"] {
            let seen = dbmsim(&[command, file]);
            assert_eq!(seen.status, 2, "{command} {file}");
            assert!(seen.err.contains(message), "{command} {file}: {}", seen.err);
        }
    }
}

#[test]
fn one_bad_file_among_good_ones_keeps_all_from_running() {
    let folder = Folder::new();
    folder.put("a.json", SMALL);
    folder.put("b.json", "{");
    folder.put("c.json", "[");
    let seen = dbmsim(&["run", &folder.name()]);
    assert_eq!((seen.status, seen.out.as_str()), (2, ""));
    assert!(seen.err.contains("b.json:1:") && seen.err.contains("c.json:1:"), "{}", seen.err);
    let seen = dbmsim(&["check", &folder.name()]);
    assert_eq!((seen.status, seen.out.as_str()), (2, "3 files checked, 2 wrong\n"));
}

#[test]
fn wrong_arguments_end_with_2_and_help_with_0() {
    for args in [
        &["run"][..],
        &["run", "x", "--seed", "1", "--seeds", "1..2"],
        &["run", "x", "--seeds", "5..5"],
        &["run", "x", "--seeds", "7"],
        &["run", "x", "--jobs", "0"],
        &["run", "x", "--driver", "steam"],
        &["dance"],
        &[],
    ] {
        assert_eq!(dbmsim(args).status, 2, "{args:?}");
    }
    assert_eq!(dbmsim(&["--help"]).status, 0);
    assert!(dbmsim(&["run", "--help"]).out.contains("Exit status"));
    assert_eq!(dbmsim(&["--version"]).status, 0);
}

#[test]
fn seeds_are_ranges_that_go_up() {
    assert_eq!("3..5".parse(), Ok(Seeds { first: 3, count: 2 }));
    assert_eq!("3..=5".parse(), Ok(Seeds { first: 3, count: 3 }));
    assert_eq!("0..=0".parse(), Ok(Seeds { first: 0, count: 1 }));
    for bad in ["5..3", "..3", "3..", "a..b", "3-5", "0..=18446744073709551615"] {
        assert!(bad.parse::<Seeds>().is_err(), "{bad}");
    }
}

/// A reader that takes `0` bytes and is gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    for args in [&["schema"][..], &["run", &file, "--seeds", "0..9"], &["plan", &file], &["--help"]] {
        let mut err = Vec::new();
        let mut streams = Streams { out: &mut Gone, err: &mut err, progress: false };
        let args = std::iter::once("dbmsim").chain(args.iter().copied()).map(OsString::from);
        let status = run(args, &crate::runner::run, &mut streams);
        assert_eq!((status, err.len()), (0, 0));
    }
}

#[test]
fn the_schema_is_json_and_lists_are_short() {
    let schema: serde_json::Value = serde_json::from_str(&dbmsim(&["schema"]).out).expect("JSON");
    assert!(schema["properties"]["session"].is_object());
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    assert_eq!(dbmsim(&["list", &file]).out, format!("small  30s\n    {file}\n"));
    assert!(dbmsim(&["list", "--json", &file]).out.contains("\"duration\":\"30s\""));
}

#[test]
fn arguments_are_well_formed() {
    use clap::CommandFactory;
    Args::command().debug_assert();
}

#[test]
fn every_shipped_scenario_is_fine_and_so_is_its_plan() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = read::find(&[scenarios]).expect("scenarios are shipped");
    assert!(files.len() >= 40, "{} files", files.len());
    for file in files {
        let scenario = read::file(&file).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            Some(scenario.name.as_str()),
            file.file_stem().and_then(|s| s.to_str()),
            "{}",
            file.display()
        );
        for seed in 0..20 {
            let plan = plan::resolve(&scenario, seed);
            assert_eq!(crate::validate::check(&plan), [], "{} seed {seed}", file.display());
        }
    }
}

#[test]
fn the_examples_of_the_documentation_are_fine() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md");
    let text = std::fs::read_to_string(&file).expect("docs/scenarios.md");
    let examples: Vec<&str> =
        text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        read::text(&file, example).unwrap_or_else(|e| panic!("{e}\n{example}"));
    }
    for name in crate::names::FRAMES.iter().chain(crate::names::STEPS).chain(crate::names::FILES) {
        assert!(text.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

#[test]
fn a_failing_seed_is_shrunk_into_a_scenario_that_fails_the_same_way() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    let out = folder.0.join("deep/result.json").display().to_string();
    let seen = dbmsim(&["shrink", &file, "--seed", "23", "--out", &out, "--driver", "plain"]);
    assert_eq!((seen.status, seen.err.as_str()), (0, ""));
    assert!(
        seen.out.starts_with("small seed 23 fails with unmet by 1s: x\nshrinking unmet by 1s: x\n"),
        "{}",
        seen.out
    );
    assert!(seen.out.contains("  before  0 steps, 30s, 0 clients, 3 instances\n"), "{}", seen.out);
    assert!(seen.out.contains("  after   0 steps, 2s, 0 clients, 2 instances; "), "{}", seen.out);
    assert!(seen.out.contains(&format!("{out}: written\n")), "{}", seen.out);
    assert_eq!(seen.out.lines().last(), Some(format!("dbmsim replay {out} --driver plain").as_str()));
    assert_eq!(dbmsim(&["replay", &out]).status, 1);
    let again = dbmsim(&["shrink", &out, "--out", &out]);
    assert!(again.out.contains("was there already, the same"), "{}", again.out);
}

#[test]
fn what_does_not_fail_is_wrong_input_for_shrinking() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    let seen = dbmsim(&["shrink", &file, "--seed", "4"]);
    assert_eq!((seen.status, seen.out.as_str()), (2, ""));
    assert!(seen.err.contains("seed 4 does not fail, so there is nothing to shrink"), "{}", seen.err);
    let seen = dbmsim(&["shrink", &file, "--seed", "3", "--signature", "data SUM"]);
    assert_eq!(seen.status, 2);
    let why = "seed 3 does not fail with `data SUM`; it fails with unmet by 1s: x";
    assert!(seen.err.contains(why), "{}", seen.err);
}

#[test]
fn shrinking_replaces_nothing_that_it_has_not_written() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    let seen = dbmsim(&["shrink", &file, "--seed", "3", "--out", &file]);
    assert_eq!(seen.status, 2);
    assert!(seen.err.contains("small.json: cannot write: there is something else there"), "{}", seen.err);
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), SMALL);
}

#[test]
fn shrinking_tells_machines_what_it_did() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    let out = folder.0.join("result.json").display().to_string();
    let seen = dbmsim(&["shrink", &file, "--seed", "3", "--out", &out, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&seen.out).expect("one JSON object");
    assert_eq!((&told["type"], &told["signature"]), (&"shrunk".into(), &"unmet by 1s: x".into()));
    assert_eq!((&told["before"]["duration"], &told["after"]["duration"]), (&"30s".into(), &"2s".into()));
    assert_eq!(told["file"], out.as_str());
    assert!(told["history"].as_array().is_some_and(|changes| !changes.is_empty()), "{told}");
}

#[test]
fn a_campaign_shrinks_the_first_failure_of_each_kind() {
    let folder = Folder::new();
    let file = folder.put("small.json", SMALL);
    let plans = folder.0.join("plans");
    let to = plans.display().to_string();
    let seen = dbmsim(&["run", &file, "--seeds", "0..40", "--shrink", "--save-plan", &to, "--quiet"]);
    assert_eq!((seen.status, seen.err.as_str()), (1, ""));
    // Seeds 3, 13, 23 and 33 fail, 13 with a panic.
    assert_eq!(seen.out.matches("shrinking ").count(), 2, "{}", seen.out);
    assert!(plans.join("small-3-unmet-by-1s-x.json").exists());
    assert!(
        seen.out.contains("shrinking panic sim/src/cli/tests.rs: assertion `left != right` failed: unlucky")
    );
    assert!(seen.out.lines().last().is_some_and(|l| l.ends_with("--seed 3")), "{}", seen.out);
}
