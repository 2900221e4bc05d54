//! The control statements, as T-SQL text. Owns their types, their canonical text and the way from one to the
//! other; whether a statement may run, and what it does, is the session's business.
//!
//! ```text
//! ALTER DATABASE db SET PARTNER { = 'address' | FAILOVER | FORCE_SERVICE_ALLOW_DATA_LOSS | OFF
//!                               | RESUME | SAFETY { FULL | OFF } | SUSPEND | TIMEOUT integer } [;]
//! ALTER DATABASE db SET WITNESS { = 'address' | OFF } [;]
//! RESTORE DATABASE db WITH RECOVERY [;]
//! ```
//!
//! A new statement gets a variant here, a row in `control/grammar.rs`, a line in [`Statement::allowed_on`] and its
//! effect in the session. Rules: `docs/spec/control.md` sections 1, 5 and 7. [C-40, C-60 … C-73, NA-*]

mod address;
mod errors;
mod grammar;
mod lexer;

pub use address::{Host, HostName, ServerAddress};
pub use errors::{CatalogueEntry, SYNTAX_ERROR, catalogued, message, severity, sql_error};
pub use grammar::SyntaxError;

use crate::io::SqlError;
use crate::types::{Role, Safety};
use std::fmt;

/// Longest mirroring time-out in seconds. [C-66]
pub const TIMEOUT_S_MAX: u16 = 32_767;

/// A control statement: one option for one database. [C-40]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statement {
    /// `ALTER DATABASE database SET PARTNER option`. [C-50 … C-66]
    SetPartner {
        /// The database, without brackets or quotes; never empty when it comes from a text.
        database: String,
        /// What to do.
        option: PartnerOption,
    },
    /// `ALTER DATABASE database SET WITNESS option`. [C-70 … C-73]
    SetWitness {
        /// The database, without brackets or quotes; never empty when it comes from a text.
        database: String,
        /// What to do.
        option: WitnessOption,
    },
    /// `RESTORE DATABASE database WITH RECOVERY`: brings a former mirror's copy online by itself. [C-30, C-84]
    Recover {
        /// The database, without brackets or quotes; never empty when it comes from a text.
        database: String,
    },
}

/// An option of SET PARTNER.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartnerOption {
    /// `= 'address'`: names the other partner. The text is as written: [`ServerAddress`] parses it, and a bad one is
    /// refused with E1449 only after the checks that come before. [C-50, C-51, NA-5]
    Address(String),
    /// `FAILOVER`: manual failover. [C-60]
    Failover,
    /// `FORCE_SERVICE_ALLOW_DATA_LOSS`: forced service. [C-61]
    ForceServiceAllowDataLoss,
    /// `OFF`: removes mirroring. [C-62]
    Off,
    /// `RESUME`: ends SUSPENDED. [C-64]
    Resume,
    /// `SAFETY FULL` or `SAFETY OFF`: selects the operating mode. [C-65]
    Safety(Safety),
    /// `SUSPEND`: pauses the session. [C-63]
    Suspend,
    /// `TIMEOUT integer`: sets the mirroring time-out. [C-66]
    Timeout(TimeoutValue),
}

/// An option of SET WITNESS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WitnessOption {
    /// `= 'address'`: sets or replaces the witness. As written, see [`PartnerOption::Address`]. [C-70 … C-72]
    Address(String),
    /// `OFF`: removes the witness. [C-73]
    Off,
}

/// The number behind TIMEOUT, before anybody has judged it: an unsuitable number is no syntax error. [C-66, OQ-34]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeoutValue {
    /// A number of T-SQL type `int`, of any sign.
    Integer(i32),
    /// Any other number: with fraction or exponent, or too long for `int`.
    Other(NumberText),
}

impl TimeoutValue {
    /// The time-out asked for in seconds, 0 … [`TIMEOUT_S_MAX`]. What is negative or no `int` is refused with E1425,
    /// what is too long with E1476. That 0 … 4 become 5 is left to the session. [C-66, OQ-34]
    pub fn seconds(&self) -> Result<u16, SqlError> {
        match self {
            TimeoutValue::Integer(..0) | TimeoutValue::Other(_) => Err(sql_error(1425)),
            TimeoutValue::Integer(n) => match u16::try_from(*n) {
                Ok(seconds) if seconds <= TIMEOUT_S_MAX => Ok(seconds),
                Ok(_) | Err(_) => Err(sql_error(1476)),
            },
        }
    }
}

impl From<u16> for TimeoutValue {
    fn from(seconds: u16) -> Self {
        TimeoutValue::Integer(i32::from(seconds))
    }
}

/// The text of a number that is no `int`, such as `2.5` or `-99999999999`; a minus stands directly before the digits,
/// a plus is dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberText(String);

impl NumberText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Statement {
    /// The database it is about.
    pub fn database(&self) -> &str {
        match self {
            Statement::SetPartner { database, .. }
            | Statement::SetWitness { database, .. }
            | Statement::Recover { database } => database,
        }
    }

    /// May it be issued on a partner of this role? Refused with E1470 where only the principal may, with E1455 where
    /// only the mirror may. Asked after "is there a session" (E1416): naming a partner needs neither session nor
    /// role. [C-50, C-60 … C-73, OQ-13]
    pub fn allowed_on(&self, role: Role) -> Result<(), SqlError> {
        let (place, error) = match self {
            Statement::SetPartner { option, .. } => match option {
                PartnerOption::Failover
                | PartnerOption::Resume
                | PartnerOption::Safety(_)
                | PartnerOption::Timeout(_) => (Role::Principal, 1470),
                PartnerOption::ForceServiceAllowDataLoss => (Role::Mirror, 1455),
                PartnerOption::Address(_) | PartnerOption::Off | PartnerOption::Suspend => return Ok(()),
            },
            Statement::SetWitness { option, .. } => match option {
                WitnessOption::Address(_) | WitnessOption::Off => (Role::Principal, 1470),
            },
            // Refused on any copy in a session, whatever its role. [C-26]
            Statement::Recover { .. } => return Err(sql_error(3104)),
        };
        if role == place { Ok(()) } else { Err(sql_error(error)) }
    }
}

/// Reads one statement. Any text that is none is refused with error 102 and the position of the token that does not
/// fit; [`parse_detailed`] tells more. [C-40]
pub fn parse(sql: &str) -> Result<Statement, SqlError> {
    parse_detailed(sql).map_err(SqlError::from)
}

/// Reads one statement; the error says what would have fitted and where.
pub fn parse_detailed(sql: &str) -> Result<Statement, SyntaxError> {
    grammar::parse(sql)
}

impl fmt::Display for Statement {
    /// Canonical T-SQL, which parses back to an equal statement.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::SetPartner { database, option } => {
                write!(f, "ALTER DATABASE {} SET PARTNER {option}", Identifier(database))
            }
            Statement::SetWitness { database, option } => {
                write!(f, "ALTER DATABASE {} SET WITNESS {option}", Identifier(database))
            }
            Statement::Recover { database } => {
                write!(f, "RESTORE DATABASE {} WITH RECOVERY", Identifier(database))
            }
        }
    }
}

impl fmt::Display for PartnerOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartnerOption::Address(address) => write!(f, "= {}", Literal(address)),
            PartnerOption::Failover => f.write_str("FAILOVER"),
            PartnerOption::ForceServiceAllowDataLoss => f.write_str("FORCE_SERVICE_ALLOW_DATA_LOSS"),
            PartnerOption::Off => f.write_str("OFF"),
            PartnerOption::Resume => f.write_str("RESUME"),
            PartnerOption::Safety(Safety::Full) => f.write_str("SAFETY FULL"),
            PartnerOption::Safety(Safety::Off) => f.write_str("SAFETY OFF"),
            PartnerOption::Suspend => f.write_str("SUSPEND"),
            PartnerOption::Timeout(value) => write!(f, "TIMEOUT {value}"),
        }
    }
}

impl fmt::Display for WitnessOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WitnessOption::Address(address) => write!(f, "= {}", Literal(address)),
            WitnessOption::Off => f.write_str("OFF"),
        }
    }
}

impl fmt::Display for TimeoutValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeoutValue::Integer(n) => n.fmt(f),
            TimeoutValue::Other(text) => f.write_str(text.as_str()),
        }
    }
}

/// Prints a name, in brackets where it is not a plain one.
struct Identifier<'a>(&'a str);

impl fmt::Display for Identifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if lexer::is_plain_name(self.0) {
            f.write_str(self.0)
        } else {
            write!(f, "[{}]", self.0.replace(']', "]]"))
        }
    }
}

/// Prints a string, with the N of a Unicode string where it needs one.
struct Literal<'a>(&'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.0.is_ascii() { "" } else { "N" };
        write!(f, "{prefix}'{}'", self.0.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests;
