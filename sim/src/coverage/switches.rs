//! Statements and how they ended, transitions by their rule, numbered events, role switches of the owner's making.

use super::{Coverage, count};
use crate::observe::Fact;
use dbm_core::control::{self, PartnerOption, Statement, WitnessOption};
use dbm_core::io::{Input, Notice};
use dbm_core::types::MirroringState::{
    Disconnected, PendingFailover, Suspended, Synchronized, Synchronizing,
};
use dbm_core::types::Role::{Mirror, Principal};
use dbm_core::types::{InstanceId, MirroringState, Role, RoleSequence, Safety};
use std::collections::{BTreeMap, BTreeSet};

type Shown = (Role, MirroringState);

/// Why a mirror takes the principal role, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cause {
    /// Neither of the others: a durable record names it.
    #[default]
    Record,
    /// The witness granted its claim.
    Claim,
    /// The owner forced it.
    Force,
}

/// The rule of a transition, by its shape and, for role switches, its cause. [docs/spec/states.md section 4]
fn rule(from: Shown, to: Shown, cause: Cause) -> &'static str {
    match (from, to) {
        ((Mirror, _), (Principal, _)) if cause == Cause::Force => "TR-20",
        ((Mirror, _), (Principal, _)) if cause == Cause::Claim => "TR-19",
        ((Mirror, Synchronized), (Principal, Synchronizing)) => "TR-15",
        ((Mirror, _), (Principal, _)) => "TR-25",
        ((Principal, PendingFailover), (Mirror, _)) => "TR-13",
        ((Principal, _), (Mirror, Suspended)) => "TR-22",
        ((Principal, _), (Mirror, _)) => "TR-21",
        ((_, Synchronizing), (_, Synchronized)) => "TR-3",
        ((_, Synchronized), (_, Synchronizing)) => "TR-4",
        ((_, Synchronizing | Synchronized), (_, Suspended)) => "TR-5",
        ((_, Suspended), (_, Synchronizing)) => "TR-9",
        ((_, Synchronized), (_, PendingFailover)) => "TR-12",
        ((_, PendingFailover), (_, Synchronized | Disconnected)) => "TR-14",
        ((_, Disconnected), (_, Synchronizing)) => "TR-17",
        ((_, Disconnected), (_, Suspended)) => "TR-18",
        ((_, Suspended | Synchronizing | Synchronized), (_, Disconnected)) => "TR-16",
        _ => "none",
    }
}

fn shown(s: Shown) -> String {
    let role = match s.0 {
        Principal => 'P',
        Mirror => 'M',
    };
    let state = match s.1 {
        Suspended => "SUSPENDED",
        Disconnected => "DISCONNECTED",
        Synchronizing => "SYNCHRONIZING",
        PendingFailover => "PENDING_FAILOVER",
        Synchronized => "SYNCHRONIZED",
    };
    format!("{role}:{state}")
}

/// The kind of a statement, as the counts name it.
fn kind(sql: &str) -> &'static str {
    let Ok(statement) = control::parse(sql) else { return "syntax" };
    match statement {
        Statement::SetPartner { option, .. } => match option {
            PartnerOption::Address(_) => "PARTNER =",
            PartnerOption::Failover => "FAILOVER",
            PartnerOption::ForceServiceAllowDataLoss => "FORCE_SERVICE_ALLOW_DATA_LOSS",
            PartnerOption::Off => "PARTNER OFF",
            PartnerOption::Resume => "RESUME",
            PartnerOption::Safety(Safety::Full) => "SAFETY FULL",
            PartnerOption::Safety(Safety::Off) => "SAFETY OFF",
            PartnerOption::Suspend => "SUSPEND",
            PartnerOption::Timeout(_) => "TIMEOUT",
        },
        Statement::Recover { .. } => "RESTORE",
        Statement::SetWitness { option, .. } => match option {
            WitnessOption::Address(_) => "WITNESS =",
            WitnessOption::Off => "WITNESS OFF",
        },
    }
}

#[derive(Clone, Debug, Default)]
struct OfInstance {
    shown: Option<Shown>,
    cause: Cause,
    /// It showed SUSPENDED when its process ended.
    died_suspended: bool,
    /// Its copy is on a dead fork, and RESUME has been accepted since.
    resumed: bool,
    /// Mirroring was removed in this life.
    removed: bool,
    /// Statements under way.
    open: BTreeMap<&'static str, u64>,
}

/// Watches the states of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Switches {
    seen: Coverage,
    of: BTreeMap<InstanceId, OfInstance>,
    /// Role sequences that were handed over.
    handed: BTreeSet<RoleSequence>,
    /// Service was forced and the other copy not undone since.
    forced: bool,
}

impl Switches {
    /// Takes note of one fact.
    pub(super) fn fact(&mut self, fact: &Fact<'_>) {
        match *fact {
            Fact::Handling { instance, input: Input::Statement { sql, .. } } => {
                let kind = kind(sql);
                let of = self.of.entry(instance).or_default();
                *of.open.entry(kind).or_default() += 1;
                if kind == "FORCE_SERVICE_ALLOW_DATA_LOSS" {
                    of.cause = Cause::Force;
                }
            }
            Fact::StatementDone { instance, sql, result } => {
                let kind = kind(sql);
                let of = self.of.entry(instance).or_default();
                if let Some(open) = of.open.get_mut(kind) {
                    *open = open.saturating_sub(1);
                }
                let end = match result {
                    Ok(()) => "accepted".to_owned(),
                    Err(error) => format!("refused {}", error.number),
                };
                count(&mut self.seen.statements, format!("{kind} {end}"));
                match (kind, result) {
                    ("FORCE_SERVICE_ALLOW_DATA_LOSS", Err(_)) if of.cause == Cause::Force => {
                        of.cause = Cause::Record;
                    }
                    ("RESUME", Ok(())) => self.of.values_mut().for_each(|of| of.resumed = true),
                    _ => {}
                }
            }
            Fact::Told { instance, notice } => self.told(instance, notice),
            Fact::Died { instance } | Fact::Panicked { instance, .. } => {
                let of = self.of.entry(instance).or_default();
                for (kind, open) in std::mem::take(&mut of.open) {
                    if open > 0 {
                        *self.seen.statements.entry(format!("{kind} unanswered")).or_default() += open;
                    }
                }
                let died_suspended = of.shown.is_some_and(|(_, state)| state == Suspended);
                *of = OfInstance { died_suspended, ..OfInstance::default() };
            }
            Fact::Handling { .. }
            | Fact::Started { .. }
            | Fact::Paused { .. }
            | Fact::Sent { .. }
            | Fact::Delivered { .. }
            | Fact::LinkUp { .. }
            | Fact::LinkDown { .. }
            | Fact::DiskIssued { .. }
            | Fact::Durable { .. }
            | Fact::Preloaded { .. }
            | Fact::Replied { .. }
            | Fact::Called { .. }
            | Fact::TxnBegun { .. }
            | Fact::Answered { .. }
            | Fact::ClientLost { .. }
            | Fact::Status { .. }
            | Fact::Logged { .. }
            | Fact::Acted { .. } => {}
        }
    }

    fn told(&mut self, instance: InstanceId, notice: &Notice) {
        match *notice {
            Notice::State { from, to, n, .. } => self.transition(instance, from, to, n),
            Notice::Removed { from, .. } => {
                let of = self.of.entry(instance).or_default();
                (of.shown, of.removed) = (None, true);
                if let Some(from) = from {
                    count(&mut self.seen.transitions, format!("TR-23 {} > none", shown(from)));
                }
            }
            Notice::Event { number, .. } => count(&mut self.seen.events, format!("EV-{number}")),
            Notice::Step { name: "claim.granted", .. } => {
                self.of.entry(instance).or_default().cause = Cause::Claim;
            }
            Notice::Step { name: "force.granted", .. } => {
                self.of.entry(instance).or_default().cause = Cause::Force;
            }
            Notice::Step { name: "undo.done", .. } => {
                let resumed = self.of.get(&instance).is_some_and(|of| of.resumed);
                if self.forced && resumed {
                    self.forced = false;
                    count(&mut self.seen.outcomes, "resume with undo");
                }
            }
            Notice::Status { .. } | Notice::Message { .. } | Notice::Serving { .. } | Notice::Step { .. } => {
            }
        }
    }

    fn transition(&mut self, instance: InstanceId, from: Option<Shown>, to: Shown, n: RoleSequence) {
        let of = self.of.entry(instance).or_default();
        of.shown = Some(to);
        let Some(from) = from else {
            let how = if std::mem::take(&mut of.removed) { "TR-1 none >" } else { "start" };
            count(&mut self.seen.transitions, format!("{how} {}", shown(to)));
            return;
        };
        let rule = rule(from, to, of.cause);
        count(&mut self.seen.transitions, format!("{rule} {} > {}", shown(from), shown(to)));
        if to.1 != Disconnected && std::mem::take(&mut of.died_suspended) && to.1 == Suspended {
            count(&mut self.seen.transitions, "TR-11 restart");
        }
        match rule {
            "TR-12" => count(&mut self.seen.outcomes, "manual failover begun"),
            "TR-13" => {
                self.handed.insert(n);
            }
            "TR-14" => count(&mut self.seen.outcomes, "manual failover abandoned"),
            "TR-19" => count(&mut self.seen.outcomes, "automatic failover"),
            "TR-20" => {
                self.forced = true;
                self.of.values_mut().for_each(|of| of.resumed = false);
                count(&mut self.seen.outcomes, "forced service");
            }
            _ => {}
        }
        let switched = from.0 != to.0;
        if switched && to.0 == Principal {
            if self.handed.remove(&n) {
                count(&mut self.seen.outcomes, "manual failover completed");
            }
            if let Some(of) = self.of.get_mut(&instance) {
                of.cause = Cause::Record;
            }
        }
    }

    /// The end of the run.
    pub(super) fn finish(mut self) -> Coverage {
        for of in std::mem::take(&mut self.of).into_values() {
            for (kind, open) in of.open.into_iter().filter(|(_, open)| *open > 0) {
                *self.seen.statements.entry(format!("{kind} unanswered")).or_default() += open;
            }
        }
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Counts;
    use dbm_core::io::SqlError;
    use dbm_core::types::SessionId;

    const A: InstanceId = InstanceId(0);
    const B: InstanceId = InstanceId(1);

    fn tell(watcher: &mut Switches, instance: InstanceId, steps: &[Shown], n: u32) {
        let mut from = watcher.of.get(&instance).and_then(|of| of.shown);
        for &to in steps {
            let notice = Notice::State { session: SessionId(0), from, to, n: RoleSequence(n) };
            watcher.fact(&Fact::Told { instance, notice: &notice });
            from = Some(to);
        }
    }

    fn ask(watcher: &mut Switches, instance: InstanceId, what: &str, result: Option<Result<(), u32>>) {
        let sql = format!("ALTER DATABASE sales SET PARTNER {what}");
        let input = Input::Statement { request: 1, sql: sql.clone() };
        watcher.fact(&Fact::Handling { instance, input: &input });
        if let Some(result) = result {
            let result = result.map_err(|number| SqlError { number, severity: 16, position: None });
            watcher.fact(&Fact::StatementDone { instance, sql: &sql, result: &result });
        }
    }

    #[test]
    fn a_manual_failover_is_told_with_its_statements_and_transitions() {
        let mut w = Switches::default();
        tell(&mut w, A, &[(Principal, Synchronized)], 1);
        tell(&mut w, B, &[(Mirror, Synchronized)], 1);
        ask(&mut w, B, "FAILOVER", Some(Err(1470)));
        ask(&mut w, A, "FAILOVER", Some(Ok(())));
        tell(&mut w, A, &[(Principal, PendingFailover), (Mirror, Synchronizing)], 2);
        tell(&mut w, B, &[(Principal, Synchronizing), (Principal, Synchronized)], 2);
        ask(&mut w, B, "SUSPEND", None);
        let seen = w.finish();
        let names = |counts: &Counts| counts.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&seen.statements),
            ["FAILOVER accepted", "FAILOVER refused 1470", "SUSPEND unanswered"]
        );
        assert_eq!(names(&seen.outcomes), ["manual failover begun", "manual failover completed"]);
        for transition in ["TR-12", "TR-13", "TR-15", "TR-3", "start"] {
            assert!(
                seen.transitions.keys().any(|k| k.starts_with(&format!("{transition} "))),
                "{transition}"
            );
        }
    }

    #[test]
    fn the_cause_of_a_role_switch_decides_its_rule() {
        for (how, rule) in [("force", "TR-20"), ("claim", "TR-19"), ("refused", "TR-25"), ("", "TR-25")] {
            let mut w = Switches::default();
            tell(&mut w, B, &[(Mirror, Disconnected)], 1);
            match how {
                "force" => ask(&mut w, B, "FORCE_SERVICE_ALLOW_DATA_LOSS", Some(Ok(()))),
                "refused" => ask(&mut w, B, "FORCE_SERVICE_ALLOW_DATA_LOSS", Some(Err(1455))),
                "claim" => {
                    let notice = Notice::Step { session: SessionId(0), name: "claim.granted" };
                    w.fact(&Fact::Told { instance: B, notice: &notice });
                }
                _ => {}
            }
            tell(&mut w, B, &[(Principal, Disconnected)], 2);
            assert!(w.finish().transitions.contains_key(&format!("{rule} M:DISCONNECTED > P:DISCONNECTED")));
        }
    }
}
