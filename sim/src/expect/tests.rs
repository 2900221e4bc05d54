//! Each condition in each time form, met and not met.

use super::*;
use crate::observe::ClientId;
use crate::read::tests::SMALL;
use dbm_core::types::{Branch, Lsn, MirroringState, Role, RoleSequence, Safety, SessionId, WitnessState};
use serde_json::{Value, json};

const A: InstanceId = InstanceId(0);
const B: InstanceId = InstanceId(1);

/// A run of thirty seconds that is watched for one expectation, with clients.
struct Watch(Expectations);

impl Watch {
    fn of(fields: Value) -> Self {
        let mut file: Value = serde_json::from_str(SMALL).expect("SMALL is JSON");
        file["workload"] = json!({});
        for (key, value) in fields.as_object().expect("an object") {
            file[key] = value.clone();
        }
        let plan = crate::read::text(std::path::Path::new("x.json"), &file.to_string()).expect("a scenario");
        Watch(Expectations::new(&plan))
    }
    fn expecting(expectation: Value) -> Self {
        Watch::of(json!({ "expect": [expectation] }))
    }
    fn show(mut self, s: u64, instance: InstanceId, state: MirroringState) -> Self {
        let status = Status {
            role: Some(if instance == A { Role::Principal } else { Role::Mirror }),
            state: Some(state),
            n: RoleSequence(1),
            witness: Some(WitnessState::Connected),
            safety: Safety::Full,
            serving: instance == A,
        };
        self.0.fact(Time::secs(s), &Fact::Status { instance, session: SessionId(0), status: &status });
        self
    }
    fn died(mut self, s: u64, instance: InstanceId) -> Self {
        self.0.fact(Time::secs(s), &Fact::Died { instance });
        self
    }
    fn reply(mut self, s: u64, instance: InstanceId) -> Self {
        let reply = Reply::Begun { n: RoleSequence(1) };
        self.0.fact(Time::secs(s), &Fact::Replied { instance, client: ClientId(0), reply: &reply });
        self
    }
    fn refusal(mut self, s: u64, instance: InstanceId) -> Self {
        let reply = Reply::Refused { error: 955 };
        self.0.fact(Time::secs(s), &Fact::Replied { instance, client: ClientId(0), reply: &reply });
        self
    }
    fn commit(mut self, s: u64) -> Self {
        let reply = Reply::Committed {
            n: RoleSequence(1),
            txn: dbm_core::types::TxnId(1),
            at: Lsn::ZERO,
            branch: Branch::default(),
            values: Vec::new(),
        };
        self.0.fact(Time::secs(s), &Fact::Answered { client: ClientId(0), from: A, reply: &reply });
        self
    }
    fn unmet(self) -> Vec<Unmet> {
        self.0.finish(Time::secs(30))
    }
    fn met(self) {
        assert_eq!(self.unmet(), []);
    }
    fn not_met(self, seen: &str) {
        let unmet = self.unmet();
        assert!(unmet.len() == 1 && unmet[0].seen.contains(seen), "{unmet:#?}");
    }
}

use MirroringState::{Disconnected, Synchronized, Synchronizing};

#[test]
fn by_is_met_by_a_moment_inside_its_window() {
    let expectation = || json!({"after": "5s", "by": "10s", "that": {"state": {"A": "SYNCHRONIZED"}}});
    Watch::expecting(expectation()).show(1, A, Synchronized).met();
    Watch::expecting(expectation()).show(7, A, Synchronized).show(7, A, Disconnected).met();
    Watch::expecting(expectation()).show(10, A, Synchronized).met();
    Watch::expecting(expectation()).show(1, A, Synchronized).show(4, A, Disconnected).not_met("A shows DISC");
    Watch::expecting(expectation())
        .show(1, A, Disconnected)
        .show(11, A, Synchronized)
        .not_met("A shows DISCONNECTED");
    Watch::expecting(expectation()).not_met("A shows nothing");
}

#[test]
fn at_looks_at_what_stands_after_everything_of_that_moment() {
    let expectation = || json!({"at": "10s", "that": {"state": {"A": "SYNCHRONIZED", "B": "SYNCHRONIZED"}}});
    Watch::expecting(expectation()).show(1, A, Synchronized).show(10, B, Synchronized).met();
    Watch::expecting(expectation())
        .show(1, A, Synchronized)
        .show(11, B, Synchronized)
        .not_met("B shows nothing");
    let w = Watch::expecting(expectation()).show(1, A, Synchronized).show(1, B, Synchronized);
    w.show(10, B, Synchronizing).not_met("A shows SYNCHRONIZED, B shows SYNCHRONIZING");
}

#[test]
fn throughout_bears_no_gap_but_one_of_no_length() {
    let expectation = || json!({"throughout": ["5s", "10s"], "that": {"state": {"A": "SYNCHRONIZED"}}});
    Watch::expecting(expectation()).show(5, A, Synchronized).show(11, A, Disconnected).met();
    let w = Watch::expecting(expectation()).show(1, A, Synchronized);
    w.show(7, A, Synchronizing).show(7, A, Synchronized).met();
    let w = Watch::expecting(expectation()).show(1, A, Synchronized);
    w.show(7, A, Synchronizing).show(8, A, Synchronized).not_met("A shows SYNCHRONIZING");
    Watch::expecting(expectation()).show(6, A, Synchronized).not_met("A shows nothing");
    Watch::expecting(expectation()).show(1, A, Synchronized).died(6, A).not_met("A shows nothing");
}

#[test]
fn roles_witness_states_and_sequences_are_compared_too() {
    let at = |that: Value| Watch::expecting(json!({"at": "10s", "that": that})).show(1, A, Synchronized);
    at(json!({"role": {"A": "principal"}})).met();
    at(json!({"role": {"A": "mirror"}})).not_met("A shows principal");
    at(json!({"witness_state": {"A": "CONNECTED"}})).met();
    at(json!({"witness_state": {"A": "NULL"}})).not_met("A shows CONNECTED");
    at(json!({"role_sequence": {"instance": "A", "n": 1}})).met();
    at(json!({"role_sequence": {"instance": "A", "n": 2}})).not_met("A shows 1");
}

#[test]
fn served_by_means_the_newest_answer() {
    let by = || json!({"after": "5s", "by": "10s", "that": {"served_by": "B"}});
    Watch::expecting(by()).reply(1, A).reply(8, B).met();
    Watch::expecting(by()).reply(1, B).reply(8, A).refusal(9, B).reply(12, B).not_met("came from A at 8s");
    let at = || json!({"at": "10s", "that": {"served_by": "B"}});
    Watch::expecting(at()).reply(9, B).met();
    Watch::expecting(at()).reply(8, B).not_met("came from B at 8s");
    Watch::expecting(at()).not_met("no answer");
    let throughout = || json!({"throughout": ["5s", "10s"], "that": {"served_by": "B"}});
    Watch::expecting(throughout()).reply(4, A).reply(6, B).reply(11, A).met();
    Watch::expecting(throughout()).reply(6, B).reply(7, A).not_met("A answered at 7s");
    Watch::expecting(throughout()).reply(4, B).not_met("no answer of that instance");
}

#[test]
fn served_by_nobody_means_silence() {
    let by = || json!({"after": "5s", "by": "10s", "that": {"served_by": null}});
    Watch::expecting(by()).reply(8, A).met();
    let mut busy = Watch::expecting(by());
    for s in 0..30 {
        busy = busy.reply(s, A);
    }
    busy.not_met("came from A");
    let throughout = || json!({"throughout": ["5s", "10s"], "that": {"served_by": null}});
    Watch::expecting(throughout()).reply(4, A).refusal(6, A).reply(11, A).met();
    Watch::expecting(throughout()).reply(7, A).not_met("A answered at 7s");
    Watch::expecting(json!({"at": "10s", "that": {"served_by": null}})).reply(9, A).not_met("from A at 9s");
}

#[test]
fn downtime_is_the_longest_gap_in_the_window() {
    let most = || json!({"throughout": ["5s", "30s"], "that": {"downtime_max": "10s"}});
    Watch::expecting(most()).reply(1, A).reply(14, A).reply(20, A).reply(25, A).met();
    Watch::expecting(most()).reply(1, A).reply(16, A).reply(25, A).not_met("no answer for 11s from 5s on");
    Watch::expecting(most()).reply(12, A).not_met("no answer for 18s from 12s on");
    Watch::expecting(most()).not_met("no answer at all");
}

#[test]
fn downtime_of_the_run_ends_when_the_clients_stop() {
    let w = Watch::of(json!({"workload": {"stop": "20s"}})).reply(3, A).reply(7, B);
    assert_eq!(w.0.downtime(Time::secs(30)), Time::secs(13));
    assert_eq!(w.0.downtime(Time::secs(10)), Time::secs(4));
}

#[test]
fn commits_are_counted_when_a_client_has_the_answer() {
    let by = || json!({"by": "10s", "that": {"committed": 2}});
    Watch::expecting(by()).commit(3).commit(10).met();
    Watch::expecting(by()).commit(3).commit(11).not_met("1 were confirmed by then");
    Watch::expecting(by()).commit(3).not_met("1 were confirmed");
    Watch::expecting(json!({"at": "1s", "that": {"committed": 0}})).met();
}

#[test]
fn lost_transactions_must_have_been_counted() {
    let expectation = || json!({"at": "30s", "that": {"lost_transactions": 1}});
    Watch::expecting(expectation()).not_met("nobody counted");
    let mut w = Watch::expecting(expectation());
    w.0.lost_transactions(1);
    w.met();
    let mut w = Watch::expecting(expectation());
    w.0.lost_transactions(2);
    w.not_met("2 are missing");
}

#[test]
fn a_trigger_that_is_never_reached_is_told() {
    let timeline =
        json!([{"on": {"reached": {"instance": "B", "step": "armed"}}, "nth": 3, "do": {"crash": "A"}}]);
    let unmet = Watch::of(json!({ "timeline": timeline })).unmet();
    assert_eq!(unmet[0].path, "timeline[0]");
    assert_eq!(unmet[0].seen, "never reached");
    let mut w = Watch::of(json!({ "timeline": timeline }));
    w.0.fact(Time::secs(1), &Fact::Acted { step: 0, action: &Action::Crash("A".into()) });
    w.met();
}

#[test]
fn statements_end_as_the_file_says() {
    let text = "ALTER DATABASE sales SET PARTNER FAILOVER";
    let run = |error: Value, end: Option<Result<(), SqlError>>| {
        let action = json!({"sql": {"on": "A", "text": text, "error": error}});
        let mut w = Watch::of(json!({"timeline": [{"at": "1s", "do": action}]}));
        w.0.fact(Time::secs(1), &Fact::Acted { step: 0, action: &Action::HealAll });
        if let Some(result) = &end {
            w.0.fact(Time::secs(2), &Fact::StatementDone { instance: A, sql: text, result });
        }
        w
    };
    let refused = || Some(Err(SqlError { number: 1422, severity: 16, position: None }));
    run(Value::Null, Some(Ok(()))).met();
    run(Value::Null, refused()).not_met("it ended with error 1422");
    run(Value::Null, None).not_met("it did not end");
    run(json!(1422), refused()).met();
    run(json!(1447), refused()).not_met("error 1422");
    run(json!(1447), Some(Ok(()))).not_met("it succeeded");
    run(json!(-1), refused()).met();
    run(json!(-1), None).met();
}

#[test]
fn a_statement_ends_with_its_process() {
    let text = "ALTER DATABASE sales SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS";
    let sql = |error: Value| json!({"sql": {"on": "B", "text": text, "error": error}});
    let mut w = Watch::of(
        json!({"timeline": [{"at": "1s", "do": sql(json!(-1))}, {"at": "5s", "do": sql(json!(1455))}, {"at": "9s", "do": sql(Value::Null)}]}),
    );
    w.0.fact(Time::secs(1), &Fact::Acted { step: 0, action: &Action::HealAll });
    w = w.died(2, B);
    w.0.fact(Time::secs(5), &Fact::Acted { step: 1, action: &Action::HealAll });
    let refused = Err(SqlError { number: 1455, severity: 16, position: None });
    w.0.fact(Time::secs(6), &Fact::StatementDone { instance: B, sql: text, result: &refused });
    w.0.fact(Time::secs(9), &Fact::Acted { step: 2, action: &Action::HealAll });
    w = w.died(10, B);
    let unmet = w.unmet();
    assert_eq!(unmet.len(), 1);
    assert_eq!((unmet[0].path.as_str(), unmet[0].seen.as_str()), ("timeline[2]", "it did not end"));
}

#[test]
fn an_instance_that_shows_nothing_meets_nothing() {
    let w = Watch::expecting(json!({"by": "30s", "after": "5s", "that": {"role": {"B": "mirror"}}}));
    w.show(1, B, Synchronized).died(2, B).not_met("B shows nothing");
}
