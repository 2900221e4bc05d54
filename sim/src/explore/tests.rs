//! The explorer on questions of a few thousand states: what it counts, that it counts the same every time, and that
//! the world does what it says.

use super::action::{Action, BreakKind};
use super::links::pair;
use super::model::Done;
use super::moves;
use super::path::{BadQuestion, FORMAT, NoReplay, PathFile, Question};
use super::search::{self, CutOff, Limits, Outcome, search};
use super::situation::SITUATIONS;

const NO_LIMIT: Limits = Limits { states: u64::MAX, depth: u32::MAX };

fn question(situation: &str) -> Question {
    Question {
        situation: situation.into(),
        witness: true,
        breaks: 0,
        kinds: vec!["reset".into(), "cut".into(), "drop".into()],
        crashes: 0,
        crash_only: Vec::new(),
        commits: 0,
        statements: Vec::new(),
        stalls: 0,
        overtakes: None,
        repairs_anywhere: false,
        bug: None,
    }
}

fn explore(question: &Question, limits: Limits, threads: usize) -> Outcome {
    let root = question.root().expect("the question makes sense");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
    pool.install(|| search(root, limits, &mut |_| true))
}

fn held(outcome: &Outcome) -> bool {
    outcome.finding.is_none() && outcome.dead_ends == 0 && outcome.cut_off.is_none() && outcome.open == 0
}

/// Every situation is reached, and from each the world finds back by itself.
#[test]
fn every_situation_is_reached_and_leads_back() {
    for situation in SITUATIONS.iter().filter(|s| s.name != "force" && s.name != "claim") {
        let outcome = explore(&question(situation.name), NO_LIMIT, 2);
        assert!(held(&outcome), "{}: {outcome:?}", situation.name);
        assert!(outcome.counts.arrived > 0, "{}", situation.name);
    }
}

/// One break of any link, of any kind, at any moment, with every order of everything: nothing is broken.
#[test]
fn one_break_holds() {
    let outcome = explore(&Question { breaks: 1, ..question("quorum") }, NO_LIMIT, 2);
    assert!(held(&outcome), "{outcome:?}");
    assert!(outcome.counts.states > 1000, "{outcome:?}");
}

/// The same on any number of threads, and every time.
#[test]
fn counts_are_the_same_on_any_number_of_threads() {
    let crash = Question { crashes: 1, crash_only: vec!["B".into()], commits: 1, ..question("quorum") };
    let crash = Question { overtakes: Some(1), ..crash };
    let one = explore(&crash, NO_LIMIT, 1);
    let four = explore(&crash, NO_LIMIT, 4);
    assert!(held(&one), "{one:?}");
    assert_eq!(one.counts, four.counts);
}

/// What a limit left out is said.
#[test]
fn limits_cut_off_and_say_so() {
    let one_break = Question { breaks: 1, ..question("quorum") };
    let shallow = explore(&one_break, Limits { depth: 5, ..NO_LIMIT }, 1);
    assert_eq!((shallow.cut_off, shallow.counts.depth), (Some(CutOff::Depth), 5));
    assert!(shallow.open > 0 && shallow.dead_ends == 0, "{shallow:?}");
    let few = explore(&one_break, Limits { states: 100, ..NO_LIMIT }, 1);
    assert_eq!(few.cut_off, Some(CutOff::States));
}

/// Bounding how often an order is overtaken leaves fewer states, and all of them are among the others.
#[test]
fn fewer_overtakings_are_fewer_states() {
    let one_break = Question { breaks: 1, ..question("quorum") };
    let states = |overtakes| explore(&Question { overtakes, ..one_break.clone() }, NO_LIMIT, 2).counts.states;
    assert!(states(Some(0)) < states(Some(1)));
}

/// A cut is silent until it is healed, and the mirror takes over from a principal that is cut off.
#[test]
fn a_principal_that_is_cut_off_is_replaced() {
    let mut model = Question { breaks: 2, ..question("quorum") }.root().expect("a situation");
    for other in [1, 2] {
        assert_eq!(model.apply(Action::Break(pair(0, other), BreakKind::Cut)), Ok(Done::Yes));
    }
    while !model.ghost.serves(1) {
        let next = moves::events(&model).next().unwrap_or(Action::Advance);
        assert_eq!(model.apply(next), Ok(Done::Yes));
        assert!(model.ghost.servers() < 2);
    }
    assert!(!model.ghost.serves(0));
    assert!(!moves::arrived(&model));
    while let Some(kind) = moves::fair(&model) {
        assert_eq!(model.apply(kind), Ok(Done::Yes));
    }
    assert!(moves::arrived(&model) && model.ghost.serves(1));
}

/// What cannot be done is no step.
#[test]
fn steps_that_cannot_be_done_are_refused() {
    let mut model = question("quorum").root().expect("a situation");
    let impossible = [
        Action::Heal(0),
        Action::Restart(0),
        Action::Deliver(9_999, 0),
        Action::Commit(1),
        Action::Statement(0),
    ];
    for action in impossible {
        assert_eq!(search::apply(&mut model, action), Ok(Done::No), "{action}");
    }
}

/// A path in a file is repeated step by step; one that this build cannot take is told from one that holds.
#[test]
fn paths_are_repeated_from_their_file() {
    let steps = ["cut A-B", "advance", "heal A-B", "advance"];
    let file = PathFile {
        dbmsim_explore: FORMAT,
        question: Question { breaks: 1, ..question("quorum") },
        rule: "two-servers".into(),
        text: String::new(),
        path: steps.map(str::to_owned).to_vec(),
    };
    let replayed = file.replay().expect("it can be repeated");
    assert_eq!(replayed.finding, None);
    assert!(replayed.lines.iter().any(|l| l.ends_with("cut A-B")), "{:?}", replayed.lines);
    let scenario = super::as_scenario::scenario(&file, &replayed.taken);
    assert_eq!(scenario.timeline.len(), 2);
    let impossible = PathFile { path: vec!["heal A-B".into()], ..file.clone() };
    assert!(matches!(impossible.replay(), Err(NoReplay::Impossible(1, _))));
    let nonsense = PathFile { path: vec!["break a leg".into()], ..file };
    assert!(matches!(nonsense.replay(), Err(NoReplay::Step(_))));
}

/// Questions that make no sense are told apart.
#[test]
fn questions_that_make_no_sense_are_refused() {
    assert!(matches!(question("nowhere").root(), Err(BadQuestion::Situation(_))));
    let kinds = Question { kinds: vec!["gone".into()], ..question("quorum") };
    assert!(matches!(kinds.root(), Err(BadQuestion::Kind(_))));
    let nobody = Question { crash_only: vec!["C".into()], ..question("quorum") };
    assert!(matches!(nobody.root(), Err(BadQuestion::Instance(_))));
    let alone = Question { witness: false, ..question("claim") };
    assert!(matches!(alone.root(), Err(BadQuestion::Lost(..))));
}
