//! Automatic failover, and the way back. [FO-11 … FO-25, FO-40 … FO-45, OQ-3, OQ-4, OQ-15]

use crate::table::{A, B, Table, W};
use dbm_core::io::*;
use dbm_core::types::*;

/// The principal's process dies: the mirror takes over at once, with everything confirmed. [QT-A7, FL-14, INV-2]
#[test]
fn crash_of_the_principal_fails_over_without_loss() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    table.add(0, 1, 1, 5);
    table.crash(0);
    table.run_for(3_000);
    assert_eq!(table.state(1), (Role::Principal, MirroringState::Disconnected));
    assert!(matches!(table.open(1, 7), Reply::Connected { n: RoleSequence(2), .. }));
    assert_eq!(table.read(1, 7, 2), vec![995, 1005]);
    assert!(matches!(table.add(1, 7, 3, 5), Reply::Committed { .. }));
}

/// The former principal comes back as mirror, without a command, and the session synchronizes. [FO-25, FO-45]
#[test]
fn former_principal_rejoins_as_mirror() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    table.add(0, 1, 1, 5);
    table.crash(0);
    table.run_for(3_000);
    table.open(1, 7);
    table.add(1, 7, 3, 5);
    table.start(0);
    table.run_for(5_000);
    assert_eq!(table.state(0), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.state(1), (Role::Principal, MirroringState::Synchronized));
    // And back again.
    table.crash(1);
    table.run_for(3_000);
    assert!(matches!(table.open(0, 9), Reply::Connected { n: RoleSequence(3), .. }));
    assert_eq!(table.read(0, 9, 4), vec![990, 1010]);
}

/// An isolated principal stops when its leases end, and the mirror takes over only afterwards. [OQ-3, QT-A7]
#[test]
fn isolated_principal_stops_before_the_mirror_serves() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    for peer in [1, 2] {
        table.cut.insert((0, peer));
        table.cut.insert((peer, 0));
    }
    table.run_until(14_000);
    assert!(table.status[&0].serving);
    table.run_until(15_500);
    assert!(!table.status[&0].serving);
    assert!(!table.status[&1].serving);
    table.run_until(18_500);
    assert!(table.status[&1].serving);
}

/// Without SAFETY FULL, without a witness or without SYNCHRONIZED nobody fails over. [FO-11, FO-12]
#[test]
fn no_failover_without_full_safety_and_a_witness() {
    for (witness, safety) in [(true, Safety::Off), (false, Safety::Full), (false, Safety::Off)] {
        let mut table = Table::with(witness, safety);
        table.run_until(5_000);
        table.crash(A);
        table.run_for(60_000);
        assert_eq!(table.state(B), (Role::Mirror, MirroringState::Disconnected), "{witness} {safety:?}");
        assert_eq!(table.sent(B, W, "claim"), 0);
    }
}

/// The witness that still hears the principal grants nothing. [FO-13, QT-A5]
#[test]
fn no_failover_while_the_witness_hears_the_principal() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(60_000);
    assert_eq!(table.servers(), [A]);
    assert_eq!(table.sent(W, B, "claim_granted"), 0);
}

/// A mirror without its witness at the time of the loss does not fail over, nor when it finds it again. [FO-14, QR-3]
#[test]
fn no_failover_when_the_witness_was_away_at_the_loss() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(B, W);
    table.run_for(15_000);
    table.crash(A);
    table.run_for(20_000);
    table.join(B, W);
    table.run_for(60_000);
    assert!(table.servers().is_empty());
    assert_eq!(table.sent(B, W, "claim"), 0);
}

/// A break of the link between mirror and witness disarms; the next exchange of all three arms again. [OQ-15, Q-17]
#[test]
fn flap_while_the_principal_lives_is_repaired() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    let armed = table.sent(A, B, "armed");
    table.part(B, W);
    table.run_for(15_000);
    table.join(B, W);
    table.run_for(10_000);
    assert!(table.sent(A, B, "armed") > armed);
    table.crash(A);
    table.run_for(3_000);
    assert_eq!(table.servers(), [B]);
}

/// Exposed changes would be lost, so the witness does not agree. [FO-16, OQ-4.1, OQ-4.3, QR-5]
#[test]
fn no_failover_after_the_principal_ran_exposed() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(20_000);
    table.open(A, 1);
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    table.crash(A);
    table.run_for(60_000);
    assert!(table.servers().is_empty());
    assert_eq!(table.sent(W, B, "claim_granted"), 0);
}

/// A dead process is a definite sign, silence takes T and an interval. [FO-15, OQ-3.2, OQ-3.4]
#[test]
fn silence_is_waited_out_and_a_dead_process_is_not() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    table.run_for(1_500);
    assert_eq!(table.servers(), [B]);
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, B);
    table.part(A, W);
    // The last ping came up to an interval before the cut.
    table.run_for(9_900);
    assert_eq!(table.sent(B, W, "claim"), 0);
    table.run_for(3_100);
    assert!(table.sent(B, W, "claim") >= 1);
}

/// The former principal stops, drops its clients and refuses new ones. [FO-20]
#[test]
fn former_principal_that_still_runs_refuses_clients() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.part(A, B);
    table.part(A, W);
    table.run_for(20_000);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::Disconnected));
    assert_eq!(table.open(A, 2), Reply::Refused { error: 955 });
    assert_eq!(table.servers(), [B]);
}

/// A transaction that had not committed is rolled back before the new principal serves. [FO-22, FO-23]
#[test]
fn unfinished_transaction_is_rolled_back_by_the_new_principal() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.call(A, 1, ClientEvent::Request(Request::Begin(TxnId(1))));
    table.call(A, 1, ClientEvent::Request(Request::Execute(Op::Add(Key(0), -5))));
    table.open(A, 2);
    // Another commit takes the open transaction's log to the mirror.
    let ops = vec![Op::Add(Key(2), -7), Op::Add(Key(3), 7)];
    table.call(A, 2, ClientEvent::Request(Request::Batch(TxnId(2), ops)));
    table.crash(A);
    table.run_for(3_000);
    table.open(B, 3);
    assert_eq!(table.read(B, 3, 3), vec![1000, 1000]);
}

/// The new principal serves exposed until a mirror rejoins. [FO-24]
#[test]
fn new_principal_serves_exposed() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    table.run_for(60_000);
    assert_eq!(table.shown(B), (MirroringState::Disconnected, WitnessState::Connected));
    table.open(B, 1);
    assert!(matches!(table.add(B, 1, 1, 5), Reply::Committed { .. }));
}

/// What the former principal hardened alone is undone when it rejoins, what was confirmed is kept. [FO-41, FO-43, FO-45]
#[test]
fn log_beyond_the_common_prefix_is_undone() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.add(A, 1, 1, 5);
    table.part(A, B);
    table.part(A, W);
    table.ask_add(A, 1, 2);
    table.run_for(20_000);
    assert_eq!(table.servers(), [B]);
    table.open(B, 7);
    table.add(B, 7, 3, 11);
    table.join(A, B);
    table.join(A, W);
    table.run_for(10_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
    table.crash(B);
    table.run_for(3_000);
    table.open(A, 9);
    assert_eq!(table.read(A, 9, 4), vec![984, 1016]);
    assert!(!table.confirmed(2));
}

/// The partner with the lower role sequence yields, whoever calls. [FO-40, OQ-4.5]
#[test]
fn lower_role_sequence_yields() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, B);
    table.part(A, W);
    table.run_for(20_000);
    table.join(A, B);
    table.run_for(5_000);
    assert_eq!((table.state(A).0, table.state(B).0), (Role::Mirror, Role::Principal));
    assert_eq!((table.status[&A].n, table.status[&B].n), (RoleSequence(2), RoleSequence(2)));
}
