//! Storage of one copy: log, pages, locks, checkpoint, recovery, redo, undo. It knows no session and no peer; what it
//! wants from the disk leaves as effects, completions come back by [`Copy::on_disk`].
//!
//! Life of a change:
//!
//! ```text
//!   execute -> record in the open block -> sealed -> written through -> hardened -> commit may be answered
//!                   |                        |
//!                   v                        +-> blocks_after -> mirror: receive -> hardened -> redo
//!             page in memory  -> checkpoint: double write -> in place -> Checkpoint record -> boot record
//! ```
//!
//! Rules: P-10 … P-16, S-48, INV-8, OQ-21, OQ-57, OQ-58, OQ-68. Bytes on disk: `docs/storage-format.md`.

mod block;
mod boot;
mod branches;
mod checkpoint;
mod copy;
mod double_write;
mod execute;
mod lock;
mod log;
mod mirror;
mod page;
mod reconcile;
mod record;
mod recovery;
mod ring;
mod tickets;
mod txn;

#[cfg(test)]
mod tests;

pub use block::{BLOCK_BYTES_MAX, Block, BlockError, HEADER_BYTES, Link, Records, Verify, parse};
pub use boot::Boot;
pub use branches::BranchTable;
pub use copy::{Copy, CopyEvent, Device};
pub use execute::{Committing, Executed, Undo, changed};
pub use lock::{Granted, Locks, Mode};
pub use mirror::{ReceiveError, Redone};
pub use page::{PAGE_BYTES, Page, PageError, ROWS, page_of};
pub use record::{Image, Record};
pub use recovery::{CopyImage, RecoveryError, RecoveryReport, Stop};
