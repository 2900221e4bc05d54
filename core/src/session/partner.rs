//! A partner of a session: its copy, its channels, and the one place where its role changes.

use super::channel::{Common, Cx};
use super::mirror::{Claim, Elected, Mirror, RedoPace, Switch};
use super::principal::{Came, Principal, Stage, Sync};
use super::reconcile::Rejoin;
use super::statements::Ongoing;
use crate::bugs::Bug;
use crate::io::{ClientEvent, ConnId, DiskResult, Effect, Notice, Reply};
use crate::message::{ChannelId, LogPosition, Message, RoleRecord, Setting, Stamp, Stamped};
use crate::record::{Keeper, Life};
use crate::storage::{Copy, CopyEvent, Device};
use crate::transport::LinkLoss;
use crate::types::{
    Branch, InstanceId, Instant, Lsn, MirroringState, Role, RoleSequence, SessionId, WitnessState,
};
use crate::view::Status;
use crate::wire::Header;

mod failover;
mod force;
mod handover;
mod messages;
mod removal;
mod show;

/// The role and what belongs to it.
#[derive(Clone, Debug, Hash)]
pub enum RoleData {
    /// In the principal role.
    Principal(Box<Principal>),
    /// In the mirror role.
    Mirror(Box<Mirror>),
}

/// A partner of one session.
#[derive(Clone, Debug)]
pub struct Partner {
    /// Record, channels, pings.
    pub common: Common,
    /// The database's name.
    pub database: String,
    /// The other partner.
    pub other: InstanceId,
    /// The copy.
    pub copy: Copy,
    /// The role.
    pub role: RoleData,
    /// A control statement under way.
    pub ongoing: Option<Ongoing>,
    /// Mirroring was removed, and everybody in reach has been told.
    released: bool,
    /// The last role switch here, until it is shown.
    switched: Option<Switched>,
    shown: Option<(Role, MirroringState)>,
    status: Option<Status>,
    last_event: u8,
    was_serving: bool,
    was_exposed: bool,
}

/// What the views have to tell of a role switch besides its result. [EV-7 … EV-9]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Switched {
    /// This instance took the principal role.
    Took(Switch),
    /// It handed the role over.
    HandedOver,
}

impl Partner {
    /// After a restart, with the copy recovered: principal again if the record names this instance, else mirror.
    /// [S-8, ST-27, ST-28]
    pub fn open(
        cx: &mut Cx<'_>,
        session: SessionId,
        database: String,
        mut keeper: Keeper,
        copy: Copy,
    ) -> Self {
        let me = cx.me();
        if cx.bug(Bug::VolatileSuspend) {
            keeper.pretend(|r| r.shared.suspended.value = false);
        }
        let shared = keeper.record().shared;
        let life = keeper.record().life;
        let other = shared.partners.into_iter().find(|p| *p != me).expect("a session has two partners");
        let mut common = Common::new(session, keeper, cx.now);
        if life == Life::Session {
            common.want_channel(cx, other);
            if let Some(witness) = shared.witness.value.named() {
                common.want_channel(cx, witness);
            }
        }
        let role = if shared.owner == me {
            cx.message(session, 1445);
            let at_once = life != Life::Session || cx.bug(Bug::ExposedAfterRestart);
            let came = if at_once { Came::Switched } else { Came::Restarted };
            RoleData::Principal(Box::new(Principal::new(&common, cx.now, came, other, RedoPace::new(cx.now))))
        } else {
            cx.message(session, 1444);
            RoleData::Mirror(Box::new(Mirror::new(&common, cx.now)))
        };
        let mut partner = Partner {
            common,
            database,
            other,
            copy,
            role,
            ongoing: None,
            released: false,
            switched: None,
            shown: None,
            status: None,
            last_event: 0,
            was_serving: false,
            was_exposed: false,
        };
        partner.advance(cx);
        partner
    }

    /// A link is in use: this side says its record, which starts the channel. [S-30, FO-40]
    pub fn link_up(&mut self, cx: &mut Cx<'_>, peer: InstanceId, id: ChannelId) {
        self.common.link_up(cx.now, peer, id);
        // A claimant has said nothing to the principal until its claim has ended one way or another: the roles do not
        // agree before. [OQ-4.3, TR-17]
        let claiming = matches!(&self.role, RoleData::Mirror(m) if m.claiming());
        if peer != self.other || !claiming || cx.bug(Bug::ClaimantFollows) {
            self.say_record(cx, peer);
        }
    }

    fn say_record(&mut self, cx: &mut Cx<'_>, peer: InstanceId) {
        let shared = self.common.shared();
        if cx.bug(Bug::HandoverHiddenFromWitness)
            && peer != self.other
            && shared.owner == self.other
            && shared.failover_lsn != Lsn::ZERO
            && !shared.synchronized.value
        {
            return;
        }
        // A principal's log has a position once its new branch is open.
        let open = match &self.role {
            RoleData::Principal(p) => p.stage == Stage::Ready,
            RoleData::Mirror(m) => m.elected == Elected::No,
        };
        let log = (peer == self.other && open)
            .then(|| LogPosition { end: self.copy.end_of_log(), branches: self.copy.branches().clone() });
        self.common.send_record(cx, peer, log);
    }

    /// A link is gone.
    pub fn link_down(&mut self, cx: &mut Cx<'_>, peer: InstanceId, loss: LinkLoss) {
        if self.common.channel(peer).is_some_and(|c| c.id.is_some()) {
            self.common.link_down(peer, loss);
            self.channel_down(cx, peer);
        } else {
            self.common.link_down(peer, loss);
        }
    }

    fn channel_down(&mut self, cx: &mut Cx<'_>, peer: InstanceId) {
        if peer == self.other {
            self.partner_lost(cx);
        }
        match &mut self.role {
            RoleData::Principal(p) => p.channel_down(peer),
            RoleData::Mirror(m) => m.channel_down(cx, peer, self.other),
        }
    }

    /// A peer's host says that nothing listens.
    pub fn refused(&mut self, peer: InstanceId) {
        self.common.refused(peer);
    }

    /// A slot write of the record has completed.
    pub fn written(&mut self, cx: &mut Cx<'_>) {
        let was_switching = self.common.keeper.switching();
        let was_suspended = self.common.keeper.durable_suspended();
        self.common.written(cx);
        if was_suspended != self.common.keeper.durable_suspended() {
            // Shown before anybody is answered on the strength of it.
            self.show(cx);
        }
        if was_switching && !self.common.keeper.switching() {
            if cx.bug(Bug::ServesWhileHandingOver)
                && matches!(self.role, RoleData::Principal(_))
                && self.common.shared().owner == self.other
            {
                self.handed_over(cx);
            }
            // Everybody connected hears of the new role sequence. [OQ-4.5]
            for peer in self.peers() {
                self.say_record(cx, peer);
            }
        }
        self.advance(cx);
        while let Some((peer, header, message)) = self.common.next_deferred() {
            self.message(cx, peer, header, message);
        }
    }

    fn peers(&self) -> Vec<InstanceId> {
        self.common.channels.iter().map(|c| c.peer).collect()
    }

    /// A disk operation of the copy has ended; what has failed, if it has.
    pub fn disk(&mut self, cx: &mut Cx<'_>, serial: u64, result: DiskResult) -> Result<(), Device> {
        let event = self.copy.on_disk(serial, result, cx.out);
        match event {
            CopyEvent::Hardened => {
                let late = std::mem::take(&mut self.common.late_pages);
                for (channel, pages) in late {
                    if self.common.channel(self.other).is_some_and(|c| c.id == Some(channel)) {
                        self.send_pages(cx, &pages);
                    }
                }
                if let RoleData::Mirror(m) = &mut self.role {
                    let owner = self.common.shared().owner;
                    m.acknowledge(cx, &mut self.common, &self.copy, owner);
                }
            }
            CopyEvent::CheckpointDone(_) => {
                if let RoleData::Mirror(m) = &mut self.role {
                    m.flushing_pages = false;
                }
            }
            CopyEvent::CutDone => {
                let owner = self.common.shared().owner;
                if let RoleData::Mirror(m) = &mut self.role {
                    m.cut_done(cx, &mut self.common, &mut self.copy, owner);
                }
            }
            CopyEvent::Failed(device) => return Err(device),
            CopyEvent::Nothing => {}
        }
        self.advance(cx);
        Ok(())
    }

    /// A file of the session has failed, and with it the database: clients are thrown out, an open statement ends with
    /// `error`, and the others are told. The caller drops this partner: until the process starts again it takes no part,
    /// as if it had died. Nothing that was not durable has been said, so nothing has to be taken back.
    /// [FL-18, OQ-35, P-1]
    pub fn database_failed(&mut self, cx: &mut Cx<'_>, error: u32) {
        self.fail_statement(cx, error);
        if let RoleData::Principal(p) = &mut self.role {
            p.close(cx, &self.common, None);
        }
        self.common.say_failed(cx);
        let (n, safety) = (self.common.keeper.durable_n(), self.common.shared().safety.value);
        self.tell(cx, Status::offline(n, safety));
    }

    /// Something on a client connection.
    pub fn client(&mut self, cx: &mut Cx<'_>, conn: ConnId, event: ClientEvent) {
        let over = self.is_over();
        match &mut self.role {
            // Mirroring was removed, and nobody has recovered the copy. [ST-25]
            RoleData::Mirror(_) if over => refuse(cx, conn, &event, 927),
            RoleData::Principal(p)
                if !self.common.keeper.switching() || cx.bug(Bug::ServesWhileHandingOver) =>
            {
                p.client(cx, &mut self.common, &mut self.copy, conn, event);
            }
            RoleData::Principal(_) | RoleData::Mirror(_) => refuse(cx, conn, &event, 954),
        }
        self.advance(cx);
    }

    /// Time has passed, or anything else: whatever can go on goes on.
    pub fn advance(&mut self, cx: &mut Cx<'_>) {
        for peer in self.common.close_silent(cx) {
            self.channel_down(cx, peer);
        }
        self.advance_end(cx);
        self.advance_copy(cx);
        self.tail_hardened(cx);
        self.decide_force(cx);
        if self.complete_election(cx) {
            // What is left to redo is the new principal's first business.
            self.advance_copy(cx);
        }
        // A SUSPEND is told before the "not synchronised" that comes of it. [TR-5]
        self.advance_statement(cx);
        if let RoleData::Principal(p) = &mut self.role {
            self.copy.pump(cx.out);
            p.advance(cx, &mut self.common, &mut self.copy);
        }
        self.advance_failover(cx);
        self.advance_statement(cx);
        self.copy.pump(cx.out);
        if let RoleData::Principal(p) = &mut self.role {
            // What was just sealed goes out at once. [S-40]
            p.advance(cx, &mut self.common, &mut self.copy);
        }
        self.show(cx);
        let me = cx.me();
        let state = self.shown.map(|(_, state)| state);
        let grants = match &self.role {
            RoleData::Mirror(m) => {
                (!m.claiming() || cx.bug(Bug::ClaimantFollows)) && self.common.shared().owner != me
            }
            RoleData::Principal(_) => false,
        };
        let state = match &self.role {
            RoleData::Principal(_) => state,
            RoleData::Mirror(_) => None,
        };
        self.common.ping(cx, grants, state);
    }

    /// The copy on its way: a principal's to being served, a mirror's to following. [FO-22, FO-23, S-43]
    fn advance_copy(&mut self, cx: &mut Cx<'_>) {
        let witness = self.common.shared().witness.value.named();
        let copy = &mut self.copy;
        let suspended = self.common.shared().suspended.value;
        let alone = self.common.keeper.record().life != Life::Session;
        if matches!(self.role, RoleData::Principal(_))
            && (alone || suspended && cx.bug(Bug::TruncateWhileSuspended))
        {
            // There is no mirror to keep log for. [INV-8]
            copy.set_mirror_hardened(Some(copy.end_of_log()));
        }
        match &mut self.role {
            RoleData::Principal(p) => match p.stage {
                Stage::Redo => {
                    // After a switch the rest of the redo queue comes first; a recovered copy has none.
                    if !Mirror::redo_finished(copy) {
                        p.redo.step(cx, copy);
                    }
                    if Mirror::redo_finished(copy) && !self.common.keeper.switching() {
                        let n = self.common.n();
                        let mut branches = copy.branches().clone();
                        let (last, _) = branches.last();
                        let r = if last.n == n { last.r + 1 } else { 0 };
                        let (branch, first) = (Branch { n, r }, copy.next_block_lsn());
                        branches.drop_beyond(first);
                        let branch = if cx.bug(Bug::NoLogBranch) && last.n == n { last } else { branch };
                        if branch != last {
                            branches.push(branch, first);
                        }
                        let version = self.common.keeper.change(cx.out, |r| r.branches = Some(branches));
                        p.stage = Stage::Branch(version, branch);
                    }
                }
                Stage::Branch(version, branch) => {
                    // No block of the branch may exist before the record names it. [OQ-68]
                    if self.common.keeper.is_durable(version) {
                        copy.promote();
                        if cx.bug(Bug::NoLogBranch) && copy.branches().last().0 == branch {
                            copy.continue_branch();
                        } else {
                            copy.open_branch(branch);
                        }
                        p.opened(copy);
                        cx.step(self.common.session, "principal.ready");
                        // The branch is news for a mirror that is connected already.
                        let position =
                            LogPosition { end: copy.end_of_log(), branches: copy.branches().clone() };
                        self.common.send_record(cx, self.other, Some(position));
                    }
                }
                Stage::Ready => {}
            },
            RoleData::Mirror(m) => {
                // After a forced service nothing is touched before RESUME. [OQ-61]
                if !self.common.keeper.record().off_fork {
                    m.redo.step(cx, copy);
                }
                m.reconcile(cx, &mut self.common, copy, self.other);
                m.finish_undo(cx, &mut self.common, copy);
                if let Some(witness) = witness {
                    m.claim(cx, &mut self.common, copy, self.other, witness);
                }
            }
        }
    }

    /// When [`Partner::advance`] has something to do.
    pub fn next_timeout(&self, now: Instant, tuning: &crate::config::Tuning) -> Option<Instant> {
        let mut at = self.common.next_timeout(now, tuning);
        match &self.role {
            RoleData::Principal(p) => {
                at = p.next_timeout(now, &self.common).map_or(at, |t| at.min(t));
                if p.stage == Stage::Redo {
                    at = p.redo.next_timeout(now, &self.copy).map_or(at, |t| at.min(t));
                }
            }
            RoleData::Mirror(m) => {
                at = m.next_timeout(now, &self.copy).map_or(at, |t| at.min(t));
            }
        }
        if let Some(ongoing) = &self.ongoing {
            at = at.min(ongoing.deadline);
        }
        Some(at)
    }

    /// Cheap digest of the state.
    pub fn fingerprint(&self) -> u64 {
        let copy = self.copy.fingerprint();
        let role = match &self.role {
            RoleData::Principal(p) => {
                1 + u64::from(p.serving) * 2
                    + match p.sync {
                        Sync::No => 0,
                        Sync::Waiting(l) => 8 + (l.raw() << 8),
                        Sync::Recording(s) => 16 + (u64::from(s.sequence) << 8),
                        Sync::Done(s) => 24 + (u64::from(s.sequence) << 8),
                    }
            }
            RoleData::Mirror(m) => 4 + u64::from(m.claiming()) * 8,
        };
        copy.rotate_left(17)
            ^ role.rotate_left(7)
            ^ u64::from(self.common.n().0) << 48
            ^ u64::from(self.common.shared().synchronized.stamp.sequence) << 32
    }

    /// Every invariant of the state.
    pub fn check(&self) {
        self.copy.check();
        let shared = self.common.shared();
        assert!(shared.partners.contains(&shared.owner), "the owner is one of the two partners");
        if let RoleData::Principal(p) = &self.role {
            assert!(!p.serving || p.stage == Stage::Ready, "only an open copy is served");
        }
    }
}

/// Answers a client that cannot be served: a login is refused, anything else cut off. [CL-26]
pub fn refuse(cx: &mut Cx<'_>, conn: ConnId, event: &ClientEvent, error: u32) {
    match event {
        ClientEvent::Open { .. } => {
            cx.out.push(Effect::Reply { conn, reply: Reply::Refused { error } });
        }
        ClientEvent::Request(_) => cx.out.push(Effect::Disconnect { conn }),
        ClientEvent::Closed => {}
    }
}

/// What is only shown, such as the number of the last event, decides nothing. [`crate::canon`]
impl std::hash::Hash for Partner {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.common, &self.copy, &self.role, &self.ongoing, self.released, self.switched, self.shown)
            .hash(state);
    }
}
