//! A session that exists already: both copies equal, everybody's record agreed, synchronised. The way scenarios start
//! while set-up by statements is not simulated. [decisions: fixture]

use crate::config::Geometry;
use crate::io::{FileId, FileKind};
use crate::message::{RoleRecord, Stamp, Stamped, WitnessSetting};
use crate::record::{self, Record};
use crate::storage::{BranchTable, Copy};
use crate::types::{Branch, InstanceId, Key, Lsn, RoleSequence, Safety, SessionId, Value};

/// A session to start from.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The session.
    pub session: SessionId,
    /// First principal.
    pub principal: InstanceId,
    /// First mirror.
    pub mirror: InstanceId,
    /// The witness, if one is set.
    pub witness: Option<InstanceId>,
    /// SAFETY.
    pub safety: Safety,
    /// TIMEOUT in seconds.
    pub timeout_s: u16,
    /// Sizes of the copies' files.
    pub geometry: Geometry,
    /// The rows of both copies.
    pub rows: Vec<(Key, Value)>,
}

impl Prepared {
    /// The durable files of every instance of the session.
    pub fn files(&self) -> Vec<(InstanceId, FileId, Vec<u8>)> {
        let n = RoleSequence(1);
        let stamp = Stamp { n, sequence: 1 };
        let branch = Branch { n, r: 0 };
        let witness = self.witness.map_or(WitnessSetting::Off, WitnessSetting::Set);
        let shared = RoleRecord {
            generation: 1,
            n,
            owner: self.principal,
            partners: [self.principal, self.mirror],
            safety: Stamped { value: self.safety, stamp },
            timeout_s: Stamped { value: self.timeout_s, stamp },
            witness: Stamped { value: witness, stamp },
            synchronized: Stamped { value: self.safety == Safety::Full, stamp },
            suspended: Stamped { value: false, stamp },
            failover_lsn: Lsn::ZERO,
        };
        let image = Copy::prepare(self.geometry, self.rows.iter().cloned(), branch);
        let mut files = Vec::new();
        for partner in [self.principal, self.mirror] {
            let record = Record::of(shared, Some(BranchTable::new((branch, Lsn::new(1, 0, 0)))));
            let kinds = [
                (FileKind::Record, record::prepare(&record)),
                (FileKind::Boot, image.boot.clone()),
                (FileKind::Log, image.log.clone()),
                (FileKind::Data, image.data.clone()),
                (FileKind::DoubleWrite, image.double_write.clone()),
            ];
            for (kind, bytes) in kinds {
                files.push((partner, FileId { session: self.session, kind }, bytes));
            }
        }
        if let Some(witness) = self.witness {
            let record = Record::of(shared, None);
            let file = FileId { session: self.session, kind: FileKind::Record };
            files.push((witness, file, record::prepare(&record)));
        }
        files
    }
}
