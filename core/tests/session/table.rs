//! Three instances on a table: a tiny deterministic net and disk, for tests of single rules of the session without
//! the simulator. Every frame takes a millisecond, every disk operation half of one.

use dbm_core::config::{Config, Part, Tuning};
use dbm_core::instance::Instance;
use dbm_core::io::*;
use dbm_core::message::kind_name;
use dbm_core::prepared::Prepared;
use dbm_core::types::*;
use dbm_core::view::Status;
use dbm_core::wire;
use std::collections::{BTreeMap, BTreeSet};

pub const A: u8 = 0;
pub const B: u8 = 1;
pub const W: u8 = 2;

pub const SESSION: SessionId = SessionId(1);
const FRAME_US: u64 = 1000;
const DISK_US: u64 = 500;

/// Role and state as a partner shows them.
pub type Shown = (Role, MirroringState);

#[derive(Clone)]
pub struct Table {
    now: u64,
    serial: u64,
    events: BTreeMap<(u64, u64), (u8, u32, Input)>,
    instances: BTreeMap<u8, Instance>,
    incarnations: [u32; 3],
    pub disks: BTreeMap<(u8, FileId), Vec<u8>>,
    /// (instance, link) to the other end.
    links: BTreeMap<(u8, LinkId), (u8, LinkId)>,
    inbound: u64,
    pub cut: BTreeSet<(u8, u8)>,
    pub replies: Vec<(u64, u8, ConnId, Reply)>,
    pub statements: Vec<(u64, Result<(), SqlError>)>,
    pub status: BTreeMap<u8, Status>,
    sent: Vec<(u64, u8, u8, &'static str)>,
    timers: [u64; 3],
    /// Numbered events, in order: (instance, number, number before).
    pub events_told: Vec<(u8, u8, u8)>,
    /// Transitions shown, in order: (instance, before, after).
    pub transitions: Vec<(u8, Shown, Shown)>,
    /// Cut this pair as soon as a frame of this kind arrives between them, in either direction.
    cut_on: Option<(u8, u8, &'static str)>,
    /// Instances whose disks stand still, and what they would have completed.
    stalled: BTreeSet<u8>,
    held: Vec<(u8, Ticket, DiskResult)>,
    /// Operations that fail: the instance, and the file if it is only one. What they would have written is there all the
    /// same, or not: nobody may rely on either.
    failing: BTreeSet<(u8, Option<FileKind>)>,
    failures_write: bool,
    /// Numbered messages of the log, in order: (instance, number).
    pub messages: Vec<(u8, u32)>,
    tuning: Tuning,
    verbose: bool,
}

impl Table {
    /// A table with or without a witness, SAFETY FULL.
    pub fn new(witness: bool) -> Table {
        Table::with(witness, Safety::Full)
    }

    pub fn with(witness: bool, safety: Safety) -> Table {
        Table::tuned(witness, safety, Tuning::default())
    }

    pub fn tuned(witness: bool, safety: Safety, tuning: Tuning) -> Table {
        let prepared = Prepared {
            session: SESSION,
            principal: InstanceId(0),
            mirror: InstanceId(1),
            witness: witness.then_some(InstanceId(2)),
            safety,
            timeout_s: 10,
            geometry: Default::default(),
            rows: (0..8).map(|k| (Key(k), Value::number(1000))).collect(),
        };
        let mut table = Table {
            now: 0,
            serial: 0,
            events: BTreeMap::new(),
            instances: BTreeMap::new(),
            incarnations: [0; 3],
            disks: prepared.files().into_iter().map(|(i, f, b)| ((i.0, f), b)).collect(),
            links: BTreeMap::new(),
            inbound: 1,
            cut: BTreeSet::new(),
            replies: Vec::new(),
            statements: Vec::new(),
            status: BTreeMap::new(),
            sent: Vec::new(),
            timers: [u64::MAX; 3],
            events_told: Vec::new(),
            transitions: Vec::new(),
            cut_on: None,
            stalled: BTreeSet::new(),
            held: Vec::new(),
            failing: BTreeSet::new(),
            failures_write: false,
            messages: Vec::new(),
            tuning,
            verbose: std::env::var("TABLE").is_ok(),
        };
        for id in 0..3 {
            table.start(id);
        }
        table
    }

    pub fn start(&mut self, id: u8) {
        self.incarnations[id as usize] += 1;
        self.timers[id as usize] = u64::MAX;
        let part = if id == 2 { Part::Witness } else { Part::Partner };
        let has = self.disks.contains_key(&(id, FileId { session: SESSION, kind: FileKind::Record }));
        let config = Config {
            id: InstanceId(id),
            incarnation: self.incarnations[id as usize],
            addresses: vec!["TCP://A:5022".into(), "TCP://B:5022".into(), "TCP://W:5022".into()],
            sessions: if has { vec![(SESSION, part, "sales".into())] } else { vec![] },
            tuning: self.tuning,
            bug: None,
        };
        self.instances.insert(id, Instance::new(config));
        self.push(0, id, Input::Start);
    }

    pub fn crash(&mut self, id: u8) {
        self.instances.remove(&id);
        self.status.remove(&id);
        let ends: Vec<_> = self.links.iter().filter(|((i, _), _)| *i == id).map(|(k, v)| (*k, *v)).collect();
        for (near, far) in ends {
            self.links.remove(&near);
            if self.links.remove(&far).is_some() {
                self.push(FRAME_US, far.0, Input::LinkDown { link: far.1, cause: LinkDownCause::Reset });
            }
        }
        self.events.retain(|_, (to, _, _)| *to != id);
        self.held.retain(|(of, ..)| *of != id);
    }

    fn push(&mut self, after: u64, to: u8, input: Input) {
        self.serial += 1;
        let incarnation = self.incarnations[to as usize];
        self.events.insert((self.now + after, self.serial), (to, incarnation, input));
    }

    pub fn run_until(&mut self, until_ms: u64) {
        self.run_for_us((until_ms * 1000).saturating_sub(self.now));
    }

    fn handle(&mut self, id: u8, input: Input) {
        let mut out = Vec::new();
        if matches!(input, Input::Timeout) {
            self.timers[id as usize] = u64::MAX;
        }
        if let Input::LinkDown { link, .. } = input {
            self.links.remove(&(id, link));
        }
        let instance = self.instances.get_mut(&id).expect("only living instances handle");
        instance.handle(Instant(self.now), input, &mut out);
        instance.check();
        let next = instance.next_timeout();
        for effect in out {
            self.effect(id, effect);
        }
        if let Some(at) = next
            && at.0 < self.timers[id as usize]
        {
            self.timers[id as usize] = at.0;
            let after = at.0.saturating_sub(self.now);
            self.push(after, id, Input::Timeout);
        }
    }

    fn effect(&mut self, id: u8, effect: Effect) {
        match effect {
            Effect::Connect { link, to } => {
                if self.cut.contains(&(id, to.0)) || self.cut.contains(&(to.0, id)) {
                    return;
                }
                if !self.instances.contains_key(&to.0) {
                    let cause = LinkDownCause::Refused;
                    self.push(2 * FRAME_US, id, Input::LinkDown { link, cause });
                    return;
                }
                self.inbound += 2;
                let far = LinkId(self.inbound);
                self.links.insert((id, link), (to.0, far));
                self.links.insert((to.0, far), (id, link));
                self.push(FRAME_US, to.0, Input::LinkUp { link: far, to: None });
                self.push(2 * FRAME_US, id, Input::LinkUp { link, to: Some(to) });
            }
            Effect::Close { link } => {
                if let Some(far) = self.links.remove(&(id, link))
                    && self.links.remove(&far).is_some()
                    && !self.cut.contains(&(id, far.0))
                {
                    self.push(FRAME_US, far.0, Input::LinkDown { link: far.1, cause: LinkDownCause::Closed });
                }
            }
            Effect::Send { link, bytes } => {
                let Some(&(to, far)) = self.links.get(&(id, link)) else { return };
                let name = wire::peek(&bytes).and_then(|h| kind_name(h.kind)).expect("instances send frames");
                if self.verbose && name != "ping" {
                    println!(
                        "{:>9} {id} -> {to} {:?}",
                        self.now,
                        wire::decode(&bytes).map(|(h, m)| (h.n, m))
                    );
                }
                self.sent.push((self.now, id, to, name));
                if let Some((one, other, kind)) = self.cut_on
                    && kind == name
                    && [(one, other), (other, one)].contains(&(id, to))
                {
                    // This frame still arrives; nothing after it does.
                    self.push(FRAME_US, to, Input::Frame { link: far, bytes });
                    self.part(one, other);
                    self.cut_on = None;
                    return;
                }
                if !self.cut.contains(&(id, to)) {
                    self.push(FRAME_US, to, Input::Frame { link: far, bytes });
                }
            }
            Effect::Disk { ticket, op } => {
                let (DiskOp::ReadAll { file } | DiskOp::Write { file, .. } | DiskOp::Flush { file }) = &op;
                let kind = Some(file.kind);
                let fails = self.failing.contains(&(id, None)) || self.failing.contains(&(id, kind));
                if fails && !self.failures_write {
                    self.push(DISK_US, id, Input::Disk { ticket, result: DiskResult::Failed });
                    return;
                }
                let result = match op {
                    DiskOp::ReadAll { file } => {
                        DiskResult::Read(self.disks.get(&(id, file)).cloned().unwrap_or_default())
                    }
                    DiskOp::Write { file, offset, bytes, .. } => {
                        let content = self.disks.entry((id, file)).or_default();
                        let end = offset as usize + bytes.len();
                        if content.len() < end {
                            content.resize(end, 0);
                        }
                        content[offset as usize..end].copy_from_slice(&bytes);
                        DiskResult::Done
                    }
                    DiskOp::Flush { .. } => DiskResult::Done,
                };
                let result = if fails { DiskResult::Failed } else { result };
                if self.stalled.contains(&id) {
                    self.held.push((id, ticket, result));
                } else {
                    self.push(DISK_US, id, Input::Disk { ticket, result });
                }
            }
            Effect::Reply { conn, reply } => self.replies.push((self.now, id, conn, reply)),
            Effect::Disconnect { .. } => {}
            Effect::StatementDone { request, result } => self.statements.push((request, result)),
            Effect::Notice(notice) => {
                if let Notice::Status { status, .. } = &notice {
                    self.status.insert(id, *status);
                }
                if let Notice::State { from: Some(from), to, .. } = &notice {
                    self.transitions.push((id, *from, *to));
                }
                if let Notice::Message { number, .. } = &notice {
                    self.messages.push((id, *number));
                }
                if let Notice::Event { number, previous, .. } = &notice {
                    self.events_told.push((id, *number, *previous));
                }
                if self.verbose {
                    println!("{:>9} {id} {notice:?}", self.now);
                }
            }
        }
    }

    pub fn open(&mut self, id: u8, conn: u64) -> Reply {
        self.call(id, conn, ClientEvent::Open { database: SESSION })
    }

    /// One call and its answer, at most 100 ms later.
    pub fn call(&mut self, id: u8, conn: u64, event: ClientEvent) -> Reply {
        let before = self.replies.len();
        self.push(0, id, Input::Client { conn: ConnId(conn), event });
        let until = self.now / 1000 + 100;
        self.run_until(until);
        self.replies.get(before).map(|(_, _, _, reply)| reply.clone()).expect("an answer within 100 ms")
    }

    pub fn add(&mut self, id: u8, conn: u64, txn: u64, by: i64) -> Reply {
        let ops = vec![Op::Add(Key(0), -by), Op::Add(Key(1), by)];
        self.call(id, conn, ClientEvent::Request(Request::Batch(TxnId(txn), ops)))
    }

    pub fn read(&mut self, id: u8, conn: u64, txn: u64) -> Vec<i64> {
        let ops = vec![Op::Read(Key(0)), Op::Read(Key(1))];
        match self.call(id, conn, ClientEvent::Request(Request::Batch(TxnId(txn), ops))) {
            Reply::Committed { values, .. } => values.iter().map(Value::as_number).collect(),
            other => panic!("read answered {other:?}"),
        }
    }

    pub fn state(&self, id: u8) -> (Role, MirroringState) {
        let status = self.status[&id];
        (status.role.expect("a partner"), status.state.expect("an open copy"))
    }

    pub fn sent(&self, from: u8, to: u8, kind: &str) -> usize {
        self.sent.iter().filter(|(_, f, t, k)| (*f, *t, *k) == (from, to, kind)).count()
    }

    /// A statement whose end is not waited for.
    pub fn statement(&mut self, id: u8, text: &str) {
        self.push(0, id, Input::Statement { request: 0, sql: text.into() });
    }

    pub fn sql(&mut self, id: u8, text: &str) -> Result<(), u32> {
        let before = self.statements.len();
        self.statement(id, text);
        let until = self.now / 1000 + 1000;
        self.run_until(until);
        let (_, result) = self.statements.get(before).expect("an answer within a second");
        result.map_err(|e| e.number)
    }

    pub fn run_for(&mut self, ms: u64) {
        let until = self.now / 1000 + ms;
        self.run_until(until);
    }

    pub fn run_for_us(&mut self, us: u64) {
        let until = self.now + us;
        while let Some((&(at, _), _)) = self.events.first_key_value() {
            if at > until {
                break;
            }
            let (_, (to, incarnation, input)) = self.events.pop_first().expect("looked at it");
            self.now = at;
            if self.incarnations[to as usize] == incarnation && self.instances.contains_key(&to) {
                self.handle(to, input);
            }
        }
        self.now = until;
    }

    /// The partners are cut apart, silently, right after the next frame of this kind between them.
    pub fn cut_when(&mut self, one: u8, other: u8, kind: &'static str) {
        self.cut_on = Some((one, other, kind));
    }

    /// Both ends of every link between the two see a reset.
    pub fn reset(&mut self, one: u8, other: u8) {
        let ends: Vec<_> = self
            .links
            .iter()
            .filter(|((i, _), (j, _))| (*i, *j) == (one, other))
            .map(|(k, v)| (*k, *v))
            .collect();
        for (near, far) in ends {
            self.links.remove(&near);
            self.links.remove(&far);
            for (id, link) in [near, far] {
                self.push(FRAME_US, id, Input::LinkDown { link, cause: LinkDownCause::Reset });
            }
        }
    }

    /// No disk operation of this instance completes until [`Table::release_disk`].
    pub fn stall_disk(&mut self, id: u8) {
        self.stalled.insert(id);
    }

    pub fn release_disk(&mut self, id: u8) {
        self.stalled.remove(&id);
        for (of, ticket, result) in std::mem::take(&mut self.held) {
            if of == id {
                self.push(DISK_US, of, Input::Disk { ticket, result });
            } else {
                self.held.push((of, ticket, result));
            }
        }
    }

    /// Every operation of this instance on this file fails from now on, or on every file.
    pub fn fail_disk(&mut self, id: u8, file: Option<FileKind>) {
        self.failing.insert((id, file));
    }

    /// Failing operations write all the same, and say that they have failed.
    pub fn failures_write(&mut self) {
        self.failures_write = true;
    }

    /// The disk of this instance works from now on.
    pub fn mend_disk(&mut self, id: u8) {
        self.failing.retain(|(of, _)| *of != id);
    }

    /// Flips a bit of every sector of a file that holds anything.
    pub fn rot(&mut self, id: u8, kind: FileKind) {
        let content =
            self.disks.get_mut(&(id, FileId { session: SESSION, kind })).expect("the file is there");
        for sector in content.chunks_mut(SECTOR_BYTES) {
            if let Some(byte) = sector.iter_mut().find(|byte| **byte != 0) {
                *byte ^= 1;
            }
        }
    }

    /// The numbered messages that one instance has written.
    pub fn messages_of(&self, id: u8) -> Vec<u32> {
        self.messages.iter().filter(|(who, _)| *who == id).map(|(_, number)| *number).collect()
    }

    /// The transitions one partner has shown.
    pub fn transitions_of(&self, id: u8) -> Vec<(Shown, Shown)> {
        self.transitions.iter().filter(|(who, ..)| *who == id).map(|(_, from, to)| (*from, *to)).collect()
    }

    /// The silent loss of everything between two instances.
    pub fn part(&mut self, one: u8, other: u8) {
        self.cut.extend([(one, other), (other, one)]);
    }

    pub fn join(&mut self, one: u8, other: u8) {
        self.cut.remove(&(one, other));
        self.cut.remove(&(other, one));
    }

    /// A call whose answer is not waited for.
    pub fn ask(&mut self, id: u8, conn: u64, event: ClientEvent) {
        self.push(0, id, Input::Client { conn: ConnId(conn), event });
    }

    pub fn ask_add(&mut self, id: u8, conn: u64, txn: u64) {
        let ops = vec![Op::Add(Key(0), -5), Op::Add(Key(1), 5)];
        self.ask(id, conn, ClientEvent::Request(Request::Batch(TxnId(txn), ops)));
    }

    /// Has this transaction been confirmed to a client?
    pub fn confirmed(&self, wanted: u64) -> bool {
        let wanted = TxnId(wanted);
        self.replies
            .iter()
            .any(|(_, _, _, reply)| matches!(reply, Reply::Committed { txn, .. } if *txn == wanted))
    }

    /// Who serves now.
    pub fn servers(&self) -> Vec<u8> {
        let serving = |id: &u8| self.status.get(id).is_some_and(|status| status.serving);
        [A, B].into_iter().filter(serving).collect()
    }

    /// State of the partner and of the witness, as this partner shows them.
    pub fn shown(&self, id: u8) -> (MirroringState, WitnessState) {
        let status = self.status[&id];
        (status.state.expect("an open copy"), status.witness.expect("a witness is set"))
    }

    /// The numbers of the events of one instance since the start.
    pub fn event_numbers(&self, id: u8) -> Vec<u8> {
        self.events_told.iter().filter(|(who, ..)| *who == id).map(|(_, number, _)| *number).collect()
    }
}
