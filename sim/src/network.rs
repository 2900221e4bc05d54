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
//! given up; the other end learns of it from its next frame, which the sender's host answers with a reset. A host
//! without power acts as a cut of everything towards it. A cut against a pipe's acknowledgements only is not felt by
//! that pipe. Dials and resets have no copy: a cut takes them for good.
//!
//! *End.* A close travels behind earlier frames. A dying process resets its connections, behind earlier frames; a
//! dying host says nothing. What arrives at an end that is gone is answered with a reset by its host.

pub mod path;

use crate::agenda::{Agenda, Event};
use crate::felt::{Feeling, Felt};
use crate::frames;
use crate::node::{NodeIndex, Roster};
use crate::scenario::NetworkProfile;
use dbm_core::io::{ClientEvent, LinkDownCause, Reply};
use path::{Endpoint, Paths};
use std::collections::VecDeque;
use std::sync::Arc;

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

#[derive(Debug)]
enum Item {
    Dial,
    Accepted,
    Payload(Payload),
    Close,
    /// A refusal or reset; also answers a dial.
    Down(LinkDownCause),
}

impl Item {
    /// Does the sender keep a copy and send it again?
    fn kept(&self) -> bool {
        match self {
            Item::Accepted | Item::Payload(_) | Item::Close => true,
            Item::Dial | Item::Down(_) => false,
        }
    }
}

#[derive(Debug)]
struct Flight {
    at: u64,
    lost: bool,
    item: Item,
}

#[derive(Debug, Default)]
struct Pipe {
    /// Arrivals entered in the agenda under another generation are void.
    generation: u32,
    queue: VecDeque<Flight>,
    last_at: u64,
    armed: bool,
    held: bool,
    hole: Option<u32>,
    /// Frames injected so far: the numbers of later ones are shifted by it.
    shift: u32,
    /// The newest frame sent, if injections need a pattern.
    newest: Option<Arc<[u8]>>,
}

impl Pipe {
    /// Nothing that is on its way arrives.
    fn clear(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.queue.clear();
        self.last_at = 0;
        self.armed = false;
        self.held = false;
        self.hole = None;
    }
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
        self.end(conn, way, LinkDownCause::Reset)
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
        *self.paths.overlay_mut(from, to) = path::Overlay::default();
        let ends: Vec<Endpoint> = self.attached.iter().enumerate().map(|(i, _)| self.end_of(i)).collect();
        self.resume(cx, |a, b| ends[a.index()] == from && ends[b.index()] == to);
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

    // What follows moves items through one pipe.

    fn nodes(&self, conn: u32, way: u8) -> (NodeIndex, NodeIndex) {
        let ends = &self.conns[conn as usize].ends;
        (ends[usize::from(way)].node, ends[usize::from(1 - way)].node)
    }

    /// Does everything on this direction vanish? Counts what the node feels of it.
    fn closed(&self, cx: &mut Cx<'_>, from: NodeIndex, to: NodeIndex) -> bool {
        let cut = self.paths.overlay(from, to).cut;
        if cut {
            cx.felt.count(Feeling::Cut);
        } else if !self.host_up[to.index()] {
            cx.felt.count(Feeling::HostDown);
        }
        cut || !self.host_up[to.index()]
    }

    fn push(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8, item: Item, size: usize) {
        let (from, to) = self.nodes(conn, way);
        let at = self.paths.arrival(cx.now(), from, to, size, cx.felt);
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        let at = at.max(pipe.last_at);
        pipe.last_at = at;
        let lost = self.paths.overlay(from, to).cut;
        let kept = item.kept();
        pipe.queue.push_back(Flight { at, lost, item });
        if lost {
            cx.felt.count(Feeling::Cut);
            if kept {
                self.open_hole(cx, conn, way);
            } else {
                self.abandon(conn, way);
                self.settle(conn);
            }
        } else {
            self.arm(cx, conn, way);
        }
    }

    /// Sends a reset or refusal, of which no copy is kept, behind what is on its way.
    fn shoot(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8, cause: LinkDownCause) {
        self.forget_copies(conn, way);
        self.push(cx, conn, way, Item::Down(cause), 0);
    }

    /// What was lost is not sent again, nor what waits behind it.
    fn forget_copies(&mut self, conn: u32, way: u8) {
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        if pipe.hole.take().is_some() {
            let arriving = pipe.queue.iter().take_while(|flight| !flight.lost).count();
            pipe.queue.truncate(arriving);
        }
    }

    /// Nothing that is on its way arrives.
    fn abandon(&mut self, conn: u32, way: u8) {
        let slot = &mut self.conns[conn as usize];
        slot.pipes[usize::from(way)].clear();
        if way == 0 && slot.ends[1].state == EndState::Awaited {
            slot.ends[1].state = EndState::Gone;
        }
    }

    fn arm(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8) {
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        let generation = pipe.generation;
        match pipe.queue.front() {
            Some(front) if !pipe.armed && !pipe.held && !front.lost => {
                pipe.armed = true;
                cx.agenda.enter(front.at, Event::Arrive { conn, generation, way });
            }
            Some(_) | None => {}
        }
    }

    fn lose_front(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8) {
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        let Some(front) = pipe.queue.front_mut() else { return };
        if front.item.kept() {
            front.lost = true;
            self.open_hole(cx, conn, way);
        } else {
            self.abandon(conn, way);
            self.settle(conn);
        }
    }

    fn open_hole(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8) {
        let (from, to) = self.nodes(conn, way);
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        if pipe.hole.is_none() {
            self.holes += 1;
            pipe.hole = Some(self.holes);
            let at = cx.now() + self.paths.patience(from, to);
            cx.agenda.enter(at, Event::GiveUp { conn, hole: self.holes, way });
        }
    }

    /// What was lost or held in the pipes chosen is on its way again, unless something still stops it.
    fn resume(&mut self, cx: &mut Cx<'_>, chosen: impl Fn(NodeIndex, NodeIndex) -> bool) {
        for conn in 0..self.conns.len() as u32 {
            for way in [0, 1] {
                let (from, to) = self.nodes(conn, way);
                let overlay = self.paths.overlay(from, to);
                let pipe = &self.conns[conn as usize].pipes[usize::from(way)];
                let waits = pipe.hole.is_some() || pipe.held;
                if !waits || !chosen(from, to) || overlay.cut || !self.host_up[to.index()] {
                    continue;
                }
                let delay = if pipe.hole.is_some() {
                    self.paths.retransmission(from, to)
                } else {
                    self.paths.release(from, to)
                };
                let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
                pipe.hole = None;
                pipe.held = overlay.stalled && pipe.held;
                let mut earliest = 0;
                for (i, flight) in pipe.queue.iter_mut().enumerate() {
                    if flight.lost || i == 0 {
                        earliest = earliest.max(cx.agenda.now().0 + delay);
                    }
                    flight.lost = false;
                    flight.at = flight.at.max(earliest);
                    earliest = flight.at;
                }
                pipe.last_at = pipe.last_at.max(earliest);
                self.arm(cx, conn, way);
            }
        }
    }

    /// An item has reached the receiver's host.
    fn land(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8, item: Item) -> Option<Arrival> {
        let end = 1 - way;
        match item {
            Item::Dial => self.land_dial(cx, conn),
            Item::Accepted => match self.conns[conn as usize].ends[0].state {
                EndState::Dialling => {
                    self.conns[conn as usize].ends[0].state = EndState::Open;
                    Some(self.arrival(conn, end, What::Up { dialled: true }))
                }
                EndState::Awaited | EndState::Open | EndState::Gone => self.answer_reset(cx, conn, end),
            },
            Item::Payload(payload) => match self.conns[conn as usize].ends[usize::from(end)].state {
                EndState::Open => {
                    self.conns[conn as usize].spoken = true;
                    Some(self.arrival(conn, end, What::Payload(payload)))
                }
                EndState::Awaited | EndState::Dialling | EndState::Gone => self.answer_reset(cx, conn, end),
            },
            Item::Close => self.end(conn, end, LinkDownCause::Closed),
            Item::Down(cause) => self.end(conn, end, cause),
        }
    }

    fn land_dial(&mut self, cx: &mut Cx<'_>, conn: u32) -> Option<Arrival> {
        let (from, to) = self.nodes(conn, 0);
        let cause = if self.paths.overlay(from, to).refused {
            cx.felt.count(Feeling::Refuse);
            LinkDownCause::Reset
        } else if !self.listening[to.index()] {
            LinkDownCause::Refused
        } else {
            let local = &mut self.accepted[to.index()];
            let end = &mut self.conns[conn as usize].ends[1];
            end.local = *local;
            end.state = EndState::Open;
            *local += 2;
            self.attach(conn, 1);
            self.push(cx, conn, 1, Item::Accepted, 0);
            let known = self.conns[conn as usize].spoken;
            return known.then(|| self.arrival(conn, 1, What::Up { dialled: false }));
        };
        self.conns[conn as usize].ends[1].state = EndState::Gone;
        if !self.settle(conn) {
            self.shoot(cx, conn, 1, cause);
        }
        None
    }

    /// The host of an end that is gone answers with a reset, unless its last words are still on their way.
    fn answer_reset(&mut self, cx: &mut Cx<'_>, conn: u32, end: u8) -> Option<Arrival> {
        if self.conns[conn as usize].pipes[usize::from(end)].queue.is_empty() && !self.settle(conn) {
            self.shoot(cx, conn, end, LinkDownCause::Reset);
        }
        None
    }

    /// One end learns that the connection is gone.
    fn end(&mut self, conn: u32, end: u8, cause: LinkDownCause) -> Option<Arrival> {
        let state = self.conns[conn as usize].ends[usize::from(end)].state;
        let told = match state {
            EndState::Open | EndState::Dialling => {
                let arrival = self.arrival(conn, end, What::Down(cause));
                let known = end == 0 || self.conns[conn as usize].spoken;
                self.detach(conn, end);
                known.then_some(arrival)
            }
            EndState::Awaited | EndState::Gone => {
                self.conns[conn as usize].ends[usize::from(end)].state = EndState::Gone;
                None
            }
        };
        // Who sent this has no end any more, unless a middle box sent it to both; then its own copy comes as well.
        self.settle(conn);
        told
    }

    fn arrival(&self, conn: u32, end: u8, what: What) -> Arrival {
        let slot = &self.conns[conn as usize];
        let own = slot.ends[usize::from(end)];
        let peer = slot.ends[usize::from(1 - end)].node;
        Arrival { node: own.node, peer, local: own.local, kind: slot.kind, what }
    }

    fn find(&self, node: NodeIndex, local: u64) -> Option<Attached> {
        self.attached[node.index()].iter().copied().find(|a| a.local == local)
    }

    fn attach(&mut self, conn: u32, end: u8) {
        let End { node, local, .. } = self.conns[conn as usize].ends[usize::from(end)];
        self.attached[node.index()].push(Attached { local, conn, end });
    }

    fn detach(&mut self, conn: u32, end: u8) {
        let own = &mut self.conns[conn as usize].ends[usize::from(end)];
        own.state = EndState::Gone;
        self.attached[own.node.index()].retain(|a| (a.conn, a.end) != (conn, end));
    }

    /// Frees the connection when both ends are gone; says whether it did.
    fn settle(&mut self, conn: u32) -> bool {
        let slot = &mut self.conns[conn as usize];
        if slot.ends.iter().any(|end| end.state != EndState::Gone) {
            return false;
        }
        if slot.used {
            slot.used = false;
            for pipe in &mut slot.pipes {
                pipe.clear();
                pipe.shift = 0;
                pipe.newest = None;
            }
            self.free.push(conn);
        }
        true
    }
}

#[cfg(test)]
mod tests;
