//! The kill matrix as a document. The same measurement gives the same text: no times, no threads.

use super::{Failing, Matrix, Removed, Row};
use dbm_core::bugs::Area;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Writing into a String cannot fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => {{
        let _ = writeln!($text, $($arg)*);
    }};
}

/// Why an invariant stays that no planted bug needs alone.
const INVARIANTS_ARGUED: &[(&str, &str)] = &[
    (
        "records",
        "it names the moment at which somebody says what a crash could still take back; what comes of it shows later, elsewhere and not always",
    ),
    (
        "liveness",
        "it is the only one that asks whether the session comes back at all; where a view is wrong as well it is not alone",
    ),
    ("panic", "an assertion of the protocol itself that fails is a finding, whatever else was seen"),
    ("livelock", "a run that does not go on can be judged by nothing else"),
    (
        "availability",
        "it is the only one that asks for a take-over while faults last; at the end of a run liveness may see the same",
    ),
    ("states", "a transition that the tables forbid is wrong even where nothing was lost by it"),
    ("views", "a view may be wrong while every message and every durable byte is right"),
    ("words", "a record may believe somebody else than the owner long before that does any harm"),
    ("wire", "what a damaged frame does to a channel depends on the byte that was hit; this one sees each"),
    ("commands", "what a statement promised shows nowhere else"),
];

/// Why a class of faults stays that no planted bug needs alone.
const FAULTS_ARGUED: &[(&str, &str)] = &[
    (
        "crash",
        "hosts that lose power and restart loops bring the same recovery; a crash alone is refused at once by its host, which the others are not",
    ),
    (
        "host",
        "the only loss of a process that is silent and loses its memory; pauses and cuts are as silent, crashes forget as much",
    ),
    (
        "pause",
        "a process that goes on with old leases; no planted bug rests on a clock that is read before the pause",
    ),
    ("cut", "one-way cuts, stalls and partings of hosts cost the same heartbeats"),
    ("one_way", "only one side declares a loss; full cuts overlap into the same"),
    ("reset", "links end with cuts, crashes and damaged frames as well; resets end them without a wait"),
    ("stall", "frames of the past arrive after all; slow paths do it as well"),
    (
        "refuse",
        "a filter's answer; what it may be mistaken for is planted, but resets in the middle of a dial show it too",
    ),
    (
        "disk",
        "slow media stretch every window between two writes; profiles with slow disks are drawn for the whole run too",
    ),
    (
        "clock",
        "the margins of leases are judged at their bound by every run with a rate error; none of the planted bugs is as small as the margin",
    ),
    (
        "slow",
        "latency as such breaks nothing planted; it moves everything else into windows that are rare without it",
    ),
    ("corrupt", "what is planted there is below the frame's checksum"),
    ("slow_cpu", "inputs that queue are handled late, as after a pause, which finds the same"),
    ("restart_loop", "a crash again and again; single crashes find the same later"),
    ("disk_error", "failing writes come with a failing disk as well"),
    ("disk_fail", "the same as errors, for longer"),
    ("disk_full", "only writes that make a file grow fail; the log's ring and the pages mostly do not"),
    ("rot", "what was read back wrong is planted once"),
    ("outside", "beyond what is promised: what is found there is reported and kills nobody"),
    ("statements", "not a fault, but removed like one: an owner who says nothing"),
];

/// The whole document.
pub fn markdown(matrix: &Matrix) -> String {
    let mut text = String::new();
    head(&mut text, matrix);
    bugs(&mut text, matrix);
    repairs(&mut text, matrix);
    if let Some(ablation) = &matrix.oracle {
        invariants(&mut text, &ablation.invariants);
        rules(&mut text, &ablation.rules);
    }
    faults(&mut text, matrix);
    text
}

/// What the terminal shows: a line a bug, then the figures.
pub fn summary(matrix: &Matrix) -> String {
    let mut text = String::new();
    for row in &matrix.rows {
        let by = row.failing.first().map_or_else(|| "survives".to_owned(), told);
        let seeds = number(row.killed());
        line!(text, "{:<30} {seeds:>4}  {:>2} of {:<4}  {by}", row.bug, row.failing.len(), row.seeds);
        for t in &row.triggered {
            line!(
                text,
                "{:<30}       {:>2} of {:<4}  F{} {}",
                "",
                t.failed,
                t.seeds,
                row.repair.unwrap_or_default(),
                t.scenario
            );
        }
    }
    for f in &matrix.control_failed {
        line!(text, "without any bug seed {} fails: {}", f.seed, told(f));
    }
    let survivors: Vec<&str> = matrix.survivors().iter().map(|r| r.bug).collect();
    line!(
        text,
        "{} bugs, median {} seeds, survivors: {}",
        matrix.rows.len(),
        number(matrix.median()),
        names(&survivors)
    );
    text
}

fn head(text: &mut String, matrix: &Matrix) {
    let repairs = matrix.rows.iter().filter(|r| r.repair.is_some()).count();
    let others = matrix.rows.len() - repairs;
    let killed = matrix.rows.iter().filter(|r| r.repair.is_none() && r.killed().is_some()).count();
    line!(text, "# Kill matrix\n");
    line!(
        text,
        "Written by `dbmsim mutants --write docs/kill-matrix.md`; not by hand. How a bug is planted, and what the columns"
    );
    line!(text, "rest on, is told in [planted-bugs.md](planted-bugs.md).\n");
    line!(
        text,
        "Seeds from 1 on of `{}`, at most {} a bug, until {} of them have failed. Only what the oracle finds counts:",
        matrix.scenario,
        matrix.seeds,
        matrix.failing
    );
    line!(text, "expectations belong to scenarios.\n");
    line!(
        text,
        "- Bugs: {}. Of {others} that undo no repair of the model check {killed} are killed, the median after {} seeds.",
        matrix.rows.len(),
        number(matrix.median())
    );
    line!(
        text,
        "- Of {repairs} that undo a repair F1 … F10, all {} die by the scenario of its trace.",
        matrix.rows.iter().filter(|r| r.repair.is_some() && r.dies()).count()
    );
    line!(
        text,
        "- Without any bug {} of the seeds 1 to {} fail.",
        matrix.control_failed.len(),
        matrix.control_seeds
    );
    for row in matrix.survivors() {
        line!(text, "- **Survives: `{}`.**", row.bug);
    }
}

fn bugs(text: &mut String, matrix: &Matrix) {
    line!(text, "\n## Bugs\n");
    line!(
        text,
        "*Killed after*: seeds until the first failing one. *By*: what the oracle found in that run. *Failing*: of the"
    );
    line!(text, "seeds run. *Over all of them*: in how many of the failing runs an invariant was broken.\n");
    for area in Area::ALL {
        let mut of: Vec<&Row> = matrix.rows.iter().filter(|r| r.area == area.name()).collect();
        if of.is_empty() {
            continue;
        }
        of.sort_by_key(|r| r.killed().unwrap_or(u64::MAX));
        line!(text, "### {}\n", capital(area.name()));
        line!(text, "| bug | rule | what is wrong | killed after | by | failing | over all of them |");
        line!(text, "|---|---|---|---|---|---|---|");
        for row in of {
            let by = row.failing.first().map_or_else(|| "–".to_owned(), told);
            let rule = match row.repair {
                Some(k) => format!("{}, F{k}", row.rule),
                None => row.rule.to_owned(),
            };
            line!(
                text,
                "| `{}` | {rule} | {} | {} | {by} | {} of {} | {} |",
                row.bug,
                row.about.trim_end_matches('.'),
                number(row.killed()),
                row.failing.len(),
                row.seeds,
                overall(row)
            );
        }
        line!(text, "");
    }
}

/// What one run has broken: invariants with their rules.
fn told(failing: &Failing) -> String {
    let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (invariant, rule) in &failing.rules {
        of.entry(invariant).or_default().push(rule);
    }
    let each = of.iter().map(|(invariant, rules)| {
        let rules: Vec<&str> = rules.iter().copied().filter(|r| !r.is_empty()).collect();
        if rules.is_empty() { (*invariant).to_owned() } else { format!("{invariant} {}", rules.join(" ")) }
    });
    each.collect::<Vec<_>>().join(", ")
}

fn overall(row: &Row) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for failing in &row.failing {
        for invariant in failing.invariants() {
            *counts.entry(invariant).or_default() += 1;
        }
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), *name));
    let each = counts.iter().map(|(name, n)| format!("{name} {n}"));
    dash(each.collect::<Vec<_>>().join(", "))
}

fn repairs(text: &mut String, matrix: &Matrix) {
    let mut of: Vec<&Row> = matrix.rows.iter().filter(|r| r.repair.is_some()).collect();
    if of.is_empty() {
        return;
    }
    of.sort_by_key(|r| r.repair);
    line!(text, "## Undone repairs, by the scenarios of their traces\n");
    line!(text, "Here expectations count. How soon random seeds find them is reported, not required.\n");
    line!(text, "| repair | bug | scenario | failing | by | random seeds until killed |");
    line!(text, "|---|---|---|---|---|---|");
    for row in of {
        for t in &row.triggered {
            let by: Vec<String> = t.by.iter().map(|(name, n)| format!("{name} {n}")).collect();
            line!(
                text,
                "| F{} | `{}` | `{}` | {} of {} | {} | {} |",
                row.repair.unwrap_or_default(),
                row.bug,
                t.scenario,
                t.failed,
                t.seeds,
                dash(by.join(", ")),
                number(row.killed())
            );
        }
    }
    line!(text, "");
}

fn invariants(text: &mut String, removed: &[Removed]) {
    line!(text, "## Without an invariant\n");
    line!(
        text,
        "By arithmetic over the failing runs above: a run that fails by two rules still fails without one of them. *Later*:"
    );
    line!(text, "seeds until killed, with and without.\n");
    line!(text, "| invariant | bugs that it notices | survive without it | later without it |");
    line!(text, "|---|---|---|---|");
    for r in removed {
        line!(text, "| {} | {} | {} | {} |", r.invariant, r.hit.len(), names(&r.survive), later(&r.later));
    }
    let known = crate::oracle::invariants();
    let silent = known.iter().filter(|i| removed.iter().all(|r| r.invariant != **i));
    let alone = removed.iter().filter(|r| r.survive.is_empty()).map(|r| r.invariant.as_str());
    let not_needed: Vec<&str> = alone.chain(silent.copied()).collect();
    argued(text, "invariant", &not_needed, INVARIANTS_ARGUED);
}

fn rules(text: &mut String, removed: &[Removed]) {
    line!(text, "### Single rules that a bug needs\n");
    line!(
        text,
        "Rules whose removal alone lets a bug survive. Of the {} rules that were broken by some bug the others are covered",
        removed.len()
    );
    line!(text, "by each other.\n");
    line!(text, "| invariant | rule | survive without it |");
    line!(text, "|---|---|---|");
    for r in removed.iter().filter(|r| !r.survive.is_empty()) {
        line!(text, "| {} | {} | {} |", r.invariant, r.rule.as_deref().unwrap_or("all"), names(&r.survive));
    }
    line!(text, "");
}

fn faults(text: &mut String, matrix: &Matrix) {
    let Some(ablation) = &matrix.faults else { return };
    line!(text, "## Without a class of faults\n");
    line!(
        text,
        "The steps of one class are dropped from every plan; at most {} seeds a bug. Judged are the bugs that those seeds",
        ablation.seeds
    );
    line!(text, "kill with all classes.\n");
    line!(text, "| class | plans that have it | survive without it | later without it |");
    line!(text, "|---|---|---|---|");
    for (class, plans) in &ablation.plans {
        let of = ablation.classes.get(class).map(Vec::as_slice).unwrap_or_default();
        let slower: Vec<(&'static str, u64, u64)> = of
            .iter()
            .filter_map(|w| Some((w.bug, w.before?, w.after?)))
            .filter(|(_, before, after)| after > before)
            .collect();
        line!(text, "| {class} | {plans} | {} | {} |", names(&ablation.survive(class)), later(&slower));
    }
    let not_needed: Vec<&str> =
        ablation.plans.keys().copied().filter(|class| ablation.survive(class).is_empty()).collect();
    argued(text, "class of faults", &not_needed, FAULTS_ARGUED);
}

/// Lists what no bug needs, each with the reason why it stays.
fn argued(text: &mut String, what: &str, not_needed: &[&str], reasons: &[(&str, &str)]) {
    line!(text, "");
    if not_needed.is_empty() {
        line!(text, "Every {what} is needed by a bug.\n");
        return;
    }
    line!(text, "Not needed by any bug alone, and why it stays:\n");
    for name in not_needed {
        let reason = reasons.iter().find(|(n, _)| n == name).map_or("**no reason yet**", |(_, why)| why);
        line!(text, "- *{name}*: {reason}");
    }
    line!(text, "");
}

fn number(n: Option<u64>) -> String {
    n.map_or_else(|| "–".to_owned(), |n| n.to_string())
}

fn dash(text: String) -> String {
    if text.is_empty() { "–".to_owned() } else { text }
}

fn names(bugs: &[&str]) -> String {
    dash(bugs.iter().map(|b| format!("`{b}`")).collect::<Vec<_>>().join(", "))
}

fn later(bugs: &[(&str, u64, u64)]) -> String {
    let each = bugs.iter().map(|(bug, before, after)| format!("`{bug}` {before} → {after}"));
    dash(each.collect::<Vec<_>>().join(", "))
}

fn capital(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{matrix, row};
    use super::*;

    #[test]
    fn the_document_names_survivors_and_what_is_not_needed() {
        let text = markdown(&matrix(vec![
            row("dies", &[(4, &[("logs", "P-11"), ("data", "P-8")])]),
            row("lives", &[]),
        ]));
        assert!(text.contains("**Survives: `lives`.**"), "{text}");
        assert!(
            text.contains("| `dies` | P-0 | Something is wrong | 4 | data P-8, logs P-11 | 1 of 100 |"),
            "{text}"
        );
        assert!(text.contains("- *logs*: "), "{text}");
        assert!(!text.contains("Without a class"), "{text}");
    }
}
