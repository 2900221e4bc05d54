use super::*;
use crate::time::Time;
use crate::world::SESSION;
use dbm_core::io::{Area, FileKind};
use std::collections::BTreeSet;

const LOG: FileId = FileId { session: SESSION, kind: FileKind::Log };
const DATA: FileId = FileId { session: SESSION, kind: FileKind::Data };

struct Lab {
    disk: Disk,
    agenda: Agenda,
    felt: Felt,
    tickets: u64,
    hardened: Vec<Hardened>,
}

impl Lab {
    fn new(seed: u64) -> Self {
        Lab {
            disk: Disk::new(seed, DiskProfile::default(), 0),
            agenda: Agenda::default(),
            felt: Felt::default(),
            tickets: 0,
            hardened: Vec::new(),
        }
    }

    fn issue(&mut self, op: DiskOp) -> u64 {
        self.tickets += 1;
        let ticket = Ticket::new(SESSION, Area::Copy, self.tickets);
        self.disk.issue(&mut self.agenda, &mut self.felt, ticket, op);
        self.tickets
    }

    fn write(&mut self, file: FileId, offset: u64, bytes: Vec<u8>, durability: Durability) -> u64 {
        self.issue(DiskOp::Write { file, offset, bytes: bytes.into(), durability })
    }

    fn run(&mut self, ms: u64) -> Vec<(u64, DiskResult)> {
        let end = Time(self.agenda.now().0 + ms * 1000);
        let mut done = Vec::new();
        while let Some(event) = self.agenda.advance(end) {
            let Event::Disk { file, epoch, .. } = event else { panic!("{event:?} is none of the disk's") };
            let completion =
                self.disk.complete(&mut self.agenda, &mut self.felt, file, epoch, &mut self.hardened);
            done.extend(completion.map(|c| (c.ticket.serial(), c.result)));
        }
        done
    }

    fn read(&mut self, file: FileId) -> Vec<u8> {
        let ticket = self.issue(DiskOp::ReadAll { file });
        match self.run(100).pop() {
            Some((t, DiskResult::Read(bytes))) if t == ticket => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn crash(&mut self) {
        self.disk.crash(&mut self.felt, &mut self.hardened);
    }
}

#[test]
fn operations_of_a_file_complete_in_order_of_issue() {
    for seed in 0..50 {
        let mut lab = Lab::new(seed);
        for i in 0..20 {
            let durability = if i % 3 == 0 { Durability::Through } else { Durability::Cached };
            lab.write(LOG, i * 10, vec![i as u8; 10], durability);
        }
        let order: Vec<u64> = lab.run(1000).into_iter().map(|(ticket, _)| ticket).collect();
        assert_eq!(order, (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn a_read_sees_completed_writes_and_gaps_as_zero() {
    let mut lab = Lab::new(1);
    assert!(lab.read(LOG).is_empty());
    lab.write(LOG, 2, vec![1, 1, 1], Durability::Through);
    lab.write(LOG, 4, vec![2], Durability::Cached);
    assert_eq!(lab.read(LOG), [0, 0, 1, 1, 2]);
    assert_eq!(lab.disk.durable(LOG), [0, 0, 1, 1, 1]);
}

#[test]
fn a_flush_makes_cached_writes_durable_and_says_so() {
    let mut lab = Lab::new(1);
    lab.write(DATA, 0, vec![7; 4], Durability::Cached);
    lab.run(100);
    assert!(lab.hardened.is_empty());
    lab.issue(DiskOp::Flush { file: DATA });
    lab.run(100);
    assert_eq!(lab.hardened, [Hardened { file: DATA, offset: 0, bytes: vec![7; 4].into() }]);
    lab.crash();
    assert_eq!(lab.read(DATA), [7; 4]);
}

#[test]
fn a_write_through_is_not_undone_by_a_later_flush_of_an_older_cached_write() {
    let mut lab = Lab::new(1);
    lab.write(DATA, 0, vec![1; 6], Durability::Cached);
    lab.write(DATA, 2, vec![2; 2], Durability::Through);
    lab.issue(DiskOp::Flush { file: DATA });
    lab.run(100);
    assert_eq!(lab.disk.durable(DATA), [1, 1, 2, 2, 1, 1]);
}

#[test]
fn a_crash_keeps_loses_or_tears_what_is_not_durable() {
    let (mut in_flight, mut cached) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..300 {
        for (durability, ends) in [(Durability::Through, &mut in_flight), (Durability::Cached, &mut cached)] {
            let mut lab = Lab::new(seed);
            lab.write(LOG, 0, vec![1; 3 * SECTOR_BYTES], Durability::Through);
            lab.run(100);
            lab.hardened.clear();
            lab.write(LOG, 256, vec![2; 2 * SECTOR_BYTES], durability);
            if durability == Durability::Cached {
                assert_eq!(lab.run(100).len(), 1, "done, but not durable");
            }
            lab.crash();
            assert!(lab.run(100).is_empty(), "nothing completes after a crash");
            let content = lab.read(LOG);
            let mut expected = vec![1; 3 * SECTOR_BYTES];
            for Hardened { offset, bytes, .. } in &lab.hardened {
                expected[*offset as usize..*offset as usize + bytes.len()].copy_from_slice(bytes);
            }
            assert_eq!(content, expected, "what is kept is reported");
            // Sectors are whole: the write covers half of the first, all of the second, half of the third.
            let sectors = [300, 600, 1100].map(|i| content[i]);
            assert_eq!(
                (content[256], content[512], content[1023], content[1279]),
                (sectors[0], sectors[1], sectors[1], sectors[2])
            );
            ends.insert(sectors);
        }
    }
    assert_eq!((in_flight.len(), cached.len()), (8, 8), "every subset of three sectors");
}

#[test]
fn one_sector_is_never_torn() {
    for seed in 0..100 {
        let mut lab = Lab::new(seed);
        lab.write(LOG, 512, vec![2; 512], Durability::Through);
        lab.crash();
        assert!(lab.hardened.is_empty() || lab.hardened[0].bytes.len() == 512);
        assert_eq!(lab.felt.of(Feeling::TornWrite), 0);
    }
}

#[test]
fn a_stalled_disk_completes_nothing_until_it_is_healed() {
    let mut lab = Lab::new(1);
    lab.disk.stall();
    lab.write(LOG, 0, vec![1], Durability::Through);
    lab.write(LOG, 1, vec![2], Durability::Through);
    assert!(lab.run(60_000).is_empty());
    lab.disk.heal(&mut lab.agenda, &mut lab.hardened);
    assert_eq!(lab.run(1).len(), 2);
    assert_eq!(lab.felt.of(Feeling::DiskStall), 1);
}

#[test]
fn a_slow_disk_takes_longer() {
    let mut lab = Lab::new(1);
    lab.disk.slow_down(50_000);
    lab.write(LOG, 0, vec![1], Durability::Cached);
    assert!(lab.run(50).is_empty());
    assert_eq!(lab.run(1).len(), 1);
    assert_eq!(lab.felt.of(Feeling::DiskSlow), 1);
}
