//! The witness's seat in one session: a durable record, pings to both partners, and answers to their questions.
//! It starts nothing by itself. [Q-16, S-4]
//!
//! The two decisions that must not both happen, "the principal runs exposed" and "the mirror takes over", meet here
//! and are serialised by the record. [OQ-4]

use crate::bugs::Bug;
use crate::message::{LogPosition, Message, RoleRecord, Setting, Stamp, Stamped, WitnessSetting};
use crate::record::{Keeper, Life, Record, Version};
use crate::session::channel::{Common, Cx, Received};
use crate::transport::LinkLoss;
use crate::types::{InstanceId, Instant, RoleSequence, Safety, SessionId};
use crate::view::Status;
use crate::wire::Header;

/// A witness's part of one session.
#[derive(Clone, Debug, Hash)]
pub struct Seat {
    common: Common,
}

impl Seat {
    /// A seat as its record describes it.
    pub fn open(cx: &mut Cx<'_>, session: SessionId, keeper: Keeper) -> Self {
        let partners = keeper.record().shared.partners;
        let mut common = Common::new(session, keeper, cx.now);
        for partner in partners {
            common.want_channel(cx, partner);
        }
        Seat { common }
    }

    /// The record that SET WITNESS leaves on a new witness. [OQ-16]
    pub fn record_for(shared: &RoleRecord) -> Record {
        Record::of(*shared, None)
    }

    /// A slot write has completed.
    pub fn written(&mut self, cx: &mut Cx<'_>) {
        self.common.written(cx);
        self.drain(cx);
    }

    /// Its record cannot be written: the partners are told. The caller drops the seat. [OQ-35, P-1]
    pub fn database_failed(&mut self, cx: &mut Cx<'_>) {
        self.common.say_failed(cx);
    }

    fn drain(&mut self, cx: &mut Cx<'_>) {
        while let Some((peer, header, message)) = self.common.next_deferred() {
            self.message(cx, peer, header, message);
        }
    }

    /// A link with a partner is in use: the seat says its record.
    pub fn link_up(&mut self, cx: &mut Cx<'_>, peer: InstanceId, id: crate::message::ChannelId) {
        self.common.link_up(cx.now, peer, id);
        self.common.send_record(cx, peer, None);
    }

    /// A link with a partner is gone.
    pub fn link_down(&mut self, peer: InstanceId, loss: LinkLoss) {
        self.common.link_down(peer, loss);
    }

    /// A partner's host says that nothing listens.
    pub fn refused(&mut self, peer: InstanceId) {
        self.common.refused(peer);
    }

    /// One message of a partner.
    pub fn message(&mut self, cx: &mut Cx<'_>, peer: InstanceId, header: Header, message: Message) {
        match self.common.receive(cx, peer, header, message, false) {
            Received::Done | Received::Stranger | Received::Failed => {}
            Received::Record(theirs, log) => self.record(cx, peer, &theirs, log),
            Received::Ping { .. } => self.tick(cx),
            Received::Ended { .. } => self.end(cx),
            Received::Other(header, message) => self.other(cx, peer, header, message),
        }
    }

    /// A partner's role record: START of the channel, or news. [Q-14, OQ-20]
    fn record(&mut self, cx: &mut Cx<'_>, peer: InstanceId, theirs: &RoleRecord, _log: Option<LogPosition>) {
        let mine = *self.common.shared();
        if self.common.channel(peer).is_some_and(|c| !c.started) {
            self.common.ping_now(cx.now);
        }
        if let Some(channel) = self.common.channel_mut(peer) {
            channel.start(theirs);
            if !std::mem::replace(&mut channel.known, true) {
                self.common.send_record(cx, peer, None);
            }
        }
        if theirs.n > mine.n {
            let mut adopted = mine.superseded_by(theirs);
            if peer != theirs.owner && !cx.bug(Bug::SyncedFromMirror) {
                // Only the owner of n says "synchronised" for n.
                adopted.synchronized = Stamped::not_synchronized(theirs.n);
            }
            self.switch(cx, adopted);
        } else if theirs.n == mine.n {
            self.common.adopt_settings(cx, peer, theirs);
        } else {
            self.common.send_record(cx, peer, None);
        }
        self.tick(cx);
    }

    /// Adopts a record of a higher role sequence; everybody connected hears of it once it is durable. [OQ-4.5]
    fn switch(&mut self, cx: &mut Cx<'_>, adopted: RoleRecord) {
        let version = self.common.keeper.change(cx.out, |r| r.shared = adopted);
        self.common.new_sequence(cx.now);
        for partner in adopted.partners {
            self.common.send_when_durable(
                cx,
                version,
                partner,
                Message::Record { record: adopted, log: None },
            );
        }
    }

    fn other(&mut self, cx: &mut Cx<'_>, peer: InstanceId, header: Header, message: Message) {
        let mine = *self.common.shared();
        match message {
            Message::Expose { stamp } if peer == mine.owner => {
                self.note_synchronized(cx, peer, stamp, false, Message::ExposeOk { stamp });
            }
            Message::Synced { stamp } if peer == mine.owner || cx.bug(Bug::SyncedFromMirror) => {
                self.note_synchronized(cx, peer, stamp, true, Message::SyncedOk { stamp });
            }
            Message::Claim { stamp, hardened } => self.claim(cx, peer, header, stamp, hardened),
            Message::ClaimQuery { claimed } => {
                let answer = if (mine.n, mine.owner) == (claimed, peer) {
                    Message::ClaimGranted { claimed, suspended: mine.suspended }
                } else if mine.n >= claimed {
                    self.common.send_record(cx, peer, None);
                    return;
                } else {
                    Message::ClaimRefused { claimed, last_word: true }
                };
                let version = self.common.keeper.version();
                self.common.send_when_durable(cx, version, peer, answer);
            }
            // The owner of n sets everything; either partner may suspend. [C-47, C-63, OQ-54]
            Message::SettingChange { setting }
                if peer == mine.owner || matches!(setting, Setting::Suspended(_)) =>
            {
                let taken = self.common.take(cx, setting);
                self.common.answer_setting(cx, peer, setting.stamp(), taken);
            }
            Message::ForceClaim { hardened } => self.force_claim(cx, peer, header, hardened),
            Message::WitnessSet { record } if peer == mine.owner && record.n == mine.n => {
                self.common.adopt_settings(cx, peer, &record);
                let stamp = record.witness.stamp;
                let version = self.common.keeper.version();
                self.common.send_when_durable(cx, version, peer, Message::SettingOk { stamp });
            }
            // Not for a witness, or from somebody who may not say it: no effect on the state. [FL-29]
            _ => {}
        }
    }

    /// EXPOSE and SYNCED: noted durably, then answered. [OQ-4.1, OQ-4.2]
    fn note_synchronized(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        stamp: Stamp,
        value: bool,
        answer: Message,
    ) {
        let mine = self.common.shared().synchronized;
        if stamp < mine.stamp || (stamp == mine.stamp && value != mine.value) {
            return;
        }
        if stamp > mine.stamp {
            self.common.keeper.change(cx.out, |r| r.shared.synchronized = Stamped { value, stamp });
        }
        self.answer(cx, peer, answer);
    }

    /// Says something that rests on the newest version of the record. [P-1]
    fn answer(&mut self, cx: &mut Cx<'_>, peer: InstanceId, answer: Message) {
        if cx.bug(Bug::WitnessAnswersBeforeFlush) {
            let n = self.common.n();
            cx.transport.send(peer, self.common.session, n, &answer, cx.out);
            return;
        }
        let version = self.common.keeper.version();
        self.common.send_when_durable(cx, version, peer, answer);
    }

    /// A mirror has lost the principal and asks for the role. [OQ-4.3, FO-11 … FO-16]
    fn claim(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        header: Header,
        stamp: Stamp,
        hardened: crate::types::Lsn,
    ) {
        let mine = *self.common.shared();
        let claimed = header.n.next();
        let records_agree = header.n == mine.n
            && peer != mine.owner
            && mine.witness.value == WitnessSetting::Set(cx.me())
            && mine.safety.value == Safety::Full
            && !mine.suspended.value
            && mine.synchronized.value
            && mine.synchronized.stamp == stamp;
        let refusal = if !records_agree { Some(true) } else { (!self.owner_lost(cx)).then_some(false) };
        if let Some(last_word) = refusal {
            self.refuse_claim(cx, peer, claimed, last_word);
            return;
        }
        cx.step(self.common.session, "claim.recorded");
        self.grant(cx, peer, claimed, hardened, mine.suspended);
    }

    /// The owner has ordered a mirror to take the role. As a claim, without the synchronised conditions. [OQ-4.6]
    fn force_claim(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        header: Header,
        hardened: crate::types::Lsn,
    ) {
        let mine = *self.common.shared();
        let claimed = header.n.next();
        let records_agree =
            header.n == mine.n && peer != mine.owner && mine.witness.value.named() == Some(cx.me());
        if !records_agree || !(self.owner_lost(cx) || cx.bug(Bug::ForceWithoutClaim)) {
            self.refuse_claim(cx, peer, claimed, !records_agree);
            return;
        }
        cx.step(self.common.session, "force.recorded");
        let mut suspended = mine.suspended;
        suspended.set(claimed, true);
        self.grant(cx, peer, claimed, hardened, suspended);
    }

    /// Has this instance declared the owner of n lost? [OQ-3.2, OQ-3.3]
    fn owner_lost(&self, cx: &Cx<'_>) -> bool {
        let patience = self.common.patience(cx.tuning());
        let owner = self.common.shared().owner;
        self.common.channel(owner).is_some_and(|c| c.lost(cx.now, patience))
    }

    fn refuse_claim(&mut self, cx: &mut Cx<'_>, peer: InstanceId, claimed: RoleSequence, last_word: bool) {
        let version = self.common.keeper.version();
        self.common.send_when_durable(cx, version, peer, Message::ClaimRefused { claimed, last_word });
    }

    /// The mirror owns the role from now on; told when it is durable. [OQ-4.3]
    fn grant(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        claimed: RoleSequence,
        hardened: crate::types::Lsn,
        suspended: Stamped<bool>,
    ) {
        self.common.keeper.change(cx.out, |r| {
            r.shared.pass(claimed, peer, hardened);
            r.shared.suspended = suspended;
        });
        self.common.new_sequence(cx.now);
        self.answer(cx, peer, Message::ClaimGranted { claimed, suspended });
        for partner in self.common.shared().partners {
            self.common.send_record(cx, partner, None);
        }
    }

    /// SET WITNESS has made this seat: it answers once its record is durable. [OQ-16]
    pub fn created(&mut self, cx: &mut Cx<'_>, owner: InstanceId, record: &RoleRecord) {
        let version = self.common.keeper.version();
        let stamp = record.witness.stamp;
        for partner in record.partners {
            let message = Message::Record { record: *record, log: None };
            self.common.send_when_durable(cx, version, partner, message);
        }
        self.common.send_when_durable(cx, version, owner, Message::SettingOk { stamp });
    }

    /// What time brings: pings, silence.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        self.common.close_silent(cx);
        self.common.ping(cx, true, None);
    }

    /// When [`Seat::tick`] has something to do.
    pub fn next_timeout(&self, now: Instant, tuning: &crate::config::Tuning) -> Instant {
        self.common.next_timeout(now, tuning)
    }

    /// What the witness's view shows.
    pub fn status(&self) -> Status {
        Status {
            role: None,
            state: None,
            n: self.common.n(),
            witness: None,
            safety: self.common.shared().safety.value,
            serving: false,
        }
    }

    /// A partner says that the session was removed: the record goes. [C-80, OQ-55]
    fn end(&mut self, cx: &mut Cx<'_>) {
        if self.common.keeper.record().life == Life::Session {
            cx.step(self.common.session, "session.ended");
            self.common.keeper.change(cx.out, |r| r.life = Life::Ended);
        }
    }

    /// The session has ended here, durably: it was removed, or its witness is another one, or none.
    pub fn ended(&self, me: InstanceId) -> bool {
        Seat::is_over(self.common.keeper.record(), me) && self.common.settled()
    }

    /// Does this record of a seat stand for nothing any more?
    pub fn is_over(record: &Record, me: InstanceId) -> bool {
        record.life != Life::Session || record.shared.witness.value.named() != Some(me)
    }

    /// The newest version of its record.
    pub fn version(&self) -> Version {
        self.common.keeper.version()
    }

    /// Cheap digest of the state.
    pub fn fingerprint(&self) -> u64 {
        let shared = self.common.shared();
        let sync = shared.synchronized;
        u64::from(shared.n.0) << 40
            ^ u64::from(shared.owner.0) << 32
            ^ u64::from(sync.stamp.sequence) << 8
            ^ u64::from(sync.value)
    }

    /// Role sequence.
    pub fn n(&self) -> RoleSequence {
        self.common.n()
    }

    /// Invariants of the state.
    pub fn check(&self) {
        let shared = self.common.shared();
        assert!(shared.partners.contains(&shared.owner), "the owner is one of the two partners");
    }
}
