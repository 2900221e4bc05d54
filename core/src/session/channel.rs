//! What partner and witness share: the channels to the other instances of the session, life signs, loss, and the
//! order of "durable, then said".

use crate::bugs::{Bug, planted};
use crate::config::{Config, Tuning};
use crate::control::{ServerAddress, sql_error};
use crate::io::{Effect, Effects, Notice, SqlError};
use crate::message::{ByeReason, ChannelId, Message, OtherChannel, RoleRecord, Setting, Stamp};
use crate::record::{Keeper, Version};
use crate::transport::{LinkLoss, Transport};
use crate::types::{InstanceId, Instant, Micros, MirroringState, PageId, RoleSequence, Safety, SessionId};
use crate::wire::Header;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Period in force while SAFETY is OFF, in seconds. [FL-9]
const DEFAULT_TIMEOUT_S: u16 = 10;

/// What a handler may use of its instance.
pub struct Cx<'a> {
    /// Local time.
    pub now: Instant,
    /// The instance's configuration.
    pub config: &'a Config,
    /// Its links.
    pub transport: &'a mut Transport,
    /// Where effects go.
    pub out: &'a mut Effects,
}

impl Cx<'_> {
    /// This instance.
    pub fn me(&self) -> InstanceId {
        self.config.id
    }
    /// The tunables.
    pub fn tuning(&self) -> &Tuning {
        &self.config.tuning
    }
    /// The instance behind a server network address. Malformed: E1449; nobody's: E1418. [NA-5]
    pub fn instance_at(&self, address: &str) -> Result<InstanceId, SqlError> {
        let wanted = address.parse::<ServerAddress>()?;
        let known = self.config.addresses.iter().position(|a| a.parse().as_ref() == Ok(&wanted));
        known.map(|index| InstanceId(index as u8)).ok_or(sql_error(1418))
    }
    /// Is this bug planted?
    pub fn bug(&self, bug: Bug) -> bool {
        planted(self.config.bug, bug)
    }
    /// Reports a named step of the protocol.
    pub fn step(&mut self, session: SessionId, name: &'static str) {
        self.out.push(Effect::Notice(Notice::Step { session, name }));
    }
    /// Reports a numbered message.
    pub fn message(&mut self, session: SessionId, number: u32) {
        self.out.push(Effect::Notice(Notice::Message { session, number }));
    }
}

/// The channel of one session to one peer.
#[derive(Clone, Debug, Hash)]
pub struct Channel {
    /// The peer.
    pub peer: InstanceId,
    /// The channel, while its link is in use.
    pub id: Option<ChannelId>,
    /// The peer's role record has been seen on this channel: START is done.
    pub started: bool,
    /// The peer holds this session, as far as known: it has not answered "no such session" to the own record.
    pub known: bool,
    /// The own record has been said on this channel: until then the peer cannot tell what a ping is worth, so none is
    /// sent.
    said: bool,
    /// The newest role record of the peer on this channel.
    pub theirs: Option<RoleRecord>,
    /// The peer's view of the third instance, from its newest ping on this channel.
    pub other: Option<OtherChannel>,
    /// When the link came into use.
    opened: Instant,
    /// When the newest life sign came: a ping of the current n. A restarted instance has heard nothing, and counts
    /// from its start. [OQ-3.3]
    heard: Instant,
    /// The peer's process is definitely gone. [OQ-3.4]
    gone: bool,
    /// Send time of the newest ping received on this channel under the current n.
    echo: Option<Instant>,
    /// The peer waits for an echo that it has never had under this n: do not keep it waiting for the interval.
    prompt: bool,
    /// A ping of the peer as principal of this n was answered with such haste: one that it sent before it took the role
    /// over is worth nothing to it.
    led: bool,
}

impl Channel {
    fn new(peer: InstanceId, now: Instant) -> Self {
        Channel {
            peer,
            id: None,
            started: false,
            known: true,
            said: false,
            theirs: None,
            other: None,
            opened: now,
            heard: now,
            gone: false,
            echo: None,
            prompt: false,
            led: false,
        }
    }

    /// Is this channel up and started?
    pub fn up(&self) -> Option<ChannelId> {
        self.id.filter(|_| self.started)
    }

    /// Has this instance declared the peer lost? [OQ-3.2, OQ-3.4]
    pub fn lost(&self, now: Instant, patience: Micros) -> bool {
        self.gone || now >= self.heard + patience
    }

    /// The peer's record has come: START is done, and the peer gets a ping at once.
    pub fn start(&mut self, theirs: &RoleRecord) {
        self.prompt |= !self.started;
        self.started = true;
        self.theirs = Some(*theirs);
    }

    fn down(&mut self) {
        self.id = None;
        self.started = false;
        self.known = true;
        self.said = false;
        self.theirs = None;
        self.other = None;
        self.echo = None;
        self.prompt = false;
        self.led = false;
    }
}

/// A message that is said once a version of the record is durable, if its channel still stands.
#[derive(Clone, Debug, Hash)]
struct Pledge {
    version: Version,
    peer: InstanceId,
    channel: ChannelId,
    message: Message,
}

/// The shared part of a partner and a witness seat.
#[derive(Clone, Debug, Hash)]
pub struct Common {
    /// The session.
    pub session: SessionId,
    /// The durable record.
    pub keeper: Keeper,
    /// Channels to the other instances, at most two.
    pub channels: Vec<Channel>,
    /// Frames that arrived while a switch of the role sequence was on its way to the disk.
    deferred: VecDeque<(InstanceId, ChannelId, Header, Message)>,
    pledges: VecDeque<Pledge>,
    /// Pages for the other partner's undo that wait for the own log, with the channel they were asked on.
    pub late_pages: Vec<(ChannelId, Vec<PageId>)>,
    next_ping: Instant,
}

/// What `Common::receive` makes of a message.
pub enum Received {
    /// Nothing for the role to do.
    Done,
    /// A role record to look at.
    Record(RoleRecord, Option<crate::message::LogPosition>),
    /// A ping of the current n; life sign and view are noted already.
    Ping {
        /// The peer's period in seconds.
        timeout_s: u16,
        /// Echo of a ping of ours.
        echo: Option<Instant>,
        /// The state that the principal shows.
        state: Option<MirroringState>,
    },
    /// The peer holds no such session: as good as a broken channel, until it says a record. [OQ-1, FL-30]
    Stranger,
    /// The peer's database has failed: a definite loss. [OQ-35]
    Failed,
    /// The session was removed, the peer says. [C-80, C-81]
    Ended {
        /// The newest role sequence that the peer knows.
        n: RoleSequence,
        /// Its owner.
        owner: InstanceId,
    },
    /// Any other message.
    Other(Header, Message),
}

/// What became of a setting that came from another instance. [C-47]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taken {
    /// It is newer and binds from now on.
    New,
    /// It was held already.
    Held,
    /// A newer value is held.
    Refused,
}

impl Common {
    /// A session as its record describes it, nothing connected.
    pub fn new(session: SessionId, keeper: Keeper, now: Instant) -> Self {
        Common {
            session,
            keeper,
            channels: Vec::new(),
            deferred: VecDeque::new(),
            pledges: VecDeque::new(),
            late_pages: Vec::new(),
            next_ping: now,
        }
    }

    /// The shared record as it binds this instance.
    pub fn shared(&self) -> &RoleRecord {
        &self.keeper.record().shared
    }

    /// The time-out period in force. [FL-9, OQ-34]
    pub fn period_s(&self) -> u16 {
        match self.shared().safety.value {
            Safety::Full => self.shared().timeout_s.value,
            Safety::Off => DEFAULT_TIMEOUT_S,
        }
    }

    /// Silence after which a peer counts as lost, T + i. [OQ-2]
    pub fn patience(&self, tuning: &Tuning) -> Micros {
        Micros::from_secs(u64::from(self.period_s())) + tuning.ping_interval
    }

    /// The channel to `peer`, if it belongs to the session.
    pub fn channel(&self, peer: InstanceId) -> Option<&Channel> {
        self.channels.iter().find(|c| c.peer == peer)
    }

    /// The same, to change it.
    pub fn channel_mut(&mut self, peer: InstanceId) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|c| c.peer == peer)
    }

    /// Makes sure that there is a channel to `peer`, and a link under it.
    pub fn want_channel(&mut self, cx: &mut Cx<'_>, peer: InstanceId) {
        cx.transport.want(cx.now, peer);
        if self.channel(peer).is_none() {
            let mut channel = Channel::new(peer, cx.now);
            // A link for another session, or for this one before, may stand already.
            channel.id = cx.transport.channel(peer);
            self.channels.push(channel);
        }
    }

    /// Both ends have said their record and agree on role sequence and owner: "connected" in the tables.
    /// [decisions: failure detection]
    pub fn connected(&self, peer: InstanceId) -> bool {
        self.channel(peer).is_some_and(|c| {
            c.started
                && c.theirs.is_some_and(|r| r.n == self.shared().n && r.owner == self.shared().owner)
                && !self.keeper.switching()
        })
    }

    /// Sends now. Nothing is said while a switch of the role sequence is on its way to the disk. [OQ-1]
    pub fn send(&mut self, cx: &mut Cx<'_>, peer: InstanceId, message: &Message) {
        if self.keeper.switching() && !cx.bug(Bug::RecordBeforeFlush) {
            return;
        }
        let n = self.keeper.n();
        let session = self.session;
        if let Some(channel) = self.channel_mut(peer)
            && channel.id.is_some()
        {
            channel.said |= matches!(message, Message::Record { .. });
            cx.transport.send(peer, session, n, message, cx.out);
        }
    }

    /// Tells all peers that the files of this session have failed here. Nothing else is said any more, not even that a
    /// switch is on its way. [OQ-35]
    pub fn say_failed(&mut self, cx: &mut Cx<'_>) {
        let (session, n) = (self.session, self.keeper.durable_n());
        for channel in self.channels.iter().filter(|c| c.id.is_some()) {
            cx.transport.send(channel.peer, session, n, &Message::DatabaseFailed, cx.out);
        }
    }

    /// Sends once `version` is durable, if the channel still stands then. [P-1]
    pub fn send_when_durable(
        &mut self,
        cx: &mut Cx<'_>,
        version: Version,
        peer: InstanceId,
        message: Message,
    ) {
        if self.keeper.is_durable(version) || cx.bug(Bug::RecordBeforeFlush) {
            self.send(cx, peer, &message);
            return;
        }
        let Some(channel) = self.channel(peer).and_then(|c| c.id) else { return };
        self.pledges.push_back(Pledge { version, peer, channel, message });
    }

    /// The session is not on its way to SYNCHRONIZED any more: a SYNCED that still waits for the disk is not said.
    pub fn unsay_synced(&mut self) {
        self.pledges.retain(|pledge| !matches!(pledge.message, Message::Synced { .. }));
    }

    /// A slot write has completed: what waited for it is said, in order.
    pub fn written(&mut self, cx: &mut Cx<'_>) {
        self.keeper.written(cx.out);
        while let Some(pledge) = self.pledges.front() {
            if !self.keeper.is_durable(pledge.version) || self.keeper.switching() {
                break;
            }
            let pledge = self.pledges.pop_front().expect("looked at it");
            if self.channel(pledge.peer).is_some_and(|c| c.id == Some(pledge.channel)) {
                self.send(cx, pledge.peer, &pledge.message);
            }
        }
    }

    /// The role sequence has changed: older life signs, leases and echoes are worth nothing.
    pub fn new_sequence(&mut self, now: Instant) {
        for channel in &mut self.channels {
            channel.heard = now;
            channel.gone = false;
            channel.echo = None;
            channel.prompt = false;
            channel.led = false;
        }
        self.next_ping = now;
    }

    /// A link with `peer` is in use.
    pub fn link_up(&mut self, now: Instant, peer: InstanceId, id: ChannelId) {
        if let Some(channel) = self.channel_mut(peer) {
            channel.down();
            channel.id = Some(id);
            channel.opened = now;
            channel.gone = false;
        }
    }

    /// The link with `peer` is gone.
    pub fn link_down(&mut self, peer: InstanceId, loss: LinkLoss) {
        if let Some(channel) = self.channel_mut(peer) {
            channel.down();
            channel.gone |= loss == LinkLoss::Failed;
        }
        self.deferred.retain(|(from, ..)| *from != peer);
    }

    /// The peer's host says that nothing listens.
    pub fn refused(&mut self, peer: InstanceId) {
        if let Some(channel) = self.channel_mut(peer)
            && channel.id.is_none()
        {
            channel.gone = true;
        }
    }

    /// First look at a message: deferral, START, role sequence, life signs.
    pub fn receive(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        header: Header,
        message: Message,
        claiming: bool,
    ) -> Received {
        let Some(channel) = self.channel(peer) else { return Received::Done };
        let Some(id) = channel.id else { return Received::Done };
        if self.keeper.switching() {
            self.deferred.push_back((peer, id, header, message));
            return Received::Done;
        }
        let mine = self.shared().generation;
        if let Message::Record { record, log } = message {
            return match record.generation.cmp(&mine) {
                Ordering::Equal => Received::Record(record, log),
                Ordering::Greater => Received::Ended { n: record.n, owner: record.owner },
                Ordering::Less => {
                    let owner = self.shared().owner;
                    let message = Message::SessionEnd { generation: record.generation, owner };
                    self.send(cx, peer, &message);
                    Received::Done
                }
            };
        }
        if let Message::SessionEnd { generation, owner } = message {
            let ended = Received::Ended { n: header.n, owner };
            return if generation == mine { ended } else { Received::Done };
        }
        if let Message::DatabaseFailed = message {
            // The link stands, for other sessions; this one has no channel to a peer that takes no part.
            self.link_down(peer, LinkLoss::Failed);
            return Received::Failed;
        }
        if let Message::NoSession = message {
            // Until the peer says a record of its own, there is nothing to talk about. [OQ-1, FL-30]
            let channel = self.channel_mut(peer).expect("found above");
            channel.down();
            channel.id = Some(id);
            channel.known = false;
            cx.message(self.session, 1402);
            return Received::Stranger;
        }
        if !self.channel(peer).is_some_and(|c| c.started) {
            return Received::Done;
        }
        // The answer to a claim comes from the future, the question about one from the past.
        let of_a_claim = matches!(message, Message::ClaimGranted { .. } | Message::ClaimQuery { .. })
            || cx.bug(Bug::EchoAnySequence) && matches!(message, Message::Ping { .. });
        if header.n < self.keeper.n() && !of_a_claim && !cx.bug(Bug::NoRoleSequenceCheck) {
            if !cx.bug(Bug::HandoverHiddenFromWitness) {
                self.send_record(cx, peer, None);
            }
            return Received::Done;
        }
        if header.n > self.keeper.n() && !of_a_claim {
            return Received::Done;
        }
        let Message::Ping { timeout_s, sent, echo, other, state } = message else {
            return Received::Other(header, message);
        };
        let owner = self.shared().owner;
        // A claiming mirror takes nothing from the principal, not even a life sign. [OQ-4.3]
        if claiming && peer == owner {
            return Received::Done;
        }
        let now = cx.now;
        let channel = self.channel_mut(peer).expect("found above");
        let leads = peer == owner && state.is_some();
        channel.prompt |= peer == owner && channel.echo.is_none() || leads && !channel.led;
        channel.led |= leads;
        channel.heard = now;
        channel.echo = Some(sent);
        channel.other = other;
        Received::Ping { timeout_s, echo, state }
    }

    /// The next frame that waited for a switch to become durable.
    pub fn next_deferred(&mut self) -> Option<(InstanceId, Header, Message)> {
        if self.keeper.switching() {
            return None;
        }
        while let Some((peer, id, header, message)) = self.deferred.pop_front() {
            if self.channel(peer).is_some_and(|c| c.id == Some(id)) {
                return Some((peer, header, message));
            }
        }
        None
    }

    /// Says the role record to `peer`.
    pub fn send_record(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        log: Option<crate::message::LogPosition>,
    ) {
        // What binds but is not durable yet must not be told.
        if self.keeper.is_durable(self.keeper.version()) {
            let record = *self.shared();
            self.send(cx, peer, &Message::Record { record, log });
        } else {
            let record = *self.shared();
            let version = self.keeper.version();
            self.send_when_durable(cx, version, peer, Message::Record { record, log });
        }
    }

    /// A setting of another instance: binding here when it is newer. [C-47, OQ-20]
    pub fn take(&mut self, cx: &mut Cx<'_>, setting: Setting) -> Taken {
        let mine = self.shared();
        let held = match setting {
            Setting::Safety(_) => mine.safety.stamp,
            Setting::Timeout(_) => mine.timeout_s.stamp,
            Setting::Witness(_) => mine.witness.stamp,
            Setting::Suspended(_) => mine.suspended.stamp,
        };
        match setting.stamp().cmp(&held) {
            Ordering::Less => Taken::Refused,
            Ordering::Equal => Taken::Held,
            Ordering::Greater => {
                self.keeper.change(cx.out, |r| match setting {
                    Setting::Safety(s) => r.shared.safety = s,
                    Setting::Timeout(s) => r.shared.timeout_s = s,
                    Setting::Witness(s) => r.shared.witness = s,
                    Setting::Suspended(s) => r.shared.suspended = s,
                });
                Taken::New
            }
        }
    }

    /// The answer to a setting, once what it says is durable.
    pub fn answer_setting(&mut self, cx: &mut Cx<'_>, peer: InstanceId, stamp: Stamp, taken: Taken) {
        if taken == Taken::Refused {
            self.send(cx, peer, &Message::SettingRefused { stamp });
            return;
        }
        let message = Message::SettingOk { stamp };
        if cx.bug(Bug::WitnessAnswersBeforeFlush) && self.shared().witness.value.named() == Some(cx.me()) {
            self.send(cx, peer, &message);
            return;
        }
        let version = self.keeper.version();
        self.send_when_durable(cx, version, peer, message);
    }

    /// Takes over settings that are newer in `theirs`; the synchronised flag only from the owner of n. True when
    /// anything changed. Both records are of the same n. Two values of the same stamp come from damage: then the careful
    /// one is taken. [OQ-20]
    pub fn adopt_settings(&mut self, cx: &mut Cx<'_>, peer: InstanceId, theirs: &RoleRecord) -> bool {
        let mut merged = *self.shared();
        let mut changed = merged.safety.adopt(&theirs.safety);
        changed |= merged.timeout_s.adopt(&theirs.timeout_s);
        changed |= merged.witness.adopt(&theirs.witness);
        changed |= merged.suspended.adopt(&theirs.suspended);
        if merged.suspended.stamp == theirs.suspended.stamp && merged.suspended != theirs.suspended {
            changed |= !std::mem::replace(&mut merged.suspended.value, true);
        }
        if merged.safety.stamp == theirs.safety.stamp && merged.safety != theirs.safety {
            changed |= std::mem::replace(&mut merged.safety.value, Safety::Full) != Safety::Full;
        }
        if cx.bug(Bug::StampWithoutRoleSequence)
            && self.shared().suspended.stamp.sequence >= theirs.suspended.stamp.sequence
        {
            merged.suspended = self.shared().suspended;
        }
        if (peer == merged.owner || cx.bug(Bug::SyncedFromMirror)) && cx.me() != merged.owner {
            changed |= merged.synchronized.adopt(&theirs.synchronized);
        }
        if changed {
            self.keeper.change(cx.out, |r| r.shared = merged);
        }
        changed
    }

    /// Sends pings when they are due, and at once where a lease is waited for. `grants`: this instance may echo the
    /// owner's pings now.
    pub fn ping(&mut self, cx: &mut Cx<'_>, grants: bool, state: Option<MirroringState>) {
        if self.keeper.switching() {
            return;
        }
        let due = cx.now >= self.next_ping;
        if due {
            self.next_ping = cx.now + cx.tuning().ping_interval;
        }
        let owner = self.shared().owner;
        for i in 0..self.channels.len() {
            let channel = &mut self.channels[i];
            if !channel.started || !channel.said || !(due || channel.prompt) {
                continue;
            }
            channel.prompt = false;
            let (peer, newest) = (channel.peer, channel.echo);
            let other = self
                .channels
                .iter()
                .find(|c| c.peer != peer)
                .map(|c| OtherChannel { peer: c.peer, up: c.up() });
            let message = Message::Ping {
                timeout_s: self.period_s(),
                sent: cx.now,
                echo: newest.filter(|_| grants && peer == owner || cx.bug(Bug::EchoAnySequence)),
                other,
                state,
            };
            self.send(cx, peer, &message);
        }
    }

    /// Pings are sent at once to all: a new principal wants its lease.
    pub fn ping_now(&mut self, now: Instant) {
        self.next_ping = now;
    }

    /// Closes channels on which no ping came in time. [FL-8]
    pub fn close_silent(&mut self, cx: &mut Cx<'_>) -> Vec<InstanceId> {
        let patience = self.patience(cx.tuning());
        let silent: Vec<InstanceId> = self
            .channels
            .iter()
            .filter(|c| c.id.is_some() && cx.now >= c.heard.max(c.opened) + patience)
            .map(|c| c.peer)
            .collect();
        for &peer in &silent {
            cx.message(self.session, 1479);
            cx.transport.close(cx.now, peer, ByeReason::TimedOut, cx.out);
            self.link_down(peer, LinkLoss::Ambiguous);
        }
        silent
    }

    /// The earliest time at which pings, silence or a declaration of loss need a look.
    pub fn next_timeout(&self, now: Instant, tuning: &Tuning) -> Instant {
        let patience = self.patience(tuning);
        // While a switch is on its way to the disk nothing is said, so no ping is due.
        let pinging = self.channels.iter().any(|c| c.started) && !self.keeper.switching();
        let mut at = if pinging { self.next_ping } else { Instant(u64::MAX) };
        for channel in &self.channels {
            if channel.id.is_some() {
                at = at.min(channel.heard.max(channel.opened) + patience);
            }
            if !channel.gone {
                let lost_at = channel.heard + patience;
                if lost_at > now {
                    at = at.min(lost_at);
                }
            }
        }
        at
    }

    /// Everything this record has promised is on the disk and said.
    pub fn settled(&self) -> bool {
        self.pledges.is_empty() && self.keeper.is_durable(self.keeper.version())
    }

    /// Role sequence, for assertions.
    pub fn n(&self) -> RoleSequence {
        self.keeper.n()
    }
}
