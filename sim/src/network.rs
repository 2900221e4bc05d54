//! Connections between nodes: links of instances and connections of clients, on one network.
//!
//! A connection is two *pipes*, one in each direction. A pipe delivers in order, whatever the latencies drawn.
//!
//! *Dial.* One latency to the peer's host. A listening process gets the connection at once and the dialler one
//! latency later; a host without the process refuses (definite); a filter resets (ambiguous); a host without power or
//! a cut in either direction answers nothing, and nothing is tried again.
//!
//! *Cut.* What is sent into a cut, or would arrive in one, is lost. TCP keeps a copy: the pipe has a *hole*, and what
//! follows waits behind it. When the cut is lifted the lost frame and its followers arrive, in order, after a short
//! random delay. If the sender's patience (5 to 30 s from the loss) ends first, its own end is reset and the pipe is
//! given up; the other end learns of it from its next frame, which the sender's host answers with a reset, or, when it
//! says nothing, from its keep-alive probes, one every 5 s once nothing stops them. A host
//! without power acts as a cut of everything towards it. A cut against a pipe's acknowledgements only is not felt by
//! that pipe. Dials and resets have no copy: a cut takes them for good.
//!
//! *End.* A close travels behind earlier frames. A dying process resets its connections, behind earlier frames; a
//! dying host says nothing. What arrives at an end that is gone is answered with a reset by its host.

pub mod path;
mod pipe;

use crate::agenda::{Agenda, Event};
use crate::felt::{Feeling, Felt};
use crate::frames;
use crate::node::{NodeIndex, Roster};
use crate::scenario::NetworkProfile;
use dbm_core::io::{ClientEvent, LinkDownCause, Reply};
use path::{Endpoint, Paths};
use pipe::{Item, Pipe};
use std::sync::Arc;

/// Between two keep-alive probes of a connection whose other end is gone.
const KEEP_ALIVE_US: u64 = 5_000_000;

/// What kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Between instances.
    Link,
    /// From a client to an instance.
    Client,
}

/// What a node puts into a pipe.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Bytes, between instances.
    Frame(Arc<[u8]>),
    /// A client's call.
    Asked(ClientEvent),
    /// An instance's answer.
    Answered(Reply),
}

/// Something that reaches a process.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The receiver.
    pub node: NodeIndex,
    /// The other end.
    pub peer: NodeIndex,
    /// The receiver's name of the connection.
    pub local: u64,
    /// The kind of connection.
    pub kind: Kind,
    /// What.
    pub what: What,
}

/// What reaches a process.
#[derive(Clone, Debug)]
pub enum What {
    /// The connection stands, because this node dialled or because the peer did.
    Up {
        /// This node dialled.
        dialled: bool,
    },
    /// The connection is gone.
    Down(LinkDownCause),
    /// Something the peer sent.
    Payload(Payload),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndState {
    /// The dial has not arrived yet.
    Awaited,
    Dialling,
    Open,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct End {
    node: NodeIndex,
    local: u64,
    state: EndState,
}

/// Ends and pipes by number: end 0 dialled; pipe 0 leads from end 0 to end 1.
#[derive(Debug)]
struct Conn {
    used: bool,
    /// The acceptor has been told of the connection: of a client's, only by the first call on it.
    spoken: bool,
    /// Number of the keep-alive probes by an end whose peer is gone; 0: none.
    probe: u32,
    kind: Kind,
    ends: [End; 2],
    pipes: [Pipe; 2],
}

#[derive(Clone, Copy, Debug)]
struct Attached {
    local: u64,
    conn: u32,
    end: u8,
}

/// Every connection and every path.
#[derive(Debug)]
pub struct Network {
    paths: Paths,
    conns: Vec<Conn>,
    free: Vec<u32>,
    attached: Vec<Vec<Attached>>,
    host_up: Vec<bool>,
    listening: Vec<bool>,
    /// The next odd number for an accepted connection, per node; never used twice in a run.
    accepted: Vec<u64>,
    holes: u32,
    injecting: bool,
}

/// The world's parts that everything on the network needs.
pub struct Cx<'a> {
    /// The agenda.
    pub agenda: &'a mut Agenda,
    /// What the nodes feel.
    pub felt: &'a mut Felt,
}

impl Cx<'_> {
    fn now(&self) -> u64 {
        self.agenda.now().0
    }
}

impl Network {
    /// A quiet network; with `injecting` it remembers the newest frame of each link.
    pub fn new(seed: u64, profile: NetworkProfile, roster: &Roster, injecting: bool) -> Self {
        let nodes = roster.nodes();
        Network {
            paths: Paths::new(seed, profile, roster),
            conns: Vec::new(),
            free: Vec::new(),
            attached: vec![Vec::new(); nodes],
            host_up: vec![true; nodes],
            listening: vec![false; nodes],
            accepted: vec![1; nodes],
            holes: 0,
            injecting,
        }
    }

    /// Dials; `local` is the dialler's own number for the connection.
    pub fn dial(&mut self, cx: &mut Cx<'_>, from: NodeIndex, local: u64, to: NodeIndex, kind: Kind) {
        let ends = [
            End { node: from, local, state: EndState::Dialling },
            End { node: to, local: 0, state: EndState::Awaited },
        ];
        let conn = match self.free.pop() {
            Some(conn) => {
                let slot = &mut self.conns[conn as usize];
                slot.used = true;
                slot.spoken = kind == Kind::Link;
                slot.kind = kind;
                slot.ends = ends;
                conn
            }
            None => {
                self.conns.push(Conn {
                    used: true,
                    spoken: kind == Kind::Link,
                    probe: 0,
                    kind,
                    ends,
                    pipes: Default::default(),
                });
                (self.conns.len() - 1) as u32
            }
        };
        self.attach(conn, 0);
        self.push(cx, conn, 0, Item::Dial, 0);
    }

    /// Sends; answers the peer, or `None` when the connection is no longer there and what was sent goes nowhere.
    pub fn send(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeIndex,
        local: u64,
        mut payload: Payload,
    ) -> Option<NodeIndex> {
        let Attached { conn, end, .. } = self.find(from, local)?;
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(end)];
        let mut size = 0;
        if let Payload::Frame(bytes) = &mut payload {
            if self.injecting {
                if pipe.shift > 0 {
                    let number = frames::frame_channel_sequence(bytes).wrapping_add(pipe.shift);
                    *bytes = frames::restamp(bytes, bytes, number);
                }
                pipe.newest = Some(bytes.clone());
            }
            size = bytes.len();
        }
        self.push(cx, conn, end, Item::Payload(payload), size);
        Some(self.conns[conn as usize].ends[1 - usize::from(end)].node)
    }

    /// The other end of a connection.
    pub fn peer(&self, node: NodeIndex, local: u64) -> Option<NodeIndex> {
        let Attached { conn, end, .. } = self.find(node, local)?;
        Some(self.conns[conn as usize].ends[1 - usize::from(end)].node)
    }

    /// Closes, or gives up a dial.
    pub fn close(&mut self, cx: &mut Cx<'_>, node: NodeIndex, local: u64) {
        let Some(Attached { conn, end, .. }) = self.find(node, local) else { return };
        self.detach(conn, end);
        if !self.settle(conn) {
            self.push(cx, conn, end, Item::Close, 0);
        }
    }

    /// Delivers `stale` on the newest open link from one instance to another, restamped to follow the newest frame
    /// there; `false` when there is no such link or nothing has been sent on it.
    pub fn inject(&mut self, cx: &mut Cx<'_>, from: NodeIndex, to: NodeIndex, stale: &[u8]) -> bool {
        let found = self.attached[from.index()].iter().rev().copied().find(|a| {
            let conn = &self.conns[a.conn as usize];
            let end = usize::from(a.end);
            conn.ends[1 - end].node == to && conn.ends.iter().all(|end| end.state == EndState::Open)
        });
        let Some(Attached { conn, end, .. }) = found else { return false };
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(end)];
        let Some(like) = &pipe.newest else { return false };
        let number = frames::frame_channel_sequence(like).wrapping_add(1);
        let bytes = frames::restamp(stale, like, number);
        pipe.shift += 1;
        pipe.newest = Some(bytes.clone());
        let size = bytes.len();
        self.push(cx, conn, end, Item::Payload(Payload::Frame(bytes)), size);
        true
    }

    /// The first item of a pipe is due.
    pub fn arrive(&mut self, cx: &mut Cx<'_>, conn: u32, generation: u32, way: u8) -> Option<Arrival> {
        let (from, to) = self.nodes(conn, way);
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        if pipe.generation != generation {
            return None;
        }
        pipe.armed = false;
        let front = pipe.queue.front()?;
        if front.lost {
            return None;
        }
        if front.at > cx.now() {
            self.arm(cx, conn, way);
            return None;
        }
        let dial = matches!(front.item, Item::Dial);
        if self.closed(cx, from, to) || dial && self.paths.overlay(to, from).cut {
            if dial && self.paths.overlay(to, from).cut {
                cx.felt.count(Feeling::Cut);
            }
            self.lose_front(cx, conn, way);
            return None;
        }
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        if self.paths.overlay(from, to).stalled {
            cx.felt.count(Feeling::Stall);
            pipe.held = true;
            return None;
        }
        let item = pipe.queue.pop_front()?.item;
        self.arm(cx, conn, way);
        self.land(cx, conn, way, item)
    }

    /// The patience with a hole is at its end.
    pub fn give_up(&mut self, cx: &mut Cx<'_>, conn: u32, hole: u32, way: u8) -> Option<Arrival> {
        let slot = &mut self.conns[conn as usize];
        if slot.pipes[usize::from(way)].hole != Some(hole) {
            return None;
        }
        cx.felt.count(Feeling::GaveUp);
        self.abandon(conn, way);
        self.holes += 1;
        self.conns[conn as usize].probe = self.holes;
        let (probe, at) = (self.holes, cx.now() + KEEP_ALIVE_US);
        let told = self.end(conn, way, LinkDownCause::Reset);
        cx.agenda.enter(at, Event::Probe { conn, probe, way });
        told
    }

    /// The end that is left asks whether the other is still there: its host answers with a reset.
    pub fn probe(&mut self, cx: &mut Cx<'_>, conn: u32, probe: u32, way: u8) {
        let slot = &self.conns[conn as usize];
        if slot.probe != probe || slot.ends[usize::from(1 - way)].state != EndState::Open {
            return;
        }
        let (gone, left) = self.nodes(conn, way);
        let stopped = self.paths.overlay(gone, left).cut
            || self.paths.overlay(left, gone).cut
            || !self.host_up[gone.index()]
            || !self.host_up[left.index()];
        if stopped {
            cx.agenda.enter(cx.now() + KEEP_ALIVE_US, Event::Probe { conn, probe, way });
        } else {
            self.shoot(cx, conn, way, LinkDownCause::Reset);
        }
    }

    /// The node's process listens from now on.
    pub fn process_up(&mut self, node: NodeIndex) {
        self.listening[node.index()] = true;
    }

    /// The node's process is gone: its host resets its connections, or, without power, says nothing.
    pub fn process_down(&mut self, cx: &mut Cx<'_>, node: NodeIndex) {
        self.listening[node.index()] = false;
        for Attached { conn, end, .. } in std::mem::take(&mut self.attached[node.index()]) {
            self.conns[conn as usize].ends[usize::from(end)].state = EndState::Gone;
            if self.settle(conn) {
                continue;
            }
            if self.host_up[node.index()] {
                self.shoot(cx, conn, end, LinkDownCause::Reset);
            } else {
                self.forget_copies(conn, end);
            }
        }
    }

    /// The node's host has power or has not.
    pub fn set_host(&mut self, cx: &mut Cx<'_>, node: NodeIndex, up: bool) {
        self.host_up[node.index()] = up;
        if up {
            self.resume(cx, |_, to| to == node);
        }
    }

    /// Sets the faults of one direction.
    pub fn overlay_mut(&mut self, from: Endpoint, to: Endpoint) -> &mut path::Overlay {
        self.paths.overlay_mut(from, to)
    }

    /// Lifts every fault of one direction.
    pub fn heal(&mut self, cx: &mut Cx<'_>, from: Endpoint, to: Endpoint) {
        let narrow = self.paths.narrow(from, to, 0);
        *self.paths.overlay_mut(from, to) = path::Overlay::default();
        let ends = self.ends();
        self.resume(cx, |a, b| ends[a.index()] == from && ends[b.index()] == to);
        if narrow {
            self.hurry(cx, |a, b| ends[a.index()] == from && ends[b.index()] == to);
        }
    }

    /// Narrows one direction; what waits for a narrow place that was there before does not wait for this one.
    pub fn throttle(&mut self, cx: &mut Cx<'_>, from: Endpoint, to: Endpoint, bytes_s: u64) {
        if self.paths.narrow(from, to, bytes_s) {
            let ends = self.ends();
            self.hurry(cx, |a, b| ends[a.index()] == from && ends[b.index()] == to);
        }
    }

    fn ends(&self) -> Vec<Endpoint> {
        (0..self.attached.len()).map(|i| self.end_of(i)).collect()
    }

    fn end_of(&self, node: usize) -> Endpoint {
        self.paths.endpoint(NodeIndex(node as u16))
    }

    /// Resets every open connection between two ends, once.
    pub fn reset(&mut self, cx: &mut Cx<'_>, a: Endpoint, b: Endpoint) {
        for conn in 0..self.conns.len() as u32 {
            let slot = &self.conns[conn as usize];
            let [x, y] = slot.ends.map(|end| self.paths.endpoint(end.node));
            let between = (x, y) == (a, b) || (x, y) == (b, a);
            if !between || slot.ends[1].state != EndState::Open && slot.ends[0].state != EndState::Open {
                continue;
            }
            cx.felt.count(Feeling::Reset);
            for way in [0, 1] {
                let receiver = self.conns[conn as usize].ends[usize::from(1 - way)].state;
                self.abandon(conn, way);
                if receiver != EndState::Gone {
                    self.shoot(cx, conn, way, LinkDownCause::Reset);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
