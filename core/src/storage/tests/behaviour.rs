//! Single behaviours, each by its rule.

use super::disk::{Dice, Disk};
use super::node::{Node, SMALL, assert_same_pages, branch, everything};
use crate::io::Op;
use crate::storage::*;
use crate::types::*;

fn write(key: u32, byte: u8) -> Op {
    Op::Write(Key(key), Value(vec![byte; 20]))
}

/// Commits one row after the other, each flushed by itself.
fn fill(node: &mut Node, txns: std::ops::Range<u64>) {
    for txn in txns {
        node.transact(txn, &[write(txn as u32 % 40, txn as u8)]);
        node.settle();
    }
}

fn value(node: &Node, key: u32) -> Option<Value> {
    node.copy.value(Key(key)).cloned()
}

/// [P-1]
#[test]
fn a_commit_is_hardened_by_the_completion_of_its_write() {
    let mut node = Node::principal(SMALL);
    let Committing::Logged(lsn) = node.transact(1, &[write(1, 1)]) else { panic!("it changed something") };
    assert!(node.copy.hardened() <= lsn);
    node.complete(1);
    assert!(node.copy.hardened() > lsn);
    assert_eq!(node.events, [CopyEvent::Hardened]);
}

/// Group commit: what is appended while a write is under way leaves with the next one.
#[test]
fn records_gather_while_the_log_is_written() {
    let mut node = Node::principal(SMALL);
    for txn in 1..16 {
        node.transact(txn, &[write(txn as u32, 1)]);
    }
    node.complete(1);
    node.complete(1);
    assert!(node.disk.is_idle());
    assert!(node.copy.is_flushed());
    assert_eq!(node.copy.blocks_after(Lsn::ZERO).count(), 3);
    assert_eq!(node.copy.unsent_bytes(Lsn::new(1, 1, 0)), 512 + 1024);
}

#[test]
fn a_transaction_that_only_reads_logs_nothing() {
    let mut node = Node::principal(SMALL);
    assert_eq!(node.transact(1, &[Op::Read(Key(3))]), Committing::ReadOnly);
    node.settle();
    assert_eq!(node.copy.end_of_log(), Lsn::new(1, 1, 0));
}

#[test]
fn operations_answer_what_the_row_held() {
    let mut node = Node::principal(SMALL);
    let txn = TxnId(1);
    node.copy.begin(txn);
    assert_eq!(node.copy.execute(txn, &Op::Add(Key(3), 4)), Executed::Done(Value::number(3)));
    assert_eq!(node.copy.execute(txn, &Op::Read(Key(3))), Executed::Done(Value::number(7)));
    assert_eq!(node.copy.execute(txn, &Op::Append(Key(1), 9)), Executed::Done(Value::default()));
    for element in 0..30 {
        node.copy.execute(txn, &Op::Append(Key(1), element));
    }
    let list: Vec<u32> = value(&node, 1).unwrap().as_list().collect();
    assert_eq!(list, (2..30).collect::<Vec<_>>());
}

/// A waiting operation is named by the release and executed again.
#[test]
fn a_waiting_transaction_goes_on_after_the_release() {
    let mut node = Node::principal(SMALL);
    let (a, b) = (TxnId(1), TxnId(2));
    node.copy.begin(a);
    node.copy.begin(b);
    node.copy.execute(a, &write(1, 1));
    assert_eq!(node.copy.execute(b, &write(1, 2)), Executed::Wait);
    node.copy.commit(a);
    assert_eq!(node.copy.release(a), [b]);
    assert_eq!(node.copy.execute(b, &write(1, 2)), Executed::Done(Value(vec![1; 20])));
}

/// Deadlock: the requester is the victim; its rollback restores the rows. (1205)
#[test]
fn a_deadlock_victim_is_rolled_back() {
    let mut node = Node::principal(SMALL);
    let (a, b) = (TxnId(1), TxnId(2));
    node.copy.begin(a);
    node.copy.begin(b);
    node.copy.execute(a, &write(1, 1));
    node.copy.execute(b, &write(2, 2));
    assert_eq!(node.copy.execute(a, &Op::Read(Key(2))), Executed::Wait);
    assert_eq!(node.copy.execute(b, &Op::Read(Key(1))), Executed::Deadlock);
    node.copy.rollback(b);
    assert_eq!(node.copy.release(b), [a]);
    assert_eq!(value(&node, 2), None);
}

/// The ring wraps many times; log below the truncation point goes. [S-48]
#[test]
fn the_log_is_reused_round_after_round() {
    let mut node = Node::principal(SMALL);
    for round in 0..20 {
        node.copy.set_mirror_hardened(everything());
        fill(&mut node, round * 50 + 1..round * 50 + 51);
    }
    assert!(node.copy.end_of_log().vlf() > 3 * SMALL.vlf_count);
    assert!(node.copy.log_start().vlf() + SMALL.vlf_count > node.copy.end_of_log().vlf());
    let rows = node.rows();
    node.crash(3);
    assert_eq!(node.rows(), rows);
}

/// What the mirror lacks is never truncated: writers get 9002, rollbacks and reads go on; when the mirror has caught
/// up, so do writers. [P-13, INV-8, OQ-32]
#[test]
fn the_log_fills_while_the_mirror_is_away() {
    let mut node = Node::principal(SMALL);
    node.copy.set_mirror_hardened(None);
    node.copy.begin(TxnId(1));
    node.copy.execute(TxnId(1), &write(39, 1));
    let mut txn = 2;
    let full = loop {
        node.copy.begin(TxnId(txn));
        if node.copy.execute(TxnId(txn), &write(txn as u32 % 30, 1)) == Executed::LogFull {
            break TxnId(txn);
        }
        node.act(|copy, _| copy.commit(TxnId(txn)));
        node.settle();
        node.copy.release(TxnId(txn));
        txn += 1;
    };
    assert!(txn > 20);
    node.copy.rollback(full);
    node.copy.release(full);
    node.copy.rollback(TxnId(1));
    node.copy.release(TxnId(1));
    assert_eq!(node.transact(1000, &[Op::Read(Key(39))]), Committing::ReadOnly);
    node.settle();
    assert_eq!(node.copy.log_start(), Lsn::new(1, 0, 0));
    assert!(node.copy.log_waits_for_mirror());

    for _ in 0..3 {
        node.copy.set_mirror_hardened(Some(node.copy.hardened()));
        node.settle();
    }
    assert!(node.copy.log_start().vlf() > 1);
    fill(&mut node, 2000..2010);
}

/// A transaction that fills the whole log alone can be rolled back, and the log is truncated after it. [P-13]
#[test]
fn a_rollback_always_has_room() {
    let mut node = Node::principal(SMALL);
    for round in 1..10 {
        node.copy.set_mirror_hardened(everything());
        let txn = TxnId(round);
        node.copy.begin(txn);
        let mut changes = 0;
        while let Executed::Done(_) = node.act(|copy, _| copy.execute(txn, &write(changes % 40, round as u8)))
        {
            node.settle();
            changes += 1;
        }
        assert!(changes > 15, "round {round}: only {changes} changes");
        node.act(|copy, _| copy.rollback(txn));
        node.copy.release(txn);
        node.settle();
        node.copy.check();
    }
    assert_eq!(node.rows(), super::node::initial_rows());
}

/// A page torn by a crash in the middle of a checkpoint is restored, and restored again when the next crash comes
/// before it is whole on disk. [P-11]
#[test]
fn a_torn_page_is_restored_from_the_double_write_file() {
    let mut node = Node::principal(SMALL);
    fill(&mut node, 1..31);
    node.act(|copy, _| copy.checkpoint_now());
    node.complete(3);
    let rows = node.rows();
    let mut image = node.image();
    let data = node.disk.crash(&mut Dice(0)).data;
    image.data = data;
    image.data[3 * 1024 + 600..3 * 1024 + 700].fill(0xEE);
    for _ in 0..2 {
        node.disk = Disk::new(image.clone());
        let report = node.recover(image.clone()).unwrap();
        assert_eq!(report.repaired, [PageId(3)]);
        assert_eq!(node.rows(), rows);
        node.act(|_, _| ());
        image.double_write = node.disk.crash(&mut Dice(0)).double_write;
    }
}

/// Without an image a corrupt page is an error, unless it will be fetched anyway. [OQ-21]
#[test]
fn a_corrupt_page_stops_recovery_unless_it_is_fetched() {
    let mut node = Node::principal(SMALL);
    fill(&mut node, 1..3);
    let mut image = node.image();
    image.data[20] ^= 1;
    assert_eq!(node.recover(image.clone()), Err(RecoveryError::PageCorrupt(PageId(0))));
    node.refetch.insert(PageId(0));
    assert!(node.recover(image).is_ok());
}

/// [OQ-57, P-11]
#[test]
fn the_log_ends_at_a_damaged_block() {
    let mut node = Node::principal(SMALL);
    fill(&mut node, 1..6);
    let at = 3 * 512 + SMALL.vlf_bytes as usize;
    let mut image = node.image();
    image.log[at + 100] ^= 1;
    let report = node.recover(image.clone()).unwrap();
    assert_eq!((report.end, report.stop), (Lsn::new(1, 3, 0), Stop::Damaged));
    assert_eq!(report.unfinished, 0);
    assert_eq!(value(&node, 2), Some(Value(vec![2; 20])));
    assert_eq!(value(&node, 3), Some(Value::number(3)));
    image.boot[512 + 24] ^= 1;
    assert_eq!(node.recover(image), Err(RecoveryError::NoBoot));
}

/// Damage before the checkpoint is data loss and said so. [P-11]
#[test]
fn damage_before_the_checkpoint_record_is_an_error() {
    let mut node = Node::principal(SMALL);
    fill(&mut node, 1..6);
    node.act(|copy, _| copy.checkpoint_now());
    node.settle();
    let mut image = node.image();
    image.log[3 * 512 + SMALL.vlf_bytes as usize] ^= 1;
    assert!(matches!(node.recover(image), Err(RecoveryError::LogDamaged { .. })));
}

/// Blocks that an older life wrote beyond the recovered end are dead. [OQ-68, F3]
#[test]
fn a_block_of_an_older_branch_is_not_taken() {
    let mut node = Node::principal(SMALL);
    fill(&mut node, 1..4);
    let whole = node.image();
    let mut image = whole.clone();
    image.log[3 * 512 + SMALL.vlf_bytes as usize + 8] ^= 1;
    let end = node.recover(image).unwrap().end;
    node.open_branch(branch(1, 2));
    // The old block is back, as if its sectors had only been late.
    let report = node.recover(whole).unwrap();
    assert_eq!((report.end, report.stop), (end, Stop::DeadBranch(branch(1, 1))));
}

/// An unfinished transaction's rows stay locked until it is undone. [FO-5]
#[test]
fn a_promoted_mirror_locks_what_it_has_to_undo() {
    let mut principal = Node::principal(SMALL);
    let mut mirror = Node::new(SMALL);
    mirror.copy.set_branches(principal.branches.clone());
    principal.transact(1, &[write(1, 1)]);
    principal.copy.begin(TxnId(2));
    principal.copy.execute(TxnId(2), &write(3, 2));
    principal.settle();
    let log: Vec<u8> =
        principal.copy.blocks_after(Lsn::new(1, 1, 0)).flat_map(|b| b.bytes.to_vec()).collect();
    mirror.act(|copy, out| copy.receive(&log, out)).unwrap();
    assert_eq!(mirror.act(|copy, _| copy.redo(1000)).bytes, 0);
    mirror.settle();
    assert!(!mirror.act(|copy, _| copy.redo(10_000)).more);
    assert_same_pages(&principal.copy, &mirror.copy);
    mirror.copy.promote();
    mirror.open_branch(branch(2, 0));
    mirror.copy.begin(TxnId(3));
    assert_eq!(mirror.copy.execute(TxnId(3), &Op::Read(Key(1))), Executed::Done(Value(vec![1; 20])));
    assert_eq!(mirror.copy.execute(TxnId(3), &Op::Read(Key(3))), Executed::Wait);
    let undo = mirror.copy.undo_some(10);
    assert_eq!(undo, Undo { finished: vec![TxnId(2)], more: false });
    assert_eq!(mirror.copy.release(TxnId(2)), [TxnId(3)]);
    assert_eq!(mirror.copy.execute(TxnId(3), &Op::Read(Key(3))), Executed::Done(Value::number(3)));
}

/// Every fault of received log is told apart, and none is taken. [P-10, P-14, OQ-68]
#[test]
fn received_log_is_verified() {
    let mut principal = Node::principal(SMALL);
    fill(&mut principal, 1..4);
    let blocks: Vec<Block> = principal.copy.blocks_after(Lsn::new(1, 1, 0)).cloned().collect();
    let mut mirror = Node::new(SMALL);
    let unknown = mirror.act(|copy, out| copy.receive(&blocks[0].bytes, out));
    assert_eq!(unknown, Err(ReceiveError::Branch { lsn: Lsn::new(1, 1, 0), found: branch(1, 1) }));
    mirror.copy.set_branches(principal.branches.clone());
    let gap = mirror.act(|copy, out| copy.receive(&blocks[1].bytes, out));
    assert!(matches!(gap, Err(ReceiveError::Gap { .. })));
    let mut torn = blocks[0].bytes.to_vec();
    torn[60] ^= 1;
    assert!(matches!(mirror.act(|copy, out| copy.receive(&torn, out)), Err(ReceiveError::Block(_))));
    for _ in 0..2 {
        assert_eq!(mirror.act(|copy, out| copy.receive(&blocks[0].bytes, out)), Ok(()));
    }
    assert_eq!(mirror.copy.end_of_log(), blocks[0].end);

    let mut other = Node::principal(SMALL);
    other.transact(9, &[write(9, 9)]);
    other.settle();
    let foreign = other.copy.blocks_after(Lsn::new(1, 1, 0)).next().unwrap().bytes.clone();
    let diverged = mirror.act(|copy, out| copy.receive(&foreign, out));
    assert_eq!(diverged, Err(ReceiveError::Diverged(Lsn::new(1, 1, 0))));
}

/// The planted bug takes what the checksum would have refused.
#[test]
#[cfg(feature = "planted-bugs")]
fn without_checksums_recovery_takes_a_damaged_block() {
    let mut node = Node::principal(SMALL);
    fill(&mut node, 1..4);
    let mut image = node.image();
    image.log[3 * 512 + SMALL.vlf_bytes as usize + 120] ^= 1;
    let bug = Some(crate::bugs::Bug::NoRecoveryChecksum);
    let branches = node.branches.clone();
    let (_, report) = Copy::recover(SessionId(1), image, SMALL, branches, &Default::default(), bug).unwrap();
    assert_eq!(report.end, Lsn::new(1, 4, 0));
}

/// Equal content has an equal fingerprint; a changed row another one.
#[test]
fn the_fingerprint_follows_the_content() {
    let (mut a, mut b) = (Node::principal(SMALL), Node::principal(SMALL));
    fill(&mut a, 1..9);
    fill(&mut b, 1..9);
    assert_eq!(a.copy.fingerprint(), b.copy.fingerprint());
    b.transact(20, &[write(1, 77)]);
    assert_ne!(a.copy.fingerprint(), b.copy.fingerprint());
}

/// A failed device stops the copy.
#[test]
fn nothing_is_written_after_a_failure() {
    let mut node = Node::principal(SMALL);
    node.transact(1, &[write(1, 1)]);
    let serial = node.disk.complete(1).unwrap();
    let failed = node.act(|copy, out| copy.on_disk(serial, crate::io::DiskResult::Failed, out));
    assert_eq!(failed, CopyEvent::Failed(super::super::Device::Log));
    node.transact(2, &[write(2, 1)]);
    assert!(node.disk.is_idle());
}
