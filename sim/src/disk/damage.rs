//! What is wrong with a disk, and what becomes of an operation on it.
//!
//! *Errors.* An operation that fails leaves what it would have made durable to chance, as a crash does: a write is kept,
//! lost or torn, and so is each cached write that a failed flush was for. The cache is empty afterwards, so that a later
//! flush which succeeds says nothing about them.
//!
//! *Full.* A write that would make its file longer fails and leaves nothing behind.
//!
//! *Lie.* Flushes and write-throughs are answered as done, but everything stays in the cache: a reader sees it, and a
//! crash keeps, loses or tears it.
//!
//! *Misdirection and rot* are answered as if all were well.

use super::{File, Hardened, Write};
use crate::felt::{Feeling, Felt};
use crate::rng::Stream;
use dbm_core::io::{DiskOp, DiskResult, Durability, FileKind, SECTOR_BYTES};

/// What is wrong with one disk.
#[derive(Debug)]
pub struct Damage {
    chance: Stream,
    /// So many operations are still going to fail.
    errors: u32,
    broken: bool,
    full: bool,
    lying: bool,
    /// The next write to each of these files goes astray.
    astray: Vec<FileKind>,
}

impl Damage {
    /// None yet.
    pub(super) fn new(seed: u64, instance: u8) -> Self {
        Damage {
            chance: Stream::new(seed, "damage", &[u64::from(instance)]),
            errors: 0,
            broken: false,
            full: false,
            lying: false,
            astray: Vec::new(),
        }
    }

    /// The next `count` operations fail.
    pub fn fail_next(&mut self, count: u32) {
        self.errors = count;
    }

    /// Every operation fails from now on.
    pub fn break_down(&mut self) {
        self.broken = true;
    }

    /// No file grows from now on.
    pub fn fill(&mut self) {
        self.full = true;
    }

    /// What is reported as durable is not, from now on.
    pub fn lie(&mut self) {
        self.lying = true;
    }

    /// The next write to files of this kind goes astray.
    pub fn misdirect(&mut self, kind: FileKind) {
        if !self.astray.contains(&kind) {
            self.astray.push(kind);
        }
    }

    /// The disk works from now on; says whether it has lied until now.
    pub(super) fn heal(&mut self) -> bool {
        self.errors = 0;
        self.broken = false;
        self.full = false;
        self.astray.clear();
        std::mem::take(&mut self.lying)
    }

    /// Performs an operation, as well as it goes.
    pub(super) fn perform(
        &mut self,
        file: &mut File,
        op: DiskOp,
        felt: &mut Felt,
        hardened: &mut Vec<Hardened>,
    ) -> DiskResult {
        if self.fails(felt) {
            let mut unsure = Vec::new();
            match op {
                DiskOp::ReadAll { .. } => {}
                DiskOp::Write { offset, bytes, .. } => unsure.push(Write { offset: offset as usize, bytes }),
                DiskOp::Flush { .. } => unsure = std::mem::take(&mut file.cached),
            }
            for write in unsure.into_iter().filter(Write::fits) {
                file.leave_to_chance(write, &mut self.chance, felt, hardened);
            }
            return DiskResult::Failed;
        }
        match op {
            DiskOp::ReadAll { .. } => {
                file.rotten.iter().for_each(|_| felt.count(Feeling::Rot));
                DiskResult::Read(file.content())
            }
            DiskOp::Write { offset, bytes, durability, .. } => {
                let write = self.place(file, Write { offset: offset as usize, bytes }, felt);
                if !write.fits() {
                    return DiskResult::Failed;
                }
                if self.full && write.end() > file.len() {
                    felt.count(Feeling::DiskFull);
                    return DiskResult::Failed;
                }
                match durability {
                    Durability::Cached => file.cached.push(write),
                    Durability::Through if self.lying => {
                        felt.count(Feeling::DiskLie);
                        file.cached.push(write);
                    }
                    Durability::Through => file.harden_through(write, hardened),
                }
                DiskResult::Done
            }
            DiskOp::Flush { .. } if self.lying => {
                file.cached.iter().take(1).for_each(|_| felt.count(Feeling::DiskLie));
                DiskResult::Done
            }
            DiskOp::Flush { .. } => {
                file.flush(hardened);
                DiskResult::Done
            }
        }
    }

    fn fails(&mut self, felt: &mut Felt) -> bool {
        if self.broken {
            felt.count(Feeling::DiskFail);
        } else if self.errors > 0 {
            self.errors -= 1;
            felt.count(Feeling::DiskError);
        } else {
            return false;
        }
        true
    }

    /// Where a write lands: where it should, or at the same place of another sector so that it ends within the file.
    fn place(&mut self, file: &File, write: Write, felt: &mut Felt) -> Write {
        let (own, within) = (write.offset / SECTOR_BYTES, write.offset % SECTOR_BYTES);
        let room = file.len().saturating_sub(within + write.bytes.len()) / SECTOR_BYTES;
        let (true, true) = (self.astray.contains(&file.id.kind), room > 0) else { return write };
        self.astray.retain(|kind| *kind != file.id.kind);
        // One of the sectors 0..=room, but not its own.
        let drawn = self.chance.range(0, room as u64) as usize;
        let sector = if drawn >= own { drawn + 1 } else { drawn };
        felt.count(Feeling::Misdirect);
        Write { offset: sector * SECTOR_BYTES + within, bytes: write.bytes }
    }

    /// Flips one durable bit of a file, in a sector that holds something.
    pub(super) fn rot(&mut self, file: &mut File) {
        let used = |sector: &[u8]| sector.iter().any(|byte| *byte != 0);
        let sectors = file.durable.chunks(SECTOR_BYTES);
        let places: Vec<usize> =
            sectors.enumerate().filter(|(_, sector)| used(sector)).map(|(i, _)| i * SECTOR_BYTES).collect();
        let Some(&start) = places.get(self.chance.range(0, places.len() as u64) as usize) else { return };
        let end = file.durable.len().min(start + SECTOR_BYTES);
        let at = self.chance.range(start as u64, end as u64) as usize;
        file.durable[at] ^= 1 << self.chance.range(0, 8);
        file.rotten.push(at);
    }
}
