//! The table of log branches: which branch is in force from which LSN on. [OQ-68]
//!
//! ```text
//!   1:0      3:40           7:16            LSN
//!   |- 1.0 --|- 1.1 --------|- 2.0 ----->   branch
//! ```

use crate::types::{Branch, Lsn};
use serde::{Deserialize, Serialize};

/// Branches in order, each with its first LSN. Never empty. An entry may be empty, when its successor begins at the
/// same LSN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct BranchTable {
    entries: Vec<(Branch, Lsn)>,
}

impl BranchTable {
    /// A table of one branch.
    pub fn new(first: (Branch, Lsn)) -> Self {
        BranchTable { entries: vec![first] }
    }

    /// Adds a branch that begins at `first`, no earlier than the one before.
    pub fn push(&mut self, branch: Branch, first: Lsn) {
        let (last, begins) = self.last();
        assert!(branch > last, "branches only grow");
        assert!(first >= begins, "a branch begins after the one before");
        self.entries.push((branch, first));
    }

    /// Forgets branches that begin beyond `lsn`: announced by a principal whose log never came.
    pub fn drop_beyond(&mut self, lsn: Lsn) {
        let kept = self.entries.partition_point(|(_, first)| *first <= lsn);
        self.entries.truncate(kept.max(1));
    }

    /// The branch in force at `lsn`; `None` below the table.
    pub fn branch_at(&self, lsn: Lsn) -> Option<Branch> {
        self.entries.iter().rev().find(|(_, first)| *first <= lsn).map(|(branch, _)| *branch)
    }

    /// The newest branch and its first LSN.
    pub fn last(&self) -> (Branch, Lsn) {
        *self.entries.last().expect("a branch table is never empty")
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[(Branch, Lsn)] {
        &self.entries
    }

    /// Forgets branches that ended at or below `lsn`; the one in force there stays.
    pub fn prune_below(&mut self, lsn: Lsn) {
        let in_force = self.entries.iter().rposition(|(_, first)| *first <= lsn).unwrap_or(0);
        self.entries.drain(..in_force);
    }

    /// Takes over another copy's table of the same history. Older branches stay: the own log may begin earlier than the
    /// other's.
    pub fn adopt(&mut self, other: BranchTable) {
        let (oldest, _) = other.entries[0];
        self.entries.retain(|(branch, _)| *branch < oldest);
        self.entries.extend(other.entries);
    }

    /// Where `branch` ends (exclusive) in a log that ends at `own_end`; `None` when the table lacks it.
    pub fn end_of(&self, branch: Branch, own_end: Lsn) -> Option<Lsn> {
        let at = self.entries.iter().position(|(b, _)| *b == branch)?;
        Some(self.entries.get(at + 1).map_or(own_end, |(_, next)| own_end.min(*next)))
    }

    /// The end of what two logs have in common: the smaller end within the last branch that both hold with the same
    /// first LSN. `None` when there is no such branch. [OQ-68]
    pub fn common_prefix(a: &BranchTable, a_end: Lsn, b: &BranchTable, b_end: Lsn) -> Option<Lsn> {
        let (branch, _) = *a.entries.iter().rev().find(|e| b.entries.contains(e))?;
        Some(a.end_of(branch, a_end)?.min(b.end_of(branch, b_end)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::RoleSequence;

    fn branch(n: u32, r: u32) -> Branch {
        Branch { n: RoleSequence(n), r }
    }
    fn at(block: u32) -> Lsn {
        Lsn::new(1, block, 0)
    }
    fn table(entries: &[(u32, u32, u32)]) -> BranchTable {
        let mut it = entries.iter().map(|&(n, r, block)| (branch(n, r), at(block)));
        let mut table = BranchTable::new(it.next().unwrap());
        it.for_each(|(b, first)| table.push(b, first));
        table
    }

    #[test]
    fn the_last_entry_at_or_below_is_in_force() {
        let t = table(&[(1, 0, 2), (1, 1, 8), (1, 2, 8)]);
        assert_eq!(t.branch_at(at(1)), None);
        assert_eq!(t.branch_at(at(7)), Some(branch(1, 0)));
        assert_eq!(t.branch_at(at(8)), Some(branch(1, 2)));
    }

    #[test]
    fn pruning_keeps_the_branch_in_force() {
        let mut t = table(&[(1, 0, 2), (1, 1, 8), (2, 0, 9)]);
        t.prune_below(at(8));
        assert_eq!(t.entries(), table(&[(1, 1, 8), (2, 0, 9)]).entries());
        t.prune_below(at(1));
        assert_eq!(t.entries().len(), 2);
    }

    #[test]
    fn an_adopted_table_keeps_what_the_other_has_pruned() {
        let mut own = table(&[(1, 0, 2), (1, 1, 8), (1, 2, 9)]);
        own.adopt(table(&[(1, 1, 8), (2, 0, 12)]));
        assert_eq!(own, table(&[(1, 0, 2), (1, 1, 8), (2, 0, 12)]));
    }

    /// The mirror hardened blocks that the principal lost in a crash. [OQ-68, F3]
    #[test]
    fn the_prefix_ends_where_the_restarted_principal_lost_its_log() {
        let principal = table(&[(1, 0, 2), (1, 1, 8)]);
        let mirror = table(&[(1, 0, 2)]);
        assert_eq!(BranchTable::common_prefix(&principal, at(20), &mirror, at(12)), Some(at(8)));
        assert_eq!(BranchTable::common_prefix(&principal, at(20), &mirror, at(6)), Some(at(6)));
        assert_eq!(BranchTable::common_prefix(&mirror, at(12), &principal, at(20)), Some(at(8)));
    }

    #[test]
    fn the_prefix_of_a_fork_ends_at_the_fork() {
        let a = table(&[(1, 0, 2), (1, 1, 30)]);
        let b = table(&[(1, 0, 2), (2, 0, 12)]);
        assert_eq!(BranchTable::common_prefix(&a, at(40), &b, at(50)), Some(at(12)));
        assert_eq!(BranchTable::common_prefix(&a, at(40), &table(&[(3, 0, 2)]), at(9)), None);
    }
}
