//! Names that files use for things inside a run, and the nearest name to one that is misspelt.

use dbm_core::message::Message;

/// Kinds of frames between instances, as in triggers and traces.
pub const FRAMES: &[&str] = &{
    let mut names = [""; Message::KINDS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = Message::KINDS[i].1;
        i += 1;
    }
    names
};

/// Named steps of the protocol that an instance reports, for the trigger `reached`.
pub const STEPS: &[&str] = &[
    "synced.begin",
    "synchronized",
    "armed",
    "claim.durable",
    "claim.recorded",
    "claim.granted",
    "claim.refused",
    "claim.renounced",
    "claim.withdrawn",
    "expose.sent",
    "exposed",
    "takeover",
    "principal.ready",
    "failover.begin",
    "failover.ready",
    "handover.bound",
    "failover.abandoned",
    "force.begin",
    "force.claim",
    "force.recorded",
    "force.granted",
    "suspended",
    "resumed",
    "session.ended",
    "undo.begin",
    "undo.pages",
    "undo.done",
    "lease.lost",
];

/// State-change events by their numbers. [EV-0 … EV-12]
pub const EVENTS: [&str; 13] = [
    "Null Notification",
    "Synchronized Principal with Witness",
    "Synchronized Principal without Witness",
    "Synchronized Mirror with Witness",
    "Synchronized Mirror without Witness",
    "Connection with Principal Lost",
    "Connection with Mirror Lost",
    "Manual Failover",
    "Automatic Failover",
    "Mirroring Suspended",
    "No Quorum",
    "Synchronizing Mirror",
    "Principal Running Exposed",
];

/// Files of a session on an instance's disk.
pub const FILES: &[&str] = &["record", "boot", "log", "data", "double_write"];

/// The end of a path that stands for all clients.
pub const CLIENTS: &str = "clients";

/// The known name closest to `wrong`, if one is close enough to be what was meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let limit = (length / 3).max(usize::from(length > 1));
    known
        .into_iter()
        .map(|name| (distance(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(far, _)| *far <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_key_is_recognised() {
        assert_eq!(nearest("log_blok", FRAMES.iter().copied()), Some("log_block"));
        assert_eq!(nearest("a", ["A", "B"]), Some("A"));
        assert_eq!(nearest("Z", ["A", "B"]), None);
        assert_eq!(nearest("banana", FRAMES.iter().copied()), None);
    }
}
