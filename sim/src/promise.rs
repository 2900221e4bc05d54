//! What a plan promises, told from its steps alone and before it runs: which rules the run is held to.
//!
//! A plan that breaks nothing for good, or leaves a majority that can work, promises everything. One that breaks
//! something for good promises that nothing wrong is served. Beyond that lies what no protocol of this kind stands: what
//! the oracle finds there is reported, and fails nothing but panics, livelocks and differences between two runs.

use crate::fault::Action;
use crate::oracle;
use crate::plan::spans::{self, Span, Target};
use crate::scenario::{FaultClass, SafetyDecl, Scenario};
use crate::time::Time;
use crate::validate;
use dbm_core::config::Tuning;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// Which rules a run is held to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Safe all the time, and live at the end.
    #[default]
    Live,
    /// Safe all the time; nobody need be served at the end.
    Safe,
    /// Outside the guarantee: what is found is told.
    Outside,
}

impl Tier {
    /// Every tier, from the strongest promise on.
    pub const ALL: [Tier; 3] = [Tier::Live, Tier::Safe, Tier::Outside];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Live => "live",
            Tier::Safe => "safe",
            Tier::Outside => "outside",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a plan promises, and why it promises no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// The tier.
    pub tier: Tier,
    /// What keeps it from the tier above; empty for [`Tier::Live`].
    pub reasons: Vec<String>,
    /// The only reason is that the last change comes too near the end. When the run goes faster than a plan can tell, its
    /// end is judged all the same.
    pub late: bool,
}

/// The load that a log stands for so long while it must keep everything for a mirror that is away, at a KiB for each
/// transaction and with a quarter to spare. [P-13]
pub fn commits_per_s_max(away: Time) -> u32 {
    let geometry = Tuning::default().geometry;
    let bytes = u64::from(geometry.vlf_bytes) * u64::from(geometry.vlf_count);
    let commits = bytes / 1024 * 3 / 4;
    u32::try_from(commits * 1_000_000 / away.0.max(1)).unwrap_or(u32::MAX)
}

/// The promise of `plan`.
pub fn of(plan: &Scenario) -> Promise {
    let outside = outside(plan);
    if !outside.is_empty() {
        return Promise { tier: Tier::Outside, reasons: outside, late: false };
    }
    let end = End::of(plan);
    let mut reasons = end.reasons();
    let late = reasons.is_empty();
    reasons.extend(late.then(|| end.too_late()).flatten());
    let tier = if reasons.is_empty() { Tier::Live } else { Tier::Safe };
    Promise { tier, late: late && tier == Tier::Safe, reasons }
}

/// What no protocol stands.
fn outside(plan: &Scenario) -> Vec<String> {
    let mut reasons = Vec::new();
    for step in &plan.timeline {
        let reason = match &step.action {
            Action::DiskLie(name) => format!("the disk of {name} lies"),
            Action::Rot { instance, file } if file != "data" => format!("the {file} of {instance} rots"),
            // The page that it hits can be told by its checksum; the one that stays as it was cannot.
            Action::Misdirect { instance, file } => {
                format!("a write to the {file} of {instance} goes astray")
            }
            _ => continue,
        };
        reasons.push(reason);
    }
    if !oracle::clocks_in_bound(plan) {
        reasons.push("a clock runs beyond the bound for leases".to_owned());
    }
    reasons
}

/// The end of a plan: what is still broken, and since when.
struct End<'a> {
    plan: &'a Scenario,
    spans: Vec<Span>,
    /// When the last step that changes anything happens.
    last_change: Time,
    last_statement: Time,
}

impl<'a> End<'a> {
    fn of(plan: &'a Scenario) -> Self {
        let times = spans::times(plan);
        let spans = spans::of(plan);
        let (mut last_change, mut last_statement) = (Time(0), Time(0));
        for (step, time) in plan.timeline.iter().zip(times) {
            match &step.action {
                Action::Sql { .. } => last_statement = last_statement.max(time),
                Action::ClockStep { .. } | Action::ClockFreeze { .. } => {}
                _ => last_change = last_change.max(time),
            }
        }
        let over = spans.iter().filter(|span| matters(span)).filter_map(|span| span.to).max();
        End { plan, last_change: last_change.max(over.unwrap_or_default()), spans, last_statement }
    }

    fn reasons(&self) -> Vec<String> {
        let mut reasons = self.damage();
        let gone = self.gone();
        reasons.extend(self.left(&gone));
        let mut gone = gone.into_iter();
        if reasons.is_empty() {
            match (gone.next(), gone.next()) {
                (None, _) => {}
                (Some(one), None) => reasons.extend(self.survivors(&one)),
                (Some(_), Some(_)) => reasons.push("no majority is left".to_owned()),
            }
        }
        reasons
    }

    /// Is there too little time to judge the end?
    fn too_late(&self) -> Option<String> {
        let needed = oracle::judged_after(self.plan, self.last_change, self.last_statement);
        let (change, end) = (self.last_change.max(self.last_statement), self.plan.duration);
        (end < needed)
            .then(|| format!("the last change, at {change}, is too near the end, {end}; {needed} is needed"))
    }

    /// What no repair brings back.
    fn damage(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for span in &self.spans {
            if let Target::Stored(name, file) = &span.target {
                reasons.push(format!("what is stored in the {file} of {name} changes"));
            }
        }
        for name in self.failed() {
            reasons.push(format!("the database of {name} has failed, and its process does not start again"));
        }
        if oracle::ends_session(self.plan) {
            reasons.push("a statement ends the session".to_owned());
        }
        reasons
    }

    /// Instances whose disk failed operations and whose process does not start after that. [OQ-35]
    fn failed(&self) -> BTreeSet<String> {
        let mut failed = BTreeSet::new();
        for span in &self.spans {
            let class = span.class;
            let fails = class == FaultClass::DiskError
                || class == FaultClass::DiskFail
                || class == FaultClass::DiskFull;
            if let (true, Target::Disk(name)) = (fails, &span.target) {
                let starts = self.spans.iter().filter(|s| self.takes_down(s, name)).filter_map(|s| s.to);
                if starts.max().is_none_or(|start| span.to.is_none_or(|healed| start < healed)) {
                    failed.insert(name.clone());
                }
            }
        }
        failed
    }

    fn host(&self, name: &str) -> String {
        let found = self.plan.instances.iter().position(|i| i.name == *name);
        found.map_or(name, |i| validate::hosts(self.plan)[i]).to_owned()
    }

    /// Does the fault end the process of `name`?
    fn takes_down(&self, span: &Span, name: &str) -> bool {
        match &span.target {
            Target::Process(of) => of == name,
            Target::Host(of) => *of == self.host(name),
            _ => false,
        }
    }

    fn stops(&self, span: &Span, name: &str) -> bool {
        self.takes_down(span, name) || span.target == Target::Paused(name.to_owned())
    }

    /// Instances that are dead, stand still or are cut off from every other at the end.
    fn gone(&self) -> BTreeSet<String> {
        let names: Vec<&String> = self.plan.instances.iter().map(|i| &i.name).collect();
        let open: Vec<&Span> = self.open().collect();
        let cut = |from: &str, to: &str| {
            open.iter().any(|s| {
                let class = s.class == FaultClass::Cut || s.class == FaultClass::OneWay;
                class && s.target == Target::Path(from.to_owned(), to.to_owned())
            })
        };
        let apart = |a: &str, b: &str| cut(a, b) && cut(b, a);
        let mut gone: BTreeSet<String> =
            names.iter().filter(|n| open.iter().any(|s| self.stops(s, n))).map(|n| (*n).clone()).collect();
        let alone: Vec<String> = names
            .iter()
            .filter(|n| names.len() > 1 && names.iter().all(|other| other == *n || apart(n, other)))
            .map(|n| (*n).clone())
            .collect();
        gone.extend(alone);
        gone
    }

    /// Faults that stay.
    fn open(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| span.to.is_none())
    }

    /// What stays broken between those who are left.
    fn left(&self, gone: &BTreeSet<String>) -> Vec<String> {
        let mut reasons = Vec::new();
        for span in self.open() {
            let stays = match &span.target {
                Target::Process(name) | Target::Paused(name) | Target::Cpu(name) | Target::Disk(name) => {
                    !gone.contains(name)
                }
                // Told by the instances on it.
                Target::Host(_) => false,
                Target::Path(from, to) => !gone.contains(from) && !gone.contains(to),
                // Damage is told apart; clocks within the bound are in order, and nothing depends on wall clocks.
                Target::Stored(..) | Target::Rate(_) | Target::Wall(_) => false,
            };
            if stays {
                reasons.push(format!("{} stays on {}", span.class.name(), span.target));
            }
        }
        reasons
    }

    /// Can those who are left work without `gone`?
    fn survivors(&self, gone: &str) -> Option<String> {
        let session = &self.plan.session;
        if gone != session.principal && gone != session.mirror {
            return None;
        }
        if session.witness.is_none() || session.safety == SafetyDecl::Off {
            return Some(format!(
                "{gone} is gone, and the partner that is left may be a mirror that must not take over"
            ));
        }
        // The partner that is left has to know enough: the session was whole, and has been for a while.
        let began = self.open().filter(|span| self.concerns(span, gone)).map(|span| span.from).min();
        let began = began.unwrap_or_default();
        let before = self.spans.iter().filter(|span| span.from < began && matters(span));
        let healed = before.filter_map(|span| span.to).max().unwrap_or_default();
        let statement = self.last_statement;
        if began < oracle::judged_after(self.plan, healed, statement) {
            return Some(format!("{gone} is gone before the session can be known to be whole"));
        }
        let away = Time(self.plan.duration.0.saturating_sub(began.0));
        let load = self.plan.workload.map_or(0, |w| w.commits_per_s);
        (load > commits_per_s_max(away)).then(|| format!("the log may fill up while {gone} is away"))
    }

    fn concerns(&self, span: &Span, name: &str) -> bool {
        match &span.target {
            Target::Path(from, to) => from == name || to == name,
            _ => self.stops(span, name),
        }
    }
}

/// Nothing depends on wall clocks.
fn matters(span: &Span) -> bool {
    !matches!(span.target, Target::Wall(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Path;
    use crate::read::tests::small;
    use crate::scenario::{Step, Trigger};
    use crate::testing::at;
    use Tier::{Live, Outside, Safe};

    const END: Time = Time::secs(150);

    fn plan(steps: Vec<Step>) -> Scenario {
        Scenario { duration: END, seed: Some(1), timeline: steps, ..small() }
    }

    fn tier(actions: &[(u64, Action)]) -> Tier {
        let steps = actions.iter().map(|(second, action)| at(Time::secs(*second), action.clone())).collect();
        of(&plan(steps)).tier
    }

    fn crash(name: &str) -> Action {
        Action::Crash(name.into())
    }

    fn both(from: &str, to: &str) -> Path {
        Path { from: from.into(), to: to.into(), both: true }
    }

    #[test]
    fn what_is_lifted_in_time_keeps_everything() {
        let slow = Action::SlowCpu { instance: "B".into(), by: Time::millis(1) };
        assert_eq!(tier(&[]), Live);
        assert_eq!(tier(&[(5, crash("A")), (9, Action::Restart("A".into()))]), Live);
        assert_eq!(tier(&[(5, crash("A")), (6, slow.clone()), (9, Action::HealAll)]), Live);
        assert_eq!(tier(&[(5, Action::Cut(both("A", "B"))), (9, Action::Heal(both("B", "A")))]), Live);
        assert_eq!(tier(&[(5, slow)]), Safe);
        assert_eq!(tier(&[(5, Action::Cut(both("A", "B")))]), Safe);
        assert_eq!(tier(&[(5, Action::DiskStall("W".into()))]), Safe);
        // Nobody's work depends on a wall clock.
        assert_eq!(tier(&[(5, Action::ClockStep { host: "A".into(), ms: 5000 })]), Live);
    }

    #[test]
    fn what_is_lifted_too_late_keeps_safety() {
        assert_eq!(tier(&[(5, crash("A")), (145, Action::HealAll)]), Safe);
        assert!(
            of(&Scenario { duration: Time::secs(5), ..plan(Vec::new()) }).reasons[0]
                .contains("too near the end")
        );
    }

    #[test]
    fn a_majority_that_can_work_keeps_everything() {
        // Both partners.
        assert_eq!(tier(&[(5, crash("W"))]), Live);
        assert_eq!(tier(&[(5, Action::Pause("W".into()))]), Live);
        assert_eq!(tier(&[(5, Action::Cut(both("A", "W"))), (5, Action::Cut(both("W", "B")))]), Live);
        // One partner, who knows enough only when the session was whole before.
        let idle = |steps| Scenario { workload: None, ..plan(steps) };
        for (loss, expected) in [(60, Live), (20, Safe)] {
            for name in ["A", "B"] {
                let steps =
                    vec![at(Time::secs(9), Action::Reset(both("A", "B"))), at(Time::secs(loss), crash(name))];
                assert_eq!(of(&idle(steps)).tier, expected, "{name} dies at {loss} s");
            }
        }
        assert_eq!(tier(&[(60, crash("A")), (60, crash("W"))]), Safe);
        let mut apart = idle(vec![at(Time::secs(60), crash("B"))]);
        apart.session.witness = None;
        assert_eq!(of(&apart).tier, Safe);
    }

    #[test]
    fn a_full_log_stops_even_a_majority() {
        let load = |commits_per_s| Scenario {
            workload: Some(crate::scenario::Workload { commits_per_s, ..Default::default() }),
            ..plan(vec![at(Time::secs(60), crash("B"))])
        };
        assert_eq!(of(&load(8)).tier, Live);
        assert_eq!(of(&load(60)).reasons, ["the log may fill up while B is away"]);
    }

    #[test]
    fn a_failed_database_waits_for_its_process_to_start() {
        let fail = (5, Action::DiskFail("B".into()));
        let heal = (7, Action::DiskHeal("B".into()));
        let again = [(6, crash("B")), (8, Action::Restart("B".into()))];
        let [down, up] = again;
        assert_eq!(tier(std::slice::from_ref(&fail)), Safe);
        assert_eq!(tier(&[fail.clone(), heal.clone()]), Safe);
        assert_eq!(tier(&[fail.clone(), heal.clone(), (9, Action::HealAll)]), Safe);
        assert_eq!(tier(&[fail.clone(), down.clone(), heal.clone(), up.clone()]), Live);
        // It starts while the disk still fails.
        assert_eq!(tier(&[fail, down, (7, up.1), (9, heal.1)]), Safe);
    }

    #[test]
    fn rotten_pages_keep_safety_and_any_other_damage_nothing() {
        let rot = |file: &str| Action::Rot { instance: "B".into(), file: file.into() };
        let stray = |file: &str| Action::Misdirect { instance: "B".into(), file: file.into() };
        assert_eq!(tier(&[(5, rot("data")), (6, Action::HealAll)]), Safe);
        for file in ["log", "record", "boot", "double_write"] {
            assert_eq!(tier(&[(5, rot(file)), (6, Action::HealAll)]), Outside, "{file}");
        }
        for file in ["log", "record", "boot", "double_write", "data"] {
            assert_eq!(tier(&[(5, stray(file)), (6, Action::HealAll)]), Outside, "{file}");
        }
        assert_eq!(tier(&[(5, Action::DiskLie("B".into())), (6, Action::HealAll)]), Outside);
    }

    #[test]
    fn clocks_beyond_their_bound_are_outside() {
        let rate = |ppm| (5, Action::ClockRate { host: "A".into(), ppm });
        assert_eq!(tier(&[rate(47_000), (6, Action::HealAll)]), Live);
        assert_eq!(tier(&[rate(-48_000), (6, Action::HealAll)]), Outside);
        // The bound depends on every time-out period that may come into force.
        let text = "ALTER DATABASE sales SET PARTNER TIMEOUT 15".to_owned();
        let longer = (5, Action::Sql { on: "A".into(), text, error: Some(-1) });
        assert_eq!(tier(&[rate(47_000), longer, (6, Action::HealAll)]), Outside);
    }

    #[test]
    fn a_removed_session_owes_nothing() {
        let text = "ALTER DATABASE sales SET PARTNER OFF".to_owned();
        assert_eq!(tier(&[(5, Action::Sql { on: "A".into(), text, error: None })]), Safe);
    }

    #[test]
    fn a_step_that_waits_happens_as_late_as_it_may() {
        let waits = |until: Option<u64>, delay, action| Step {
            at: None,
            on: Some(Trigger::Started { instance: "B".into() }),
            until: until.map(Time::secs),
            delay: Some(Time::secs(delay)),
            ..at(Time(0), action)
        };
        let heal = || at(Time::secs(20), Action::HealAll);
        assert_eq!(of(&plan(vec![waits(Some(18), 1, crash("A")), heal()])).tier, Live);
        assert_eq!(of(&plan(vec![waits(Some(19), 2, crash("A")), heal()])).tier, Safe);
        let pair = vec![waits(Some(50), 1, crash("A")), waits(Some(50), 3, Action::Restart("A".into()))];
        assert_eq!(of(&plan(pair)).tier, Live);
    }
}
