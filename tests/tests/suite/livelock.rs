//! Nodes that keep themselves busy end the run with a finding: time that stands still, timers that fire for ever, peers
//! that answer each other for ever; and so does a panic. None of it hangs the campaign or is taken for a run that held.

use dbm_core::config::Config;
use dbm_core::io::{Effect, Effects, Input, LinkId};
use dbm_core::types::{InstanceId, Instant, Micros};
use dbm_sim::campaign::{self, Mode, Source};
use dbm_sim::driver::RunOptions;
use dbm_sim::node::{ClientProcess, Crew, Idle, ServerProcess};
use dbm_sim::observe::ClientId;
use dbm_sim::report::{RunReport, Verdict};
use dbm_sim::rng::Stream;
use dbm_sim::runner::{self, Driver, Options};
use dbm_sim::scenario::Scenario;
use std::sync::Arc;

/// What is wrong with A. B, where it is needed, is wrong in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spin {
    /// Wants to be woken now, always.
    Now,
    /// Wants to be woken in the past, always.
    Past,
    /// Wants to be woken after this time, always.
    After(Micros),
    /// Both answer every frame with this many.
    Echo(usize),
    /// Breaks a rule of its own.
    Panic,
    /// Does nothing wrong: wakes up each 10 ms.
    Calm,
}

impl Crew for Spin {
    fn instance(&self, config: Config) -> Box<dyn ServerProcess> {
        Box::new(Node { spin: *self, first: config.id.0 == 0, next: None })
    }
    fn client(&self, _: &Scenario, _: ClientId, _: Stream) -> Box<dyn ClientProcess> {
        Box::new(Idle)
    }
}

struct Node {
    spin: Spin,
    first: bool,
    next: Option<Instant>,
}

impl ServerProcess for Node {
    fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        let start = matches!(input, Input::Start);
        self.next = match self.spin {
            Spin::Now if self.first => Some(now),
            Spin::Past if self.first => Some(Instant(1)),
            Spin::After(time) if self.first => Some(now + time),
            Spin::Calm => Some(now + Micros::from_millis(10)),
            Spin::Now | Spin::Past | Spin::After(_) | Spin::Echo(_) | Spin::Panic => None,
        };
        match (self.spin, input) {
            (Spin::Echo(_), Input::Start) if self.first => {
                out.push(Effect::Connect { link: LinkId(2), to: InstanceId(1) });
            }
            (Spin::Echo(_), Input::LinkUp { link, .. }) if self.first => {
                out.push(Effect::Send { link, bytes: vec![0; 40].into() });
            }
            (Spin::Echo(times), Input::Frame { link, bytes }) => {
                out.extend((0..times).map(|_| Effect::Send { link, bytes: bytes.clone() }));
            }
            (Spin::Panic, _) => assert!(start && !self.first, "a rule is broken"),
            (Spin::Now | Spin::Past | Spin::After(_) | Spin::Echo(_) | Spin::Calm, _) => {}
        }
    }
    fn next_timeout(&self) -> Option<Instant> {
        self.next
    }
    fn fingerprint(&self) -> u64 {
        self.next.map_or(0, |at| at.0)
    }
    fn check(&self) {}
}

fn ran(spin: Spin, driver: Driver) -> RunReport {
    let scenario = serde_json::from_value(serde_json::json!({
        "dbmsim": 1, "name": "spin", "duration": "20s",
        "instances": [{"name": "A"}, {"name": "B"}],
        "session": {"principal": "A", "mirror": "B"},
        "workload": {"clients": 0},
    }));
    let source = Source { file: "spin.json".into(), scenario: scenario.expect("the plan is well formed") };
    let run = |plan: &Scenario, options: &Options| {
        let crew = Arc::new(spin);
        runner::run_with(plan, &RunOptions { crew, ..runner::run_options(plan, options) })
    };
    let mode = Mode { options: Options { driver, ..Options::default() }, check_determinism: false };
    campaign::one(&run, &source, 1, mode).report
}

/// The text of the livelock that both drivers report.
#[track_caller]
fn livelock(spin: Spin) -> String {
    let [plain, madsim] = [Driver::Plain, Driver::Madsim].map(|driver| ran(spin, driver));
    assert_eq!(plain, madsim);
    assert_eq!(plain.verdict, Verdict::Failed);
    let found = plain.violations.iter().find(|v| v.invariant == "livelock");
    found.unwrap_or_else(|| panic!("{spin:?} is not noticed: {}", plain.text())).what.clone()
}

#[test]
fn a_node_that_does_nothing_wrong_is_not_blamed() {
    let found: Vec<String> =
        ran(Spin::Calm, Driver::Plain).violations.into_iter().map(|v| v.invariant).collect();
    assert!(!found.iter().any(|name| name == "livelock" || name == "panic"), "{found:?}");
}

#[test]
fn a_node_that_wakes_itself_at_one_moment() {
    for spin in [Spin::Now, Spin::Past] {
        assert_eq!(
            livelock(spin),
            "A handled more than 8000 inputs in a second in which nobody else had any"
        );
    }
}

#[test]
fn a_timer_that_arms_itself_again_and_again() {
    for micros in [1, 10, 100] {
        let text = livelock(Spin::After(Micros(micros)));
        assert_eq!(text, "A handled more than 8000 inputs in a second in which nobody else had any");
    }
}

#[test]
fn two_nodes_that_answer_each_other_for_ever() {
    let text = livelock(Spin::Echo(2));
    assert!(text.starts_with("more than ") || text.contains("handled more than 20000 inputs"), "{text}");
}

#[test]
fn a_panic_is_a_finding() {
    let report = ran(Spin::Panic, Driver::Madsim);
    let found = report.violations.iter().find(|v| v.invariant == "panic");
    let found = found.unwrap_or_else(|| panic!("the panic is not told: {}", report.text()));
    assert!(found.what.contains("a rule is broken") && found.what.contains("livelock.rs"), "{}", found.what);
    assert_eq!(report.verdict, Verdict::Failed);
}
