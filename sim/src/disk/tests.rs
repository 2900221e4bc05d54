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

/// Three sectors of ones, durable, and what was told of them forgotten.
fn written(seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    lab.write(LOG, 0, vec![1; 3 * SECTOR_BYTES], Durability::Through);
    assert_eq!(lab.run(100).len(), 1);
    lab.hardened.clear();
    lab
}

#[test]
fn an_operation_that_fails_leaves_its_write_to_chance() {
    let mut ends = BTreeSet::new();
    for seed in 0..300 {
        let mut lab = written(seed);
        lab.disk.damage_mut().fail_next(1);
        lab.write(LOG, 256, vec![2; 2 * SECTOR_BYTES], Durability::Through);
        lab.write(DATA, 0, vec![3], Durability::Through);
        let mut results = lab.run(100);
        results.sort_by_key(|(ticket, _)| *ticket);
        let failed = results.iter().filter(|(_, result)| *result == DiskResult::Failed).count();
        assert_eq!((results.len(), failed), (2, 1), "one of the two, whichever is done first");
        assert_eq!(lab.felt.of(Feeling::DiskError), 1);
        if results[0].1 == DiskResult::Failed {
            let content = lab.read(LOG);
            ends.insert([300, 600, 1100].map(|i| content[i]));
            assert_eq!(content, lab.disk.durable(LOG));
        }
    }
    assert_eq!(ends.len(), 8, "every subset of three sectors");
}

#[test]
fn a_flush_that_fails_empties_the_cache() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..100 {
        let mut lab = written(seed);
        lab.write(LOG, 0, vec![2; SECTOR_BYTES], Durability::Cached);
        lab.run(100);
        lab.disk.damage_mut().fail_next(1);
        lab.issue(DiskOp::Flush { file: LOG });
        assert_eq!(lab.run(100)[0].1, DiskResult::Failed);
        lab.issue(DiskOp::Flush { file: LOG });
        assert_eq!(lab.run(100)[0].1, DiskResult::Done, "the next one has nothing to do");
        match lab.disk.durable(LOG)[0] {
            2 => kept += 1,
            _ => lost += 1,
        }
    }
    assert!(kept > 10 && lost > 10, "{kept} {lost}");
}

#[test]
fn a_broken_disk_fails_every_operation_until_it_is_healed() {
    let mut lab = written(1);
    lab.disk.damage_mut().break_down();
    lab.issue(DiskOp::ReadAll { file: LOG });
    lab.write(LOG, 0, vec![2], Durability::Cached);
    lab.issue(DiskOp::Flush { file: LOG });
    assert!(lab.run(100).iter().all(|(_, result)| *result == DiskResult::Failed));
    assert_eq!(lab.felt.of(Feeling::DiskFail), 3);
    lab.disk.heal(&mut lab.agenda, &mut lab.hardened);
    lab.write(LOG, 0, vec![4; 512], Durability::Through);
    assert_eq!(lab.run(100)[0].1, DiskResult::Done);
    assert_eq!(lab.read(LOG)[..512], [4; 512]);
}

#[test]
fn on_a_full_disk_only_what_makes_a_file_longer_fails() {
    let mut lab = written(1);
    lab.disk.damage_mut().fill();
    lab.write(LOG, 1024, vec![2; 512], Durability::Through);
    lab.write(LOG, 1024, vec![3; 513], Durability::Cached);
    lab.write(DATA, 0, vec![4], Durability::Through);
    let results: Vec<DiskResult> = {
        let mut results = lab.run(100);
        results.sort_by_key(|(ticket, _)| *ticket);
        results.into_iter().map(|(_, result)| result).collect()
    };
    assert_eq!(results, [DiskResult::Done, DiskResult::Failed, DiskResult::Failed]);
    assert_eq!((lab.read(LOG).len(), lab.read(DATA).len()), (1536, 0), "and leaves nothing behind");
    assert_eq!(lab.felt.of(Feeling::DiskFull), 2);
}

#[test]
fn what_a_lying_disk_calls_durable_is_in_its_cache() {
    let mut ends = BTreeSet::new();
    for seed in 0..200 {
        let mut lab = written(seed);
        lab.disk.damage_mut().lie();
        lab.write(LOG, 0, vec![2; SECTOR_BYTES], Durability::Through);
        lab.write(LOG, 512, vec![3; SECTOR_BYTES], Durability::Cached);
        lab.issue(DiskOp::Flush { file: LOG });
        assert!(lab.run(100).iter().all(|(_, result)| *result == DiskResult::Done));
        assert_eq!((lab.read(LOG)[0], lab.read(LOG)[512]), (2, 3), "a reader sees it");
        assert!(lab.hardened.is_empty(), "and it is not durable");
        assert_eq!(lab.felt.of(Feeling::DiskLie), 2);
        lab.crash();
        let content = lab.read(LOG);
        ends.insert((content[0], content[512]));
    }
    assert_eq!(ends.len(), 4, "a crash keeps or loses each");
    let mut lab = written(1);
    lab.disk.damage_mut().lie();
    lab.write(LOG, 0, vec![2; SECTOR_BYTES], Durability::Through);
    lab.run(100);
    lab.disk.heal(&mut lab.agenda, &mut lab.hardened);
    assert_eq!((lab.hardened.len(), lab.disk.durable(LOG)[0]), (1, 2), "healed, it keeps what it promised");
}

#[test]
fn a_misdirected_write_lands_on_another_sector_once() {
    let mut places = BTreeSet::new();
    for seed in 0..100 {
        let mut lab = written(seed);
        lab.disk.damage_mut().misdirect(FileKind::Log);
        lab.write(LOG, 512, vec![2; 100], Durability::Through);
        assert_eq!(lab.run(100)[0].1, DiskResult::Done);
        let content = lab.read(LOG);
        let place = content.iter().position(|byte| *byte == 2).expect("it is somewhere");
        assert_eq!(content.iter().filter(|byte| **byte == 2).count(), 100);
        places.insert(place);
        lab.write(LOG, 512, vec![3; 100], Durability::Through);
        lab.run(100);
        assert_eq!(lab.read(LOG)[512], 3, "the next one lands where it should");
        assert_eq!(lab.felt.of(Feeling::Misdirect), 1);
    }
    assert_eq!(places, BTreeSet::from([0, 1024]));
}

#[test]
fn a_write_with_no_other_place_is_not_misdirected_yet() {
    let mut lab = Lab::new(1);
    lab.disk.damage_mut().misdirect(FileKind::Log);
    lab.write(LOG, 0, vec![1; 700], Durability::Through);
    lab.write(LOG, 0, vec![2; 700], Durability::Through);
    lab.run(100);
    assert_eq!((lab.read(LOG), lab.felt.of(Feeling::Misdirect)), (vec![2; 700], 0));
}

#[test]
fn rot_flips_one_durable_bit_and_is_felt_by_who_reads_it() {
    for seed in 0..50 {
        let mut lab = written(seed);
        lab.write(LOG, 8192, vec![1; 10], Durability::Through);
        lab.run(100);
        let before = lab.read(LOG);
        lab.disk.rot(FileKind::Log);
        assert_eq!(lab.felt.of(Feeling::Rot), 0);
        let after = lab.read(LOG);
        let flipped: u32 = before.iter().zip(&after).map(|(a, b)| (a ^ b).count_ones()).sum();
        let at = before.iter().zip(&after).position(|(a, b)| a != b).expect("a bit");
        assert_eq!(flipped, 1);
        assert!(!(1536..8192).contains(&at), "not where nothing was ever written");
        assert_eq!(lab.felt.of(Feeling::Rot), 1);
        lab.write(LOG, 0, vec![1; 8202], Durability::Through);
        assert_eq!(lab.read(LOG)[at], 1);
        assert_eq!(lab.felt.of(Feeling::Rot), 1, "what was written anew is sound");
        lab.disk.rot(FileKind::Data);
        assert!(lab.read(DATA).is_empty());
    }
}
