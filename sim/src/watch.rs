//! Everyone who watches a run: trace, digest, oracle, expectations, coverage. The world shows facts; nobody here changes it.

use crate::coverage::{self, Coverage};
use crate::digest::Digest;
use crate::expect::{Expectations, Unmet};
use crate::felt::Felt;
use crate::node::Roster;
use crate::observe::Fact;
use crate::oracle::{Oracle, OracleSetup, Verdict};
use crate::scenario::Scenario;
use crate::time::Time;
use crate::trace::{Entry, Trace};
use dbm_core::types::InstanceId;
use std::ops::Range;
use std::sync::Arc;

/// Something wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub at: Time,
    /// Which rule is broken: "livelock", "panic", "statement", or an invariant's name.
    pub rule: &'static str,
    /// What happened, for people.
    pub text: String,
}

/// Everyone who watches.
#[derive(Debug)]
pub struct Watch {
    /// The digest; the world feeds it.
    pub digest: Digest,
    trace: Option<Trace>,
    oracle: Option<Oracle>,
    expectations: Expectations,
    coverage: coverage::Watcher,
    plan: Arc<Scenario>,
    roster: Arc<Roster>,
    window: Range<u64>,
    recorded: Vec<String>,
}

/// What the watchers have at the end.
#[derive(Debug)]
pub struct Watched {
    /// The digest.
    pub digest: Digest,
    /// The trace, if one was asked for.
    pub trace: Option<Trace>,
    /// The lines of the recorded window.
    pub recorded: Vec<String>,
    /// What the oracle says; `None` when it was switched off.
    pub verdict: Option<Verdict>,
    /// Expectations that were not met.
    pub unmet: Vec<Unmet>,
    /// What was seen, and how often.
    pub coverage: Coverage,
    /// Longest time without an answer to any client.
    pub downtime: Time,
}

impl Watch {
    /// Watchers of a run, with a trace if `trace`, and with the events of `record` as text.
    pub fn new(
        plan: Arc<Scenario>,
        roster: Arc<Roster>,
        trace: bool,
        record: Option<Range<u64>>,
        judge: bool,
    ) -> Self {
        Watch {
            digest: Digest::default(),
            trace: trace.then(|| Trace::new(roster.clone())),
            oracle: judge.then(|| Oracle::new(OracleSetup::promised(&plan))),
            expectations: Expectations::new(&plan),
            coverage: coverage::Watcher::default(),
            plan,
            roster,
            window: record.unwrap_or(0..0),
            recorded: Vec::new(),
        }
    }

    /// Shows a fact to everyone.
    #[inline]
    pub fn fact(&mut self, at: Time, fact: &Fact<'_>) {
        if let Some(oracle) = &mut self.oracle {
            oracle.fact(at, fact);
        }
        self.expectations.fact(at, fact);
        self.coverage.fact(&self.plan, at, fact);
        if let Some(trace) = &mut self.trace {
            trace.fact(at, fact);
        }
        if self.window.contains(&self.digest.events()) {
            self.recorded.extend(Entry::of(at, fact).map(|entry| entry.line(&self.roster)));
        }
    }

    /// Takes an event into the digest.
    #[inline]
    pub fn event(&mut self, at: Time, node: u16, kind: u8, payload: u64) {
        let index = self.digest.events();
        self.digest.event(at.0, node, kind, payload);
        if self.window.contains(&index) {
            let micros = at.0;
            self.recorded.push(format!(
                "event {index} at {micros} us: node {node} kind {kind} payload {payload:016x}"
            ));
        }
    }

    /// Takes the fingerprint of an instance into the digest.
    #[inline]
    pub fn fingerprint(&mut self, node: u16, fingerprint: u64) {
        self.digest.take(fingerprint);
        if self.window.contains(&self.digest.events()) {
            self.recorded.push(format!("node {node} has state {fingerprint:016x}"));
        }
    }

    /// An instance that has just died lost the rest of a list of effects.
    pub fn cut_short(&mut self, instance: InstanceId) {
        self.coverage.cut_short(instance);
    }

    /// The end of the run, with what was felt of the faults.
    pub fn finish(mut self, at: Time, felt: &Felt) -> Watched {
        let verdict = self.oracle.map(|oracle| oracle.finish(at));
        if let Some(verdict) = &verdict {
            self.expectations.lost_transactions(verdict.stats.lost);
        }
        let downtime = self.expectations.downtime(at);
        Watched {
            digest: self.digest,
            trace: self.trace,
            recorded: self.recorded,
            verdict,
            unmet: self.expectations.finish(at),
            coverage: self.coverage.finish(felt),
            downtime,
        }
    }
}
