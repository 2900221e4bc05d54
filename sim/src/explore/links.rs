//! Links between the instances: ordered, free of loss until they break, and silent while their pair is cut.
//!
//! What lies in a link is delivered by the search, one frame at a time. A few things are delivered at once instead, in
//! a fixed order, and so are no choice ([`Item::eager`]): pings, the greeting of a link, and the end of a link that its
//! other end closed.

use super::canon::{Canon, Digest};
use dbm_core::canon;
use dbm_core::io::{LinkDownCause, LinkId};
use dbm_core::message::{ByeReason, Message, kind_name};
use dbm_core::types::{Instant, SessionId};
use dbm_core::wire::{self, Header};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Number of instances, and of pairs of them.
pub const INSTANCES: usize = 3;

/// Their names, in the order of their numbers.
pub const NAMES: [&str; INSTANCES] = ["A", "B", "W"];

/// The pairs, in the order of their numbers.
pub const PAIRS: [(u8, u8); INSTANCES] = [(0, 1), (0, 2), (1, 2)];

/// The number of a pair.
pub fn pair(one: u8, other: u8) -> u8 {
    one.min(other) + one.max(other) - 1
}

/// One frame in a link.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The bytes, for the receiver.
    pub bytes: Arc<[u8]>,
    kind: u8,
    eager: bool,
    /// Unless it carries times.
    digest: Option<Arc<Digest>>,
}

/// Something on its way to one end of a link.
#[derive(Clone, Debug)]
pub enum Item {
    /// The link is usable.
    Up,
    /// A frame.
    Frame(Frame),
    /// The link is gone.
    Down(LinkDownCause),
}

const PING: u8 = 4;

impl Item {
    /// A frame as it was sent.
    pub fn frame(bytes: Arc<[u8]>) -> Self {
        let kind = wire::peek(&bytes).map_or(0, |h| h.kind);
        if kind == PING {
            return Item::Frame(Frame { bytes, kind, eager: true, digest: None });
        }
        let decoded = wire::decode(&bytes);
        let eager = matches!(
            decoded,
            Ok((
                _,
                Message::Hello { .. }
                    | Message::Welcome { .. }
                    | Message::Bye { reason: ByeReason::Arbitration }
            ))
        );
        let mut canon = Canon::new(0, 0);
        match &decoded {
            Ok((header, message)) => hash_frame(&mut canon, header, message),
            Err(_) => canon.write(&bytes),
        }
        Item::Frame(Frame { bytes, kind, eager, digest: Some(Arc::new(canon.part())) })
    }

    /// Is it delivered at once?
    pub fn eager(&self) -> bool {
        match self {
            Item::Up | Item::Down(LinkDownCause::Closed) => true,
            Item::Frame(frame) => frame.eager,
            Item::Down(LinkDownCause::Refused | LinkDownCause::Reset) => false,
        }
    }

    /// What it is called in a path.
    pub fn name(&self) -> &'static str {
        match self {
            Item::Up => "link up",
            Item::Frame(frame) => kind_name(frame.kind).unwrap_or("frame"),
            Item::Down(LinkDownCause::Refused) => "refused",
            Item::Down(LinkDownCause::Closed) => "closed",
            Item::Down(LinkDownCause::Reset) => "reset",
        }
    }

    fn hash(&self, canon: &mut Canon) {
        match self {
            Item::Up => canon.write_u8(1),
            Item::Frame(Frame { digest: Some(digest), .. }) => canon.digest(digest),
            Item::Frame(frame) => match wire::decode(&frame.bytes) {
                Ok((header, message)) => hash_frame(canon, &header, &message),
                Err(_) => canon.write(&frame.bytes),
            },
            Item::Down(cause) => cause.hash(canon),
        }
    }
}

fn hash_frame(canon: &mut Canon, header: &Header, message: &Message) {
    header.hash(canon);
    if let Message::Hello { dial, welcomed } = message {
        debug_assert_eq!(header.session, SessionId(0), "a greeting belongs to no session");
        canon::dial(canon, header.from.0, header.incarnation, *dial);
        welcomed.hash(canon);
        return;
    }
    if let Message::Welcome { .. } = message {
        canon::dial(canon, header.from.0, header.incarnation, 0);
    }
    message.hash(canon);
}

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Whose.
    pub instance: u8,
    /// As that instance knows the link.
    pub id: LinkId,
    /// The peer, at the end that dialled.
    pub dialled: Option<u8>,
}

/// A link. `queues[i]` is on its way to `ends[i]`; an end that is gone receives nothing.
#[derive(Clone, Debug)]
pub struct Link {
    /// Unique in a path, and rising.
    pub serial: u32,
    /// The pair it connects.
    pub pair: u8,
    /// Dialler, acceptor.
    pub ends: [Option<End>; 2],
    /// What is under way.
    pub queues: [VecDeque<Item>; 2],
}

/// All links.
#[derive(Clone, Debug, Default)]
pub struct Links {
    links: Vec<Link>,
    next: u32,
    /// Silent pairs.
    pub cut: [bool; INSTANCES],
}

impl Links {
    /// A dial. The peer's number for it is `far`; `None`: nothing listens there.
    pub fn dial(&mut self, from: u8, id: LinkId, to: u8, far: Option<LinkId>) {
        let pair = pair(from, to);
        if self.cut[usize::from(pair)] {
            // Nobody answers; the dialler gives up in time.
            return;
        }
        self.next += 1;
        let near = Some(End { instance: from, id, dialled: Some(to) });
        let (far, first) = match far {
            Some(id) => (Some(End { instance: to, id, dialled: None }), Item::Up),
            None => (None, Item::Down(LinkDownCause::Refused)),
        };
        let mut queues = [VecDeque::from([first]), VecDeque::new()];
        if far.is_some() {
            queues[1].push_back(Item::Up);
        }
        self.links.push(Link { serial: self.next, pair, ends: [near, far], queues });
    }

    fn find(&self, instance: u8, id: LinkId) -> Option<(usize, usize)> {
        let is = |end: &Option<End>| end.is_some_and(|e| e.instance == instance && e.id == id);
        self.links.iter().enumerate().find_map(|(i, l)| l.ends.iter().position(is).map(|side| (i, side)))
    }

    /// An instance sends.
    pub fn send(&mut self, instance: u8, id: LinkId, bytes: Arc<[u8]>) {
        let Some((i, side)) = self.find(instance, id) else { return };
        let link = &mut self.links[i];
        if link.ends[1 - side].is_some() {
            link.queues[1 - side].push_back(Item::frame(bytes));
        }
    }

    /// An instance closes its end.
    pub fn close(&mut self, instance: u8, id: LinkId) {
        let Some((i, side)) = self.find(instance, id) else { return };
        let link = &mut self.links[i];
        link.ends[side] = None;
        link.queues[side].clear();
        if link.ends[1 - side].is_some() {
            link.queues[1 - side].push_back(Item::Down(LinkDownCause::Closed));
        }
        self.tidy();
    }

    /// Every link of a pair breaks; both ends are told, each in its own time.
    pub fn reset(&mut self, pair: u8) {
        for link in self.links.iter_mut().filter(|l| l.pair == pair) {
            for side in 0..2 {
                link.queues[side].clear();
                if link.ends[side].is_some() {
                    link.queues[side].push_back(Item::Down(LinkDownCause::Reset));
                }
            }
        }
    }

    /// An instance's process is gone.
    pub fn crash(&mut self, instance: u8) {
        for link in &mut self.links {
            let Some(side) = link.ends.iter().position(|e| e.is_some_and(|e| e.instance == instance)) else {
                continue;
            };
            link.ends[side] = None;
            link.queues[side].clear();
            if link.ends[1 - side].is_some() {
                link.queues[1 - side].clear();
                link.queues[1 - side].push_back(Item::Down(LinkDownCause::Reset));
            }
        }
        self.tidy();
    }

    /// Is there a link, whole or half, between the two?
    pub fn linked(&self, pair: u8) -> bool {
        self.links.iter().any(|l| l.pair == pair)
    }

    /// A reset that waits in a link of the pair, cut or not.
    pub fn reset_notice(&self, pair: u8) -> Option<(u32, usize)> {
        let is = |queue: &VecDeque<Item>| matches!(queue.front(), Some(Item::Down(LinkDownCause::Reset)));
        let mut links = self.links.iter().filter(|l| l.pair == pair);
        links.find_map(|l| l.queues.iter().position(is).map(|side| (l.serial, side)))
    }

    /// What could be delivered now: link, side, item.
    pub fn deliverable(&self) -> impl Iterator<Item = (u32, usize, &Item)> {
        self.links.iter().filter(|l| !self.cut[usize::from(l.pair)]).flat_map(|l| {
            (0..2).filter_map(move |side| l.queues[side].front().map(|item| (l.serial, side, item)))
        })
    }

    /// Takes the next item of a link's side, with the end it goes to.
    pub fn take(&mut self, serial: u32, side: usize) -> Option<(End, Item)> {
        let link = self.links.iter_mut().find(|l| l.serial == serial)?;
        let end = (*link.ends.get(side)?)?;
        let item = link.queues[side].pop_front()?;
        if matches!(item, Item::Down(_)) {
            link.ends[side] = None;
            link.queues[side].clear();
            self.tidy();
        }
        Some((end, item))
    }

    /// The receiver's and the sender's number of a link's side.
    pub fn direction(&self, serial: u32, side: usize) -> Option<(u8, u8)> {
        let link = self.links.iter().find(|l| l.serial == serial)?;
        let (one, other) = PAIRS[usize::from(link.pair)];
        let to = link.ends[side]?.instance;
        Some((if to == one { other } else { one }, to))
    }

    fn tidy(&mut self) {
        self.links.retain(|l| l.ends.iter().any(Option::is_some));
    }

    /// What of it matters, at `now`.
    pub fn digest(&self, now: u64) -> Digest {
        let mut canon = Canon::new(now, 0);
        canon.write_usize(self.links.len());
        for pair in 0..PAIRS.len() {
            canon.write_u8(u8::from(self.cut[pair]));
            for link in self.links.iter().filter(|l| usize::from(l.pair) == pair) {
                for (end, queue) in link.ends.iter().zip(&link.queues) {
                    match end {
                        Some(end) => {
                            canon.write_u8(2 + end.instance);
                            let owner = end.instance + 1;
                            canon::name(&mut canon, canon::Kind::Link, owner, end.id.0);
                        }
                        None => canon.write_u8(1),
                    }
                    canon.write_usize(queue.len());
                    for item in queue {
                        item.hash(&mut canon);
                    }
                }
            }
        }
        canon.part()
    }
}

/// The time as instances see it; all clocks agree.
pub fn instant(now: u64) -> Instant {
    Instant(now)
}
