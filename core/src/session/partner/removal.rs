//! The end of a session, and what comes after it: SET PARTNER OFF, the partner that hears of it, the copies that live on
//! apart, and a session set up again between them. [C-62, C-80 … C-84, OQ-55, TR-1, TR-2, TR-23]
//!
//! A removed session leaves its record behind, marked as ended: it answers whoever still believes in the session. The
//! former principal goes on as a database of its own, the former mirror stays in the restoring state.

use super::*;
use crate::control::sql_error;
use crate::io::SqlError;
use crate::message::{Stamp, WitnessSetting};
use crate::record::Record;
use crate::storage::BranchTable;
use crate::types::{Lsn, Safety};

/// TIMEOUT of a new session in seconds. [FL-7]
const TIMEOUT_S: u16 = 10;

impl Partner {
    /// There is no session, or not any more.
    pub fn is_over(&self) -> bool {
        self.common.keeper.record().life != Life::Session
    }

    /// SET PARTNER OFF. [C-62]
    pub fn begin_removal(&mut self, cx: &mut Cx<'_>, request: u64) -> Result<(), SqlError> {
        let unstable = match &self.role {
            RoleData::Mirror(m) => {
                if self.common.keeper.record().undo.is_some() {
                    return Err(sql_error(1457));
                }
                m.claiming() || m.elected != Elected::No
            }
            RoleData::Principal(p) => p.stage != Stage::Ready,
        };
        if unstable || self.common.keeper.switching() {
            cx.message(self.common.session, 1430);
        }
        self.fail_statement(cx, 1438);
        self.end(cx);
        self.wait_for_release(cx, request);
        Ok(())
    }

    /// A peer says that the session was removed, at role sequence `n` and with `owner` as principal: this copy is what it
    /// was by then. A principal that was superseded does not go on as if it had never been. [C-80, C-81, C-84, FO-47]
    pub(super) fn session_ended(&mut self, cx: &mut Cx<'_>, n: RoleSequence, owner: InstanceId) {
        if self.is_over() {
            return;
        }
        self.fail_statement(cx, 1438);
        if n > self.common.n() && owner == self.other && matches!(self.role, RoleData::Principal(_)) {
            self.common.keeper.change(cx.out, |r| {
                r.shared.n = n;
                r.shared.owner = owner;
                r.shared.synchronized = Stamped::not_synchronized(n);
            });
            self.become_mirror(cx, Elected::No);
        }
        self.end(cx);
    }

    /// The session ends here; it is told when that is durable.
    fn end(&mut self, cx: &mut Cx<'_>) {
        cx.step(self.common.session, "session.ended");
        self.common.keeper.change(cx.out, |r| {
            r.life = Life::Ended;
            r.claim = None;
        });
        self.released = false;
        match &mut self.role {
            RoleData::Principal(p) => {
                cx.message(self.common.session, 1442);
                p.handover = None;
                p.paused(&mut self.common);
            }
            RoleData::Mirror(m) => {
                cx.message(self.common.session, 1443);
                m.paused(cx);
                m.disarm();
                m.claim = Claim::No;
                m.forced = None;
                m.elected = Elected::No;
            }
        }
    }

    /// Once the end is durable it is told, and the principal is released from the quorum rule. [C-83]
    pub(super) fn advance_end(&mut self, cx: &mut Cx<'_>) {
        let record = self.common.keeper.record();
        let durable = self.common.keeper.is_durable(self.common.keeper.version());
        if record.life == Life::Session || self.released || !durable {
            return;
        }
        self.released = true;
        let RoleRecord { generation, owner, .. } = record.shared;
        for peer in self.peers() {
            self.common.send(cx, peer, &Message::SessionEnd { generation, owner });
        }
        self.common.channels.clear();
        let n = self.common.n();
        self.common.keeper.change(cx.out, |r| {
            r.shared.witness.set(n, WitnessSetting::Off);
            r.shared.suspended.set(n, false);
        });
        // Told before the first answer that needs no mirror any more.
        self.show(cx);
        if let RoleData::Principal(p) = &mut self.role {
            p.alone(cx.now);
        }
    }

    /// A message for a session that is not, or not any more.
    pub(super) fn message_of_no_session(&mut self, cx: &mut Cx<'_>, peer: InstanceId, message: Message) {
        let starting = self.starting();
        match message {
            Message::Record { record, log } => {
                if let Some(new) = starting.filter(|new| new.generation == record.generation) {
                    self.started(cx, new);
                    self.record(cx, peer, &record, log);
                } else if !self.common.keeper.switching() {
                    let owner = self.common.shared().owner;
                    let message = Message::SessionEnd { generation: record.generation, owner };
                    cx.transport.send(peer, self.common.session, self.common.n(), &message, cx.out);
                }
            }
            Message::Start { record, log, log_start } => {
                if let Err(error) = self.accept_start(cx, peer, record, &log, log_start) {
                    let message = Message::StartFail { generation: record.generation, error };
                    cx.transport.send(peer, self.common.session, record.n, &message, cx.out);
                }
            }
            Message::StartFail { generation, error }
                if starting.is_some_and(|new| new.generation == generation) =>
            {
                self.common.channels.clear();
                self.fail_statement(cx, error);
            }
            _ => {}
        }
    }

    /// RESTORE DATABASE … WITH RECOVERY on the former mirror: its copy becomes a database of its own, on a new recovery
    /// fork. Not in the middle of an undo, when it is inconsistent. [C-30, C-84, FO-44, FO-47]
    pub fn begin_recovery(&mut self, cx: &mut Cx<'_>, request: u64) -> Result<(), SqlError> {
        if matches!(self.role, RoleData::Principal(_)) {
            return Err(sql_error(3117));
        }
        if self.common.keeper.record().undo.is_some() {
            return Err(sql_error(1457));
        }
        if self.ongoing.is_some() || !self.released {
            return Err(sql_error(1404));
        }
        let me = cx.me();
        self.common.keeper.change(cx.out, |r| {
            r.shared.n = r.shared.n.next();
            r.shared.owner = me;
            r.off_fork = false;
            r.life = Life::Ended;
        });
        cx.step(self.common.session, "recovered");
        self.role = RoleData::Principal(Box::new(Principal::new(
            &self.common,
            cx.now,
            Came::Switched,
            self.other,
            RedoPace::new(cx.now),
        )));
        self.wait_for_release(cx, request);
        Ok(())
    }

    /// SET PARTNER =, after a removal: on the restoring copy first, then on the one that is served. [C-50, C-51]
    pub fn set_partner(&mut self, cx: &mut Cx<'_>, request: u64, address: &str) -> Result<(), SqlError> {
        if self.common.keeper.record().life == Life::Session {
            return Err(sql_error(1405));
        }
        if self.ongoing.is_some() || !self.released {
            return Err(sql_error(1404));
        }
        let peer = cx.instance_at(address)?;
        if peer == cx.me() {
            return Err(sql_error(1452));
        }
        if peer != self.other {
            // Nobody else has a copy of this database.
            return Err(sql_error(1448));
        }
        match &self.role {
            RoleData::Mirror(_) => {
                self.common.keeper.change(cx.out, |r| r.life = Life::Waiting(peer));
                self.wait_for_release(cx, request);
            }
            RoleData::Principal(_) => {
                let record = self.new_session(cx.me());
                self.common.want_channel(cx, peer);
                self.wait_for_start(cx, request, record);
            }
        }
        Ok(())
    }

    /// SYNCHRONIZING, SAFETY FULL, no witness. The role sequence goes on, so that branches of the log never repeat.
    /// [C-51, OQ-68]
    fn new_session(&self, me: InstanceId) -> RoleRecord {
        let old = *self.common.shared();
        let stamp = Stamp { n: old.n, sequence: 0 };
        RoleRecord {
            generation: old.generation + 1,
            n: old.n,
            owner: me,
            partners: old.partners,
            safety: Stamped { value: Safety::Full, stamp },
            timeout_s: Stamped { value: TIMEOUT_S, stamp },
            witness: Stamped { value: WitnessSetting::Off, stamp },
            synchronized: Stamped::not_synchronized(old.n),
            suspended: Stamped { value: false, stamp },
            failover_lsn: Lsn::ZERO,
        }
    }

    /// Says START on every channel anew, until it is answered. [S-30]
    pub fn offer_start(&mut self, cx: &mut Cx<'_>, record: RoleRecord, told: &mut Option<ChannelId>) {
        let channel = self.common.channel(self.other).and_then(|c| c.id);
        let copy = &self.copy;
        if let Some(channel) = channel
            && *told != Some(channel)
        {
            *told = Some(channel);
            let log = LogPosition { end: copy.end_of_log(), branches: copy.branches().clone() };
            let log_start = copy.log_start();
            let message = Message::Start { record, log, log_start };
            cx.transport.send(self.other, self.common.session, record.n, &message, cx.out);
        }
    }

    /// The principal asks for this copy. Checks in the order of control.md section 5.1.
    fn accept_start(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        record: RoleRecord,
        log: &LogPosition,
        log_start: Lsn,
    ) -> Result<(), u32> {
        let copy = &self.copy;
        if matches!(self.role, RoleData::Principal(_)) {
            return Err(1464);
        }
        let own = self.common.keeper.record();
        match own.life {
            Life::Waiting(principal) if principal == peer => {}
            Life::Waiting(_) => return Err(1460),
            Life::Ended => return Err(1416),
            Life::Session => return Err(1410),
        }
        if own.undo.is_some() {
            return Err(1419);
        }
        let end = copy.end_of_log();
        match BranchTable::common_prefix(copy.branches(), end, &log.branches, log.end) {
            None => return Err(1407),
            Some(common) if common < end => return Err(1412),
            Some(_) if end < log_start => return Err(1408),
            Some(_) => {}
        }
        let branches = own.branches.clone();
        self.common.keeper.change(cx.out, |r| *r = Record::of(record, branches));
        self.released = false;
        self.common.want_channel(cx, peer);
        self.become_mirror(cx, Elected::No);
        if let Some(channel) = self.common.channel_mut(peer) {
            // What START says of the principal is its record. [TR-1]
            channel.start(&record);
        }
        self.say_record(cx, peer);
        Ok(())
    }

    /// The copy has taken the session: it binds here too. [TR-1]
    fn started(&mut self, cx: &mut Cx<'_>, new: RoleRecord) {
        let branches = self.common.keeper.record().branches.clone();
        self.common.keeper.change(cx.out, |r| *r = Record::of(new, branches));
        self.released = false;
        cx.message(self.common.session, 1440);
        if let RoleData::Principal(p) = &mut self.role {
            p.paused(&mut self.common);
        }
        self.say_record(cx, self.other);
        self.statement_done(cx);
    }
}
