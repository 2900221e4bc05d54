//! Preparing the files of a fresh copy, and recovery from files after a crash: torn pages are restored, the log is
//! followed to its last valid block, redo brings the pages there. Nothing is undone; a mirror must not. [P-11, OQ-57,
//! OQ-58]

use super::block::{self, Block, HEADER_BYTES, Link, Verify, parse};
use super::boot::{Boot, BootFile};
use super::branches::BranchTable;
use super::checkpoint::CheckpointMark;
use super::copy::{Copy, Side};
use super::double_write;
use super::lock::Locks;
use super::log::Log;
use super::page::{PAGE_BYTES, Page, PageState, Pages, page_of};
use super::record::Record;
use super::ring::Ring;
use super::tickets::Tickets;
use super::txn::{Transactions, TxnState};
use crate::bugs::{Bug, planted};
use crate::config::Geometry;
use crate::io::SECTOR_BYTES;
use crate::types::{Branch, Key, Lsn, PageId, SessionId, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The content of a copy's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyImage {
    /// [`FileKind::Boot`](crate::io::FileKind::Boot).
    pub boot: Vec<u8>,
    /// [`FileKind::Log`](crate::io::FileKind::Log).
    pub log: Vec<u8>,
    /// [`FileKind::Data`](crate::io::FileKind::Data).
    pub data: Vec<u8>,
    /// [`FileKind::DoubleWrite`](crate::io::FileKind::DoubleWrite).
    pub double_write: Vec<u8>,
}

/// Why the scan of the log ended where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing was ever written there, or no whole block, or one of an earlier round of the ring: the usual end.
    NoBlock,
    /// A block begins there and is torn or corrupt. [OQ-57]
    Damaged,
    /// A valid block that does not follow the one before.
    NotChained,
    /// A valid block of a branch that is not in force there. [OQ-68]
    DeadBranch(Branch),
}

/// What recovery found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// End (exclusive) of the usable log.
    pub end: Lsn,
    /// Why it ends there.
    pub stop: Stop,
    /// The checkpoint record it began from.
    pub checkpoint: Lsn,
    /// Records that changed a page.
    pub redone_records: usize,
    /// Pages restored from the double-write file.
    pub repaired: Vec<PageId>,
    /// Transactions to be undone by whoever is principal.
    pub unfinished: usize,
}

/// Why a copy cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// No valid boot record.
    #[error("no valid boot record")]
    NoBoot,
    /// A page is torn or corrupt and has no image.
    #[error("page {0:?} is corrupt")]
    PageCorrupt(PageId),
    /// The log ends before the checkpoint record that recovery begins from. [P-11]
    #[error("log ends at {end}, before the checkpoint at {checkpoint}")]
    LogDamaged {
        /// Where it ends.
        end: Lsn,
        /// The checkpoint record.
        checkpoint: Lsn,
    },
    /// The boot record names a checkpoint, and the log holds something else there.
    #[error("no checkpoint record at {0}")]
    NoCheckpoint(Lsn),
    /// A page holds changes that the log lacks: it was hardened before the page was written, and is gone. [P-11]
    #[error("page {page:?} is at {lsn}, and the log ends at {end}")]
    PageBeyondLog {
        /// The page.
        page: PageId,
        /// Its newest change.
        lsn: Lsn,
        /// Where the log ends.
        end: Lsn,
    },
}

/// The log as read.
struct Scan {
    blocks: VecDeque<Block>,
    end: Lsn,
    stop: Stop,
}

impl Copy {
    /// The files of a fresh copy with these rows, all at page LSN 0, and a log of one block with a Checkpoint record.
    /// The branch table that goes with it is `BranchTable::new((branch, Lsn::new(1, 0, 0)))`.
    pub fn prepare(
        geometry: Geometry,
        rows: impl Iterator<Item = (Key, Value)>,
        branch: Branch,
    ) -> CopyImage {
        let mut pages: BTreeMap<PageId, Page> = BTreeMap::new();
        for (key, value) in rows {
            let slot = (key.0 % super::ROWS) as usize;
            pages.entry(page_of(key)).or_default().rows[slot] = Some(value);
        }
        let mut data = Vec::new();
        for (id, page) in &pages {
            data.resize(id.0 as usize * PAGE_BYTES, 0);
            page.encode(*id, &mut data);
        }
        let first = Lsn::new(1, 0, 0);
        let mut buf = vec![0; HEADER_BYTES];
        Record::Checkpoint { min_lsn: first }.encode(&mut buf);
        let block = block::seal(&mut buf, first, Link::default(), branch, 1);
        let mut log = vec![0; Ring::new(&geometry).offset(first) as usize];
        log.extend_from_slice(&block.bytes);
        let boot = Boot { sequence: 1, checkpoint: first, min_lsn: first, log_start: first };
        let boot = [[0; SECTOR_BYTES], boot.encode()].concat();
        CopyImage { boot, log, data, double_write: Vec::new() }
    }

    /// Makes the copy of the content of its files. `refetch`: pages an interrupted undo will install again, which may
    /// therefore be corrupt. Unfinished transactions hold the locks of the rows they changed. [P-11, OQ-21]
    pub fn recover(
        session: SessionId,
        image: CopyImage,
        geometry: Geometry,
        mut branches: BranchTable,
        refetch: &BTreeSet<PageId>,
        bug: Option<Bug>,
    ) -> Result<(Copy, RecoveryReport), RecoveryError> {
        let boot = Boot::newest(&image.boot).ok_or(RecoveryError::NoBoot)?;
        branches.prune_below(boot.log_start);
        let mut repaired = (Vec::new(), Vec::new());
        let mut pages = read_pages(&image, refetch, &mut repaired)?;
        let verify = if planted(bug, Bug::NoRecoveryChecksum) { Verify::Lengths } else { Verify::Full };
        let scan = scan(&image.log, &Ring::new(&geometry), &branches, boot.log_start, verify);
        if scan.end <= boot.checkpoint {
            return Err(RecoveryError::LogDamaged { end: scan.end, checkpoint: boot.checkpoint });
        }
        // Pages of an interrupted undo come from the principal, whose log is ahead. [OQ-21]
        let beyond = pages.beyond(scan.end).find(|(id, _)| !refetch.contains(id));
        if let Some((page, lsn)) = beyond {
            return Err(RecoveryError::PageBeyondLog { page, lsn, end: scan.end });
        }

        let mut txns = Transactions::default();
        let mut checkpoints = VecDeque::new();
        let mut redone_records = 0;
        for (lsn, record) in scan.blocks.iter().flat_map(Block::records) {
            if let Record::Checkpoint { min_lsn } = record {
                checkpoints.push_back(CheckpointMark { record: lsn, min_lsn });
            }
            if lsn < boot.min_lsn {
                continue;
            }
            txns.follow(lsn, &record, TxnState::Unfinished);
            if let Some((key, after)) = record.change() {
                redone_records += usize::from(pages.apply(lsn, key, after));
            }
        }

        let report = RecoveryReport {
            end: scan.end,
            stop: scan.stop,
            checkpoint: boot.checkpoint,
            redone_records,
            repaired: repaired.0.clone(),
            unfinished: txns.iter().count(),
        };
        let named = CheckpointMark { record: boot.checkpoint, min_lsn: boot.min_lsn };
        if !checkpoints.contains(&named) {
            return Err(RecoveryError::NoCheckpoint(boot.checkpoint));
        }
        let last = scan.blocks.back().expect("the block of the checkpoint record was read");
        let last = Link { lsn: last.lsn, checksum: last.checksum };
        let mut copy = Copy {
            geometry,
            side: Side::Undecided,
            log: Log::new(&geometry, branches, scan.blocks, last, scan.end),
            pages,
            txns,
            locks: Locks::default(),
            boot: BootFile::new(boot),
            tickets: Tickets::new(session),
            redone: scan.end,
            restart_point: checkpoints.back().copied().filter(|c| c.record > boot.checkpoint),
            checkpoints,
            checkpoint: None,
            checkpoint_requested: false,
            log_was_full: false,
            bytes_at_checkpoint: 0,
            mirror_hardened: Lsn::ZERO,
            follows: false,
            installed: BTreeSet::new(),
            failed: false,
        };
        if !repaired.0.is_empty() {
            copy.start_repair(repaired.0, repaired.1);
        }
        copy.lock_unfinished();
        Ok((copy, report))
    }
}

/// Reads all pages. A damaged one is taken from the double-write file and noted in `repaired`, ids and images.
fn read_pages(
    image: &CopyImage,
    refetch: &BTreeSet<PageId>,
    repaired: &mut (Vec<PageId>, Vec<u8>),
) -> Result<Pages, RecoveryError> {
    let images = double_write::decode(&image.double_write);
    let mut pages = Pages::default();
    for (id, bytes) in (0..).map(PageId).zip(image.data.chunks(PAGE_BYTES)) {
        // The last write may have made the file grow by a part of a page.
        let mut whole = [0; PAGE_BYTES];
        whole[..bytes.len()].copy_from_slice(bytes);
        let page = Page::decode(id, &whole).or_else(|error| {
            let bytes = images.get(&id).ok_or(error)?;
            let page = Page::decode(id, bytes)?;
            repaired.0.push(id);
            repaired.1.extend_from_slice(bytes);
            Ok::<_, super::PageError>(page)
        });
        match page {
            Ok(page) if page == Page::default() => {}
            Ok(page) => pages.install(id, page, PageState::Clean),
            Err(_) if refetch.contains(&id) => {}
            Err(_) => return Err(RecoveryError::PageCorrupt(id)),
        }
    }
    Ok(pages)
}

/// Follows the log from `start` to its last valid block. Of the first block only itself is verified, of the others
/// also that they follow. What lies beyond the first invalid block is dead. [P-11]
fn scan(log: &[u8], ring: &Ring, branches: &BranchTable, start: Lsn, verify: Verify) -> Scan {
    let mut scan = Scan { blocks: VecDeque::new(), end: start, stop: Stop::NoBlock };
    loop {
        let at = if scan.blocks.is_empty() { start } else { ring.next_block(scan.end) };
        if at.vlf() >= ring.limit(start) {
            return scan;
        }
        let offset = usize::try_from(ring.offset(at)).expect("a log file fits memory");
        let bytes = log.get(offset..).unwrap_or_default();
        let (block, prev) = match parse(bytes, verify) {
            Ok(read) => read,
            Err(block::BlockError::NoBlock) => return scan,
            Err(block::BlockError::Checksum(_) | block::BlockError::Records(_)) => {
                scan.stop = Stop::Damaged;
                return scan;
            }
        };
        if block.lsn != at {
            return scan;
        }
        if scan.blocks.back().is_some_and(|b| prev != Link { lsn: b.lsn, checksum: b.checksum }) {
            scan.stop = Stop::NotChained;
            return scan;
        }
        if branches.branch_at(at) != Some(block.branch) {
            scan.stop = Stop::DeadBranch(block.branch);
            return scan;
        }
        scan.end = block.end;
        scan.blocks.push_back(block);
    }
}
