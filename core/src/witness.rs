//! The witness's seat in one session: a durable record, pings to both partners, and answers to their questions.
//! It starts nothing by itself. [Q-16, S-4]
//!
//! The two decisions that must not both happen, "the principal runs exposed" and "the mirror takes over", meet here
//! and are serialised by the record. [OQ-4]

use crate::bugs::Bug;
use crate::message::{LogPosition, Message, RoleRecord, Setting, Stamp, Stamped, WitnessSetting};
use crate::record::{Keeper, Record};
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
        Record { shared: *shared, claim: None, off_fork: false, undo: None, branches: None }
    }

    /// A slot write has completed.
    pub fn written(&mut self, cx: &mut Cx<'_>) {
        self.common.written(cx);
        self.drain(cx);
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
            Received::Done => {}
            Received::Record(theirs, log) => self.record(cx, peer, &theirs, log),
            Received::Ping { .. } => self.tick(cx),
            Received::Other(header, message) => self.other(cx, peer, header, message),
        }
    }

    /// A partner's role record: START of the channel, or news. [Q-14, OQ-20]
    fn record(&mut self, cx: &mut Cx<'_>, peer: InstanceId, theirs: &RoleRecord, _log: Option<LogPosition>) {
        let mine = *self.common.shared();
        if let Some(channel) = self.common.channel_mut(peer) {
            channel.start(theirs);
            if !std::mem::replace(&mut channel.known, true) {
                self.common.send_record(cx, peer, None);
            }
        }
        if theirs.n > mine.n {
            let mut adopted = *theirs;
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
                    Message::ClaimGranted { claimed }
                } else if mine.n >= claimed {
                    self.common.send_record(cx, peer, None);
                    return;
                } else {
                    Message::ClaimRefused { claimed, last_word: true }
                };
                let version = self.common.keeper.version();
                self.common.send_when_durable(cx, version, peer, answer);
            }
            Message::SettingChange { setting } if peer == mine.owner => self.setting(cx, peer, setting),
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
        let refusal = if !records_agree {
            Some(true)
        } else {
            let patience = self.common.patience(cx.tuning());
            let lost = self.common.channel(mine.owner).is_some_and(|c| c.lost(cx.now, patience));
            (!lost).then_some(false)
        };
        if let Some(last_word) = refusal {
            let version = self.common.keeper.version();
            self.common.send_when_durable(cx, version, peer, Message::ClaimRefused { claimed, last_word });
            return;
        }
        cx.step(self.common.session, "claim.recorded");
        self.common.keeper.change(cx.out, |r| {
            r.shared.n = claimed;
            r.shared.owner = peer;
            r.shared.failover_lsn = hardened;
            r.shared.synchronized = Stamped::not_synchronized(claimed);
        });
        self.common.new_sequence(cx.now);
        self.answer(cx, peer, Message::ClaimGranted { claimed });
        for partner in mine.partners {
            self.common.send_record(cx, partner, None);
        }
    }

    /// SAFETY, TIMEOUT, WITNESS, from the owner of n. [C-47]
    fn setting(&mut self, cx: &mut Cx<'_>, peer: InstanceId, setting: Setting) {
        let stamp = setting.stamp();
        let mine = self.common.shared();
        let held = match setting {
            Setting::Safety(_) => mine.safety.stamp,
            Setting::Timeout(_) => mine.timeout_s.stamp,
            Setting::Witness(_) => mine.witness.stamp,
        };
        if stamp < held {
            self.common.send(cx, peer, &Message::SettingRefused { stamp });
            return;
        }
        if stamp > held {
            self.common.keeper.change(cx.out, |r| match setting {
                Setting::Safety(s) => r.shared.safety = s,
                Setting::Timeout(s) => r.shared.timeout_s = s,
                Setting::Witness(s) => r.shared.witness = s,
            });
        }
        self.answer(cx, peer, Message::SettingOk { stamp });
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

    /// The session has ended here: its witness is another one, or none.
    pub fn ended(&self, me: InstanceId) -> bool {
        self.common.shared().witness.value.named() != Some(me) && self.common.settled()
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
