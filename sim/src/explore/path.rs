//! A path, as it is kept in a file and repeated from it.

use super::action::{Action, BreakKind};
use super::judge::Finding;
use super::links::{INSTANCES, NAMES};
use super::model::{BEGIN_US, Budget, Done, Model, Setup};
use super::moves;
use super::search;
use super::situation::{Lost, Situation};
use super::transcript::Taken;
use dbm_core::bugs::Bug;
use serde::{Deserialize, Serialize};

/// Version of the file format.
pub const FORMAT: u32 = 1;
/// Steps of a kind world after which a path counts as a dead end.
const KIND_STEPS: usize = 5_000;
/// Steps of it that are shown.
const KIND_STEPS_SHOWN: usize = 60;

/// What is explored: where it starts and what may happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The situation.
    pub situation: String,
    /// Is a witness set?
    pub witness: bool,
    /// Breaks.
    pub breaks: u8,
    /// Kinds of breaks.
    pub kinds: Vec<String>,
    /// Crashes.
    pub crashes: u8,
    /// Instances that may crash.
    pub crash_only: Vec<String>,
    /// Commits.
    pub commits: u8,
    /// Statements, in their order.
    pub statements: Vec<String>,
    /// Times at which the clock may go on although something is under way.
    pub stalls: u8,
    /// Most overtakings in one moment; absent: every order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtakes: Option<u8>,
    /// Heals and restarts in the middle of a moment too.
    pub repairs_anywhere: bool,
    /// The planted bug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
}

/// Why a question cannot be asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BadQuestion {
    /// No such situation.
    #[error("there is no situation `{0}`; `dbmsim explore --list` shows them")]
    Situation(String),
    /// No such kind of break.
    #[error("there is no kind of break `{0}`; there are reset, cut, drop")]
    Kind(String),
    /// No such instance.
    #[error("there is no instance `{0}`; there are A, B, W")]
    Instance(String),
    /// No such bug, or none in this build.
    #[error("there is no planted bug `{0}` in this build")]
    Bug(String),
    /// The situation cannot be reached.
    #[error("{0}: {1}")]
    Lost(String, Lost),
}

impl Question {
    fn setup(&self) -> Result<Setup, BadQuestion> {
        let kind = |name: &String| BreakKind::by_name(name).ok_or_else(|| BadQuestion::Kind(name.clone()));
        let mut crashing = [self.crash_only.is_empty(); INSTANCES];
        for name in &self.crash_only {
            let i = NAMES.iter().position(|n| n == name);
            crashing[i.ok_or_else(|| BadQuestion::Instance(name.clone()))?] = true;
        }
        let bug = |name: &String| {
            let known = Bug::by_name(name).filter(|_| cfg!(feature = "planted-bugs"));
            known.ok_or_else(|| BadQuestion::Bug(name.clone()))
        };
        Ok(Setup {
            witness: self.witness,
            breaks: self.kinds.iter().map(kind).collect::<Result<_, _>>()?,
            crashing,
            statements: self.statements.clone(),
            overtakes: self.overtakes,
            repairs_anywhere: self.repairs_anywhere,
            bug: self.bug.as_ref().map(bug).transpose()?,
        })
    }

    /// The world it is asked of.
    pub fn root(&self) -> Result<Model, BadQuestion> {
        self.reach().map(|(model, _)| model)
    }

    /// The same, with the way there.
    fn reach(&self) -> Result<(Model, Vec<Taken>), BadQuestion> {
        let no_situation = || BadQuestion::Situation(self.situation.clone());
        let situation = Situation::by_name(&self.situation).ok_or_else(no_situation)?;
        let left = Budget {
            breaks: self.breaks,
            crashes: self.crashes,
            commits: self.commits,
            stalls: self.stalls,
            overtakes: self.overtakes.unwrap_or_default(),
        };
        situation.reach(self.setup()?, left).map_err(|lost| BadQuestion::Lost(self.situation.clone(), lost))
    }
}

/// A path that breaks a rule, or that nothing leads back from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathFile {
    /// Format version.
    pub dbmsim_explore: u32,
    /// What was explored.
    pub question: Question,
    /// The rule, or `dead-end`.
    pub rule: String,
    /// What was seen.
    pub text: String,
    /// The steps.
    pub path: Vec<String>,
}

/// Name of the rule that something leads back.
pub const DEAD_END: &str = "dead-end";

/// Why a path cannot be repeated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoReplay {
    /// Another version.
    #[error("format {0} is not the format of this build, {FORMAT}")]
    Format(u32),
    /// The start.
    #[error(transparent)]
    Question(#[from] BadQuestion),
    /// A line that is no step.
    #[error(transparent)]
    Step(#[from] super::action::NoAction),
    /// A step that cannot be done: the protocol has changed since.
    #[error("step {0}, `{1}`, cannot be done any more: the path is of another build")]
    Impossible(usize, String),
}

/// What a replay showed.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// A line for each thing that happened.
    pub lines: Vec<String>,
    /// The rule that was broken again, if one was.
    pub finding: Option<Finding>,
    /// The way to the situation, then each step.
    pub taken: Vec<Taken>,
}

impl PathFile {
    /// Repeats the path, step by step.
    pub fn replay(&self) -> Result<Replayed, NoReplay> {
        if self.dbmsim_explore != FORMAT {
            return Err(NoReplay::Format(self.dbmsim_explore));
        }
        let (mut model, taken) = self.question.reach()?;
        model.verbose = true;
        let begin = model.now - BEGIN_US;
        let mut replayed = Replayed { lines: Vec::new(), finding: None, taken };
        for (number, text) in (1..).zip(&self.path) {
            let action: Action = text.parse()?;
            let (taken, done) = take(&mut model, action);
            taken.lines(number, begin, &mut replayed.lines);
            replayed.taken.push(taken);
            match done {
                Ok(Done::Yes) => {}
                Ok(Done::No) => return Err(NoReplay::Impossible(number, text.clone())),
                Err(finding) => {
                    replayed.finding = Some(finding);
                    return Ok(replayed);
                }
            }
        }
        if self.rule == DEAD_END {
            replayed.finding = dead_end(&mut model, self.path.len(), begin, &mut replayed.lines);
        }
        Ok(replayed)
    }
}

fn take(model: &mut Model, action: Action) -> (Taken, Result<Done, Finding>) {
    let mut taken = Taken::begin(model, action);
    let done = search::apply(model, action);
    taken.end(model);
    (taken, done)
}

/// Lets the world be kind from here on.
fn dead_end(model: &mut Model, steps: usize, begin: u64, lines: &mut Vec<String>) -> Option<Finding> {
    lines.push("from here on the world is kind: everything is healed and restarted".into());
    for step in 1..=KIND_STEPS {
        let action = moves::fair(model)?;
        let (taken, done) = take(model, action);
        if step <= KIND_STEPS_SHOWN || action.is_outside() {
            taken.lines(steps + step, begin, lines);
        }
        if let Err(finding) = done {
            return Some(finding);
        }
    }
    Some(Finding::new(DEAD_END, "it is not served and SYNCHRONIZED again".into()))
}
