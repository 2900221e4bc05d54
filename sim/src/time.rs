//! Points of virtual ("true") time and durations in scenario files.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// True time since the start of the run, or a duration, in microseconds. In files: text such as `"1m 30s"`,
/// `"250ms"` or `"12s 500us"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Whole seconds.
    pub const fn secs(s: u64) -> Self {
        Time(s * 1_000_000)
    }
    /// Whole milliseconds.
    pub const fn millis(ms: u64) -> Self {
        Time(ms * 1_000)
    }
    /// No time at all: fields of files that are left out then.
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl std::ops::Add for Time {
    type Output = Time;
    fn add(self, other: Time) -> Time {
        Time(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(std::time::Duration::from_micros(self.0)))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let bad = |why: &dyn fmt::Display| {
            serde::de::Error::custom(format!(
                "`{text}` is not a time: {why}; expected text such as \"10s\", \"250ms\" or \"1m 30s\""
            ))
        };
        let duration = humantime::parse_duration(&text).map_err(|e| bad(&e))?;
        if duration.subsec_nanos() % 1000 != 0 {
            return Err(bad(&"finer than a microsecond"));
        }
        let micros = u64::try_from(duration.as_micros()).map_err(|_| bad(&"too long"))?;
        if micros > 366 * 86_400 * 1_000_000 {
            return Err(bad(&"longer than a year"));
        }
        Ok(Time(micros))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A point of virtual time or a duration: units us, ms, s, m, h, d, such as \"1m 30s\" or \"250ms\"",
            "examples": ["10s", "250ms", "1m 30s"]
        })
    }
}
