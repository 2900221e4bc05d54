//! Breadth-first search, level by level, so that the first path found is a shortest one. The states of a level are
//! worked on in parallel and put into the table in order: the result is the same for any number of threads.

use super::action::Action;
use super::judge::Finding;
use super::model::{Done, Model};
use super::moves;
use super::table::{Fate, NONE, Table};
use rayon::prelude::*;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// States worked on together.
const BATCH: usize = 1024;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most states.
    pub states: u64,
    /// Longest path.
    pub depth: u32,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Different states.
    pub states: u64,
    /// Moves tried that did something.
    pub transitions: u64,
    /// Length of the longest of the shortest paths.
    pub depth: u32,
    /// States of the level at hand.
    pub frontier: u64,
    /// States in which the kind world arrives at once.
    pub arrived: u64,
}

/// Which limit ended a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutOff {
    /// Too many states.
    States,
    /// Too long a path.
    Depth,
    /// No time left.
    Time,
}

impl CutOff {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            CutOff::States => "states",
            CutOff::Depth => "depth",
            CutOff::Time => "time",
        }
    }
}

/// What a search ends with.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How far it came.
    pub counts: Counts,
    /// The limit that ended it; `None`: every path was followed to its end, or a rule was broken.
    pub cut_off: Option<CutOff>,
    /// The broken rule, and a shortest path to it.
    pub finding: Option<(Finding, Vec<Action>)>,
    /// States from which even a kind world does not get back to "served and SYNCHRONIZED".
    pub dead_ends: u64,
    /// A shortest path to one.
    pub dead_end: Option<Vec<Action>>,
    /// States of which that is not known, because the search was cut off.
    pub open: u64,
}

/// What became of one move.
enum Child {
    /// A state seen before, by number.
    Known(u32),
    /// A state not seen before this batch.
    New(u128, Box<Model>),
    /// A broken rule.
    Broken(Finding),
}

struct Expanded {
    children: Vec<(Action, Child)>,
    fair: Option<Action>,
}

thread_local! {
    /// A panic here is a finding, and not printed.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CAUGHT.get() {
                PANIC.set(info.to_string());
            } else {
                before(info);
            }
        }));
    });
}

/// Does one thing to a world; a panic in it is a finding.
pub fn apply(model: &mut Model, action: Action) -> Result<Done, Finding> {
    quiet_panics();
    CAUGHT.set(true);
    let done = catch_unwind(AssertUnwindSafe(|| model.apply(action)));
    CAUGHT.set(false);
    done.unwrap_or_else(|_| Err(Finding::new("panic", PANIC.take())))
}

fn expand(model: &Model, table: &Table) -> Expanded {
    let fair = moves::fair(model);
    let mut children = Vec::new();
    for action in moves::moves(model) {
        let mut child = model.clone();
        let child = match apply(&mut child, action) {
            Ok(Done::No) => continue,
            Ok(Done::Yes) => {
                let hash = child.hash();
                table.find(hash).map_or_else(|| Child::New(hash, Box::new(child)), Child::Known)
            }
            Err(finding) => Child::Broken(finding),
        };
        children.push((action, child));
    }
    Expanded { children, fair }
}

/// Explores everything that can happen to `root`. `go_on` is asked and told from time to time.
pub fn search(root: Model, limits: Limits, go_on: &mut dyn FnMut(&Counts) -> bool) -> Outcome {
    let mut table = Table::new();
    let mut counts = Counts { states: 1, ..Counts::default() };
    let mut cut_off = None;
    let mut finding = None;
    table.add(root.hash(), NONE, Action::Advance);
    let mut level = vec![(0, root)];
    'search: while !level.is_empty() {
        if counts.depth >= limits.depth {
            cut_off = Some(CutOff::Depth);
            break;
        }
        let mut next = Vec::new();
        let mut rest = level.into_iter();
        loop {
            let batch: Vec<(u32, Model)> = rest.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let expanded: Vec<(u32, Expanded)> =
                batch.par_iter().map(|(id, model)| (*id, expand(model, &table))).collect();
            drop(batch);
            for (id, state) in expanded {
                if state.fair.is_none() {
                    table.arrives(id);
                    counts.arrived += 1;
                }
                for (action, child) in state.children {
                    counts.transitions += 1;
                    let child = match child {
                        Child::Known(child) => child,
                        Child::New(hash, model) => {
                            let (child, new) = table.add(hash, id, action);
                            if new {
                                next.push((child, *model));
                            }
                            child
                        }
                        Child::Broken(broken) => {
                            let mut path = table.path(id);
                            path.push(action);
                            finding = Some((broken, path));
                            break 'search;
                        }
                    };
                    if Some(action) == state.fair {
                        table.leads(id, child);
                    }
                }
            }
            counts.states = table.len() as u64;
            counts.frontier = next.len() as u64;
            if counts.states >= limits.states {
                cut_off = Some(CutOff::States);
                break 'search;
            }
            if !go_on(&counts) {
                cut_off = Some(CutOff::Time);
                break 'search;
            }
        }
        level = next;
        counts.depth += u32::from(!level.is_empty());
    }
    counts.states = table.len() as u64;
    let fates = table.fates();
    let dead = |fate: &Fate| *fate == Fate::Dead;
    Outcome {
        counts,
        cut_off,
        dead_ends: fates.iter().filter(|f| dead(f)).count() as u64,
        dead_end: fates.iter().position(dead).map(|id| table.path(id as u32)),
        open: if finding.is_some() { 0 } else { fates.iter().filter(|f| **f == Fate::Open).count() as u64 },
        finding,
    }
}
