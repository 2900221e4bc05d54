//! The numbered events of state changes, in order. [EV-0 … EV-12]

use crate::table::{A, B, Table, W};

/// Each event names the one before it. [EV-0]
fn assert_chained(table: &Table) {
    for id in [A, B] {
        let mut last = 0;
        for (_, number, previous) in table.events_told.iter().filter(|(who, ..)| *who == id) {
            assert_eq!(*previous, last, "of instance {id}");
            last = *number;
        }
    }
}

/// The start: both become SYNCHRONIZED with a witness. [EV-1, EV-3, EV-11]
#[test]
fn events_of_the_start() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.event_numbers(A).last(), Some(&1));
    assert_eq!(table.event_numbers(B).last(), Some(&3));
    assert!(table.event_numbers(B).contains(&11));
    assert_chained(&table);
}

/// Without a witness they are other numbers. [EV-2, EV-4]
#[test]
fn events_of_the_start_without_a_witness() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert_eq!(table.event_numbers(A).last(), Some(&2));
    assert_eq!(table.event_numbers(B).last(), Some(&4));
    assert_chained(&table);
}

/// The witness goes and comes back. [EV-1 … EV-4]
#[test]
fn events_when_the_witness_leaves_and_returns() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.events_told.clear();
    table.crash(W);
    table.run_for(3_000);
    table.start(W);
    table.run_for(5_000);
    assert_eq!(table.event_numbers(A), [2, 1]);
    assert_eq!(table.event_numbers(B), [4, 3]);
}

/// The mirror goes: lost, then exposed. [EV-6, EV-12]
#[test]
fn events_when_the_mirror_is_lost() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.events_told.clear();
    table.crash(B);
    table.run_for(3_000);
    assert_eq!(table.event_numbers(A), [6, 12]);
}

/// The principal goes: lost, then failed over. [EV-5, EV-8]
#[test]
fn events_of_a_failover() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    table.run_for(3_000);
    let events = table.event_numbers(B);
    assert!(events.windows(2).any(|pair| pair == [5, 8]), "{events:?}");
    assert_chained(&table);
}

/// The principal loses everybody and stops. [EV-10]
#[test]
fn events_when_quorum_is_lost() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, B);
    table.part(A, W);
    table.run_for(15_000);
    let events = table.event_numbers(A);
    assert!(events.contains(&10) && events.contains(&6) && !events.contains(&12), "{events:?}");
    assert_chained(&table);
}
