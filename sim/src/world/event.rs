//! What a process has to handle, and what the watchers see of it.

use super::World;
use crate::client::{ClientConn, ClientInput};
use crate::digest;
use crate::disk::Completion;
use crate::network::{Arrival, Kind, Payload, What};
use crate::node::NodeIndex;
use crate::observe::{ClientId, Fact};
use crate::trigger::Moment;
use dbm_core::io::{ClientEvent, ConnId, DiskResult, Input, LinkDownCause, LinkId, Reply};
use dbm_core::types::InstanceId;
use std::sync::Arc;

/// Something for a process.
#[derive(Debug)]
pub enum NodeEvent {
    /// Its deadline has come.
    Timeout,
    /// A link stands.
    LinkUp {
        /// The link.
        link: LinkId,
        /// The other end.
        peer: InstanceId,
        /// This end has dialled.
        dialled: bool,
    },
    /// A link is gone.
    LinkDown {
        /// The link.
        link: LinkId,
        /// The other end.
        peer: InstanceId,
        /// Why.
        cause: LinkDownCause,
    },
    /// A frame.
    Frame {
        /// The link.
        link: LinkId,
        /// Its sender.
        from: InstanceId,
        /// The frame.
        bytes: Arc<[u8]>,
    },
    /// A disk operation has ended.
    Disk(Box<Completion>),
    /// A client asks an instance for something.
    Client {
        /// The connection.
        conn: ConnId,
        /// What.
        event: ClientEvent,
    },
    /// A statement of the plan.
    Statement {
        /// Its number.
        request: u64,
        /// Its text.
        sql: String,
    },
    /// A client's connection stands.
    Connected(ClientConn),
    /// A client's dial was refused by the host.
    Refused(ClientConn),
    /// A client has an answer.
    Answer(ClientConn, InstanceId, Box<Reply>),
    /// A client's connection is gone.
    Lost(ClientConn),
}

/// The digest's code of a process's start.
pub(super) const BOOT: u8 = 101;
/// The digest's code of a process's death.
pub(super) const DEATH: u8 = 102;
/// The digest's code of a step of the plan.
pub(super) const ACT: u8 = 103;

impl NodeEvent {
    /// What the network brings.
    pub(super) fn arrived(arrival: Arrival) -> Option<(NodeIndex, NodeEvent)> {
        let Arrival { node, peer, local, kind, what } = arrival;
        let instance = InstanceId(peer.0 as u8);
        let (link, conn) = (LinkId(local), ClientConn(local));
        let event = match (kind, what) {
            (Kind::Link, What::Up { dialled }) => NodeEvent::LinkUp { link, peer: instance, dialled },
            (Kind::Link, What::Down(cause)) => NodeEvent::LinkDown { link, peer: instance, cause },
            (Kind::Link, What::Payload(Payload::Frame(bytes))) => {
                NodeEvent::Frame { link, from: instance, bytes }
            }
            (Kind::Client, What::Up { dialled: true }) => NodeEvent::Connected(conn),
            // An instance learns of a client by its first call.
            (Kind::Client, What::Up { dialled: false }) => return None,
            (Kind::Client, What::Payload(Payload::Asked(event))) => {
                NodeEvent::Client { conn: ConnId(local), event }
            }
            (Kind::Client, What::Payload(Payload::Answered(reply))) => {
                NodeEvent::Answer(conn, instance, Box::new(reply))
            }
            // The acceptor's numbers are odd, a client's own are the even ones; see `client_number`.
            (Kind::Client, What::Down(_)) if local % 2 == 1 => {
                NodeEvent::Client { conn: ConnId(local), event: ClientEvent::Closed }
            }
            (Kind::Client, What::Down(LinkDownCause::Refused)) => NodeEvent::Refused(conn),
            (Kind::Client, What::Down(LinkDownCause::Closed | LinkDownCause::Reset)) => NodeEvent::Lost(conn),
            (Kind::Link, What::Payload(Payload::Asked(_) | Payload::Answered(_)))
            | (Kind::Client, What::Payload(Payload::Frame(_))) => {
                unreachable!("frames travel on links, calls and answers on client connections")
            }
        };
        Some((node, event))
    }

    /// Its kind in the digest.
    pub(super) fn code(&self) -> u8 {
        match self {
            NodeEvent::Timeout => 1,
            NodeEvent::LinkUp { .. } => 2,
            NodeEvent::LinkDown { .. } => 3,
            NodeEvent::Frame { .. } => 4,
            NodeEvent::Disk(_) => 5,
            NodeEvent::Client { .. } => 6,
            NodeEvent::Statement { .. } => 7,
            NodeEvent::Connected(_) => 8,
            NodeEvent::Refused(_) => 9,
            NodeEvent::Answer(..) => 10,
            NodeEvent::Lost(_) => 11,
        }
    }

    /// A checksum of its payload.
    pub(super) fn checksum(&self) -> u64 {
        match self {
            NodeEvent::Timeout => 0,
            NodeEvent::LinkUp { link, .. } => link.0,
            NodeEvent::LinkDown { link, cause, .. } => link.0 << 2 | *cause as u64,
            NodeEvent::Frame { link, bytes, .. } => digest::bytes(bytes) ^ link.0.rotate_left(17),
            NodeEvent::Disk(done) => match &done.result {
                DiskResult::Read(bytes) => digest::bytes(bytes) ^ done.ticket.0,
                DiskResult::Done => done.ticket.0,
                DiskResult::Failed => !done.ticket.0,
            },
            NodeEvent::Client { conn, event } => digest::client_event(event) ^ conn.0.rotate_left(17),
            NodeEvent::Statement { request, sql } => digest::bytes(sql.as_bytes()) ^ request,
            NodeEvent::Connected(conn) | NodeEvent::Refused(conn) | NodeEvent::Lost(conn) => conn.0,
            NodeEvent::Answer(conn, _, reply) => digest::reply(reply) ^ conn.0.rotate_left(17),
        }
    }
}

impl World {
    /// Shows what an instance is about to handle; steps of the plan that wait for it happen before it does.
    pub(super) fn show_event(&mut self, at: InstanceId, event: NodeEvent) -> Input {
        match event {
            NodeEvent::Timeout => Input::Timeout,
            NodeEvent::LinkUp { link, peer, dialled } => {
                self.fact(&Fact::LinkUp { at, peer, link });
                Input::LinkUp { link, to: dialled.then_some(peer) }
            }
            NodeEvent::LinkDown { link, peer, cause } => {
                self.fact(&Fact::LinkDown { at, peer, link, cause });
                Input::LinkDown { link, cause }
            }
            NodeEvent::Frame { link, from, bytes } => {
                self.fact(&Fact::Delivered { from, to: at, link, bytes: &bytes });
                self.moment(&Moment::Delivered { from: from.0, to: at.0, bytes: &bytes });
                Input::Frame { link, bytes }
            }
            NodeEvent::Disk(done) => {
                let Completion { ticket, file, result } = *done;
                match result {
                    DiskResult::Done => self.moment(&Moment::DiskDone(at.0, file.kind)),
                    DiskResult::Read(_) | DiskResult::Failed => {}
                }
                Input::Disk { ticket, result }
            }
            NodeEvent::Client { conn, event } => Input::Client { conn, event },
            NodeEvent::Statement { request, sql } => Input::Statement { request, sql },
            NodeEvent::Connected(_) | NodeEvent::Refused(_) | NodeEvent::Answer(..) | NodeEvent::Lost(_) => {
                unreachable!("a client's event on an instance's node")
            }
        }
    }

    /// Shows what a client is about to handle.
    pub(super) fn show_client_event(&mut self, client: ClientId, event: NodeEvent) -> ClientInput {
        match event {
            NodeEvent::Timeout => ClientInput::Timeout,
            NodeEvent::Connected(conn) => ClientInput::Connected(conn_of(conn)),
            NodeEvent::Refused(conn) => ClientInput::Refused(conn_of(conn)),
            NodeEvent::Lost(conn) => ClientInput::Lost(conn_of(conn)),
            NodeEvent::Answer(conn, from, reply) => {
                self.fact(&Fact::Answered { client, from, reply: &reply });
                ClientInput::Reply(conn_of(conn), *reply)
            }
            NodeEvent::LinkUp { .. }
            | NodeEvent::LinkDown { .. }
            | NodeEvent::Frame { .. }
            | NodeEvent::Disk(_)
            | NodeEvent::Client { .. }
            | NodeEvent::Statement { .. } => unreachable!("an instance's event on a client's node"),
        }
    }
}

/// The network's number of a client's connection: even, as of everything dialled.
pub(super) fn client_number(conn: ClientConn) -> u64 {
    conn.0 << 1
}

fn conn_of(number: ClientConn) -> ClientConn {
    ClientConn(number.0 >> 1)
}
