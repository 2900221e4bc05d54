//! The program `dbmsim` as its users have it: a process with arguments, two streams and an exit status. What needs no
//! process of its own is tested in `src/cli/tests.rs`.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Seen {
    status: i32,
    out: String,
    err: String,
}

/// Runs `dbmsim` at the root of the workspace.
fn dbmsim(args: &[&str]) -> Seen {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dbmsim"));
    let output = command.args(args).current_dir(root).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    let status = output.status.code().expect("it was not killed");
    Seen { status, out: text(output.stdout), err: text(output.stderr) }
}

/// A directory of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dbmsim-process-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary directory");
        Folder(path)
    }
    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("temporary file");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const CRASH: &str = "scenarios/failover/principal-crash-restart.json";
const CHAOS: &str = "scenarios/chaos/chaos.json";

/// The objects on the lines of `out`.
fn objects(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The digests of some runs, in order.
fn digests(args: &[&str]) -> Vec<String> {
    let seen = dbmsim(&[args, &["--json"]].concat());
    let runs = objects(&seen.out).into_iter().filter(|object| object["type"] == "run");
    runs.map(|run| run["digest"].as_str().expect("a digest is text").to_owned()).collect()
}

/// A scenario that cannot hold: it wants the mirror to serve while nothing happens.
fn unmet(folder: &Folder) -> String {
    folder.put(
        "unmet.json",
        r#"{"dbmsim": 1, "name": "unmet", "duration": "10s",
            "instances": [{"name": "A"}, {"name": "B"}, {"name": "W"}],
            "session": {"principal": "A", "mirror": "B", "witness": "W"}, "workload": {},
            "timeline": [{"between": ["4s", "5s"], "do": {"clock_step": {"host": "A", "ms": 5}}}],
            "expect": [{"by": "9s", "that": {"served_by": "B"}}]}"#,
    )
}

/// [INV-14]
#[test]
fn two_processes_print_the_same() {
    for args in [&["run", CRASH, "--seed", "3", "--trace"][..], &["run", CHAOS, "--seeds", "1..9", "--json"]]
    {
        let (first, second) = (dbmsim(args), dbmsim(args));
        assert_eq!(first.status, 0, "{}", first.err);
        assert!(first.out == second.out, "{args:?}: two processes differ");
    }
}

#[test]
fn a_run_that_holds_ends_with_0_and_one_line() {
    let seen = dbmsim(&["run", CRASH]);
    assert_eq!((seen.status, seen.err.as_str(), seen.out.lines().count()), (0, "", 1));
    assert!(seen.out.starts_with("held   principal-crash-restart seed 1  digest "), "{}", seen.out);
    assert!(seen.out.contains("1 failover"), "{}", seen.out);
}

#[test]
fn the_last_line_of_a_failure_runs_it_again() {
    let folder = Folder::new("reproduce");
    let file = unmet(&folder);
    let seen = dbmsim(&["run", &file, "--seeds", "5..8", "--driver", "plain"]);
    assert_eq!(seen.status, 1);
    assert!(seen.out.contains("not seen: expect[0]: "), "{}", seen.out);
    let last = seen.out.lines().last().expect("there is output");
    let words: Vec<&str> = last.split(' ').collect();
    assert_eq!(words[0], "dbmsim", "{last}");
    let again = dbmsim(&words[1..]);
    assert_eq!(again.status, 1);
    let failed = again.out.lines().next().expect("there is output");
    assert!(failed.starts_with("FAILED unmet seed 5  digest "), "{failed}");
    assert!(seen.out.lines().any(|line| line == failed), "{failed}\nis not in\n{}", seen.out);
}

#[test]
fn json_has_its_fields_in_their_order() {
    let seen = dbmsim(&["run", CRASH, "--seeds", "1..3", "--json"]);
    assert_eq!((seen.status, seen.err.as_str()), (0, ""));
    let fields = |line: &str| -> Vec<String> {
        // Top-level keys as written: serde_json's own map would sort them.
        let mut depth = 0;
        let mut keys = Vec::new();
        let mut rest = line;
        while let Some(i) = rest.find(['{', '}', '[', ']', '"']) {
            let found = rest.as_bytes()[i];
            rest = &rest[i + 1..];
            match found {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {
                    let end = rest.find('"').expect("texts are closed and hold no quotes here");
                    let (text, after) = (&rest[..end], &rest[end + 1..]);
                    if depth == 1 && after.starts_with(':') {
                        keys.push(text.to_owned());
                    }
                    rest = after;
                }
            }
        }
        keys
    };
    let lines: Vec<&str> = seen.out.lines().collect();
    let run = "type scenario file seed verdict promise promise_reasons digest violations beyond unmet premises \
               faults_felt committed unknown failed failovers events virtual_time downtime lost_transactions losses \
               coverage reproduce";
    let summary = "type runs held failed runs_with_faults runs_with_failovers promises live_unjudged runs_beyond \
                   premises faults_felt committed events coverage missing failures first_failure";
    assert_eq!(fields(lines[0]).join(" "), run);
    assert_eq!(fields(lines[2]).join(" "), summary);
    let objects = objects(&seen.out);
    assert_eq!(objects[1]["seed"], 2);
    assert_eq!(objects[1]["failovers"], 1);
    assert_eq!(objects[1]["virtual_time"], "40s");
    assert_eq!(objects[2]["runs"], 2);
}

#[test]
fn results_come_in_the_order_of_seeds_on_any_number_of_threads() {
    let with = |jobs| dbmsim(&["run", CHAOS, CRASH, "--seeds", "1..=12", "--jobs", jobs, "--json"]).out;
    let alone = with("1");
    assert_eq!(alone, with("2"));
    let seeds: Vec<u64> = objects(&alone).iter().filter_map(|run| run["seed"].as_u64()).collect();
    assert_eq!(seeds, (1..=12).chain(1..=12).collect::<Vec<u64>>());
}

#[test]
fn a_plan_replays_with_the_digest_of_the_run() {
    let folder = Folder::new("replay");
    for file in [CHAOS, CRASH] {
        let plan = folder.put("plan.json", dbmsim(&["plan", file, "--seed", "17"]).out);
        let run = digests(&["run", file, "--seed", "17"]);
        assert_eq!(run.len(), 1);
        assert_eq!(digests(&["replay", &plan]), run);
        assert_eq!(digests(&["run", &plan]), run);
    }
}

#[test]
fn the_saved_plan_of_a_failure_fails_again() {
    let folder = Folder::new("save");
    let file = unmet(&folder);
    let plans = folder.0.join("plans").display().to_string();
    let run = digests(&["run", &file, "--seeds", "2..4", "--save-plan", &plans]);
    let plan = format!("{plans}/unmet-seed-3.json");
    let again = dbmsim(&["replay", &plan]);
    assert_eq!(again.status, 1);
    assert!(again.out.contains(&run[1]), "{} is not in {}", run[1], again.out);
}

#[test]
fn check_determinism_finds_two_equal_runs() {
    let seen = dbmsim(&["run", CHAOS, "--seeds", "1..4", "--check-determinism"]);
    assert_eq!(seen.status, 0, "{}", seen.out);
    assert!(seen.out.contains("3 runs: 3 held"), "{}", seen.out);
}

#[test]
fn both_drivers_give_the_same_digests() {
    let with = |driver| digests(&["run", CHAOS, "--seeds", "1..6", "--driver", driver]);
    assert_eq!(with("madsim"), with("plain"));
}

#[test]
fn bad_input_ends_with_2_its_place_and_no_panic() {
    let folder = Folder::new("bad");
    let good = |change: &dyn Fn(String) -> String| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        change(std::fs::read_to_string(root.join(CRASH)).expect("a shipped scenario"))
    };
    let with = |from: &str, to: &str| {
        good(&|text| {
            assert!(text.contains(from), "{from} is not in the scenario");
            text.replacen(from, to, 1)
        })
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "empty.json: is empty"),
        ("cut-off", good(&|text| text[..100].to_owned()).into(), "cut-off.json:4:"),
        ("no-json", "hello".into(), "no-json.json:1:"),
        ("array", "[]".into(), "array.json:1:"),
        ("latin-1", b"{\"name\": \"\xe9\"}".to_vec(), "latin-1.json:1:11: is not UTF-8"),
        ("deep", "[".repeat(100_000).into(), "deep.json:1:"),
        ("zeroes", vec![0; 1000], "zeroes.json:1:"),
        ("version", with("\"dbmsim\": 1", "\"dbmsim\": 2").into(), "version.json: dbmsim: "),
        ("twice", with("\"note\"", "\"name\"").into(), "twice"),
        ("unknown-field", with("\"timeline\"", "\"time_line\"").into(), "unknown field `time_line`"),
        ("unknown-action", with("\"crash\"", "\"crsh\"").into(), "timeline[0].do"),
        ("wrong-type", with("\"40s\"", "40").into(), "duration: invalid type"),
        ("no-time", with("\"40s\"", "\"40 parsecs\"").into(), "duration"),
        ("huge-time", with("\"40s\"", "\"99999999999999999999s\"").into(), "duration"),
        ("long", with("\"40s\"", "\"9000h\"").into(), "duration"),
        ("who", with("\"mirror\": \"B\"", "\"mirror\": \"C\"").into(), "session.mirror"),
        ("same", with("\"mirror\": \"B\"", "\"mirror\": \"A\"").into(), "session"),
        ("late", with("\"at\": \"15s\"", "\"at\": \"150s\"").into(), "timeline[1]"),
        ("order", with("\"at\": \"15s\"", "\"at\": \"1s\"").into(), "timeline[1]"),
        ("whom", with("{\"crash\": \"A\"}", "{\"crash\": \"Z\"}").into(), "timeline[0].do"),
    ];
    for (name, content, message) in cases {
        let file = folder.put(&format!("{name}.json"), content);
        for command in ["run", "check", "plan", "replay"] {
            let seen = dbmsim(&[command, &file]);
            assert_eq!(seen.status, 2, "{command} {name}: {}", seen.err);
            assert!(seen.err.contains(message), "{command} {name}: {}", seen.err);
            assert!(!seen.err.contains("panicked"), "{command} {name}: {}", seen.err);
        }
    }
}

#[test]
fn bad_files_and_arguments_end_with_2() {
    let folder = Folder::new("arguments");
    let nowhere = folder.0.join("none.json").display().to_string();
    let empty = folder.0.join("empty");
    std::fs::create_dir_all(&empty).expect("temporary directory");
    let empty = empty.display().to_string();
    for args in [
        &["run", nowhere.as_str()][..],
        &["run", &empty],
        &["run", CRASH, &nowhere],
        &["replay", CRASH],
        &["run"],
        &["run", CRASH, "--seed", "x"],
        &["run", CRASH, "--seed", "-1"],
        &["run", CRASH, "--seeds", "9..3"],
        &["run", CRASH, "--seed", "1", "--seeds", "1..2"],
        &["run", CRASH, "--jobs", "0"],
        &["run", CRASH, "--driver", "none"],
        &["dance"],
    ] {
        let seen = dbmsim(args);
        assert_eq!((seen.status, seen.out.as_str()), (2, ""), "{args:?}: {}", seen.err);
        assert!(!seen.err.is_empty() && !seen.err.contains("panicked"), "{args:?}: {}", seen.err);
    }
}

/// An exploration that holds ends with 0 and tells what it covered; one that makes no sense ends with 2.
#[test]
fn an_exploration_tells_what_it_covered() {
    let seen = dbmsim(&["explore", "quorum", "--breaks", "1", "--kinds", "reset", "--json"]);
    assert_eq!(seen.status, 0, "{}", seen.err);
    let report = &objects(&seen.out)[0];
    assert_eq!(report["verdict"], "held");
    assert_eq!(report["dead_ends"], 0);
    assert!(report["cut_off"].is_null());
    assert!(report["states"].as_u64().is_some_and(|states| states > 100));
    let seen = dbmsim(&["explore", "quorum", "--breaks", "1", "--max-depth", "3"]);
    assert_eq!(seen.status, 0);
    assert!(seen.out.contains("cut off by the limit of depth"), "{}", seen.out);
    assert_eq!(dbmsim(&["explore", "nowhere"]).status, 2);
    assert_eq!(dbmsim(&["explore", "--replay", "no-such-file"]).status, 2);
    assert!(dbmsim(&["explore", "--list"]).out.contains("quorum"));
}
