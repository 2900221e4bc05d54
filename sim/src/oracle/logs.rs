//! Logs: acknowledged means hardened, nothing that the mirror lacks is let go, and pages hold what the log says. [P-11 …
//! P-13, INV-4, INV-5, INV-8]
//!
//! Log matching itself [P-10] is judged by `chain` whenever a block first becomes durable. An acknowledgement is
//! judged when it leaves, against the durable end of the copy that gives it. A page written in place is judged against
//! the versions of its rows at its page LSN, on the log of its copy or, for a page fetched in an undo, on the log of
//! the other copy. That every page equals the model at its LSN implies redo of each record exactly once and in order.

use super::chain::{Chain, NodeId};
use super::parse::{self, PAGE_BYTES, PAGE_ROWS, PageView};
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::types::{Branch, InstanceId, Lsn};
use std::collections::BTreeMap;

/// A page as it was when the run started: its LSN and rows.
type BasePage = (Lsn, Vec<Option<Vec<u8>>>);

#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    base: BTreeMap<u32, BasePage>,
}

impl Logs {
    pub(super) fn new() -> Self {
        Logs::default()
    }

    /// The data file as it is when the run starts; all copies start equal.
    pub(super) fn preload(&mut self, bytes: &[u8]) {
        for page in bytes.chunks_exact(PAGE_BYTES).filter_map(parse::page) {
            let rows = page.rows.iter().map(|row| row.map(<[u8]>::to_vec)).collect();
            self.base.insert(page.page, (page.lsn, rows));
        }
    }

    /// A row when the run started.
    pub(super) fn base_row(&self, key: u32) -> Option<&[u8]> {
        self.base.get(&(key / PAGE_ROWS))?.1[(key % PAGE_ROWS) as usize].as_deref()
    }

    /// A copy says that its log is hardened up to a mark. [P-11]
    pub(super) fn acknowledged(
        &self,
        at: Time,
        copy: InstanceId,
        mark: Lsn,
        branch: Option<Branch>,
        chain: &Chain,
        report: &mut Report,
    ) {
        report.held(Premise::AckJudged);
        let end = chain.end(copy.0.into());
        let ends = end.map_or(Lsn::ZERO, |node| chain.node(node).end);
        // The end of a virtual log file and the beginning of the next are one place: nothing lies between.
        let next_file = mark.vlf() == ends.vlf() + 1 && mark.block() <= 1 && mark.slot() == 0;
        let beyond = mark > ends && !next_file && end.is_some();
        let last = branch.and_then(|branch| chain.last_of_branch_below(branch, mark));
        if beyond || last.is_some_and(|node| !chain.contains(end, node)) {
            report.fire("logs", "P-11", at, || {
                format!("instance {} acknowledged log up to {mark}; durable there is {ends}", copy.0)
            });
        }
    }

    /// The owner of the session writes a boot record: log below its start goes. What the mirror has durable counts, whoever
    /// knows of it. [P-13, INV-8]
    pub(super) fn truncates(
        &self,
        at: Time,
        (owner, mirror): (InstanceId, InstanceId),
        boot: &[u8],
        chain: &Chain,
        report: &mut Report,
    ) {
        let Some(start) = parse::log_start(boot) else { return };
        let Some(node) = chain.end(mirror.0.into()) else { return };
        report.held(Premise::TruncationJudged);
        let end = chain.node(node).end;
        let next_file = start.vlf() == end.vlf() + 1 && start.block() == 0;
        if start > end && !next_file {
            report.fire("logs", "P-13", at, || {
                format!("instance {} keeps log from {start} on; its mirror has it up to {end}", owner.0)
            });
        }
    }

    /// Bytes of the data file became durable. Pages written in part are skipped: the double-write file protects them.
    pub(super) fn pages_durable(
        &self,
        at: Time,
        OfCopy { copy, peer, kept }: OfCopy,
        offset: u64,
        bytes: &[u8],
        chain: &Chain,
        report: &mut Report,
    ) {
        let skip = (PAGE_BYTES - offset as usize % PAGE_BYTES) % PAGE_BYTES;
        let Some(whole) = bytes.get(skip..) else { return };
        for (i, bytes) in whole.chunks_exact(PAGE_BYTES).enumerate() {
            let place = (offset as usize + skip) / PAGE_BYTES + i;
            let Some(page) = parse::page(bytes) else { continue };
            if page.page as usize != place {
                continue;
            }
            report.held(Premise::PageJudged);
            let own = self.differs(&page, chain.end(copy.0.into()), chain);
            if own.is_some() && kept {
                report.fire("logs", "FO-64", at, || {
                    format!(
                        "page {} of the old fork on instance {} was replaced before RESUME",
                        page.page, copy.0
                    )
                });
            }
            if let Some(what) = own
                && self.differs(&page, chain.end(peer.0.into()), chain).is_some()
            {
                report.fire("logs", "P-12", at, || {
                    let what = match what {
                        Differs::NoSuchRecord => "a record that the durable log does not hold".to_owned(),
                        Differs::Row(row) => format!("row {row} other than the log says"),
                    };
                    format!("page {} on instance {} at LSN {} has {what}", page.page, copy.0, page.lsn)
                });
            }
        }
    }

    /// Is the newest change of a page in this log, or is it as it was when the run started?
    pub(super) fn has_record(&self, page: &PageView<'_>, end: Option<NodeId>, chain: &Chain) -> bool {
        let from_base = self.base.get(&page.page).map_or(Lsn::ZERO, |(lsn, _)| *lsn) == page.lsn;
        from_base || chain.block_of(end, page.lsn).is_some()
    }

    fn differs(&self, page: &PageView<'_>, end: Option<NodeId>, chain: &Chain) -> Option<Differs> {
        let base = self.base.get(&page.page);
        // A page never written is empty and has LSN 0.
        let from_base = base.map_or(Lsn::ZERO, |(lsn, _)| *lsn) == page.lsn;
        let node = match chain.block_of(end, page.lsn) {
            Some(node) => Some(node),
            None if from_base => None,
            None => return Some(Differs::NoSuchRecord),
        };
        for (i, &row) in (0u32..).zip(&page.rows) {
            let versions = chain.versions().get(&(page.page * PAGE_ROWS + i)).map_or(&[][..], Vec::as_slice);
            let version = node.and_then(|_| {
                versions.iter().rev().find(|v| v.lsn <= page.lsn && chain.contains(node, v.node))
            });
            let expected = match version {
                Some(version) => chain.value(version),
                None => base.and_then(|(_, rows)| rows[i as usize].as_deref()),
            };
            if row != expected {
                return Some(Differs::Row(i));
            }
        }
        None
    }
}

/// Whose pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfCopy {
    pub(super) copy: InstanceId,
    /// The other partner.
    pub(super) peer: InstanceId,
    /// The copy is off the fork and not resumed: nothing of it may be touched. [FO-64]
    pub(super) kept: bool,
}

/// How a page differs from the log.
enum Differs {
    /// The page LSN names no record of that log.
    NoSuchRecord,
    /// This row holds something else.
    Row(u32),
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, Log, Rec, ack, page};
    use dbm_core::io::FileKind;

    #[test]
    fn two_contents_at_one_place_of_a_branch_are_found() {
        let mut bench = Bench::new(true);
        let mut log = Log::new();
        let first = log.add((1, 0), &[Rec::Commit(1)]);
        let mut other = log.fork_after(&first);
        let (x, y) = (log.add((1, 0), &[Rec::Commit(2)]), other.add((1, 0), &[Rec::Commit(3)]));
        for (i, block) in [(A, &first), (B, &first), (A, &x), (B, &y)] {
            bench.log(i, block);
        }
        assert_eq!(bench.rules(), [("logs", "P-10")]);
    }

    #[test]
    fn a_new_branch_at_that_place_is_in_order() {
        let mut bench = Bench::new(true);
        let mut log = Log::new();
        let first = log.add((1, 0), &[Rec::Commit(1)]);
        let mut other = log.fork_after(&first);
        let (x, y) = (log.add((1, 0), &[Rec::Commit(2)]), other.add((1, 1), &[Rec::Commit(3)]));
        for (i, block) in [(A, &first), (B, &first), (A, &x), (B, &y)] {
            bench.log(i, block);
        }
        assert_eq!(bench.rules(), []);
    }

    /// [P-11]
    #[test]
    fn an_acknowledgement_beyond_the_durable_log_is_found() {
        let mut bench = Bench::new(true);
        let mut log = Log::new();
        let (x, y) = (log.add((1, 0), &[Rec::Commit(1)]), log.add((1, 0), &[Rec::Commit(2)]));
        bench.log(A, &x);
        bench.log(A, &y);
        bench.log(B, &x);
        bench.send(B, A, &ack(x.end(), 1, 0));
        assert_eq!(bench.rules(), []);
        bench.send(B, A, &ack(y.end(), 1, 0));
        assert_eq!(bench.rules(), [("logs", "P-11")]);
    }

    /// [P-13]
    #[test]
    fn log_that_the_mirror_lacks_is_kept() {
        let mut bench = Bench::synchronised();
        let mut log = Log::new();
        let (x, y) = (log.add((1, 0), &[Rec::Commit(1)]), log.add((1, 0), &[Rec::Commit(2)]));
        bench.log(A, &x);
        bench.log(A, &y);
        bench.log(B, &x);
        bench.boot(A, x.end());
        assert_eq!(bench.rules(), []);
        bench.boot(B, y.end());
        assert_eq!(bench.rules(), [], "only the owner's log is waited for");
        bench.boot(A, y.end());
        assert_eq!(bench.rules(), [("logs", "P-13")]);
    }

    /// [P-12]
    #[test]
    fn a_page_that_missed_a_record_is_found() {
        let mut bench = Bench::new(true);
        let mut log = Log::new();
        let x = log.add((1, 0), &[Rec::Update(1, 3, b"one"), Rec::Update(1, 3, b"two"), Rec::Commit(1)]);
        bench.log(A, &x);
        bench.durable(A, FileKind::Data, 0, &page(0, x.at(0), 3, b"one"));
        bench.durable(A, FileKind::Data, 0, &page(0, x.at(1), 3, b"two"));
        assert_eq!(bench.rules(), []);
        bench.durable(A, FileKind::Data, 0, &page(0, x.at(1), 3, b"one"));
        assert_eq!(bench.rules(), [("logs", "P-12")]);
    }
}
