//! What a partner shows: state, transitions, numbered events. Derived from facts, never stored apart.
//! [ST-9, TR-*, EV-0 … EV-12]

use super::*;

impl Partner {
    /// `mirroring_state` by the display rule. [ST-9]
    pub fn state(&self, cx: &Cx<'_>) -> MirroringState {
        let linked = self.common.channel(self.other).is_some_and(|c| c.up().is_some());
        if let RoleData::Mirror(m) = &self.role
            && linked
        {
            // In the middle of a hand-over the two disagree for a moment, over a link that stands. [TR-13, TR-15]
            if m.handed_over {
                return MirroringState::Synchronizing;
            }
            if m.elected != Elected::No
                && let Some((_, state)) = self.shown
            {
                return state;
            }
        }
        if !self.common.connected(self.other) {
            return MirroringState::Disconnected;
        }
        if self.common.shared().suspended.value {
            return MirroringState::Suspended;
        }
        match &self.role {
            RoleData::Principal(p) => p.state(cx.now, &self.common, cx.tuning().ping_interval),
            RoleData::Mirror(m) => {
                let full = self.common.shared().safety.value == crate::types::Safety::Full;
                let shown = m.principal_state == Some(MirroringState::Synchronized);
                if (full && m.synchronized && self.common.shared().synchronized.value) || (!full && shown) {
                    MirroringState::Synchronized
                } else {
                    MirroringState::Synchronizing
                }
            }
        }
    }

    /// `mirroring_witness_state` as this partner sees it. [ST-50 … ST-53]
    pub(super) fn witness_state(&self) -> Option<WitnessState> {
        let witness = self.common.shared().witness.value.named()?;
        Some(match self.common.channel(witness) {
            Some(c) if c.up().is_some() => WitnessState::Connected,
            Some(_) => WitnessState::Disconnected,
            None => WitnessState::Unknown,
        })
    }

    pub(super) fn role_now(&self) -> Role {
        match &self.role {
            RoleData::Principal(_) => Role::Principal,
            // Named owner again while it was principal: it has not left the role, it takes it over anew. [OQ-4.3 c]
            RoleData::Mirror(m)
                if m.elected != Elected::No && self.shown.is_some_and(|(r, _)| r == Role::Principal) =>
            {
                Role::Principal
            }
            RoleData::Mirror(_) => Role::Mirror,
        }
    }

    /// Reports what has changed in the views, one permitted transition at a time, and the numbered events. [TR-*, EV-*]
    pub(super) fn show(&mut self, cx: &mut Cx<'_>) {
        // Views never show what is not durable yet. [P-1]
        if self.common.keeper.switching() {
            return;
        }
        let session = self.common.session;
        let serving = match &self.role {
            RoleData::Principal(p) => p.serving,
            RoleData::Mirror(_) => false,
        };
        let n = self.common.n();
        let safety = self.common.shared().safety.value;
        if self.is_over() {
            if !self.released {
                return;
            }
            if let Some(from) = self.shown.take() {
                cx.out.push(Effect::Notice(Notice::Removed { session, from: Some(from) }));
            }
            self.switched = None;
            self.last_event = 0;
            (self.was_serving, self.was_exposed) = (false, false);
            self.tell(cx, Status { role: None, state: None, n, witness: None, safety, serving });
            return;
        }
        let keeper = &self.common.keeper;
        if keeper.durable_suspended() != keeper.record().shared.suspended {
            return;
        }
        let role = self.role_now();
        let state = self.state(cx);
        let witness = self.witness_state();
        let before = self.shown;
        let witness_before = self.status.and_then(|s| s.witness);
        let status = Status { role: Some(role), state: Some(state), n, witness, safety, serving };
        if !self.tell(cx, status) {
            return;
        }
        // A role that was taken apart from the old principal begins DISCONNECTED, though it may be back already; one that
        // was handed over begins SYNCHRONIZING. [TR-15, TR-19, TR-20, TR-25]
        if let Some(Switched::Took(switch)) = self.switched
            && let Some((Role::Mirror, was)) = before
            && role == Role::Principal
        {
            let apart = switch != Switch::Manual || was == MirroringState::Disconnected;
            let first = if apart { MirroringState::Disconnected } else { MirroringState::Synchronizing };
            if state != first {
                self.step_to(cx, (role, first));
            }
        }
        // Who learns over a link that stands that the role was taken from it: the roles do not agree, so for a moment it is
        // DISCONNECTED. [ST-9, TR-21, TR-22]
        if let Some((Role::Principal, was)) = before
            && role == Role::Mirror
            && was != MirroringState::Disconnected
            && self.switched != Some(Switched::HandedOver)
        {
            self.step_to(cx, (Role::Principal, MirroringState::Disconnected));
        }
        // A failover that was abandoned leaves the session SYNCHRONIZED, for a moment at least. [TR-14]
        if before == Some((Role::Principal, MirroringState::PendingFailover))
            && role == Role::Principal
            && matches!(state, MirroringState::Suspended | MirroringState::Synchronizing)
        {
            self.step_to(cx, (role, MirroringState::Synchronized));
        }
        // A zero-length SYNCHRONIZING is visible. [states.md section 4]
        if let Some((_, MirroringState::Disconnected | MirroringState::Suspended)) = self.shown
            && state == MirroringState::Synchronized
        {
            self.step_to(cx, (role, MirroringState::Synchronizing));
        }
        let last = self.shown;
        self.step_to(cx, (role, state));
        let up = |w: Option<WitnessState>| w == Some(WitnessState::Connected);
        let witness_changed = up(witness_before) != up(witness);
        self.tell_events(cx, before, last, (role, state), witness_changed, up(witness));
    }

    /// Shows one transition, if it is one.
    fn step_to(&mut self, cx: &mut Cx<'_>, to: (Role, MirroringState)) {
        if self.shown != Some(to) {
            let (session, n) = (self.common.session, self.common.n());
            cx.out.push(Effect::Notice(Notice::State { session, from: self.shown, to, n }));
            self.shown = Some(to);
        }
    }

    /// Says the views' row when it has changed.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>, status: Status) -> bool {
        if self.status == Some(status) {
            return false;
        }
        self.status = Some(status);
        cx.out.push(Effect::Notice(Notice::Status { session: self.common.session, status }));
        true
    }

    /// The numbered events of one change from `before`, with `last` as the state shown just before the last step of it, in
    /// the order of their causes: the role switch, the state, who may serve. [states.md section 6]
    fn tell_events(
        &mut self,
        cx: &mut Cx<'_>,
        before: Option<(Role, MirroringState)>,
        last: Option<(Role, MirroringState)>,
        (role, state): (Role, MirroringState),
        witness_changed: bool,
        witness_up: bool,
    ) {
        let serving = self.status.is_some_and(|s| s.serving);
        let switched = before.is_some_and(|(was, _)| was != role);
        let entered = last.is_none_or(|(_, was)| was != state);
        let same_role = last.is_some_and(|(was, _)| was == role);
        let has_witness = self.common.shared().witness.value.named().is_some();
        if before.is_none() {
            self.event(cx, 0);
        }
        match self.switched.take() {
            Some(Switched::HandedOver) if role == Role::Mirror => self.event(cx, 7),
            Some(Switched::Took(Switch::Automatic)) if role == Role::Principal && switched => {
                self.event(cx, 8);
            }
            Some(Switched::Took(Switch::Forced)) if role == Role::Principal => self.event(cx, 9),
            _ => {}
        }
        let fresh = entered || !same_role;
        match (role, state) {
            (Role::Principal, MirroringState::Synchronized) if fresh || witness_changed => {
                self.event(cx, if witness_up { 1 } else { 2 });
            }
            (Role::Mirror, MirroringState::Synchronized) if fresh || witness_changed => {
                self.event(cx, if witness_up { 3 } else { 4 });
            }
            (Role::Mirror, MirroringState::Synchronizing) if fresh => self.event(cx, 11),
            (Role::Mirror, MirroringState::Disconnected) if entered && same_role => self.event(cx, 5),
            (Role::Principal, MirroringState::Disconnected) if entered && same_role => self.event(cx, 6),
            (_, MirroringState::Suspended) if fresh => self.event(cx, 9),
            _ => {}
        }
        let pending = state == MirroringState::PendingFailover;
        let closed = self.was_serving && !serving;
        if closed && role == Role::Principal && has_witness && !pending {
            self.event(cx, 10);
        }
        let exposed = serving && state == MirroringState::Disconnected;
        if exposed && !self.was_exposed {
            self.event(cx, 12);
        }
        (self.was_serving, self.was_exposed) = (serving, exposed);
    }

    pub(super) fn event(&mut self, cx: &mut Cx<'_>, number: u8) {
        let previous = std::mem::replace(&mut self.last_event, number);
        cx.out.push(Effect::Notice(Notice::Event { session: self.common.session, number, previous }));
    }
}
