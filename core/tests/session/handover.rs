//! Manual failover. [FO-31 … FO-39, OQ-9]

use crate::table::{A, B, SESSION, Table, W};
use dbm_core::io::{Reply, *};
use dbm_core::types::*;

const FAILOVER: &str = "ALTER DATABASE sales SET PARTNER FAILOVER";

/// Roles swap, nothing is lost, and the way back is open after SYNCHRONIZED. [FO-37a … FO-37f, FO-38]
#[test]
fn roles_swap_and_swap_back() {
    for witness in [true, false] {
        let mut table = Table::new(witness);
        table.run_until(5_000);
        assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
        assert!(matches!(table.add(A, 1, 1, 7), Reply::Committed { .. }));
        assert_eq!(table.sql(A, FAILOVER), Ok(()));
        table.run_for(2_000);
        assert_eq!(table.servers(), [B]);
        assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
        assert_eq!(table.state(B), (Role::Principal, MirroringState::Synchronized));
        assert!(matches!(table.open(B, 2), Reply::Connected { n: RoleSequence(2), .. }));
        assert_eq!(table.read(B, 2, 2), [993, 1007]);
        assert_eq!(table.sql(B, FAILOVER), Ok(()));
        table.run_for(2_000);
        assert_eq!(table.servers(), [A]);
        assert!(matches!(table.open(A, 3), Reply::Connected { n: RoleSequence(3), .. }));
        assert_eq!(table.read(A, 3, 3), [993, 1007]);
    }
}

/// A disconnected witness does not prevent it. [FO-36]
#[test]
fn no_witness_is_needed() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(W);
    table.run_for(3_000);
    assert_eq!(table.sql(A, FAILOVER), Ok(()));
    table.run_for(2_000);
    assert_eq!(table.servers(), [B]);
}

/// Where and when it is refused. [FO-31, FO-33, FO-34, FO-35]
#[test]
fn refusals() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(B, FAILOVER), Err(1470));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SUSPEND"), Ok(()));
    assert_eq!(table.sql(A, FAILOVER), Err(1422));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER RESUME"), Ok(()));
    table.run_for(2_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SAFETY OFF"), Ok(()));
    assert_eq!(table.sql(A, FAILOVER), Err(1477));
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SAFETY FULL"), Ok(()));
    table.run_for(2_000);
    table.crash(B);
    table.run_for(2_000);
    assert_eq!(table.sql(A, FAILOVER), Err(1447));
}

/// PENDING_FAILOVER on the principal only, then SYNCHRONIZING in the new roles. [ST-4, TR-12, TR-13, TR-15, EV-7]
#[test]
fn states_and_events_of_a_manual_failover() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.transitions.clear();
    table.events_told.clear();
    assert_eq!(table.sql(A, FAILOVER), Ok(()));
    table.run_for(2_000);
    use MirroringState::*;
    use Role::*;
    assert_eq!(
        table.transitions_of(A),
        [
            ((Principal, Synchronized), (Principal, PendingFailover)),
            ((Principal, PendingFailover), (Mirror, Synchronizing)),
            ((Mirror, Synchronizing), (Mirror, Synchronized)),
        ]
    );
    assert_eq!(
        table.transitions_of(B),
        [
            ((Mirror, Synchronized), (Principal, Synchronizing)),
            ((Principal, Synchronizing), (Principal, Synchronized)),
        ]
    );
    assert_eq!(table.event_numbers(A), [7, 11, 3]);
    assert_eq!(table.event_numbers(B), [1]);
}

/// A break before the hand-over: the principal stays, and serves on by the usual rules. [FO-39, TR-14]
#[test]
fn break_before_the_hand_over_abandons_it() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.part(A, B);
    table.statement(A, FAILOVER);
    table.run_for(200);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::PendingFailover));
    assert_eq!(table.open(A, 1), Reply::Refused { error: 952 });
    table.run_for(30_000);
    assert_eq!(table.statements.last().unwrap().1.map_err(|e| e.number), Err(1421));
    assert_eq!(table.servers(), [A]);
    table.join(A, B);
    table.run_for(10_000);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::Synchronized));
}

/// A break after it: the former principal never serves by itself, and its partner hears of the role when they meet.
/// [OQ-9.3, F4]
#[test]
fn break_after_the_hand_over_leaves_nobody_until_they_meet() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.cut_when(A, B, "failover_ready");
    table.statement(A, FAILOVER);
    table.run_for(30_000);
    assert!(table.servers().is_empty());
    table.join(A, B);
    table.run_for(10_000);
    assert_eq!(table.servers(), [B]);
    assert_eq!(table.state(A), (Role::Mirror, MirroringState::Synchronized));
}

/// The witness carries the hand-over while the partners are apart. [F10, OQ-9]
#[test]
fn hand_over_travels_through_the_witness() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.cut_when(A, B, "failover_ready");
    table.statement(A, FAILOVER);
    table.run_for(30_000);
    assert_eq!(table.servers(), [B]);
}

/// The former principal can be forced when its partner never comes back, with n + 2. [OQ-9, OQ-7]
#[test]
fn former_principal_can_be_forced_after_a_hand_over() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.cut_when(A, B, "failover_ready");
    table.statement(A, FAILOVER);
    table.run_for(30_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS"), Ok(()));
    table.run_for(1_000);
    assert!(matches!(table.open(A, 1), Reply::Connected { n: RoleSequence(3), .. }));
}

/// A crash of either partner at any moment of the hand-over: never two, and served again once all are back. [P-9, OQ-9]
#[test]
fn crash_at_any_moment_leaves_one_principal() {
    for witness in [true, false] {
        for crashed in [A, B] {
            for after_us in (0..12_000).step_by(500) {
                let mut table = Table::new(witness);
                table.run_until(5_000);
                assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
                assert!(matches!(table.add(A, 1, 1, 7), Reply::Committed { .. }));
                table.statement(A, FAILOVER);
                table.run_for_us(after_us);
                table.crash(crashed);
                for _ in 0..30 {
                    table.run_for(100);
                    assert!(table.servers().len() <= 1, "{after_us} us");
                }
                table.start(crashed);
                table.run_for(40_000);
                let servers = table.servers();
                assert_eq!(servers.len(), 1, "witness {witness}, {crashed} crashed after {after_us} us");
                assert_eq!(table.state(A).1, MirroringState::Synchronized);
                assert!(matches!(table.open(servers[0], 9), Reply::Connected { .. }));
                assert_eq!(table.read(servers[0], 9, 9), [993, 1007]);
            }
        }
    }
}

/// Clients are thrown out, and a login meets E952 while it lasts. [FO-37a, ST-26]
#[test]
fn clients_are_thrown_out() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
    table.statement(A, FAILOVER);
    table.run_for_us(1_000);
    table.ask(A, 2, ClientEvent::Open { database: SESSION });
    table.run_for(2_000);
    assert!(
        table
            .replies
            .iter()
            .any(|(_, _, conn, reply)| { *conn == ConnId(2) && *reply == Reply::Refused { error: 952 } })
    );
}
