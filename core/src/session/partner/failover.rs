//! Role records and role switches: who learns of whom, who claims, who steps down. Every way into a role ends in
//! [`Partner::become_mirror`] or [`Partner::become_principal`]. [FO-4, FO-20 … FO-25, FO-40, OQ-4.3, OQ-4.5, OQ-7]

use super::super::mirror::RedoPace;
use super::*;

impl Partner {
    /// A role record of a peer: START of the channel, or news. [FO-40, OQ-4.5, OQ-7, OQ-20]
    pub(super) fn record(
        &mut self,
        cx: &mut Cx<'_>,
        peer: InstanceId,
        theirs: &RoleRecord,
        log: Option<LogPosition>,
    ) {
        let mine = *self.common.shared();
        let first = self.common.channel(peer).is_some_and(|c| !c.started);
        if let Some(channel) = self.common.channel_mut(peer) {
            channel.start(theirs);
            if !std::mem::replace(&mut channel.known, true) {
                self.say_record(cx, peer);
            }
        }
        if first {
            // The others learn at once that this channel stands: arming and SET WITNESS wait for it.
            self.common.ping_now(cx.now);
        }
        if theirs.n > mine.n {
            self.adopt(cx, theirs);
            if peer == self.other && peer == theirs.owner {
                self.expect_stream(log);
            }
            return;
        }
        if theirs.n < mine.n {
            if !first {
                self.say_record(cx, peer);
            }
            return;
        }
        if theirs.owner != mine.owner && cx.bug(Bug::HandoverKeepsSequence) && theirs.owner == cx.me() {
            let mut theirs = *theirs;
            theirs.n = theirs.n.next();
            self.adopt(cx, &theirs);
            return;
        }
        if theirs.owner != mine.owner {
            // Two owners of one n: neither yields. [OQ-7]
            self.break_link(cx, peer);
            return;
        }
        let claim = self.common.keeper.record().claim;
        if peer == self.other
            && peer == mine.owner
            && let RoleData::Mirror(m) = &mut self.role
            && m.claiming()
            && !cx.bug(Bug::ClaimantFollows)
        {
            let bound = match m.claim {
                Claim::Recording(version) => self.common.keeper.is_issued(version),
                Claim::No | Claim::Deciding | Claim::Asked(..) | Claim::Queried(_) => true,
            };
            if let Some(claimed) = claim
                && bound
            {
                self.renounce(cx, claimed);
                return;
            }
            // Nothing binds it yet: forced without a witness and not decided, because the log in flight has not landed; or
            // its claim still waits behind another write of the record. Nobody has heard of it, so n stays. [OQ-1, OQ-4.3]
            if claim.is_some() {
                cx.step(self.common.session, "claim.withdrawn");
                self.common.keeper.change(cx.out, |r| r.claim = None);
            }
            m.claim = Claim::No;
            m.forced = None;
            self.say_record(cx, peer);
            self.force_refused(cx);
        }
        let before = *self.common.shared();
        self.common.adopt_settings(cx, peer, theirs);
        let after = *self.common.shared();
        self.settings_changed(cx, &before);
        self.failover_done(cx, peer);
        if let RoleData::Mirror(m) = &mut self.role
            && peer == self.other
        {
            m.handed_over = false;
        }
        if theirs.timeout_s == after.timeout_s
            && theirs.safety == after.safety
            && let RoleData::Principal(p) = &mut self.role
        {
            p.period_known(peer);
        }
        if peer != self.other {
            if let RoleData::Mirror(m) = &mut self.role
                && cx.bug(Bug::MirrorArmsItself)
                && theirs.synchronized == after.synchronized
                && let Some(channel) = self.common.channel(peer).and_then(|c| c.up())
            {
                m.arm(cx, &self.common, peer, theirs.synchronized.stamp, channel);
            }
            return;
        }
        let me = cx.me();
        if let RoleData::Mirror(m) = &mut self.role
            && mine.owner == self.other
        {
            if after.synchronized != before.synchronized {
                m.disarm();
            }
            self.expect_stream(log);
        }
        debug_assert!(mine.owner == me || mine.owner == self.other, "the owner is a partner");
    }

    /// The principal has said where its log stands: reconciliation begins. A record without it, such as the answer to a
    /// message of an older n, is no news of the log and disturbs nothing. [S-30, FO-41]
    pub(super) fn expect_stream(&mut self, log: Option<LogPosition>) {
        if let (RoleData::Mirror(m), Some(log)) = (&mut self.role, log) {
            m.rejoin = Rejoin::Settling;
            m.their_log = Some(log);
        }
    }

    /// A record of a higher role sequence binds at once. Who was principal steps down; who is named owner is elected.
    /// [OQ-4.5, Q-34]
    pub(super) fn adopt(&mut self, cx: &mut Cx<'_>, theirs: &RoleRecord) {
        let before = *self.common.shared();
        let mut adopted = before.superseded_by(theirs);
        let mine = theirs.owner == cx.me();
        if mine {
            // Nobody but the owner says "synchronised" for n.
            adopted.synchronized = Stamped::not_synchronized(theirs.n);
        }
        if cx.bug(Bug::StampWithoutRoleSequence)
            && before.suspended.stamp.sequence >= theirs.suspended.stamp.sequence
        {
            adopted.suspended = before.suspended;
        }
        // What this copy holds beyond the fork stays until RESUME. [FO-45, OQ-7]
        let forced = Partner::was_forced(&before, theirs);
        let claimed = self.common.keeper.record().claim == Some(theirs.n);
        let adopt = |r: &mut crate::record::Record| {
            r.shared = adopted;
            r.claim = None;
            r.off_fork |= forced && !mine;
        };
        if cx.bug(Bug::VolatileSequence) {
            self.common.keeper.pretend(adopt);
        } else {
            self.common.keeper.change(cx.out, adopt);
        }
        let elected = if mine && !cx.bug(Bug::NotElected) { Elected::Told } else { Elected::No };
        self.become_mirror(cx, elected);
        if let RoleData::Mirror(m) = &mut self.role {
            // Only its own claim, automatic or ordered, makes it owner otherwise than by a hand-over.
            m.switch = match (claimed, forced) {
                (true, true) => Switch::Forced,
                (true, false) => Switch::Automatic,
                (false, _) => Switch::Manual,
            };
        }
        self.settings_changed(cx, &before);
    }

    /// The mirror, claiming, meets the principal it has given up: the claim goes back to it with n + 2, and n + 1
    /// stays unused. [OQ-4.3 c]
    pub(super) fn renounce(&mut self, cx: &mut Cx<'_>, claimed: RoleSequence) {
        cx.step(self.common.session, "claim.renounced");
        let n = claimed.next();
        let owner = self.other;
        self.common.keeper.change(cx.out, |r| {
            r.shared.n = n;
            r.shared.owner = owner;
            r.shared.synchronized = Stamped::not_synchronized(n);
            // Said anew under this n, or the witness's late grant of a forced n + 1 would suspend the session after all.
            let suspended = r.shared.suspended.value;
            r.shared.suspended.set(n, suspended);
            r.claim = None;
        });
        self.become_mirror(cx, Elected::No);
    }

    /// The one way into the mirror role.
    pub(super) fn become_mirror(&mut self, cx: &mut Cx<'_>, elected: Elected) {
        if let RoleData::Principal(p) = &mut self.role {
            // Clients go first: from the issue of the record on nothing may be answered.
            p.close(cx, &self.common, None);
            self.copy.demote();
            cx.message(self.common.session, 1480);
        }
        if !self.ongoing.as_ref().is_some_and(|o| o.outlives_role(elected)) {
            self.fail_statement(cx, 1438);
        }
        self.common.new_sequence(cx.now);
        let mut mirror = Mirror::new(&self.common, cx.now);
        mirror.elected = elected;
        self.role = RoleData::Mirror(Box::new(mirror));
    }

    /// The one way into the principal role. [FO-21 … FO-24]
    pub(super) fn become_principal(&mut self, cx: &mut Cx<'_>, switch: Switch) {
        let redo = match &self.role {
            RoleData::Mirror(m) => m.redo,
            RoleData::Principal(_) => RedoPace::new(cx.now),
        };
        self.common.ping_now(cx.now);
        let principal = Principal::new(&self.common, cx.now, Came::Switched, self.other, redo);
        self.role = RoleData::Principal(Box::new(principal));
        self.switched = Some(Switched::Took(switch));
        cx.message(self.common.session, 1480);
        cx.step(self.common.session, "takeover");
        self.force_done(cx);
    }

    /// The witness has recorded this instance as owner. [OQ-4.3 a]
    pub(super) fn granted(&mut self, cx: &mut Cx<'_>, claimed: RoleSequence, suspended: Stamped<bool>) {
        let RoleData::Mirror(m) = &mut self.role else { return };
        let expected = self.common.keeper.record().claim.unwrap_or(self.common.n().next());
        if !m.claiming() || claimed != expected || self.common.n() >= claimed {
            return;
        }
        let forced = suspended.value && suspended.stamp.n == claimed;
        cx.step(self.common.session, if forced { "force.granted" } else { "claim.granted" });
        self.take_role(cx, claimed, suspended, if forced { Switch::Forced } else { Switch::Automatic });
    }

    /// This instance owns the role from the issue of this write on, and acts when it is durable. [FO-4, FO-62]
    pub(super) fn take_role(
        &mut self,
        cx: &mut Cx<'_>,
        n: RoleSequence,
        suspended: Stamped<bool>,
        switch: Switch,
    ) {
        let me = cx.me();
        let failover_lsn = self.copy.hardened();
        self.common.keeper.change(cx.out, |r| {
            r.shared.pass(n, me, failover_lsn);
            r.shared.suspended = suspended;
            r.claim = None;
        });
        if let RoleData::Mirror(m) = &mut self.role {
            m.claim = Claim::No;
            m.forced = None;
            m.disarm();
            m.elected = Elected::Granted;
            m.switch = switch;
        }
        self.common.new_sequence(cx.now);
    }

    /// Owner by somebody's record: acts once the other partner agrees or is lost. True when it has become principal.
    /// [OQ-4.5, TR-25]
    pub(super) fn complete_election(&mut self, cx: &mut Cx<'_>) -> bool {
        let RoleData::Mirror(m) = &self.role else { return false };
        if self.common.keeper.switching() || self.copy.hardened() != self.copy.end_of_log() {
            return false;
        }
        let act = match m.elected {
            Elected::No => false,
            Elected::Granted => true,
            Elected::Told => {
                let patience = self.common.patience(cx.tuning());
                self.common.channel(self.other).is_some_and(|c| {
                    c.theirs.is_some_and(|r| r.n == self.common.n()) || c.lost(cx.now, patience)
                })
            }
        };
        if act {
            let switch = m.switch;
            self.become_principal(cx, switch);
        }
        act
    }
}
