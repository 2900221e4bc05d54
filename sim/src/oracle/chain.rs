//! All log ever seen durable, as a tree of blocks, and where each copy's log ends in it.
//!
//! A block names the one before it with its checksum, so the tree needs no trust in anybody. A copy's log is the path
//! from the root to its end; "contains" is a question of ancestry, answered in constant time unless logs have forked.
//! Ring reuse of the file does not matter: what a copy once held below its end it has applied.
//!
//! A copy's end moves only through durable bytes: to a block that continues it, or to one that continues an earlier
//! block (the copy was cut back). A block whose predecessor the copy lacks is kept aside: a crash may keep a later
//! write without an earlier one. Between a cut and the first block after it the model still counts the old tail; every
//! check that uses it is then lenient, never wrong.

use super::parse::{self, BlockAt, BlockView, LogRecord};
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::io::SECTOR_BYTES;
use dbm_core::types::{Branch, InstanceId, Key, Lsn, TxnId};
use std::collections::BTreeMap;

/// A block in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u32);

/// A block.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) lsn: Lsn,
    /// Where it ends (exclusive).
    pub(super) end: Lsn,
    /// Its branch.
    pub(super) branch: Branch,
    /// The block before it; `None` at the root.
    pub(super) parent: Option<NodeId>,
    checksum: u32,
    first_child: Option<NodeId>,
    /// A run of blocks without a fork, and the place in it.
    run: u32,
    place: u32,
}

/// A commit record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    /// The transaction.
    pub(super) txn: TxnId,
    /// Where.
    pub(super) lsn: Lsn,
    /// In which block.
    pub(super) node: NodeId,
    /// It was there when the run started.
    pub(super) preloaded: bool,
}

/// A version of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    /// The record that made it.
    pub(super) lsn: Lsn,
    /// In which block.
    pub(super) node: NodeId,
    /// The transaction.
    pub(super) txn: TxnId,
    /// It undoes an earlier change.
    pub(super) undoes: bool,
    start: u32,
    /// Length, or `u32::MAX` for an absent row.
    length: u32,
}

/// One copy's log.
#[derive(Clone, Debug, Default)]
struct LogCopy {
    image: Vec<u8>,
    end: Option<NodeId>,
    /// Beginnings of blocks whose rest is not durable.
    torn: Vec<usize>,
    /// Whole blocks whose predecessor this copy lacks: what they name, and where they lie.
    aside: Vec<((u64, u32), usize)>,
    /// How the end moved.
    trail: Vec<(Time, NodeId)>,
}

/// The tree, the copies, and an index of what the log says.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    nodes: Vec<Node>,
    /// The block after which each run begins.
    runs: Vec<Option<NodeId>>,
    index: BTreeMap<(u64, u32), NodeId>,
    commits: Vec<Commit>,
    commit_at: BTreeMap<(u64, Branch), u32>,
    versions: BTreeMap<u32, Vec<Version>>,
    bytes: Vec<u8>,
    copies: Vec<LogCopy>,
    cuts: Vec<Cut>,
}

/// A copy's log was cut back and goes on elsewhere: seen when the first block after the cut is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) copy: InstanceId,
    /// Where the log ended before.
    pub(super) old: NodeId,
    /// The last block that was kept.
    pub(super) kept: NodeId,
}

/// Kept aside or torn at most so many on one copy; more is not the work of a crash.
const ASIDE_MAX: usize = 256;

impl Chain {
    pub(super) fn new(instances: usize) -> Self {
        Chain {
            nodes: Vec::new(),
            runs: Vec::new(),
            index: BTreeMap::new(),
            commits: Vec::new(),
            commit_at: BTreeMap::new(),
            versions: BTreeMap::new(),
            bytes: Vec::new(),
            copies: vec![LogCopy::default(); instances],
            cuts: Vec::new(),
        }
    }

    /// The cuts seen since the last call.
    pub(super) fn take_cuts(&mut self) -> Vec<Cut> {
        std::mem::take(&mut self.cuts)
    }

    /// The block.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// The end of a copy's durable log.
    pub(super) fn end(&self, copy: usize) -> Option<NodeId> {
        self.copies.get(copy)?.end
    }

    /// The end of a copy's durable log as it was at `at`.
    pub(super) fn end_at(&self, copy: usize, at: Time) -> Option<NodeId> {
        self.copies.get(copy)?.trail.iter().rev().find(|(t, _)| *t <= at).map(|(_, node)| *node)
    }

    /// Is `node` part of the log that ends with `end`?
    pub(super) fn contains(&self, end: Option<NodeId>, node: NodeId) -> bool {
        let want = self.node(node);
        let mut at = end;
        while let Some(id) = at {
            let here = self.node(id);
            if here.run == want.run {
                return want.place <= here.place;
            }
            at = self.runs[here.run as usize];
        }
        false
    }

    /// All commit records seen.
    pub(super) fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// The commit record at a place.
    pub(super) fn commit_at(&self, lsn: Lsn, branch: Branch) -> Option<Commit> {
        self.commit_at.get(&(lsn.raw(), branch)).map(|&i| self.commits[i as usize])
    }

    /// The versions of all rows, by key, each list in the order of the log on every path.
    pub(super) fn versions(&self) -> &BTreeMap<u32, Vec<Version>> {
        &self.versions
    }

    /// The row in a version; `None` is absent.
    pub(super) fn value(&self, version: &Version) -> Option<&[u8]> {
        if version.length == u32::MAX {
            return None;
        }
        self.bytes.get(version.start as usize..(version.start + version.length) as usize)
    }

    /// The block of the log ending with `end` that holds the record at `lsn`.
    pub(super) fn block_of(&self, end: Option<NodeId>, lsn: Lsn) -> Option<NodeId> {
        let upto = (lsn.raw(), u32::MAX);
        let id =
            self.index.range(..=upto).rev().take(64).map(|(_, id)| *id).find(|id| self.contains(end, *id))?;
        (lsn < self.node(id).end).then_some(id)
    }

    /// The last block of `branch` that begins below `mark`, on whatever copy.
    pub(super) fn last_of_branch_below(&self, branch: Branch, mark: Lsn) -> Option<NodeId> {
        let below = self.index.range(..(mark.raw(), 0)).rev().take(16);
        below.map(|(_, id)| *id).find(|id| self.node(*id).branch == branch)
    }

    /// The path from the root to `end`.
    pub(super) fn path(&self, end: Option<NodeId>) -> Vec<NodeId> {
        let mut path = Vec::new();
        let mut at = end;
        while let Some(id) = at {
            path.push(id);
            at = self.node(id).parent;
        }
        path.reverse();
        path
    }

    /// The log file as it is when the run starts.
    pub(super) fn preload(&mut self, at: Time, copy: usize, bytes: &[u8], report: &mut Report) {
        let mut found: Vec<(Lsn, usize)> = Vec::new();
        let mut offset = 0;
        while offset + SECTOR_BYTES <= bytes.len() {
            match parse::block(&bytes[offset..]) {
                BlockAt::Whole(block) => {
                    found.push((block.lsn, offset));
                    offset += block.length;
                }
                BlockAt::Nothing | BlockAt::Torn => offset += SECTOR_BYTES,
            }
        }
        found.sort_unstable();
        for (i, &(_, offset)) in found.iter().enumerate() {
            if let BlockAt::Whole(block) = parse::block(&bytes[offset..]) {
                // What lies below the oldest block kept is not known; it stands for the root.
                let origin = if i == 0 { Origin::Oldest } else { Origin::Preloaded };
                self.adopt(at, copy, &block, offset, origin, report);
            }
        }
        self.copies[copy].image = bytes.to_vec();
    }

    /// Bytes of the log file became durable.
    pub(super) fn durable(&mut self, at: Time, copy: usize, offset: u64, bytes: &[u8], report: &mut Report) {
        let mut image = std::mem::take(&mut self.copies[copy].image);
        let from = offset as usize;
        let to = from + bytes.len();
        if image.len() < to {
            image.resize(to, 0);
        }
        image[from..to].copy_from_slice(bytes);
        if !self.copies[copy].torn.is_empty() {
            for place in std::mem::take(&mut self.copies[copy].torn) {
                self.look(at, copy, &image, place, report);
            }
        }
        let mut place = from - from % SECTOR_BYTES;
        while place < to {
            place += self.look(at, copy, &image, place, report);
        }
        self.copies[copy].image = image;
    }

    /// Looks for a block at a place; returns how far the next one may be.
    fn look(&mut self, at: Time, copy: usize, image: &[u8], place: usize, report: &mut Report) -> usize {
        match parse::block(&image[place..]) {
            BlockAt::Whole(block) => {
                if self.adopt(at, copy, &block, place, Origin::Written, report) {
                    self.adopt_aside(at, copy, image, report);
                }
                block.length
            }
            BlockAt::Torn => {
                let torn = &mut self.copies[copy].torn;
                if torn.len() < ASIDE_MAX && !torn.contains(&place) {
                    torn.push(place);
                }
                SECTOR_BYTES
            }
            BlockAt::Nothing => SECTOR_BYTES,
        }
    }

    /// Blocks kept aside may follow now.
    fn adopt_aside(&mut self, at: Time, copy: usize, image: &[u8], report: &mut Report) {
        while let Some(end) = self.copies[copy].end {
            let wanted = (self.node(end).lsn.raw(), self.node(end).checksum);
            let Some(i) = self.copies[copy].aside.iter().position(|(prev, _)| *prev == wanted) else {
                return;
            };
            let (prev, place) = self.copies[copy].aside.swap_remove(i);
            if let BlockAt::Whole(block) = parse::block(&image[place..])
                && (block.prev.raw(), block.prev_checksum) == prev
            {
                self.adopt(at, copy, &block, place, Origin::Written, report);
            }
        }
    }

    /// A whole block is durable on a copy. Tells whether the copy's log now ends with it.
    fn adopt(
        &mut self,
        at: Time,
        copy: usize,
        block: &BlockView<'_>,
        place: usize,
        origin: Origin,
        report: &mut Report,
    ) -> bool {
        let named = (block.prev.raw(), block.prev_checksum);
        let end = self.copies[copy].end;
        let id = match self.index.get(&(block.lsn.raw(), block.checksum)) {
            Some(&id) => {
                if self.contains(end, id) {
                    return false; // written again
                }
                report.held(Premise::BlockMatched);
                id
            }
            None => {
                let parent = if block.prev == Lsn::ZERO || origin == Origin::Oldest {
                    None
                } else if let Some(&parent) = self.index.get(&named) {
                    Some(parent)
                } else {
                    self.put_aside(copy, named, place);
                    return false;
                };
                self.insert(at, copy, block, parent, origin, report)
            }
        };
        if let Some(parent) = self.node(id).parent
            && end != Some(parent)
            && origin != Origin::Oldest
        {
            if !self.contains(end, parent) {
                self.put_aside(copy, named, place);
                return false;
            }
            report.held(Premise::LogForked);
            if let Some(old) = end {
                self.cuts.push(Cut { copy: InstanceId(copy as u8), old, kept: parent });
            }
        }
        report.held(Premise::BlockChained);
        self.copies[copy].end = Some(id);
        self.copies[copy].trail.push((at, id));
        true
    }

    fn put_aside(&mut self, copy: usize, named: (u64, u32), place: usize) {
        let aside = &mut self.copies[copy].aside;
        if aside.len() < ASIDE_MAX && !aside.contains(&(named, place)) {
            aside.push((named, place));
        }
    }

    /// A block not seen before.
    fn insert(
        &mut self,
        at: Time,
        copy: usize,
        block: &BlockView<'_>,
        parent: Option<NodeId>,
        origin: Origin,
        report: &mut Report,
    ) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.judge(at, copy, block, parent, report);
        let (run, place) = match parent {
            Some(parent) if self.node(parent).first_child.is_none() => {
                self.nodes[parent.0 as usize].first_child = Some(id);
                (self.node(parent).run, self.node(parent).place + 1)
            }
            Some(_) | None => {
                self.runs.push(parent);
                (self.runs.len() as u32 - 1, 0)
            }
        };
        self.nodes.push(Node {
            lsn: block.lsn,
            end: block.end,
            branch: block.branch,
            parent,
            checksum: block.checksum,
            first_child: None,
            run,
            place,
        });
        self.index.insert((block.lsn.raw(), block.checksum), id);
        report.stats.blocks += 1;
        for (lsn, record) in parse::records(block) {
            match record {
                LogRecord::Change { txn, key, after, undoes } => {
                    self.add_version(lsn, id, txn, key, after, undoes)
                }
                LogRecord::Commit { txn } => {
                    self.commit_at.insert((lsn.raw(), block.branch), self.commits.len() as u32);
                    let preloaded = origin != Origin::Written;
                    self.commits.push(Commit { txn, lsn, node: id, preloaded });
                }
                LogRecord::Other => {}
            }
        }
        id
    }

    fn add_version(
        &mut self,
        lsn: Lsn,
        node: NodeId,
        txn: TxnId,
        key: Key,
        after: Option<&[u8]>,
        undoes: bool,
    ) {
        let start = self.bytes.len() as u32;
        let length = match after {
            Some(bytes) => {
                self.bytes.extend_from_slice(bytes);
                bytes.len() as u32
            }
            None => u32::MAX,
        };
        self.versions.entry(key.0).or_default().push(Version { lsn, node, txn, undoes, start, length });
    }

    /// Log matching: one branch is one sequence of bytes. [P-10, INV-4]
    fn judge(
        &self,
        at: Time,
        copy: usize,
        block: &BlockView<'_>,
        parent: Option<NodeId>,
        report: &mut Report,
    ) {
        let raw = block.lsn.raw();
        let mut here = self.index.range((raw, 0)..=(raw, u32::MAX)).map(|(_, id)| self.node(*id));
        let twin = here.any(|other| other.branch == block.branch);
        let sibling = parent
            .and_then(|p| self.node(p).first_child)
            .is_some_and(|c| self.node(c).branch == block.branch);
        if twin || sibling {
            report.fire("logs", "P-10", at, || {
                format!(
                    "branch {} holds two different blocks at or near {} (second on copy {copy})",
                    block.branch, block.lsn
                )
            });
        }
        let Some(parent) = parent.map(|p| self.node(p)) else { return };
        if block.lsn < parent.end || block.branch < parent.branch {
            report.fire("logs", "P-10", at, || {
                format!(
                    "block {} of branch {} on copy {copy} follows the block at {} to {} of branch {}",
                    block.lsn, block.branch, parent.lsn, parent.end, parent.branch
                )
            });
        }
    }
}

/// Where a block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The oldest block in a file at the start of the run.
    Oldest,
    /// Another block in a file at the start of the run.
    Preloaded,
    /// Written in the run.
    Written,
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{Log, Rec};
    use super::*;

    #[test]
    fn a_fork_keeps_both_histories_apart() {
        let (mut chain, mut report, mut log) = (Chain::new(2), Report::new(), Log::new());
        let a = log.add((1, 0), &[Rec::Commit(1)]);
        let b = log.add((1, 0), &[Rec::Commit(2)]);
        let mut other = log.fork_after(&a);
        let c = other.add((2, 0), &[Rec::Commit(3)]);
        for block in [&a, &b] {
            chain.durable(Time(1), 0, block.offset, &block.bytes, &mut report);
        }
        for block in [&a, &c] {
            chain.durable(Time(2), 1, block.offset, &block.bytes, &mut report);
        }
        let [one, two, three] = [0, 1, 2].map(|i| chain.commits()[i].node);
        assert!(chain.contains(chain.end(0), two) && !chain.contains(chain.end(0), three));
        assert!(chain.contains(chain.end(1), one) && !chain.contains(chain.end(1), two));
        chain.durable(Time(3), 0, c.offset, &c.bytes, &mut report);
        assert_eq!(chain.end(0), Some(three), "the first copy was cut back and follows");
        assert_eq!(report.rules(), []);
    }

    #[test]
    fn a_block_without_its_predecessor_counts_only_when_the_gap_is_filled() {
        let (mut chain, mut report, mut log) = (Chain::new(1), Report::new(), Log::new());
        let blocks = [1, 2, 3].map(|t| log.add((1, 0), &[Rec::Commit(t)]));
        for i in [0, 2] {
            chain.durable(Time(1), 0, blocks[i].offset, &blocks[i].bytes, &mut report);
        }
        assert_eq!(chain.commits().len(), 1);
        chain.durable(Time(2), 0, blocks[1].offset, &blocks[1].bytes, &mut report);
        assert_eq!(chain.path(chain.end(0)).len(), 3);
    }

    #[test]
    fn a_torn_block_counts_when_its_sectors_are_complete() {
        let (mut chain, mut report, mut log) = (Chain::new(1), Report::new(), Log::new());
        let long = [9u8; 100];
        let block = log.add((1, 0), &[Rec::Update(1, 1, &long); 6]);
        assert!(block.bytes.len() > 512);
        chain.durable(Time(1), 0, block.offset, &block.bytes[..512], &mut report);
        assert_eq!(chain.end(0), None);
        chain.durable(Time(1), 0, block.offset + 512, &block.bytes[512..], &mut report);
        assert!(chain.end(0).is_some());
    }
}
