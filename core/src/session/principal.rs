//! The principal's part: serving clients, sending log, holding answers, becoming synchronised or exposed.
//!
//! A commit on its way through this file:
//!
//! ```text
//! client ── commit ──► log (pending, locks held) ──► own disk ─────────────┐
//!                              └── LOG_BLOCK ──► mirror's disk ── LOG_ACK ─┴─► confirm ──► client
//! ```
//! `Principal::confirm` is the only function that tells a client "committed". [S-64 … S-70]

use super::channel::{Common, Cx};
use super::mirror::RedoPace;
use super::quorum;
use crate::bugs::Bug;
use crate::io::{ClientEvent, ConnId, Effect, Notice, Op, Reply, Request};
use crate::message::{ChannelId, Message, Stamp, WitnessSetting};
use crate::record::Version;
use crate::storage::{Committing, Copy, Executed};
use crate::types::{Branch, InstanceId, Instant, Lsn, Micros, MirroringState, Safety, TxnId, Value};
use crate::wire::MAX_GROUP_BYTES;
use std::collections::{BTreeMap, VecDeque};

mod clients;

use clients::{Client, Pending};

/// Unacknowledged log below which becoming synchronised may begin, in bytes.
const NEARLY_CAUGHT_UP_BYTES: u64 = 64 << 10;
/// Records of unfinished transactions undone at a time, in the background. [FO-5]
const UNDO_RECORDS: usize = 64;
/// Pause between two steps of it.
const UNDO_PAUSE: Micros = Micros::from_millis(1);

/// How far the copy is on its way to being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The redo queue is being emptied. [FO-22]
    Redo,
    /// The new log branch is on its way to the disk. [OQ-68]
    Branch(Version, Branch),
    /// Open as far as the copy is concerned.
    Ready,
}

/// On the way to SYNCHRONIZED under SAFETY FULL. [OQ-4.2]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sync {
    /// The mirror is away or behind.
    No,
    /// New commits wait for the mirror; it still has to harden up to here.
    Waiting(Lsn),
    /// "Synchronised" is on its way to the own disk, then to the mirror.
    Recording(Stamp),
    /// The mirror has it durably.
    Done(Stamp),
}

/// The log stream to the mirror.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Sending {
    /// Everything below has been sent on this channel.
    pub cursor: Lsn,
    /// Everything below is hardened by the mirror.
    pub acked: Lsn,
    /// When the cursor was last at the end of the log: for SAFETY OFF's "caught up".
    drained: Instant,
}

/// How far a manual failover is, up to the hand-over. [FO-37a, OQ-9]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handover {
    /// Clients are out; the tail of the log is on its way to the own disk and to the mirror.
    Draining,
    /// The mirror has been told where the tail ends, and hardens it.
    Announced(Lsn),
}

/// A "not synchronised" that is being spread.
#[derive(Clone, Debug, Hash)]
struct Expose {
    stamp: Stamp,
    version: Version,
    /// Where it was sent. Dials are counted for each peer, so the channel's name alone does not tell.
    sent: Vec<(InstanceId, ChannelId)>,
}

/// A ping of this instance that a peer has echoed, and what the peer said of its period.
#[derive(Clone, Copy, Debug, Hash)]
struct Lease {
    echo: Instant,
    their_timeout_s: u16,
}

/// A partner in the principal role.
#[derive(Clone, Debug, Hash)]
pub struct Principal {
    /// Only pings sent since then count for leases: it is principal of this n since then.
    since: Instant,
    /// Progress of the copy.
    pub stage: Stage,
    /// Redo of what the former mirror had queued.
    pub redo: RedoPace,
    /// Leases: until when this instance may serve through the partner, and through the witness. [OQ-3.1]
    leases: [Option<Lease>; 2],
    /// The shortest period that partner and witness may hold without having said so: whatever was set here and not
    /// yet answered by them. A lease never outlasts it. [OQ-34]
    shortest_s: [u16; 2],
    /// Settings sent to partner and witness on the channel at hand and not answered.
    unanswered: [u32; 2],
    /// One other instance has durably answered "not synchronised" since the last restart and the last SYNCED: commits
    /// need not wait for the mirror. Meaningful with a witness. [OQ-4.1]
    exposed: bool,
    /// Commits stopped to wait for the mirror because of this version of the record, by SUSPEND or SAFETY: nobody is
    /// answered without the mirror before it is durable. [P-1, OQ-1]
    loosened: Version,
    /// The "not synchronised" that is being spread, and the channels it was sent on. Dials are counted by peer, so a
    /// channel's name means something only together with the peer's.
    expose: Option<Expose>,
    /// Progress to SYNCHRONIZED.
    pub sync: Sync,
    /// The SYNCED that the witness has durably.
    witness_synced: Option<Stamp>,
    /// SYNCED was sent to the witness on this channel.
    synced_sent: Vec<(Stamp, ChannelId)>,
    /// The newest ARMED that was sent.
    armed: Option<(Stamp, ChannelId)>,
    /// A manual failover is under way: nothing is served. [ST-26]
    pub handover: Option<Handover>,
    /// The log stream, once the mirror has asked for log on this channel.
    pub sending: Option<Sending>,
    /// Rows may rest on commits below this mark that were never confirmed: nothing is served before they could be.
    floor: Lsn,
    /// The database is open to clients.
    pub serving: bool,
    /// How it became principal.
    came: Came,
    /// Without a witness, a restarted principal tries its partner until then. [OQ-17]
    alone_from: Instant,
    clients: BTreeMap<ConnId, Client>,
    owners: BTreeMap<TxnId, ConnId>,
    pending: VecDeque<Pending>,
    /// Transactions left unfinished by recovery or promotion are being undone; when to go on.
    undo_at: Option<Instant>,
    /// Role sequence for replies.
    n: crate::types::RoleSequence,
    other: InstanceId,
}

/// Why an instance is principal: what it brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Came {
    /// It was principal before it restarted: no exposure right, and no haste. [OQ-4.1, OQ-17]
    Restarted,
    /// By a role switch: the record that made it owner says "not synchronised" elsewhere.
    Switched,
}

impl Principal {
    /// Principal from now on; the copy still has to be opened.
    pub fn new(common: &Common, now: Instant, came: Came, other: InstanceId, redo: RedoPace) -> Self {
        let alone = crate::types::Micros::from_secs(u64::from(common.period_s()));
        Principal {
            since: now,
            stage: Stage::Redo,
            redo,
            leases: [None; 2],
            shortest_s: [u16::MAX; 2],
            unanswered: [0; 2],
            exposed: came == Came::Switched,
            expose: None,
            loosened: Version::default(),
            sync: Sync::No,
            witness_synced: None,
            synced_sent: Vec::new(),
            armed: None,
            handover: None,
            sending: None,
            floor: Lsn::ZERO,
            serving: false,
            came,
            alone_from: match came {
                Came::Restarted => now + alone,
                Came::Switched => now,
            },
            clients: BTreeMap::new(),
            owners: BTreeMap::new(),
            pending: VecDeque::new(),
            undo_at: Some(now),
            n: common.n(),
            other,
        }
    }

    /// The copy is open: rows rest on everything in its log.
    pub fn opened(&mut self, copy: &Copy) {
        self.stage = Stage::Ready;
        self.floor = copy.end_of_log();
    }

    /// May commits be confirmed without the mirror? [S-64 … S-68, OQ-4.1]
    fn gate_open(&self, cx: &Cx<'_>, common: &Common) -> bool {
        if !common.keeper.is_durable(self.loosened) {
            return false;
        }
        match common.shared().witness.value {
            WitnessSetting::Off => self.sync == Sync::No || common.shared().safety.value == Safety::Off,
            WitnessSetting::Set(_) | WitnessSetting::Leaving(_) => {
                self.exposed
                    || cx.bug(Bug::SynchronizingDoesNotWait)
                        && self.sync == Sync::No
                        && common.connected(self.other)
            }
        }
    }

    /// Could a commit whose record ends below `mark` be confirmed?
    fn confirmable(&self, cx: &Cx<'_>, common: &Common, copy: &Copy, mark: Lsn) -> bool {
        copy.hardened() >= mark
            && (self.gate_open(cx, common) || self.sending.is_some_and(|s| s.acked >= mark))
    }

    /// May this instance answer clients at this moment? Asked for every answer. [OQ-3.1, INV-7]
    fn may_serve(&self, cx: &Cx<'_>, common: &Common) -> bool {
        if cx.bug(Bug::NoLeaseCheck) {
            return self.stage == Stage::Ready;
        }
        let more_s = if cx.bug(Bug::LeaseTwiceAsLong) { common.period_s() } else { 0 };
        let more = Micros::from_secs(u64::from(more_s));
        let valid = |lease: Option<Instant>| lease.is_some_and(|until| cx.now < until + more);
        let witness = common.shared().witness.value;
        self.stage == Stage::Ready
            && self.handover.is_none()
            && (!common.keeper.switching() || cx.bug(Bug::ServesWhileHandingOver))
            && quorum::may_serve(
                witness,
                valid(self.lease_until(common, 0)),
                valid(self.lease_until(common, 1)),
            )
            && (witness != WitnessSetting::Off || cx.now >= self.alone_from)
    }

    /// A ping of this instance has come back. [OQ-3.1]
    pub fn echoed(&mut self, peer: InstanceId, echo: Instant, their_timeout_s: u16) {
        if echo < self.since {
            return;
        }
        let lease = &mut self.leases[usize::from(peer != self.other)];
        if lease.is_none_or(|newest| newest.echo <= echo) {
            *lease = Some(Lease { echo, their_timeout_s });
        }
    }

    /// The period in force here has changed: a peer may hold either of the two until it answers.
    pub fn period_changed(&mut self, before_s: u16, after_s: u16) {
        for shortest in &mut self.shortest_s {
            *shortest = (*shortest).min(before_s).min(after_s);
        }
    }

    /// A setting was sent to a peer.
    pub fn setting_sent(&mut self, peer: InstanceId) {
        self.unanswered[usize::from(peer != self.other)] += 1;
    }

    /// A peer has answered a setting; after the last one it holds what is set here.
    pub fn setting_answered(&mut self, peer: InstanceId) {
        let left = &mut self.unanswered[usize::from(peer != self.other)];
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.period_known(peer);
        }
    }

    /// A peer has said that it holds the settings of this instance.
    pub fn period_known(&mut self, peer: InstanceId) {
        self.shortest_s[usize::from(peer != self.other)] = u16::MAX;
    }

    /// Until when the lease through partner (0) or witness (1) lasts, by the periods in force now: a shorter period
    /// shortens the leases that were granted under a longer one. [OQ-3.1, OQ-34]
    fn lease_until(&self, common: &Common, which: usize) -> Option<Instant> {
        self.leases[which].map(|lease| {
            let period_s = common.period_s().min(lease.their_timeout_s).min(self.shortest_s[which]);
            lease.echo + Micros::from_secs(u64::from(period_s))
        })
    }

    /// When the last valid lease ends, while serving.
    pub fn next_timeout(&self, now: Instant, common: &Common) -> Option<Instant> {
        let lease = match common.shared().witness.value {
            WitnessSetting::Off => None,
            WitnessSetting::Set(_) => self.lease_until(common, 0).max(self.lease_until(common, 1)),
            WitnessSetting::Leaving(_) => self.lease_until(common, 0),
        }
        // One that has run out has been dealt with.
        .filter(|until| *until > now);
        let alone = (!self.serving && self.alone_from > now).then_some(self.alone_from);
        let undo = self.undo_at.filter(|_| self.serving && self.stage == Stage::Ready);
        if self.serving { lease.into_iter().chain(undo).min() } else { alone }
    }

    /// The channel to a peer is gone. [FL-8, TR-16]
    pub fn channel_down(&mut self, peer: InstanceId) {
        self.unanswered[usize::from(peer != self.other)] = 0;
        if peer == self.other {
            self.sending = None;
            self.sync = Sync::No;
            self.armed = None;
        }
    }

    /// `mirroring_state` as far as this role decides it. [ST-9]
    pub fn state(&self, cx_now: Instant, common: &Common, interval: crate::types::Micros) -> MirroringState {
        if self.handover.is_some() {
            return MirroringState::PendingFailover;
        }
        match common.shared().safety.value {
            Safety::Full => match self.sync {
                Sync::Done(_) => MirroringState::Synchronized,
                Sync::No | Sync::Waiting(_) | Sync::Recording(_) => MirroringState::Synchronizing,
            },
            // Caught up: nothing unsent is older than one interval. [decisions: constants]
            Safety::Off => match self.sending {
                Some(s) if cx_now.since(s.drained) <= interval => MirroringState::Synchronized,
                _ => MirroringState::Synchronizing,
            },
        }
    }

    /// The mirror asks for log from here on. [S-30]
    pub fn log_request(&mut self, cx: &Cx<'_>, copy: &mut Copy, from: Lsn) -> bool {
        if from < copy.log_start() || from > copy.end_of_log() {
            return false;
        }
        // A mirror that asks again has begun anew, and so does the way to SYNCHRONIZED.
        self.sync = Sync::No;
        self.armed = None;
        self.sending = Some(Sending { cursor: from, acked: from, drained: cx.now });
        copy.set_mirror_hardened(Some(from));
        true
    }

    /// The mirror has hardened log. [S-32]
    pub fn log_ack(&mut self, copy: &mut Copy, hardened: Lsn) -> bool {
        let Some(sending) = &mut self.sending else { return true };
        if hardened > copy.end_of_log() {
            return false;
        }
        if hardened > sending.acked {
            sending.acked = hardened;
            copy.set_mirror_hardened(Some(hardened));
        }
        true
    }

    /// Somebody has durably noted "not synchronised". [OQ-4.1]
    pub fn expose_ok(&mut self, cx: &mut Cx<'_>, common: &Common, stamp: Stamp) {
        if self.sync == Sync::No && self.expose.as_ref().is_some_and(|e| e.stamp == stamp) {
            self.exposed = true;
            self.expose = None;
            cx.step(common.session, "exposed");
        }
    }

    /// Somebody has durably noted "synchronised". [OQ-4.2]
    pub fn synced_ok(&mut self, cx: &mut Cx<'_>, common: &Common, peer: InstanceId, stamp: Stamp) {
        if peer != self.other {
            self.witness_synced = Some(stamp);
        } else if self.sync == Sync::Recording(stamp) {
            self.sync = Sync::Done(stamp);
            cx.step(common.session, "synchronized");
        }
    }

    /// Whatever can go on goes on.
    pub fn advance(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy) {
        if common.keeper.switching() && !cx.bug(Bug::ServesWhileHandingOver) || self.stage != Stage::Ready {
            return;
        }
        if common.connected(self.other) {
            // It has met its partner: from now on it need not wait for it. [OQ-17]
            self.alone_from = self.alone_from.min(cx.now);
        }
        self.send_log(cx, common, copy);
        self.become_synchronized(cx, common, copy);
        self.become_exposed(cx, common);
        self.arm(cx, common);
        self.open_or_close(cx, common, copy);
        self.confirm(cx, common, copy);
        if self.serving && self.undo_at.is_some_and(|at| at <= cx.now) {
            let undo = copy.undo_some(UNDO_RECORDS);
            for txn in undo.finished {
                let woken = copy.release(txn);
                self.wake(cx, common, copy, woken);
            }
            self.undo_at = undo.more.then(|| cx.now + UNDO_PAUSE);
        }
    }

    /// Log goes out as soon as it is sealed, concurrently with the local write. [S-40, S-70]
    fn send_log(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &Copy) {
        if !common.connected(self.other) || common.shared().suspended.value {
            return;
        }
        let Some(sending) = &mut self.sending else { return };
        while sending.cursor < copy.end_of_log()
            && copy.unsent_bytes(sending.acked) - copy.unsent_bytes(sending.cursor)
                < cx.tuning().send_window_bytes
        {
            let mut raw = Vec::new();
            let mut first = None;
            let mut end = sending.cursor;
            for block in copy.blocks_after(sending.cursor) {
                if !raw.is_empty() && raw.len() + block.bytes.len() > MAX_GROUP_BYTES {
                    break;
                }
                first.get_or_insert(block.lsn);
                end = block.end;
                raw.extend_from_slice(&block.bytes);
            }
            let Some(first) = first else { break };
            let message = Message::LogBlock {
                first,
                end,
                raw_bytes: raw.len() as u32,
                hardened: copy.hardened(),
                bytes: crate::wire::compress(&raw),
            };
            common.send(cx, self.other, &message);
            sending.cursor = end;
        }
        if sending.cursor >= copy.end_of_log() {
            sending.drained = cx.now;
        }
    }

    /// First new commits wait for the mirror, then it hardens what there is, then SYNCED is recorded. [OQ-4.2, P-6]
    fn become_synchronized(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &Copy) {
        let shared = *common.shared();
        if !common.connected(self.other)
            || shared.suspended.value
            || shared.safety.value == Safety::Off
            || self.sending.is_none()
        {
            return;
        }
        let acked = self.sending.expect("checked above").acked;
        if self.sync == Sync::No && copy.unsent_bytes(acked) <= NEARLY_CAUGHT_UP_BYTES {
            self.exposed &= cx.bug(Bug::ExposedAfterSynced);
            self.expose = None;
            self.sync = Sync::Waiting(copy.end_of_log());
            cx.step(common.session, "synced.begin");
        }
        if let Sync::Waiting(target) = self.sync
            && acked >= target
            && copy.hardened() >= target
        {
            let n = common.n();
            let version = common.keeper.change(cx.out, |r| r.shared.synchronized.set(n, true));
            let stamp = common.shared().synchronized.stamp;
            self.sync = Sync::Recording(stamp);
            self.witness_synced = None;
            common.send_when_durable(cx, version, self.other, Message::Synced { stamp });
        }
        let (Sync::Recording(stamp) | Sync::Done(stamp)) = self.sync else { return };
        let version = common.keeper.version();
        if let Some(witness) = shared.witness.value.counting()
            && common.connected(witness)
            && common.keeper.is_durable(version)
            && let Some(channel) = common.channel(witness).and_then(|c| c.up())
            && !self.synced_sent.contains(&(stamp, channel))
        {
            self.synced_sent = vec![(stamp, channel)];
            common.send(cx, witness, &Message::Synced { stamp });
        }
    }

    /// Without the mirror, commits go on only after one other instance has noted it. [OQ-4.1, P-5]
    fn become_exposed(&mut self, cx: &mut Cx<'_>, common: &mut Common) {
        let witness = common.shared().witness.value;
        if witness == WitnessSetting::Off || self.exposed || self.sync != Sync::No {
            return;
        }
        if cx.bug(Bug::NoExpose) {
            self.exposed = true;
            return;
        }
        // Who may not serve anyway has no use for it, and would only take the failover from its mirror.
        let served_through = |which| self.lease_until(common, which).is_some_and(|until| cx.now < until);
        if !served_through(0) && !served_through(1) {
            return;
        }
        if self.expose.is_none() {
            let n = common.n();
            let version = common.keeper.change(cx.out, |r| r.shared.synchronized.set(n, false));
            let stamp = common.shared().synchronized.stamp;
            self.expose = Some(Expose { stamp, version, sent: Vec::new() });
        }
        let Expose { stamp, version, mut sent } = self.expose.take().expect("set above");
        if common.keeper.is_durable(version) {
            let helpers = witness.counting().into_iter().chain([self.other]);
            for peer in helpers {
                let Some(channel) = common.channel(peer).and_then(|c| c.up()) else { continue };
                if common.connected(peer) && !sent.contains(&(peer, channel)) {
                    sent.push((peer, channel));
                    common.send(cx, peer, &Message::Expose { stamp });
                    cx.step(common.session, "expose.sent");
                }
            }
        }
        self.expose = Some(Expose { stamp, version, sent });
    }

    /// Mirror and witness both hold SYNCED and see the same channel between them: the mirror may be armed.
    /// [OQ-4.2, OQ-15]
    fn arm(&mut self, cx: &mut Cx<'_>, common: &mut Common) {
        let Sync::Done(stamp) = self.sync else { return };
        let Some(witness) = common.shared().witness.value.counting() else { return };
        if self.witness_synced != Some(stamp) || !common.connected(witness) || !common.connected(self.other) {
            return;
        }
        let view = |of: InstanceId, towards: InstanceId| {
            let other = common.channel(of)?.other?;
            (other.peer == towards).then_some(other.up).flatten()
        };
        let (Some(channel), Some(same)) = (view(self.other, witness), view(witness, self.other)) else {
            return;
        };
        if channel == same && self.armed != Some((stamp, channel)) {
            self.armed = Some((stamp, channel));
            common.send(cx, self.other, &Message::Armed { stamp, channel });
        }
    }

    /// Serving starts and ends with the right to serve. [Q-5, Q-13]
    fn open_or_close(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy) {
        let may = self.may_serve(cx, common);
        if self.serving && !may {
            cx.step(common.session, "lease.lost");
            self.close(cx, common, Some(copy));
        } else if !self.serving && may && self.confirmable(cx, common, copy, self.floor) {
            self.serving = true;
            cx.out.push(Effect::Notice(Notice::Serving { session: common.session, open: true }));
        }
    }

    /// SAFETY has become OFF or FULL: the way to SYNCHRONIZED starts anew. [S-74]
    pub fn safety_changed(&mut self, common: &mut Common) {
        self.sync = Sync::No;
        self.armed = None;
        self.loosened = common.keeper.version();
        common.unsay_synced();
    }

    /// Another witness: SYNCED has to be recorded there before the mirror is armed. [OQ-16]
    pub fn witness_changed(&mut self) {
        self.leases[1] = None;
        self.witness_synced = None;
        self.synced_sent.clear();
        self.armed = None;
    }

    /// The session is SUSPENDED: no more log is sent, and the mirror is as good as away. [ST-1, ST-65]
    pub fn paused(&mut self, common: &mut Common) {
        self.safety_changed(common);
        self.sending = None;
    }

    /// Mirroring was removed: nobody need be asked or waited for any more. [C-83]
    pub fn alone(&mut self, now: Instant) {
        self.alone_from = self.alone_from.min(now);
    }

    /// Throws the clients out and begins to send the tail. [FO-37a]
    pub fn begin_failover(&mut self, cx: &mut Cx<'_>, common: &Common, copy: &mut Copy) {
        self.handover = Some(Handover::Draining);
        self.close(cx, common, Some(copy));
        copy.want_flush();
    }

    /// The end of the tail, once all of it is on the own disk and on its way.
    pub fn tail_sent(&self, copy: &Copy) -> Option<Lsn> {
        let sent = self.sending.is_some_and(|s| s.cursor == copy.end_of_log());
        (sent && copy.is_flushed()).then(|| copy.end_of_log())
    }
}
