//! Files that are not as they were written: noticed, never served, and never a panic. [P-11, P-15, FL-31]

use super::node::{Node, Rows, SMALL, branch};
use crate::io::{Op, SECTOR_BYTES};
use crate::storage::*;
use crate::types::*;
use proptest::prelude::*;

/// A principal with so many transactions behind it, the last of which may not be on the pages, and the rows after each.
fn lived(transactions: u64, checkpoint_every: u64) -> (Node, Vec<Rows>) {
    let mut node = Node::principal(SMALL);
    node.copy.set_mirror_hardened(super::node::everything());
    let mut history = vec![node.rows()];
    for txn in 1..=transactions {
        let key = |n: u64| Key((txn * n % 40) as u32);
        let ops =
            [Op::Write(key(7), Value::number(txn as i64)), Op::Write(key(3), Value(vec![txn as u8; 40]))];
        node.transact(txn, &ops);
        if txn % checkpoint_every == 0 {
            node.copy.checkpoint_now();
        }
        node.settle();
        history.push(node.rows());
    }
    (node, history)
}

fn file(image: &mut CopyImage, file: usize) -> &mut Vec<u8> {
    match file {
        0 => &mut image.boot,
        1 => &mut image.log,
        2 => &mut image.data,
        _ => &mut image.double_write,
    }
}

/// The sectors that hold anything.
fn used(bytes: &[u8]) -> Vec<usize> {
    let sectors = bytes.chunks(SECTOR_BYTES).enumerate();
    sectors.filter(|(_, sector)| sector.iter().any(|b| *b != 0)).map(|(i, _)| i * SECTOR_BYTES).collect()
}

/// What a reader finds once everything unfinished is undone.
fn rows_after(mut node: Node) -> Rows {
    node.open_branch(branch(1, 2));
    node.undo();
    node.rows()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// One rotten bit anywhere: the copy does not come up, or holds what it held; of the log it may have lost the end,
    /// which looks like one that was never written.
    #[test]
    fn a_rotten_bit_is_noticed_or_does_not_matter(
        transactions in 1..60u64, every in 3..20u64, which in 0..4usize, sector: prop::sample::Index,
        bit in 0..SECTOR_BYTES * 8
    ) {
        let (mut node, history) = lived(transactions, every);
        let mut image = node.image();
        let bytes = file(&mut image, which);
        let places = used(bytes);
        prop_assume!(!places.is_empty());
        let at = places[sector.index(places.len())] + bit / 8;
        prop_assume!(at < bytes.len());
        bytes[at] ^= 1 << (bit % 8);
        if node.recover(image).is_ok() {
            let rows = rows_after(node);
            match which {
                1 => prop_assert!(history.contains(&rows), "a state that there once was"),
                _ => prop_assert_eq!(Some(&rows), history.last()),
            }
        }
    }

    /// Whatever the files hold, recovery answers.
    #[test]
    fn recovery_never_panics(
        transactions in 1..40u64, every in 3..20u64,
        damage in prop::collection::vec((0..4usize, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8, any::<u64>()), 1..6)
    ) {
        let (mut node, _) = lived(transactions, every);
        let mut image = node.image();
        for (which, from, to, how, noise) in damage {
            let bytes = file(&mut image, which);
            if bytes.is_empty() {
                continue;
            }
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            match how {
                0 => bytes[from] ^= noise as u8,
                1 => bytes.truncate(from),
                // A sector, or noise, in the place of another.
                2 => {
                    let from = from / SECTOR_BYTES * SECTOR_BYTES;
                    let length = SECTOR_BYTES.min(bytes.len() - from);
                    let sector = bytes[from..from + length].to_vec();
                    let to = (to / SECTOR_BYTES * SECTOR_BYTES).min(bytes.len() - length);
                    bytes[to..to + length].copy_from_slice(&sector);
                }
                _ => {
                    let end = bytes.len().min(from + 64);
                    bytes[from..end].iter_mut().zip(noise.to_le_bytes().into_iter().cycle()).for_each(|(b, n)| *b = n);
                }
            }
        }
        if node.recover(image).is_ok() {
            rows_after(node);
        }
    }
}

/// A page that was written, and the log that it needs is gone: noticed by its LSN. [P-11]
#[test]
fn a_page_ahead_of_the_log_is_noticed() {
    let (mut node, _) = lived(6, 100);
    // The pages go to disk, and the log loses its last block before any checkpoint names it.
    let last = node.copy.end_of_log();
    node.act(|copy, _| copy.checkpoint_now());
    while node.disk.complete(2).is_none() {
        (0..4).filter(|file| *file != 2).for_each(|file| node.complete(file));
    }
    let mut image = node.image();
    let offset = |lsn: Lsn| super::super::ring::Ring::new(&SMALL).offset(lsn) as usize;
    image.log[offset(last) - SECTOR_BYTES..].fill(0);
    let result = node.recover(image);
    assert!(matches!(result, Err(RecoveryError::PageBeyondLog { .. })), "{result:?}");
}

/// A boot record of which only an older one is left, and the log has gone another way since.
#[test]
fn a_checkpoint_that_is_not_in_the_log_is_noticed() {
    let (mut node, _) = lived(30, 10);
    let mut image = node.image();
    let boot = super::super::boot::Boot::newest(&image.boot).unwrap();
    let wrong = super::super::boot::Boot { sequence: boot.sequence + 1, min_lsn: boot.log_start, ..boot };
    let offset = wrong.offset() as usize;
    image.boot[offset..offset + SECTOR_BYTES].copy_from_slice(&wrong.encode());
    assert_eq!(node.recover(image), Err(RecoveryError::NoCheckpoint(boot.checkpoint)));
}
