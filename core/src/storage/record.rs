//! Log records and their bytes. Layout in `docs/storage-format.md`.
//!
//! A record borrows its images, so that neither appending nor redoing one allocates for the codec.

use crate::types::{Key, Lsn, TxnId, Value};

/// Longest record in bytes: an update with two images of full length. With a block's header it fits a sector.
pub const RECORD_BYTES_MAX: usize = 9 + 4 + 2 * (1 + Value::MAX);

/// Length byte of a row that does not exist.
const ABSENT: u8 = 0xFF;

/// A row's content in a record or page; `None` is an absent row.
pub type Image<'a> = Option<&'a [u8]>;

/// One log record. [OQ-45]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Record<'a> {
    /// The first record of a transaction, logged with its first change.
    Begin {
        /// The transaction.
        txn: TxnId,
    },
    /// A change of a row, with the whole row before and after.
    Update {
        /// The transaction.
        txn: TxnId,
        /// The row.
        key: Key,
        /// The row before.
        before: Image<'a>,
        /// The row after.
        after: Image<'a>,
    },
    /// What undoing one update wrote. It is never undone itself.
    Compensate {
        /// The transaction.
        txn: TxnId,
        /// The row.
        key: Key,
        /// The row after, which is the row before the update undone.
        after: Image<'a>,
        /// The update of this transaction to undo next; [`Lsn::ZERO`] when none is left.
        undo_next: Lsn,
    },
    /// The transaction is committed.
    Commit {
        /// The transaction.
        txn: TxnId,
    },
    /// The transaction is rolled back in full.
    Abort {
        /// The transaction.
        txn: TxnId,
    },
    /// The pages hold everything below the start of this checkpoint. [S-48]
    Checkpoint {
        /// Where redo and undo begin when recovery starts from this checkpoint.
        min_lsn: Lsn,
    },
}

impl<'a> Record<'a> {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, txn) = match self {
            Record::Begin { txn } => (1, txn.0),
            Record::Update { txn, .. } => (2, txn.0),
            Record::Compensate { txn, .. } => (3, txn.0),
            Record::Commit { txn } => (4, txn.0),
            Record::Abort { txn } => (5, txn.0),
            Record::Checkpoint { .. } => (6, 0),
        };
        out.push(kind);
        out.extend_from_slice(&txn.to_le_bytes());
        match self {
            Record::Begin { .. } | Record::Commit { .. } | Record::Abort { .. } => {}
            Record::Update { key, before, after, .. } => {
                out.extend_from_slice(&key.0.to_le_bytes());
                put_image(out, *before);
                put_image(out, *after);
            }
            Record::Compensate { key, after, undo_next, .. } => {
                out.extend_from_slice(&key.0.to_le_bytes());
                put_image(out, *after);
                out.extend_from_slice(&undo_next.raw().to_le_bytes());
            }
            Record::Checkpoint { min_lsn } => out.extend_from_slice(&min_lsn.raw().to_le_bytes()),
        }
    }

    /// The length [`Record::encode`] appends.
    pub fn encoded_bytes(&self) -> usize {
        let image = |i: &Image<'_>| 1 + i.map_or(0, <[u8]>::len);
        9 + match self {
            Record::Begin { .. } | Record::Commit { .. } | Record::Abort { .. } => 0,
            Record::Update { before, after, .. } => 4 + image(before) + image(after),
            Record::Compensate { after, .. } => 4 + image(after) + 8,
            Record::Checkpoint { .. } => 8,
        }
    }

    /// Takes one record off the front of `bytes`; `None` when they hold no record.
    pub fn decode(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
        let kind = *take(bytes, 1)?.first()?;
        let txn = TxnId(take_u64(bytes)?);
        Some(match kind {
            1 => Record::Begin { txn },
            2 => {
                let key = Key(take_u32(bytes)?);
                let before = take_image(bytes)?;
                Record::Update { txn, key, before, after: take_image(bytes)? }
            }
            3 => {
                let key = Key(take_u32(bytes)?);
                let after = take_image(bytes)?;
                Record::Compensate { txn, key, after, undo_next: Lsn::from_raw(take_u64(bytes)?) }
            }
            4 => Record::Commit { txn },
            5 => Record::Abort { txn },
            6 => Record::Checkpoint { min_lsn: Lsn::from_raw(take_u64(bytes)?) },
            _ => return None,
        })
    }

    /// The row the record changes, and what it becomes.
    pub fn change(&self) -> Option<(Key, Image<'a>)> {
        match self {
            Record::Update { key, after, .. } | Record::Compensate { key, after, .. } => Some((*key, *after)),
            Record::Begin { .. }
            | Record::Commit { .. }
            | Record::Abort { .. }
            | Record::Checkpoint { .. } => None,
        }
    }
}

/// Appends a row: length byte, bytes.
pub(super) fn put_image(out: &mut Vec<u8>, image: Image<'_>) {
    match image {
        None => out.push(ABSENT),
        Some(bytes) => {
            assert!(bytes.len() <= Value::MAX, "a row longer than its place");
            out.push(bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
}

/// Takes a row off the front; `None` when there is none, `Some(None)` for an absent row.
pub(super) fn take_image<'a>(bytes: &mut &'a [u8]) -> Option<Image<'a>> {
    match *take(bytes, 1)?.first()? {
        ABSENT => Some(None),
        n if usize::from(n) <= Value::MAX => Some(Some(take(bytes, n.into())?)),
        _ => None,
    }
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(n)?;
    *bytes = tail;
    Some(head)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().expect("slice of four bytes")))
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().expect("slice of eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_survives_the_codec() {
        let txn = TxnId(7);
        let long = [9; Value::MAX];
        let records = [
            Record::Begin { txn },
            Record::Update { txn, key: Key(3), before: None, after: Some(b"") },
            Record::Update { txn, key: Key(3), before: Some(&long), after: Some(&long) },
            Record::Compensate { txn, key: Key(3), after: Some(b"x"), undo_next: Lsn::new(1, 2, 3) },
            Record::Commit { txn },
            Record::Abort { txn },
            Record::Checkpoint { min_lsn: Lsn::new(4, 5, 6) },
        ];
        let mut bytes = Vec::new();
        for record in &records {
            let from = bytes.len();
            record.encode(&mut bytes);
            assert_eq!(bytes.len() - from, record.encoded_bytes());
            assert!(record.encoded_bytes() <= RECORD_BYTES_MAX);
        }
        let mut rest = &bytes[..];
        for record in records {
            assert_eq!(Record::decode(&mut rest), Some(record));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn bytes_that_are_no_record_decode_to_nothing() {
        for bytes in [&b""[..], &[0; 20], &[2, 0, 0], &[2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 200, 0]] {
            assert_eq!(Record::decode(&mut &bytes[..]), None);
        }
    }
}
