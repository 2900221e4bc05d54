//! A copy with its disk, and what a session would keep durable beside it.

use super::disk::{Dice, Disk};
use crate::config::Geometry;
use crate::io::{DiskResult, Effects, Op};
use crate::storage::*;
use crate::types::*;
use std::collections::{BTreeMap, BTreeSet};

pub const KEYS: u32 = 40;
pub const SMALL: Geometry = Geometry { vlf_bytes: 16 << 10, vlf_count: 4, checkpoint_bytes: 4 << 10 };

pub type Rows = BTreeMap<u32, Value>;

#[derive(Clone, Debug)]
pub struct Node {
    pub copy: Copy,
    pub disk: Disk,
    pub geometry: Geometry,
    /// As in the durable session record.
    pub branches: BranchTable,
    pub refetch: BTreeSet<PageId>,
    /// Events since last taken.
    pub events: Vec<CopyEvent>,
}

pub fn branch(n: u32, r: u32) -> Branch {
    Branch { n: RoleSequence(n), r }
}

pub fn everything() -> Option<Lsn> {
    Some(Lsn::from_raw(u64::MAX))
}

pub fn initial_rows() -> Rows {
    (0..KEYS).step_by(3).map(|k| (k, Value::number(k.into()))).collect()
}

impl Node {
    /// Prepared and recovered, without a role.
    pub fn new(geometry: Geometry) -> Node {
        let rows = initial_rows().into_iter().map(|(k, v)| (Key(k), v));
        let image = Copy::prepare(geometry, rows, branch(1, 0));
        let branches = BranchTable::new((branch(1, 0), Lsn::new(1, 0, 0)));
        let disk = Disk::new(image.clone());
        let (copy, report) =
            Copy::recover(SessionId(1), image, geometry, branches.clone(), &BTreeSet::new(), None).unwrap();
        assert_eq!(report.end, Lsn::new(1, 1, 0));
        Node { copy, disk, geometry, branches, refetch: BTreeSet::new(), events: Vec::new() }
    }

    pub fn principal(geometry: Geometry) -> Node {
        let mut node = Node::new(geometry);
        node.open_branch(branch(1, 1));
        node
    }

    pub fn open_branch(&mut self, branch: Branch) {
        self.copy.open_branch(branch);
        self.branches = self.copy.branches().clone();
    }

    pub fn act<T>(&mut self, f: impl FnOnce(&mut Copy, &mut Effects) -> T) -> T {
        let mut out = Effects::new();
        let result = f(&mut self.copy, &mut out);
        self.copy.pump(&mut out);
        self.disk.take(&mut out);
        result
    }

    /// Completes one operation of a file, if there is one.
    pub fn complete(&mut self, file: usize) {
        if let Some(serial) = self.disk.complete(file) {
            let event = self.act(|copy, out| copy.on_disk(serial, DiskResult::Done, out));
            assert!(!matches!(event, CopyEvent::Failed(_)));
            self.events.push(event);
        }
    }

    /// Completes everything.
    pub fn settle(&mut self) {
        self.act(|copy, _| copy.want_flush());
        while !self.disk.is_idle() {
            (0..4).for_each(|file| self.complete(file));
        }
    }

    /// Loses what is not durable and recovers.
    pub fn crash(&mut self, seed: u64) -> RecoveryReport {
        let image = self.disk.crash(&mut Dice(seed));
        self.recover(image).unwrap()
    }

    pub fn recover(&mut self, image: CopyImage) -> Result<RecoveryReport, RecoveryError> {
        let branches = self.branches.clone();
        let (copy, report) =
            Copy::recover(SessionId(1), image, self.geometry, branches, &self.refetch, None)?;
        self.copy = copy;
        self.copy.check();
        Ok(report)
    }

    pub fn image(&mut self) -> CopyImage {
        self.disk.clone().crash(&mut Dice(0))
    }

    /// Undoes everything unfinished.
    pub fn undo(&mut self) {
        for _ in 0..1000 {
            let undo = self.act(|copy, _| copy.undo_some(3));
            for txn in undo.finished {
                self.copy.release(txn);
            }
            if !undo.more {
                return;
            }
            self.settle();
        }
        panic!("the rollback finds no room");
    }

    pub fn rows(&self) -> Rows {
        let value = |k| self.copy.value(Key(k)).cloned().map(|v| (k, v));
        (0..KEYS).filter_map(value).collect()
    }

    /// A whole transaction that nobody is in the way of.
    pub fn transact(&mut self, txn: u64, ops: &[Op]) -> Committing {
        let txn = TxnId(txn);
        self.copy.begin(txn);
        for op in ops {
            assert!(matches!(self.copy.execute(txn, op), Executed::Done(_)));
        }
        let committing = self.act(|copy, _| copy.commit(txn));
        self.copy.release(txn);
        committing
    }
}

/// The pages of two copies are equal, page LSNs included.
pub fn assert_same_pages(a: &Copy, b: &Copy) {
    for page in (0..=KEYS / ROWS).map(PageId) {
        assert_eq!(a.page_image(page), b.page_image(page), "{page:?}");
    }
}
