//! Data pages: rows decoded in memory, 1024 bytes on disk. Layout in `docs/storage-format.md`. [P-12, P-15]

use super::block::{field_u32, field_u64};
use super::record::{Image, put_image, take_image};
use crate::types::{Key, Lsn, PageId, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a page on disk.
pub const PAGE_BYTES: usize = 1024;
/// Rows of a page: key k is row k mod 8 of page k / 8.
pub const ROWS: u32 = 8;

const HEADER_BYTES: usize = 20;
const MAGIC: u32 = u32::from_le_bytes(*b"DBMP");

/// The page that holds a row.
pub fn page_of(key: Key) -> PageId {
    PageId(key.0 / ROWS)
}

/// One page in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Page {
    /// The last record applied to it; the guard of redo. [P-12]
    pub lsn: Lsn,
    /// Its rows; `None` is an absent row.
    pub rows: [Option<Value>; ROWS as usize],
}

/// Why bytes are not the page asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Not one page long.
    #[error("page of {0} bytes")]
    Length(usize),
    /// Torn or corrupt: magic number, checksum or rows do not fit.
    #[error("page {0:?} is corrupt")]
    Corrupt(PageId),
    /// Another page.
    #[error("page {found:?} in the place of {wanted:?}")]
    Misplaced {
        /// The one asked for.
        wanted: PageId,
        /// The one the header names.
        found: PageId,
    },
}

impl Page {
    /// Appends the page's bytes.
    pub fn encode(&self, id: PageId, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&id.0.to_le_bytes());
        out.extend_from_slice(&self.lsn.raw().to_le_bytes());
        for row in &self.rows {
            put_image(out, row.as_ref().map(|v| &v.0[..]));
        }
        assert!(out.len() <= from + PAGE_BYTES, "eight rows fit a page");
        out.resize(from + PAGE_BYTES, 0);
        let checksum = crc32fast::hash(&out[from + 8..]);
        out[from + 4..from + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads page `id`. A page of zeros was never written: it is empty, with LSN 0.
    pub fn decode(id: PageId, bytes: &[u8]) -> Result<Page, PageError> {
        if bytes.len() != PAGE_BYTES {
            return Err(PageError::Length(bytes.len()));
        }
        if bytes.iter().all(|b| *b == 0) {
            return Ok(Page::default());
        }
        if field_u32(bytes, 0) != MAGIC || field_u32(bytes, 4) != crc32fast::hash(&bytes[8..]) {
            return Err(PageError::Corrupt(id));
        }
        let found = PageId(field_u32(bytes, 8));
        if found != id {
            return Err(PageError::Misplaced { wanted: id, found });
        }
        let mut page = Page { lsn: Lsn::from_raw(field_u64(bytes, 12)), rows: Default::default() };
        let mut rest = &bytes[HEADER_BYTES..];
        for row in &mut page.rows {
            *row = take_image(&mut rest).ok_or(PageError::Corrupt(id))?.map(|b| Value(b.to_vec()));
        }
        Ok(page)
    }
}

/// All pages of a copy, resident, with the set that differs from disk.
#[derive(Clone, Debug, Default, Hash)]
pub struct Pages {
    pages: BTreeMap<PageId, Page>,
    /// Changed since last taken by a checkpoint.
    dirty: BTreeSet<PageId>,
    /// Sum of the hashes of all rows, kept up to date with every change.
    digest: u64,
}

impl Pages {
    /// The row's value; `None` when absent.
    pub fn value(&self, key: Key) -> Option<&Value> {
        self.pages.get(&page_of(key))?.rows[(key.0 % ROWS) as usize].as_ref()
    }

    /// Applies a record's change unless the page has it already. Tells whether it did. [P-12]
    pub fn apply(&mut self, lsn: Lsn, key: Key, after: Image<'_>) -> bool {
        let id = page_of(key);
        let page = self.pages.entry(id).or_default();
        if page.lsn >= lsn {
            return false;
        }
        page.lsn = lsn;
        let row = &mut page.rows[(key.0 % ROWS) as usize];
        self.digest = self.digest.wrapping_sub(row_hash(key, row.as_ref().map(|v| &v.0[..])));
        self.digest = self.digest.wrapping_add(row_hash(key, after));
        match (row, after) {
            (Some(value), Some(bytes)) => {
                value.0.clear();
                value.0.extend_from_slice(bytes);
            }
            (row, after) => *row = after.map(|b| Value(b.to_vec())),
        }
        self.dirty.insert(id);
        true
    }

    /// Replaces a page as a whole.
    pub fn install(&mut self, id: PageId, page: Page, state: PageState) {
        self.digest = self.digest.wrapping_add(page_hash(id, &page));
        if let Some(old) = self.pages.insert(id, page) {
            self.digest = self.digest.wrapping_sub(page_hash(id, &old));
        }
        match state {
            PageState::Clean => {}
            PageState::Dirty => {
                self.dirty.insert(id);
            }
        }
    }

    /// The page, if it was ever written.
    pub fn get(&self, id: PageId) -> Option<&Page> {
        self.pages.get(&id)
    }

    /// Pages whose newest change is at or beyond `end`, with that change.
    pub fn beyond(&self, end: Lsn) -> impl Iterator<Item = (PageId, Lsn)> {
        self.pages.iter().filter(move |(_, page)| page.lsn >= end).map(|(id, page)| (*id, page.lsn))
    }

    /// Pages that differ from disk.
    pub fn dirty(&self) -> &BTreeSet<PageId> {
        &self.dirty
    }

    /// Takes the set of dirty pages; whoever takes it writes them.
    pub fn take_dirty(&mut self) -> BTreeSet<PageId> {
        std::mem::take(&mut self.dirty)
    }

    /// Gives pages back that were taken and not written.
    pub fn mark_dirty(&mut self, pages: impl IntoIterator<Item = PageId>) {
        self.dirty.extend(pages);
    }

    /// Digest of all rows, independent of the order of changes.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The incremental digest is that of the rows.
    pub fn check(&self) {
        let whole = self.pages.iter().fold(0u64, |sum, (id, page)| sum.wrapping_add(page_hash(*id, page)));
        assert_eq!(self.digest, whole, "the running digest is that of the rows");
        assert!(self.dirty.iter().all(|id| self.pages.contains_key(id)), "a dirty page is resident");
    }
}

/// Does an installed page differ from disk?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// It was read from disk.
    Clean,
    /// It has to be written.
    Dirty,
}

fn page_hash(id: PageId, page: &Page) -> u64 {
    (0u32..).zip(&page.rows).fold(0u64, |sum, (i, row)| {
        sum.wrapping_add(row_hash(
            Key(id.0.wrapping_mul(ROWS).wrapping_add(i)),
            row.as_ref().map(|v| &v.0[..]),
        ))
    })
}

/// Hash of one row; an absent row counts nothing.
fn row_hash(key: Key, row: Image<'_>) -> u64 {
    let Some(bytes) = row else { return 0 };
    let mut hash = mix(u64::from(key.0) << 8 | bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(word));
    }
    hash
}

/// Finalizer of splitmix64.
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page { lsn: Lsn::new(3, 4, 5), ..Page::default() };
        page.rows[0] = Some(Value::default());
        page.rows[7] = Some(Value(vec![7; Value::MAX]));
        page
    }

    #[test]
    fn a_page_survives_the_codec() {
        let mut full = page();
        full.rows.fill(Some(Value(vec![1; Value::MAX])));
        for page in [Page::default(), page(), full] {
            let mut bytes = Vec::new();
            page.encode(PageId(9), &mut bytes);
            assert_eq!(bytes.len(), PAGE_BYTES);
            assert_eq!(Page::decode(PageId(9), &bytes), Ok(page));
            assert!(matches!(Page::decode(PageId(8), &bytes), Err(PageError::Misplaced { .. })));
        }
    }

    #[test]
    fn a_torn_page_is_corrupt() {
        let mut torn = page();
        torn.rows.fill(Some(Value(vec![1; Value::MAX])));
        let mut bytes = Vec::new();
        torn.encode(PageId(0), &mut bytes);
        bytes[512..].fill(0);
        assert_eq!(Page::decode(PageId(0), &bytes), Err(PageError::Corrupt(PageId(0))));
        assert_eq!(Page::decode(PageId(0), &[0; PAGE_BYTES]), Ok(Page::default()));
    }

    /// Redo applies a record once. [P-12]
    #[test]
    fn the_page_lsn_guards_against_a_second_application() {
        let mut pages = Pages::default();
        assert!(pages.apply(Lsn::new(1, 1, 1), Key(3), Some(b"new")));
        assert!(!pages.apply(Lsn::new(1, 1, 0), Key(3), Some(b"old")));
        assert_eq!(pages.value(Key(3)), Some(&Value(b"new".to_vec())));
        pages.check();
    }

    #[test]
    fn the_digest_forgets_what_was_undone() {
        let mut pages = Pages::default();
        pages.apply(Lsn::new(1, 1, 1), Key(3), Some(b"a"));
        let digest = pages.digest();
        pages.apply(Lsn::new(1, 1, 2), Key(4), Some(b"b"));
        assert_ne!(pages.digest(), digest);
        pages.apply(Lsn::new(1, 1, 3), Key(4), None);
        assert_eq!(pages.digest(), digest);
        pages.check();
    }
}
