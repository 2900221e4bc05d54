//! Coverage for people: statements and how they ended, transitions by rule, numbered events, role switches.

use super::Coverage;
use std::collections::BTreeMap;
use std::fmt::Write;

impl Coverage {
    /// For people: nothing when no statement was given, else a few lines.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.statements.is_empty() {
            return text;
        }
        // Writing into a String cannot fail.
        let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, count) in &self.statements {
            let place =
                [" accepted", " refused ", " unanswered"].iter().filter_map(|end| name.find(end)).min();
            let (kind, end) = name.split_at(place.unwrap_or(name.len()));
            kinds.entry(kind).or_default().push(format!("{} {count}", end.trim().replace("refused ", "E")));
        }
        for (kind, ends) in kinds {
            let _ = writeln!(text, "  {kind}: {}", ends.join(", "));
        }
        let mut rules: BTreeMap<(u32, &str), u64> = BTreeMap::new();
        for (name, count) in self.transitions.iter().filter(|(name, _)| !name.starts_with("start")) {
            let rule = name.split(' ').next().unwrap_or_default();
            let number = rule.trim_start_matches("TR-").parse().unwrap_or(u32::MAX);
            *rules.entry((number, rule)).or_default() += count;
        }
        let line = |items: Vec<String>| items.join(", ");
        let rules = rules.into_iter().map(|((_, rule), n)| format!("{rule} {n}")).collect();
        let _ = writeln!(text, "  transitions: {}", line(rules));
        let number = |name: &str| name.trim_start_matches("EV-").parse::<u32>().unwrap_or(u32::MAX);
        let mut events: Vec<(&String, &u64)> = self.events.iter().collect();
        events.sort_by_key(|(name, _)| number(name));
        let events = events.into_iter().map(|(name, n)| format!("{name} {n}")).collect();
        let _ = writeln!(text, "  events: {}", line(events));
        let outcomes = self.outcomes.iter().map(|(name, n)| format!("{name} {n}")).collect();
        let _ = writeln!(text, "  outcomes: {}", line(outcomes));
        text
    }
}
