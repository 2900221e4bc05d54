//! What a partner does with the messages of its peers, one handler for each kind in each role; settings that come with
//! them, and what hangs on these. [OQ-1, OQ-20, FL-29]

use super::super::channel::Received;
use super::*;

impl Partner {
    /// One message.
    pub fn message(&mut self, cx: &mut Cx<'_>, peer: InstanceId, header: Header, message: Message) {
        if self.is_over() || matches!(message, Message::Start { .. } | Message::StartFail { .. }) {
            self.message_of_no_session(cx, peer, message);
            self.advance(cx);
            return;
        }
        if self.common.channel(peer).is_none() {
            // A witness that was replaced or removed while it was away: it is told. [OQ-16, OQ-55]
            let record = *self.common.shared();
            let durable = self.common.keeper.is_durable(self.common.keeper.version());
            if matches!(message, Message::Record { .. }) && durable {
                let n = self.common.n();
                let message = Message::Record { record, log: None };
                cx.transport.send(peer, self.common.session, n, &message, cx.out);
            }
            return;
        }
        let claiming = match &self.role {
            RoleData::Mirror(m) => m.claiming() && !cx.bug(Bug::ClaimantFollows),
            RoleData::Principal(_) => false,
        };
        match self.common.receive(cx, peer, header, message, claiming) {
            Received::Done => {}
            Received::Record(theirs, log) => self.record(cx, peer, &theirs, log),
            Received::Ping { timeout_s, echo, state } => match &mut self.role {
                RoleData::Principal(p) => {
                    let timeout_s = if cx.bug(Bug::LeaseByOwnPeriod) { u16::MAX } else { timeout_s };
                    if let Some(echo) = echo {
                        p.echoed(peer, echo, timeout_s);
                    }
                }
                RoleData::Mirror(m) => {
                    if peer == self.other {
                        m.principal_state = state;
                        m.failing_over &= state == Some(MirroringState::PendingFailover);
                    }
                }
            },
            Received::Stranger | Received::Failed => self.channel_down(cx, peer),
            Received::Ended { n, owner } => self.session_ended(cx, n, owner),
            Received::Other(header, message) => {
                if !self.other_message(cx, peer, header, message) {
                    self.break_link(cx, peer);
                }
            }
        }
        self.advance(cx);
    }

    /// What cannot be used breaks the connection; it is resent on the next one. [P-14]
    pub(super) fn break_link(&mut self, cx: &mut Cx<'_>, peer: InstanceId) {
        cx.message(self.common.session, 1434);
        cx.transport.close(cx.now, peer, crate::message::ByeReason::TimedOut, cx.out);
        self.common.link_down(peer, LinkLoss::Ambiguous);
        self.channel_down(cx, peer);
    }

    /// Settings have come from another instance: what hangs on them.
    pub fn settings_changed(&mut self, cx: &mut Cx<'_>, before: &RoleRecord) {
        let after = *self.common.shared();
        if after.witness.value != before.witness.value {
            let old = before.witness.value.named();
            let new = after.witness.value.named();
            if old != new {
                self.common.channels.retain(|c| Some(c.peer) != old);
            }
            if let Some(witness) = new.filter(|_| old != new) {
                self.common.want_channel(cx, witness);
                self.say_record(cx, witness);
            }
        }
        if after.safety.value != before.safety.value
            && let RoleData::Principal(p) = &mut self.role
        {
            p.safety_changed(&mut self.common);
        }
        if after.suspended.value != before.suspended.value {
            self.suspension_changed(cx, after.suspended.value);
        }
    }

    /// The session is paused or goes on. The log stream ends with the pause, and begins anew after it: the principal says
    /// where its log stands, and the mirror compares. [TR-5, TR-9, FO-46]
    fn suspension_changed(&mut self, cx: &mut Cx<'_>, suspended: bool) {
        cx.step(self.common.session, if suspended { "suspended" } else { "resumed" });
        // A failover that has not been handed over gives way.
        self.abandon_failover(cx, 1456);
        match &mut self.role {
            RoleData::Principal(p) => {
                p.paused(&mut self.common);
            }
            RoleData::Mirror(m) => m.paused(cx),
        }
        if !suspended && matches!(self.role, RoleData::Principal(_)) {
            self.say_record(cx, self.other);
        }
    }

    /// Messages of a role, in the role sequence at hand. False: the link breaks.
    fn other_message(&mut self, cx: &mut Cx<'_>, peer: InstanceId, header: Header, message: Message) -> bool {
        let owner = self.common.shared().owner;
        let witness = self.common.shared().witness.value.named();
        let copy = &mut self.copy;
        match (&mut self.role, message) {
            (RoleData::Principal(p), Message::LogRequest { from })
                if peer == self.other && p.stage == Stage::Ready =>
            {
                p.log_request(cx, copy, from)
            }
            (RoleData::Principal(p), Message::LogAck { hardened, .. }) if peer == self.other => {
                p.log_ack(copy, hardened)
            }
            (RoleData::Principal(p), Message::ExposeOk { stamp }) => {
                p.expose_ok(cx, &self.common, stamp);
                true
            }
            (RoleData::Principal(p), Message::SyncedOk { stamp }) => {
                p.synced_ok(cx, &self.common, peer, stamp);
                true
            }
            (RoleData::Principal(_), Message::PageRequest { pages }) if peer == self.other => {
                self.send_pages(cx, &pages);
                true
            }
            (RoleData::Principal(_), Message::FailoverReady { end }) if peer == self.other => {
                self.failover_ready(cx, end);
                true
            }
            (RoleData::Principal(_) | RoleData::Mirror(_), Message::SettingOk { stamp }) => {
                self.setting_answered(cx, peer, stamp, true);
                true
            }
            (RoleData::Principal(_) | RoleData::Mirror(_), Message::SettingRefused { stamp }) => {
                self.setting_answered(cx, peer, stamp, false);
                true
            }
            // Either partner may suspend; only the owner of n sets the rest. [C-63]
            (RoleData::Principal(_), Message::SettingChange { setting: Setting::Suspended(flag) })
                if peer == self.other && flag.value =>
            {
                self.take_setting(cx, Setting::Suspended(flag));
                true
            }
            (RoleData::Mirror(m), message)
                if m.claiming() && peer == owner && !cx.bug(Bug::ClaimantFollows) =>
            {
                // Nothing is accepted from the principal while a claim is open; START is handled elsewhere.
                debug_assert!(!matches!(message, Message::Record { .. }), "records take another way");
                true
            }
            (RoleData::Mirror(m), Message::LogBlock { raw_bytes, bytes, .. }) if peer == owner => {
                m.log_block(cx, &mut self.common, copy, raw_bytes, &bytes, owner)
            }
            (RoleData::Mirror(m), Message::Expose { stamp }) if peer == owner => {
                if !(cx.bug(Bug::SuspendedFailsOver) && self.common.shared().suspended.value) {
                    m.disarm();
                }
                self.note_synchronized(cx, stamp, false);
                true
            }
            (RoleData::Mirror(m), Message::Synced { stamp }) if peer == owner => {
                m.disarm();
                if m.rejoin == Rejoin::Receiving {
                    self.note_synchronized(cx, stamp, true);
                }
                true
            }
            (RoleData::Mirror(m), Message::Armed { stamp, channel }) if peer == owner => {
                if let Some(witness) = witness {
                    m.arm(cx, &self.common, witness, stamp, channel);
                }
                true
            }
            (RoleData::Mirror(m), Message::PageReply { page, image }) if peer == owner => {
                m.page(copy, &mut self.common, cx, page, &image)
            }
            (RoleData::Mirror(_), Message::SettingChange { setting }) if peer == owner => {
                self.take_setting(cx, setting);
                true
            }
            (RoleData::Mirror(m), Message::FailoverStart { end })
                if peer == owner && m.rejoin == Rejoin::Receiving =>
            {
                m.tail = Some(end);
                m.failing_over = true;
                true
            }
            (RoleData::Mirror(m), Message::ClaimRefused { last_word, claimed })
                if Some(peer) == witness && m.claiming() && claimed == header.n.max(claimed) =>
            {
                if m.claim_refused(cx, &mut self.common, last_word) {
                    self.say_record(cx, self.other);
                    self.force_refused(cx);
                }
                true
            }
            (RoleData::Mirror(_), Message::ClaimGranted { claimed, suspended }) if Some(peer) == witness => {
                self.granted(cx, claimed, suspended);
                true
            }
            // Late, or meant for the role given up in between: no effect on the state. [FL-29, S-8]
            (
                RoleData::Principal(_) | RoleData::Mirror(_),
                Message::Hello { .. }
                | Message::Welcome { .. }
                | Message::Bye { .. }
                | Message::Ping { .. }
                | Message::Record { .. }
                | Message::LogRequest { .. }
                | Message::LogBlock { .. }
                | Message::LogAck { .. }
                | Message::Expose { .. }
                | Message::ExposeOk { .. }
                | Message::Synced { .. }
                | Message::SyncedOk { .. }
                | Message::Armed { .. }
                | Message::Claim { .. }
                | Message::ForceClaim { .. }
                | Message::ClaimQuery { .. }
                | Message::ClaimGranted { .. }
                | Message::ClaimRefused { .. }
                | Message::SettingChange { .. }
                | Message::WitnessSet { .. }
                | Message::FailoverStart { .. }
                | Message::FailoverReady { .. }
                | Message::NoSession
                | Message::DatabaseFailed
                | Message::SessionEnd { .. }
                | Message::Start { .. }
                | Message::StartFail { .. }
                | Message::PageRequest { .. }
                | Message::PageReply { .. },
            ) => true,
        }
    }

    /// EXPOSE or SYNCED from the owner: durable, then answered. [OQ-4.1, OQ-4.2]
    fn note_synchronized(&mut self, cx: &mut Cx<'_>, stamp: Stamp, value: bool) {
        let held = self.common.shared().synchronized;
        if stamp < held.stamp || (stamp == held.stamp && value != held.value) {
            return;
        }
        if stamp > held.stamp {
            self.common.keeper.change(cx.out, |r| r.shared.synchronized = Stamped { value, stamp });
        }
        if let RoleData::Mirror(m) = &mut self.role {
            m.synchronized = value;
        }
        let answer = if value { Message::SyncedOk { stamp } } else { Message::ExposeOk { stamp } };
        let version = self.common.keeper.version();
        self.common.send_when_durable(cx, version, self.other, answer);
    }

    /// Pages for the other partner's undo, once the own log is flushed up to them. [OQ-21, decisions]
    pub(super) fn send_pages(&mut self, cx: &mut Cx<'_>, pages: &[crate::types::PageId]) {
        let copy = &mut self.copy;
        let mut late = Vec::new();
        for &page in pages {
            let (lsn, image) = copy.page_image(page);
            if lsn < copy.hardened() || lsn == crate::types::Lsn::ZERO {
                self.common.send(cx, self.other, &Message::PageReply { page, image });
            } else {
                late.push(page);
            }
        }
        if !late.is_empty() {
            copy.want_flush();
            if let Some(ongoing) = self.common.channel(self.other).and_then(|c| c.id) {
                self.common.late_pages.push((ongoing, late));
            }
        }
    }
}
