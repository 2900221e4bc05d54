//! The mirror's part: hardening and acknowledging log, redo, being armed, and claiming the role when the principal
//! is lost. [S-32, S-43, OQ-4.2, OQ-4.3]

use super::channel::{Common, Cx};
use super::reconcile::Rejoin;
use crate::bugs::Bug;
use crate::message::{ChannelId, LogPosition, Message, Stamp};
use crate::record::Version;
use crate::storage::Copy;
use crate::types::{InstanceId, Instant, Lsn, Micros, MirroringState, Safety};

/// Redo runs at most this far ahead of its rate, in bytes.
const REDO_BURST_BYTES: i64 = 256 << 10;
/// A redo queue that its rate holds back is looked at again after this time.
const REDO_PAUSE: Micros = Micros::from_millis(2);

/// Redo of what is hardened, oldest record first, at its rate; it never delays hardening. A mirror redoes so all the
/// time, and a new principal finishes so before it opens. [S-43, P-12, FO-22, FO-72]
#[derive(Clone, Copy, Debug, Hash)]
pub struct RedoPace {
    /// Bytes that may be redone now; negative while the last block, which is always redone whole, is being paid for.
    credit: i64,
    /// Up to when credit has been earned.
    at: Instant,
}

impl RedoPace {
    /// Full credit.
    pub fn new(now: Instant) -> Self {
        RedoPace { credit: REDO_BURST_BYTES, at: now }
    }

    /// Redoes what the rate allows.
    pub fn step(&mut self, cx: &Cx<'_>, copy: &mut Copy) {
        let earned = cx.now.since(self.at).0.saturating_mul(cx.tuning().redo_bytes_per_s) / 1_000_000;
        if earned > 0 {
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            self.credit = self.credit.saturating_add(earned).min(REDO_BURST_BYTES);
            self.at = cx.now;
        }
        if copy.redone() < copy.hardened() && self.credit > 0 {
            let applied = copy.redo(self.credit as usize);
            self.credit -= applied.bytes as i64;
        }
    }

    /// When credit has come back for what waits.
    pub fn next_timeout(&self, now: Instant, copy: &Copy) -> Option<Instant> {
        (copy.redone() < copy.hardened() && self.credit <= 0).then(|| self.at.max(now) + REDO_PAUSE)
    }
}

/// An open claim. [OQ-4.3]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// None.
    No,
    /// Forced without a witness: nobody need agree, but the log in flight has to land. [OQ-4.6]
    Deciding,
    /// On its way to the disk; after that, the log in flight has to land.
    Recording(Version),
    /// Sent on this channel; asked again at the instant given.
    Asked(ChannelId, Instant),
    /// The channel to the witness broke, or the instance restarted: the claim is only queried, on this channel already.
    Queried(Option<ChannelId>),
}

/// By which form of role switch a mirror becomes principal. [FO-1 … FO-3]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switch {
    /// It claimed the role by itself.
    Automatic,
    /// The principal handed the role over.
    Manual,
    /// The owner forced it.
    Forced,
}

/// A record names this instance as owner of a new n, but it does not act as principal yet. [OQ-4.5]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elected {
    /// No.
    No,
    /// The witness has answered the claim: it acts as soon as its own record is durable.
    Granted,
    /// It learnt of it from somebody's record: the other partner must show the same n, or be lost.
    Told,
}

/// A partner in the mirror role.
#[derive(Clone, Debug, Hash)]
pub struct Mirror {
    /// SYNCED stamp and witness channel of the ARMED in force.
    armed: Option<(Stamp, ChannelId)>,
    /// The open claim.
    pub claim: Claim,
    /// The claim was ordered by the owner; the channel to the witness on which it rests.
    pub forced: Option<ChannelId>,
    /// Waiting to become principal.
    pub elected: Elected,
    /// The form of role switch that elected it.
    pub switch: Switch,
    /// It has handed the role over, and the new principal has not said its record yet. [OQ-9.3]
    pub handed_over: bool,
    /// The tail of a manual failover, to be hardened and answered. [OQ-9.2]
    pub tail: Option<Lsn>,
    /// The principal has begun a manual failover, and not been seen to abandon it. [TR-12, TR-14]
    pub failing_over: bool,
    /// Reconciliation with the principal's log.
    pub rejoin: Rejoin,
    /// What the principal said of its log at START of the channel at hand.
    pub their_log: Option<LogPosition>,
    /// The state the principal shows.
    pub principal_state: Option<MirroringState>,
    /// SYNCED was answered on this channel: the mirror shows SYNCHRONIZED.
    pub synchronized: bool,
    acked: Lsn,
    /// A flush of the fetched pages was asked for.
    pub flushing_pages: bool,
    /// Redo and its rate.
    pub redo: RedoPace,
}

impl Mirror {
    /// Mirror from now on.
    pub fn new(common: &Common, now: Instant) -> Self {
        let claim = match common.keeper.record().claim {
            Some(_) => Claim::Queried(None),
            None => Claim::No,
        };
        Mirror {
            armed: None,
            claim,
            forced: None,
            elected: Elected::No,
            switch: Switch::Automatic,
            handed_over: false,
            tail: None,
            failing_over: false,
            rejoin: Rejoin::Idle,
            their_log: None,
            principal_state: None,
            synchronized: false,
            acked: Lsn::ZERO,
            flushing_pages: false,
            redo: RedoPace::new(now),
        }
    }

    /// Nothing is accepted from, or echoed to, the principal of the current n. [OQ-4.3]
    pub fn claiming(&self) -> bool {
        self.claim != Claim::No
    }

    /// The channel to a peer is gone. [Q-17, OQ-15]
    pub fn channel_down(&mut self, cx: &Cx<'_>, peer: InstanceId, other: InstanceId) {
        if peer == other {
            self.rejoin = Rejoin::Idle;
            self.their_log = None;
            self.principal_state = None;
            self.synchronized = false;
            self.tail = None;
            self.failing_over = false;
            self.handed_over = false;
        } else {
            if !cx.bug(Bug::ArmedAcrossFlap) {
                self.armed = None;
            }
            if let Claim::Asked(..) | Claim::Queried(_) = self.claim {
                self.claim = Claim::Queried(None);
            }
        }
    }

    /// The principal says that mirror and witness hold SYNCED and are connected. The mirror never arms itself.
    /// [OQ-4.2]
    pub fn arm(
        &mut self,
        cx: &mut Cx<'_>,
        common: &Common,
        witness: InstanceId,
        stamp: Stamp,
        channel: ChannelId,
    ) {
        let held = common.shared().synchronized;
        let stands = common.channel(witness).and_then(|c| c.up()) == Some(channel);
        if stands && held.value && held.stamp == stamp && !self.claiming() {
            self.armed = Some((stamp, channel));
            cx.step(common.session, "armed");
        }
    }

    /// The session is SUSPENDED: the stream ends, and with it the right to fail over. [ST-1, FO-29]
    pub fn paused(&mut self, cx: &Cx<'_>) {
        self.rejoin = Rejoin::Idle;
        self.their_log = None;
        self.tail = None;
        self.synchronized = false;
        if !cx.bug(Bug::SuspendedFailsOver) {
            self.disarm();
        }
    }

    /// Another witness, or none: it has not recorded SYNCED. [OQ-16]
    pub fn unarm(&mut self) {
        self.armed = None;
    }

    /// A newer "not synchronised" or a restart of the way to SYNCHRONIZED ends the right to fail over.
    pub fn disarm(&mut self) {
        self.armed = None;
        self.synchronized = false;
    }

    /// Log of the principal: verified, written, acknowledged when it is hardened. False: it breaks the link.
    pub fn log_block(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        raw_bytes: u32,
        compressed: &[u8],
        principal: InstanceId,
    ) -> bool {
        if self.rejoin != Rejoin::Receiving {
            return true;
        }
        let Some(raw) = crate::wire::decompress(compressed, raw_bytes) else { return false };
        if copy.receive(&raw, cx.out).is_err() {
            return false;
        }
        if cx.bug(Bug::AckBeforeFlush) {
            let message = Message::LogAck {
                hardened: copy.end_of_log(),
                redone: copy.redone(),
                redo_queue_bytes: copy.redo_queue_bytes(),
            };
            common.send(cx, principal, &message);
            return true;
        }
        // Blocks that were there already are acknowledged at once.
        self.acknowledge(cx, common, copy, principal);
        true
    }

    /// Tells the principal what is hardened, when that is news. [S-32, P-11]
    pub fn acknowledge(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &Copy, principal: InstanceId) {
        if self.rejoin != Rejoin::Receiving || copy.hardened() <= self.acked || self.claiming() {
            return;
        }
        self.acked = copy.hardened();
        let message = Message::LogAck {
            hardened: copy.hardened(),
            redone: copy.redone(),
            redo_queue_bytes: copy.redo_queue_bytes(),
        };
        common.send(cx, principal, &message);
    }

    /// A new stream begins at `from`: what lies below is known to the principal.
    pub fn stream_from(&mut self, from: Lsn) {
        self.acked = from;
    }

    /// Everything received is on the disk and redone.
    pub fn redo_finished(copy: &Copy) -> bool {
        copy.redone() == copy.end_of_log() && copy.hardened() == copy.end_of_log()
    }

    /// Starts, repeats or queries a claim as the case may be. [OQ-4.3, FO-11 … FO-15]
    pub fn claim(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &Copy,
        other: InstanceId,
        witness: InstanceId,
    ) {
        if common.keeper.switching() || self.elected != Elected::No {
            return;
        }
        let suspended_claims = cx.bug(Bug::SuspendedFailsOver) && common.shared().suspended.value;
        let channel = common.channel(witness).and_then(|c| c.up());
        match self.claim {
            Claim::No => {
                let shared = *common.shared();
                let may = self.armed.is_some_and(|(stamp, on)| {
                    (channel == Some(on) || cx.bug(Bug::ArmedAcrossFlap) && channel.is_some())
                        && (shared.synchronized.value && shared.synchronized.stamp == stamp
                            || suspended_claims)
                }) && shared.safety.value == Safety::Full
                    && shared.witness.value.counting() == Some(witness)
                    && (!shared.suspended.value || suspended_claims)
                    && common.keeper.record().undo.is_none();
                let patience = common.patience(cx.tuning());
                let lost = common.channel(other).is_some_and(|c| c.id.is_none() && c.lost(cx.now, patience));
                if may && lost {
                    if cx.bug(Bug::VolatileClaim) {
                        self.claim = Claim::Recording(common.keeper.version());
                    } else {
                        let claimed = shared.n.next();
                        let version = common.keeper.change(cx.out, |r| r.claim = Some(claimed));
                        self.claim = Claim::Recording(version);
                    }
                    self.claim(cx, common, copy, other, witness);
                }
            }
            Claim::Deciding => {}
            Claim::Recording(version) => {
                if common.keeper.is_durable(version) && copy.hardened() == copy.end_of_log() {
                    let step = if self.forced.is_some() { "force.claim" } else { "claim.durable" };
                    cx.step(common.session, step);
                    self.ask(cx, common, copy, witness, channel);
                }
            }
            Claim::Asked(on, again) => {
                if channel == Some(on) && cx.now >= again {
                    self.ask(cx, common, copy, witness, channel);
                }
            }
            Claim::Queried(on) => {
                if let (Some(now_on), Some(claimed)) = (channel, common.keeper.record().claim)
                    && on != channel
                {
                    self.claim = Claim::Queried(Some(now_on));
                    if cx.bug(Bug::ClaimAfterFlap) {
                        let stamp = common.shared().synchronized.stamp;
                        common.send(cx, witness, &Message::Claim { stamp, hardened: copy.hardened() });
                        return;
                    }
                    common.send(cx, witness, &Message::ClaimQuery { claimed });
                }
            }
        }
    }

    fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &Copy,
        witness: InstanceId,
        channel: Option<ChannelId>,
    ) {
        let rests_on = self.forced.or(self.armed.map(|(_, on)| on));
        let Some(on) = channel.filter(|c| rests_on == Some(*c) || cx.bug(Bug::ArmedAcrossFlap)) else {
            // The channel the claim rests on has broken meanwhile: from now on it is only queried.
            self.claim = Claim::Queried(None);
            return;
        };
        self.claim = Claim::Asked(on, cx.now + cx.tuning().ping_interval);
        let stamp = common.shared().synchronized.stamp;
        let hardened = copy.hardened();
        let claim = if self.forced.is_some() {
            Message::ForceClaim { hardened }
        } else {
            Message::Claim { stamp, hardened }
        };
        common.send(cx, witness, &claim);
    }

    /// The witness says no. Final: the claim ends here, and with it the right; an order of the owner ends with any
    /// refusal. False: the claim stands and is asked again. [OQ-4.3 b, OQ-4.6]
    pub fn claim_refused(&mut self, cx: &mut Cx<'_>, common: &mut Common, last_word: bool) -> bool {
        if !last_word && self.forced.is_none() && !cx.bug(Bug::RefusalIsFinal) {
            return false;
        }
        cx.step(common.session, "claim.refused");
        self.armed = None;
        self.forced = None;
        self.claim = Claim::No;
        if common.keeper.record().claim.is_some() {
            common.keeper.change(cx.out, |r| r.claim = None);
        }
        true
    }

    /// When redo or the claim wants a turn.
    pub fn next_timeout(&self, now: Instant, copy: &Copy) -> Option<Instant> {
        let redo = self.redo.next_timeout(now, copy);
        let claim = match self.claim {
            Claim::Asked(_, again) => Some(again),
            Claim::No | Claim::Deciding | Claim::Recording(_) | Claim::Queried(_) => None,
        };
        redo.into_iter().chain(claim).min()
    }
}
