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
fn every_problem_is_listed() {
    let found = problems(json!({"duration": "0s", "timeline": [{"at": "1s", "do": {"crash": "Q"}}]}));
    assert_eq!(found.len(), 3, "{found:#?}");
}
