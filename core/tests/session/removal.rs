//! SET PARTNER OFF, and a session set up again after it. [C-50, C-51, C-62, C-80 … C-84]

use crate::table::{A, B, Table, W};
use dbm_core::io::Reply;
use dbm_core::types::*;

const OFF: &str = "ALTER DATABASE sales SET PARTNER OFF";

/// Connected, on either partner: both and the witness forget; the principal's copy is served without a quorum rule, the
/// mirror's stays RESTORING. [C-80, C-82 … C-84, TR-23, ST-25]
#[test]
fn off_on_either_partner_ends_the_session_everywhere() {
    for on in [A, B] {
        let mut table = Table::new(true);
        table.run_until(5_000);
        assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
        assert_eq!(table.sql(on, OFF), Ok(()));
        assert_eq!(table.status[&A].role, None);
        assert_eq!(table.status[&B].role, None);
        assert_eq!(table.open(B, 2), Reply::Refused { error: 927 });
        assert_eq!(table.sql(W, OFF), Err(1416));
        for id in [A, B] {
            assert_eq!(table.sql(id, OFF), Err(1416));
        }
        table.crash(B);
        table.crash(W);
        table.run_for(30_000);
        assert!(matches!(table.add(A, 1, 1, 7), Reply::Committed { .. }));
        table.crash(A);
        table.run_for(1_000);
        table.start(A);
        table.run_for(100);
        assert!(matches!(table.open(A, 3), Reply::Connected { .. }));
        assert_eq!(table.read(A, 3, 3), [993, 1007]);
    }
}

/// Apart: the issuer forgets at once, the other when it reconnects. [C-81]
#[test]
fn off_apart_is_learnt_at_reconnect() {
    for on in [A, B] {
        let mut table = Table::new(true);
        table.run_until(5_000);
        let other = if on == A { B } else { A };
        table.part(A, B);
        table.part(on, W);
        table.run_for(15_000);
        assert_eq!(table.sql(on, OFF), Ok(()));
        assert_eq!(table.status[&on].role, None);
        assert!(table.status[&other].role.is_some());
        table.join(A, B);
        table.join(on, W);
        table.run_for(15_000);
        assert_eq!(table.status[&other].role, None);
        assert_eq!(table.sql(W, OFF), Err(1416));
    }
}

/// A principal that died, and whose partner took over and was removed since, learns both at once: its copy is the
/// former mirror's, and nobody is served by it; the pair can be set up again. [C-81, C-84, C-51]
#[test]
fn superseded_principal_that_learns_of_the_end_serves_nobody() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    table.run_for(20_000);
    assert_eq!(table.servers(), [B]);
    assert_eq!(table.sql(B, OFF), Ok(()));
    table.start(A);
    table.run_for(15_000);
    assert_eq!(table.status[&A].role, None);
    assert_eq!(table.servers(), [B]);
    assert_eq!(table.open(A, 1), Reply::Refused { error: 927 });
    table.crash(A);
    table.run_for(1_000);
    table.start(A);
    table.run_for(1_000);
    assert_eq!(table.open(A, 1), Reply::Refused { error: 927 });
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER = 'TCP://B:5022'"), Ok(()));
    assert_eq!(table.sql(B, "ALTER DATABASE sales SET PARTNER = 'TCP://A:5022'"), Ok(()));
    table.run_for(5_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
}

/// An isolated principal without quorum comes online again. [C-83]
#[test]
fn off_brings_an_isolated_principal_online() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(B);
    table.crash(W);
    table.run_for(20_000);
    assert!(table.servers().is_empty());
    assert_eq!(table.sql(A, OFF), Ok(()));
    assert_eq!(table.servers(), [A]);
}

/// Set up again between the two copies, on the restoring one first; then a witness, and a failover. [C-50, C-51, TR-1, TR-2]
#[test]
fn session_is_set_up_again() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, OFF), Ok(()));
    assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
    assert!(matches!(table.add(A, 1, 1, 7), Reply::Committed { .. }));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER = 'TCP://B:5022'"), Err(1416));
    assert_eq!(table.sql(B, "ALTER DATABASE sales SET PARTNER = 'TCP://B:5022'"), Err(1452));
    assert_eq!(table.sql(B, "ALTER DATABASE sales SET PARTNER = 'TCP://A:5022'"), Ok(()));
    assert_eq!(table.status[&B].role, None);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER = 'TCP://B:5022'"), Ok(()));
    table.run_for(3_000);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::Synchronized));
    assert_eq!(table.state(B), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS = 'TCP://W:5022'"), Ok(()));
    table.run_for(3_000);
    table.crash(W);
    table.run_for(1_000);
    table.start(W);
    table.run_for(5_000);
    table.crash(A);
    table.run_for(5_000);
    assert_eq!(table.servers(), [B]);
    assert!(matches!(table.open(B, 2), Reply::Connected { .. }));
    assert_eq!(table.read(B, 2, 2), [993, 1007]);
}

/// The copy that would be the mirror cannot be reached, or is not waiting. [section 5.1: 11, 15]
#[test]
fn set_up_again_is_refused_without_the_other_copy() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert_eq!(table.sql(A, OFF), Ok(()));
    table.part(A, B);
    table.statement(A, "ALTER DATABASE sales SET PARTNER = 'TCP://B:5022'");
    table.run_for(30_000);
    let answer = table.statements.last().unwrap().1.map_err(|e| e.number);
    assert!(matches!(answer, Err(1418 | 1413)), "{answer:?}");
    assert_eq!(table.servers(), [A]);
    assert_eq!(table.status[&A].role, None);
}

/// The former mirror is recovered: two databases of the same name go their own ways. [C-84, FO-47]
#[test]
fn former_mirror_is_recovered() {
    const RECOVER: &str = "RESTORE DATABASE sales WITH RECOVERY";
    let mut table = Table::new(false);
    table.run_until(5_000);
    for id in [A, B] {
        assert_eq!(table.sql(id, RECOVER), Err(3104));
    }
    assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
    assert!(matches!(table.add(A, 1, 1, 7), Reply::Committed { .. }));
    assert_eq!(table.sql(A, OFF), Ok(()));
    assert_eq!(table.sql(A, RECOVER), Err(3117));
    assert_eq!(table.sql(B, RECOVER), Ok(()));
    table.run_for(1_000);
    assert!(matches!(table.open(B, 2), Reply::Connected { .. }));
    assert_eq!(table.read(B, 2, 2), [993, 1007]);
    assert!(matches!(table.add(B, 2, 3, 1), Reply::Committed { .. }));
    assert!(matches!(table.add(A, 1, 4, 2), Reply::Committed { .. }));
    table.crash(B);
    table.run_for(500);
    table.start(B);
    table.run_for(500);
    assert!(matches!(table.open(B, 3), Reply::Connected { .. }));
    assert_eq!(table.read(B, 3, 5), [992, 1008]);
    assert_eq!(table.sql(B, "ALTER DATABASE sales SET PARTNER = 'TCP://A:5022'"), Err(1464));
}

/// After a forced service, removal instead of RESUME keeps both copies, the lost part included. [FO-47, FO-48]
#[test]
fn removal_instead_of_resume_keeps_both_copies() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(20_000);
    assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
    assert!(matches!(table.add(A, 1, 1, 7), Reply::Committed { .. }));
    assert_eq!(table.sql(B, "ALTER DATABASE sales SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS"), Ok(()));
    table.join(A, B);
    table.run_for(5_000);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Suspended));
    assert_eq!(table.sql(B, OFF), Ok(()));
    assert_eq!(table.sql(A, "RESTORE DATABASE sales WITH RECOVERY"), Ok(()));
    table.run_for(1_000);
    assert!(matches!(table.open(A, 2), Reply::Connected { .. }));
    assert_eq!(table.read(A, 2, 2), [993, 1007]);
    assert!(matches!(table.open(B, 3), Reply::Connected { .. }));
    assert_eq!(table.read(B, 3, 3), [1000, 1000]);
}
