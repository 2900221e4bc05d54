//! What a failing disk does to a session: nothing that is not durable is told, the database ends on that instance, and
//! the others treat it as dead. What is corrupt is noticed at the start. [OQ-35, FL-18, FL-23, FL-31, P-1, P-11]

use crate::table::{A, B, Table, W};
use dbm_core::io::*;
use dbm_core::types::*;

fn synchronized(witness: bool) -> Table {
    let mut table = Table::new(witness);
    table.run_until(5_000);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::Synchronized));
    table.open(A, 1);
    table
}

/// The principal's log fails: its clients lose their connections, and the mirror takes over at once, not after a
/// time-out. [FL-18, OQ-35]
#[test]
fn a_principal_whose_log_fails_is_lost_definitely() {
    let mut table = synchronized(true);
    table.add(A, 1, 1, 5);
    table.fail_disk(A, Some(FileKind::Log));
    table.ask_add(A, 1, 2);
    table.run_for(1_000);
    assert!(!table.confirmed(2));
    assert_eq!(table.messages_of(A).last(), Some(&9001));
    assert_eq!(table.status[&A].role, None);
    assert_eq!(table.servers(), [B]);
    assert_eq!(table.open(A, 2), Reply::Refused { error: 945 });
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SUSPEND"), Err(1459));
}

/// The link of a failed database may break and come back: that is no sign of life. [OQ-35]
#[test]
fn a_link_that_comes_back_does_not_revive_a_failed_database() {
    let mut table = synchronized(true);
    table.stall_disk(B);
    table.fail_disk(A, Some(FileKind::Log));
    table.ask_add(A, 1, 2);
    table.run_for(5);
    for _ in 0..3 {
        table.reset(A, B);
        table.reset(A, W);
        table.run_for(100);
    }
    table.release_disk(B);
    table.run_for(1_000);
    assert_eq!(table.servers(), [B]);
}

/// After its process has started again, with a disk that works, the old principal comes back as the mirror.
#[test]
fn a_failed_database_comes_back_with_its_process() {
    let mut table = synchronized(true);
    table.fail_disk(A, None);
    table.ask_add(A, 1, 2);
    table.run_for(5_000);
    table.mend_disk(A);
    table.run_for(5_000);
    assert_eq!(table.status[&A].role, None, "the disk alone does not bring it back");
    table.crash(A);
    table.start(A);
    table.run_for(15_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.state(B), (Role::Principal, MirroringState::Synchronized));
}

/// The mirror's log fails: it acknowledges nothing more, and the principal goes on exposed at once. [FL-23, OQ-35]
#[test]
fn a_mirror_whose_log_fails_leaves_the_principal_exposed() {
    let mut table = synchronized(true);
    table.fail_disk(B, Some(FileKind::Log));
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    assert_eq!(table.state(A), (Role::Principal, MirroringState::Disconnected));
    assert_eq!(table.messages_of(B).last(), Some(&9001));
}

/// A record that is not written binds nobody else: the mirror has failed and says nothing of SYNCED. [P-1, OQ-4.2]
#[test]
fn a_record_that_cannot_be_written_is_never_told() {
    for (failing, wrote) in [(B, false), (W, false), (B, true), (W, true)] {
        let mut table = Table::new(true);
        if wrote {
            table.failures_write();
        }
        table.run_until(2);
        table.fail_disk(failing, Some(FileKind::Record));
        table.run_until(5_000);
        assert_eq!(table.messages_of(failing), if failing == B { vec![1444, 1459] } else { vec![1459] });
        assert_eq!(table.sent(failing, A, "synced_ok"), 0, "instance {failing}");
        assert_eq!(table.sent(A, B, "armed"), 0);
        assert!(table.sent(failing, A, "database_failed") >= 1);
    }
}

/// A witness that cannot write down the grant does not give it. [OQ-4.3, P-1]
#[test]
fn a_witness_whose_record_fails_grants_nothing() {
    let mut table = synchronized(true);
    table.fail_disk(W, Some(FileKind::Record));
    table.crash(A);
    table.run_for(30_000);
    assert_eq!(table.sent(W, B, "claim_granted"), 0);
    assert_eq!(table.messages_of(W), [1459]);
    assert!(table.servers().is_empty());
}

/// The claim is never made when it cannot be written down. [OQ-4.3]
#[test]
fn a_claim_that_cannot_be_written_is_not_made() {
    let mut table = synchronized(true);
    table.fail_disk(B, Some(FileKind::Record));
    table.crash(A);
    table.run_for(30_000);
    assert_eq!(table.sent(B, W, "claim"), 0);
    assert!(table.servers().is_empty());
}

/// A statement whose record cannot be written ends with the error. [FL-31]
#[test]
fn a_statement_that_cannot_be_recorded_fails() {
    let mut table = synchronized(true);
    table.fail_disk(A, Some(FileKind::Record));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SUSPEND"), Err(1459));
    assert_eq!(table.servers(), [B]);
}

/// A hand-over that cannot be written down is not told: the old principal has failed, and the mirror claims the role.
/// [OQ-9.3, P-1]
#[test]
fn a_hand_over_that_cannot_be_written_is_a_failure() {
    let mut table = synchronized(true);
    table.statement(A, "ALTER DATABASE sales SET PARTNER FAILOVER");
    table.fail_disk(A, Some(FileKind::Record));
    table.run_for(3_000);
    assert_eq!(table.statements, [(0, Err(dbm_core::control::sql_error(1459)))]);
    assert_eq!(table.servers(), [B]);
    assert_eq!(table.status[&B].n, RoleSequence(2));
}

/// A checkpoint that cannot write pages ends the database with the number of that device. [PR-1]
#[test]
fn pages_that_cannot_be_written_end_the_database() {
    let mut table = synchronized(true);
    table.add(A, 1, 1, 5);
    table.fail_disk(A, Some(FileKind::DoubleWrite));
    table.fail_disk(A, Some(FileKind::Data));
    for txn in 2..20_000 {
        table.ask_add(A, 1, txn);
        table.run_for(10);
        if table.messages_of(A).contains(&823) {
            break;
        }
    }
    table.run_for(1_000);
    assert_eq!(table.messages_of(A).last(), Some(&823));
    assert_eq!(table.servers(), [B]);
}

/// Files that cannot be read, or hold garbage, are noticed at the start: by file, with a number. [FL-31, PR-1, PR-2]
#[test]
fn what_cannot_be_used_at_the_start_is_said() {
    for (file, unreadable, corrupt) in [
        (FileKind::Record, 1459, 1459),
        (FileKind::Boot, 9001, 9004),
        (FileKind::Log, 9001, 9004),
        (FileKind::Data, 823, 824),
    ] {
        let mut table = synchronized(true);
        table.crash(A);
        table.fail_disk(A, Some(file));
        table.start(A);
        table.run_for(1_000);
        assert_eq!(table.messages_of(A).last(), Some(&unreadable), "{file:?}");
        assert_eq!(table.open(A, 1), Reply::Refused { error: 945 });
        table.mend_disk(A);
        table.crash(A);
        table.rot(A, file);
        table.start(A);
        table.run_for(20_000);
        assert_eq!(table.messages_of(A).last(), Some(&corrupt), "{file:?}");
        assert_eq!(table.servers(), [B]);
    }
    let mut table = synchronized(true);
    table.crash(W);
    table.rot(W, FileKind::Record);
    table.start(W);
    table.run_for(5_000);
    assert_eq!(table.messages_of(W), [1459]);
    assert_eq!(table.shown(A), (MirroringState::Synchronized, WitnessState::Disconnected));
}
