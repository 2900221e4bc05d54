//! Transport connections of one instance: one link per peer after arbitration, kept up by dialling every ping
//! interval. Sessions share the links. [OQ-19, EP-14, FL-13]
//!
//! Both sides dial, because only a dialler can hear a host say that nothing listens (OQ-3.4). A HELLO carries the
//! newest dial of the receiver that its sender has welcomed; so the receiver knows whether the sender has already
//! given up a link that still looks fine here:
//!
//! ```text
//! A dials 4 ──────► B welcomes 4        both use link A4
//! A's end breaks, B has not noticed
//! A dials 5 ──────► B: a newer dial of the same peer replaces A4
//! B's end breaks, A has not noticed
//! B dials 9, "welcomed A4" ──► A: B has seen A4 and dials all the same, so A4 is dead: replace
//! A dials 4 and B dials 9 at the same time: neither HELLO has seen the other's dial; the lower id's dial wins
//! ```

use crate::bugs::{Bug, planted};
use crate::config::Config;
use crate::io::{Effect, Effects, LinkDownCause, LinkId};
use crate::message::{ByeReason, ChannelId, Message};
use crate::types::{InstanceId, Instant, Micros, RoleSequence, SessionId};
use crate::wire::{self, Header};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A dial that got no answer is given up after this many ping intervals.
const DIAL_PATIENCE_INTERVALS: u64 = 2;

/// What the transport tells the sessions.
#[derive(Clone, Debug)]
pub enum TransportEvent {
    /// A link with this peer is in use.
    Up {
        /// The peer.
        peer: InstanceId,
        /// Name of the channel's incarnation, the same at both ends.
        channel: ChannelId,
    },
    /// The link with this peer is gone.
    Down {
        /// The peer.
        peer: InstanceId,
        /// How.
        loss: LinkLoss,
    },
    /// The peer's own host says that no process listens. [OQ-3.4]
    Refused {
        /// The peer.
        peer: InstanceId,
    },
    /// A message for a session.
    Message {
        /// Who sent it.
        peer: InstanceId,
        /// Its header.
        header: Header,
        /// The message.
        message: Message,
    },
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLoss {
    /// Anything that proves nothing about the peer's process.
    Ambiguous,
    /// The peer says that its database has failed: as good as dead. [OQ-35]
    Failed,
    /// Another link to the same peer took its place.
    Replaced,
}

#[derive(Clone, Debug, Hash)]
enum LinkState {
    /// Dialled, or up and waiting for WELCOME.
    Dialling { peer: InstanceId, dial: u32, up: bool, give_up: Instant },
    /// Accepted, waiting for HELLO.
    Accepted { give_up: Instant },
    /// In use, with that process of the peer.
    Open { peer: InstanceId, channel: ChannelId, theirs: u32 },
}

#[derive(Clone, Debug)]
struct Link {
    state: LinkState,
    sent: u32,
    received: u32,
}

#[derive(Clone, Debug)]
struct Peer {
    link: Option<LinkId>,
    dials: u32,
    redial: Instant,
    /// The newest dial of the peer that was welcomed: its incarnation and number.
    welcomed: Option<(u32, u32)>,
}

/// The links of one instance.
#[derive(Clone, Debug)]
pub struct Transport {
    me: InstanceId,
    incarnation: u32,
    interval: Micros,
    bug: Option<Bug>,
    next_link: u64,
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<InstanceId, Peer>,
}

impl Transport {
    /// No links yet.
    pub fn new(config: &Config) -> Self {
        Transport {
            me: config.id,
            incarnation: config.incarnation,
            interval: config.tuning.ping_interval,
            bug: config.bug,
            next_link: 0,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Keeps a link to `peer` from now on.
    pub fn want(&mut self, now: Instant, peer: InstanceId) {
        self.peers.entry(peer).or_insert(Peer { link: None, dials: 0, redial: now, welcomed: None });
    }

    /// The channel to `peer`, while its link is in use.
    pub fn channel(&self, peer: InstanceId) -> Option<ChannelId> {
        let link = self.peers.get(&peer)?.link?;
        match self.links.get(&link)?.state {
            LinkState::Open { channel, .. } => Some(channel),
            LinkState::Dialling { .. } | LinkState::Accepted { .. } => None,
        }
    }

    /// When [`Transport::tick`] has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        let redial = self.peers.values().filter(|p| p.link.is_none()).map(|p| p.redial);
        let give_up = self.links.values().filter_map(|l| match l.state {
            LinkState::Dialling { give_up, .. } | LinkState::Accepted { give_up } => Some(give_up),
            LinkState::Open { .. } => None,
        });
        redial.chain(give_up).min()
    }

    /// Gives up silent dials, and dials again where no link is in use.
    pub fn tick(&mut self, now: Instant, out: &mut Effects) {
        if self.next_timeout().is_none_or(|at| at > now) {
            return;
        }
        let stale: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, l)| match l.state {
                LinkState::Dialling { give_up, .. } | LinkState::Accepted { give_up } => give_up <= now,
                LinkState::Open { .. } => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for link in stale {
            self.links.remove(&link);
            out.push(Effect::Close { link });
        }
        for (&id, peer) in &mut self.peers {
            let dialling = self
                .links
                .values()
                .any(|l| matches!(l.state, LinkState::Dialling { peer, .. } if peer == id));
            if peer.link.is_some() || peer.redial > now {
                continue;
            }
            peer.redial = now + self.interval;
            if dialling {
                continue;
            }
            self.next_link += 2;
            peer.dials += 1;
            let link = LinkId(self.next_link);
            let give_up = now + Micros(self.interval.0 * DIAL_PATIENCE_INTERVALS);
            let state = LinkState::Dialling { peer: id, dial: peer.dials, up: false, give_up };
            self.links.insert(link, Link { state, sent: 0, received: 0 });
            out.push(Effect::Connect { link, to: id });
        }
    }

    /// A link is usable.
    pub fn link_up(&mut self, now: Instant, link: LinkId, to: Option<InstanceId>, out: &mut Effects) {
        let give_up = now + Micros(self.interval.0 * DIAL_PATIENCE_INTERVALS);
        let Some(peer) = to else {
            let state = LinkState::Accepted { give_up };
            self.links.insert(link, Link { state, sent: 0, received: 0 });
            return;
        };
        let welcomed = self.peers.get(&peer).and_then(|p| p.welcomed);
        // Given up meanwhile: the effect that closed it is on its way.
        let Some(entry) = self.links.get_mut(&link) else { return };
        if let LinkState::Dialling { dial, up, give_up: patience, .. } = &mut entry.state {
            *up = true;
            *patience = give_up;
            let hello = Message::Hello { dial: *dial, welcomed };
            self.transmit(link, SessionId(0), RoleSequence(0), &hello, out);
        }
    }

    /// A link is gone, or a dial failed.
    pub fn link_down(&mut self, now: Instant, link: LinkId, cause: LinkDownCause) -> Option<TransportEvent> {
        let gone = self.links.remove(&link)?;
        match gone.state {
            LinkState::Open { peer, .. } => {
                self.forget(now, peer);
                Some(TransportEvent::Down { peer, loss: LinkLoss::Ambiguous })
            }
            LinkState::Dialling { peer, up: false, .. }
                if cause == LinkDownCause::Refused || planted(self.bug, Bug::ResetIsRefusal) =>
            {
                // With a link in use, the refusal is older than that link.
                self.channel(peer).is_none().then_some(TransportEvent::Refused { peer })
            }
            LinkState::Dialling { .. } | LinkState::Accepted { .. } => None,
        }
    }

    /// The peer's link is no longer in use; the next dial is due at once.
    fn forget(&mut self, now: Instant, peer: InstanceId) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.link = None;
            p.redial = now;
        }
    }

    /// Closes the link in use with `peer`, after saying why.
    pub fn close(&mut self, now: Instant, peer: InstanceId, reason: ByeReason, out: &mut Effects) {
        let Some(link) = self.peers.get(&peer).and_then(|p| p.link) else { return };
        self.transmit(link, SessionId(0), RoleSequence(0), &Message::Bye { reason }, out);
        self.links.remove(&link);
        out.push(Effect::Close { link });
        self.forget(now, peer);
    }

    /// Sends to `peer` when a link is in use; otherwise the message is dropped, as a break would have dropped it.
    pub fn send(
        &mut self,
        peer: InstanceId,
        session: SessionId,
        n: RoleSequence,
        message: &Message,
        out: &mut Effects,
    ) {
        if self.channel(peer).is_some() {
            let link = self.peers[&peer].link.expect("a channel has a link");
            self.transmit(link, session, n, message, out);
        }
    }

    fn transmit(
        &mut self,
        link: LinkId,
        session: SessionId,
        n: RoleSequence,
        message: &Message,
        out: &mut Effects,
    ) {
        let entry = self.links.get_mut(&link).expect("only known links are sent on");
        let header = Header {
            kind: message.code(),
            session,
            from: self.me,
            incarnation: self.incarnation,
            n,
            sequence: entry.sent,
        };
        entry.sent += 1;
        out.push(Effect::Send { link, bytes: wire::encode(&header, message) });
    }

    /// One frame. A frame that does not decode, or is out of its place, breaks the link. [P-14, FL-29]
    pub fn frame(
        &mut self,
        now: Instant,
        link: LinkId,
        bytes: &Arc<[u8]>,
        events: &mut Vec<TransportEvent>,
        out: &mut Effects,
    ) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        let decoded = wire::decode(bytes);
        let Ok((header, message)) = decoded else {
            self.break_link(now, link, events, out);
            return;
        };
        if header.sequence != entry.received {
            self.break_link(now, link, events, out);
            return;
        }
        entry.received += 1;
        match (&entry.state, message) {
            (LinkState::Open { peer, .. }, Message::Bye { reason }) => {
                let peer = *peer;
                let loss = match reason {
                    ByeReason::TimedOut | ByeReason::Arbitration
                        if planted(self.bug, Bug::AnyByeIsDefinite) =>
                    {
                        LinkLoss::Failed
                    }
                    ByeReason::TimedOut | ByeReason::Arbitration => LinkLoss::Ambiguous,
                };
                self.links.remove(&link);
                out.push(Effect::Close { link });
                self.forget(now, peer);
                events.push(TransportEvent::Down { peer, loss });
            }
            (LinkState::Open { peer, .. }, message) if header.from == *peer => {
                events.push(TransportEvent::Message { peer: *peer, header, message });
            }
            (LinkState::Accepted { .. }, Message::Hello { dial, welcomed }) => {
                self.hello(now, link, &header, dial, welcomed, events, out);
            }
            (&LinkState::Dialling { peer, dial, .. }, Message::Welcome { dial: theirs })
                if dial == theirs && header.from == peer =>
            {
                let channel = ChannelId { dialler: self.me.0, incarnation: self.incarnation, dial };
                self.adopt(now, link, peer, channel, header.incarnation, events, out);
            }
            (LinkState::Dialling { .. }, Message::Bye { .. }) => {
                self.links.remove(&link);
                out.push(Effect::Close { link });
            }
            (LinkState::Open { .. } | LinkState::Accepted { .. } | LinkState::Dialling { .. }, _) => {
                self.break_link(now, link, events, out);
            }
        }
    }

    /// Arbitration: the module's opening shows the cases. [EP-14]
    #[allow(clippy::too_many_arguments, reason = "the parts of one HELLO and where it came from")]
    fn hello(
        &mut self,
        now: Instant,
        link: LinkId,
        header: &Header,
        dial: u32,
        welcomed: Option<(u32, u32)>,
        events: &mut Vec<TransportEvent>,
        out: &mut Effects,
    ) {
        let peer = header.from;
        self.want(now, peer);
        let dialling = self
            .links
            .values()
            .any(|l| matches!(l.state, LinkState::Dialling { peer: p, up: true, .. } if p == peer));
        let accept = match self.channel(peer) {
            Some(current) if current.dialler == self.me.0 => {
                // A new process of the peer knows nothing of the link to the old one.
                self.process_behind(peer).is_some_and(|theirs| header.incarnation > theirs)
                    || welcomed.is_some_and(|seen| seen >= (current.incarnation, current.dial))
            }
            Some(current) => (header.incarnation, dial) > (current.incarnation, current.dial),
            None => !dialling || peer < self.me,
        };
        if !accept {
            let bye = Message::Bye { reason: ByeReason::Arbitration };
            self.transmit(link, SessionId(0), RoleSequence(0), &bye, out);
            self.links.remove(&link);
            out.push(Effect::Close { link });
            return;
        }
        let channel = ChannelId { dialler: peer.0, incarnation: header.incarnation, dial };
        self.transmit(link, SessionId(0), RoleSequence(0), &Message::Welcome { dial }, out);
        if let Some(p) = self.peers.get_mut(&peer) {
            p.welcomed = Some((header.incarnation, dial));
        }
        self.adopt(now, link, peer, channel, header.incarnation, events, out);
    }

    /// The incarnation of the peer's process at the other end of the link in use.
    fn process_behind(&self, peer: InstanceId) -> Option<u32> {
        let link = self.peers.get(&peer)?.link?;
        match self.links.get(&link)?.state {
            LinkState::Open { theirs, .. } => Some(theirs),
            LinkState::Dialling { .. } | LinkState::Accepted { .. } => None,
        }
    }

    /// `link` becomes the link in use with `peer`; any other one is closed.
    #[allow(clippy::too_many_arguments, reason = "the parts of one link and where it came from")]
    fn adopt(
        &mut self,
        now: Instant,
        link: LinkId,
        peer: InstanceId,
        channel: ChannelId,
        theirs: u32,
        events: &mut Vec<TransportEvent>,
        out: &mut Effects,
    ) {
        let others: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(id, l)| match l.state {
                LinkState::Open { peer: p, .. } | LinkState::Dialling { peer: p, .. } => {
                    p == peer && **id != link
                }
                LinkState::Accepted { .. } => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for other in others {
            let was = self.links.remove(&other).expect("just listed");
            out.push(Effect::Close { link: other });
            if matches!(was.state, LinkState::Open { .. }) {
                events.push(TransportEvent::Down { peer, loss: LinkLoss::Replaced });
            }
        }
        let entry = self.links.get_mut(&link).expect("the link of the frame at hand");
        entry.state = LinkState::Open { peer, channel, theirs };
        let p = self.peers.get_mut(&peer).expect("links in use have a peer entry");
        p.link = Some(link);
        p.redial = now;
        events.push(TransportEvent::Up { peer, channel });
    }

    fn break_link(
        &mut self,
        now: Instant,
        link: LinkId,
        events: &mut Vec<TransportEvent>,
        out: &mut Effects,
    ) {
        out.push(Effect::Close { link });
        events.extend(self.link_down(now, link, LinkDownCause::Reset));
    }
}

/// Numbers of dials are compared, so they are names; places in a channel only tell frames apart. [`crate::canon`]
impl std::hash::Hash for Transport {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        use crate::canon;
        for (id, link) in &self.links {
            id.hash(state);
            match &link.state {
                &LinkState::Dialling { peer, dial, up, give_up } => {
                    (0_u8, peer, up, give_up).hash(state);
                    canon::dial(state, self.me.0, self.incarnation, dial);
                }
                LinkState::Accepted { give_up } => (1_u8, give_up).hash(state),
                LinkState::Open { peer, channel, theirs } => {
                    (2_u8, peer, channel).hash(state);
                    // Incarnations are ordered like the dials of their processes.
                    canon::dial(state, peer.0, *theirs, 0);
                }
            }
        }
        for (id, peer) in &self.peers {
            (id, peer.link, peer.welcomed.is_some()).hash(state);
            // With a link in use the next dial is due as soon as that is gone.
            if peer.link.is_none() {
                peer.redial.hash(state);
            }
            if let Some((incarnation, dial)) = peer.welcomed {
                canon::dial(state, id.0, incarnation, dial);
            }
        }
    }
}
