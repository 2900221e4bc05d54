//! What a confirmation waits for. [S-64 … S-69]

use crate::table::{A, B, Table, W};
use dbm_core::io::*;
use dbm_core::types::*;

/// A prepared session becomes SYNCHRONIZED on both partners and is armed. [S-33, ST-6, OQ-4.2]
#[test]
fn prepared_session_synchronizes_and_arms() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.state(0), (Role::Principal, MirroringState::Synchronized));
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Synchronized));
    assert!(table.sent(0, 1, "armed") >= 1);
    assert!(table.status[&0].serving);
}

/// A commit is confirmed and read back. [S-64]
#[test]
fn commit_is_confirmed_and_read_back() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert!(matches!(table.open(0, 1), Reply::Connected { .. }));
    assert!(matches!(table.add(0, 1, 1, 5), Reply::Committed { .. }));
    assert_eq!(table.read(0, 1, 2), vec![995, 1005]);
}

/// The mirror's copy is not served. [S-3, ST-22]
#[test]
fn mirror_refuses_clients() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.open(1, 1), Reply::Refused { error: 954 });
}

/// Without the mirror the principal runs exposed once the witness has noted it. [QT-A6, OQ-4.1]
#[test]
fn principal_runs_exposed_through_the_witness() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    table.crash(1);
    assert!(matches!(table.add(0, 1, 1, 5), Reply::Committed { .. }));
    assert!(table.sent(0, 2, "expose") >= 1);
    assert_eq!(table.state(0), (Role::Principal, MirroringState::Disconnected));
}

/// While the loss of the mirror is not yet known, a commit waits for it; then for EXPOSE; then it is confirmed.
/// [S-64, S-66, OQ-4.1, OQ-5]
#[test]
fn commit_waits_for_the_mirror_until_the_principal_is_exposed() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    let before = table.sent(A, W, "expose");
    table.part(A, B);
    table.ask_add(A, 1, 1);
    table.run_for(8_000);
    assert!(!table.confirmed(1));
    assert_eq!(table.sent(A, W, "expose"), before);
    table.run_for(6_000);
    assert!(table.confirmed(1));
    assert_eq!(table.sent(A, W, "expose"), before + 1);
}

/// Without a witness nobody has to note it: the loss of the mirror alone ends the waiting. [S-66, OQ-5]
#[test]
fn commit_without_a_witness_waits_only_until_the_mirror_is_lost() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.open(A, 1);
    table.part(A, B);
    table.ask_add(A, 1, 1);
    table.run_for(8_000);
    assert!(!table.confirmed(1));
    table.run_for(6_000);
    assert!(table.confirmed(1));
}

/// With SAFETY OFF nobody waits for the mirror. [S-67, S-68]
#[test]
fn commit_with_safety_off_does_not_wait_for_the_mirror() {
    let mut table = Table::with(false, Safety::Off);
    table.run_until(5_000);
    table.open(A, 1);
    table.part(A, B);
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    table.run_for(14_000);
    assert!(matches!(table.add(A, 1, 2, 5), Reply::Committed { .. }));
}

/// A principal that was alone confirms nothing, not even with SAFETY OFF. [S-69, INV-7]
#[test]
fn principal_without_quorum_confirms_nothing() {
    for safety in [Safety::Full, Safety::Off] {
        let mut table = Table::with(true, safety);
        table.run_until(5_000);
        table.open(A, 1);
        table.part(A, B);
        table.part(A, W);
        table.run_for(15_000);
        assert_eq!(table.open(A, 2), Reply::Refused { error: 955 });
        table.ask_add(A, 1, 1);
        table.run_for(5_000);
        assert!(!table.confirmed(1));
    }
}

/// A commit that waits while quorum is lost gets no answer, ever. [OQ-5, P-8]
#[test]
fn waiting_commit_is_not_answered_when_quorum_is_lost() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.part(A, B);
    table.part(A, W);
    table.ask_add(A, 1, 1);
    table.run_for(40_000);
    assert!(!table.confirmed(1));
    assert_eq!(table.servers(), [B]);
}
