//! A check that never had the chance to fail proves nothing: over all shipped scenarios every premise of the oracle
//! holds at least once. [protocol.md section 3]

use dbm_sim::runner::{self, Options};
use dbm_sim::{plan, read};
use std::collections::BTreeMap;
use std::path::Path;

/// Premises of rules that are not simulated yet.
const NOT_YET: &[&str] = &[];

/// No premise stays at zero.
#[test]
fn every_premise_of_the_oracle_holds_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut premises: BTreeMap<String, u64> = BTreeMap::new();
    for file in read::find(&[root]).expect("scenarios are shipped") {
        let scenario = read::file(&file).expect("shipped scenarios are valid");
        let seeds = if scenario.chaos.is_some() { 1..=6 } else { 1..=2 };
        for seed in seeds {
            let outcome = runner::run(&plan::resolve(&scenario, seed), &Options::default());
            for (premise, count) in outcome.premises {
                *premises.entry(premise).or_default() += count;
            }
        }
    }
    let never: Vec<&String> = premises
        .iter()
        .filter(|(name, count)| **count == 0 && !NOT_YET.contains(&name.as_str()))
        .map(|(n, _)| n)
        .collect();
    assert!(never.is_empty(), "premises that never held: {never:?}");
}
