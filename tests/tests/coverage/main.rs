//! Every rule of `docs/spec/` has a test or a scenario that cites it, or stands in `docs/spec-coverage.md` with the
//! reason why not. A citation outside of tests counts for nothing.
//!
//!     cargo test --test coverage
//!
//! What counts: `[FO-31]` in a comment of a test (not in the head of a module, which tests nothing), an id in the
//! `rules` of a scenario, and a case of the quorum tables.

mod ids;
mod sources;

use ids::{Cited, Id};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        Trial::test("every_rule_is_tested_or_listed", every_rule_is_tested_or_listed),
        Trial::test("every_rule_that_a_test_cites_exists", every_rule_that_a_test_cites_exists),
        Trial::test("ids_and_ranges_are_read_as_they_are_written", ids_and_ranges),
        Trial::test("only_what_stands_in_a_test_counts", only_what_stands_in_a_test_counts),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The rules that something cites. A rule with numbered parts is cited with any of them.
fn covered<'a>(rules: &'a BTreeMap<Id, String>, cited: &[(String, Cited)]) -> BTreeSet<&'a Id> {
    let named = |id: &Id| cited.iter().any(|(_, c)| c.names(id));
    let mut covered: BTreeSet<&Id> = rules.keys().filter(|id| named(id)).collect();
    let wholes: Vec<Id> = covered.iter().filter_map(|id| id.whole()).collect();
    covered.extend(rules.keys().filter(|id| wholes.contains(id)));
    covered
}

/// No rule is left out in silence, and the list of those left out is no longer than it has to be.
fn every_rule_is_tested_or_listed() -> Result<(), Failed> {
    let rules = sources::rules();
    let covered = covered(&rules, &sources::citations());
    let listed = sources::listed();
    let mut complaints = String::new();
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, file) in &rules {
        let reasons: Vec<&str> =
            listed.iter().filter(|(_, c)| c.names(id)).map(|(topic, _)| topic.as_str()).collect();
        // Writing into a String cannot fail.
        let _ = match (covered.contains(id), &reasons[..]) {
            (true, []) => Ok(()),
            (false, [topic]) => {
                *topics.entry(topic).or_default() += 1;
                Ok(())
            }
            (true, [topic, ..]) => writeln!(complaints, "{id} has a test and is still listed under {topic}"),
            (false, []) => writeln!(complaints, "{id} ({file}) has no test and is not listed"),
            (false, _) => writeln!(complaints, "{id} is listed more than once: {reasons:?}"),
        };
    }
    for id in listed.iter().flat_map(|(_, c)| c.ids()) {
        if !rules.contains_key(id) {
            let _ = writeln!(complaints, "{id} is listed, and is no rule");
        }
    }
    println!("{} rules, {} of them with a test; without one:", rules.len(), covered.len());
    for (topic, count) in topics {
        println!("{count:>5}  {topic}");
    }
    if complaints.is_empty() { Ok(()) } else { Err(format!("docs/spec-coverage.md:\n{complaints}").into()) }
}

/// A citation that leads nowhere is an error of the one who wrote it.
fn every_rule_that_a_test_cites_exists() -> Result<(), Failed> {
    let rules = sources::rules();
    let known =
        |id: &Id| rules.contains_key(id) || rules.keys().any(|rule| rule.whole().as_ref() == Some(id));
    let mut complaints = String::new();
    for (place, cited) in sources::citations() {
        for id in cited.ids().into_iter().filter(|id| !known(id)) {
            let _ = writeln!(complaints, "{place}: there is no rule {id}");
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.into()) }
}

fn ids_and_ranges() -> Result<(), Failed> {
    for text in ["FO-37a", "QT-A7", "OQ-4.3", "QS-1.0", "F7", "INV-14", "TR-25"] {
        assert_eq!(Id::parse(text).expect("is an id").to_string(), text);
    }
    for text in ["E1418", "TR-*", "FO-", "F-7", "FO37", "section", "QT-A", "FO-37ab"] {
        assert_eq!(Id::parse(text), None, "{text}");
    }
    let list = Cited::list("FO-31, QT-A2 … QT-B1, OQ-4.3 c, see there");
    let names = |text: &str| list.iter().any(|c| c.names(&Id::parse(text).expect("is an id")));
    assert!(["FO-31", "QT-A2", "QT-A8", "QT-B1", "OQ-4.3"].into_iter().all(names));
    assert!(!["FO-32", "QT-A1", "QT-B2", "OQ-4", "QR-1"].into_iter().any(names));
    Ok(())
}

fn only_what_stands_in_a_test_counts() -> Result<(), Failed> {
    let source = "//! About [Q-1].\n/// Does it. [Q-2, Q-3 …\n/// Q-5]\nfn does() {} // at last [Q-7]\n\
                  #[cfg(test)]\nmod tests {\n    //! [Q-8]\n    /// It did. [Q-9]\n}\n";
    let found = |text| sources::comments(text).iter().flat_map(|t| sources::bracketed(t)).count();
    assert_eq!(found(source), 3);
    assert_eq!(found(sources::unit_tests(source)), 1);
    assert_eq!(sources::cases("case(\"Q-30\", \"x\", q), alone(\n    \"Q-31\", y)"), ["Q-30", "Q-31"]);
    Ok(())
}
