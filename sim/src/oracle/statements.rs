//! What the owner asked of each instance in this life of its process, and how it ended: the causes that role switches
//! and suspensions need. [C-60 … C-73, FO-50, INV-9]
//!
//! A statement may be the cause of something from the moment it reaches its instance until it is refused. Errors that
//! leave open what became of it (no answer in time) refuse nothing.

use crate::time::Time;
use dbm_core::control::{self, PartnerOption, Statement, WitnessOption};
use dbm_core::io::SqlError;
use dbm_core::types::{InstanceId, Safety};

/// Kinds of statements that cause something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Failover,
    Force,
    Suspend,
    Resume,
    Safety(Safety),
    Witness,
    Timeout,
    Remove,
    Other,
}

/// Does this end leave open what became of the statement? Not in time, not sent, the three did not stay connected. A
/// failover that was abandoned says so, and is over.
fn open_end(kind: Kind, error: u32) -> bool {
    matches!((kind, error), (_, 1421) | (Kind::Witness, 1433))
        || (error == 1456 && !matches!(kind, Kind::Failover | Kind::Force))
}

#[derive(Clone, Debug)]
struct Asked {
    kind: Kind,
    sql: String,
    at: Time,
    done: bool,
}

/// The statements of each instance.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    of: Vec<Vec<Asked>>,
}

impl Statements {
    pub(super) fn new(instances: usize) -> Self {
        Statements { of: vec![Vec::new(); instances] }
    }

    /// Has a statement of this kind reached it in this life, and not been refused since?
    pub(super) fn heard(&self, instance: InstanceId, kind: Kind) -> bool {
        self.last(instance, kind).is_some()
    }

    /// When the newest of them came.
    pub(super) fn last(&self, instance: InstanceId, kind: Kind) -> Option<Time> {
        self.of.get(usize::from(instance.0))?.iter().rev().find(|a| a.kind == kind).map(|a| a.at)
    }

    pub(super) fn asked(&mut self, at: Time, instance: InstanceId, sql: &str) {
        if let Some(of) = self.of.get_mut(usize::from(instance.0)) {
            of.push(Asked { kind: kind(sql), sql: sql.into(), at, done: false });
        }
    }

    pub(super) fn ended(&mut self, instance: InstanceId, sql: &str, result: &Result<(), SqlError>) {
        let Some(of) = self.of.get_mut(usize::from(instance.0)) else { return };
        let Some(place) = of.iter().position(|a| !a.done && a.sql == sql) else { return };
        match result {
            Err(error) if !open_end(of[place].kind, error.number) => {
                of.remove(place);
            }
            Ok(()) | Err(_) => of[place].done = true,
        }
    }

    /// A process ends.
    pub(super) fn gone(&mut self, instance: InstanceId) {
        if let Some(of) = self.of.get_mut(usize::from(instance.0)) {
            of.clear();
        }
    }
}

pub(super) fn kind(sql: &str) -> Kind {
    match control::parse(sql) {
        Ok(Statement::SetPartner { option, .. }) => match option {
            PartnerOption::Failover => Kind::Failover,
            PartnerOption::ForceServiceAllowDataLoss => Kind::Force,
            PartnerOption::Off => Kind::Remove,
            PartnerOption::Resume => Kind::Resume,
            PartnerOption::Safety(value) => Kind::Safety(value),
            PartnerOption::Suspend => Kind::Suspend,
            PartnerOption::Timeout(_) => Kind::Timeout,
            PartnerOption::Address(_) => Kind::Other,
        },
        Ok(Statement::SetWitness { option: WitnessOption::Address(_) | WitnessOption::Off, .. }) => {
            Kind::Witness
        }
        Ok(Statement::Recover { .. }) | Err(_) => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B};
    use super::*;

    #[test]
    fn a_refused_statement_is_no_cause_and_an_unfinished_one_is() {
        let sql = "ALTER DATABASE sales SET PARTNER FAILOVER";
        let error = |number| Err(SqlError { number, severity: 16, position: None });
        for (end, cause) in
            [(None, true), (Some(Ok(())), true), (Some(error(1421)), true), (Some(error(1422)), false)]
        {
            let mut statements = Statements::new(2);
            statements.asked(Time(1), A, sql);
            if let Some(end) = end {
                statements.ended(A, sql, &end);
            }
            assert_eq!(statements.heard(A, Kind::Failover), cause);
            assert!(!statements.heard(B, Kind::Failover) && !statements.heard(A, Kind::Force));
            statements.gone(A);
            assert!(!statements.heard(A, Kind::Failover));
        }
    }
}
