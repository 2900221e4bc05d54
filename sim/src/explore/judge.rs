//! What every state and every path has to fulfil. It looks at answers to clients, at durable bytes and at what is told,
//! and asks by probing a copy of an instance as a client would; it shares no decision with the protocol.
//!
//! | rule | what it says |
//! |---|---|
//! | `two-servers` | at most one instance answers clients at a time; without a witness, until service is forced |
//! | `lost-commit` | a transaction that a client was told of, or that a client could have read, is there wherever clients are served later; after a forced service, unless the forced copy never had it |
//! | `two-owners` | no two durable records name different owners of one role sequence |
//! | `record-goes-back` | the role sequence of a durable record never falls, nor the stamps of its values within one |
//! | `undo-before-resume` | after a forced service nothing is undone before RESUME |
//! | `damage` | no instance meets files or a log it cannot use |
//! | `panic`, `livelock`, `timer` | an assertion fails, or nothing ends |

use super::disk::Disk;
use super::links::{INSTANCES, NAMES, instant};
use super::model::{Model, SESSION};
use dbm_core::bugs::Bug;
use dbm_core::config::Geometry;
use dbm_core::instance::Instance;
use dbm_core::io::{ClientEvent, ConnId, Effect, FileKind, Input, Op, Reply, Request};
use dbm_core::record::{self, Record};
use dbm_core::storage::{Copy, CopyImage};
use dbm_core::types::{Key, RoleSequence, TxnId};
use std::collections::BTreeSet;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, as in the table above.
    pub rule: &'static str,
    /// What was seen.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(rule: &'static str, text: String) -> Self {
        Finding { rule, text }
    }
}

/// A transaction, as its client and the probes know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Commit {
    /// A client was told that it is committed, or could have read it.
    known: bool,
    /// When that became so, the other partner's durable files held it too.
    both: bool,
    /// A forced service went on without it.
    forgiven: bool,
}

/// What is remembered along a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ghost {
    commits: Vec<Commit>,
    /// Role sequences with their owners, as durable records had them.
    owners: Vec<(u32, u8)>,
    /// The newest durable record of each instance: role sequence and stamps.
    newest: [(u32, [(u32, u32); 5]); INSTANCES],
    /// Who answers clients at the moment, and under which role sequence.
    serving: [Option<u32>; INSTANCES],
    /// FORCE was given: to whom, and which transactions it held durably then.
    order: Option<(u8, Vec<bool>)>,
    /// Service was forced.
    forced: bool,
    /// And RESUME was not given since.
    unresumed: bool,
}

impl Ghost {
    /// A client has asked for a transaction.
    pub fn asked(&mut self) {
        self.commits.push(Commit::default());
    }

    /// A client was told "committed" by a principal of `n`, or could have read it there. `other` is the other partner's
    /// disk.
    pub fn known(&mut self, k: usize, n: u32, other: &Disk, bug: Option<Bug>) {
        let newest = self.owners.iter().map(|(n, _)| *n).max();
        // Without a witness a forced service may leave two who serve, and RESUME gives up the older one's fork. [OQ-17]
        let left_behind = self.forced && newest.is_some_and(|newest| n < newest);
        let Some(commit) = self.commits.get_mut(k) else { return };
        if !commit.known {
            commit.known = true;
            commit.forgiven = left_behind;
        }
        commit.both |= holds(other, k, bug);
    }

    /// RESUME was taken.
    pub fn resumed(&mut self) {
        self.unresumed = false;
    }

    /// A process died.
    pub fn crashed(&mut self, instance: u8) {
        self.serving[usize::from(instance)] = None;
    }

    /// Did the instance answer clients when it was last asked?
    pub fn serves(&self, instance: u8) -> bool {
        self.serving[usize::from(instance)].is_some()
    }

    /// How many answer clients?
    pub fn servers(&self) -> usize {
        self.serving.iter().flatten().count()
    }

    /// A named step of the protocol on `instance`, whose disk is `disk`.
    pub fn step(&mut self, instance: u8, name: &str, disk: &Disk, bug: Option<Bug>) -> Result<(), Finding> {
        match name {
            "force.begin" => {
                let durable = |k: usize| holds(disk, k, bug);
                self.order = Some((instance, (0..self.commits.len()).map(durable).collect()));
            }
            // By the witness, or without one by the partner itself: from here on the order may take effect.
            "force.recorded" => {
                self.forced = true;
                self.unresumed = true;
                // What only the other partner had may be lost; that is what the order says.
                let (_, held) = self.order.take().unwrap_or_default();
                for (k, commit) in self.commits.iter_mut().enumerate() {
                    commit.forgiven |= !commit.both && !held.get(k).is_some_and(|held| *held);
                }
            }
            _ => {}
        }
        if name == "undo.begin" && self.unresumed && off_fork(disk) {
            let text =
                format!("{} begins to undo what a forced service left behind", NAMES[usize::from(instance)]);
            return Err(Finding::new("undo-before-resume", text));
        }
        Ok(())
    }

    /// A durable record, as it is now.
    pub fn record(&mut self, instance: u8, record: &Record) -> Result<(), Finding> {
        let shared = &record.shared;
        let (n, owner) = (shared.n.0, shared.owner.0);
        match self.owners.iter().find(|(m, _)| *m == n) {
            Some((_, before)) if *before != owner => {
                let text = format!(
                    "role sequence {n} belongs to {} in {}'s record, and belonged to {} before",
                    NAMES[usize::from(owner)],
                    NAMES[usize::from(instance)],
                    NAMES[usize::from(*before)]
                );
                return Err(Finding::new("two-owners", text));
            }
            Some(_) => {}
            None => self.owners.push((n, owner)),
        }
        self.owners.sort_unstable();
        let stamps = [
            shared.safety.stamp,
            shared.timeout_s.stamp,
            shared.witness.stamp,
            shared.synchronized.stamp,
            shared.suspended.stamp,
        ]
        .map(|s| (s.n.0, s.sequence));
        let newest = &mut self.newest[usize::from(instance)];
        let back =
            n < newest.0 || n == newest.0 && stamps.iter().zip(&newest.1).any(|(now, then)| now < then);
        if back {
            let text = format!(
                "{}'s record went from {newest:?} to {:?}",
                NAMES[usize::from(instance)],
                (n, stamps)
            );
            return Err(Finding::new("record-goes-back", text));
        }
        *newest = (n, stamps);
        Ok(())
    }
}

/// Does this durable record say that the copy is not on the session's fork?
fn off_fork(disk: &Disk) -> bool {
    record::newest(disk.durable(FileKind::Record)).is_some_and(|(_, record)| record.off_fork)
}

/// Do these durable files hold transaction `k`?
fn holds(disk: &Disk, k: usize, bug: Option<Bug>) -> bool {
    let Some((_, record)) = record::newest(disk.durable(FileKind::Record)) else { return false };
    let Some(branches) = record.branches else { return false };
    let file = |kind| disk.durable(kind).to_vec();
    let image = CopyImage {
        boot: file(FileKind::Boot),
        log: file(FileKind::Log),
        data: file(FileKind::Data),
        double_write: file(FileKind::DoubleWrite),
    };
    let geometry = Geometry { vlf_bytes: 16 << 10, vlf_count: 3, checkpoint_bytes: 1 << 20 };
    let copy = Copy::recover(SESSION, image, geometry, branches, &BTreeSet::new(), bug);
    copy.is_ok_and(|(copy, _)| copy.value(Key(k as u32)).is_some_and(|v| v.as_number() == k as i64 + 1))
}

/// What a client finds on an instance.
struct Probe {
    n: RoleSequence,
    /// For each transaction asked for: is it there? `None` while its row is locked.
    found: Vec<Option<bool>>,
}

/// Asks a copy of the instance as a client would.
fn probe(node: &Instance, now: u64, commits: u8) -> Option<Probe> {
    let mut node = node.clone();
    let mut out = Vec::new();
    let conn = ConnId(1);
    let open = ClientEvent::Open { database: SESSION };
    node.handle(instant(now), Input::Client { conn, event: open }, &mut out);
    let connected = out.iter().find_map(|e| match e {
        Effect::Reply { conn: to, reply: Reply::Connected { n, .. } } if *to == conn => Some(*n),
        _ => None,
    });
    let n = connected?;
    let mut found = Vec::new();
    for k in 0..u64::from(commits) {
        out.clear();
        let conn = ConnId(2 + k);
        let open = ClientEvent::Open { database: SESSION };
        node.handle(instant(now), Input::Client { conn, event: open }, &mut out);
        let read = Request::Batch(TxnId(1 << 40 | k), vec![Op::Read(Key(k as u32))]);
        node.handle(instant(now), Input::Client { conn, event: ClientEvent::Request(read) }, &mut out);
        found.push(out.iter().find_map(|e| match e {
            Effect::Reply { conn: to, reply: Reply::Committed { values, .. } } if *to == conn => {
                Some(values.first().is_some_and(|v| v.as_number() == k as i64 + 1))
            }
            _ => None,
        }));
    }
    Some(Probe { n, found })
}

/// Judges a state.
pub fn judge(model: &mut Model) -> Result<(), Finding> {
    for instance in 0..2_u8 {
        let i = usize::from(instance);
        if !model.changed(instance) {
            // It answers as in the state before, and was judged there.
            continue;
        }
        let probed = model.node(instance).and_then(|node| probe(node, model.now, model.commits));
        model.ghost.serving[i] = probed.as_ref().map(|p| p.n.0);
        let Some(probed) = probed else { continue };
        for (k, found) in probed.found.into_iter().enumerate() {
            let Some(found) = found else { continue };
            if found && !model.ghost.commits[k].known {
                let other = model.disk(1 - instance).clone();
                model.ghost.known(k, probed.n.0, &other, model.setup.bug);
            }
            let commit = model.ghost.commits[k];
            if !found && commit.known && !commit.forgiven {
                let text = format!("{} serves without transaction {k}, which was confirmed", NAMES[i]);
                return Err(Finding::new("lost-commit", text));
            }
        }
    }
    // Without a witness nobody can tell an old principal. [OQ-17]
    let documented = model.ghost.forced && !model.setup.witness;
    if let ([Some(a), Some(b), _], false) = (model.ghost.serving, documented) {
        let text = format!("A answers clients under role sequence {a}, B under {b}");
        return Err(Finding::new("two-servers", text));
    }
    Ok(())
}

/// A numbered message that only damage brings.
pub fn message(instance: u8, number: u32) -> Result<(), Finding> {
    match number {
        945 | 1412 | 1459 | 9001 | 9004 => {
            let text = format!("{} tells message {number}", NAMES[usize::from(instance)]);
            Err(Finding::new("damage", text))
        }
        _ => Ok(()),
    }
}
