//! A client: looks for the principal, runs transactions, and knows what it does not know.

use dbm_core::io::{ClientEvent, Reply};
use dbm_core::types::{InstanceId, TxnId};

/// A connection of one client, numbered by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientConn(pub u64);

/// What can happen to a client. Its clock is true time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientInput {
    /// The client starts.
    Start,
    /// A time asked for has come; spurious ones are harmless.
    Timeout,
    /// The transport connection stands.
    Connected(ClientConn),
    /// Nobody listens there: the host refused at once.
    Refused(ClientConn),
    /// An answer.
    Reply(ClientConn, Reply),
    /// The connection broke.
    Lost(ClientConn),
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEffect {
    /// Open a transport connection; answered by `Connected`, `Refused`, or silence.
    Connect(ClientConn, InstanceId),
    /// Send something on a standing connection.
    Send(ClientConn, ClientEvent),
    /// Close a connection or give up a dial.
    Close(ClientConn),
    /// For the observers: a transaction begins now, its first call follows.
    Begun(TxnId),
    /// For the observers: the open call's outcome stays unknown (connection lost, or waited too long).
    Unknown,
}
