//! Log blocks: what is written, sent and verified as a whole. Layout in `docs/storage-format.md`. [P-10, P-11, OQ-68]

use super::record::Record;
use crate::io::SECTOR_BYTES;
use crate::types::{Branch, Lsn, RoleSequence};
use std::sync::Arc;

/// Bytes of a block's header.
pub const HEADER_BYTES: usize = 48;
/// Longest block, in bytes and padded.
pub const BLOCK_BYTES_MAX: usize = 8192;
/// Longest block in sectors.
pub const BLOCK_SECTORS_MAX: u32 = (BLOCK_BYTES_MAX / SECTOR_BYTES) as u32;

const MAGIC: u32 = u32::from_le_bytes(*b"DBML");

/// A sealed block: its content never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// Where it begins; slot 0.
    pub lsn: Lsn,
    /// Where it ends (exclusive); the next block may begin later, in the next virtual log file.
    pub end: Lsn,
    /// The branch it was written in. [OQ-68]
    pub branch: Branch,
    /// Its checksum, which the next block repeats.
    pub checksum: u32,
    /// Header, records and padding.
    pub bytes: Arc<[u8]>,
}

impl Block {
    /// Its records with their LSNs. Bytes that are no record end the sequence.
    pub fn records(&self) -> Records<'_> {
        let payload = field_u32(&self.bytes, 36) as usize;
        Records { rest: &self.bytes[HEADER_BYTES..HEADER_BYTES + payload], lsn: self.lsn }
    }
}

/// The records of one block.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    lsn: Lsn,
}

impl<'a> Records<'a> {
    /// Records encoded in `rest`, the first at `lsn`.
    pub(super) fn new(rest: &'a [u8], lsn: Lsn) -> Self {
        Records { rest, lsn }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (Lsn, Record<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let record = Record::decode(&mut self.rest)?;
        let lsn = self.lsn;
        self.lsn = Lsn::new(lsn.vlf(), lsn.block(), lsn.slot() + 1);
        Some((lsn, record))
    }
}

/// What a block says about the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Link {
    /// Where the block before begins; [`Lsn::ZERO`] for the first block of all.
    pub lsn: Lsn,
    /// Its checksum.
    pub checksum: u32,
}

/// Why bytes are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// No magic number, or lengths that cannot be.
    #[error("no log block here")]
    NoBlock,
    /// The checksum does not fit the content.
    #[error("checksum mismatch in block {0}")]
    Checksum(Lsn),
    /// The content is not the number of records the header tells.
    #[error("malformed records in block {0}")]
    Records(Lsn),
}

/// How far a block is verified when read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Checksum and records.
    Full,
    /// Only that lengths are possible; for the planted bug.
    Lengths,
}

/// Fills in the header of `buf`, whose first [`HEADER_BYTES`] are reserved and whose records follow, and pads it.
/// `buf` is left empty, with its capacity.
pub(super) fn seal(buf: &mut Vec<u8>, lsn: Lsn, prev: Link, branch: Branch, records: u16) -> Block {
    let payload = (buf.len() - HEADER_BYTES) as u32;
    buf.resize(buf.len().next_multiple_of(SECTOR_BYTES), 0);
    assert!(buf.len() <= BLOCK_BYTES_MAX, "a block longer than its bound");
    put(buf, 0, &MAGIC.to_le_bytes());
    put(buf, 8, &lsn.raw().to_le_bytes());
    put(buf, 16, &prev.lsn.raw().to_le_bytes());
    put(buf, 24, &prev.checksum.to_le_bytes());
    put(buf, 28, &branch.n.0.to_le_bytes());
    put(buf, 32, &branch.r.to_le_bytes());
    put(buf, 36, &payload.to_le_bytes());
    put(buf, 40, &records.to_le_bytes());
    put(buf, 42, &[0; 6]);
    let checksum = crc32fast::hash(&buf[8..]);
    put(buf, 4, &checksum.to_le_bytes());
    let block = Block { lsn, end: end_of(lsn, buf.len()), branch, checksum, bytes: Arc::from(&buf[..]) };
    buf.clear();
    block
}

/// Reads the block at the front of `bytes`, which may go on after it.
pub fn parse(bytes: &[u8], verify: Verify) -> Result<(Block, Link), BlockError> {
    if bytes.len() < SECTOR_BYTES || field_u32(bytes, 0) != MAGIC {
        return Err(BlockError::NoBlock);
    }
    let length = (HEADER_BYTES + field_u32(bytes, 36) as usize).next_multiple_of(SECTOR_BYTES);
    if length > BLOCK_BYTES_MAX || length > bytes.len() {
        return Err(BlockError::NoBlock);
    }
    let lsn = Lsn::from_raw(field_u64(bytes, 8));
    let checksum = field_u32(bytes, 4);
    if verify == Verify::Full && crc32fast::hash(&bytes[8..length]) != checksum {
        return Err(BlockError::Checksum(lsn));
    }
    if lsn.slot() != 0 || lsn.block() > (1 << 23) {
        return Err(BlockError::NoBlock);
    }
    let branch = Branch { n: RoleSequence(field_u32(bytes, 28)), r: field_u32(bytes, 32) };
    let prev = Link { lsn: Lsn::from_raw(field_u64(bytes, 16)), checksum: field_u32(bytes, 24) };
    let block = Block { lsn, end: end_of(lsn, length), branch, checksum, bytes: Arc::from(&bytes[..length]) };
    if verify == Verify::Full {
        let mut records = block.records();
        let count = records.by_ref().count();
        if count == 0 || count != usize::from(field_u16(bytes, 40)) || !records.rest.is_empty() {
            return Err(BlockError::Records(lsn));
        }
    }
    Ok((block, prev))
}

fn end_of(lsn: Lsn, bytes: usize) -> Lsn {
    Lsn::new(lsn.vlf(), lsn.block() + (bytes / SECTOR_BYTES) as u32, 0)
}

fn put(buf: &mut [u8], at: usize, bytes: &[u8]) {
    buf[at..at + bytes.len()].copy_from_slice(bytes);
}

pub(super) fn field_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("slice of two bytes"))
}

pub(super) fn field_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("slice of four bytes"))
}

pub(super) fn field_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("slice of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TxnId;

    fn block() -> Block {
        let mut buf = vec![0; HEADER_BYTES];
        Record::Begin { txn: TxnId(1) }.encode(&mut buf);
        Record::Commit { txn: TxnId(1) }.encode(&mut buf);
        let prev = Link { lsn: Lsn::new(1, 0, 0), checksum: 5 };
        seal(&mut buf, Lsn::new(1, 1, 0), prev, Branch { n: RoleSequence(2), r: 3 }, 2)
    }

    #[test]
    fn a_sealed_block_reads_back() {
        let block = block();
        let (read, prev) = parse(&block.bytes, Verify::Full).unwrap();
        assert_eq!(read, block);
        assert_eq!(prev, Link { lsn: Lsn::new(1, 0, 0), checksum: 5 });
        assert_eq!(block.end, Lsn::new(1, 2, 0));
        let records: Vec<_> = block.records().collect();
        assert_eq!(records[1], (Lsn::new(1, 1, 1), Record::Commit { txn: TxnId(1) }));
    }

    /// A damaged block is never applied. [P-11, P-14]
    #[test]
    fn any_flipped_bit_is_noticed() {
        let block = block();
        for bit in 0..block.bytes.len() * 8 {
            let mut bytes = block.bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bytes, Verify::Full).is_err(), "bit {bit}");
        }
    }
}
