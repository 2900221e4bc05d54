//! What the world shows to its observers: oracle, triggers, expectations, trace, digest. Facts only: frames, durable
//! bytes, replies, and the world's own doings; notices are passed on as claims of an instance about itself.

use dbm_core::io::{DiskOp, FileId, Input, LinkDownCause, LinkId, Notice, Reply, Request, SqlError};
use dbm_core::types::{InstanceId, SessionId, TxnId};

/// A client of the simulated world, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u16);

/// One fact, at a moment of true time that is passed beside it.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A process starts.
    Started {
        /// Which.
        instance: InstanceId,
        /// Its incarnation, from 1.
        incarnation: u32,
    },
    /// A process died (crash or power loss).
    Died {
        /// Which.
        instance: InstanceId,
    },
    /// A process was paused or goes on.
    Paused {
        /// Which.
        instance: InstanceId,
        /// Paused now?
        paused: bool,
    },
    /// An instance is about to handle an input (frames and disk results also appear as their own facts).
    Handling {
        /// Which.
        instance: InstanceId,
        /// The input.
        input: &'a Input,
    },
    /// An instance handed a frame to the network.
    Sent {
        /// Sender.
        from: InstanceId,
        /// The peer at the other end.
        to: InstanceId,
        /// The sender's link.
        link: LinkId,
        /// The frame.
        bytes: &'a [u8],
    },
    /// A frame reaches its receiver.
    Delivered {
        /// Sender.
        from: InstanceId,
        /// Receiver.
        to: InstanceId,
        /// The receiver's link.
        link: LinkId,
        /// The frame.
        bytes: &'a [u8],
    },
    /// A link is usable at one end.
    LinkUp {
        /// This end.
        at: InstanceId,
        /// The other end.
        peer: InstanceId,
        /// This end's name of the link.
        link: LinkId,
    },
    /// A link ended at one end, or a dial failed, and the instance is told.
    LinkDown {
        /// This end.
        at: InstanceId,
        /// The other end.
        peer: InstanceId,
        /// This end's name of the link.
        link: LinkId,
        /// Why.
        cause: LinkDownCause,
    },
    /// A disk operation was issued.
    DiskIssued {
        /// Whose.
        instance: InstanceId,
        /// What.
        op: &'a DiskOp,
    },
    /// Bytes have become durable on a disk: by a completed write-through or flush, or because a crash kept them.
    Durable {
        /// Whose disk.
        instance: InstanceId,
        /// The file.
        file: FileId,
        /// Where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// A file as it is when the run starts.
    Preloaded {
        /// Whose disk.
        instance: InstanceId,
        /// The file.
        file: FileId,
        /// Its content.
        bytes: &'a [u8],
    },
    /// An instance answers a client (the answer may still be lost on the way).
    Replied {
        /// Who answers.
        instance: InstanceId,
        /// To whom.
        client: ClientId,
        /// The answer.
        reply: &'a Reply,
    },
    /// A client sends a call.
    Called {
        /// Who.
        client: ClientId,
        /// To which instance.
        to: InstanceId,
        /// The call.
        request: &'a Request,
    },
    /// A client begins a transaction (its first call goes out now).
    TxnBegun {
        /// Who.
        client: ClientId,
        /// The transaction.
        txn: TxnId,
    },
    /// A client has an answer.
    Answered {
        /// Who.
        client: ClientId,
        /// From which instance.
        from: InstanceId,
        /// The answer.
        reply: &'a Reply,
    },
    /// A client lost its connection or gave up waiting; an open call has an unknown outcome.
    ClientLost {
        /// Who.
        client: ClientId,
    },
    /// An instance tells something about itself.
    Told {
        /// Who.
        instance: InstanceId,
        /// What.
        notice: &'a Notice,
    },
    /// What it tells is a line of its error log, dated with its host's wall clock.
    Logged {
        /// Who.
        instance: InstanceId,
        /// The date, in milliseconds since 1970.
        wall_ms: i64,
        /// What.
        notice: &'a Notice,
    },
    /// What the views show on an instance has changed.
    Status {
        /// Where.
        instance: InstanceId,
        /// The session.
        session: SessionId,
        /// The new status.
        status: &'a dbm_core::view::Status,
    },
    /// A control statement has ended.
    StatementDone {
        /// Where.
        instance: InstanceId,
        /// The text.
        sql: &'a str,
        /// How.
        result: &'a Result<(), SqlError>,
    },
    /// A fault or repair of the plan happens now.
    Acted {
        /// Index in the plan's timeline.
        step: usize,
        /// What.
        action: &'a crate::fault::Action,
    },
    /// An instance's code panicked; the process counts as crashed.
    Panicked {
        /// Which.
        instance: InstanceId,
        /// The message.
        message: &'a str,
    },
}
