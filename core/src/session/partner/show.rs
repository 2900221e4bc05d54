//! What a partner shows: state, transitions, numbered events. Derived from facts, never stored apart.
//! [ST-9, TR-*, EV-0 … EV-12]

use super::*;

impl Partner {
    /// `mirroring_state` by the display rule. [ST-9]
    pub(super) fn state(&self, cx: &Cx<'_>) -> MirroringState {
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
        let role = self.role_now();
        let state = self.state(cx);
        let witness = self.witness_state();
        let serving = match &self.role {
            RoleData::Principal(p) => p.serving,
            RoleData::Mirror(_) => false,
        };
        let status = Status {
            role: Some(role),
            state: Some(state),
            n: self.common.n(),
            witness,
            safety: self.common.shared().safety.value,
            serving,
        };
        if self.status == Some(status) {
            return;
        }
        let session = self.common.session;
        let before = self.shown;
        let witness_before = self.status.and_then(|s| s.witness);
        let n = status.n;
        // A zero-length SYNCHRONIZING is visible. [states.md section 4]
        if let Some((was_role, MirroringState::Disconnected | MirroringState::Suspended)) = before
            && state == MirroringState::Synchronized
        {
            let through = (role, MirroringState::Synchronizing);
            let from = Some((was_role, before.expect("matched").1));
            cx.out.push(Effect::Notice(Notice::State { session, from, to: through, n }));
            self.shown = Some(through);
        }
        if self.shown != Some((role, state)) {
            cx.out.push(Effect::Notice(Notice::State { session, from: self.shown, to: (role, state), n }));
            self.shown = Some((role, state));
        }
        cx.out.push(Effect::Notice(Notice::Status { session, status }));
        self.status = Some(status);
        let lost_quorum = self.was_serving && !serving && role == Role::Principal;
        self.was_serving = serving;
        let changed = before != self.shown;
        let witness_up = witness == Some(WitnessState::Connected);
        let witness_was_up = witness_before == Some(WitnessState::Connected);
        let took_over = before.is_some_and(|(r, _)| r == Role::Mirror) && role == Role::Principal;
        if took_over {
            self.event(cx, 8);
        }
        match (role, state) {
            (Role::Principal, MirroringState::Synchronized) if changed || witness_up != witness_was_up => {
                self.event(cx, if witness_up { 1 } else { 2 });
            }
            (Role::Mirror, MirroringState::Synchronized) if changed || witness_up != witness_was_up => {
                self.event(cx, if witness_up { 3 } else { 4 });
            }
            (Role::Mirror, MirroringState::Synchronizing) if changed => self.event(cx, 11),
            (Role::Mirror, MirroringState::Disconnected) if changed && before.is_some() => self.event(cx, 5),
            (Role::Principal, MirroringState::Disconnected) if changed && before.is_some() && !took_over => {
                self.event(cx, 6);
            }
            (_, MirroringState::Suspended) if changed => self.event(cx, 9),
            _ => {}
        }
        if lost_quorum {
            self.event(cx, 10);
        } else if serving && state == MirroringState::Disconnected && changed {
            self.event(cx, 12);
        }
    }

    pub(super) fn event(&mut self, cx: &mut Cx<'_>, number: u8) {
        let previous = std::mem::replace(&mut self.last_event, number);
        cx.out.push(Effect::Notice(Notice::Event { session: self.common.session, number, previous }));
    }
}
