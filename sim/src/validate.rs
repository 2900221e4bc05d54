//! Everything about a scenario that can be judged without running it. A problem names its place in the file and says
//! what was expected; a scenario with a problem is not run.

mod steps;

use crate::names::{self, CLIENTS, EVENTS};
use crate::plan::{self, OWNER_TAIL};
use crate::scenario::{Condition, Expectation, FORMAT, Range, Scenario, SessionDecl, Spread};
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Most instances of a scenario.
pub const INSTANCES_MAX: usize = 32;
/// Most clients.
pub const CLIENTS_MAX: u16 = 64;
/// Longest run.
pub const DURATION_MAX: Time = Time::secs(24 * 3600);
/// Most steps, and most faults that chaos may become.
pub const STEPS_MAX: usize = 100_000;
/// Most expectations.
pub const EXPECTATIONS_MAX: usize = 10_000;
/// Longest name.
const NAME_CHARS_MAX: usize = 64;

/// One thing that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `timeline[3].on.instance`.
    pub path: String,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Rate errors below this many parts per million, fast or slow, keep leases safe: 10^6 * i / (2T + i) with i = 1 s.
/// [OQ-8]
pub fn clock_rate_bound_ppm(timeout_s: u16) -> u32 {
    1_000_000 / (2 * u32::from(timeout_s) + 1)
}

/// The host of each instance, in the order of the instances.
pub fn hosts(scenario: &Scenario) -> Vec<&str> {
    scenario.instances.iter().map(|i| i.host.as_deref().unwrap_or(&i.name)).collect()
}

/// Every problem of `scenario`, in the order of the file; empty: it can be run.
pub fn check(scenario: &Scenario) -> Vec<Problem> {
    let mut c = Checker { scenario, problems: Vec::new() };
    c.header();
    c.instances();
    c.session();
    c.profiles();
    c.workload();
    c.timeline();
    c.chaos();
    c.swarm();
    c.expectations();
    c.problems
}

struct Checker<'a> {
    scenario: &'a Scenario,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn bad(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), what: what.into() });
    }

    fn name(&mut self, path: &str, name: &str) {
        let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(good) {
            self.bad(
                path,
                format!("`{name}` is no name; expected 1 to {NAME_CHARS_MAX} letters, digits, `_`, `-`, `.`"),
            );
        }
    }

    fn known<'k>(&mut self, path: &str, what: &str, name: &str, known: impl IntoIterator<Item = &'k str>) {
        let known: BTreeSet<&str> = known.into_iter().collect();
        if known.contains(name) {
            return;
        }
        let hint = match names::nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let list: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
                format!("expected one of {}", list.join(", "))
            }
        };
        self.bad(path, format!("there is no {what} `{name}`; {hint}"));
    }

    fn instance(&mut self, path: &str, name: &str) {
        let scenario = self.scenario;
        self.known(path, "instance", name, scenario.instances.iter().map(|i| i.name.as_str()));
    }

    fn partner(&mut self, path: &str, name: &str) {
        let session = &self.scenario.session;
        if session.witness.as_deref() == Some(name) {
            self.bad(path, format!("`{name}` is the witness, which has no such state; expected a partner"));
        } else {
            self.known(path, "partner", name, [session.principal.as_str(), session.mirror.as_str()]);
        }
    }

    fn host(&mut self, path: &str, name: &str) {
        let known = hosts(self.scenario);
        self.known(path, "host", name, known);
    }

    fn within(&mut self, path: &str, time: Time) {
        let duration = self.scenario.duration;
        if time > duration {
            self.bad(
                path,
                format!("{time} is after the end of the run; expected at most `duration`, {duration}"),
            );
        }
    }

    fn window(&mut self, path: &str, from: Time, to: Time) {
        if from > to {
            self.bad(path, format!("goes back, from {from} to {to}; expected the earlier time first"));
        }
        self.within(path, from.max(to));
    }

    fn range<T: PartialOrd + fmt::Display>(&mut self, path: &str, value: T, low: T, high: T) {
        if value < low || value > high {
            self.bad(path, format!("{value} is out of range; expected {low} to {high}"));
        }
    }

    fn header(&mut self) {
        let s = self.scenario;
        if s.dbmsim != FORMAT {
            self.bad("dbmsim", format!("this is format version {}; expected {FORMAT}", s.dbmsim));
        }
        self.name("name", &s.name);
        if s.duration == Time(0) || s.duration > DURATION_MAX {
            self.bad("duration", format!("{} is out of range; expected up to {DURATION_MAX}", s.duration));
        }
    }

    fn instances(&mut self) {
        let instances = &self.scenario.instances;
        if instances.is_empty() {
            self.bad("instances", "is empty; expected the partners, and the witness if there is one");
        }
        if instances.len() > INSTANCES_MAX {
            self.bad(
                "instances",
                format!("{} are too many; expected up to {INSTANCES_MAX}", instances.len()),
            );
        }
        let mut seen = BTreeSet::new();
        for (i, instance) in instances.iter().enumerate() {
            let path = format!("instances[{i}].name");
            self.name(&path, &instance.name);
            if !seen.insert(&instance.name) {
                self.bad(&path, format!("`{}` is declared twice; expected a name of its own", instance.name));
            }
            if instance.name == CLIENTS {
                self.bad(&path, "`clients` stands for the clients in paths; expected another name");
            }
            if let Some(host) = &instance.host {
                self.name(&format!("instances[{i}].host"), host);
            }
        }
    }

    fn session(&mut self) {
        let s: &SessionDecl = &self.scenario.session;
        let mut parts = vec![("principal", s.principal.as_str()), ("mirror", s.mirror.as_str())];
        parts.extend(s.witness.as_deref().map(|w| ("witness", w)));
        for (i, (part, name)) in parts.iter().enumerate() {
            let path = format!("session.{part}");
            self.instance(&path, name);
            if let Some((other, _)) = parts[..i].iter().find(|(_, n)| n == name) {
                self.bad(&path, format!("`{name}` is the {other} already; expected another instance"));
            }
        }
        if s.database.is_empty() || s.database.chars().count() > 128 {
            self.bad("session.database", "expected a name of 1 to 128 characters");
        }
        if s.timeout_s < 5 {
            // What the statement would do silently [FL-9] would surprise in a file.
            self.bad(
                "session.timeout_s",
                format!("{} would be stored as 5; expected 5 to 32767", s.timeout_s),
            );
        }
        self.range("session.timeout_s", s.timeout_s, 0, 32_767);
        if !s.prepared {
            self.bad(
                "session.prepared",
                "only sessions that exist when the run starts are supported; expected true",
            );
        }
    }

    fn spread(&mut self, path: &str, spread: Spread) {
        if spread.min > spread.max {
            self.bad(path, format!("min {} is above max {}", spread.min, spread.max));
        }
        if spread.max > Time::secs(60) {
            self.bad(format!("{path}.max"), format!("{} is too long; expected up to 1m", spread.max));
        }
    }

    fn rate(&mut self, path: &str, ppm: i64) {
        let timeout_s = self.scenario.session.timeout_s;
        let bound = i64::from(clock_rate_bound_ppm(timeout_s));
        if ppm.abs() >= bound {
            self.bad(
                path,
                format!(
                    "{ppm} ppm is outside the guarantee; expected less than {bound} ppm for timeout_s {timeout_s}"
                ),
            );
        }
    }

    fn profiles(&mut self) {
        let s = self.scenario;
        self.spread("network.latency", s.network.latency);
        if s.network.bandwidth_bytes_s == 0 {
            self.bad("network.bandwidth_bytes_s", "is 0; expected bytes per second");
        }
        self.spread("disk.write", s.disk.write);
        self.spread("disk.flush", s.disk.flush);
        self.spread("disk.read", s.disk.read);
        for (host, clock) in &s.clocks {
            self.host(&format!("clocks.{host}"), host);
            self.rate(&format!("clocks.{host}.rate_ppm"), clock.rate_ppm.into());
            self.step_ms(&format!("clocks.{host}.offset_ms"), clock.offset_ms);
        }
        self.rate("clock_rate_ppm_max", s.clock_rate_ppm_max.into());
    }

    fn step_ms(&mut self, path: &str, ms: i64) {
        const YEAR_MS: i64 = 366 * 86_400 * 1000;
        self.range(path, ms, -YEAR_MS, YEAR_MS);
    }

    fn workload(&mut self) {
        let Some(w) = &self.scenario.workload else { return };
        self.range("workload.clients", w.clients, 1, CLIENTS_MAX);
        self.range("workload.commits_per_s", w.commits_per_s, 1, 10_000);
        self.range("workload.accounts", w.accounts, 2, 10_000);
        self.range("workload.lists", w.lists, 0, 10_000);
        self.range("workload.interactive_percent", w.interactive_percent, 0, 100);
        self.range("workload.read_only_percent", w.read_only_percent, 0, 100);
        self.range("workload.rollback_percent", w.rollback_percent, 0, 100);
        self.within("workload.start", w.start);
        if let Some(stop) = w.stop {
            self.window("workload.stop", w.start, stop);
        }
    }

    fn chaos(&mut self) {
        let Some(chaos) = &self.scenario.chaos else { return };
        self.window("chaos.until", chaos.from, chaos.until);
        if chaos.from == chaos.until {
            self.bad("chaos.until", "is the same as `from`; expected a later time");
        }
        if chaos.every < Time::millis(10) {
            self.bad("chaos.every", format!("{} is too short; expected at least 10ms", chaos.every));
        } else if (chaos.until.0.saturating_sub(chaos.from.0)) / chaos.every.0 > STEPS_MAX as u64 / 4 {
            self.bad("chaos.every", format!("gives more than {} faults", STEPS_MAX / 4));
        }
        for (i, class) in chaos.classes.iter().enumerate() {
            if !plan::CHAOS_CLASSES.contains(class) {
                let known: Vec<String> =
                    plan::CHAOS_CLASSES.iter().map(|c| format!("`{}`", c.name())).collect();
                let what = format!("`{}` is for a swarm; expected one of {}", class.name(), known.join(", "));
                self.bad(format!("chaos.classes[{i}]"), what);
            }
        }
        let Some(statements) = &chaos.statements else { return };
        if statements.every < Time::millis(100) {
            let what = format!("{} is too short; expected at least 100ms", statements.every);
            self.bad("chaos.statements.every", what);
        }
        let w = statements.weights;
        let all =
            [w.failover, w.force_service, w.suspend, w.resume, w.safety, w.witness, w.timeout, w.remove];
        if all.iter().all(|weight| *weight == 0) {
            self.bad("chaos.statements.weights", "are all 0; expected at least one kind of statement");
        }
        let needed = chaos.until + OWNER_TAIL;
        if needed > self.scenario.duration {
            let what = format!(
                "the owner needs {OWNER_TAIL} after `chaos.until`; expected `duration` of at least {needed}"
            );
            self.bad("chaos.statements", what);
        }
    }

    /// Whatever a swarm draws has no place beside it.
    fn swarm(&mut self) {
        let s = self.scenario;
        if s.swarm.is_none() {
            return;
        }
        for (field, present) in [
            ("workload", s.workload.is_some()),
            ("clocks", !s.clocks.is_empty()),
            ("timeline", !s.timeline.is_empty()),
            ("chaos", s.chaos.is_some()),
            ("expect", !s.expect.is_empty()),
        ] {
            if present {
                self.bad(
                    field,
                    "stands beside `swarm`, which draws it for each seed; expected it to be absent",
                );
            }
        }
        if s.duration < plan::SWARM_LONGEST {
            let what = format!(
                "{} is shorter than the longest seed; expected at least {}",
                s.duration,
                plan::SWARM_LONGEST
            );
            self.bad("duration", what);
        }
    }

    fn expectations(&mut self) {
        let expect = &self.scenario.expect;
        if expect.len() > EXPECTATIONS_MAX {
            self.bad("expect", format!("{} are too many; expected up to {EXPECTATIONS_MAX}", expect.len()));
            return;
        }
        for (i, expectation) in expect.iter().enumerate() {
            let path = format!("expect[{i}]");
            self.time_form(&path, expectation);
            if let (Some([from, to]), Condition::DowntimeMax(most)) =
                (expectation.throughout, &expectation.condition)
                && to.0.saturating_sub(from.0) <= most.0
            {
                self.bad(format!("{path}.that.downtime_max"), "is as long as the window, so it cannot fail");
            }
            self.condition(&format!("{path}.that"), &expectation.condition);
            self.counted(&format!("{path}.that"), expectation);
        }
    }

    fn time_form(&mut self, path: &str, e: &Expectation) {
        let forms =
            usize::from(e.by.is_some()) + usize::from(e.at.is_some()) + usize::from(e.throughout.is_some());
        if forms != 1 {
            self.bad(path, format!("has {forms} of `by`, `at`, `throughout`; expected exactly one"));
        }
        if let Some(by) = e.by {
            self.window(&format!("{path}.by"), e.after.unwrap_or_default(), by);
        } else if e.after.is_some() {
            self.bad(format!("{path}.after"), "belongs to an expectation with `by`");
        }
        if let Some(at) = e.at {
            self.within(&format!("{path}.at"), at);
        }
        if let Some([from, to]) = e.throughout {
            self.window(&format!("{path}.throughout"), from, to);
        }
    }

    fn condition(&mut self, path: &str, condition: &Condition) {
        match condition {
            Condition::Role(map) => self.partners(&format!("{path}.role"), map),
            Condition::State(map) => self.partners(&format!("{path}.state"), map),
            Condition::WitnessState(map) => self.partners(&format!("{path}.witness_state"), map),
            Condition::Safety(map) => self.partners(&format!("{path}.safety"), map),
            Condition::Events(map) => {
                self.partners(&format!("{path}.events"), map);
                for (name, numbers) in map {
                    for number in numbers {
                        self.event(&format!("{path}.events.{name}"), *number);
                    }
                }
            }
            Condition::Messages(map) => self.partners(&format!("{path}.messages"), map),
            Condition::Commits { on, at_least, at_most } => {
                let count = Range { at_least: *at_least, at_most: *at_most };
                self.by_partner(&format!("{path}.commits"), on.as_deref(), count);
            }
            Condition::Errors { on, at_least, at_most, .. } => {
                let count = Range { at_least: *at_least, at_most: *at_most };
                self.by_partner(&format!("{path}.errors"), on.as_deref(), count);
            }
            Condition::LostCommitsOf(instance) => {
                let path = format!("{path}.lost_commits_of");
                self.partner(&path, instance);
                if self.scenario.workload.is_some_and(|w| w.read_only_percent > 0) {
                    self.bad(path, "counts readers, too, who lose nothing; expected read_only_percent 0");
                }
            }
            Condition::LostTransactions(amount) => {
                self.bounds(&format!("{path}.lost_transactions"), amount.range());
            }
            Condition::ServedBy(Some(instance)) => self.partner(&format!("{path}.served_by"), instance),
            Condition::RoleSequence { instance, .. } => {
                self.instance(&format!("{path}.role_sequence.instance"), instance);
            }
            Condition::ServedBy(None) | Condition::DowntimeMax(_) | Condition::Committed(_) => {}
        }
        let needs_clients = match condition {
            Condition::ServedBy(_)
            | Condition::DowntimeMax(_)
            | Condition::Committed(_)
            | Condition::Commits { .. }
            | Condition::LostCommitsOf(_)
            | Condition::Errors { .. } => true,
            Condition::Role(_)
            | Condition::State(_)
            | Condition::WitnessState(_)
            | Condition::Safety(_)
            | Condition::Events(_)
            | Condition::Messages(_)
            | Condition::RoleSequence { .. }
            | Condition::LostTransactions(_) => false,
        };
        if needs_clients && self.scenario.workload.is_none() {
            self.bad(path, "is about clients, and the scenario has none; expected a `workload`");
        }
    }

    /// What is counted in a window needs one, and something that could fail.
    fn counted(&mut self, path: &str, e: &Expectation) {
        let empty = match &e.condition {
            Condition::Events(map) => map.values().all(Vec::is_empty),
            Condition::Messages(map) => map.values().all(Vec::is_empty),
            Condition::Commits { .. } | Condition::LostCommitsOf(_) | Condition::Errors { .. } => false,
            _ => return,
        };
        if e.at.is_some() {
            self.bad(path, "is counted in a window; expected `by` or `throughout`");
        }
        if empty && e.by.is_some() {
            self.bad(path, "asks for nothing, so it cannot fail; expected a number, or `throughout`");
        }
    }

    fn by_partner(&mut self, path: &str, on: Option<&str>, count: Range) {
        if let Some(on) = on {
            self.partner(&format!("{path}.on"), on);
        }
        self.bounds(path, count);
    }

    fn bounds(&mut self, path: &str, count: Range) {
        match (count.at_least, count.at_most) {
            (None, None) => self.bad(path, "has no bound; expected `at_least` or `at_most`"),
            (Some(least), Some(most)) if least > most => {
                self.bad(path, format!("at_least {least} is above at_most {most}"));
            }
            _ => {}
        }
    }

    fn event(&mut self, path: &str, number: u8) {
        self.range(path, usize::from(number), 0, EVENTS.len() - 1);
    }

    fn partners<T>(&mut self, path: &str, map: &BTreeMap<String, T>) {
        if map.is_empty() {
            self.bad(path, "is empty; expected at least one partner");
        }
        for name in map.keys() {
            self.partner(&format!("{path}.{name}"), name);
        }
    }
}

#[cfg(test)]
mod tests;
