//! What a run's judgement is made of: violations, counted premises, and figures.
//!
//! A check that never had the chance to fail proves nothing, so each invariant counts how often its premise held;
//! a zero stays visible in the verdict.

use crate::time::Time;
use dbm_core::types::{InstanceId, TxnId};

/// A rule that a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, as the file that checks it is called.
    pub invariant: &'static str,
    /// The rule, by its id.
    pub rule: &'static str,
    /// When it showed.
    pub at: Time,
    /// What was seen, in a sentence.
    pub what: String,
}

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Facts seen.
    pub facts: u64,
    /// Switches of the principal role after which the new principal answered a client.
    pub failovers: u64,
    /// Transactions with changes whose confirmation left an instance.
    pub confirmed: u64,
    /// Transactions without changes whose confirmation left an instance.
    pub confirmed_read_only: u64,
    /// Transactions that the client knows to be rolled back at its wish.
    pub rolled_back: u64,
    /// Transactions that the client knows to have failed.
    pub failed: u64,
    /// Transactions of which the client does not know the outcome.
    pub unknown: u64,
    /// Confirmed transactions that the surviving log does not hold.
    pub lost: u64,
    /// Log blocks seen durable, each counted once.
    pub blocks: u64,
}

/// What lets a forced service cost a confirmed transaction. [FO-65, FO-67, FO-68]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Confirmed while the mirror was lost.
    Exposed,
    /// Confirmed while the session was suspended.
    Suspended,
    /// Confirmed before the mirror had caught up.
    Synchronizing,
    /// Confirmed with SAFETY OFF.
    SafetyOff,
    /// Confirmed after the force, by the old principal that did not know of it.
    BothServed,
    /// None: it must not be missing.
    None,
}

impl Window {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Window::Exposed => "exposed",
            Window::Suspended => "suspended",
            Window::Synchronizing => "synchronizing",
            Window::SafetyOff => "safety_off",
            Window::BothServed => "both_served",
            Window::None => "none",
        }
    }
}

/// A confirmed transaction that the surviving log does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which.
    pub txn: TxnId,
    /// Who confirmed it.
    pub by: InstanceId,
    /// When.
    pub confirmed_at: Time,
    /// Why it may be missing.
    pub window: Window,
}

/// The outcome of a run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What was broken, in the order in which it showed; at most [`VIOLATIONS_MAX`].
    pub violations: Vec<Violation>,
    /// Violations beyond that number, or beyond [`PER_RULE_MAX`] of one rule.
    pub dropped: u64,
    /// Invariant, premise, how often it held.
    pub premises: Vec<(&'static str, &'static str, u64)>,
    /// Figures.
    pub stats: Stats,
    /// What is missing at the end.
    pub losses: Vec<Loss>,
}

impl Verdict {
    /// Nothing was broken.
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Most violations kept of one run.
pub const VIOLATIONS_MAX: usize = 50;
/// Most violations kept of one rule of one invariant.
pub const PER_RULE_MAX: usize = 8;

/// Defines the premises once: variant, invariant, name.
macro_rules! premises {
    ($($variant:ident = $invariant:literal, $name:literal;)*) => {
        /// A premise of an invariant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Premise { $($variant,)* }
        const NAMES: &[(&str, &str)] = &[$(($invariant, $name)),*];
    };
}

premises! {
    BlockMatched = "logs", "a block became durable on a second copy";
    BlockChained = "logs", "a block continued a copy's log";
    LogForked = "logs", "a copy cut its log back and went on elsewhere";
    AckJudged = "logs", "an acknowledgement of hardened log left a copy";
    PageJudged = "logs", "a data page became durable";
    CommitConfirmed = "durability", "a commit with changes was confirmed";
    HeadKept = "durability", "a confirmation followed another";
    ServerTookOver = "durability", "an instance began to serve under a new n or life";
    ExposureJudged = "durability", "a commit was confirmed that the other copy lacks";
    FinalJudged = "durability", "a confirmed commit was looked up at the end";
    LineageBegan = "durability", "a forced principal began to serve";
    OldLogCut = "durability", "a copy off the fork dropped its old log, or undid a dead branch";
    ConfirmedCut = "durability", "a confirmed commit was dropped from a copy";
    LossJudged = "durability", "a confirmed commit was lost by a force in its window";
    RollbackJudged = "durability", "a rolled back transaction was looked up at the end";
    ReplyOrdered = "roles", "a successful reply under a known n";
    LeaseJudged = "roles", "a reply that needs a lease";
    RecordJudged = "roles", "a session record became durable";
    FrameJudged = "records", "a frame left an instance whose record is known";
    GrantJudged = "roles", "the witness granted an automatic take-over";
    ForcedGrantJudged = "roles", "the witness granted a forced take-over";
    BoundJudged = "switches", "a successful reply was compared with the record that binds its instance";
    HandOverJudged = "switches", "a principal handed its role over";
    ForceJudged = "switches", "a role sequence was made by force";
    FlagJudged = "switches", "the suspended flag changed in a record";
    WriterPlaced = "data", "a confirmed writer's values were compared";
    ReaderPlaced = "data", "a confirmed reader's values were compared";
    UnknownPlaced = "data", "a transaction of unknown outcome was found in the log";
    SumJudged = "data", "the sum of all accounts was compared";
    ForkJudged = "data", "a fork beside the surviving one was judged on its own";
    TransitionJudged = "states", "a change of role or state was told";
    StatusJudged = "states", "a view was compared with the durable record";
    CauseJudged = "states", "a suspension, failover or role switch that was told was compared with its cause";
    EventJudged = "events", "a numbered event was compared with what happened";
    EventDemanded = "events", "something happened that demands a numbered event";
    OwnerMustServe = "availability", "a settled world in which the owner must serve was tried by a client";
    MirrorMustTakeOver = "availability", "a settled world in which the mirror must have taken over";
    IsolatedMustNotServe = "availability", "a settled world with an isolated partner was passed";
    EndJudged = "liveness", "the run ended long enough after the last fault";
    SurvivorsJudged = "liveness", "the run ended with a majority whose last change was long enough ago";
    SurvivorServes = "liveness", "a partner and the witness were left, and the partner had to serve";
    ProgressJudged = "liveness", "the workload still ran at the end";
    StatesJudged = "liveness", "both views were compared with SYNCHRONIZED";
}

/// Collects violations and counts premises.
#[derive(Clone, Debug)]
pub(super) struct Report {
    violations: Vec<Violation>,
    dropped: u64,
    held: [u64; NAMES.len()],
    /// Figures of the run.
    pub(super) stats: Stats,
    /// What is missing at the end.
    pub(super) losses: Vec<Loss>,
}

impl Report {
    pub(super) fn new() -> Self {
        Report {
            violations: Vec::new(),
            dropped: 0,
            held: [0; NAMES.len()],
            stats: Stats::default(),
            losses: Vec::new(),
        }
    }

    /// A premise held.
    #[inline]
    pub(super) fn held(&mut self, premise: Premise) {
        self.held[premise as usize] += 1;
    }

    /// A rule is broken. The text is made only if it is kept.
    #[cold]
    pub(super) fn fire(
        &mut self,
        invariant: &'static str,
        rule: &'static str,
        at: Time,
        what: impl FnOnce() -> String,
    ) {
        let same = self.violations.iter().filter(|v| v.invariant == invariant && v.rule == rule).count();
        if self.violations.len() >= VIOLATIONS_MAX || same >= PER_RULE_MAX {
            self.dropped += 1;
            return;
        }
        self.violations.push(Violation { invariant, rule, at, what: what() });
    }

    /// The rules broken so far, as (invariant, rule).
    #[cfg(test)]
    pub(super) fn rules(&self) -> Vec<(&'static str, &'static str)> {
        self.violations.iter().map(|v| (v.invariant, v.rule)).collect()
    }

    pub(super) fn verdict(self) -> Verdict {
        let premises = NAMES.iter().zip(self.held).map(|(&(i, p), count)| (i, p, count)).collect();
        Verdict {
            violations: self.violations,
            dropped: self.dropped,
            premises,
            stats: self.stats,
            losses: self.losses,
        }
    }
}
