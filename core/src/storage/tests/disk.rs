//! A disk for tests: each file completes its operations in order; a crash keeps any subset of the sectors that are not
//! durable.

use crate::io::{DiskOp, Durability, Effect, Effects, FileKind, SECTOR_BYTES, Ticket};
use crate::storage::CopyImage;
use std::collections::VecDeque;
use std::sync::Arc;

pub const KINDS: [FileKind; 4] = [FileKind::Boot, FileKind::Log, FileKind::Data, FileKind::DoubleWrite];

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// Done, not durable.
    cached: Vec<(u64, Arc<[u8]>)>,
    queue: VecDeque<(Ticket, DiskOp)>,
}

#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: [File; 4],
}

/// Splitmix64, enough chance for a test.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        crate::storage::page::mix(self.0) % below
    }
}

fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Disk {
    pub fn new(image: CopyImage) -> Self {
        let mut disk = Disk::default();
        for (file, content) in
            disk.files.iter_mut().zip([image.boot, image.log, image.data, image.double_write])
        {
            file.durable = content;
        }
        disk
    }

    /// Takes the disk operations out of `effects`.
    pub fn take(&mut self, effects: &mut Effects) {
        for effect in effects.drain(..) {
            let Effect::Disk { ticket, op } = effect else { panic!("a copy has only disk effects") };
            let (DiskOp::ReadAll { file } | DiskOp::Write { file, .. } | DiskOp::Flush { file }) = &op;
            let at = KINDS.iter().position(|k| *k == file.kind).unwrap();
            self.files[at].queue.push_back((ticket, op));
        }
    }

    /// Completes the oldest operation of a file.
    pub fn complete(&mut self, file: usize) -> Option<u64> {
        let file = &mut self.files[file];
        let (ticket, op) = file.queue.pop_front()?;
        match op {
            DiskOp::ReadAll { .. } => panic!("a copy reads nothing"),
            DiskOp::Write { offset, bytes, durability: Durability::Through, .. } => {
                assert!(file.cached.is_empty(), "a file is written through or cached");
                write(&mut file.durable, offset as usize, &bytes);
            }
            DiskOp::Write { offset, bytes, durability: Durability::Cached, .. } => {
                file.cached.push((offset, bytes))
            }
            DiskOp::Flush { .. } => {
                for (offset, bytes) in file.cached.drain(..) {
                    write(&mut file.durable, offset as usize, &bytes);
                }
            }
        }
        Some(ticket.serial())
    }

    pub fn is_idle(&self) -> bool {
        self.files.iter().all(|f| f.queue.is_empty())
    }

    /// Each sector that is not durable is kept or lost; sometimes all are, or none.
    pub fn crash(&mut self, dice: &mut Dice) -> CopyImage {
        for file in &mut self.files {
            let keep_of_4 = [0, 1, 2, 3, 4][dice.roll(5) as usize];
            let pending = file.queue.drain(..).filter_map(|(_, op)| match op {
                DiskOp::Write { offset, bytes, .. } => Some((offset, bytes)),
                DiskOp::ReadAll { .. } | DiskOp::Flush { .. } => None,
            });
            let lost: Vec<_> = file.cached.drain(..).chain(pending).collect();
            for (offset, bytes) in lost {
                for (i, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if dice.roll(4) < keep_of_4 {
                        write(&mut file.durable, offset as usize + i * SECTOR_BYTES, sector);
                    }
                }
            }
        }
        let [boot, log, data, double_write] = self.files.each_ref().map(|f| f.durable.clone());
        CopyImage { boot, log, data, double_write }
    }
}
