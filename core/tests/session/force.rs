//! Forced service, and what comes after it. [FO-50 … FO-68, OQ-6, OQ-7]

use crate::table::{A, B, Table, W};
use dbm_core::io::Reply;
use dbm_core::types::*;

const FORCE: &str = "ALTER DATABASE sales SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS";
const RESUME: &str = "ALTER DATABASE sales SET PARTNER RESUME";

/// Without a witness, the principal gone: the mirror serves exposed and SUSPENDED; the old principal rejoins as a
/// SUSPENDED mirror, and RESUME undoes what it had beyond the fork. [FO-60 … FO-64, FO-45, FO-46, TR-20, TR-22, TR-9]
#[test]
fn force_rejoin_resume() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    table.part(A, B);
    table.run_for(20_000);
    // Exposed: only A has it.
    assert!(matches!(table.open(A, 2), Reply::Connected { .. }));
    assert!(matches!(table.add(A, 2, 2, 20), Reply::Committed { .. }));
    assert_eq!(table.sql(B, FORCE), Ok(()));
    table.run_for(1_000);
    // Both serve, as documented. [FO-68, QT-D3]
    assert_eq!(table.servers(), [A, B]);
    assert!(matches!(table.open(B, 3), Reply::Connected { n: RoleSequence(2), .. }));
    assert_eq!(table.read(B, 3, 3), [995, 1005]);
    assert!(matches!(table.add(B, 3, 4, 1), Reply::Committed { .. }));
    table.join(A, B);
    table.run_for(5_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Suspended));
    assert_eq!(table.state(B), (Role::Principal, MirroringState::Suspended));
    assert_eq!(table.servers(), [B]);
    // Nothing is undone before RESUME.
    assert_eq!(table.sent(A, B, "page_request"), 0);
    assert_eq!(table.sql(A, FORCE), Err(1455));
    assert_eq!(table.sql(A, RESUME), Err(1470));
    assert_eq!(table.sql(B, RESUME), Ok(()));
    table.run_for(3_000);
    assert!(table.sent(A, B, "page_request") > 0);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.sql(B, "ALTER DATABASE sales SET PARTNER FAILOVER"), Ok(()));
    table.run_for(2_000);
    assert!(matches!(table.open(A, 5), Reply::Connected { .. }));
    assert_eq!(table.read(A, 5, 5), [994, 1006]);
}

/// With a witness that has lost the principal too, from a session that was not armed. [OQ-6, QT-B7, QR-16]
#[test]
fn force_with_a_witness() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(B, W);
    table.run_for(15_000);
    table.part(A, B);
    table.part(A, W);
    table.run_for(15_000);
    table.join(B, W);
    table.run_for(5_000);
    assert!(table.servers().is_empty());
    assert_eq!(table.sql(B, FORCE), Ok(()));
    table.run_for(1_000);
    assert_eq!(table.servers(), [B]);
    table.join(A, B);
    table.join(A, W);
    table.run_for(5_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Suspended));
    assert_eq!(table.sql(B, RESUME), Ok(()));
    table.run_for(3_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.state(B), (Role::Principal, MirroringState::Synchronized));
}

/// Where and when it is refused. [FO-50 … FO-53]
#[test]
fn refusals() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, FORCE), Err(1455));
    assert_eq!(table.sql(B, FORCE), Err(1455));
    // The witness still has the principal. [FO-53]
    table.part(A, B);
    table.run_for(20_000);
    assert_eq!(table.sql(B, FORCE), Err(1455));
    // Neither is there. [FO-52]
    table.part(B, W);
    table.run_for(20_000);
    assert_eq!(table.sql(B, FORCE), Err(1431));
    assert_eq!(table.servers(), [A]);
}

/// Right after an ambiguous reset nobody has declared anybody lost: refused, as the lease may run. [F5, OQ-4.6]
#[test]
fn force_waits_for_the_declarations_of_loss() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(B, W);
    table.run_for(15_000);
    table.join(B, W);
    table.run_for(5_000);
    table.reset(A, B);
    table.reset(A, W);
    table.part(A, B);
    table.part(A, W);
    table.run_for(100);
    assert_eq!(table.sql(B, FORCE), Err(1455));
    assert_eq!(table.servers(), [A]);
    table.run_for(15_000);
    assert!(table.servers().len() <= 1);
}

/// The flag and the fork survive restarts of both. [TR-11, OQ-7]
#[test]
fn suspension_and_fork_survive_restarts() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(20_000);
    assert_eq!(table.sql(B, FORCE), Ok(()));
    table.join(A, B);
    table.run_for(5_000);
    for id in [A, B] {
        table.crash(id);
        table.run_for(1_000);
        table.start(id);
        table.run_for(15_000);
        assert_eq!(table.state(A), (Role::Mirror, MirroringState::Suspended));
        assert_eq!(table.state(B), (Role::Principal, MirroringState::Suspended));
    }
    table.crash(B);
    table.run_for(20_000);
    assert_eq!(table.sql(A, FORCE), Err(1455));
}

/// Events of a forced service. [EV-9, EV-12]
#[test]
fn events_of_a_forced_service() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.crash(A);
    table.run_for(5_000);
    table.events_told.clear();
    assert_eq!(table.sql(B, FORCE), Ok(()));
    table.run_for(1_000);
    assert_eq!(table.event_numbers(B), [9, 12]);
}

/// In the middle of an undo the copy is inconsistent: neither forced nor removed, and not after a restart either.
/// [FO-44, FO-54, C-62, OQ-21]
#[test]
fn copy_in_an_undo_is_neither_forced_nor_removed() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(20_000);
    assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    assert_eq!(table.sql(B, FORCE), Ok(()));
    table.join(A, B);
    table.run_for(5_000);
    table.cut_when(A, B, "page_request");
    assert_eq!(table.sql(B, RESUME), Ok(()));
    table.run_for(20_000);
    for _ in 0..2 {
        assert_eq!(table.state(A), (Role::Mirror, MirroringState::Disconnected));
        assert_eq!(table.sql(A, FORCE), Err(1406));
        assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER OFF"), Err(1457));
        table.crash(A);
        table.run_for(1_000);
        table.start(A);
        table.run_for(2_000);
    }
    table.join(A, B);
    table.run_for(10_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
}
