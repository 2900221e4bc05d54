//! Where log lies in its file: a ring of virtual log files (VLF). [S-48]
//!
//! ```text
//!   VLF v lies at (v mod count) * bytes. Its blocks follow each other without gaps; when less than the longest block
//!   is left, the next block opens VLF v + 1. So the place of a block follows from the end of the one before.
//! ```

use super::block::{BLOCK_BYTES_MAX, BLOCK_SECTORS_MAX};
use crate::config::Geometry;
use crate::io::SECTOR_BYTES;
use crate::types::Lsn;

/// The arithmetic of one log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ring {
    vlf_sectors: u32,
    vlf_count: u32,
}

impl Ring {
    /// The ring of a geometry: VLFs of whole sectors that hold at least two blocks, and at least three of them.
    pub fn new(geometry: &Geometry) -> Self {
        assert_eq!(geometry.vlf_bytes as usize % SECTOR_BYTES, 0, "a virtual log file is made of sectors");
        assert!(geometry.vlf_bytes as usize >= 2 * BLOCK_BYTES_MAX, "a virtual log file holds two blocks");
        assert!(geometry.vlf_count >= 3, "the log has three virtual log files or more");
        Ring { vlf_sectors: geometry.vlf_bytes / SECTOR_BYTES as u32, vlf_count: geometry.vlf_count }
    }

    /// Where the block begins that follows a block ending at `end`.
    pub fn next_block(&self, end: Lsn) -> Lsn {
        match self.vlf_sectors - end.block() < BLOCK_SECTORS_MAX {
            true => Lsn::new(end.vlf() + 1, 0, 0),
            false => end,
        }
    }

    /// Byte offset in the log file.
    pub fn offset(&self, block: Lsn) -> u64 {
        let sectors =
            u64::from(block.vlf() % self.vlf_count) * u64::from(self.vlf_sectors) + u64::from(block.block());
        sectors * SECTOR_BYTES as u64
    }

    /// The first VLF that may not be written while log from `start` on is kept.
    pub fn limit(&self, start: Lsn) -> u32 {
        start.vlf() + self.vlf_count
    }

    /// Sectors that records can certainly still use from `position` (a block boundary) on, counting the waste at the
    /// end of each VLF. Appending a record of at most a sector lowers this by at most one.
    pub fn usable_sectors(&self, position: Lsn, start: Lsn) -> u32 {
        let whole = self.vlf_sectors - (BLOCK_SECTORS_MAX - 1);
        let Some(vlfs) = self.limit(start).checked_sub(position.vlf() + 1) else { return 0 };
        whole.saturating_sub(position.block()) + vlfs * whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        Ring::new(&Geometry { vlf_bytes: 16 << 10, vlf_count: 4, checkpoint_bytes: 1 })
    }

    #[test]
    fn a_block_that_might_not_fit_opens_the_next_file() {
        assert_eq!(ring().next_block(Lsn::new(3, 16, 0)), Lsn::new(3, 16, 0));
        assert_eq!(ring().next_block(Lsn::new(3, 17, 0)), Lsn::new(4, 0, 0));
        assert_eq!(ring().offset(Lsn::new(5, 2, 0)), (16 << 10) + 1024);
    }

    #[test]
    fn usable_space_falls_by_at_most_one_sector_a_record() {
        let (start, mut at) = (Lsn::new(1, 0, 0), Lsn::new(1, 0, 0));
        let mut usable = ring().usable_sectors(at, start);
        assert_eq!(usable, 17 * 4);
        while usable > 0 {
            assert!(ring().next_block(at).vlf() < ring().limit(start));
            at = ring().next_block(at);
            at = Lsn::new(at.vlf(), at.block() + 1, 0);
            let now = ring().usable_sectors(at, start);
            assert!(now + 1 >= usable && now < usable + 1);
            usable = now;
        }
    }
}
