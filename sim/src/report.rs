//! What is told about a run: one record, the same for people and for machines. The order of fields is part of the
//! format.

mod signature;

pub use signature::signature;

use crate::coverage::{Coverage, Required};
use crate::expect::Unmet;
use crate::moments::Seen;
use crate::promise::{Promise, Tier};
use crate::time::Time;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// The rule.
    pub rule: String,
    /// When.
    pub at: Time,
    /// What.
    pub what: String,
}

/// The premise of liveness, as reports name it.
const END_JUDGED: &str = "liveness: the run ended long enough after the last fault";

/// What a run has shown, as the runner hands it over.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Rolling digest over every event.
    pub digest: u64,
    /// Number of events.
    pub events: u64,
    /// Virtual time at the end.
    pub end: Time,
    /// The trace, a line an event, if asked for.
    pub trace: Vec<String>,
    /// The moments that a step could have waited for, if asked for.
    pub moments: Vec<Seen>,
    /// (events so far, digest after them) on the way, to find where two runs part when their traces do not tell.
    pub checkpoints: Vec<(u64, u64)>,
    /// Events and states of the window that was asked for, a line each.
    pub recorded: Vec<String>,
    /// What the plan promises.
    pub promise: Promise,
    /// Broken invariants.
    pub violations: Vec<Violation>,
    /// Broken invariants of a plan that is outside the guarantee.
    pub beyond: Vec<Violation>,
    /// Expectations and triggers that were not met.
    pub unmet: Vec<Unmet>,
    /// How often each premise of an invariant held, by "invariant: premise".
    pub premises: BTreeMap<String, u64>,
    /// Faults that a node felt, by kind.
    pub faults_felt: BTreeMap<&'static str, u64>,
    /// Transactions confirmed to a client.
    pub committed: u64,
    /// Transactions whose outcome no client knows.
    pub unknown: u64,
    /// Transactions that failed for sure.
    pub failed: u64,
    /// Switches of the principal role.
    pub failovers: u64,
    /// Longest time without an answer.
    pub downtime: Time,
    /// Confirmed transactions that are missing.
    pub lost: Vec<Loss>,
    /// Statements, transitions, events and role switches that were seen.
    pub coverage: Coverage,
}

/// A confirmed transaction that a forced service has cost. [FO-65 … FO-68]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Its number.
    pub transaction: u64,
    /// Who confirmed it.
    pub by: String,
    /// When.
    pub confirmed_at: Time,
    /// What state let it be lost: "exposed", "suspended", "synchronizing", "safety_off", "both_served"; "none" for a
    /// transaction that should not be missing.
    pub window: &'static str,
}

/// Did everything hold?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Held,
    /// No.
    Failed,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViolationReport {
    /// Its name; "panic" and "determinism" for findings of the runner itself.
    pub invariant: String,
    /// The rule it keeps.
    pub rule: String,
    /// When, in virtual time.
    pub at: Time,
    /// What happened.
    pub what: String,
}

/// Everything about one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// "run", to tell it from the summary.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The scenario's name.
    pub scenario: String,
    /// The file it came from.
    pub file: String,
    /// The seed.
    pub seed: u64,
    /// Held or failed.
    pub verdict: Verdict,
    /// What the plan promises: "live", "safe" or "outside".
    pub promise: Tier,
    /// Why it promises no more.
    pub promise_reasons: Vec<String>,
    /// Rolling digest of all events and states, 16 hexadecimal digits.
    pub digest: String,
    /// Every violation, in the order found.
    pub violations: Vec<ViolationReport>,
    /// What the oracle found in a plan outside the guarantee; it fails nothing.
    pub beyond: Vec<ViolationReport>,
    /// Expectations not met and triggers never reached.
    pub unmet: Vec<Unmet>,
    /// How often the premise of each invariant held.
    pub premises: BTreeMap<String, u64>,
    /// Faults that a node felt, by kind.
    pub faults_felt: BTreeMap<String, u64>,
    /// Transactions that a client knows to be committed.
    pub committed: u64,
    /// Transactions whose outcome their client never learned.
    pub unknown: u64,
    /// Transactions that a client knows to have failed.
    pub failed: u64,
    /// Switches of the principal role.
    pub failovers: u64,
    /// Events handled.
    pub events: u64,
    /// Virtual time at the end.
    pub virtual_time: Time,
    /// Longest time without a successful reply to any client.
    pub downtime: Time,
    /// Confirmed transactions that are missing in the end.
    pub lost_transactions: Vec<u64>,
    /// Each of them with the window in which a forced service may cost it.
    pub losses: Vec<Loss>,
    /// Statements and how they ended, transitions, numbered events, role switches.
    pub coverage: Coverage,
    /// The command that runs this again; `null` when everything held.
    pub reproduce: Option<String>,
}

impl RunReport {
    /// A report on a run of which nothing is known yet.
    pub fn empty(scenario: &str, file: &str, seed: u64) -> Self {
        RunReport {
            kind: "run",
            scenario: scenario.into(),
            file: file.into(),
            seed,
            verdict: Verdict::Held,
            promise: Tier::default(),
            promise_reasons: Vec::new(),
            digest: format!("{:016x}", 0),
            violations: Vec::new(),
            beyond: Vec::new(),
            unmet: Vec::new(),
            premises: BTreeMap::new(),
            faults_felt: BTreeMap::new(),
            committed: 0,
            unknown: 0,
            failed: 0,
            failovers: 0,
            events: 0,
            virtual_time: Time(0),
            downtime: Time(0),
            lost_transactions: Vec::new(),
            losses: Vec::new(),
            coverage: Coverage::default(),
            reproduce: None,
        }
    }

    /// The report on a run that came to its end. The only place that looks into [`Outcome`] for it.
    pub fn of(scenario: &str, file: &str, seed: u64, outcome: &Outcome) -> Self {
        let named = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let violation = |v: &Violation| ViolationReport {
            invariant: v.invariant.to_owned(),
            rule: v.rule.clone(),
            at: v.at,
            what: v.what.clone(),
        };
        let failed = !outcome.violations.is_empty() || !outcome.unmet.is_empty();
        RunReport {
            verdict: if failed { Verdict::Failed } else { Verdict::Held },
            promise: outcome.promise.tier,
            promise_reasons: outcome.promise.reasons.clone(),
            digest: format!("{:016x}", outcome.digest),
            violations: outcome.violations.iter().map(violation).collect(),
            beyond: outcome.beyond.iter().map(violation).collect(),
            unmet: outcome.unmet.clone(),
            premises: outcome.premises.clone(),
            faults_felt: named(&outcome.faults_felt),
            committed: outcome.committed,
            unknown: outcome.unknown,
            failed: outcome.failed,
            failovers: outcome.failovers,
            events: outcome.events,
            virtual_time: outcome.end,
            downtime: outcome.downtime,
            lost_transactions: outcome.lost.iter().map(|loss| loss.transaction).collect(),
            losses: outcome.lost.clone(),
            coverage: outcome.coverage.clone(),
            ..RunReport::empty(scenario, file, seed)
        }
    }

    /// Adds a finding of the runner itself.
    pub fn fail(&mut self, invariant: &str, what: String) {
        self.verdict = Verdict::Failed;
        let at = self.virtual_time;
        self.violations.push(ViolationReport { invariant: invariant.into(), rule: String::new(), at, what });
    }

    /// For people. Ends with the reproducing command when something failed.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let styled = |style: anstyle::Style, word: &str| format!("{style}{word}{style:#}");
        let verdict = match self.verdict {
            Verdict::Held => styled(anstyle::AnsiColor::Green.on_default(), "held  "),
            Verdict::Failed => styled(anstyle::AnsiColor::Red.on_default().bold(), "FAILED"),
        };
        // Writing into a String cannot fail.
        let mut line = |content: std::fmt::Arguments<'_>| {
            let _ = text.write_fmt(content);
            text.push('\n');
        };
        line(format_args!(
            "{verdict} {} seed {}  digest {}  {} events in {}, {} committed, {} unknown, {} failed, {}, downtime {}, promise {}",
            self.scenario,
            self.seed,
            self.digest,
            self.events,
            self.virtual_time,
            self.committed,
            self.unknown,
            self.failed,
            count(self.failovers, "failover"),
            self.downtime,
            self.promise,
        ));
        for v in &self.violations {
            let rule = if v.rule.is_empty() { String::new() } else { format!(" [{}]", v.rule) };
            line(format_args!("  broken: {}{rule} at {}: {}", v.invariant, v.at, v.what));
        }
        for v in &self.beyond {
            line(format_args!("  beyond the promise: {} [{}] at {}: {}", v.invariant, v.rule, v.at, v.what));
        }
        for u in &self.unmet {
            line(format_args!("  not seen: {}: {}; {}", u.path, u.expected, u.seen));
        }
        if !self.lost_transactions.is_empty() {
            let shown: Vec<String> = self.lost_transactions.iter().take(20).map(u64::to_string).collect();
            let more = if shown.len() < self.lost_transactions.len() { ", …" } else { "" };
            let mut windows: BTreeMap<&str, u64> = BTreeMap::new();
            self.losses.iter().for_each(|loss| *windows.entry(loss.window).or_default() += 1);
            let windows: Vec<String> = windows.iter().map(|(window, n)| format!("{window} {n}")).collect();
            let windows =
                if windows.is_empty() { String::new() } else { format!(" ({})", windows.join(", ")) };
            line(format_args!("  lost transactions{windows}: {}{more}", shown.join(", ")));
        }
        if let Some(command) = &self.reproduce {
            line(format_args!("{command}"));
        }
        text
    }
}

/// `1 run`, `2 runs`.
pub fn count(n: u64, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

/// Everything about a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// "summary".
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Runs done.
    pub runs: u64,
    /// Of them, held.
    pub held: u64,
    /// Of them, failed.
    pub failed: u64,
    /// Runs in which a node felt a fault.
    pub runs_with_faults: u64,
    /// Runs with a switch of the principal role.
    pub runs_with_failovers: u64,
    /// Runs by what their plan promises.
    pub promises: BTreeMap<String, u64>,
    /// Runs that promise to be live at the end and were not judged there.
    pub live_unjudged: u64,
    /// Runs outside the guarantee in which the oracle found something.
    pub runs_beyond: u64,
    /// Premises of all runs.
    pub premises: BTreeMap<String, u64>,
    /// Faults of all runs.
    pub faults_felt: BTreeMap<String, u64>,
    /// Commits of all runs.
    pub committed: u64,
    /// Events of all runs.
    pub events: u64,
    /// Statements, transitions, numbered events and role switches of all runs.
    pub coverage: Coverage,
    /// What was required to be seen and was not.
    pub missing: Vec<String>,
    /// Invariants and "unmet" with the number of failed runs that name them.
    pub failures: BTreeMap<String, u64>,
    /// The command that runs the first failure again.
    pub first_failure: Option<String>,
}

impl Default for Summary {
    fn default() -> Self {
        Summary {
            kind: "summary",
            runs: 0,
            held: 0,
            failed: 0,
            runs_with_faults: 0,
            runs_with_failovers: 0,
            promises: BTreeMap::new(),
            live_unjudged: 0,
            runs_beyond: 0,
            premises: BTreeMap::new(),
            faults_felt: BTreeMap::new(),
            committed: 0,
            events: 0,
            coverage: Coverage::default(),
            missing: Vec::new(),
            failures: BTreeMap::new(),
            first_failure: None,
        }
    }
}

impl Summary {
    /// Takes a run into account.
    pub fn add(&mut self, report: &RunReport) {
        self.runs += 1;
        self.runs_with_faults += u64::from(report.faults_felt.values().any(|n| *n > 0));
        self.runs_with_failovers += u64::from(report.failovers > 0);
        *self.promises.entry(report.promise.name().into()).or_default() += 1;
        let judged = report.premises.get(END_JUDGED).is_some_and(|n| *n > 0);
        self.live_unjudged += u64::from(report.promise == Tier::Live && !judged);
        self.runs_beyond += u64::from(!report.beyond.is_empty());
        for (name, n) in &report.premises {
            *self.premises.entry(name.clone()).or_default() += n;
        }
        for (name, n) in &report.faults_felt {
            *self.faults_felt.entry(name.clone()).or_default() += n;
        }
        self.committed += report.committed;
        self.events += report.events;
        self.coverage.add(&report.coverage);
        match report.verdict {
            Verdict::Held => self.held += 1,
            Verdict::Failed => {
                self.failed += 1;
                let mut names: Vec<&str> = report.violations.iter().map(|v| v.invariant.as_str()).collect();
                names.extend((!report.unmet.is_empty()).then_some("unmet"));
                names.sort_unstable();
                names.dedup();
                for name in names {
                    *self.failures.entry(name.into()).or_default() += 1;
                }
                if self.first_failure.is_none() {
                    self.first_failure.clone_from(&report.reproduce);
                }
            }
        }
    }

    /// What of the required was seen less often than that.
    pub fn missing_of(&self, required: &Required) -> Vec<String> {
        required.missing(&self.coverage, &self.faults_felt, &self.premises)
    }

    /// For people; ends with the command of the first failure.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} held, {} failed; {} with faults, {} with failovers, {} commits, {} events\n",
            count(self.runs, "run"),
            self.held,
            self.failed,
            self.runs_with_faults,
            self.runs_with_failovers,
            self.committed,
            self.events
        );
        let promises: Vec<String> =
            self.promises.iter().map(|(tier, runs)| format!("{tier} {runs}")).collect();
        text.push_str(&format!(
            "  promises: {}; {} live not judged at the end; {} outside with findings\n",
            promises.join(", "),
            self.live_unjudged,
            self.runs_beyond
        ));
        text.push_str(&self.coverage.text());
        for missing in &self.missing {
            text.push_str(&format!("  missing: {missing}\n"));
        }
        for (name, runs) in &self.failures {
            text.push_str(&format!("  {name}: {}\n", count(*runs, "run")));
        }
        if let Some(command) = &self.first_failure {
            text.push_str(&format!("{command}\n"));
        }
        text
    }
}
