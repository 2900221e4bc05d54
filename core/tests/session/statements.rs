//! Statements: what they refuse, and whom they reach. [C-65, C-66, C-70, C-73, OQ-16, OQ-34]

use crate::table::{A, B, Table, W};
use dbm_core::types::*;

/// SAFETY and TIMEOUT reach all three; SET WITNESS OFF and back. [C-65, C-66, C-70, C-73]
#[test]
fn settings_reach_everybody() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET PARTNER TIMEOUT 20"), Ok(()));
    assert_eq!(table.sql(1, "ALTER DATABASE sales SET PARTNER TIMEOUT 20"), Err(1470));
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET PARTNER SAFETY OFF"), Ok(()));
    assert_eq!(table.status[&1].safety, Safety::Off);
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET PARTNER SAFETY FULL"), Ok(()));
    table.run_for(2_000);
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET WITNESS OFF"), Ok(()));
    assert_eq!(table.status[&1].witness, None);
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET WITNESS = 'TCP://W:5022'"), Ok(()));
    table.run_for(3_000);
    assert_eq!(table.status[&0].witness, Some(WitnessState::Connected));
    table.crash(A);
    table.run_for(4_000);
    assert_eq!(table.state(1).0, Role::Principal);
}

/// What is refused on a healthy session, by either partner. [section 5 of control.md]
#[test]
fn refusals_of_a_connected_session() {
    let cases: &[(u8, &str, u32)] = &[
        (B, "SET PARTNER SAFETY OFF", 1470),
        (B, "SET PARTNER TIMEOUT 20", 1470),
        (B, "SET WITNESS OFF", 1470),
        (B, "SET WITNESS = 'TCP://W:5022'", 1470),
        (A, "SET PARTNER TIMEOUT -1", 1425),
        (A, "SET PARTNER TIMEOUT 1.5", 1425),
        (A, "SET PARTNER TIMEOUT 99999999999", 1425),
        (A, "SET PARTNER TIMEOUT 32768", 1476),
        (A, "SET WITNESS = 'TCP://A:5022'", 1429),
        (A, "SET WITNESS = 'TCP://B:5022'", 1429),
        (A, "SET WITNESS = 'W:5022'", 1449),
        (A, "SET WITNESS = 'TCP://W'", 1449),
        (A, "SET WITNESS = 'TCP://nobody:5022'", 1418),
        (A, "SET PARTNER = 'TCP://B:5022'", 1405),
        (B, "SET PARTNER = 'TCP://A:5022'", 1405),
    ];
    let mut table = Table::new(true);
    table.run_until(5_000);
    for (on, statement, error) in cases {
        let sql = format!("ALTER DATABASE sales {statement}");
        assert_eq!(table.sql(*on, &sql), Err(*error), "{sql} on {on}");
    }
    assert_eq!(table.servers(), [A]);
}

/// Names that are nobody's: another database, and the session as seen by its witness. [C-41, C-48]
#[test]
fn refusals_where_there_is_no_such_database() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, "ALTER DATABASE nobody SET PARTNER SAFETY OFF"), Err(5011));
    assert_eq!(table.sql(W, "ALTER DATABASE sales SET PARTNER SAFETY OFF"), Err(1416));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER"), Err(102));
}

/// What the partner has to know is refused without it. [C-46]
#[test]
fn refusals_without_the_partner() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(B);
    table.run_for(3_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SAFETY OFF"), Err(1447));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER TIMEOUT 20"), Err(1447));
    // Leaving needs only one of the others. [OQ-16]
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS OFF"), Ok(()));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS OFF"), Err(1439));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS = 'TCP://W:5022'"), Err(1426));
    assert_eq!(table.servers(), [A]);
}

/// A principal that reaches nobody cannot get rid of its witness. [C-73, QR-22]
#[test]
fn isolated_principal_cannot_drop_its_witness() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(B);
    table.crash(W);
    table.run_for(20_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS OFF"), Err(1431));
    assert!(table.servers().is_empty());
}

/// After SET WITNESS OFF the loss of the mirror needs nobody's consent, and nobody fails over. [QR-20, C-73]
#[test]
fn without_its_witness_the_session_has_no_quorum_rule() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS OFF"), Ok(()));
    table.part(A, B);
    table.part(A, W);
    table.run_for(30_000);
    assert_eq!(table.servers(), [A]);
    assert_eq!(table.sent(B, W, "claim"), 0);
}

/// Removing it without the mirror is passed on when the mirror is met again. [QR-21, OQ-20]
#[test]
fn mirror_learns_later_that_the_witness_is_gone() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(20_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET WITNESS OFF"), Ok(()));
    table.join(A, B);
    table.run_for(10_000);
    assert_eq!(table.status[&B].witness, None);
    assert_eq!(table.state(B), (Role::Mirror, MirroringState::Synchronized));
}

/// A short period, once set, is the one that losses are judged by, and 0 to 4 become 5. [C-66, FL-9, OQ-34]
#[test]
fn shorter_period_is_in_force_on_all_three() {
    for seconds in [0, 4, 5] {
        let mut table = Table::new(true);
        table.run_until(5_000);
        assert_eq!(table.sql(A, &format!("ALTER DATABASE sales SET PARTNER TIMEOUT {seconds}")), Ok(()));
        table.run_for(3_000);
        table.part(A, B);
        table.part(A, W);
        table.run_for(2_900);
        assert_eq!(table.servers(), [A]);
        table.run_for(2_600);
        assert!(!table.status[&A].serving, "TIMEOUT {seconds}");
        table.run_for(2_500);
        assert_eq!(table.servers(), [B], "TIMEOUT {seconds}");
    }
}

/// The principal adopts the shorter period before its peers do: whenever it is cut off, it stops before B serves.
/// [OQ-34, OQ-3.1]
#[test]
fn period_never_lets_two_serve_while_it_changes() {
    for (before, after) in [(10, 5), (5, 10), (20, 6)] {
        for delay_ms in 0..12 {
            let mut table = Table::new(true);
            table.run_until(5_000);
            table
                .sql(A, &format!("ALTER DATABASE sales SET PARTNER TIMEOUT {before}"))
                .expect("all are connected");
            table.statement(A, &format!("ALTER DATABASE sales SET PARTNER TIMEOUT {after}"));
            table.run_for(delay_ms);
            table.part(A, B);
            table.part(A, W);
            for _ in 0..120 {
                table.run_for(250);
                assert!(table.servers().len() < 2, "{before} to {after}, cut after {delay_ms} ms");
            }
            assert_eq!(table.servers(), [B], "{before} to {after}, cut after {delay_ms} ms");
        }
    }
}

/// With SAFETY OFF the period is stored, but ten seconds are in force. [OQ-34]
#[test]
fn period_with_safety_off_is_stored_only() {
    let mut table = Table::with(true, Safety::Off);
    table.run_until(5_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER TIMEOUT 5"), Ok(()));
    table.part(A, B);
    table.part(A, W);
    table.run_for(8_000);
    assert_eq!(table.servers(), [A]);
    table.run_for(4_000);
    assert!(table.servers().is_empty());
}
