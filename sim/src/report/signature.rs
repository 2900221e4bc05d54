//! The signature of a failure: what stays the same when the same defect shows again in another run, another seed or a
//! smaller plan. Times, transaction numbers and line numbers are no part of it.
//!
//! | failure | signature |
//! |---|---|
//! | broken invariant | `roles INV-1`: invariant and rule |
//! | expectation not met | `unmet {"role":{"B":"principal"}}`: the condition, without its times |
//! | trigger never reached | `unmet trigger {"reached":{…}}`, without its number |
//! | statement that ended otherwise | ``unmet `ALTER …` ends with success`` |
//! | panic | `panic core/src/witness.rs: a grant without a record`: file and message, numbers as `#` |

use super::{Outcome, RunReport, Violation, ViolationReport};
use crate::expect::Unmet;

/// The signature of a broken invariant.
pub fn signature(violation: &Violation) -> String {
    of_violation(violation.invariant, &violation.rule, &violation.what)
}

impl ViolationReport {
    /// Its signature; the same as that of the violation it reports.
    pub fn signature(&self) -> String {
        of_violation(&self.invariant, &self.rule, &self.what)
    }
}

impl Unmet {
    /// Its signature.
    pub fn signature(&self) -> String {
        // An expectation is told as "WHEN: {CONDITION}", a trigger as "trigger[ number N] {TRIGGER}".
        let condition = match self.expected.split_once('{') {
            Some((when, rest)) if when.starts_with("trigger") => format!("trigger {{{rest}"),
            Some((when, rest)) if !when.contains('`') => format!("{{{rest}"),
            Some(_) | None => self.expected.clone(),
        };
        format!("unmet {condition}")
    }
}

impl Outcome {
    /// Everything that failed, each signature once, in the order of the report.
    pub fn signatures(&self) -> Vec<String> {
        distinct(self.violations.iter().map(signature).chain(self.unmet.iter().map(Unmet::signature)))
    }
}

impl RunReport {
    /// Everything that failed, each signature once, in the order of the report.
    pub fn signatures(&self) -> Vec<String> {
        let broken = self.violations.iter().map(ViolationReport::signature);
        distinct(broken.chain(self.unmet.iter().map(Unmet::signature)))
    }
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for signature in all {
        if !seen.contains(&signature) {
            seen.push(signature);
        }
    }
    seen
}

fn of_violation(invariant: &str, rule: &str, what: &str) -> String {
    if invariant == "panic" {
        return format!("panic {}", panic_place(what));
    }
    if rule.is_empty() { invariant.to_owned() } else { format!("{invariant} {rule}") }
}

/// File and first line of the message. A line number would be more exact, but moves with every edit above it.
fn panic_place(what: &str) -> String {
    // An instance: "instance 1 panicked: panicked at FILE:LINE:COLUMN:\nMESSAGE".
    if let Some((_, rest)) = what.split_once("panicked at ")
        && let Some((place, message)) = rest.split_once('\n')
    {
        let file = place.trim_end_matches([':', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        return format!("{}: {}", from_crate(file), without_numbers(message));
    }
    // The simulator: "MESSAGE (FILE:LINE)".
    if let Some((message, place)) = what.rsplit_once(" (")
        && let Some((file, _)) = place.trim_end_matches(')').rsplit_once(':')
    {
        return format!("{}: {}", from_crate(file), without_numbers(message));
    }
    without_numbers(what)
}

/// `core/src/witness.rs` of whatever stands before it: where the sources lie differs from machine to machine.
fn from_crate(file: &str) -> &str {
    let start = file.rfind("/src/").map_or(0, |src| file[..src].rfind('/').map_or(0, |slash| slash + 1));
    &file[start..]
}

/// The first line, each run of digits as one `#`.
fn without_numbers(message: &str) -> String {
    let mut text = String::new();
    for c in message.lines().next().unwrap_or_default().chars() {
        match c {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn violation(invariant: &'static str, rule: &str, what: &str) -> Violation {
        Violation { invariant, rule: rule.into(), at: Time::secs(3), what: what.into() }
    }

    fn unmet(expected: &str) -> Unmet {
        Unmet { path: "expect[2]".into(), expected: expected.into(), seen: "nothing".into() }
    }

    #[test]
    fn an_invariant_is_named_with_its_rule_and_nothing_else() {
        let one = violation("roles", "INV-1", "A and B answer at 3s");
        let two = Violation { at: Time::secs(9), what: "B and A answer at 9s".into(), ..one.clone() };
        assert_eq!(signature(&one), "roles INV-1");
        assert_eq!(signature(&two), signature(&one));
        assert_ne!(signature(&violation("roles", "INV-3", "A and B answer at 3s")), signature(&one));
        assert_eq!(signature(&violation("determinism", "", "two runs differ")), "determinism");
    }

    #[test]
    fn an_expectation_is_its_condition_without_times_and_a_trigger_has_no_number() {
        for when in ["by 5s", "after 1s, by 5s", "at 7s", "throughout 1s to 2s 5ms"] {
            let text = format!(r#"{when}: {{"role":{{"B":"principal"}}}}"#);
            assert_eq!(unmet(&text).signature(), r#"unmet {"role":{"B":"principal"}}"#);
        }
        for text in
            [r#"trigger {"started":{"instance":"A"}}"#, r#"trigger number 7 {"started":{"instance":"A"}}"#]
        {
            assert_eq!(unmet(text).signature(), r#"unmet trigger {"started":{"instance":"A"}}"#);
        }
        let statement = "`ALTER DATABASE {x} SET PARTNER RESUME` ends with success";
        assert_eq!(unmet(statement).signature(), format!("unmet {statement}"));
    }

    #[test]
    fn a_panic_is_its_place_in_the_source_without_lines_and_numbers() {
        let of = |what: &str| signature(&violation("panic", "PANIC", what));
        let text =
            "instance 1 panicked: panicked at core/src/storage/log.rs:12:5:\nblock 17 at 4096 is torn\nmore";
        assert_eq!(of(text), "panic core/src/storage/log.rs: block # at # is torn");
        assert_eq!(of(&text.replace("12:5", "340:9").replace("17", "2")), of(text));
        assert_ne!(of(&text.replace("torn", "gone")), of(text));
        assert_eq!(of("seed 13 (twice) is cursed (/home/x/sim/src/campaign.rs:77)"), {
            "panic sim/src/campaign.rs: seed # (twice) is cursed"
        });
        assert_eq!(of("assertion failed 3"), "panic assertion failed #");
    }

    #[test]
    fn a_report_has_the_signatures_of_its_outcome_each_once() {
        let violations = vec![
            violation("roles", "INV-1", "first"),
            violation("data", "SUM", "then"),
            violation("roles", "INV-1", "again"),
        ];
        let outcome =
            Outcome { violations, unmet: vec![unmet(r#"by 1s: {"committed":5}"#)], ..Outcome::default() };
        let all = ["roles INV-1", "data SUM", r#"unmet {"committed":5}"#];
        assert_eq!(outcome.signatures(), all);
        assert_eq!(RunReport::of("x", "x.json", 1, &outcome).signatures(), all);
    }
}
