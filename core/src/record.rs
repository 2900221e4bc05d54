//! The session record: what an instance of a session knows durably, and how it becomes durable. [S-6, P-1]
//!
//! Two checksummed slots are written in turn, one write in flight at a time. A change *binds* from the moment it is
//! made ([`Keeper::record`] shows it at once); what depends on it is *told* only when the slot write has completed:
//! every change has a version, and followers of a version are released in order.

use crate::io::{Area, DiskOp, Durability, Effect, Effects, FileId, FileKind, RECORD_SLOT_BYTES, Ticket};
use crate::message::{RoleRecord, Stamped};
use crate::storage::BranchTable;
use crate::types::{InstanceId, Lsn, PageId, RoleSequence, SessionId};
use serde::{Deserialize, Serialize};

/// A copy that is being undone past the common prefix. [OQ-21]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Undo {
    /// Pages that were touched beyond the common prefix and must come from the principal.
    pub pages: Vec<PageId>,
    /// The copy is consistent once it is redone up to here: the highest page LSN received.
    pub target: Lsn,
}

/// Everything durable of one session on one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Record {
    /// What all instances of the session share.
    pub shared: RoleRecord,
    /// Partner: the role sequence it claims. While open nothing is accepted from, or echoed to, the principal of the
    /// current n. [OQ-4.3]
    pub claim: Option<RoleSequence>,
    /// Partner: the copy is not on the session's current fork. [OQ-7]
    pub off_fork: bool,
    /// Partner: an undo is in progress.
    pub undo: Option<Undo>,
    /// Partner: branches of the own log. [OQ-68]
    pub branches: Option<BranchTable>,
    /// Whether the session lives.
    pub life: Life,
}

impl Record {
    /// The record of a session that lives, with nothing under way.
    pub fn of(shared: RoleRecord, branches: Option<BranchTable>) -> Self {
        Record { shared, claim: None, off_fork: false, undo: None, branches, life: Life::Session }
    }
}

/// Whether a record stands for a session. [ST-8, C-80 … C-84, TR-2, TR-23]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum Life {
    /// It does.
    Session,
    /// Mirroring was removed. The former principal goes on alone, the former mirror stays in the restoring state.
    Ended,
    /// A copy in the restoring state for which SET PARTNER = was issued: it waits for that principal. [C-50]
    Waiting(InstanceId),
}

/// Number of a change of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

impl std::hash::Hash for Version {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        crate::canon::name(state, crate::canon::Kind::Version, 0, self.0);
    }
}

const MAGIC: u32 = 0x3152_4d44;

/// One slot: magic, version, length, checksum, then the record by postcard.
pub fn encode_slot(version: u64, record: &Record) -> Vec<u8> {
    let body = postcard::to_allocvec(record).expect("a record has no unencodable part");
    assert!(body.len() + 24 <= RECORD_SLOT_BYTES, "the session record outgrew its slot");
    let mut slot = Vec::with_capacity(body.len() + 24);
    slot.extend_from_slice(&MAGIC.to_le_bytes());
    slot.extend_from_slice(&version.to_le_bytes());
    slot.extend_from_slice(&(body.len() as u32).to_le_bytes());
    slot.extend_from_slice(&[0; 4]);
    slot.extend_from_slice(&body);
    let crc = slot_checksum(&slot);
    slot.splice(16..20, crc.to_le_bytes());
    slot
}

fn slot_checksum(slot: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&slot[..16]);
    hasher.update(&slot[20..]);
    hasher.finalize()
}

/// The record of one slot, with its version; `None` for an empty, torn or damaged slot.
pub fn decode_slot(slot: &[u8]) -> Option<(u64, Record)> {
    let header = slot.get(..20)?;
    if header[0..4] != MAGIC.to_le_bytes() {
        return None;
    }
    let version = u64::from_le_bytes(header[4..12].try_into().expect("eight bytes"));
    let length = u32::from_le_bytes(header[12..16].try_into().expect("four bytes")) as usize;
    let whole = slot.get(..20usize.checked_add(length)?)?;
    if slot_checksum(whole) != u32::from_le_bytes(header[16..20].try_into().expect("four bytes")) {
        return None;
    }
    postcard::from_bytes(&whole[20..]).ok().map(|record| (version, record))
}

/// The newest valid record in a record file.
pub fn newest(file: &[u8]) -> Option<(u64, Record)> {
    let second = file.get(RECORD_SLOT_BYTES..).and_then(decode_slot);
    let first = decode_slot(&file[..file.len().min(RECORD_SLOT_BYTES)]);
    first.into_iter().chain(second).max_by_key(|(version, _)| *version)
}

/// No version after the first was ever written: the first one goes to the second slot, the next to the first.
pub fn unmade(file: &[u8]) -> bool {
    file.iter().take(RECORD_SLOT_BYTES).all(|byte| *byte == 0)
}

/// The record file of a session that starts prepared.
pub fn prepare(record: &Record) -> Vec<u8> {
    encode_slot(1, record)
}

/// The record of one session and its way to the disk.
#[derive(Clone, Debug, Hash)]
pub struct Keeper {
    session: SessionId,
    record: Record,
    /// Version of `record`.
    bound: Version,
    durable: Version,
    durable_n: RoleSequence,
    durable_suspended: Stamped<bool>,
    /// The version being written, its role sequence and its suspended flag.
    writing: Option<(Version, RoleSequence, Stamped<bool>)>,
}

impl Keeper {
    /// From what the disk holds.
    pub fn open(session: SessionId, version: u64, record: Record) -> Self {
        let durable_n = record.shared.n;
        let durable_suspended = record.shared.suspended;
        let version = Version(version);
        Keeper {
            session,
            record,
            bound: version,
            durable: version,
            durable_n,
            durable_suspended,
            writing: None,
        }
    }

    /// A record that is not on the disk yet; `last` is the version of the newest one that is, 0 if there is none. A
    /// version is never used twice, or an older slot would win.
    pub fn create(session: SessionId, record: Record, last: Version) -> Self {
        let durable_n = RoleSequence(0);
        Keeper {
            session,
            durable_suspended: record.shared.suspended,
            record,
            bound: Version(last.0 + 1),
            durable: last,
            durable_n,
            writing: None,
        }
    }

    /// The record as it binds this instance.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Role sequence by which this instance is bound.
    pub fn n(&self) -> RoleSequence {
        self.record.shared.n
    }

    /// Role sequence as the disk has it; 0 when no record is there yet.
    pub fn durable_n(&self) -> RoleSequence {
        self.durable_n
    }

    /// The suspended flag as the disk has it: what views show. [P-1]
    pub fn durable_suspended(&self) -> Stamped<bool> {
        self.durable_suspended
    }

    /// A switch of the role sequence is on its way to the disk: until then nothing may be said. [OQ-1]
    pub fn switching(&self) -> bool {
        self.durable_n != self.record.shared.n
    }

    /// Changes the record and starts its way to the disk; the version to wait for.
    pub fn change(&mut self, out: &mut Effects, change: impl FnOnce(&mut Record)) -> Version {
        change(&mut self.record);
        self.bound = Version(self.bound.0 + 1);
        self.write(out);
        self.bound
    }

    /// Changes the record and takes it for durable without writing it; for a planted bug.
    pub fn pretend(&mut self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record);
        self.durable_n = self.record.shared.n;
        self.durable_suspended = self.record.shared.suspended;
    }

    /// Has this version reached the disk?
    pub fn is_durable(&self, version: Version) -> bool {
        version <= self.durable
    }

    /// Has the write of this version, or of a newer one, begun? Before that it binds nobody. [OQ-1]
    pub fn is_issued(&self, version: Version) -> bool {
        version <= self.durable || self.writing.is_some_and(|(writing, ..)| version <= writing)
    }

    /// The newest version made.
    pub fn version(&self) -> Version {
        self.bound
    }

    /// Starts a write when the newest version is neither durable nor on its way.
    pub fn write(&mut self, out: &mut Effects) {
        if self.writing.is_some() || self.bound == self.durable {
            return;
        }
        self.writing = Some((self.bound, self.record.shared.n, self.record.shared.suspended));
        out.push(Effect::Disk {
            ticket: Ticket::new(self.session, Area::Record, self.bound.0),
            op: DiskOp::Write {
                file: FileId { session: self.session, kind: FileKind::Record },
                offset: (self.bound.0 % 2) * RECORD_SLOT_BYTES as u64,
                bytes: encode_slot(self.bound.0, &self.record).into(),
                durability: Durability::Through,
            },
        });
    }

    /// A slot write has completed; a newer version follows at once.
    pub fn written(&mut self, out: &mut Effects) {
        if let Some((version, n, suspended)) = self.writing.take() {
            self.durable_suspended = suspended;
            self.durable = version;
            self.durable_n = n;
        }
        self.write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Stamp, WitnessSetting};
    use crate::types::Safety;

    fn record(n: u32) -> Record {
        let stamp = Stamp { n: RoleSequence(n), sequence: 1 };
        Record::of(
            RoleRecord {
                generation: 1,
                n: RoleSequence(n),
                owner: InstanceId(0),
                partners: [InstanceId(0), InstanceId(1)],
                safety: Stamped { value: Safety::Full, stamp },
                timeout_s: Stamped { value: 10, stamp },
                witness: Stamped { value: WitnessSetting::Off, stamp },
                synchronized: Stamped { value: true, stamp },
                suspended: Stamped { value: false, stamp },
                failover_lsn: Lsn::ZERO,
            },
            None,
        )
    }

    /// A torn newest slot leaves the older record in force. [P-1]
    #[test]
    fn torn_slot_falls_back_to_the_older_one() {
        let mut file = vec![0; 2 * RECORD_SLOT_BYTES];
        let old = encode_slot(4, &record(1));
        file[..old.len()].copy_from_slice(&old);
        let new = encode_slot(5, &record(2));
        file[RECORD_SLOT_BYTES..RECORD_SLOT_BYTES + new.len()].copy_from_slice(&new);
        assert_eq!(newest(&file).map(|(v, _)| v), Some(5));
        file[RECORD_SLOT_BYTES + new.len() - 1] ^= 1;
        assert_eq!(newest(&file).map(|(v, r)| (v, r.shared.n)), Some((4, RoleSequence(1))));
    }

    /// Of several changes only the newest needs a write, and one write is in flight at a time.
    #[test]
    fn one_slot_write_is_in_flight_at_a_time() {
        let mut out = Vec::new();
        let mut keeper = Keeper::open(SessionId(0), 1, record(1));
        let first = keeper.change(&mut out, |r| r.shared.n = RoleSequence(2));
        let second = keeper.change(&mut out, |r| r.off_fork = true);
        assert_eq!(out.len(), 1);
        assert!(keeper.switching());
        assert!(keeper.is_issued(first) && !keeper.is_issued(second));
        keeper.written(&mut out);
        assert!(keeper.is_durable(first) && !keeper.is_durable(second) && !keeper.switching());
        assert_eq!(out.len(), 2);
        keeper.written(&mut out);
        assert!(keeper.is_durable(second));
        assert_eq!(out.len(), 2);
    }
}
