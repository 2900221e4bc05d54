//! The double-write file: images of the pages that a checkpoint is about to write in place, so that a page torn by a
//! crash can be restored. Layout in `docs/storage-format.md`.

use super::block::{field_u32, field_u64};
use super::page::PAGE_BYTES;
use crate::io::SECTOR_BYTES;
use crate::types::PageId;
use std::collections::BTreeMap;

const MAGIC: u32 = u32::from_le_bytes(*b"DBMW");
const HEADER_BYTES: usize = 16;

/// The file's content for `images`, one after the other in the order of `ids`.
pub(super) fn encode(ids: &[PageId], images: &[u8]) -> Vec<u8> {
    assert_eq!(images.len(), ids.len() * PAGE_BYTES, "an image a page");
    let mut file = Vec::with_capacity(HEADER_BYTES + 4 * ids.len() + SECTOR_BYTES + images.len());
    file.extend_from_slice(&MAGIC.to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&(ids.len() as u64).to_le_bytes());
    ids.iter().for_each(|id| file.extend_from_slice(&id.0.to_le_bytes()));
    file.resize(file.len().next_multiple_of(SECTOR_BYTES), 0);
    file.extend_from_slice(images);
    let checksum = crc32fast::hash(&file[8..]);
    file[4..8].copy_from_slice(&checksum.to_le_bytes());
    file
}

/// The images in the file; none when it is torn, for then no page was written in place after it.
pub(super) fn decode(file: &[u8]) -> BTreeMap<PageId, &[u8]> {
    images(file).unwrap_or_default()
}

fn images(file: &[u8]) -> Option<BTreeMap<PageId, &[u8]>> {
    if file.len() < HEADER_BYTES || field_u32(file, 0) != MAGIC {
        return None;
    }
    let count = usize::try_from(field_u64(file, 8)).ok()?;
    let ids_end = count.checked_mul(4)?.checked_add(HEADER_BYTES)?;
    let first = ids_end.checked_next_multiple_of(SECTOR_BYTES)?;
    let end = count.checked_mul(PAGE_BYTES)?.checked_add(first)?;
    if file.len() < end || crc32fast::hash(&file[8..end]) != field_u32(file, 4) {
        return None;
    }
    let ids = file[HEADER_BYTES..ids_end].chunks_exact(4).map(|id| PageId(field_u32(id, 0)));
    Some(ids.zip(file[first..end].chunks_exact(PAGE_BYTES)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_file_holds_no_image() {
        let images = [[1; PAGE_BYTES], [2; PAGE_BYTES]].concat();
        let mut file = encode(&[PageId(3), PageId(9)], &images);
        file.extend_from_slice(&[7; 100]);
        assert_eq!(decode(&file)[&PageId(9)], [2; PAGE_BYTES]);
        file[700] ^= 1;
        assert!(decode(&file).is_empty());
        assert!(decode(&[]).is_empty());
    }
}
