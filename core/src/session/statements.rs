//! Control statements of a session: preconditions in the order of `docs/spec/control.md` section 5, then the change,
//! durable here first, then on the others, then the answer. [C-60 … C-73, OQ-16, OQ-34, OQ-40]

use super::channel::Cx;
use super::partner::{Partner, RoleData};
use super::principal::Sync;
use crate::control::{PartnerOption, ServerAddress, Statement, WitnessOption, sql_error};
use crate::io::{Effect, SqlError};
use crate::message::{Message, Setting, Stamp, WitnessSetting};
use crate::record::Version;
use crate::types::{InstanceId, Instant, Role, Safety};

/// Smallest time-out period that is stored, in seconds. [FL-9]
const TIMEOUT_S_MIN: u16 = 5;

/// A statement that waits for other instances.
#[derive(Clone, Debug, Hash)]
pub struct Ongoing {
    request: u64,
    /// Afterwards it fails with E1421.
    pub deadline: Instant,
    waits: Waits,
}

/// What a statement waits for.
#[derive(Clone, Debug, Hash)]
enum Waits {
    /// The partner's answer to a setting; the witness is told too, without waiting.
    Setting { setting: Setting, version: Version, told: bool },
    /// SET WITNESS =: the partner has it, then the witness. [OQ-16]
    WitnessPartner { setting: Setting, version: Version, told: bool, witness: InstanceId },
    /// The new witness has its record.
    WitnessSeat { stamp: Stamp, witness: InstanceId, told: bool },
    /// SET WITNESS OFF: the witness or, without it, the partner knows. [OQ-16]
    WitnessLeaves { setting: Setting, version: Version, told: Option<InstanceId> },
    /// The release is on its way to the own disk.
    Released(Version),
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
            return Err(self.refuse_partner(cx, address));
        }
        statement.allowed_on(self.role_name())?;
        if self.ongoing.is_some() {
            // One at a time; transient, retry.
            return Err(sql_error(1404));
        }
        let now = cx.now;
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
                    self.wait_for_setting(cx, request, setting, now);
                    Ok(())
                }
                PartnerOption::Timeout(value) => {
                    let seconds = value.seconds()?.max(TIMEOUT_S_MIN);
                    self.need_partner()?;
                    let n = self.common.n();
                    let before_s = self.common.period_s();
                    self.common.keeper.change(cx.out, |r| r.shared.timeout_s.set(n, seconds));
                    self.period_changed(before_s);
                    let setting = Setting::Timeout(self.common.shared().timeout_s);
                    self.wait_for_setting(cx, request, setting, now);
                    Ok(())
                }
                // Their own issues: refused as an option this build does not support. [E5008]
                PartnerOption::Failover
                | PartnerOption::ForceServiceAllowDataLoss
                | PartnerOption::Off
                | PartnerOption::Resume
                | PartnerOption::Suspend => Err(sql_error(5008)),
                PartnerOption::Address(_) => unreachable!("handled above"),
            },
            Statement::SetWitness { option: WitnessOption::Off, .. } => self.witness_off(cx, request),
            Statement::SetWitness { option: WitnessOption::Address(address), .. } => {
                self.witness_set(cx, request, address)
            }
        }
    }

    /// SET PARTNER = on a database in a session is always refused; which error comes first. [section 5.1]
    fn refuse_partner(&self, _cx: &Cx<'_>, _address: &str) -> SqlError {
        sql_error(1405)
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
        self.period_changed(before_s);
        if let RoleData::Principal(p) = &mut self.role {
            p.safety_changed();
        }
    }

    fn period_changed(&mut self, before_s: u16) {
        let after_s = self.common.period_s();
        if let RoleData::Principal(p) = &mut self.role {
            p.period_changed(before_s, after_s);
        }
    }

    fn wait_for_setting(&mut self, cx: &mut Cx<'_>, request: u64, setting: Setting, now: Instant) {
        let version = self.common.keeper.version();
        self.ongoing = Some(Ongoing {
            request,
            deadline: now + cx.tuning().statement_timeout,
            waits: Waits::Setting { setting, version, told: false },
        });
    }

    /// SET WITNESS =. The principal is bound first. [C-70 … C-72, OQ-16, OQ-39]
    fn witness_set(&mut self, cx: &mut Cx<'_>, request: u64, address: &str) -> Result<(), SqlError> {
        let wanted: ServerAddress = address.parse()?;
        let known = cx.config.addresses.iter().position(|a| a.parse::<ServerAddress>() == Ok(wanted.clone()));
        let Some(index) = known else { return Err(sql_error(1418)) };
        let witness = InstanceId(index as u8);
        if self.common.shared().partners.contains(&witness) {
            return Err(sql_error(1429));
        }
        if self.common.shared().witness.value == WitnessSetting::Set(witness) {
            // Informational: it is the witness already. [C-71]
            cx.message(self.common.session, 1446);
            cx.out.push(Effect::StatementDone { request, result: Ok(()) });
            return Ok(());
        }
        self.need_partner().map_err(|_| sql_error(1426))?;
        if !self.caught_up() {
            return Err(sql_error(1426));
        }
        let n = self.common.n();
        let before = *self.common.shared();
        self.common.keeper.change(cx.out, |r| {
            r.shared.witness.set(n, WitnessSetting::Set(witness));
            r.shared.synchronized.set(n, false);
        });
        self.settings_changed(cx, &before);
        if let RoleData::Principal(p) = &mut self.role {
            p.safety_changed();
        }
        let setting = Setting::Witness(self.common.shared().witness);
        let version = self.common.keeper.version();
        self.ongoing = Some(Ongoing {
            request,
            deadline: cx.now + cx.tuning().statement_timeout,
            waits: Waits::WitnessPartner { setting, version, told: false, witness },
        });
        Ok(())
    }

    fn caught_up(&self) -> bool {
        match &self.role {
            RoleData::Principal(p) => {
                matches!(p.sync, Sync::Done(_)) || self.common.shared().safety.value == Safety::Off
            }
            RoleData::Mirror(_) => false,
        }
    }

    /// SET WITNESS OFF. The principal is released last. [C-73, OQ-16]
    fn witness_off(&mut self, cx: &mut Cx<'_>, request: u64) -> Result<(), SqlError> {
        let Some(witness) = self.common.shared().witness.value.named() else {
            return Err(sql_error(1439));
        };
        if !self.common.connected(self.other) && !self.common.connected(witness) {
            return Err(sql_error(1431));
        }
        let n = self.common.n();
        let version =
            self.common.keeper.change(cx.out, |r| r.shared.witness.set(n, WitnessSetting::Leaving(witness)));
        let mut off = self.common.shared().witness;
        off.value = WitnessSetting::Off;
        self.ongoing = Some(Ongoing {
            request,
            deadline: cx.now + cx.tuning().statement_timeout,
            waits: Waits::WitnessLeaves { setting: Setting::Witness(off), version, told: None },
        });
        Ok(())
    }

    /// What a statement waits for may have come; its messages leave when the own record is durable.
    pub fn advance_statement(&mut self, cx: &mut Cx<'_>) {
        let Some(mut ongoing) = self.ongoing.take() else { return };
        let witness = self.common.shared().witness.value.counting();
        match &mut ongoing.waits {
            Waits::Setting { setting, version, told } => {
                if !*told && self.common.keeper.is_durable(*version) {
                    *told = true;
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
            Waits::WitnessPartner { setting, version, told, .. } => {
                if !*told && self.common.keeper.is_durable(*version) {
                    *told = true;
                    self.common.send(cx, self.other, &Message::SettingChange { setting: *setting });
                }
            }
            Waits::WitnessSeat { witness, told, .. } => {
                let witness = *witness;
                if !*told && self.common.channel(witness).is_some_and(|c| c.id.is_some()) {
                    *told = true;
                    let record = *self.common.shared();
                    self.common.send(cx, witness, &Message::WitnessSet { record });
                }
            }
            Waits::WitnessLeaves { setting, version, told } => {
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
            Waits::Released(version) => {
                if self.common.keeper.is_durable(*version) {
                    let request = ongoing.request;
                    cx.out.push(Effect::StatementDone { request, result: Ok(()) });
                    return;
                }
            }
        }
        if cx.now >= ongoing.deadline {
            let error = match ongoing.waits {
                Waits::WitnessPartner { .. } | Waits::WitnessSeat { .. } => 1433,
                Waits::Setting { .. } | Waits::WitnessLeaves { .. } | Waits::Released(_) => 1421,
            };
            cx.out.push(Effect::StatementDone { request: ongoing.request, result: Err(sql_error(error)) });
            return;
        }
        self.ongoing = Some(ongoing);
    }

    /// An instance has taken a setting durably, or holds a newer one.
    pub fn setting_answered(&mut self, cx: &mut Cx<'_>, peer: InstanceId, stamp: Stamp, taken: bool) {
        if let RoleData::Principal(p) = &mut self.role {
            p.setting_answered(peer);
        }
        let Some(mut ongoing) = self.ongoing.take() else { return };
        let request = ongoing.request;
        let answered_partner = peer == self.other;
        let (matches, next) = match &ongoing.waits {
            Waits::Setting { setting, .. } => (answered_partner && setting.stamp() == stamp, None),
            Waits::WitnessPartner { setting, witness, .. } => (
                answered_partner && setting.stamp() == stamp,
                Some(Waits::WitnessSeat { stamp, witness: *witness, told: false }),
            ),
            Waits::WitnessSeat { stamp: wanted, witness, .. } => (peer == *witness && stamp == *wanted, None),
            Waits::WitnessLeaves { setting, told, .. } => {
                let matches = *told == Some(peer) && setting.stamp() == stamp;
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
                    ongoing.waits = Waits::Released(version);
                    self.ongoing = Some(ongoing);
                    return;
                }
                (matches, None)
            }
            Waits::Released(_) => (false, None),
        };
        if !matches {
            self.ongoing = Some(ongoing);
            return;
        }
        if !taken {
            cx.out.push(Effect::StatementDone { request, result: Err(sql_error(1424)) });
            return;
        }
        match next {
            Some(waits) => {
                ongoing.waits = waits;
                self.ongoing = Some(ongoing);
            }
            None => cx.out.push(Effect::StatementDone { request, result: Ok(()) }),
        }
    }

    /// A setting of the principal: durable here, then answered. [C-47]
    pub fn take_setting(&mut self, cx: &mut Cx<'_>, setting: Setting) {
        let stamp = setting.stamp();
        let before = *self.common.shared();
        let held = match setting {
            Setting::Safety(_) => before.safety.stamp,
            Setting::Timeout(_) => before.timeout_s.stamp,
            Setting::Witness(_) => before.witness.stamp,
        };
        if stamp < held {
            self.common.send(cx, self.other, &Message::SettingRefused { stamp });
            return;
        }
        if stamp > held {
            self.common.keeper.change(cx.out, |r| match setting {
                Setting::Safety(s) => r.shared.safety = s,
                Setting::Timeout(s) => r.shared.timeout_s = s,
                Setting::Witness(s) => r.shared.witness = s,
            });
            self.settings_changed(cx, &before);
            if let RoleData::Mirror(m) = &mut self.role
                && !matches!(setting, Setting::Timeout(_))
            {
                m.disarm();
            }
        }
        let version = self.common.keeper.version();
        self.common.send_when_durable(cx, version, self.other, Message::SettingOk { stamp });
    }

    /// The statement under way cannot end here any more.
    pub fn fail_statement(&mut self, cx: &mut Cx<'_>, error: u32) {
        if let Some(ongoing) = self.ongoing.take() {
            cx.out.push(Effect::StatementDone { request: ongoing.request, result: Err(sql_error(error)) });
        }
    }
}
