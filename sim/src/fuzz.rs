//! A campaign of many seeds, told as a whole: which failures there are, and what all the runs together have tested.
//!
//! Failures are grouped by signature, so that one defect that shows in a thousand seeds is one failure with its smallest
//! seed. What was never seen is told as well: a campaign in which no two faults ever met has proved little, and says so.
//!
//! Everything here is a function of the runs in their order; the time that they took on this machine is not among it.

use crate::campaign::Source;
use crate::coverage::Required;
use crate::plan::swarm;
use crate::promise::Tier;
use crate::report::{RunReport, Summary, Verdict, count};
use crate::shrink::Size;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// From this number of runs on the built-in swarm has to meet its gates.
pub const GATED_FROM: u64 = 1000;

/// From this number of runs on it has to show what is rare as well: every pair of fault classes, every step, every premise.
pub const ALL_GATED_FROM: u64 = 10_000;

/// What so many runs of the built-in swarm must have seen: `ci/fuzz-coverage.json`, and for long campaigns
/// `ci/fuzz-coverage-long.json`, both compiled in.
pub fn gates(runs: u64) -> Required {
    let text = if runs < ALL_GATED_FROM {
        include_str!("../../ci/fuzz-coverage.json")
    } else {
        include_str!("../../ci/fuzz-coverage-long.json")
    };
    serde_json::from_str(text)
        .expect("the file that is compiled in names only what reports have; a test reads it")
}

/// Why a campaign has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every seed was run.
    Done,
    /// Its time was over.
    TimeLimit,
    /// Somebody wanted no more.
    Interrupted,
}

/// Runs whose plans promise the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfTier {
    /// Held.
    pub held: u64,
    /// Failed.
    pub failed: u64,
    /// Held, but with findings beyond what the plan promises.
    pub beyond: u64,
}

/// One way to fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What stays the same in every seed.
    pub signature: String,
    /// Runs that failed so.
    pub runs: u64,
    /// The scenario of the first of them.
    pub file: String,
    /// The smallest seed.
    pub seed: u64,
    /// What its plan promises.
    pub promise: Tier,
    /// What happened there.
    pub what: String,
    /// The command that runs it again.
    pub replay: String,
    /// Where its plan lies, if it was saved.
    pub plan: Option<String>,
    /// The shrunk scenario, if there is one.
    pub shrunk: Option<Shrunk>,
}

/// A failure made small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shrunk {
    /// Where it lies.
    pub file: String,
    /// What is left.
    pub size: Size,
    /// Runs that it took.
    pub runs: u32,
}

/// Runs in which no two faults were in force and felt together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct WithoutOverlap {
    /// So many of them.
    pub runs: u64,
    /// Of so many runs that were not meant to be calm.
    pub of: u64,
    /// In percent, with one decimal, rounded up.
    pub percent: f64,
}

/// A campaign so far. The order of fields is part of the format.
#[derive(Clone, Debug, Serialize)]
pub struct Campaign {
    /// "fuzz".
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The scenario files.
    pub scenarios: Vec<String>,
    /// Seeds that were run of each, "0..1000".
    pub seeds: String,
    /// Why it ended.
    pub ended: Ended,
    /// Seeds that are calm on purpose.
    pub calm: u64,
    /// Others without overlapping faults.
    pub without_overlap: WithoutOverlap,
    /// Virtual time of all runs in whole seconds.
    pub virtual_seconds: u64,
    /// Runs by what their plans promise: "live", "safe", "outside".
    pub tiers: BTreeMap<&'static str, OfTier>,
    /// Distinct failures, by the run that showed them first.
    pub failures: Vec<Failure>,
    /// What was found beyond the promise, by signature, with the number of runs. It fails nothing.
    pub beyond: BTreeMap<String, u64>,
    /// Must everything that is required have been seen?
    pub gated: bool,
    /// Sums over all runs, and what is missing.
    pub summary: Summary,
    #[serde(skip)]
    virtual_us: u64,
    #[serde(skip)]
    per_scenario: usize,
    #[serde(skip)]
    first_seed: u64,
    #[serde(skip)]
    of_signature: BTreeMap<String, usize>,
}

impl Campaign {
    /// A campaign over `sources`, the first seed of each being `first_seed`, before its first run.
    pub fn new(sources: &[Source], first_seed: u64) -> Self {
        Campaign {
            kind: "fuzz",
            scenarios: sources.iter().map(|source| source.file.clone()).collect(),
            seeds: String::new(),
            ended: Ended::Done,
            calm: 0,
            without_overlap: WithoutOverlap::default(),
            virtual_seconds: 0,
            tiers: Tier::ALL.into_iter().map(|tier| (tier.name(), OfTier::default())).collect(),
            failures: Vec::new(),
            beyond: BTreeMap::new(),
            gated: false,
            summary: Summary::default(),
            virtual_us: 0,
            per_scenario: sources.len().max(1),
            first_seed,
            of_signature: BTreeMap::new(),
        }
    }

    /// Takes the next run into account; answers which failures it is the first to show.
    pub fn add(&mut self, source: &Source, report: &RunReport) -> Vec<usize> {
        self.summary.add(report);
        self.virtual_us += report.virtual_time.0;
        let tier = self.tiers.entry(report.promise.name()).or_default();
        tier.held += u64::from(report.verdict == Verdict::Held);
        tier.failed += u64::from(report.verdict == Verdict::Failed);
        tier.beyond += u64::from(report.verdict == Verdict::Held && !report.beyond.is_empty());
        let beyond: BTreeSet<String> = report.beyond.iter().map(|found| found.signature()).collect();
        for signature in beyond {
            *self.beyond.entry(signature).or_default() += 1;
        }
        if source.scenario.swarm.is_some() && swarm::shape(&source.scenario, report.seed).calm {
            self.calm += 1;
        } else {
            self.without_overlap.of += 1;
            self.without_overlap.runs += u64::from(report.coverage.overlaps.is_empty());
        }
        let mut new = Vec::new();
        if report.verdict == Verdict::Failed {
            for signature in report.signatures() {
                let next = self.failures.len();
                let index = *self.of_signature.entry(signature.clone()).or_insert(next);
                if index == next {
                    self.failures.push(failure(signature, report));
                    new.push(index);
                }
                self.failures[index].runs += 1;
            }
        }
        new
    }

    /// The end: what of `required` is missing counts if `gated`.
    pub fn finish(&mut self, ended: Ended, required: Option<&Required>) {
        self.ended = ended;
        self.gated = required.is_some();
        self.virtual_seconds = self.virtual_us / 1_000_000;
        let rounds = self.summary.runs.div_ceil(self.per_scenario as u64);
        self.seeds = format!("{}..{}", self.first_seed, self.first_seed.saturating_add(rounds));
        let WithoutOverlap { runs, of, .. } = self.without_overlap;
        self.without_overlap.percent = (runs * 1000).div_ceil(of.max(1)) as f64 / 10.0;
        self.summary.missing = required.map(|required| self.summary.missing_of(required)).unwrap_or_default();
    }

    /// Nothing failed and nothing is missing.
    pub fn held(&self) -> bool {
        self.summary.failed == 0 && self.summary.missing.is_empty()
    }

    /// For people; `wall_seconds` is what this machine needed.
    pub fn text(&self, wall_seconds: f64) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let mut line = |content: std::fmt::Arguments<'_>| {
            let _ = text.write_fmt(content);
            text.push('\n');
        };
        let bold = anstyle::Style::new().bold();
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let s = &self.summary;
        let why = match self.ended {
            Ended::Done => "",
            Ended::TimeLimit => ", as far as the time allowed",
            Ended::Interrupted => ", interrupted",
        };
        line(format_args!(
            "{bold}seeds {}{bold:#} of {}{why}: {}, {} held, {} failed",
            self.seeds,
            self.scenarios.join(", "),
            count(s.runs, "run"),
            s.held,
            s.failed
        ));
        for (name, tier) in &self.tiers {
            let beyond = match tier.beyond {
                0 => String::new(),
                n => format!(", {n} with findings beyond the promise"),
            };
            line(format_args!("  promise {name}: {} held{beyond}, {} failed", tier.held, tier.failed));
        }
        line(format_args!(
            "  {} events in {} s of virtual time, {} commits; {wall_seconds:.1} s on this machine, {:.0} runs/s",
            s.events,
            self.virtual_seconds,
            s.committed,
            s.runs as f64 / wall_seconds.max(0.001)
        ));
        line(format_args!(
            "  {} calm on purpose; of the other {} without overlapping faults: {} ({:.1} %)",
            self.calm, self.without_overlap.of, self.without_overlap.runs, self.without_overlap.percent
        ));
        if s.live_unjudged > 0 {
            line(format_args!("  {} promised to be live and were not judged at the end", s.live_unjudged));
        }
        let c = &s.coverage;
        let all = |counts: &BTreeMap<String, u64>| {
            let items: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        };
        line(format_args!("  faults felt: {}", all(&s.faults_felt)));
        let of_two = c.overlaps.keys().filter(|pair| pair.split_once(" + ").is_some_and(|(a, b)| a != b));
        let rarest = c.overlaps.iter().min_by_key(|(_, n)| **n);
        let rarest = rarest.map_or(String::new(), |(pair, n)| format!("; least often {pair}: {n}"));
        line(format_args!("  pairs of fault classes that overlapped: {}{rarest}", of_two.count()));
        let deaths: u64 = c.crashes.values().sum();
        let cuts: u64 = c.cuts.values().sum();
        line(format_args!(
            "  {deaths} deaths within 50 ms of {}, {cuts} in the middle of a list of effects",
            count(c.crashes.len() as u64, "step")
        ));
        line(format_args!("  depth: {}", all(&c.depth)));
        if !self.beyond.is_empty() {
            line(format_args!("  runs with findings beyond the promise: {}", all(&self.beyond)));
        }
        let never = s.premises.values().filter(|n| **n == 0).count();
        line(format_args!("  premises: {} held, {never} never", s.premises.len() - never));
        text.push_str(&c.text());
        let mut line = |content: std::fmt::Arguments<'_>| {
            let _ = text.write_fmt(content);
            text.push('\n');
        };
        for missing in &s.missing {
            line(format_args!("  {red}missing:{red:#} {missing}"));
        }
        for failure in &self.failures {
            line(format_args!("{red}{}{red:#}: {}", failure.signature, count(failure.runs, "run")));
            line(format_args!(
                "  {} seed {}, promise {}: {}",
                failure.file, failure.seed, failure.promise, failure.what
            ));
            if let Some(file) = &failure.plan {
                line(format_args!("  plan: {file}"));
            }
            if let Some(Shrunk { file, size, runs }) = &failure.shrunk {
                line(format_args!("  shrunk to {size} in {}: {file}", count((*runs).into(), "run")));
            }
            line(format_args!("  {}", failure.replay));
        }
        text
    }
}

fn failure(signature: String, report: &RunReport) -> Failure {
    let violation = report.violations.iter().find(|v| v.signature() == signature);
    let unmet = report.unmet.iter().find(|u| u.signature() == signature);
    let what = match (violation, unmet) {
        (Some(v), _) => format!("at {}: {}", v.at, v.what),
        (None, Some(u)) => format!("{}: {}; {}", u.path, u.expected, u.seen),
        (None, None) => String::new(),
    };
    Failure {
        signature,
        runs: 0,
        file: report.file.clone(),
        seed: report.seed,
        promise: report.promise,
        what,
        replay: report.reproduce.clone().unwrap_or_default(),
        plan: None,
        shrunk: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ViolationReport;
    use crate::scenario::FaultClass;
    use crate::time::Time;
    use crate::{felt, names};

    fn sources() -> Vec<Source> {
        vec![Source { file: swarm::DEFAULT_FILE.into(), scenario: swarm::default_scenario() }]
    }

    fn report(seed: u64, broken: &[(&str, &str)]) -> RunReport {
        let violation = |(invariant, what): &(&str, &str)| ViolationReport {
            invariant: (*invariant).into(),
            rule: "R-1".into(),
            at: Time::secs(seed),
            what: (*what).into(),
        };
        RunReport {
            verdict: if broken.is_empty() { Verdict::Held } else { Verdict::Failed },
            violations: broken.iter().map(violation).collect(),
            virtual_time: Time::millis(700),
            reproduce: Some(format!("dbmsim run x --seed {seed}")),
            ..RunReport::empty("swarm", "swarm.json", seed)
        }
    }

    #[test]
    fn one_defect_is_one_failure_with_its_smallest_seed() {
        let sources = sources();
        let mut campaign = Campaign::new(&sources, 3);
        let both = [("logs", "x"), ("roles", "y"), ("logs", "z")];
        let runs = [report(3, &[]), report(4, &both), report(5, &[("logs", "other words")])];
        let new: Vec<usize> = runs.iter().map(|run| campaign.add(&sources[0], run).len()).collect();
        assert_eq!(new, [0, 2, 0]);
        campaign.finish(Ended::Done, None);
        let told: Vec<_> = campaign.failures.iter().map(|f| (f.signature.as_str(), f.runs, f.seed)).collect();
        assert_eq!(told, [("logs R-1", 2, 4), ("roles R-1", 1, 4)]);
        assert_eq!((campaign.seeds.as_str(), campaign.virtual_seconds), ("3..6", 2));
        assert!(!campaign.held());
        let text = campaign.text(1.0);
        assert!(text.contains("at 4s: x") && text.ends_with("dbmsim run x --seed 4\n"), "{text}");
    }

    #[test]
    fn calm_seeds_need_no_overlap() {
        let sources = sources();
        let mut campaign = Campaign::new(&sources, 0);
        let calm: Vec<bool> = (0..200).map(|seed| swarm::shape(&sources[0].scenario, seed).calm).collect();
        for seed in 0..200 {
            let mut run = report(seed, &[]);
            if seed % 4 != 0 {
                run.coverage.overlaps.insert("cut + crash".into(), 2);
            }
            campaign.add(&sources[0], &run);
        }
        campaign.finish(Ended::Done, None);
        let bare = (0..200).filter(|seed| seed % 4 == 0 && !calm[*seed]).count() as u64;
        let quiet = calm.iter().filter(|calm| **calm).count() as u64;
        assert_eq!((campaign.calm, campaign.without_overlap.of), (quiet, 200 - quiet));
        assert_eq!(campaign.without_overlap.runs, bare);
        let exact = bare as f64 * 100.0 / (200 - quiet) as f64;
        assert!((0.0..0.1).contains(&(campaign.without_overlap.percent - exact)));
    }

    #[test]
    fn runs_are_told_by_what_they_promise() {
        let sources = sources();
        let mut campaign = Campaign::new(&sources, 0);
        let beyond = RunReport { promise: Tier::Outside, ..report(0, &[]) };
        let found = report(0, &[("data", "x"), ("data", "y")]).violations;
        campaign.add(&sources[0], &RunReport { beyond: found, ..beyond.clone() });
        campaign.add(&sources[0], &beyond);
        campaign.add(&sources[0], &RunReport { promise: Tier::Safe, ..report(1, &[("logs", "x")]) });
        campaign.finish(Ended::Done, None);
        assert_eq!(campaign.tiers["outside"], OfTier { held: 2, failed: 0, beyond: 1 });
        assert_eq!(campaign.tiers["safe"], OfTier { held: 0, failed: 1, beyond: 0 });
        assert_eq!(campaign.tiers["live"], OfTier::default());
        assert_eq!(campaign.beyond, BTreeMap::from([("data R-1".to_owned(), 1)]));
        assert_eq!(campaign.failures[0].promise, Tier::Safe);
        assert!(
            campaign
                .text(1.0)
                .contains("promise outside: 2 held, 1 with findings beyond the promise, 0 failed")
        );
    }

    #[test]
    fn what_is_required_and_missing_fails_a_campaign() {
        let sources = sources();
        let mut campaign = Campaign::new(&sources, 0);
        let mut run = report(0, &[]);
        run.faults_felt.insert("crash".into(), 1);
        campaign.add(&sources[0], &run);
        let required: Required =
            serde_json::from_str(r#"{"faults_felt": {"crash": 1, "cut": 1}, "depth": {"log wrapped": 2}}"#)
                .expect("it is in form");
        campaign.finish(Ended::Done, Some(&required));
        assert_eq!(campaign.summary.missing, ["depth log wrapped: 0 of 2", "faults_felt cut: 0 of 1"]);
        assert!(!campaign.held() && campaign.text(1.0).contains("log wrapped: 0 of 2"));
        campaign.finish(Ended::Done, None);
        assert!(campaign.held());
    }

    /// A long campaign is asked for every pair of classes, every way to feel a fault and every step of the protocol; a
    /// short one for no more than that.
    #[test]
    fn the_gates_of_a_long_campaign_leave_nothing_out() {
        let (short, long) = (gates(ALL_GATED_FROM - 1), gates(ALL_GATED_FROM));
        let asked = |part: &str, name: &str| {
            let least = long.part(part).and_then(|counts| counts.get(name)).copied();
            assert!(least.unwrap_or_default() > 0, "the gates do not ask for {part} {name}");
        };
        for (i, one) in FaultClass::ALL.iter().enumerate() {
            let later = FaultClass::ALL[i + 1..].iter();
            later.for_each(|other| asked("overlaps", &format!("{} + {}", one.name(), other.name())));
        }
        // A stale frame has to have been sent before: scenarios and the explorer inject, the swarm does not.
        let drawn = felt::names().iter().filter(|name| **name != "inject");
        drawn.for_each(|name| asked("faults_felt", name));
        names::STEPS.iter().for_each(|name| asked("steps", name));
        for part in ["overlaps", "faults_felt", "steps", "transitions", "depth", "premises"] {
            let counts = short.part(part).unwrap_or_else(|| panic!("short campaigns are asked for {part}"));
            counts.keys().for_each(|name| asked(part, name));
        }
    }
}
