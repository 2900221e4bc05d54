//! Pages on their way to the disk: never before their log, never unprotected. [INV-5, PR-2]
//!
//! An image that is written anywhere, to the double-write file or in place, may be what a crash leaves; so the log of its
//! newest change has to be durable when the write is issued, on the copy itself or, for a page fetched in an undo, on the
//! other one. And a page is written in place only while the durable double-write file holds the same image, or a torn
//! write would be the end of it.

use super::chain::Chain;
use super::logs::Logs;
use super::parse::{self, PAGE_BYTES};
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::io::FileKind;
use dbm_core::types::InstanceId;
use std::collections::BTreeMap;
use std::ops::Range;

/// The durable double-write file of one instance.
#[derive(Clone, Debug, Default)]
struct Protected {
    image: Vec<u8>,
    /// Where its pages lie, once it was looked at.
    pages: Option<BTreeMap<u32, Range<usize>>>,
}

#[derive(Clone, Debug)]
pub(super) struct Pages {
    of: Vec<Protected>,
}

/// Pages that an instance writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writing<'a> {
    pub(super) instance: InstanceId,
    /// The other partner.
    pub(super) peer: InstanceId,
    pub(super) kind: FileKind,
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

impl Pages {
    pub(super) fn new(instances: usize) -> Self {
        Pages { of: vec![Protected::default(); instances] }
    }

    /// Bytes of a double-write file are durable.
    pub(super) fn protected(&mut self, instance: InstanceId, offset: u64, bytes: &[u8]) {
        let Some(of) = self.of.get_mut(usize::from(instance.0)) else { return };
        let from = offset as usize;
        if of.image.len() < from + bytes.len() {
            of.image.resize(from + bytes.len(), 0);
        }
        of.image[from..from + bytes.len()].copy_from_slice(bytes);
        of.pages = None;
    }

    /// A write of pages is issued.
    pub(super) fn issued(
        &mut self,
        at: Time,
        writing: Writing<'_>,
        logs: &Logs,
        chain: &Chain,
        report: &mut Report,
    ) {
        let Writing { instance, peer, kind, offset, bytes } = writing;
        let images: Vec<&[u8]> = match kind {
            FileKind::Data if (offset as usize).is_multiple_of(PAGE_BYTES) => {
                bytes.chunks_exact(PAGE_BYTES).collect()
            }
            FileKind::DoubleWrite if offset == 0 => {
                let pages = parse::double_write(bytes).unwrap_or_default();
                pages.into_values().map(|range| &bytes[range]).collect()
            }
            _ => return,
        };
        for bytes in images {
            let Some(page) = parse::page(bytes) else { continue };
            report.held(Premise::PageIssued);
            let ends = [instance, peer].map(|copy| chain.end(copy.0.into()));
            if !ends.iter().any(|end| logs.has_record(&page, *end, chain)) {
                report.fire("pages", "INV-5", at, || {
                    let (page, lsn) = (page.page, page.lsn);
                    format!(
                        "instance {} writes page {page} at LSN {lsn}, of which no log is durable",
                        instance.0
                    )
                });
            }
            if kind == FileKind::Data && !self.holds(instance, page.page, bytes) {
                report.fire("pages", "PR-2", at, || {
                    format!("instance {} writes page {} in place unprotected", instance.0, page.page)
                });
            }
        }
    }

    fn holds(&mut self, instance: InstanceId, page: u32, bytes: &[u8]) -> bool {
        let Some(of) = self.of.get_mut(usize::from(instance.0)) else { return true };
        let pages = of.pages.get_or_insert_with(|| parse::double_write(&of.image).unwrap_or_default());
        pages.get(&page).is_some_and(|range| of.image[range.clone()] == *bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, Bench, Log, Rec, SESSION, double_write, page};
    use crate::observe::Fact;
    use dbm_core::io::{DiskOp, Durability, FileId, FileKind};

    fn issue(bench: &mut Bench, kind: FileKind, bytes: &[u8]) {
        let file = FileId { session: SESSION, kind };
        let op = DiskOp::Write { file, offset: 0, bytes: bytes.into(), durability: Durability::Cached };
        bench.fact(Fact::DiskIssued { instance: A, op: &op });
    }

    /// [INV-5]
    #[test]
    fn an_image_ahead_of_its_log_is_found() {
        let (mut bench, mut log) = (Bench::new(true), Log::new());
        let x = log.add((1, 0), &[Rec::Update(1, 3, b"one"), Rec::Commit(1)]);
        let image = page(0, x.at(0), 3, b"one");
        issue(&mut bench, FileKind::DoubleWrite, &double_write(0, &image));
        assert_eq!(bench.rules(), [("pages", "INV-5")]);
        bench.log(A, &x);
        issue(&mut bench, FileKind::DoubleWrite, &double_write(0, &image));
        assert_eq!(bench.rules().len(), 1);
    }

    /// [PR-2]
    #[test]
    fn a_page_written_in_place_without_its_image_is_found() {
        let (mut bench, mut log) = (Bench::new(true), Log::new());
        let x = log.add((1, 0), &[Rec::Update(1, 3, b"one"), Rec::Update(1, 3, b"two"), Rec::Commit(1)]);
        bench.log(A, &x);
        let (one, two) = (page(0, x.at(0), 3, b"one"), page(0, x.at(1), 3, b"two"));
        bench.durable(A, FileKind::DoubleWrite, 0, &double_write(0, &one));
        issue(&mut bench, FileKind::Data, &one);
        assert_eq!(bench.rules(), []);
        issue(&mut bench, FileKind::Data, &two);
        assert_eq!(bench.rules(), [("pages", "PR-2")]);
    }
}
