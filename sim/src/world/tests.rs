use super::*;
use crate::driver::{Driver, Outcome, run};
use crate::fault::Action;
use crate::node::{ClientProcess, Idle, ServerProcess};
use crate::observe::ClientId;
use crate::scenario::{Step as PlanStep, Trigger};
use crate::testing::{BusyCrew, at, both, on, one_way, options, plan};
use dbm_core::config::Config;
use dbm_core::io::{
    Area, DiskOp, Durability, Effects, FileId, FileKind, Input, LinkId, Notice, SqlError, Ticket,
};
use dbm_core::types::Micros;

/// What a server of a test does.
#[derive(Clone, Copy)]
struct Script(fn(&Config, Instant, &Input, &mut Effects) -> Option<Instant>);

struct Scripted(Config, Script, Option<Instant>);

impl Crew for Script {
    fn instance(&self, config: Config) -> Box<dyn ServerProcess> {
        Box::new(Scripted(config, *self, None))
    }
    fn client(&self, _: &Scenario, _: ClientId, _: Stream) -> Box<dyn ClientProcess> {
        Box::new(Idle)
    }
}

impl ServerProcess for Scripted {
    fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        self.2 = (self.1.0)(&self.0, now, &input, out);
    }
    fn next_timeout(&self) -> Option<Instant> {
        self.2
    }
    fn fingerprint(&self) -> u64 {
        0
    }
    fn check(&self) {}
}

/// Runs under both drivers, which must agree; answers the outcome and the lines of the trace.
fn traced(seconds: u64, timeline: Vec<PlanStep>, crew: impl Crew + Copy + 'static) -> (Outcome, Vec<String>) {
    let plan = Scenario { timeline, ..plan(seconds, 1) };
    let outcomes = [Driver::Plain, Driver::Madsim].map(|driver| {
        let options = RunOptions { trace: true, ..options(driver, crew) };
        let outcome = run(&plan, 1, &options).expect("the plan is sound");
        let lines = outcome.trace.iter().flat_map(|trace| trace.lines()).collect();
        (outcome, lines)
    });
    let [plain, madsim]: [(Outcome, Vec<String>); 2] = outcomes;
    assert_eq!((plain.0.digest, &plain.1), (madsim.0.digest, &madsim.1));
    madsim
}

fn count(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

const LOG: FileId = FileId { session: SESSION, kind: FileKind::Log };

fn named(name: &'static str) -> Effect {
    Effect::Notice(Notice::Step { session: SESSION, name })
}

/// A tells three steps in one list, with a write between the first two.
fn three_steps(config: &Config, _: Instant, input: &Input, out: &mut Effects) -> Option<Instant> {
    if config.id.0 == 0 && matches!(input, Input::Start) {
        let bytes = vec![1; 600].into();
        let op = DiskOp::Write { file: LOG, offset: 0, bytes, durability: Durability::Through };
        out.extend([
            named("one"),
            Effect::Disk { ticket: Ticket::new(SESSION, Area::Copy, 1), op },
            named("two"),
            named("three"),
        ]);
    }
    None
}

#[test]
fn a_crash_in_the_middle_of_a_list_of_effects_loses_the_rest() {
    let reached = |step: &str| Trigger::Reached { instance: "A".into(), step: step.into() };
    let (outcome, lines) =
        traced(1, vec![on(reached("two"), Action::Crash("A".into()))], Script(three_steps));
    assert_eq!((count(&lines, "\"one\""), count(&lines, "\"two\""), count(&lines, "\"three\"")), (1, 1, 0));
    assert_eq!(outcome.faults_felt["crash"], 1);
    assert_eq!(count(&lines, "disk done"), 0);
    // It starts again at once when the plan says so, before anybody else has a turn.
    let again = vec![
        PlanStep { nth: Some(1), ..on(reached("two"), Action::Crash("A".into())) },
        PlanStep { nth: Some(1), ..on(reached("two"), Action::Restart("A".into())) },
    ];
    let (_, lines) = traced(1, again, Script(three_steps));
    assert_eq!((count(&lines, "\"two\""), count(&lines, "\"three\"")), (2, 1));
    assert_eq!(count(&lines, "incarnation 2"), 1);
}

#[test]
fn a_crash_of_the_starting_process_leaves_it_dead() {
    let started = Trigger::Started { instance: "A".into() };
    let (_, lines) = traced(1, vec![on(started, Action::Crash("A".into()))], Script(three_steps));
    assert_eq!((count(&lines, "died"), count(&lines, "\"one\"")), (1, 0));
}

#[test]
fn a_crash_of_the_receiver_at_delivery_keeps_the_input_from_it() {
    let done = Trigger::DiskDone { instance: "A".into(), file: "log".into() };
    let (_, lines) = traced(1, vec![on(done, Action::Crash("A".into()))], Script(three_steps));
    assert_eq!((count(&lines, "durable"), count(&lines, "disk done"), count(&lines, "died")), (1, 0, 1));
}

#[test]
fn a_triggered_step_may_come_later() {
    let reached = Trigger::Reached { instance: "A".into(), step: "two".into() };
    let step = PlanStep { delay: Some(Time::millis(250)), ..on(reached, Action::Crash("A".into())) };
    let (_, lines) = traced(1, vec![step], Script(three_steps));
    assert!(lines.iter().any(|line| line == "    0.250000  A          died"), "{lines:?}");
    assert_eq!(count(&lines, "\"three\""), 1);
}

/// A links to B and sends a numbered frame every 100 ms of its clock.
fn sender(config: &Config, now: Instant, input: &Input, out: &mut Effects) -> Option<Instant> {
    let start = |link| Effect::Connect { link, to: InstanceId(1) };
    match (config.id.0, input) {
        (0, Input::Start) => out.push(start(LinkId(2))),
        (0, _) => out.push(Effect::Send { link: LinkId(2), bytes: vec![0; 100].into() }),
        _ => return None,
    }
    Some(now + Micros::from_millis(100))
}

#[test]
fn inputs_of_a_paused_process_wait_and_are_handled_in_order_at_its_end() {
    let pause = vec![
        at(Time::millis(500), Action::Pause("B".into())),
        at(Time::millis(1500), Action::Unpause("B".into())),
    ];
    let (outcome, lines) = traced(2, pause, Script(sender));
    let delivered: Vec<&String> = lines.iter().filter(|line| line.contains("delivered")).collect();
    assert_eq!(delivered.iter().filter(|line| line.starts_with("    1.500000")).count(), 10);
    assert!(!delivered.iter().any(|line| ("    0.510000".."    1.500000").contains(&&line[..12])));
    assert_eq!(outcome.faults_felt["pause"], 10);
}

#[test]
fn a_paused_process_that_dies_forgets_what_waited() {
    let timeline = vec![
        at(Time::millis(500), Action::Pause("B".into())),
        at(Time::millis(900), Action::Crash("B".into())),
        at(Time::millis(950), Action::Restart("B".into())),
        at(Time::millis(960), Action::Unpause("B".into())),
    ];
    let (_, lines) = traced(2, timeline, Script(sender));
    assert_eq!(count(&lines, "goes on"), 0);
    let late = lines.iter().filter(|line| line.contains("delivered") && line.as_str() > "    0.510000");
    assert_eq!(late.count(), 0);
}

#[test]
fn a_fast_clock_brings_timers_forward_at_once() {
    let timeline = vec![at(Time::millis(50), Action::ClockRate { host: "A".into(), ppm: 1_000_000 })];
    let (outcome, lines) = traced(1, timeline, Script(sender));
    // 100 ms of A's clock: at 75 ms, then every 50 ms.
    assert!(
        lines.iter().any(|line| line.starts_with("    0.07") && line.contains("A          timeout")),
        "{lines:?}"
    );
    assert_eq!(outcome.faults_felt["clock_rate"], 19);
}

#[test]
fn a_panic_is_a_finding_and_a_crash() {
    fn panics(config: &Config, now: Instant, input: &Input, _: &mut Effects) -> Option<Instant> {
        assert!(config.id.0 != 1 || matches!(input, Input::Start), "the log is torn");
        Some(now + Micros::from_millis(100))
    }
    let restart = vec![at(Time::millis(500), Action::Restart("B".into()))];
    let (outcome, lines) = traced(1, restart, Script(panics));
    assert_eq!(outcome.findings.len(), 2);
    assert!(
        outcome.findings[0].text.starts_with("B: ") && outcome.findings[0].text.contains("the log is torn")
    );
    assert_eq!((count(&lines, "panicked"), count(&lines, "died"), outcome.faults_felt["crash"]), (2, 2, 2));
}

#[test]
fn time_that_stands_still_ends_the_run_with_a_finding() {
    fn spins(config: &Config, now: Instant, _: &Input, _: &mut Effects) -> Option<Instant> {
        (config.id.0 == 0).then_some(now)
    }
    let (outcome, _) = traced(1, vec![], Script(spins));
    assert_eq!(outcome.findings[0].rule, "livelock");
    assert_eq!(outcome.virtual_time, Time(0));
}

#[test]
fn too_many_events_end_the_run_with_a_finding() {
    fn hurries(_: &Config, now: Instant, _: &Input, _: &mut Effects) -> Option<Instant> {
        Some(now + Micros(10))
    }
    let (outcome, _) = traced(1, vec![], Script(hurries));
    assert_eq!(outcome.findings[0].rule, "livelock");
    assert!(outcome.virtual_time < Time::secs(1));
}

#[test]
fn a_statement_must_end_as_the_plan_says() {
    fn answers(_: &Config, _: Instant, input: &Input, out: &mut Effects) -> Option<Instant> {
        if let Input::Statement { request, sql } = input {
            let error = SqlError { number: 1404, severity: 16, position: None };
            let result = if sql == "good" { Ok(()) } else { Err(error) };
            out.push(Effect::StatementDone { request: *request, result });
        }
        None
    }
    let sql = |text: &str, error| Action::Sql { on: "A".into(), text: text.into(), error };
    let met = [sql("good", None), sql("bad", Some(1404)), sql("bad", Some(-1)), sql("good", Some(-1))];
    let unmet = [sql("bad", None), sql("good", Some(1404)), sql("bad", Some(955))];
    let timeline = |actions: &[Action]| actions.iter().map(|a| at(Time(1000), a.clone())).collect();
    assert_eq!(traced(1, timeline(&met), Script(answers)).0.findings, []);
    assert_eq!(traced(1, timeline(&unmet), Script(answers)).0.findings.len(), 3);
    let (outcome, _) = traced(1, timeline(&[Action::Crash("A".into()), sql("good", None)]), Script(answers));
    assert!(outcome.findings[0].text.ends_with("on A was not answered"));
}

#[test]
fn after_heal_all_everything_is_as_in_a_run_without_faults() {
    let faults = [
        Action::Crash("A".into()),
        Action::HostDown("W".into()),
        Action::Pause("B".into()),
        Action::Cut(both("A", "B")),
        Action::Stall(one_way("B", "W")),
        Action::Slow { path: both("clients", "B"), by: Time::secs(2), jitter: Time(0) },
        Action::Refuse(both("clients", "A")),
        Action::Throttle { path: both("B", "W"), bytes_s: 10 },
        Action::Corrupt { path: both("A", "W"), one_in: 1 },
        Action::SlowStart { path: both("clients", "W"), by: Time::secs(2) },
        Action::DiskStall("B".into()),
        Action::DiskFail("A".into()),
        Action::DiskFull("B".into()),
        Action::DiskLie("W".into()),
        Action::DiskError { instance: "B".into(), count: 1000 },
        Action::Misdirect { instance: "W".into(), file: "log".into() },
        Action::SlowCpu { instance: "W".into(), by: Time::secs(3) },
        Action::RestartLoop { instance: "B".into(), times: 9, up: Time::secs(1), down: Time::secs(1) },
        Action::ClockRate { host: "B".into(), ppm: 5000 },
        Action::ClockFreeze { host: "B".into(), frozen: true },
        Action::ClockStep { host: "B".into(), ms: 5000 },
    ];
    let mut timeline: Vec<PlanStep> = faults.into_iter().map(|fault| at(Time::secs(2), fault)).collect();
    timeline.push(at(Time::secs(10), Action::HealAll));
    let (outcome, lines) = traced(60, timeline, BusyCrew);
    assert_eq!(outcome.findings, []);
    assert_eq!(count(&lines, "B          died"), 4, "the loop ends with everything else");
    let late: Vec<String> = lines.into_iter().filter(|line| line.as_str() > "   45").collect();
    for who in ["A ", "B ", "W "] {
        assert!(count(&late, &format!("  {who:<11}delivered")) > 50, "{who} hears nothing");
        assert!(count(&late, &format!("  {who:<11}durable")) > 50, "{who} writes nothing");
    }
    assert!(count(&late, "client0    answered") > 50);
}

#[test]
fn a_host_without_power_takes_its_instances_and_starts_them_again() {
    let mut plan = plan(3, 0);
    plan.instances[2].host = Some("A".into());
    plan.timeline =
        vec![at(Time::secs(1), Action::HostDown("A".into())), at(Time::secs(2), Action::HostUp("A".into()))];
    let options = RunOptions { trace: true, ..options(Driver::Madsim, BusyCrew) };
    let outcome = run(&plan, 1, &options).expect("the plan is sound");
    let lines: Vec<String> = outcome.trace.iter().flat_map(|trace| trace.lines()).collect();
    assert_eq!((count(&lines, "died"), count(&lines, "incarnation 2")), (2, 2));
    assert!(outcome.faults_felt["host_down"] >= 2 && !outcome.faults_felt.contains_key("crash"));
}

#[test]
fn a_slow_process_handles_one_input_after_the_other() {
    let timeline = vec![
        at(Time::millis(550), Action::SlowCpu { instance: "B".into(), by: Time::millis(250) }),
        at(Time::millis(1600), Action::FastCpu("B".into())),
    ];
    let (outcome, lines) = traced(3, timeline, Script(sender));
    let times: Vec<&str> =
        lines.iter().filter(|line| line.contains("B          delivered")).map(|line| &line[..12]).collect();
    // A frame comes every 100 ms. Slow, B handles one every 250 ms; fast again, all that wait at once.
    let at = |from: &str, to: &str| times.iter().filter(|time| (from..to).contains(*time)).count();
    assert_eq!((at("    0.55", "    0.84"), at("    0.84", "    1.60")), (0, 3), "{times:?}");
    assert_eq!(at("    1.600000", "    1.600001"), 10 - 3, "{times:?}");
    assert_eq!(times.len(), 30);
    assert_eq!(outcome.faults_felt["slow_cpu"], 10);
}

#[test]
fn a_slow_process_that_dies_forgets_what_waited_and_is_slow_again() {
    let timeline = vec![
        at(Time::millis(550), Action::SlowCpu { instance: "A".into(), by: Time::millis(400) }),
        at(Time::millis(800), Action::Crash("A".into())),
        at(Time::millis(900), Action::Restart("A".into())),
    ];
    let (_, lines) = traced(2, timeline, Script(sender));
    let times: Vec<&str> =
        lines.iter().filter(|line| line.contains("A          timeout")).map(|line| &line[..12]).collect();
    // What waited from 550 ms on is gone. Then its link stands, which it handles at 1.3 s, and its timer after that.
    assert!(times.len() == 6 && times[5].starts_with("    1.70"), "{times:?}");
}

#[test]
fn a_restart_loop_ends_with_a_process_that_runs() {
    let how = |times| Action::RestartLoop {
        instance: "A".into(),
        times,
        up: Time::millis(300),
        down: Time::millis(200),
    };
    let (outcome, lines) = traced(4, vec![at(Time::secs(1), how(3))], Script(sender));
    let of = |what: &str| -> Vec<String> {
        let lines = lines.iter().filter(|line| line.contains(what) && line.contains("  A  "));
        lines.map(|line| line[..12].to_owned()).collect()
    };
    assert_eq!(of("died"), ["    1.000000", "    1.500000", "    2.000000"]);
    assert_eq!(of("started"), ["    0.000000", "    1.200000", "    1.700000", "    2.200000"]);
    assert_eq!(outcome.faults_felt["restart_loop"], 3);
    // The newest loop counts, one that is cut short by heal_all as well.
    let again = vec![
        at(Time::secs(1), how(9)),
        at(Time::millis(1100), how(2)),
        at(Time::millis(2900), how(9)),
        at(Time::millis(3000), Action::HealAll),
    ];
    let (outcome, lines) = traced(4, again, Script(sender));
    assert_eq!(outcome.faults_felt["restart_loop"], 3, "{lines:?}");
    assert_eq!(count(&lines, "A          started"), 4);
}

#[test]
fn lines_of_the_error_log_have_the_date_of_a_wall_clock_right_or_wrong() {
    fn talks(_: &Config, now: Instant, _: &Input, out: &mut Effects) -> Option<Instant> {
        out.push(Effect::Notice(Notice::Message { session: SESSION, number: 1480 }));
        Some(now + Micros::from_millis(1000))
    }
    let timeline = vec![
        at(Time::millis(1500), Action::ClockStep { host: "A".into(), ms: -86_400_000 }),
        at(Time::millis(2500), Action::ClockFreeze { host: "B".into(), frozen: true }),
    ];
    let (outcome, lines) = traced(5, timeline, Script(talks));
    let of = |who: &str| -> Vec<&str> {
        let lines = lines.iter().filter(|line| line[14..].starts_with(who) && line.contains("message"));
        lines.map(|line| &line[38..61]).collect()
    };
    assert_eq!((&of("A")[1][..16], &of("A")[2][..16]), ("2005-11-07T00:00", "2005-11-06T00:00"));
    assert_eq!(of("B")[3..], ["2005-11-07T00:00:02.500"; 3][..of("B").len() - 3]);
    assert!(outcome.faults_felt["clock_step"] >= 3 && outcome.faults_felt["clock_freeze"] >= 2);
}
