//! Rejoining: how a mirror's log is brought onto the principal's. [FO-40 … FO-46, OQ-21, OQ-68]
//!
//! ```text
//! START ─► common prefix of the two logs
//!            │ own log ends there                       │ own log goes beyond
//!            │                                          ▼
//!            │                     list the pages touched beyond (durable) ─► request them ─► install
//!            │                                          ▼
//!            │                     cut the log (boot rewound first)
//!            ▼                                          ▼
//!          the principal's branch table, durable ─► LOG_REQUEST ─► receive, redo
//! ```
//! The list stays in the record until the copy is consistent again and its pages are on the disk, so that a crash
//! anywhere starts the undo again from the list.

use super::channel::{Common, Cx};
use super::mirror::Mirror;
use crate::bugs::Bug;
use crate::message::Message;
use crate::record::{Undo, Version};
use crate::storage::{BranchTable, Copy};
use crate::types::{InstanceId, Lsn, PageId};
use std::collections::BTreeSet;

/// Pages asked for in one message, and sent without waiting.
const PAGES_PER_REQUEST: usize = 64;

/// Progress of a rejoining mirror.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rejoin {
    /// Not connected to a principal.
    Idle,
    /// Connected; own log writes in flight have to land before the logs can be compared.
    Settling,
    /// The list of pages is on its way to the disk; then they are requested.
    Listing(Version, Lsn),
    /// Pages are on their way.
    Fetching {
        /// Not received yet.
        missing: BTreeSet<PageId>,
        /// Where the log will be cut.
        cut: Lsn,
    },
    /// The boot record is being rewound.
    Cutting,
    /// The principal's branch table is on its way to the disk.
    Adopting(Version),
    /// Log is being received.
    Receiving,
    /// The two logs have nothing in common: the session cannot go on: error 1412.
    Unrelated,
}

impl Mirror {
    /// One step of the way, whenever something it waits for may have happened.
    pub fn reconcile(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        principal: InstanceId,
    ) {
        let paused = common.shared().suspended.value && !cx.bug(Bug::UndoWithoutResume);
        if !common.connected(principal) || paused || self.claiming() {
            return;
        }
        match &self.rejoin {
            Rejoin::Settling => {
                if copy.hardened() == copy.end_of_log() {
                    self.compare(cx, common, copy, principal);
                }
            }
            &Rejoin::Listing(version, cut) => {
                if common.keeper.is_durable(version) {
                    let pages = common.keeper.record().undo.clone().map(|u| u.pages).unwrap_or_default();
                    cx.step(common.session, "undo.pages");
                    for chunk in pages.chunks(PAGES_PER_REQUEST) {
                        common.send(cx, principal, &Message::PageRequest { pages: chunk.to_vec() });
                    }
                    self.rejoin = Rejoin::Fetching { missing: pages.into_iter().collect(), cut };
                    self.reconcile(cx, common, copy, principal);
                }
            }
            &Rejoin::Fetching { ref missing, cut } => {
                if missing.is_empty() {
                    self.cut(cx, common, copy, principal, cut);
                }
            }
            &Rejoin::Adopting(version) => {
                if common.keeper.is_durable(version) {
                    let from = copy.end_of_log();
                    self.rejoin = Rejoin::Receiving;
                    self.stream_from(from);
                    common.send(cx, principal, &Message::LogRequest { from });
                }
            }
            Rejoin::Idle | Rejoin::Cutting | Rejoin::Receiving | Rejoin::Unrelated => {}
        }
    }

    /// Compares the logs and chooses the way. [FO-41 … FO-43]
    fn compare(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy, principal: InstanceId) {
        let Some(theirs) = self.their_log.clone() else { return };
        let end = copy.end_of_log();
        let Some(mut cut) = BranchTable::common_prefix(copy.branches(), end, &theirs.branches, theirs.end)
        else {
            cx.message(common.session, 1412);
            self.rejoin = Rejoin::Unrelated;
            return;
        };
        if cx.bug(Bug::CutKeepsABlock) {
            cut = copy.blocks_after(cut).next().map_or(cut, |block| block.end);
        }
        let listed = common.keeper.record().undo.clone();
        if cut == end && listed.is_none() || cx.bug(Bug::NoUndo) {
            self.adopt_branches(cx, common, copy, principal);
            return;
        }
        cx.step(common.session, "undo.begin");
        let mut pages: BTreeSet<PageId> = copy.pages_touched_from(cut);
        if cx.bug(Bug::ResumeKeepsFork) && common.keeper.record().off_fork || cx.bug(Bug::UndoFetchesNothing)
        {
            pages.clear();
        }
        if cx.bug(Bug::UndoMissesAPage) {
            pages.pop_last();
        }
        let mut target = Lsn::ZERO;
        if let Some(undo) = listed {
            pages.extend(undo.pages);
            target = undo.target;
        }
        let undo = Undo { pages: pages.into_iter().collect(), target };
        let version = common.keeper.change(cx.out, |r| r.undo = Some(undo));
        self.rejoin = Rejoin::Listing(version, cut);
    }

    /// One page of the principal. False: it is damaged, and breaks the link.
    pub fn page(
        &mut self,
        copy: &mut Copy,
        common: &mut Common,
        cx: &mut Cx<'_>,
        page: PageId,
        image: &[u8],
    ) -> bool {
        let Rejoin::Fetching { missing, .. } = &mut self.rejoin else { return true };
        if !missing.remove(&page) {
            return true;
        }
        let Ok(lsn) = copy.install_page(page, image) else { return false };
        if common.keeper.record().undo.as_ref().is_some_and(|u| lsn > u.target) {
            common.keeper.change(cx.out, |r| {
                if let Some(undo) = &mut r.undo {
                    undo.target = lsn;
                }
            });
        }
        true
    }

    fn cut(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        principal: InstanceId,
        cut: Lsn,
    ) {
        if cut == copy.end_of_log() {
            self.adopt_branches(cx, common, copy, principal);
            return;
        }
        let theirs = self.their_log.as_ref().expect("compared before").branches.clone();
        self.rejoin = Rejoin::Cutting;
        copy.cut(cut, theirs, cx.out);
    }

    /// The boot record has been rewound: nothing beyond the cut will be read again.
    pub fn cut_done(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy, principal: InstanceId) {
        if self.rejoin == Rejoin::Cutting {
            cx.step(common.session, "undo.done");
            self.adopt_branches(cx, common, copy, principal);
        }
    }

    /// From now on the own log is a prefix of the principal's, and says so.
    fn adopt_branches(
        &mut self,
        cx: &mut Cx<'_>,
        common: &mut Common,
        copy: &mut Copy,
        principal: InstanceId,
    ) {
        let theirs = self.their_log.as_ref().expect("compared before").branches.clone();
        copy.set_branches(theirs);
        let own = copy.branches();
        let record = common.keeper.record();
        let version = if record.branches.as_ref() == Some(own) && !record.off_fork {
            common.keeper.version()
        } else {
            common.keeper.change(cx.out, |r| {
                r.branches = Some(own.clone());
                // Nothing of the old fork is left in the log. [OQ-7]
                r.off_fork = false;
            })
        };
        self.rejoin = Rejoin::Adopting(version);
        self.reconcile(cx, common, copy, principal);
    }

    /// The copy is consistent and its fetched pages are on the disk: the undo is over. [OQ-21]
    pub fn finish_undo(&mut self, cx: &mut Cx<'_>, common: &mut Common, copy: &mut Copy) {
        let Some(undo) = &common.keeper.record().undo else { return };
        if self.rejoin != Rejoin::Receiving || copy.redone() <= undo.target {
            return;
        }
        if copy.installs_durable() {
            common.keeper.change(cx.out, |r| r.undo = None);
        } else if !self.flushing_pages {
            self.flushing_pages = true;
            copy.checkpoint_now();
        }
    }
}
