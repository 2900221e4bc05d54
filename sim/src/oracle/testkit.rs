//! Hand-made log blocks, pages, frames, records and facts for the oracle's own tests.

use super::parse::{Decoders, FrameView, RecordView, SeatView};
use super::{Oracle, OracleSetup};
use crate::observe::{ClientId, Fact};
use crate::scenario::Scenario;
use crate::time::Time;
use dbm_core::io::{FileId, FileKind, LinkId, Reply, Request};
use dbm_core::types::{Branch, InstanceId, Lsn, RoleSequence, Safety, SessionId, TxnId, Value};

pub(super) const A: InstanceId = InstanceId(0);
pub(super) const B: InstanceId = InstanceId(1);
pub(super) const W: InstanceId = InstanceId(2);
pub(super) const C0: ClientId = ClientId(0);
pub(super) const C1: ClientId = ClientId(1);

/// A log record to make.
#[derive(Clone, Copy)]
pub(super) enum Rec<'a> {
    Update(u64, u32, &'a [u8]),
    Commit(u64),
}

pub(super) fn block(lsn: Lsn, prev: (Lsn, u32), branch: (u32, u32), records: &[Rec<'_>]) -> Vec<u8> {
    let mut out = vec![0; 48];
    for record in records {
        match record {
            Rec::Update(txn, key, after) => {
                out.push(2);
                out.extend_from_slice(&txn.to_le_bytes());
                out.extend_from_slice(&key.to_le_bytes());
                out.push(0xFF);
                out.push(after.len() as u8);
                out.extend_from_slice(after);
            }
            Rec::Commit(txn) => {
                out.push(4);
                out.extend_from_slice(&txn.to_le_bytes());
            }
        }
    }
    let payload = out.len() as u32 - 48;
    out.resize(out.len().next_multiple_of(512), 0);
    out[..4].copy_from_slice(b"DBML");
    out[8..16].copy_from_slice(&lsn.raw().to_le_bytes());
    out[16..24].copy_from_slice(&prev.0.raw().to_le_bytes());
    out[24..28].copy_from_slice(&prev.1.to_le_bytes());
    out[28..32].copy_from_slice(&branch.0.to_le_bytes());
    out[32..36].copy_from_slice(&branch.1.to_le_bytes());
    out[36..40].copy_from_slice(&payload.to_le_bytes());
    out[40..42].copy_from_slice(&(records.len() as u16).to_le_bytes());
    let sum = crc32fast::hash(&out[8..]);
    out[4..8].copy_from_slice(&sum.to_le_bytes());
    out
}

/// A data page with one row set.
pub(super) fn page(id: u32, lsn: Lsn, row: usize, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(b"DBMP");
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&lsn.raw().to_le_bytes());
    for i in 0..8 {
        if i == row {
            out.push(value.len() as u8);
            out.extend_from_slice(value);
        } else {
            out.push(0xFF);
        }
    }
    out.resize(1024, 0);
    let sum = crc32fast::hash(&out[8..]);
    out[4..8].copy_from_slice(&sum.to_le_bytes());
    out
}

/// A block made for a place.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) lsn: Lsn,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) branch: Branch,
}

impl Made {
    fn sum(&self) -> u32 {
        u32::from_le_bytes(self.bytes[4..8].try_into().unwrap())
    }
    /// The LSN of a record.
    pub(super) fn at(&self, slot: u16) -> Lsn {
        Lsn::new(self.lsn.vlf(), self.lsn.block(), slot)
    }
    /// Its end.
    pub(super) fn end(&self) -> Lsn {
        Lsn::new(self.lsn.vlf(), self.lsn.block() + (self.bytes.len() / 512) as u32, 0)
    }
}

/// Makes blocks one after the other in virtual log file 1.
#[derive(Clone)]
pub(super) struct Log {
    next: u32,
    prev: (Lsn, u32),
}

impl Log {
    pub(super) fn new() -> Self {
        Log { next: 0, prev: (Lsn::ZERO, 0) }
    }
    pub(super) fn add(&mut self, branch: (u32, u32), records: &[Rec<'_>]) -> Made {
        let lsn = Lsn::new(1, self.next, 0);
        let bytes = block(lsn, self.prev, branch, records);
        let branch = Branch { n: RoleSequence(branch.0), r: branch.1 };
        let made = Made { lsn, offset: u64::from(self.next) * 512, bytes, branch };
        self.next += (made.bytes.len() / 512) as u32;
        self.prev = (lsn, made.sum());
        made
    }
    pub(super) fn fork_after(&self, block: &Made) -> Log {
        let next = (block.offset / 512) as u32 + (block.bytes.len() / 512) as u32;
        Log { next, prev: (block.lsn, block.sum()) }
    }
}

/// A scenario with or without a witness; T = 10 s, no clients unless the test makes them.
pub(super) fn scenario(witness: bool) -> Scenario {
    let instances = if witness {
        r#"[{"name":"A"},{"name":"B"},{"name":"W"}]"#
    } else {
        r#"[{"name":"A"},{"name":"B"}]"#
    };
    let session = if witness {
        r#"{"principal":"A","mirror":"B","witness":"W"}"#
    } else {
        r#"{"principal":"A","mirror":"B"}"#
    };
    let text = format!(
        r#"{{"dbmsim":1,"name":"t","duration":"600s","instances":{instances},"session":{session},"workload":{{"accounts":4}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

/// Frames and records of the tests: a tag and fields of eight bytes.
pub(super) fn decoders() -> Decoders {
    Decoders { frame: test_frame, record: test_record, said_under: test_said_under }
}

fn fields(bytes: &[u8]) -> Vec<u64> {
    bytes[1..].chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect()
}

fn encode(tag: u8, fields: &[u64]) -> Vec<u8> {
    let mut out = vec![tag];
    fields.iter().for_each(|f| out.extend_from_slice(&f.to_le_bytes()));
    out
}

fn test_frame(bytes: &[u8]) -> Option<FrameView> {
    let f = fields(bytes);
    match bytes[0] {
        b'p' => Some(FrameView::Ping {
            n: RoleSequence(f[0] as u32),
            stamp: f[1],
            echo: (f[2] != u64::MAX).then_some(f[2]),
        }),
        b'a' => Some(FrameView::LogAck {
            hardened: Lsn::from_raw(f[0]),
            branch: Some(Branch { n: RoleSequence(f[1] as u32), r: f[2] as u32 }),
        }),
        b'm' => {
            let n = RoleSequence(f[0] as u32);
            Some(FrameView::Armed { n, word: (n, f[1]) })
        }
        b'y' => Some(FrameView::Ready { n: RoleSequence(f[0] as u32) }),
        b'o' => {
            let owner = InstanceId(f[1] as u8);
            Some(FrameView::Record { n: RoleSequence(f[0] as u32), owner, word: None })
        }
        b'w' => Some(FrameView::Word { word: (RoleSequence(f[0] as u32), f[1]) }),
        b's' => Some(FrameView::Seat { word: Some((RoleSequence(f[0] as u32), f[1])) }),
        b'n' => Some(FrameView::Noted { word: (RoleSequence(f[0] as u32), f[1]) }),
        _ => Some(FrameView::Other),
    }
}

fn test_said_under(bytes: &[u8]) -> Option<RoleSequence> {
    matches!(bytes[0], b'p' | b'n').then(|| RoleSequence(fields(bytes)[0] as u32))
}

/// An answer to EXPOSE or SYNCED.
pub(super) fn noted(n: u32, sequence: u64) -> Vec<u8> {
    encode(b'n', &[n.into(), sequence])
}

pub(super) fn ping(n: u32, stamp: u64, echo: Option<u64>) -> Vec<u8> {
    encode(b'p', &[n.into(), stamp, echo.unwrap_or(u64::MAX)])
}

pub(super) fn ack(hardened: Lsn, n: u32, r: u32) -> Vec<u8> {
    encode(b'a', &[hardened.raw(), n.into(), r.into()])
}

pub(super) fn armed(n: u32) -> Vec<u8> {
    encode(b'm', &[n.into(), 1])
}

/// EXPOSE or SYNCED.
pub(super) fn word(n: u32, sequence: u64) -> Vec<u8> {
    encode(b'w', &[n.into(), sequence])
}

/// WITNESS_SET.
pub(super) fn seat(n: u32, sequence: u64) -> Vec<u8> {
    encode(b's', &[n.into(), sequence])
}

/// A double-write file with one page.
pub(super) fn double_write(id: u32, image: &[u8]) -> Vec<u8> {
    let mut file = b"DBMW".to_vec();
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&1_u64.to_le_bytes());
    file.extend_from_slice(&id.to_le_bytes());
    file.resize(512, 0);
    file.extend_from_slice(image);
    let sum = crc32fast::hash(&file[8..]);
    file[4..8].copy_from_slice(&sum.to_le_bytes());
    file
}

/// FAILOVER_READY.
pub(super) fn ready(n: u32) -> Vec<u8> {
    encode(b'y', &[n.into()])
}

/// A role record on the wire.
pub(super) fn role_record(n: u32, owner: InstanceId) -> Vec<u8> {
    encode(b'o', &[n.into(), owner.0.into()])
}

fn test_record(slot: &[u8]) -> Option<RecordView> {
    if slot.first() != Some(&b'r') {
        return None;
    }
    let f = fields(slot);
    Some(RecordView {
        serial: f[0],
        n: RoleSequence(f[1] as u32),
        owner: InstanceId(f[2] as u8),
        synchronised: Some((f[3] == 1, RoleSequence(f[1] as u32), f[4])),
        over: f[15] == 1,
        suspended: f[6] == 1,
        suspended_at: (RoleSequence(f[7] as u32), f[8]),
        safety: if f[9] == 1 { Safety::Off } else { Safety::Full },
        safety_at: (RoleSequence(1), 1),
        seat: if f[10] == 1 { SeatView::Off } else { SeatView::Set(W) },
        seat_at: (RoleSequence(1), 1),
        timeout_s: f[13] as u16,
        timeout_at: (RoleSequence(1), f[14]),
        claim: (f[5] != 0).then_some(RoleSequence(f[5] as u32)),
        off_fork: f[11] == 1,
        undo: f[12] == 1,
    })
}

/// A session record with all that tests vary.
#[derive(Clone, Copy)]
pub(super) struct Written {
    pub(super) serial: u64,
    pub(super) n: u32,
    pub(super) owner: InstanceId,
    pub(super) sync: bool,
    pub(super) seq: u64,
    pub(super) claim: u32,
    /// The flag, with its (n, sequence).
    pub(super) suspended: (bool, u32, u64),
    pub(super) safety_off: bool,
    pub(super) witness: bool,
    pub(super) off_fork: bool,
    pub(super) undo: bool,
    /// TIMEOUT, with its sequence.
    pub(super) timeout: (u16, u64),
    /// The session has ended.
    pub(super) over: bool,
}

impl Written {
    pub(super) fn bytes(self) -> Vec<u8> {
        let (suspended, n, sequence) = self.suspended;
        encode(
            b'r',
            &[
                self.serial,
                self.n.into(),
                self.owner.0.into(),
                self.sync.into(),
                self.seq,
                self.claim.into(),
                suspended.into(),
                n.into(),
                sequence,
                self.safety_off.into(),
                (!self.witness).into(),
                self.off_fork.into(),
                self.undo.into(),
                self.timeout.0.into(),
                self.timeout.1,
                self.over.into(),
            ],
        )
    }
}

/// A record of a session with a witness that was never suspended.
pub(super) fn written(serial: u64, n: u32, owner: InstanceId) -> Written {
    Written {
        serial,
        n,
        owner,
        sync: false,
        seq: 0,
        claim: 0,
        suspended: (false, 1, 1),
        safety_off: false,
        witness: true,
        off_fork: false,
        undo: false,
        timeout: (10, 1),
        over: false,
    }
}

/// A session record: serial, n, owner, synchronised, its sequence, claim (0: none).
pub(super) fn record(serial: u64, n: u32, owner: InstanceId, sync: bool, seq: u64, claim: u32) -> Vec<u8> {
    Written { sync, seq, claim, ..written(serial, n, owner) }.bytes()
}

/// An oracle with short hands for facts.
pub(super) struct Bench {
    pub(super) oracle: Oracle,
    pub(super) now: Time,
}

pub(super) const SESSION: SessionId = crate::world::SESSION;

impl Bench {
    pub(super) fn new(witness: bool) -> Self {
        let mut setup = OracleSetup::new(&scenario(witness));
        setup.decoders = decoders();
        let mut bench = Bench { oracle: Oracle::new(setup), now: Time(0) };
        for i in 0..if witness { 3 } else { 2 } {
            bench.fact(Fact::Started { instance: InstanceId(i), incarnation: 1 });
        }
        if witness {
            bench.deliver(A, W, &seat(0, 0));
        }
        bench
    }
    /// As `new`, with the record of a synchronised session durable everywhere.
    pub(super) fn synchronised() -> Self {
        let mut bench = Bench::new(true);
        for i in [A, B, W] {
            bench.record(i, record(1, 1, A, true, 1, 0));
        }
        bench
    }
    pub(super) fn fact(&mut self, fact: Fact<'_>) {
        self.oracle.fact(self.now, &fact);
    }
    pub(super) fn at(&mut self, seconds: u64) {
        self.now = Time::secs(seconds);
    }
    pub(super) fn durable(&mut self, instance: InstanceId, kind: FileKind, offset: u64, bytes: &[u8]) {
        let file = FileId { session: SESSION, kind };
        self.fact(Fact::Durable { instance, file, offset, bytes });
    }
    pub(super) fn log(&mut self, instance: InstanceId, made: &Made) {
        self.durable(instance, FileKind::Log, made.offset, &made.bytes);
    }
    /// A record is written, whose word about "synchronised" its owner has told.
    pub(super) fn record(&mut self, instance: InstanceId, bytes: Vec<u8>) {
        if let Some(view) = test_record(&bytes)
            && let Some((_, n, sequence)) = view.synchronised
        {
            self.deliver(view.owner, instance, &word(n.0, sequence));
        }
        self.untold(instance, bytes);
    }
    /// A record is written.
    pub(super) fn untold(&mut self, instance: InstanceId, bytes: Vec<u8>) {
        let file = FileId { session: SESSION, kind: FileKind::Record };
        let op = dbm_core::io::DiskOp::Write {
            file,
            offset: 0,
            bytes: bytes.clone().into(),
            durability: dbm_core::io::Durability::Through,
        };
        self.fact(Fact::DiskIssued { instance, op: &op });
        self.durable(instance, FileKind::Record, 0, &bytes);
    }
    /// A statement reaches an instance and, if `end` says so, ends.
    pub(super) fn statement(&mut self, instance: InstanceId, option: &str, end: Option<Result<(), u32>>) {
        let sql = format!("ALTER DATABASE sales SET {option}");
        let on = ["A", "B", "W"][usize::from(instance.0)].to_owned();
        let action = crate::fault::Action::Sql { on, text: sql.clone(), error: Some(-1) };
        self.fact(Fact::Acted { step: 0, action: &action });
        let input = dbm_core::io::Input::Statement { request: 0, sql: sql.clone() };
        self.fact(Fact::Handling { instance, input: &input });
        if let Some(end) = end {
            self.ends(instance, option, end);
        }
    }
    /// A boot record that keeps log from `start` on is about to be written.
    pub(super) fn boot(&mut self, instance: InstanceId, start: Lsn) {
        let mut bytes = vec![0; 512];
        bytes[..4].copy_from_slice(b"DBMT");
        bytes[32..40].copy_from_slice(&start.raw().to_le_bytes());
        let sum = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        let op = dbm_core::io::DiskOp::Write {
            file: FileId { session: SESSION, kind: FileKind::Boot },
            offset: 0,
            bytes: bytes.into(),
            durability: dbm_core::io::Durability::Through,
        };
        self.fact(Fact::DiskIssued { instance, op: &op });
    }
    /// A statement that was given ends.
    pub(super) fn ends(&mut self, instance: InstanceId, option: &str, end: Result<(), u32>) {
        let sql = format!("ALTER DATABASE sales SET {option}");
        let result = end.map_err(|number| dbm_core::io::SqlError { number, severity: 16, position: None });
        self.fact(Fact::StatementDone { instance, sql: &sql, result: &result });
    }
    pub(super) fn send(&mut self, from: InstanceId, to: InstanceId, bytes: &[u8]) {
        self.fact(Fact::Sent { from, to, link: LinkId(0), bytes });
    }
    pub(super) fn deliver(&mut self, from: InstanceId, to: InstanceId, bytes: &[u8]) {
        self.fact(Fact::Delivered { from, to, link: LinkId(1), bytes });
    }
    /// A ping of `of` under n, sent, delivered, and echoed back by `by`.
    pub(super) fn lease(&mut self, of: InstanceId, by: InstanceId, n: u32) {
        let stamp = self.now.0;
        self.send(of, by, &ping(n, stamp, None));
        self.deliver(of, by, &ping(n, stamp, None));
        self.deliver(by, of, &ping(n, 0, Some(stamp)));
    }
    pub(super) fn called(&mut self, client: ClientId, to: InstanceId, request: Request) {
        if let Request::Begin(txn) | Request::Batch(txn, _) = &request {
            self.fact(Fact::TxnBegun { client, txn: *txn });
        }
        self.fact(Fact::Called { client, to, request: &request });
    }
    pub(super) fn replied(&mut self, client: ClientId, instance: InstanceId, reply: Reply) {
        self.fact(Fact::Replied { instance, client, reply: &reply });
    }
    pub(super) fn answered(&mut self, client: ClientId, from: InstanceId, reply: Reply) {
        self.replied(client, from, reply.clone());
        self.fact(Fact::Answered { client, from, reply: &reply });
    }
    /// A whole transaction in one call.
    pub(super) fn batch(&mut self, client: ClientId, to: InstanceId, txn: u64, ops: Vec<dbm_core::io::Op>) {
        self.called(client, to, Request::Batch(TxnId(txn), ops));
    }
    pub(super) fn committed(
        &mut self,
        client: ClientId,
        from: InstanceId,
        at: Lsn,
        branch: Branch,
        values: Vec<Value>,
    ) {
        let txn = self.oracle.history.current(client).map_or(TxnId(0), |txn| txn.id);
        self.answered(client, from, Reply::Committed { n: branch.n, txn, at, branch, values });
    }
    pub(super) fn rules(&self) -> Vec<(&'static str, &'static str)> {
        self.oracle.report.rules()
    }
    /// The rules broken, after the end of the run.
    pub(super) fn finish(self) -> Vec<(&'static str, &'static str)> {
        let end = self.now;
        self.oracle.finish(end).violations.iter().map(|v| (v.invariant, v.rule)).collect()
    }
}
