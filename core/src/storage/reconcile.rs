//! Reconciliation: a copy whose log has diverged goes back to the common prefix. Its pages are fetched from the new
//! principal, its log is cut, and it receives the other's log from there. [OQ-21, OQ-68, FO-43, P-16]

use super::boot::{Boot, Purpose};
use super::branches::BranchTable;
use super::copy::{Copy, Side};
use super::page::{Page, PageError, PageState, page_of};
use super::txn::{Transactions, TxnState};
use crate::io::Effects;
use crate::types::{Lsn, PageId};
use std::collections::BTreeSet;

impl Copy {
    /// The pages changed by own records at or beyond `from`, the open block's included. [OQ-21]
    pub fn pages_touched_from(&self, from: Lsn) -> BTreeSet<PageId> {
        let blocks = self.log.blocks().range(self.log.index(self.log.block_start(from))..);
        let sealed = blocks.flat_map(|b| b.records());
        let open = self.log.open_records().into_iter().flatten();
        let touched = sealed.chain(open).filter(|(lsn, _)| *lsn >= from);
        touched.filter_map(|(_, record)| record.change()).map(|(key, _)| page_of(key)).collect()
    }

    /// A page as it is now, with its page LSN. The caller flushes its log beyond that LSN before it sends the image;
    /// a page never written is empty, with LSN 0.
    pub fn page_image(&self, id: PageId) -> (Lsn, Vec<u8>) {
        let never_written = Page::default();
        let page = self.pages.get(id).unwrap_or(&never_written);
        let mut bytes = Vec::new();
        page.encode(id, &mut bytes);
        (page.lsn, bytes)
    }

    /// Takes another copy's image of a page. It is dirty until a checkpoint, see [`Copy::installs_durable`]. Returns
    /// the page LSN, which redo has to reach before the copy is consistent. [OQ-21, P-15]
    pub fn install_page(&mut self, id: PageId, bytes: &[u8]) -> Result<Lsn, PageError> {
        let page = Page::decode(id, bytes)?;
        let lsn = page.lsn;
        self.pages.install(id, page, PageState::Dirty);
        self.installed.insert(id);
        Ok(lsn)
    }

    /// The principal becomes mirror. The open block is sealed: its records are on the pages, so they must be found by
    /// [`Copy::pages_touched_from`]. Clients' transactions are over; what they logged stays to be undone by the new
    /// principal, whose log says so. Locks are gone, a checkpoint not yet in the log is given up.
    pub fn demote(&mut self) {
        self.log.seal();
        self.redone = self.log.end();
        self.side = Side::Mirror;
        self.follows = false;
        self.txns.abandon();
        self.locks.clear();
        self.abandon_unlogged_checkpoint();
        self.restart_point = self.missed_checkpoint();
        self.checkpoint_requested = false;
        self.log_was_full = false;
    }

    /// The log ends at `at` from now on, a block boundary at or below its end; `branches` is the table of the log
    /// that follows, the new principal's.
    /// The pages touched beyond have been installed already. Before any block is written there, the boot record goes
    /// back below `at`; [`CopyEvent::CutDone`](super::CopyEvent::CutDone) tells when. [P-16, OQ-68]
    pub fn cut(&mut self, at: Lsn, branches: BranchTable, out: &mut Effects) {
        assert!(at >= self.log_start(), "log that may still be cut is kept");
        if self.side == Side::Principal {
            self.demote();
        }
        self.side = Side::Mirror;
        self.follows = true;
        self.abandon_checkpoint();
        self.log.cut(at);
        self.bytes_at_checkpoint = self.bytes_at_checkpoint.min(self.log.total_bytes());
        self.redone = self.redone.min(self.log.end());
        self.checkpoints.retain(|c| c.record < at);
        self.set_branches(branches);
        self.locks.clear();

        let boot = self.boot_below(at);
        self.rebuild_transactions(boot.min_lsn);
        self.boot.put(boot, Purpose::Cut);
        self.restart_point = self.missed_checkpoint();
        self.pump(out);
    }

    /// The newest boot record, or one that names the newest checkpoint below `at`. There always is one, see
    /// `checkpoint.rs` on the truncation point. A record being written counts: the pages hold what it says, and it may
    /// let log go.
    fn boot_below(&self, at: Lsn) -> Boot {
        let boot = *self.boot.newest_issued();
        if boot.checkpoint < at {
            return boot;
        }
        let mark = self.checkpoints.back().expect("a checkpoint below every possible cut is kept");
        Boot { checkpoint: mark.record, min_lsn: mark.min_lsn, ..boot }
    }

    /// The transaction table as of `redone`: every transaction active then began at or beyond `min_lsn`.
    fn rebuild_transactions(&mut self, min_lsn: Lsn) {
        let mut table = Transactions::default();
        let from = self.log.index(self.log.block_start(min_lsn));
        let records = self.log.blocks().range(from..).flat_map(|b| b.records());
        for (lsn, record) in
            records.skip_while(|(lsn, _)| *lsn < min_lsn).take_while(|(lsn, _)| *lsn < self.redone)
        {
            table.follow(lsn, &record, TxnState::Unfinished);
        }
        self.txns = table;
    }
}
