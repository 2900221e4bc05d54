//! What a campaign must have seen: least counts by part and name, as in the summary's JSON.

use super::{Counts, Coverage, PARTS};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Least counts: of parts of [`Coverage`], of `faults_felt` and of `premises`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Counts>")]
pub struct Required(BTreeMap<String, Counts>);

/// Parts that stand beside the coverage in reports.
const BESIDE: [&str; 2] = ["faults_felt", "premises"];

impl TryFrom<BTreeMap<String, Counts>> for Required {
    type Error = String;
    fn try_from(parts: BTreeMap<String, Counts>) -> Result<Self, String> {
        let known: Vec<&str> = PARTS.into_iter().chain(BESIDE).collect();
        match parts.keys().find(|part| !known.contains(&part.as_str())) {
            Some(unknown) => Err(format!("unknown field `{unknown}`, expected one of {}", known.join(", "))),
            None => Ok(Required(parts)),
        }
    }
}

impl Required {
    /// What was seen less often than required, as "depth log wrapped: 0 of 1", part by part.
    pub fn missing(&self, coverage: &Coverage, faults_felt: &Counts, premises: &Counts) -> Vec<String> {
        let beside = BESIDE.into_iter().zip([faults_felt, premises]);
        let parts = coverage.parts().into_iter().chain(beside);
        let wanted = parts.filter_map(|(part, have)| self.0.get(part).map(|want| (part, have, want)));
        wanted.flat_map(|(part, have, want)| missing(part, have, want)).collect()
    }

    /// The counts required of a part.
    pub fn part(&self, name: &str) -> Option<&Counts> {
        self.0.get(name)
    }
}

/// What of `want` is missing in `have`. A wanted name stands for every name that begins with its words.
pub(super) fn missing(part: &str, have: &Counts, want: &Counts) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, least) in want {
        let covers = |seen: &str| {
            seen.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let count: u64 = have.iter().filter(|(seen, _)| covers(seen)).map(|(_, n)| n).sum();
        if count < *least {
            missing.push(format!("{part} {name}: {count} of {least}"));
        }
    }
    missing
}
