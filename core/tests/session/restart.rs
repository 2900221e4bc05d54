//! What a restarted instance does. [Q-30 … Q-38]

use crate::table::{A, B, SESSION, Table, W};
use dbm_core::io::*;
use dbm_core::types::*;

/// A restarted principal that reaches nobody is not served.
#[test]
fn restarted_principal_alone_is_not_served() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(1);
    table.crash(2);
    table.crash(0);
    table.start(0);
    table.run_until(30_000);
    assert_eq!(table.open(0, 1), Reply::Refused { error: 955 });
    table.start(2);
    table.run_for(5_000);
    assert!(matches!(table.open(0, 2), Reply::Connected { .. }));
}

/// Without a witness the principal serves alone, and nobody fails over. [QT-D3, QT-D5]
#[test]
fn no_witness_means_no_quorum_rule() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert!(matches!(table.open(0, 1), Reply::Connected { .. }));
    table.crash(1);
    assert!(matches!(table.add(0, 1, 1, 5), Reply::Committed { .. }));
    table.start(1);
    table.run_for(5_000);
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Synchronized));
    table.crash(0);
    table.run_for(30_000);
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Disconnected));
}

/// With its witness alone, whose record names it, it serves exposed.
#[test]
fn restarted_principal_serves_with_the_witness() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(B);
    table.run_for(3_000);
    table.crash(A);
    table.start(A);
    table.run_for(5_000);
    assert_eq!(table.servers(), [A]);
    assert_eq!(table.shown(A), (MirroringState::Disconnected, WitnessState::Connected));
}

/// The witness names the other partner: it stays offline until it reaches that one. [Q-32, Q-34, QR-9]
#[test]
fn restarted_former_principal_learns_from_the_witness_that_it_is_none() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    table.run_for(3_000);
    assert_eq!(table.servers(), [B]);
    table.part(A, B);
    table.start(A);
    table.run_for(30_000);
    assert_eq!(table.servers(), [B]);
    assert_eq!(table.open(A, 1), Reply::Refused { error: 954 });
    table.join(A, B);
    table.run_for(10_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
}

/// With the mirror alone it serves: the two of them are a quorum.
#[test]
fn restarted_principal_serves_with_the_mirror() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(W);
    table.run_for(3_000);
    table.crash(A);
    table.start(A);
    table.run_for(5_000);
    assert_eq!(table.servers(), [A]);
    assert_eq!(table.state(B), (Role::Mirror, MirroringState::Synchronized));
}

/// Without a witness it tries its partner for one period, then comes online exposed. [Q-35, OQ-17]
#[test]
fn restarted_principal_without_a_witness_waits_one_period() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.crash(A);
    table.crash(B);
    table.start(A);
    table.run_for(9_000);
    assert!(table.servers().is_empty());
    table.run_for(4_000);
    assert_eq!(table.servers(), [A]);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::Disconnected));
}

/// A mirror rejoins as mirror.
#[test]
fn restarted_mirror_rejoins() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(B);
    table.run_for(2_000);
    table.open(A, 1);
    table.add(A, 1, 1, 5);
    table.start(B);
    table.run_for(5_000);
    assert_eq!(table.state(B), (Role::Mirror, MirroringState::Synchronized));
}

/// A mirror that finds only the witness stays mirror: being armed does not survive a restart. [Q-37, OQ-4.2]
#[test]
fn restarted_mirror_does_not_fail_over() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    table.crash(B);
    table.start(B);
    table.run_for(60_000);
    assert_eq!(table.state(B), (Role::Mirror, MirroringState::Disconnected));
    assert!(table.servers().is_empty());
}

/// The witness offers what it knew, and knows what it granted. [Q-38, P-9]
#[test]
fn restarted_witness_remembers() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    table.run_for(3_000);
    table.crash(W);
    table.crash(B);
    table.start(W);
    table.start(A);
    table.run_for(30_000);
    assert!(table.servers().is_empty());
    table.start(B);
    table.run_for(10_000);
    assert_eq!(table.servers(), [B]);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
}

/// A witness that dies while SET WITNESS makes its seat has promised nothing, and can be set. [P-1, OQ-16]
#[test]
fn seat_that_was_never_made_can_be_made() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    let torn = [vec![0; 8192], vec![0xA5; 40]].concat();
    table.disks.insert((W, FileId { session: SESSION, kind: FileKind::Record }), torn);
    table.crash(W);
    table.start(W);
    table.run_for(3_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS = 'TCP://W:5022'"), Ok(()));
    table.run_for(5_000);
    table.crash(A);
    table.run_for(5_000);
    assert_eq!(table.servers(), [B]);
}
