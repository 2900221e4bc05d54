//! The boundary: everything that enters an instance and everything it wants done.
//!
//! *Single-input contract*: one `handle`, then all its effects performed in order, then the next input.
//! *Durability is an input, never an ordering rule*: what depends on a write leaves after that write's completion.
//! *Frames are bytes*, so that the codec is always under test.
//! *Links, not datagrams*: ordered and loss-free until they break.

use crate::types::{InstanceId, Key, Lsn, MirroringState, Role, RoleSequence, SessionId, TxnId, Value};
use std::sync::Arc;

/// One transport connection, as its instance knows it. An outbound link carries the even number its dialler chose in
/// [`Effect::Connect`]; an inbound one an odd number chosen by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl std::hash::Hash for LinkId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        crate::canon::name(state, crate::canon::Kind::Link, 0, self.0);
    }
}

/// One client connection, numbered by the host, unique within the life of an instance's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Ties a disk completion to the operation that asked for it; unique within the life of a process.
/// The high byte names the owner inside the instance, see [`Area`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The part of a session that waits for a disk operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Area {
    /// The session record.
    Record = 0,
    /// The copy: log, pages, boot record.
    Copy = 1,
    /// Reading the files at start.
    Start = 2,
}

impl Ticket {
    /// A ticket of `session`, for `area`, with that area's own running number (below 2^40).
    pub fn new(session: SessionId, area: Area, serial: u64) -> Self {
        assert!(serial < 1 << 40, "ticket serial beyond 40 bits");
        Ticket((area as u64) << 56 | u64::from(session.0) << 40 | serial)
    }
    /// The session it belongs to.
    pub fn session(self) -> SessionId {
        SessionId((self.0 >> 40) as u16)
    }
    /// The part of the session.
    pub fn area(self) -> Area {
        match (self.0 >> 56) as u8 {
            0 => Area::Record,
            1 => Area::Copy,
            _ => Area::Start,
        }
    }
    /// The area's own number.
    pub fn serial(self) -> u64 {
        self.0 & ((1 << 40) - 1)
    }
}

/// Which of a session's files on an instance's disk. [S-6]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FileKind {
    /// The session record, two slots of [`RECORD_SLOT_BYTES`]; partners and witness.
    Record = 0,
    /// Where recovery begins, two slots of one sector each; partners.
    Boot = 1,
    /// The log: a ring of virtual log files; partners.
    Log = 2,
    /// The data pages in place; partners.
    Data = 3,
    /// Images of the pages a checkpoint is about to write in place, against torn pages; partners.
    DoubleWrite = 4,
}

/// Size of one slot of the session record in bytes.
pub const RECORD_SLOT_BYTES: usize = 8192;

/// What the disk writes as a whole: a torn write is a subset of its sectors.
pub const SECTOR_BYTES: usize = 512;

/// A file of one session on one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The session.
    pub session: SessionId,
    /// Which of its files.
    pub kind: FileKind,
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Done when the disk has it in its cache; a crash may lose or tear it until a later [`DiskOp::Flush`] of the file
    /// completes.
    Cached,
    /// Done when it is durable (write-through). A crash before the completion may lose or tear it.
    Through,
}

/// An operation on the instance's disk. Operations of one file complete in the order of issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// The whole content of the file; missing files read as empty.
    ReadAll {
        /// The file.
        file: FileId,
    },
    /// Writes at a byte offset; the file grows as needed, gaps read as zero.
    Write {
        /// The file.
        file: FileId,
        /// Byte offset.
        offset: u64,
        /// What to write.
        bytes: Arc<[u8]>,
        /// When it counts as done.
        durability: Durability,
    },
    /// Done when every earlier write of the file is durable.
    Flush {
        /// The file.
        file: FileId,
    },
}

/// The answer to a [`DiskOp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskResult {
    /// Content, for a read.
    Read(Vec<u8>),
    /// Done, for a write or a flush.
    Done,
    /// The device failed; nothing may be assumed about the operation.
    Failed,
}

/// Why a link ended, or never came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkDownCause {
    /// The peer's own *host* answered that nothing listens: a definite sign that the process is gone. [OQ-3.4]
    Refused,
    /// The peer closed it.
    Closed,
    /// A reset from somewhere on the way, or by a dying process: ambiguous. [OQ-3.4]
    Reset,
}

/// Everything that can happen to an instance.
#[derive(Clone, Debug)]
pub enum Input {
    /// The process has started; always the first input.
    Start,
    /// A time asked for by `next_timeout` has come; spurious ones are harmless.
    Timeout,
    /// A link is usable. For an inbound one the peer is unknown until its HELLO.
    LinkUp {
        /// The link.
        link: LinkId,
        /// The peer, when this instance dialled.
        to: Option<InstanceId>,
    },
    /// A link is gone, or a dial failed; nothing more comes from it.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why.
        cause: LinkDownCause,
    },
    /// One frame, whole.
    Frame {
        /// The link.
        link: LinkId,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// A disk operation has ended.
    Disk {
        /// Its ticket.
        ticket: Ticket,
        /// Its result.
        result: DiskResult,
    },
    /// Something on a client connection.
    Client {
        /// The connection.
        conn: ConnId,
        /// What.
        event: ClientEvent,
    },
    /// A control statement by the owner, as T-SQL text.
    Statement {
        /// The host's number for the answer.
        request: u64,
        /// The text.
        sql: String,
    },
}

/// Something on a client connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// A client asks to use the database; answered by [`Reply::Connected`] or [`Reply::Refused`].
    Open {
        /// The database, as the session that mirrors it.
        database: SessionId,
    },
    /// A call; each is answered once, unless the connection breaks.
    Request(Request),
    /// The client is gone; its open transaction is rolled back.
    Closed,
}

/// A call of a client. One transaction at a time on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begins a transaction.
    Begin(TxnId),
    /// One operation of the open transaction.
    Execute(Op),
    /// Commits the open transaction.
    Commit,
    /// Rolls the open transaction back.
    Rollback,
    /// A whole transaction in one call: begin, operations in order, commit.
    Batch(TxnId, Vec<Op>),
}

/// One operation on one row. Each takes a lock held to the end of the transaction: shared for reads, exclusive
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reads the row.
    Read(Key),
    /// Replaces the row.
    Write(Key, Value),
    /// Adds to the number in the row.
    Add(Key, i64),
    /// Appends an element to the list in the row.
    Append(Key, u32),
}

impl Op {
    /// The row it works on.
    pub fn key(&self) -> Key {
        match self {
            Op::Read(key) | Op::Write(key, _) | Op::Add(key, _) | Op::Append(key, _) => *key,
        }
    }
}

/// An answer to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The database is open to this connection. [CL-12]
    Connected {
        /// Role sequence under which it is served.
        n: RoleSequence,
        /// The current other partner, which the driver caches.
        partner: InstanceId,
    },
    /// The database is not open here: 952, 954, 955, 956, … [CL-26]
    Refused {
        /// Error number.
        error: u32,
    },
    /// The transaction has begun.
    Begun {
        /// Role sequence of the serving principal.
        n: RoleSequence,
    },
    /// An operation is done; what the row held before it (for reads: what it holds).
    Done {
        /// Role sequence of the serving principal.
        n: RoleSequence,
        /// The row before the operation.
        value: Value,
    },
    /// The transaction is committed. For a batch, what each operation's row held before it.
    Committed {
        /// Role sequence of the serving principal.
        n: RoleSequence,
        /// The transaction.
        txn: TxnId,
        /// Where: the commit record, or for a read-only transaction the end of the log it has seen (exclusive mark).
        at: Lsn,
        /// The branch of that position.
        branch: crate::types::Branch,
        /// Rows as found, one per operation of a batch.
        values: Vec<Value>,
    },
    /// The transaction is rolled back, at the client's wish.
    RolledBack {
        /// Role sequence of the serving principal.
        n: RoleSequence,
    },
    /// The call failed and the transaction, if any, is rolled back: 1205 (deadlock victim), 9002 (log full), …
    Failed {
        /// Role sequence of the serving principal.
        n: RoleSequence,
        /// Error number.
        error: u32,
    },
}

/// An error of a control statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SqlError {
    /// Number as in `docs/spec/control.md` section 7; 102 for a syntax error.
    pub number: u32,
    /// Severity as there.
    pub severity: u8,
    /// Byte offset in the statement, for syntax errors.
    pub position: Option<u32>,
}

/// Something the instance wants done. Effects are performed in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Dial a peer; answered by `LinkUp`, `LinkDown`, or silence.
    Connect {
        /// An even number, new in this process.
        link: LinkId,
        /// The peer.
        to: InstanceId,
    },
    /// Close a link (or give up a dial); no `LinkDown` comes back.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Send one frame.
    Send {
        /// The link.
        link: LinkId,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
    /// Start a disk operation.
    Disk {
        /// Comes back with the result.
        ticket: Ticket,
        /// What.
        op: DiskOp,
    },
    /// Answer a client.
    Reply {
        /// The connection.
        conn: ConnId,
        /// The answer.
        reply: Reply,
    },
    /// Break a client connection.
    Disconnect {
        /// The connection.
        conn: ConnId,
    },
    /// A control statement has ended.
    StatementDone {
        /// The host's number.
        request: u64,
        /// Success, or the error.
        result: Result<(), SqlError>,
    },
    /// Something worth showing. Facts for people; the oracle judges notices, it does not believe them.
    Notice(Notice),
}

/// The effects of one input, in order.
pub type Effects = Vec<Effect>;

/// What an instance tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `mirroring_state` or role changed on this partner. [TR-*]
    State {
        /// The session.
        session: SessionId,
        /// Role and state before; `None` at start of the process.
        from: Option<(Role, MirroringState)>,
        /// Role and state now.
        to: (Role, MirroringState),
        /// Role sequence now.
        n: RoleSequence,
    },
    /// Mirroring was removed: this partner has no role and no state any more. [TR-23]
    Removed {
        /// The session.
        session: SessionId,
        /// Role and state before.
        from: Option<(Role, MirroringState)>,
    },
    /// What the views show has changed. [CV-1]
    Status {
        /// The session.
        session: SessionId,
        /// As shown now.
        status: crate::view::Status,
    },
    /// A numbered state-change event. [EV-0 … EV-12]
    Event {
        /// The session.
        session: SessionId,
        /// The event's number.
        number: u8,
        /// The number of the event before it.
        previous: u8,
    },
    /// A numbered message for log or trace: 1440, 1479, 1480, …
    Message {
        /// The session.
        session: SessionId,
        /// Error number.
        number: u32,
    },
    /// The database became open to clients here, or ceased to be.
    Serving {
        /// The session.
        session: SessionId,
        /// Open now?
        open: bool,
    },
    /// A named step of the protocol, for triggers and traces: "expose.sent", "claim.durable", …
    Step {
        /// The session.
        session: SessionId,
        /// Its name.
        name: &'static str,
    },
}
