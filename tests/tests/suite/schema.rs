//! The shipped scenarios, their plans and the schema agree.

use crate::shipped;
use dbm_sim::{plan, read, schema, validate};
use std::collections::BTreeMap;

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&schema::schema()).expect("what `dbmsim schema` prints is a schema")
}

#[track_caller]
fn assert_valid(validator: &jsonschema::Validator, value: &serde_json::Value, whose: &str) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{whose}: {errors:#?}");
}

#[test]
fn every_scenario_keeps_to_the_schema() {
    let validator = validator();
    for (path, source) in shipped() {
        let text = std::fs::read_to_string(&path).expect("it was read before");
        let value = serde_json::from_str(&text).expect("it is JSON");
        assert_valid(&validator, &value, &source.file);
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = validator();
    let (path, _) = shipped().swap_remove(0);
    let text = std::fs::read_to_string(&path).expect("it was read before");
    let good: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let spoil: [(&str, serde_json::Value); 6] = [
        ("duratoin", "1s".into()),
        ("duration", 30.into()),
        ("instances", "A".into()),
        ("session", serde_json::json!({"principal": "A"})),
        ("timeline", serde_json::json!([{"at": "1s", "do": {"crsh": "A"}}])),
        ("expect", serde_json::json!([{"at": "1s", "that": {"states": {}}}])),
    ];
    for (field, value) in spoil {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!validator.is_valid(&bad), "the schema takes {field}");
        assert!(read::text(&path, &bad.to_string()).is_err(), "the reader takes {field}");
    }
}

#[test]
fn the_plan_of_every_scenario_is_a_scenario() {
    let validator = validator();
    for (path, source) in shipped() {
        for seed in [1, 2, u64::MAX] {
            let plan = plan::resolve(&source.scenario, seed);
            assert!(plan::is_plan(&plan), "{} seed {seed}", source.file);
            assert_eq!(validate::check(&plan), [], "{} seed {seed}", source.file);
            let value = serde_json::to_value(&plan).expect("a plan is JSON");
            assert_valid(&validator, &value, &source.file);
            assert_eq!(read::text(&path, &value.to_string()).expect("a plan reads back"), plan);
        }
    }
}

/// A name tells a scenario from all others, and is its file's.
#[test]
fn scenarios_are_named_after_their_files() {
    let mut files = BTreeMap::new();
    for (path, source) in shipped() {
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("file names are text");
        assert_eq!(source.scenario.name, stem, "{}", source.file);
        assert!(!source.scenario.note.is_empty(), "{}: has no note", source.file);
        let twin = files.insert(source.scenario.name, source.file.clone());
        assert_eq!(twin, None, "{}: two files of this name", source.file);
    }
}

/// Every rule that a scenario cites stands in `docs/spec/`.
#[test]
fn rules_that_scenarios_cite_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec");
    let mut spec = String::new();
    for entry in std::fs::read_dir(root).expect("docs/spec") {
        let path = entry.expect("docs/spec").path();
        spec.push_str(&std::fs::read_to_string(path).expect("the rules are text"));
    }
    let known: std::collections::BTreeSet<&str> =
        spec.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
    for (_, source) in shipped() {
        for rule in &source.scenario.rules {
            assert!(known.contains(rule.as_str()), "{}: no rule {rule} in docs/spec", source.file);
        }
    }
}
