//! What an instance shows of its sessions: the catalog views, from facts of the session. [CV-1, CV-3]

use crate::types::{MirroringState, Role, RoleSequence, Safety, WitnessState};

/// The part of `sys.database_mirroring` that changes as the session lives; cheap to copy and compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// `mirroring_role`; `None` on a witness, without a session, or when the database is not online.
    pub role: Option<Role>,
    /// `mirroring_state`; `None` on a witness or before the copy is open.
    pub state: Option<MirroringState>,
    /// `mirroring_role_sequence`.
    pub n: RoleSequence,
    /// `mirroring_witness_state`; `None` is NULL.
    pub witness: Option<WitnessState>,
    /// `mirroring_safety_level`.
    pub safety: Safety,
    /// The database is open to clients here.
    pub serving: bool,
}

impl Status {
    /// A database that is not online, because its files cannot be used: its row is NULL. [OQ-27]
    pub fn offline(n: RoleSequence, safety: Safety) -> Self {
        Status { role: None, state: None, n, witness: None, safety, serving: false }
    }
}
