//! A replicated log as one writes it in an afternoon, to see whether the faults of the world hurt anybody.
//!
//! A leads and B follows. Every 150 ms the leader takes the next slot, answers, writes a block of two sectors, and sends
//! it once its disk says something. Its habits are the usual ones:
//!
//! - it answers before anything is durable, and takes any answer of the disk for "done";
//! - nothing has a checksum, and nothing that was lost is sent again; a link that breaks is dialled again;
//! - who has not heard the other for a second leads, and who leads listens to nobody;
//! - who leads is remembered in memory only: a restarted A leads, because it is A;
//! - it dates what it does (and a line of its log) by the wall clock;
//! - of two blocks the newer one is that with the later wall-clock time (or, without that, the one that came later).
//!
//! What came of it is in a [`Ledger`] beside the simulated world; [`Ledger::complaints`] is the check.

use dbm_core::config::Config;
use dbm_core::io::{
    Area, DiskOp, DiskResult, Durability, Effect, Effects, FileId, FileKind, Input, LinkId, Notice, Ticket,
};
use dbm_core::message::Message;
use dbm_core::types::{InstanceId, Instant, Lsn, Micros, RoleSequence};
use dbm_core::wire::{self, Header};
use dbm_sim::node::{ClientProcess, Crew, Idle, ServerProcess};
use dbm_sim::observe::ClientId;
use dbm_sim::rng::Stream;
use dbm_sim::scenario::Scenario;
use dbm_sim::world::SESSION;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

const TICK: Micros = Micros::from_millis(150);
const PATIENCE: Micros = Micros::from_millis(1000);
/// A slot of the log: two sectors of a disk, filled with copies of one entry.
const BLOCK: usize = 1024;
const ENTRY: usize = 32;
const LOG: FileId = FileId { session: SESSION, kind: FileKind::Log };

/// When the toy answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// At once.
    Early,
    /// When the disk says that the block is durable.
    Late,
}

/// Which of two blocks a follower takes for the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// The one with the later wall-clock time.
    ByWallClock,
    /// The one that came later.
    ByArrival,
}

/// How naive.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// When it answers.
    pub answers: Answers,
    /// What it takes for newer.
    pub newer: Newer,
}

impl Default for Habits {
    fn default() -> Self {
        Habits { answers: Answers::Early, newer: Newer::ByWallClock }
    }
}

/// What the owner of such a system would complain about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// One slot was answered with two values: two leaders, or one that forgot.
    TwoAnswers,
    /// A node's file lacks a block that was answered.
    Lacks(char),
    /// A block in a node's file is not what was written.
    Mangled(char),
    /// A follower went back to an older value.
    WentBack(char),
    /// A node did not tell what it has in the end.
    Silent(char),
}

/// What the nodes have done, as seen by somebody who stands beside the world.
#[derive(Debug, Default)]
pub struct Ledger {
    answered: Vec<(u32, u64)>,
    taken: Vec<(char, u32)>,
    files: BTreeMap<char, Vec<u8>>,
}

impl Ledger {
    /// Everything that is wrong.
    pub fn complaints(&self) -> BTreeSet<Complaint> {
        let mut wrong = BTreeSet::new();
        let mut slots = BTreeMap::new();
        for &(slot, value) in &self.answered {
            if *slots.entry(slot).or_insert(value) != value {
                wrong.insert(Complaint::TwoAnswers);
            }
        }
        for name in ['A', 'B'] {
            let Some(file) = self.files.get(&name) else {
                wrong.insert(Complaint::Silent(name));
                continue;
            };
            for (&slot, &value) in &slots {
                let start = slot as usize * BLOCK;
                let block = file.get(start..start + BLOCK).unwrap_or_default();
                let entry = block.get(..ENTRY).unwrap_or_default();
                if !block.chunks(ENTRY).all(|other| other == entry) {
                    wrong.insert(Complaint::Mangled(name));
                } else if (number(entry, 0), number(entry, 8)) != (u64::from(slot), value) {
                    wrong.insert(Complaint::Lacks(name));
                }
            }
            let taken: Vec<u32> =
                self.taken.iter().filter(|(who, _)| *who == name).map(|(_, n)| *n).collect();
            if taken.is_sorted() {
                continue;
            }
            wrong.insert(Complaint::WentBack(name));
        }
        wrong
    }

    /// Number of answers that were given.
    pub fn answers(&self) -> usize {
        self.answered.len()
    }
}

/// A pair of naive nodes and their ledger.
#[derive(Clone, Debug, Default)]
pub struct NaiveCrew {
    /// How naive.
    pub habits: Habits,
    /// What they have done.
    pub ledger: Arc<Mutex<Ledger>>,
}

impl Crew for NaiveCrew {
    fn instance(&self, config: Config) -> Box<dyn ServerProcess> {
        Box::new(Node {
            name: if config.id.0 == 0 { 'A' } else { 'B' },
            id: config.id,
            habits: self.habits,
            ledger: self.ledger.clone(),
            wall_ms: 0,
            leads: config.id.0 == 0,
            stopped: false,
            next_tick: Instant(0),
            heard: Instant(0),
            link: None,
            met: false,
            dialled: 0,
            tickets: 0,
            writing: BTreeMap::new(),
            reading: None,
            slot: 0,
            newest_ms: i64::MIN,
        })
    }
    fn client(&self, _: &Scenario, _: ClientId, _: Stream) -> Box<dyn ClientProcess> {
        Box::new(Idle)
    }
}

/// Why a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Recovery,
    Audit,
}

/// A write under way.
#[derive(Clone, Debug)]
struct Write {
    slot: u32,
    value: u64,
    block: Arc<[u8]>,
    own: bool,
}

struct Node {
    name: char,
    id: InstanceId,
    habits: Habits,
    ledger: Arc<Mutex<Ledger>>,
    wall_ms: i64,
    leads: bool,
    stopped: bool,
    next_tick: Instant,
    heard: Instant,
    link: Option<(LinkId, bool)>,
    met: bool,
    dialled: u64,
    tickets: u64,
    writing: BTreeMap<u64, Write>,
    reading: Option<(u64, Reading)>,
    /// The next one.
    slot: u32,
    newest_ms: i64,
}

fn number(entry: &[u8], at: usize) -> u64 {
    let bytes = entry.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(u64::MAX, u64::from_le_bytes)
}

impl Node {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nobody panics with the ledger in hand")
    }

    fn disk(&mut self, op: DiskOp, out: &mut Effects) -> u64 {
        self.tickets += 1;
        let ticket = Ticket::new(SESSION, Area::Copy, self.tickets);
        out.push(Effect::Disk { ticket, op });
        ticket.0
    }

    fn read(&mut self, why: Reading, out: &mut Effects) {
        let ticket = self.disk(DiskOp::ReadAll { file: LOG }, out);
        self.reading = Some((ticket, why));
    }

    fn write(&mut self, write: Write, out: &mut Effects) {
        let op = DiskOp::Write {
            file: LOG,
            offset: write.slot as u64 * BLOCK as u64,
            bytes: write.block.clone(),
            durability: Durability::Through,
        };
        let ticket = self.disk(op, out);
        self.writing.insert(ticket, write);
    }

    /// Takes the next slot.
    fn append(&mut self, now: Instant, out: &mut Effects) {
        let (slot, value) = (self.slot, now.0 << 8 | u64::from(self.id.0));
        self.slot += 1;
        out.push(Effect::Notice(Notice::Message { session: SESSION, number: slot }));
        let mut entry = Vec::with_capacity(ENTRY);
        entry.extend(u64::from(slot).to_le_bytes());
        entry.extend(value.to_le_bytes());
        entry.extend(self.wall_ms.to_le_bytes());
        entry.resize(ENTRY, 0x55);
        if self.habits.answers == Answers::Early {
            self.ledger().answered.push((slot, value));
            out.push(Effect::Notice(Notice::Step { session: SESSION, name: "answered" }));
        }
        self.write(Write { slot, value, block: entry.repeat(BLOCK / ENTRY).into(), own: true }, out);
    }

    fn written(&mut self, write: Write, out: &mut Effects) {
        if !write.own {
            return;
        }
        if self.habits.answers == Answers::Late {
            self.ledger().answered.push((write.slot, write.value));
        }
        if let Some((link, true)) = self.link {
            let header = Header {
                kind: 0,
                session: SESSION,
                from: self.id,
                incarnation: 1,
                n: RoleSequence(write.slot + 1),
                sequence: 0,
            };
            let bytes = write.block.to_vec();
            let (first, end, hardened) = (Lsn::ZERO, Lsn::ZERO, Lsn::ZERO);
            let message = Message::LogBlock { first, end, raw_bytes: BLOCK as u32, hardened, bytes };
            out.push(Effect::Send { link, bytes: wire::encode(&header, &message) });
        }
    }

    fn frame(&mut self, now: Instant, frame: &[u8], out: &mut Effects) {
        if self.leads {
            return;
        }
        self.heard = now;
        let block = &frame[frame.len().saturating_sub(BLOCK)..];
        let (slot, value, ms) = (number(block, 0) as u32, number(block, 8), number(block, 16) as i64);
        if self.habits.newer == Newer::ByWallClock && ms <= self.newest_ms || slot > 1 << 16 {
            return;
        }
        self.newest_ms = ms;
        self.slot = slot + 1;
        self.ledger().taken.push((self.name, slot));
        self.write(Write { slot, value, block: block.into(), own: false }, out);
    }

    fn tick(&mut self, now: Instant, out: &mut Effects) {
        if self.link.is_none() && self.name == 'A' {
            self.dialled += 2;
            self.link = Some((LinkId(self.dialled), false));
            out.push(Effect::Connect { link: LinkId(self.dialled), to: InstanceId(1) });
        }
        if !self.leads && now.0 > self.heard.0 + PATIENCE.0 {
            (self.leads, self.met) = (true, true);
        }
        if self.leads && self.met && !self.stopped {
            self.append(now, out);
        }
    }
}

impl ServerProcess for Node {
    fn wall_clock(&mut self, ms: i64) {
        self.wall_ms = ms;
    }

    fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        match input {
            Input::Start => {
                (self.next_tick, self.heard) = (now + TICK, now);
                self.read(Reading::Recovery, out);
            }
            Input::Timeout if now >= self.next_tick => {
                self.next_tick = now + TICK;
                if self.reading.is_none() {
                    self.tick(now, out);
                }
            }
            Input::Timeout | Input::Client { .. } => {}
            Input::LinkUp { link, .. } => (self.link, self.met) = (Some((link, true)), true),
            Input::LinkDown { link, .. } => self.link = self.link.filter(|(other, _)| *other != link),
            Input::Frame { bytes, .. } => self.frame(now, &bytes, out),
            Input::Disk { ticket, result } => match (self.writing.remove(&ticket.0), self.reading) {
                (Some(write), _) => self.written(write, out),
                (None, Some((asked, why))) if asked == ticket.0 => {
                    self.reading = None;
                    let file = if let DiskResult::Read(file) = result { file } else { Vec::new() };
                    match why {
                        Reading::Recovery => self.slot = file.len().div_ceil(BLOCK) as u32,
                        Reading::Audit => drop(self.ledger().files.insert(self.name, file)),
                    }
                }
                (None, _) => {}
            },
            Input::Statement { request, sql } => {
                match sql.as_str() {
                    "stop" => self.stopped = true,
                    _ => self.read(Reading::Audit, out),
                }
                out.push(Effect::StatementDone { request, result: Ok(()) });
            }
        }
    }
    fn next_timeout(&self) -> Option<Instant> {
        Some(self.next_tick)
    }
    fn fingerprint(&self) -> u64 {
        u64::from(self.slot) << 1 | u64::from(self.leads)
    }
    fn check(&self) {}
}
