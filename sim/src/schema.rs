//! The JSON Schema of scenario files, from the types that read them.

use crate::scenario::Scenario;

/// The schema as a JSON value.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Scenario);
    schema.insert("title".into(), "Scenario or plan of dbmsim, format version 1".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_by_the_schema_too() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["$schema"].as_str().is_some_and(|s| s.contains("json-schema.org")));
        assert!(schema["properties"]["timeline"].is_object());
    }
}
