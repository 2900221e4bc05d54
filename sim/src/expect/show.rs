//! What the views show, compared with what a file asks for.

use crate::scenario::{RoleName, SafetyDecl, StateName, WitnessName};
use crate::script::{role_name, state_name};
use dbm_core::types::{InstanceId, Safety, WitnessState};
use dbm_core::view::Status;
use serde::Serialize;

/// One value that one instance is to show.
#[derive(Clone, Debug)]
pub enum Show {
    /// Its role, or NULL.
    Role(InstanceId, Option<RoleName>),
    /// Its mirroring state, or NULL.
    State(InstanceId, Option<StateName>),
    /// Its transaction safety.
    Safety(InstanceId, SafetyDecl),
    /// Its witness state.
    Witness(InstanceId, WitnessName),
    /// Its role sequence.
    Sequence(InstanceId, u32),
}

impl Show {
    /// Where it is shown.
    pub fn instance(&self) -> InstanceId {
        match self {
            Show::Role(i, _)
            | Show::State(i, _)
            | Show::Safety(i, _)
            | Show::Witness(i, _)
            | Show::Sequence(i, _) => *i,
        }
    }
    /// Is it shown now?
    pub fn holds(&self, shown: &[Option<Status>]) -> bool {
        let Some(status) = &shown[usize::from(self.instance().0)] else { return false };
        match self {
            Show::Role(_, role) => status.role.map(role_name) == *role,
            Show::State(_, state) => status.state.map(state_name) == *state,
            Show::Safety(_, safety) => safety_name(status.safety) == *safety,
            Show::Witness(_, witness) => witness_name(status.witness) == *witness,
            Show::Sequence(_, n) => status.n.0 == *n,
        }
    }
}

/// What the instances showed, as far as `shows` asks about it.
pub fn describe(shows: &[Show], shown: &[Option<Status>], names: &[String]) -> String {
    let none = || "NULL".to_owned();
    let part = |show: &Show| {
        let who = usize::from(show.instance().0);
        let Some(status) = &shown[who] else { return format!("{} shows nothing", names[who]) };
        let value = match show {
            Show::Role(..) => status.role.map_or_else(none, |r| written(&role_name(r))),
            Show::State(..) => status.state.map_or_else(none, |s| written(&state_name(s))),
            Show::Safety(..) => written(&safety_name(status.safety)),
            Show::Witness(..) => written(&witness_name(status.witness)),
            Show::Sequence(..) => status.n.to_string(),
        };
        format!("{} shows {value}", names[who])
    };
    shows.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// A value as it is written in files.
fn written<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default().replace('"', "")
}

fn safety_name(safety: Safety) -> SafetyDecl {
    match safety {
        Safety::Full => SafetyDecl::Full,
        Safety::Off => SafetyDecl::Off,
    }
}

fn witness_name(witness: Option<WitnessState>) -> WitnessName {
    match witness {
        None => WitnessName::Null,
        Some(WitnessState::Unknown) => WitnessName::Unknown,
        Some(WitnessState::Connected) => WitnessName::Connected,
        Some(WitnessState::Disconnected) => WitnessName::Disconnected,
    }
}
