//! Manual failover, up to the hand-over. [FO-31 … FO-39, OQ-9]
//!
//! ```text
//! principal                                   mirror
//! FAILOVER: clients out, tail sent
//!   FAILOVER_START(end) ───────────────────►  hardens the tail, failover LSN durable
//!   ◄─────────────────── FAILOVER_READY(end)
//! record: n + 1, owner = partner              (from the issue of this write on it has handed over)
//!   durable: role record ──────────────────►  record: n + 1, owner = itself; redo; principal
//!   ◄───────────────────────── role record
//! ```
//! The hand-over record is an ordinary one: it is told to partner and witness on every contact, and the partner
//! completes the switch as elected owner (`failover.rs`). A break before its write is issued abandons the failover.

use super::super::principal::Handover;
use super::*;
use crate::control::sql_error;
use crate::io::SqlError;
use crate::types::{Lsn, Safety};

impl Partner {
    /// FAILOVER, on the principal. [FO-33 … FO-35, C-60]
    pub fn begin_failover(&mut self, cx: &mut Cx<'_>, request: u64) -> Result<(), SqlError> {
        if self.common.shared().safety.value != Safety::Full {
            return Err(sql_error(1477));
        }
        if !self.common.connected(self.other) {
            return Err(sql_error(1447));
        }
        if self.state(cx) != MirroringState::Synchronized {
            return Err(sql_error(1422));
        }
        let RoleData::Principal(p) = &mut self.role else { return Err(sql_error(1470)) };
        p.begin_failover(cx, &self.common, &mut self.copy);
        cx.step(self.common.session, "failover.begin");
        self.ongoing = Some(Ongoing::failover(request, cx));
        Ok(())
    }

    /// The tail is announced once it is sent, and the failover abandoned once it cannot go on. [FO-37a, TR-14]
    pub(super) fn advance_failover(&mut self, cx: &mut Cx<'_>) {
        let RoleData::Principal(p) = &mut self.role else { return };
        let Some(handover) = p.handover else { return };
        if self.common.keeper.switching() {
            return;
        }
        let stands = self.common.connected(self.other) && matches!(p.sync, Sync::Done(_));
        if !stands {
            self.abandon_failover(cx, 1456);
        } else if handover == Handover::Draining
            && let Some(end) = p.tail_sent(&self.copy)
        {
            p.handover = Some(Handover::Announced(end));
            self.common.send(cx, self.other, &Message::FailoverStart { end });
        }
    }

    /// Not handed over: it stays principal, and serves again if the usual rules allow. [FO-39, OQ-9]
    pub fn abandon_failover(&mut self, cx: &mut Cx<'_>, error: u32) {
        let RoleData::Principal(p) = &mut self.role else { return };
        if p.handover.take().is_some() {
            cx.step(self.common.session, "failover.abandoned");
            self.fail_statement(cx, error);
        }
    }

    /// The mirror's answer: durable up to the end of the tail, failover LSN recorded. [FO-37b, OQ-9.2]
    pub(super) fn tail_hardened(&mut self, cx: &mut Cx<'_>) {
        let RoleData::Mirror(m) = &mut self.role else { return };
        let Some(end) = m.tail.filter(|end| self.copy.hardened() >= *end) else { return };
        if m.claiming() || m.elected != Elected::No || self.common.keeper.switching() {
            return;
        }
        m.tail = None;
        let version = self.common.keeper.change(cx.out, |r| r.shared.failover_lsn = end);
        cx.step(self.common.session, "failover.ready");
        self.common.send_when_durable(cx, version, self.other, Message::FailoverReady { end });
    }

    /// The principal hands the role over. From the issue of this write on it never serves by itself. [FO-37d, OQ-9.3]
    pub(super) fn failover_ready(&mut self, cx: &mut Cx<'_>, end: Lsn) {
        let RoleData::Principal(p) = &mut self.role else { return };
        if p.handover != Some(Handover::Announced(end)) {
            return;
        }
        if self.copy.end_of_log() != end || !self.copy.is_flushed() {
            // A checkpoint has written log meanwhile: the tail ends later. [FO-38]
            p.handover = Some(Handover::Draining);
            return;
        }
        let owner = self.other;
        let n = if cx.bug(Bug::HandoverKeepsSequence) { self.common.n() } else { self.common.n().next() };
        cx.step(self.common.session, "handover.bound");
        self.common.keeper.change(cx.out, |r| {
            r.shared.pass(n, owner, end);
        });
        self.failover_handed_over();
        if cx.bug(Bug::ServesWhileHandingOver)
            && let RoleData::Principal(p) = &mut self.role
        {
            p.handover = None;
            return;
        }
        self.handed_over(cx);
    }

    /// From principal to mirror, by the own record.
    pub(super) fn handed_over(&mut self, cx: &mut Cx<'_>) {
        self.switched = Some(Switched::HandedOver);
        self.become_mirror(cx, Elected::No);
        if let RoleData::Mirror(m) = &mut self.role {
            m.handed_over = true;
        }
    }

    /// The link to the other partner is gone.
    pub(super) fn partner_lost(&mut self, cx: &mut Cx<'_>) {
        self.abandon_failover(cx, 1456);
        if cx.bug(Bug::ServesAfterHandover)
            && let RoleData::Mirror(m) = &self.role
            && m.handed_over
        {
            let me = cx.me();
            self.common.keeper.change(cx.out, |r| r.shared.owner = me);
            self.become_principal(cx, Switch::Manual);
        }
    }
}
