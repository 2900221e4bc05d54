//! The explorer finds the flaws of `docs/spec/model-check.md` again when the rules that close them are undone, and finds
//! nothing in the same place otherwise.

use dbm_sim::cli::{self, FAILED, HELD, Streams};
use dbm_sim::explore::path::Question;
use dbm_sim::explore::search::{Limits, Outcome, search};
use dbm_sim::runner;
use std::ffi::OsString;

fn question(situation: &str, bug: &str) -> Question {
    Question {
        situation: situation.into(),
        witness: true,
        breaks: 0,
        kinds: vec!["cut".into(), "drop".into()],
        crashes: 0,
        crash_only: Vec::new(),
        commits: 0,
        statements: Vec::new(),
        stalls: 0,
        overtakes: Some(1),
        repairs_anywhere: false,
        bug: Some(bug.into()),
    }
}

fn explore(question: &Question) -> Outcome {
    let root = question.root().expect("the question makes sense");
    search(root, Limits { states: 500_000, depth: u32::MAX }, &mut |_| true)
}

/// The rule that is broken with the bug. Without it, everything holds.
#[track_caller]
fn only_with_the_bug(question: &Question) -> &'static str {
    let without = explore(&Question { bug: None, ..question.clone() });
    assert!(without.finding.is_none() && without.dead_ends == 0 && without.cut_off.is_none(), "{without:?}");
    let with = explore(question);
    match with.finding {
        Some((finding, _)) => finding.rule,
        None => {
            assert!(with.dead_ends > 0, "{with:?}");
            "dead-end"
        }
    }
}

/// F1: a mirror that goes on echoing and following with an open claim lets both serve. [OQ-4.3]
#[test]
fn claimant_that_follows_lets_two_serve() {
    let question = Question { breaks: 2, ..question("quorum", "claimant-follows") };
    assert_eq!(only_with_the_bug(&question), "two-servers");
}

/// F2: an instance that is told that it owns a higher role sequence, and stays mirror, leaves nobody to serve. [OQ-4.5]
#[test]
fn owner_that_stays_mirror_is_a_dead_end() {
    let question = Question { breaks: 1, kinds: vec!["drop".into()], ..question("claim", "not-elected") };
    let question = Question { overtakes: Some(0), ..question };
    assert_eq!(only_with_the_bug(&question), "dead-end");
}

/// F4: a hand-over under the old role sequence makes two owners of it. [OQ-9, OQ-7]
#[test]
fn hand_over_that_keeps_its_sequence_makes_two_owners() {
    let question = Question { witness: false, breaks: 1, ..question("handover", "handover-keeps-sequence") };
    let question = Question { statements: vec!["FORCE".into()], ..question };
    assert_eq!(only_with_the_bug(&question), "two-owners");
}

/// F5: a forced service that asks for no declaration of loss begins while the old principal's lease runs. [OQ-4.6]
#[test]
fn forced_service_without_a_claim_lets_two_serve() {
    let question =
        Question { breaks: 2, kinds: vec!["drop".into()], ..question("quorum", "force-without-claim") };
    let question = Question { statements: vec!["FORCE".into()], ..question };
    assert_eq!(only_with_the_bug(&question), "two-servers");
}

fn dbmsim(args: &[&str]) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("dbmsim").chain(args.iter().copied()).map(OsString::from);
    let mut streams = Streams { out: &mut out, err: &mut err, progress: false };
    let status = cli::run(args, &runner::run, &mut streams);
    (status, String::from_utf8(out).expect("output is text"))
}

/// What was found is saved as a path that breaks the same rule again, and as a scenario that can be read.
#[test]
fn a_finding_is_saved_and_repeated() {
    let folder = std::env::temp_dir().join(format!("dbmsim-explore-{}", std::process::id()));
    let name = folder.display().to_string();
    let bug = ["--bug", "force-without-claim"];
    let what =
        ["explore", "quorum", "--breaks", "2", "--kinds", "drop", "--statements", "FORCE", "--save", &name];
    let (status, out) = dbmsim(&[&what[..], &bug].concat());
    assert_eq!(status, FAILED, "{out}");
    assert!(out.contains("two-servers"), "{out}");
    let path = folder.join("quorum-two-servers.path.json").display().to_string();
    let (status, out) = dbmsim(&["explore", "--replay", &path]);
    assert_eq!(status, FAILED, "{out}");
    assert!(out.contains("two-servers"), "{out}");
    let scenario = folder.join("quorum-two-servers.json").display().to_string();
    assert_eq!(dbmsim(&["check", &scenario]).0, HELD);
    std::fs::remove_dir_all(&folder).expect("the test's own folder");
}
