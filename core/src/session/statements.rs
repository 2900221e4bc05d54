//! Control statements of a session: preconditions in the order of `docs/spec/control.md` section 5, then the change,
//! durable here first, then on the others, then the answer. [C-60 … C-73, OQ-16, OQ-34, OQ-40]

use super::channel::{Cx, Taken};
use super::mirror::Elected;
use super::partner::{Partner, RoleData};
use crate::bugs::Bug;
use crate::control::{PartnerOption, Statement, WitnessOption, sql_error};
use crate::io::{Effect, SqlError};
use crate::message::{ChannelId, Message, RoleRecord, Setting, SettingId, WitnessSetting};
use crate::record::Version;
use crate::types::{InstanceId, Instant, MirroringState, Role, Safety};

/// Smallest time-out period that is stored, in seconds. [FL-9]
const TIMEOUT_S_MIN: u16 = 5;

/// A statement that waits for other instances.
#[derive(Clone, Debug, Hash)]
pub struct Ongoing {
    /// The host's number; none for what the session finishes after the answer.
    request: Option<u64>,
    /// Afterwards it fails with E1421.
    pub deadline: Instant,
    waits: Waits,
}

/// What a statement waits for.
#[derive(Clone, Debug, Hash)]
enum Waits {
    /// The partner's answer to a setting; the witness is told too, without waiting.
    Setting { setting: Setting, version: Version, told: bool },
    /// SET WITNESS =: a link to the instance named; were partners connected and caught up when it was issued? [C-70]
    WitnessReach { witness: InstanceId, ready: bool },
    /// SET WITNESS =: the partner has it, then the witness. [OQ-16]
    WitnessPartner { setting: Setting, version: Version, told: bool, witness: InstanceId },
    /// The new witness has its record; it is told anew on a new channel, for nobody knows what of the old one arrived.
    WitnessSeat { of: SettingId, witness: InstanceId, told: Option<ChannelId> },
    /// All three are connected.
    WitnessMeets { witness: InstanceId },
    /// SET WITNESS OFF: the witness or, without it, the partner knows. [OQ-16]
    WitnessLeaves { setting: Setting, version: Version, told: Option<InstanceId>, next: Option<InstanceId> },
    /// The release, or the end of the session, is on its way to the own disk; the witness to be set after it. [OQ-39]
    Released(Version, Option<InstanceId>),
    /// FAILOVER: first the hand-over, then the partner's word that it is principal. [OQ-9]
    Failover { handed_over: bool },
    /// FORCE_SERVICE_ALLOW_DATA_LOSS: the role. [OQ-4.6]
    Force,
    /// SET PARTNER = on the future principal: the copy that waits for it. [C-51]
    Start { record: RoleRecord, told: Option<ChannelId> },
}

impl Ongoing {
    fn new(request: impl Into<Option<u64>>, cx: &Cx<'_>, waits: Waits) -> Self {
        Ongoing { request: request.into(), deadline: cx.now + cx.tuning().statement_timeout, waits }
    }

    /// Ends the statement.
    fn answer(&self, cx: &mut Cx<'_>, result: Result<(), SqlError>) {
        if let Some(request) = self.request {
            cx.out.push(Effect::StatementDone { request, result });
        }
    }

    /// A manual failover that has begun.
    pub fn failover(request: u64, cx: &Cx<'_>) -> Self {
        Ongoing::new(request, cx, Waits::Failover { handed_over: false })
    }

    /// A forced service that has begun.
    pub fn force(request: u64, cx: &Cx<'_>) -> Self {
        Ongoing::new(request, cx, Waits::Force)
    }

    /// Is it a forced service?
    pub fn is_force(&self) -> bool {
        matches!(self.waits, Waits::Force)
    }

    /// Does it go on in the mirror role that follows?
    pub fn outlives_role(&self, elected: Elected) -> bool {
        match self.waits {
            Waits::Failover { handed_over } => handed_over,
            Waits::Force => elected != Elected::No,
            Waits::Setting { .. }
            | Waits::WitnessReach { .. }
            | Waits::WitnessPartner { .. }
            | Waits::WitnessSeat { .. }
            | Waits::WitnessMeets { .. }
            | Waits::WitnessLeaves { .. }
            | Waits::Released(..)
            | Waits::Start { .. } => false,
        }
    }
}

impl Partner {
    /// A statement of the owner. Answered at once, or when everybody needed has it durably.
    pub fn statement(&mut self, cx: &mut Cx<'_>, request: u64, statement: &Statement) {
        if let Err(error) = self.begin_statement(cx, request, statement) {
            cx.out.push(Effect::StatementDone { request, result: Err(error) });
        }
        self.advance(cx);
    }

    fn role_name(&self) -> Role {
        match &self.role {
            RoleData::Principal(_) => Role::Principal,
            RoleData::Mirror(_) => Role::Mirror,
        }
    }

    fn begin_statement(
        &mut self,
        cx: &mut Cx<'_>,
        request: u64,
        statement: &Statement,
    ) -> Result<(), SqlError> {
        if let Statement::SetPartner { option: PartnerOption::Address(address), .. } = statement {
            return self.set_partner(cx, request, address);
        }
        if self.is_over() {
            return match statement {
                Statement::Recover { .. } => self.begin_recovery(cx, request),
                Statement::SetPartner { .. } | Statement::SetWitness { .. } => Err(sql_error(1416)),
            };
        }
        let resume = matches!(statement, Statement::SetPartner { option: PartnerOption::Resume, .. });
        if !(resume && cx.bug(Bug::ResumeOnMirror)) {
            statement.allowed_on(self.role_name())?;
        }
        let off = matches!(statement, Statement::SetPartner { option: PartnerOption::Off, .. });
        // Removal is always possible. [OQ-16]
        if self.ongoing.is_some() && !off {
            // One at a time; transient, retry.
            return Err(sql_error(1404));
        }
        let done = |cx: &mut Cx<'_>| {
            cx.out.push(Effect::StatementDone { request, result: Ok(()) });
            Ok(())
        };
        match statement {
            Statement::SetPartner { option, .. } => match option {
                PartnerOption::Safety(value) => {
                    self.need_partner()?;
                    if self.common.shared().safety.value == *value {
                        return done(cx);
                    }
                    self.set_safety(cx, *value);
                    let setting = Setting::Safety(self.common.shared().safety);
                    self.wait_for_setting(cx, request, setting);
                    Ok(())
                }
                PartnerOption::Timeout(value) => {
                    let least = if cx.bug(Bug::ShortTimeOutKept) { 0 } else { TIMEOUT_S_MIN };
                    let seconds = value.seconds()?.max(least);
                    self.need_partner()?;
                    let n = self.common.n();
                    let before_s = self.common.period_s();
                    self.common.keeper.change(cx.out, |r| r.shared.timeout_s.set(n, seconds));
                    self.period_changed(cx, before_s);
                    let setting = Setting::Timeout(self.common.shared().timeout_s);
                    self.wait_for_setting(cx, request, setting);
                    Ok(())
                }
                PartnerOption::Suspend | PartnerOption::Resume => {
                    self.need_partner()?;
                    let suspend = *option == PartnerOption::Suspend;
                    if self.common.shared().suspended.value == suspend {
                        return done(cx);
                    }
                    let keeper = &self.common.keeper;
                    let settling = keeper.durable_suspended() != keeper.record().shared.suspended;
                    if settling || matches!(&self.role, RoleData::Mirror(m) if m.failing_over) {
                        // The last pause is still on its way to the disk, or the role is about to come here: transient,
                        // retry.
                        return Err(sql_error(1404));
                    }
                    self.set_suspended(cx, suspend);
                    let setting = Setting::Suspended(self.common.shared().suspended);
                    self.wait_for_setting(cx, request, setting);
                    Ok(())
                }
                PartnerOption::Failover => self.begin_failover(cx, request),
                PartnerOption::ForceServiceAllowDataLoss => self.begin_force(cx, request),
                PartnerOption::Off => self.begin_removal(cx, request),
                PartnerOption::Address(_) => unreachable!("handled above"),
            },
            Statement::Recover { .. } => unreachable!("refused by role"),
            Statement::SetWitness { option: WitnessOption::Off, .. } => self.witness_off(cx, request),
            Statement::SetWitness { option: WitnessOption::Address(address), .. } => {
                self.witness_set(cx, request, address)
            }
        }
    }

    fn need_partner(&self) -> Result<(), SqlError> {
        if self.common.connected(self.other) { Ok(()) } else { Err(sql_error(1447)) }
    }

    /// Both directions start the way to SYNCHRONIZED anew; with OFF nothing is "synchronised" for a failover.
    /// [S-73, S-74]
    fn set_safety(&mut self, cx: &mut Cx<'_>, value: Safety) {
        let n = self.common.n();
        let before_s = self.common.period_s();
        self.common.keeper.change(cx.out, |r| {
            r.shared.safety.set(n, value);
            r.shared.synchronized.set(n, false);
        });
        self.period_changed(cx, before_s);
        if let RoleData::Principal(p) = &mut self.role {
            p.safety_changed(&mut self.common);
        }
    }

    /// SUSPEND and RESUME. [C-63, C-64]
    fn set_suspended(&mut self, cx: &mut Cx<'_>, value: bool) {
        let n = self.common.n();
        let before = *self.common.shared();
        self.common.keeper.change(cx.out, |r| r.shared.suspended.set(n, value));
        self.settings_changed(cx, &before);
    }

    fn period_changed(&mut self, cx: &Cx<'_>, before_s: u16) {
        if cx.bug(Bug::LeaseByOwnPeriod) {
            return;
        }
        let after_s = self.common.period_s();
        if let RoleData::Principal(p) = &mut self.role {
            p.period_changed(before_s, after_s);
        }
    }

    fn wait_for_setting(&mut self, cx: &Cx<'_>, request: u64, setting: Setting) {
        let version = self.common.keeper.version();
        self.ongoing = Some(Ongoing::new(request, cx, Waits::Setting { setting, version, told: false }));
    }

    /// SET WITNESS =. The principal is bound first. [C-70 … C-72, OQ-16, OQ-39]
    fn witness_set(&mut self, cx: &mut Cx<'_>, request: u64, address: &str) -> Result<(), SqlError> {
        let witness = cx.instance_at(address)?;
        if self.common.shared().partners.contains(&witness) {
            return Err(sql_error(1429));
        }
        let known = self.common.channel(witness).is_none_or(|c| c.known);
        if self.common.shared().witness.value == WitnessSetting::Set(witness) && known {
            // Informational: it is the witness already. One that holds no such session is set anew. [C-71, E1402]
            cx.message(self.common.session, 1446);
            cx.out.push(Effect::StatementDone { request, result: Ok(()) });
            return Ok(());
        }
        let ready = self.common.connected(self.other) && self.caught_up(cx);
        cx.transport.want(cx.now, witness);
        self.ongoing = Some(Ongoing::new(request, cx, Waits::WitnessReach { witness, ready }));
        Ok(())
    }

    /// The instance named answers: the session is bound to it from now on, after the one before was left. [C-72, OQ-39]
    fn witness_reached(&mut self, cx: &mut Cx<'_>, request: Option<u64>, witness: InstanceId) {
        match self.common.shared().witness.value.named() {
            Some(old) if old != witness => self.begin_witness_off(cx, request, old, Some(witness)),
            Some(_) | None => self.begin_witness_set(cx, request, witness),
        }
    }

    fn begin_witness_set(&mut self, cx: &mut Cx<'_>, request: Option<u64>, witness: InstanceId) {
        let n = self.common.n();
        let before = *self.common.shared();
        self.common.keeper.change(cx.out, |r| r.shared.witness.set(n, WitnessSetting::Set(witness)));
        self.settings_changed(cx, &before);
        if let RoleData::Principal(p) = &mut self.role {
            p.witness_changed();
        }
        let setting = Setting::Witness(self.common.shared().witness);
        let version = self.common.keeper.version();
        self.ongoing =
            Some(Ongoing::new(request, cx, Waits::WitnessPartner { setting, version, told: false, witness }));
    }

    fn caught_up(&self, cx: &Cx<'_>) -> bool {
        self.state(cx) == MirroringState::Synchronized
    }

    /// SET WITNESS OFF. The principal is released last. [C-73, OQ-16]
    fn witness_off(&mut self, cx: &mut Cx<'_>, request: u64) -> Result<(), SqlError> {
        let Some(witness) = self.common.shared().witness.value.named() else {
            return Err(sql_error(1439));
        };
        if !self.common.connected(self.other) && !self.common.connected(witness) {
            return Err(sql_error(1431));
        }
        self.begin_witness_off(cx, Some(request), witness, None);
        Ok(())
    }

    /// The old witness is left, and another one set afterwards if there is a `next`. [OQ-16, OQ-39]
    fn begin_witness_off(
        &mut self,
        cx: &mut Cx<'_>,
        request: Option<u64>,
        witness: InstanceId,
        next: Option<InstanceId>,
    ) {
        let n = self.common.n();
        let leaving =
            if cx.bug(Bug::ReleasedFirst) { WitnessSetting::Off } else { WitnessSetting::Leaving(witness) };
        let version = self.common.keeper.change(cx.out, |r| r.shared.witness.set(n, leaving));
        let mut off = self.common.shared().witness;
        off.value = WitnessSetting::Off;
        self.ongoing = Some(Ongoing::new(
            request,
            cx,
            Waits::WitnessLeaves { setting: Setting::Witness(off), version, told: None, next },
        ));
    }

    /// What a statement waits for may have come; its messages leave when the own record is durable.
    pub fn advance_statement(&mut self, cx: &mut Cx<'_>) {
        let Some(mut ongoing) = self.ongoing.take() else { return };
        let witness = self.common.shared().witness.value.counting();
        match &mut ongoing.waits {
            Waits::Setting { setting, version, told } => {
                if !*told && self.common.keeper.is_durable(*version) {
                    *told = true;
                    if cx.bug(Bug::SettingKeptLocal) {
                        ongoing.answer(cx, Ok(()));
                        return;
                    }
                    let message = Message::SettingChange { setting: *setting };
                    for peer in [Some(self.other), witness].into_iter().flatten() {
                        if self.common.connected(peer)
                            && let RoleData::Principal(p) = &mut self.role
                        {
                            p.setting_sent(peer);
                        }
                        self.common.send(cx, peer, &message);
                    }
                }
            }
            &mut Waits::WitnessReach { witness, ready } => {
                if cx.transport.channel(witness).is_some() {
                    if ready {
                        self.witness_reached(cx, ongoing.request, witness);
                    } else {
                        ongoing.answer(cx, Err(sql_error(1426)));
                    }
                    return;
                }
            }
            &mut Waits::WitnessMeets { witness } => {
                let meets = |of: InstanceId, whom: InstanceId| {
                    let other = self.common.channel(of).and_then(|c| c.other);
                    other.is_some_and(|o| o.peer == whom && o.up.is_some())
                };
                if meets(self.other, witness) && self.common.connected(witness) {
                    ongoing.answer(cx, Ok(()));
                    return;
                }
            }
            Waits::WitnessPartner { setting, version, told, .. } => {
                if !*told && self.common.keeper.is_durable(*version) {
                    *told = true;
                    self.common.send(cx, self.other, &Message::SettingChange { setting: *setting });
                }
            }
            Waits::WitnessSeat { witness, told, .. } => {
                let witness = *witness;
                let channel = self.common.channel(witness).and_then(|c| c.id);
                if channel.is_some() && channel != *told {
                    *told = channel;
                    let record = *self.common.shared();
                    self.common.send(cx, witness, &Message::WitnessSet { record });
                }
            }
            Waits::WitnessLeaves { setting, version, told, .. } => {
                if told.is_none() && self.common.keeper.is_durable(*version) {
                    let named = self.common.shared().witness.value.named();
                    let via = named
                        .filter(|w| self.common.connected(*w))
                        .or(Some(self.other).filter(|o| self.common.connected(*o)));
                    if let Some(via) = via {
                        *told = Some(via);
                        self.common.send(cx, via, &Message::SettingChange { setting: *setting });
                    }
                }
            }
            Waits::Released(version, next) => {
                if self.common.keeper.is_durable(*version) {
                    match *next {
                        Some(witness) => self.begin_witness_set(cx, ongoing.request, witness),
                        None => ongoing.answer(cx, Ok(())),
                    }
                    return;
                }
            }
            Waits::Start { record, told } => self.offer_start(cx, *record, told),
            Waits::Failover { .. } | Waits::Force => {}
        }
        if cx.now >= ongoing.deadline {
            let error = match ongoing.waits {
                Waits::WitnessReach { .. } => 1418,
                Waits::WitnessPartner { .. } | Waits::WitnessSeat { .. } => 1433,
                Waits::WitnessMeets { .. } => 1426,
                Waits::Setting { .. }
                | Waits::WitnessLeaves { .. }
                | Waits::Released(..)
                | Waits::Failover { .. }
                | Waits::Force => 1421,
                Waits::Start { told: None, .. } => 1418,
                Waits::Start { told: Some(_), .. } => 1413,
            };
            if matches!(ongoing.waits, Waits::Failover { handed_over: false }) {
                self.ongoing = Some(ongoing);
                self.abandon_failover(cx, error);
                return;
            }
            if matches!(ongoing.waits, Waits::Start { .. }) {
                self.common.channels.clear();
            }
            ongoing.answer(cx, Err(sql_error(error)));
            // Adding a witness has failed: the session has none, which the partner must know. [OQ-39]
            if let Waits::WitnessPartner { witness, .. }
            | Waits::WitnessSeat { witness, .. }
            | Waits::WitnessMeets { witness } = ongoing.waits
                && self.common.connected(self.other)
            {
                self.begin_witness_off(cx, None, witness, None);
            }
            return;
        }
        self.ongoing = Some(ongoing);
    }

    /// An instance has taken a setting durably, or holds a newer one.
    pub fn setting_answered(&mut self, cx: &mut Cx<'_>, peer: InstanceId, of: SettingId, taken: bool) {
        if let RoleData::Principal(p) = &mut self.role {
            p.setting_answered(peer);
        }
        let Some(mut ongoing) = self.ongoing.take() else { return };
        let answered_partner = peer == self.other;
        let (matches, next) = match &ongoing.waits {
            Waits::Setting { setting, .. } => (answered_partner && setting.id() == of, None),
            Waits::WitnessPartner { setting, witness, .. } => (
                answered_partner && setting.id() == of,
                Some(Waits::WitnessSeat { of, witness: *witness, told: None }),
            ),
            Waits::WitnessSeat { of: wanted, witness, .. } => {
                (peer == *witness && of == *wanted, Some(Waits::WitnessMeets { witness: *witness }))
            }
            Waits::WitnessReach { .. } | Waits::WitnessMeets { .. } => (false, None),
            Waits::WitnessLeaves { setting, told, next, .. } => {
                let next = *next;
                let matches = *told == Some(peer) && setting.id() == of;
                if matches && taken {
                    let Setting::Witness(off) = *setting else { unreachable!("built as a witness setting") };
                    let before = *self.common.shared();
                    let version = self.common.keeper.change(cx.out, |r| r.shared.witness = off);
                    self.settings_changed(cx, &before);
                    // The other partner learns it too, directly or at the next contact.
                    if self.common.connected(self.other) && peer != self.other {
                        let message = Message::SettingChange { setting: Setting::Witness(off) };
                        self.common.send_when_durable(cx, version, self.other, message);
                    }
                    ongoing.waits = Waits::Released(version, next);
                    self.ongoing = Some(ongoing);
                    return;
                }
                (matches, None)
            }
            Waits::Released(..) | Waits::Failover { .. } | Waits::Force | Waits::Start { .. } => {
                (false, None)
            }
        };
        if !matches {
            self.ongoing = Some(ongoing);
            return;
        }
        if !taken {
            ongoing.answer(cx, Err(sql_error(1424)));
            return;
        }
        match next {
            Some(waits) => {
                ongoing.waits = waits;
                self.ongoing = Some(ongoing);
            }
            None => ongoing.answer(cx, Ok(())),
        }
    }

    /// A setting of the other partner: durable here, then answered. [C-47]
    pub fn take_setting(&mut self, cx: &mut Cx<'_>, setting: Setting) {
        let before = *self.common.shared();
        let taken = self.common.take(cx, setting);
        if taken == Taken::New {
            self.settings_changed(cx, &before);
            if let RoleData::Mirror(m) = &mut self.role {
                match setting {
                    Setting::Safety(_) => m.disarm(),
                    Setting::Witness(_) => m.unarm(),
                    Setting::Timeout(_) | Setting::Suspended(_) => {}
                }
            }
        }
        self.common.answer_setting(cx, self.other, setting.id(), taken);
    }

    /// The role was handed over: from now on the statement waits for the partner's word.
    pub fn failover_handed_over(&mut self) {
        if let Some(ongoing) = &mut self.ongoing
            && let Waits::Failover { handed_over } = &mut ongoing.waits
        {
            *handed_over = true;
        }
    }

    /// The partner has said that it is principal now. [FO-37d]
    pub fn failover_done(&mut self, cx: &mut Cx<'_>, peer: InstanceId) {
        let waits = self.ongoing.as_ref().map(|o| &o.waits);
        if peer == self.other
            && self.common.shared().owner == peer
            && matches!(waits, Some(Waits::Failover { handed_over: true }))
        {
            self.statement_done(cx);
        }
    }

    /// The role is taken, by order of the owner. [FO-60]
    pub fn force_done(&mut self, cx: &mut Cx<'_>) {
        if self.ongoing.as_ref().is_some_and(Ongoing::is_force) {
            self.statement_done(cx);
        }
    }

    /// The record of the session that SET PARTNER = is setting up.
    pub fn starting(&self) -> Option<RoleRecord> {
        match self.ongoing.as_ref()?.waits {
            Waits::Start { record, told: Some(_) } => Some(record),
            _ => None,
        }
    }

    /// SET PARTNER = waits for the copy named.
    pub fn wait_for_start(&mut self, cx: &Cx<'_>, request: u64, record: RoleRecord) {
        self.ongoing = Some(Ongoing::new(request, cx, Waits::Start { record, told: None }));
    }

    /// The end of the session waits for the own disk.
    pub fn wait_for_release(&mut self, cx: &Cx<'_>, request: u64) {
        let version = self.common.keeper.version();
        self.ongoing = Some(Ongoing::new(request, cx, Waits::Released(version, None)));
    }

    /// The statement under way has succeeded.
    pub fn statement_done(&mut self, cx: &mut Cx<'_>) {
        if let Some(ongoing) = self.ongoing.take() {
            ongoing.answer(cx, Ok(()));
        }
    }

    /// The statement under way cannot end here any more.
    pub fn fail_statement(&mut self, cx: &mut Cx<'_>, error: u32) {
        if let Some(ongoing) = self.ongoing.take() {
            ongoing.answer(cx, Err(sql_error(error)));
        }
    }
}
