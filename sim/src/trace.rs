//! The trace of a run: what happened, one line each, for people.
//!
//! Recorded as structs only when asked for, and turned into text only when read.

use crate::digest;
use crate::fault::Action;
use crate::frames;
use crate::names::EVENTS;
use crate::node::Roster;
use crate::observe::{ClientId, Fact};
use crate::script::file_name;
use crate::time::Time;
use dbm_core::io::{
    ClientEvent, DiskOp, DiskResult, FileKind, Input, LinkDownCause, Notice, Reply, Request, SqlError,
};
use dbm_core::types::{InstanceId, TxnId};
use std::fmt;
use std::sync::Arc;

/// Who a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Instance(InstanceId),
    Client(ClientId),
    World,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    at: Time,
    who: Who,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Started(u32),
    Died,
    Paused(bool),
    Timeout,
    Frame {
        sent: bool,
        peer: InstanceId,
        link: u64,
        kind: Option<&'static str>,
        n: u32,
        len: usize,
        sum: u32,
    },
    LinkUp(InstanceId, u64),
    LinkDown(InstanceId, u64, LinkDownCause),
    DiskIssued(FileKind, &'static str, u64, usize),
    DiskDone(u64, DiskEnd),
    Durable(FileKind, u64, usize),
    Preloaded(FileKind, usize),
    Asked(u64, ClientEvent),
    Called(InstanceId, Request),
    Replied(ClientId, Reply),
    Answered(InstanceId, Reply),
    Begun(TxnId),
    Lost,
    Told(Notice),
    Logged(i64, Notice),
    Statement(String),
    StatementDone(String, Result<(), SqlError>),
    Acted(usize, Box<Action>),
    Panicked(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskEnd {
    Read(usize),
    Done,
    Failed,
}

impl Entry {
    /// The entry of a fact; `None` for one that another fact tells better.
    pub fn of(at: Time, fact: &Fact<'_>) -> Option<Entry> {
        let frame = |sent, peer, link: dbm_core::io::LinkId, bytes: &[u8]| What::Frame {
            sent,
            peer,
            link: link.0,
            kind: frames::frame_kind(bytes),
            n: frames::frame_n(bytes),
            len: bytes.len(),
            sum: (digest::bytes(bytes) >> 32) as u32,
        };
        let (who, what) = match *fact {
            Fact::Started { instance, incarnation } => (Who::Instance(instance), What::Started(incarnation)),
            Fact::Died { instance } => (Who::Instance(instance), What::Died),
            Fact::Paused { instance, paused } => (Who::Instance(instance), What::Paused(paused)),
            Fact::Handling { instance, input } => (Who::Instance(instance), Entry::handling(input)?),
            Fact::Sent { from, to, link, bytes } => (Who::Instance(from), frame(true, to, link, bytes)),
            Fact::Delivered { from, to, link, bytes } => (Who::Instance(to), frame(false, from, link, bytes)),
            Fact::LinkUp { at, peer, link } => (Who::Instance(at), What::LinkUp(peer, link.0)),
            Fact::LinkDown { at, peer, link, cause } => {
                (Who::Instance(at), What::LinkDown(peer, link.0, cause))
            }
            Fact::DiskIssued { instance, op } => (Who::Instance(instance), Entry::issued(op)),
            Fact::Durable { instance, file, offset, bytes } => {
                (Who::Instance(instance), What::Durable(file.kind, offset, bytes.len()))
            }
            Fact::Preloaded { instance, file, bytes } => {
                (Who::Instance(instance), What::Preloaded(file.kind, bytes.len()))
            }
            Fact::Replied { instance, client, reply } => {
                (Who::Instance(instance), What::Replied(client, reply.clone()))
            }
            Fact::Called { client, to, request } => (Who::Client(client), What::Called(to, request.clone())),
            Fact::TxnBegun { client, txn } => (Who::Client(client), What::Begun(txn)),
            Fact::Answered { client, from, reply } => {
                (Who::Client(client), What::Answered(from, reply.clone()))
            }
            Fact::ClientLost { client } => (Who::Client(client), What::Lost),
            // A line of the error log comes once more, with its date.
            Fact::Told { notice: Notice::Event { .. } | Notice::Message { .. }, .. } => return None,
            Fact::Told { instance, notice } => (Who::Instance(instance), What::Told(notice.clone())),
            Fact::Logged { instance, wall_ms, notice } => {
                (Who::Instance(instance), What::Logged(wall_ms, notice.clone()))
            }
            // Told already.
            Fact::Status { .. } => return None,
            Fact::StatementDone { instance, sql, result } => {
                (Who::Instance(instance), What::StatementDone(sql.into(), *result))
            }
            Fact::Acted { step, action } => (Who::World, What::Acted(step, Box::new(action.clone()))),
            Fact::Panicked { instance, message } => (Who::Instance(instance), What::Panicked(message.into())),
        };
        Some(Entry { at, who, what })
    }

    fn handling(input: &Input) -> Option<What> {
        Some(match input {
            Input::Timeout => What::Timeout,
            Input::Disk { ticket, result } => What::DiskDone(
                ticket.0,
                match result {
                    DiskResult::Read(bytes) => DiskEnd::Read(bytes.len()),
                    DiskResult::Done => DiskEnd::Done,
                    DiskResult::Failed => DiskEnd::Failed,
                },
            ),
            Input::Client { conn, event } => What::Asked(conn.0, event.clone()),
            Input::Statement { sql, .. } => What::Statement(sql.clone()),
            Input::Start | Input::LinkUp { .. } | Input::LinkDown { .. } | Input::Frame { .. } => {
                return None;
            }
        })
    }

    fn issued(op: &DiskOp) -> What {
        match op {
            DiskOp::ReadAll { file } => What::DiskIssued(file.kind, "read", 0, 0),
            DiskOp::Write { file, offset, bytes, durability } => {
                let how = match durability {
                    dbm_core::io::Durability::Cached => "cached",
                    dbm_core::io::Durability::Through => "through",
                };
                What::DiskIssued(file.kind, how, *offset, bytes.len())
            }
            DiskOp::Flush { file } => What::DiskIssued(file.kind, "flush", 0, 0),
        }
    }

    /// The line, with names from the roster.
    pub fn line(&self, roster: &Roster) -> String {
        Line { entry: self, roster }.to_string()
    }
}

struct Line<'a> {
    entry: &'a Entry,
    roster: &'a Roster,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.entry.at.0;
        write!(f, "{:>5}.{:06}  ", micros / 1_000_000, micros % 1_000_000)?;
        match self.entry.who {
            Who::Instance(id) => write!(f, "{:<10} ", self.name(id))?,
            Who::Client(id) => write!(f, "client{:<4} ", id.0)?,
            Who::World => write!(f, "{:<10} ", "-")?,
        }
        self.what(f)
    }
}

impl Line<'_> {
    fn name(&self, id: InstanceId) -> &str {
        self.roster.instance_name(usize::from(id.0))
    }

    fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, detail: fmt::Arguments<'_>| match detail.as_str() {
            Some("") => write!(f, "{what}"),
            _ => write!(f, "{what:<12} {detail}"),
        };
        match &self.entry.what {
            What::Started(incarnation) => row("started", format_args!("incarnation {incarnation}")),
            What::Died => row("died", format_args!("")),
            What::Paused(true) => row("paused", format_args!("")),
            What::Paused(false) => row("goes on", format_args!("")),
            What::Timeout => row("timeout", format_args!("")),
            What::Frame { sent, peer, link, kind, n, len, sum } => row(
                if *sent { "sent" } else { "delivered" },
                format_args!(
                    "{} {} {} n={n} link={link} bytes={len} crc={sum:08x}",
                    kind.unwrap_or("frame"),
                    if *sent { "to" } else { "from" },
                    self.name(*peer),
                ),
            ),
            What::LinkUp(peer, link) => row("link up", format_args!("{} link={link}", self.name(*peer))),
            What::LinkDown(peer, link, cause) => {
                row("link down", format_args!("{} link={link} {cause:?}", self.name(*peer)))
            }
            What::DiskIssued(file, how @ ("read" | "flush"), ..) => {
                row("disk", format_args!("{how} {}", file_name(*file)))
            }
            What::DiskIssued(file, how, offset, len) => {
                row("disk", format_args!("write {} at={offset} bytes={len} {how}", file_name(*file)))
            }
            What::DiskDone(ticket, end) => row("disk done", format_args!("ticket={ticket:x} {end:?}")),
            What::Durable(file, offset, len) => {
                row("durable", format_args!("{} at={offset} bytes={len}", file_name(*file)))
            }
            What::Preloaded(file, len) => row("preloaded", format_args!("{} bytes={len}", file_name(*file))),
            What::Asked(conn, event) => row("asked", format_args!("conn={conn} {event:?}")),
            What::Called(to, request) => row("calls", format_args!("{} {request:?}", self.name(*to))),
            What::Replied(client, reply) => row("replies", format_args!("client{} {reply:?}", client.0)),
            What::Answered(from, reply) => row("answered", format_args!("by {} {reply:?}", self.name(*from))),
            What::Begun(txn) => row("begins", format_args!("transaction {}", txn.0)),
            What::Lost => row("unknown", format_args!("the open call's outcome")),
            What::Logged(wall_ms, Notice::Event { number, previous, .. }) => row(
                "event",
                format_args!(
                    "{} {number} {}, after {previous}",
                    wall_clock(*wall_ms),
                    EVENTS.get(usize::from(*number)).unwrap_or(&"of no name")
                ),
            ),
            What::Logged(wall_ms, Notice::Message { number, .. }) => {
                let text = dbm_core::control::catalogued(*number).map_or("", |entry| entry.message);
                row("message", format_args!("{} {number} {text}", wall_clock(*wall_ms)))
            }
            What::Told(notice) | What::Logged(_, notice) => row("tells", format_args!("{notice:?}")),
            What::Statement(sql) => row("statement", format_args!("{sql}")),
            What::StatementDone(sql, Ok(())) => row("done", format_args!("{sql}")),
            What::StatementDone(sql, Err(error)) => row("failed", format_args!("{sql}: {error}")),
            What::Acted(step, action) => row("plan", format_args!("step {step}: {action:?}")),
            What::Panicked(message) => row("panicked", format_args!("{}", message.replace('\n', " "))),
        }
    }
}

/// The time of a wall clock, as `2005-11-07T00:00:05.250Z`.
#[allow(clippy::disallowed_types, reason = "it formats a date of the simulated clock and reads no other")]
fn wall_clock(ms: i64) -> impl fmt::Display {
    let since = std::time::Duration::from_millis(ms.unsigned_abs());
    humantime::format_rfc3339_millis(std::time::SystemTime::UNIX_EPOCH + since)
}

/// Everything recorded of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    roster: Arc<Roster>,
    entries: Vec<Entry>,
}

impl Trace {
    /// An empty trace.
    pub fn new(roster: Arc<Roster>) -> Self {
        Trace { roster, entries: Vec::new() }
    }

    /// Records a fact.
    pub fn fact(&mut self, at: Time, fact: &Fact<'_>) {
        self.entries.extend(Entry::of(at, fact));
    }

    /// The lines: true time in seconds, who, what, detail.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.entries.iter().map(|entry| entry.line(&self.roster))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::small;
    use dbm_core::types::SessionId;

    fn line(fact: &Fact<'_>) -> String {
        Entry::of(Time::secs(5), fact).expect("it is told").line(&Roster::new(&small()))
    }

    #[test]
    fn events_messages_and_refusals_are_told_in_words() {
        let instance = InstanceId(1);
        let session = SessionId(0);
        let told =
            |notice: Notice| line(&Fact::Logged { instance, wall_ms: 1_131_321_600_250, notice: &notice });
        assert_eq!(
            told(Notice::Event { session, number: 12, previous: 6 }),
            "    5.000000  B          event        2005-11-07T00:00:00.250Z 12 Principal Running Exposed, after 6"
        );
        assert_eq!(
            told(Notice::Message { session, number: 1480 }),
            "    5.000000  B          message      2005-11-07T00:00:00.250Z 1480 database changes roles"
        );
        let result = &Err(dbm_core::control::sql_error(1431));
        let failed = line(&Fact::StatementDone { instance, sql: "X", result });
        assert!(
            failed.starts_with("    5.000000  B          failed       X: error 1431, severity 16: "),
            "{failed}"
        );
    }
}
