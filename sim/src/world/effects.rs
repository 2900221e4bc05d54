//! What processes want done.

use super::World;
use super::event::client_number;
use crate::client::ClientEffect;
use crate::felt::Feeling;
use crate::network::{Cx, Kind, Payload};
use crate::node::NodeIndex;
use crate::observe::{ClientId, Fact};
use crate::trigger::Moment;
use crate::watch::Finding;
use crate::world::NodeEvent;
use dbm_core::io::{ClientEvent, ConnId, DiskOp, Effect, LinkDownCause, LinkId, Notice, SqlError};
use dbm_core::types::InstanceId;

impl World {
    /// The network, with what it needs besides.
    pub(super) fn network(&mut self) -> (&mut crate::network::Network, Cx<'_>) {
        (&mut self.network, Cx { agenda: &mut self.agenda, felt: &mut self.felt })
    }

    /// Performs one effect of an instance.
    pub(super) fn effect(&mut self, node: NodeIndex, effect: Effect) {
        let instance = InstanceId(node.0 as u8);
        match effect {
            Effect::Connect { link, to } => {
                assert!(
                    usize::from(to.0) < self.roster.instances(),
                    "a dial to an instance that is not there"
                );
                let (network, mut cx) = self.network();
                network.dial(&mut cx, node, link.0, NodeIndex(u16::from(to.0)), Kind::Link);
            }
            Effect::Close { link } => {
                // Its end may have come already, and wait to be handled by a process that stood still.
                let peer = self.network.peer(node, link.0).map(|peer| InstanceId(peer.0 as u8));
                if let Some(peer) = peer.or_else(|| self.processes[node.index()].waits_for_end(link)) {
                    self.fact(&Fact::LinkDown { at: instance, peer, link, cause: LinkDownCause::Closed });
                }
                self.close(node, link.0);
            }
            Effect::Send { link, bytes } => {
                let (network, mut cx) = self.network();
                let Some(peer) = network.send(&mut cx, node, link.0, Payload::Frame(bytes.clone())) else {
                    return;
                };
                let to = InstanceId(peer.0 as u8);
                if let Some(stale) = &mut self.stale {
                    stale.sent(instance, to, &bytes);
                }
                self.fact(&Fact::Sent { from: instance, to, link, bytes: &bytes });
                self.moment(&Moment::Sent { from: instance.0, to: to.0, bytes: &bytes });
            }
            Effect::Disk { ticket, op } => {
                self.fact(&Fact::DiskIssued { instance, op: &op });
                let file = match &op {
                    DiskOp::ReadAll { file } | DiskOp::Write { file, .. } | DiskOp::Flush { file } => *file,
                };
                self.disks[node.index()].issue(&mut self.agenda, &mut self.felt, ticket, op);
                self.moment(&Moment::DiskIssued(instance.0, file.kind));
            }
            Effect::Reply { conn, reply } => {
                let Some(client) = self.network.peer(node, conn.0).and_then(|peer| self.roster.client(peer))
                else {
                    return;
                };
                self.fact(&Fact::Replied { instance, client, reply: &reply });
                let (network, mut cx) = self.network();
                network.send(&mut cx, node, conn.0, Payload::Answered(reply));
            }
            Effect::Disconnect { conn } => self.close(node, conn.0),
            Effect::StatementDone { request, result } => self.statement_done(instance, request, result),
            Effect::Notice(notice) => self.notice(instance, notice),
        }
    }

    /// Closes a link or client connection of an instance; what waits from it for a paused process is dropped.
    fn close(&mut self, node: NodeIndex, number: u64) {
        let (network, mut cx) = self.network();
        network.close(&mut cx, node, number);
        self.processes[node.index()].waiting.retain(|event| match event {
            NodeEvent::LinkUp { link: LinkId(n), .. }
            | NodeEvent::LinkDown { link: LinkId(n), .. }
            | NodeEvent::Frame { link: LinkId(n), .. }
            | NodeEvent::Client { conn: ConnId(n), .. } => *n != number,
            NodeEvent::Timeout
            | NodeEvent::Disk(_)
            | NodeEvent::Statement { .. }
            | NodeEvent::Connected(_)
            | NodeEvent::Refused(_)
            | NodeEvent::Answer(..)
            | NodeEvent::Lost(_) => true,
        });
    }

    fn notice(&mut self, instance: InstanceId, notice: Notice) {
        self.fact(&Fact::Told { instance, notice: &notice });
        if matches!(notice, Notice::Event { .. } | Notice::Message { .. }) {
            self.log_line(instance, &notice);
        }
        match &notice {
            Notice::State { to: (role, state), n, .. } => {
                if let Some(stale) = &mut self.stale {
                    stale.reached(instance, n.0);
                }
                self.moment(&Moment::Shows(instance.0, *role, *state));
            }
            Notice::Status { session, status } => {
                self.fact(&Fact::Status { instance, session: *session, status });
            }
            Notice::Serving { open: true, .. } => self.moment(&Moment::Serving(instance.0)),
            Notice::Step { name, .. } => self.moment(&Moment::Reached(instance.0, name)),
            Notice::Event { number, .. } => self.moment(&Moment::Event(instance.0, *number)),
            Notice::Serving { open: false, .. } | Notice::Removed { .. } | Notice::Message { .. } => {}
        }
    }

    /// A line of the error log has the date of its host's wall clock, right or wrong.
    fn log_line(&mut self, instance: InstanceId, notice: &Notice) {
        let clock = &self.hosts[self.roster.host_of(usize::from(instance.0))].clock;
        if clock.stepped() {
            self.felt.count(Feeling::ClockStep);
        }
        if clock.frozen() {
            self.felt.count(Feeling::ClockFreeze);
        }
        let wall_ms = self.wall_ms(instance);
        self.fact(&Fact::Logged { instance, wall_ms, notice });
    }

    fn statement_done(&mut self, instance: InstanceId, request: u64, result: Result<(), SqlError>) {
        let found = self.statements.iter().position(|s| (s.on, s.request) == (instance, request));
        let Some(index) = found else { return };
        let step = self.statements.remove(index).step;
        let plan = self.plan.clone();
        let Some((sql, expected)) = super::acts::statement(&plan, step) else { return };
        self.fact(&Fact::StatementDone { instance, sql, result: &result });
        let met = match (expected, result) {
            (Some(-1), _) | (None, Ok(())) => true,
            (Some(number), Err(error)) => i64::from(number) == i64::from(error.number),
            (Some(_), Ok(())) | (None, Err(_)) => false,
        };
        if !met {
            let text = format!("step {step}: `{sql}` ended with {result:?}, expected error {expected:?}");
            self.findings.push(Finding { at: self.now(), rule: "statement", text });
        }
    }

    /// Performs one effect of a client.
    pub(super) fn client_effect(&mut self, node: NodeIndex, client: ClientId, effect: ClientEffect) {
        match effect {
            ClientEffect::Connect(conn, to) => {
                assert!(
                    usize::from(to.0) < self.roster.instances(),
                    "a dial to an instance that is not there"
                );
                let (network, mut cx) = self.network();
                network.dial(&mut cx, node, client_number(conn), NodeIndex(u16::from(to.0)), Kind::Client);
            }
            ClientEffect::Send(conn, ClientEvent::Closed) | ClientEffect::Close(conn) => {
                let (network, mut cx) = self.network();
                network.close(&mut cx, node, client_number(conn));
            }
            ClientEffect::Send(conn, event) => {
                let number = client_number(conn);
                let Some(peer) = self.network.peer(node, number) else { return };
                if let ClientEvent::Request(request) = &event {
                    self.fact(&Fact::Called { client, to: InstanceId(peer.0 as u8), request });
                }
                let (network, mut cx) = self.network();
                network.send(&mut cx, node, number, Payload::Asked(event));
            }
            ClientEffect::Begun(txn) => self.fact(&Fact::TxnBegun { client, txn }),
            ClientEffect::Unknown => self.fact(&Fact::ClientLost { client }),
        }
    }
}
