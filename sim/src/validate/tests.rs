//! Each kind of senseless scenario, and the place that its message names.

use super::*;
use crate::read::tests::{SMALL, small};
use crate::read::{self, ReadError};
use serde_json::{Value, json};

/// SMALL with `fields` put over it.
fn problems(fields: Value) -> Vec<String> {
    let mut file: Value = serde_json::from_str(SMALL).expect("SMALL is JSON");
    for (key, value) in fields.as_object().expect("an object") {
        file[key] = value.clone();
    }
    match read::text(std::path::Path::new("x.json"), &file.to_string()) {
        Ok(_) => Vec::new(),
        Err(ReadError::Invalid { problems, .. }) => problems.iter().map(Problem::to_string).collect(),
        Err(other) => panic!("another error: {other}"),
    }
}

fn only(fields: Value, start: &str) {
    let found = problems(fields);
    assert!(found.len() == 1 && found[0].starts_with(start), "expected {start}…, found {found:#?}");
}

#[test]
fn the_smallest_scenario_is_fine() {
    assert_eq!(check(&small()), []);
}

#[test]
fn unknown_instances_are_named_with_a_guess() {
    only(
        json!({"timeline": [{"at": "1s", "do": {"crash": "a"}}]}),
        "timeline[0].do.crash: there is no instance `a`; did you mean `A`?",
    );
    only(
        json!({"timeline": [{"on": {"reached": {"instance": "Z", "step": "armed"}}, "do": "heal_all"}]}),
        "timeline[0].on.reached.instance: there is no instance `Z`; expected one of `A`, `B`, `W`",
    );
}

#[test]
fn times_that_go_back_or_beyond_the_end_are_refused() {
    only(json!({"timeline": [{"at": "31s", "do": "heal_all"}]}), "timeline[0].at: 31s is after the end");
    only(
        json!({"timeline": [{"at": "5s", "do": "heal_all"}, {"at": "4s", "do": "heal_all"}]}),
        "timeline[1]: time goes back, to 4s after 5s",
    );
    only(
        json!({"timeline": [{"between": ["5s", "4s"], "do": "heal_all"}]}),
        "timeline[0].between: goes back",
    );
    only(
        json!({"expect": [{"by": "4s", "after": "5s", "that": {"lost_transactions": 0}}]}),
        "expect[0].by: goes back",
    );
    only(json!({"chaos": {"from": "9s", "until": "3s", "every": "1s"}}), "chaos.until: goes back");
    let owner = |until: &str, statements: Value| json!({"chaos": {"from": "2s", "until": until, "every": "1s", "statements": statements}});
    only(owner("9s", json!({"every": "1ms"})), "chaos.statements.every: 1ms is too short");
    only(owner("29s", json!({"every": "1s"})), "chaos.statements: the owner needs 15s");
    let none = json!({"failover": 0, "force_service": 0, "suspend": 0, "resume": 0, "safety": 0, "witness": 0, "timeout": 0});
    only(owner("9s", json!({"every": "1s", "weights": none})), "chaos.statements.weights: are all 0");
}

#[test]
fn a_step_has_exactly_one_time_form() {
    only(json!({"timeline": [{"do": "heal_all"}]}), "timeline[0]: has 0 of `at`, `between`, `on`");
    only(
        json!({"timeline": [{"at": "1s", "between": ["1s", "2s"], "do": "heal_all"}]}),
        "timeline[0]: has 2 of",
    );
    only(json!({"timeline": [{"at": "1s", "nth": 2, "do": "heal_all"}]}), "timeline[0].nth: belongs");
    only(json!({"expect": [{"that": {"lost_transactions": 0}}]}), "expect[0]: has 0 of");
    only(
        json!({"expect": [{"at": "1s", "after": "1s", "that": {"lost_transactions": 0}}]}),
        "expect[0].after",
    );
}

#[test]
fn triggers_are_checked_as_far_as_names_go() {
    let on = |on: Value| json!({"timeline": [{"on": on, "do": "heal_all"}]});
    only(
        on(json!({"sent": {"frame": "claims", "from": "B", "to": "W"}})),
        "timeline[0].on.sent.frame: there is no",
    );
    only(
        on(json!({"sent": {"frame": "claim", "from": "B", "to": "B"}})),
        "timeline[0].on.sent: `from` and `to`",
    );
    only(
        on(json!({"disk_done": {"instance": "B", "file": "logs"}})),
        "timeline[0].on.disk_done.file: there is no file",
    );
    only(
        on(json!({"reached": {"instance": "B", "step": "arm"}})),
        "timeline[0].on.reached.step: there is no step",
    );
    only(on(json!({"serving": {"instance": "W"}})), "timeline[0].on.serving.instance: `W` is the witness");
    let mut file = on(json!({"started": {"instance": "B"}}));
    file["timeline"][0]["nth"] = json!(0);
    only(file.clone(), "timeline[0].nth: is 0");
    file["timeline"][0]["nth"] = json!(1);
    file["timeline"][0]["after_step"] = json!(0);
    only(file, "timeline[0].after_step: 0 names no other step");
}

#[test]
fn a_statement_must_parse_unless_the_scenario_is_about_that() {
    let sql = |error: Value| json!({"timeline": [{"at": "1s", "do": {"sql": {"on": "A", "text": "SELECT 1", "error": error}}}]});
    only(sql(Value::Null), "timeline[0].do.sql.text: line 1");
    assert_eq!(problems(sql(json!(102))), [""; 0]);
    only(
        json!({"timeline": [{"at": "1s", "do": {"sql": {"on": "A", "error": -7,
            "text": "ALTER DATABASE sales SET PARTNER FAILOVER"}}}]}),
        "timeline[0].do.sql.error",
    );
}

#[test]
fn clocks_stay_within_the_guarantee() {
    assert_eq!(clock_rate_bound_ppm(10), 47_619);
    only(json!({"clocks": {"A": {"rate_ppm": -47_619}}}), "clocks.A.rate_ppm: -47619 ppm is outside");
    only(json!({"clocks": {"C": {}}}), "clocks.C: there is no host `C`");
    let slow = json!({"principal": "A", "mirror": "B", "timeout_s": 32_767});
    only(
        json!({"session": slow}),
        "clock_rate_ppm_max: 200 ppm is outside the guarantee; expected less than 15",
    );
}

#[test]
fn faults_are_checked_for_what_they_hit_and_how_much() {
    let fault = |action: Value| json!({"timeline": [{"at": "1s", "do": action}]});
    let path = json!({"from": "A", "to": "B"});
    let clients = json!({"from": "A", "to": "clients"});
    let place = "timeline[0].do";
    for (action, start) in [
        (
            json!({"throttle": {"path": clients, "bytes_s": 9}}),
            ".throttle.path.to: there is no instance `clients`",
        ),
        (
            json!({"throttle": {"path": path, "bytes_s": 0}}),
            ".throttle.bytes_s: is 0; expected bytes per second",
        ),
        (
            json!({"corrupt": {"path": clients, "one_in": 9}}),
            ".corrupt.path.to: there is no instance `clients`",
        ),
        (
            json!({"corrupt": {"path": path, "one_in": 0}}),
            ".corrupt.one_in: is 0; expected 1 for every frame",
        ),
        (json!({"slow": {"path": path, "by": "1s", "jitter": "31s"}}), ".slow.jitter: 31s is after the end"),
        (
            json!({"slow_start": {"path": {"from": "B", "to": "B"}, "by": "1s"}}),
            ".slow_start.path: `from` and `to`",
        ),
        (json!({"disk_error": {"instance": "A", "count": 0}}), ".disk_error.count: is 0"),
        (json!({"disk_error": {"instance": "Z", "count": 1}}), ".disk_error.instance: there is no instance"),
        (json!({"disk_fail": "Z"}), ".disk_fail: there is no instance"),
        (json!({"disk_full": "Z"}), ".disk_full: there is no instance"),
        (json!({"disk_lie": "Z"}), ".disk_lie: there is no instance"),
        (
            json!({"rot": {"instance": "A", "file": "dat"}}),
            ".rot.file: there is no file `dat`; did you mean `data`?",
        ),
        (json!({"misdirect": {"instance": "Z", "file": "log"}}), ".misdirect.instance: there is no instance"),
        (json!({"slow_cpu": {"instance": "A", "by": "0s"}}), ".slow_cpu.by: is 0"),
        (json!({"fast_cpu": "Z"}), ".fast_cpu: there is no instance"),
        (
            json!({"restart_loop": {"instance": "A", "times": 0, "up": "1s", "down": "1s"}}),
            ".restart_loop.times: is 0",
        ),
        (
            json!({"restart_loop": {"instance": "A", "times": 9, "up": "2s", "down": "2s"}}),
            ".restart_loop: takes 34s; expected at most `duration`, 30s",
        ),
        (json!({"clock_rate": {"host": "A", "ppm": -900_001}}), ".clock_rate.ppm: -900001 is out of range"),
    ] {
        only(fault(action), &format!("{place}{start}"));
    }
    let bearable = json!({"restart_loop": {"instance": "A", "times": 8, "up": "2s", "down": "2s"}});
    assert_eq!(problems(fault(bearable)), [""; 0]);
    assert_eq!(problems(fault(json!({"clock_rate": {"host": "A", "ppm": 300_000}}))), [""; 0]);
}

#[test]
fn sessions_and_instances_must_fit_together() {
    only(
        json!({"session": {"principal": "A", "mirror": "A"}}),
        "session.mirror: `A` is the principal already",
    );
    only(json!({"session": {"principal": "A", "mirror": "B", "timeout_s": 3}}), "session.timeout_s: 3 would");
    only(json!({"session": {"principal": "A", "mirror": "B", "prepared": false}}), "session.prepared");
    let twice = json!([{"name": "A"}, {"name": "B"}, {"name": "W"}, {"name": "A"}]);
    only(json!({"instances": twice}), "instances[3].name: `A` is declared twice");
    let many: Vec<Value> = (0..33).map(|i| json!({"name": format!("I{i}")})).collect();
    let found = problems(json!({"instances": many, "session": {"principal": "I0", "mirror": "I1"}}));
    assert_eq!(found, ["instances: 33 are too many; expected up to 32"]);
    assert!(problems(json!({"instances": []}))[0].starts_with("instances: is empty"));
}

#[test]
fn workload_limits_hold() {
    only(json!({"workload": {"clients": 65}}), "workload.clients: 65 is out of range; expected 1 to 64");
    only(json!({"workload": {"rollback_percent": 101}}), "workload.rollback_percent");
    only(json!({"workload": {"start": "2s", "stop": "1s"}}), "workload.stop: goes back");
}

#[test]
fn conditions_name_partners_and_need_clients_where_they_are_about_them() {
    only(json!({"expect": [{"at": "1s", "that": {"served_by": "A"}}]}), "expect[0].that: is about clients");
    only(json!({"expect": [{"at": "1s", "that": {"role": {}}}]}), "expect[0].that.role: is empty");
    only(
        json!({"expect": [{"at": "1s", "that": {"state": {"W": "SYNCHRONIZED"}}}]}),
        "expect[0].that.state.W",
    );
    let nobody = json!({"workload": {}, "expect": [{"at": "1s", "that": {"served_by": null}}]});
    assert_eq!(problems(nobody), [""; 0]);
}

#[test]
fn an_expectation_that_cannot_fail_is_refused() {
    let of = |most: &str| json!({"workload": {}, "expect": [{"throughout": ["5s", "7s"], "that": {"downtime_max": most}}]});
    only(of("2s"), "expect[0].that.downtime_max: is as long as the window");
    assert_eq!(problems(of("1s")), [""; 0]);
}

#[test]
fn what_is_counted_needs_a_window_and_bounds() {
    let of = |fields: Value| json!({"workload": {}, "expect": [fields]});
    let by = |that: Value| of(json!({"by": "9s", "that": that}));
    only(of(json!({"at": "1s", "that": {"events": {"A": [1]}}})), "expect[0].that: is counted in a window");
    only(by(json!({"events": {"A": []}})), "expect[0].that: asks for nothing");
    only(by(json!({"messages": {"A": []}})), "expect[0].that: asks for nothing");
    only(by(json!({"events": {"A": [13]}})), "expect[0].that.events.A: 13 is out of range; expected 0 to 12");
    only(by(json!({"events": {"W": [1]}})), "expect[0].that.events.W: `W` is the witness");
    only(by(json!({"commits": {"on": "A"}})), "expect[0].that.commits: has no bound");
    only(
        by(json!({"errors": {"number": 9002, "at_least": 2, "at_most": 1}})),
        "expect[0].that.errors: at_least 2",
    );
    only(by(json!({"lost_transactions": {}})), "expect[0].that.lost_transactions: has no bound");
    only(by(json!({"lost_commits_of": "A"})), "expect[0].that.lost_commits_of: counts readers");
    let none = of(json!({"throughout": ["1s", "9s"], "that": {"events": {"A": [], "B": []}}}));
    assert_eq!(problems(none), [""; 0]);
    only(
        json!({"timeline": [{"on": {"event": {"instance": "B", "number": 15}}, "do": "heal_all"}]}),
        "timeline[0].on.event.number: 15 is out of range",
    );
    only(
        json!({"timeline": [{"on": {"event": {"instance": "W", "number": 5}}, "do": "heal_all"}]}),
        "timeline[0].on.event.instance: `W` is the witness",
    );
}

#[test]
fn every_problem_is_listed() {
    let found = problems(json!({"duration": "0s", "timeline": [{"at": "1s", "do": {"crash": "Q"}}]}));
    assert_eq!(found.len(), 3, "{found:#?}");
}
