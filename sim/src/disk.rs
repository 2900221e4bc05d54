//! The disk of an instance: files as bytes, what is durable of them, and what a crash makes of the rest.
//!
//! Operations of one file complete in the order of issue. A completed cached write is seen by reads but is durable
//! only after a flush. At a crash each write that is not durable yet, in flight or cached, is kept, lost, or torn
//! sector by sector. A disk that is damaged (room `damage`) fails, lies, or writes to the wrong place.

mod damage;

use crate::agenda::{Agenda, Event};
use crate::felt::{Feeling, Felt};
use crate::rng::Stream;
use crate::scenario::DiskProfile;
pub use damage::Damage;
use dbm_core::io::{DiskOp, DiskResult, Durability, FileId, FileKind, SECTOR_BYTES, Ticket};
use std::collections::VecDeque;
use std::sync::Arc;

/// A file grows by at least so much memory at a time; what is not used costs nothing.
const GROWTH_BYTES: usize = 256 << 10;
/// A disk has room for files of this length; a write beyond fails.
const FILE_BYTES_MAX: usize = 256 << 20;

#[derive(Clone, Debug)]
struct Write {
    offset: usize,
    bytes: Arc<[u8]>,
}

#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    at: u64,
    op: DiskOp,
}

#[derive(Debug)]
struct File {
    id: FileId,
    durable: Vec<u8>,
    /// Completed cached writes since the last flush, in order.
    cached: Vec<Write>,
    queue: VecDeque<Pending>,
    last_at: u64,
    held: bool,
    /// Where durable bits have flipped and nothing has been written since.
    rotten: Vec<usize>,
}

/// Bytes that have become durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// The file.
    pub file: FileId,
    /// Where.
    pub offset: u64,
    /// What.
    pub bytes: Arc<[u8]>,
}

/// A completed operation.
#[derive(Debug)]
pub struct Completion {
    /// Its ticket.
    pub ticket: Ticket,
    /// Its file.
    pub file: FileId,
    /// Its result.
    pub result: DiskResult,
}

/// One instance's disk.
#[derive(Debug)]
pub struct Disk {
    instance: u8,
    profile: DiskProfile,
    latency: Stream,
    crash: Stream,
    files: Vec<File>,
    epoch: u32,
    stalled: bool,
    slow: u64,
    damage: Damage,
}

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64, profile: DiskProfile, instance: u8) -> Self {
        Disk {
            instance,
            profile,
            latency: Stream::new(seed, "disk", &[u64::from(instance)]),
            crash: Stream::new(seed, "crash", &[u64::from(instance)]),
            files: Vec::new(),
            epoch: 0,
            stalled: false,
            slow: 0,
            damage: Damage::new(seed, instance),
        }
    }

    /// Puts a file there before the run.
    pub fn preload(&mut self, id: FileId, bytes: Vec<u8>) {
        let file = self.file(id);
        self.files[file].durable = bytes;
    }

    /// The durable content of a file.
    pub fn durable(&self, id: FileId) -> &[u8] {
        self.files.iter().find(|file| file.id == id).map_or(&[], |file| &file.durable)
    }

    fn file(&mut self, id: FileId) -> usize {
        self.files.iter().position(|file| file.id == id).unwrap_or_else(|| {
            self.files.push(File {
                id,
                durable: Vec::new(),
                cached: Vec::new(),
                queue: VecDeque::new(),
                last_at: 0,
                held: false,
                rotten: Vec::new(),
            });
            self.files.len() - 1
        })
    }

    /// Starts an operation.
    pub fn issue(&mut self, agenda: &mut Agenda, felt: &mut Felt, ticket: Ticket, op: DiskOp) {
        let (id, spread) = match &op {
            DiskOp::ReadAll { file } => (*file, self.profile.read),
            DiskOp::Write { file, durability: Durability::Cached, .. } => (*file, self.profile.write),
            DiskOp::Write { file, durability: Durability::Through, .. } | DiskOp::Flush { file } => {
                (*file, self.profile.flush)
            }
        };
        let latency = self.latency.spread(&spread) + self.slow;
        if self.slow > 0 {
            felt.count(Feeling::DiskSlow);
        }
        let index = self.file(id);
        let file = &mut self.files[index];
        let at = file.last_at.max(agenda.now().0 + latency);
        file.last_at = at;
        file.queue.push_back(Pending { ticket, at, op });
        if file.queue.len() == 1 {
            self.arm(agenda, index);
        }
    }

    fn arm(&self, agenda: &mut Agenda, file: usize) {
        if let Some(front) = self.files[file].queue.front() {
            let event = Event::Disk { instance: self.instance, file: file as u8, epoch: self.epoch };
            agenda.enter(front.at, event);
        }
    }

    /// The first operation of a file is due; what it makes durable goes to `hardened`.
    pub fn complete(
        &mut self,
        agenda: &mut Agenda,
        felt: &mut Felt,
        file: u8,
        epoch: u32,
        hardened: &mut Vec<Hardened>,
    ) -> Option<Completion> {
        if epoch != self.epoch {
            return None;
        }
        let index = usize::from(file);
        if self.stalled {
            felt.count(Feeling::DiskStall);
            self.files[index].held = true;
            return None;
        }
        let Pending { ticket, op, .. } = self.files[index].queue.pop_front()?;
        self.arm(agenda, index);
        let file = &mut self.files[index];
        let result = self.damage.perform(file, op, felt, hardened);
        Some(Completion { ticket, file: file.id, result })
    }

    /// The process or the power is gone: nothing completes any more, and each write that was not durable is kept,
    /// lost or torn. What is kept goes to `hardened`.
    pub fn crash(&mut self, felt: &mut Felt, hardened: &mut Vec<Hardened>) {
        self.epoch += 1;
        for file in &mut self.files {
            let in_flight =
                std::mem::take(&mut file.queue).into_iter().filter_map(|pending| match pending.op {
                    DiskOp::Write { offset, bytes, .. } => Some(Write { offset: offset as usize, bytes }),
                    DiskOp::ReadAll { .. } | DiskOp::Flush { .. } => None,
                });
            let mut writes = std::mem::take(&mut file.cached);
            writes.extend(in_flight.filter(Write::fits));
            file.last_at = 0;
            file.held = false;
            for write in writes {
                file.leave_to_chance(write, &mut self.crash, felt, hardened);
            }
        }
    }

    /// Completions wait from now on.
    pub fn stall(&mut self) {
        self.stalled = true;
    }

    /// Operations issued from now on take longer, in microseconds.
    pub fn slow_down(&mut self, by: u64) {
        self.slow = by;
    }

    /// One durable bit of the files of this kind flips.
    pub fn rot(&mut self, kind: FileKind) {
        for file in self.files.iter_mut().filter(|file| file.id.kind == kind) {
            self.damage.rot(file);
        }
    }

    /// The damage, to add to it.
    pub fn damage_mut(&mut self) -> &mut Damage {
        &mut self.damage
    }

    /// Lifts stall, slowness and damage. What a lying disk has kept back becomes durable and goes to `hardened`.
    pub fn heal(&mut self, agenda: &mut Agenda, hardened: &mut Vec<Hardened>) {
        self.stalled = false;
        self.slow = 0;
        if self.damage.heal() {
            self.files.iter_mut().for_each(|file| file.flush(hardened));
        }
        for index in 0..self.files.len() {
            if std::mem::take(&mut self.files[index].held) {
                self.arm(agenda, index);
            }
        }
    }
}

impl Write {
    fn fits(&self) -> bool {
        self.offset.checked_add(self.bytes.len()).is_some_and(|end| end <= FILE_BYTES_MAX)
    }

    fn end(&self) -> usize {
        self.offset + self.bytes.len()
    }
}

impl File {
    /// The length that a reader sees.
    fn len(&self) -> usize {
        self.cached.iter().map(Write::end).fold(self.durable.len(), usize::max)
    }

    fn content(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        for write in &self.cached {
            overwrite(&mut content, write.offset, &write.bytes);
        }
        content
    }

    fn harden(&mut self, write: Write, hardened: &mut Vec<Hardened>) {
        overwrite(&mut self.durable, write.offset, &write.bytes);
        self.rotten.retain(|at| !(write.offset..write.end()).contains(at));
        hardened.push(Hardened { file: self.id, offset: write.offset as u64, bytes: write.bytes });
    }

    fn flush(&mut self, hardened: &mut Vec<Hardened>) {
        for write in std::mem::take(&mut self.cached) {
            self.harden(write, hardened);
        }
    }

    /// A write that is not durable is kept, lost or torn.
    fn leave_to_chance(
        &mut self,
        write: Write,
        chance: &mut Stream,
        felt: &mut Felt,
        hardened: &mut Vec<Hardened>,
    ) {
        match chance.range(0, 3) {
            0 => self.harden_through(write, hardened),
            1 => felt.count(Feeling::LostWrite),
            _ => self.tear(write, chance, felt, hardened),
        }
    }

    /// A write-through passes the cache, where older bytes of the same place may wait: they must not come back with
    /// a later flush.
    fn harden_through(&mut self, write: Write, hardened: &mut Vec<Hardened>) {
        let end = write.offset + write.bytes.len();
        for older in &mut self.cached {
            let start = older.offset.max(write.offset);
            let stop = (older.offset + older.bytes.len()).min(end);
            if start < stop {
                let mut bytes = older.bytes.to_vec();
                bytes[start - older.offset..stop - older.offset]
                    .copy_from_slice(&write.bytes[start - write.offset..stop - write.offset]);
                older.bytes = bytes.into();
            }
        }
        self.harden(write, hardened);
    }

    /// Each sector that the write touches survives or not; neighbours that survive are reported together.
    fn tear(&mut self, write: Write, chance: &mut Stream, felt: &mut Felt, hardened: &mut Vec<Hardened>) {
        let end = write.offset + write.bytes.len();
        let (mut position, mut kept_from, mut lost) = (write.offset, None, 0);
        while position < end {
            let next = end.min((position / SECTOR_BYTES + 1) * SECTOR_BYTES);
            if chance.chance(1, 2) {
                kept_from.get_or_insert(position);
            } else {
                lost += next - position;
                self.keep(&write, kept_from.take(), position, hardened);
            }
            position = next;
        }
        self.keep(&write, kept_from, end, hardened);
        if lost == write.bytes.len() {
            felt.count(Feeling::LostWrite);
        } else if lost > 0 {
            felt.count(Feeling::TornWrite);
        }
    }

    fn keep(&mut self, write: &Write, from: Option<usize>, to: usize, hardened: &mut Vec<Hardened>) {
        if let Some(from) = from {
            let bytes = write.bytes[from - write.offset..to - write.offset].into();
            self.harden_through(Write { offset: from, bytes }, hardened);
        }
    }
}

fn overwrite(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        if content.capacity() < end {
            content.reserve(GROWTH_BYTES);
        }
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests;
