//! How items move through the pipes of a connection, and how its ends come and go.

use super::{Arrival, Attached, Cx, End, EndState, Network, Payload, What};
use crate::agenda::Event;
use crate::felt::Feeling;
use crate::node::NodeIndex;
use dbm_core::io::LinkDownCause;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum Item {
    Dial,
    Accepted,
    Payload(Payload),
    Close,
    /// A refusal or reset; also answers a dial.
    Down(LinkDownCause),
}

impl Item {
    /// Does the sender keep a copy and send it again?
    pub(super) fn kept(&self) -> bool {
        match self {
            Item::Accepted | Item::Payload(_) | Item::Close => true,
            Item::Dial | Item::Down(_) => false,
        }
    }
}

impl Item {
    /// Bytes on the wire, as far as they count.
    fn size(&self) -> usize {
        match self {
            Item::Payload(Payload::Frame(bytes)) => bytes.len(),
            Item::Payload(Payload::Asked(_) | Payload::Answered(_)) => 0,
            Item::Dial | Item::Accepted | Item::Close | Item::Down(_) => 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) at: u64,
    pub(super) lost: bool,
    pub(super) item: Item,
}

#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// Arrivals entered in the agenda under another generation are void.
    pub(super) generation: u32,
    pub(super) queue: VecDeque<Flight>,
    pub(super) last_at: u64,
    pub(super) armed: bool,
    pub(super) held: bool,
    pub(super) hole: Option<u32>,
    /// Frames injected so far: the numbers of later ones are shifted by it.
    pub(super) shift: u32,
    /// The newest frame sent, if injections need a pattern.
    pub(super) newest: Option<Arc<[u8]>>,
}

impl Pipe {
    /// Nothing that is on its way arrives.
    pub(super) fn clear(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.queue.clear();
        self.last_at = 0;
        self.armed = false;
        self.held = false;
        self.hole = None;
    }
}

impl Network {
    pub(super) fn nodes(&self, conn: u32, way: u8) -> (NodeIndex, NodeIndex) {
        let ends = &self.conns[conn as usize].ends;
        (ends[usize::from(way)].node, ends[usize::from(1 - way)].node)
    }

    /// Does everything on this direction vanish? Counts what the node feels of it.
    pub(super) fn closed(&self, cx: &mut Cx<'_>, from: NodeIndex, to: NodeIndex) -> bool {
        let cut = self.paths.overlay(from, to).cut;
        if cut {
            cx.felt.count(Feeling::Cut);
        } else if !self.host_up[to.index()] {
            cx.felt.count(Feeling::HostDown);
        }
        cut || !self.host_up[to.index()]
    }

    pub(super) fn push(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8, item: Item, size: usize) {
        let (from, to) = self.nodes(conn, way);
        let mut at = self.paths.arrival(cx.now(), from, to, size, cx.felt);
        let slow_start = self.paths.overlay(from, to).slow_start;
        if slow_start > 0 && matches!(item, Item::Dial) {
            cx.felt.count(Feeling::SlowStart);
            at += slow_start;
        }
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
    pub(super) fn shoot(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8, cause: LinkDownCause) {
        self.forget_copies(conn, way);
        self.push(cx, conn, way, Item::Down(cause), 0);
    }

    /// What was lost is not sent again, nor what waits behind it.
    pub(super) fn forget_copies(&mut self, conn: u32, way: u8) {
        let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
        if pipe.hole.take().is_some() {
            let arriving = pipe.queue.iter().take_while(|flight| !flight.lost).count();
            pipe.queue.truncate(arriving);
        }
    }

    /// Nothing that is on its way arrives.
    pub(super) fn abandon(&mut self, conn: u32, way: u8) {
        let slot = &mut self.conns[conn as usize];
        slot.pipes[usize::from(way)].clear();
        if way == 0 && slot.ends[1].state == EndState::Awaited {
            slot.ends[1].state = EndState::Gone;
        }
    }

    pub(super) fn arm(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8) {
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

    pub(super) fn lose_front(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8) {
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

    pub(super) fn open_hole(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8) {
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
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, chosen: impl Fn(NodeIndex, NodeIndex) -> bool) {
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

    /// What waits for a narrow place to be passed goes on at full speed: it is narrow no more.
    pub(super) fn hurry(&mut self, cx: &mut Cx<'_>, chosen: impl Fn(NodeIndex, NodeIndex) -> bool) {
        let now = cx.now();
        for conn in 0..self.conns.len() as u32 {
            for way in [0, 1] {
                let (from, to) = self.nodes(conn, way);
                let pipe = &mut self.conns[conn as usize].pipes[usize::from(way)];
                if pipe.queue.is_empty() || !chosen(from, to) {
                    continue;
                }
                let delay = self.paths.release(from, to);
                let mut earliest = 0;
                for flight in &mut pipe.queue {
                    let soon = self.paths.departure(now, from, to, flight.item.size()) + delay;
                    flight.at = flight.at.min(soon).max(earliest);
                    earliest = flight.at;
                }
                pipe.last_at = earliest;
                // The arrival that is entered already would come too late.
                pipe.generation = pipe.generation.wrapping_add(1);
                pipe.armed = false;
                self.arm(cx, conn, way);
            }
        }
    }

    /// An item has reached the receiver's host.
    pub(super) fn land(&mut self, cx: &mut Cx<'_>, conn: u32, way: u8, item: Item) -> Option<Arrival> {
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
                    let payload = match payload {
                        Payload::Frame(bytes) => {
                            let (from, to) = self.nodes(conn, way);
                            Payload::Frame(self.paths.received(from, to, bytes, cx.felt))
                        }
                        Payload::Asked(_) | Payload::Answered(_) => payload,
                    };
                    Some(self.arrival(conn, end, What::Payload(payload)))
                }
                EndState::Awaited | EndState::Dialling | EndState::Gone => self.answer_reset(cx, conn, end),
            },
            Item::Close => self.end(conn, end, LinkDownCause::Closed),
            Item::Down(cause) => self.end(conn, end, cause),
        }
    }

    pub(super) fn land_dial(&mut self, cx: &mut Cx<'_>, conn: u32) -> Option<Arrival> {
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
    pub(super) fn answer_reset(&mut self, cx: &mut Cx<'_>, conn: u32, end: u8) -> Option<Arrival> {
        if self.conns[conn as usize].pipes[usize::from(end)].queue.is_empty() && !self.settle(conn) {
            self.shoot(cx, conn, end, LinkDownCause::Reset);
        }
        None
    }

    /// One end learns that the connection is gone.
    pub(super) fn end(&mut self, conn: u32, end: u8, cause: LinkDownCause) -> Option<Arrival> {
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

    pub(super) fn arrival(&self, conn: u32, end: u8, what: What) -> Arrival {
        let slot = &self.conns[conn as usize];
        let own = slot.ends[usize::from(end)];
        let peer = slot.ends[usize::from(1 - end)].node;
        Arrival { node: own.node, peer, local: own.local, kind: slot.kind, what }
    }

    pub(super) fn find(&self, node: NodeIndex, local: u64) -> Option<Attached> {
        self.attached[node.index()].iter().copied().find(|a| a.local == local)
    }

    pub(super) fn attach(&mut self, conn: u32, end: u8) {
        let End { node, local, .. } = self.conns[conn as usize].ends[usize::from(end)];
        self.attached[node.index()].push(Attached { local, conn, end });
    }

    pub(super) fn detach(&mut self, conn: u32, end: u8) {
        let own = &mut self.conns[conn as usize].ends[usize::from(end)];
        own.state = EndState::Gone;
        self.attached[own.node.index()].retain(|a| (a.conn, a.end) != (conn, end));
    }

    /// Frees the connection when both ends are gone; says whether it did.
    pub(super) fn settle(&mut self, conn: u32) -> bool {
        let slot = &mut self.conns[conn as usize];
        if slot.ends.iter().any(|end| end.state != EndState::Gone) {
            return false;
        }
        if slot.used {
            slot.used = false;
            slot.probe = 0;
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
