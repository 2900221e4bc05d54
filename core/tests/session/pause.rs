//! SUSPEND and RESUME. [C-63, C-64, OQ-10, OQ-61]

use crate::table::{A, B, Table, W};
use dbm_core::config::Tuning;
use dbm_core::io::Reply;
use dbm_core::types::*;

const SUSPEND: &str = "ALTER DATABASE sales SET PARTNER SUSPEND";
const RESUME: &str = "ALTER DATABASE sales SET PARTNER RESUME";

/// On either partner; both show it, the principal serves exposed, and RESUME goes on without a command more.
/// [C-63, C-64, ST-65, TR-5, TR-9]
#[test]
fn suspend_on_either_partner_and_resume() {
    for witness in [true, false] {
        for on in [A, B] {
            let mut table = Table::new(witness);
            table.run_until(5_000);
            assert_eq!(table.sql(on, SUSPEND), Ok(()));
            assert_eq!(table.state(A), (Role::Principal, MirroringState::Suspended));
            assert_eq!(table.state(B), (Role::Mirror, MirroringState::Suspended));
            let sent = table.sent(A, B, "log_block");
            assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
            assert!(matches!(table.add(A, 1, 1, 7), Reply::Committed { .. }));
            assert_eq!(table.sent(A, B, "log_block"), sent, "no log is sent");
            // Again: no effect. [C-63]
            assert_eq!(table.sql(on, SUSPEND), Ok(()));
            assert_eq!(table.sql(B, RESUME), Err(1470));
            assert_eq!(table.sql(A, RESUME), Ok(()));
            table.run_for(2_000);
            assert_eq!(table.state(B), (Role::Mirror, MirroringState::Synchronized));
            assert_eq!(table.sql(A, RESUME), Ok(()));
            assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER FAILOVER"), Ok(()));
            table.run_for(2_000);
            assert!(matches!(table.open(B, 2), Reply::Connected { .. }));
            assert_eq!(table.read(B, 2, 2), [993, 1007]);
        }
    }
}

/// Apart, neither is possible. [C-46]
#[test]
fn both_need_the_partner() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(20_000);
    for on in [A, B] {
        assert_eq!(table.sql(on, SUSPEND), Err(1447));
    }
    assert_eq!(table.sql(A, RESUME), Err(1447));
}

/// A paused session does not fail over. [FO-29, FO-12]
#[test]
fn suspended_session_does_not_fail_over() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(B, SUSPEND), Ok(()));
    table.crash(A);
    table.run_for(20_000);
    assert!(table.servers().is_empty());
    assert_eq!(table.sent(B, W, "claim"), 0);
}

/// The flag survives restarts and broken links. [TR-11, TR-18, ST-1]
#[test]
fn suspension_is_durable() {
    for restarted in [A, B] {
        let mut table = Table::new(true);
        table.run_until(5_000);
        assert_eq!(table.sql(A, SUSPEND), Ok(()));
        table.crash(restarted);
        table.run_for(3_000);
        table.start(restarted);
        table.run_for(10_000);
        assert_eq!(table.state(A), (Role::Principal, MirroringState::Suspended));
        assert_eq!(table.state(B), (Role::Mirror, MirroringState::Suspended));
    }
}

/// Each transition and its event, in order. [TR-5, TR-9, EV-9, EV-11]
#[test]
fn transitions_and_events_of_a_pause() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.transitions.clear();
    table.events_told.clear();
    assert_eq!(table.sql(A, SUSPEND), Ok(()));
    assert_eq!(table.sql(A, RESUME), Ok(()));
    table.run_for(2_000);
    use MirroringState::*;
    for (id, role, events) in [(A, Role::Principal, vec![9, 1]), (B, Role::Mirror, vec![9, 11, 3])] {
        assert_eq!(
            table.transitions_of(id),
            [
                ((role, Synchronized), (role, Suspended)),
                ((role, Suspended), (role, Synchronizing)),
                ((role, Synchronizing), (role, Synchronized)),
            ]
        );
        assert_eq!(table.event_numbers(id), events);
    }
}

/// Paused by its owner, the mirror redoes what is queued: when it is forced afterwards, it opens at once. [OQ-61]
#[test]
fn mirror_redoes_its_queue_while_paused() {
    let opened_after_ms = |pause_ms: u64| {
        let tuning = Tuning { redo_bytes_per_s: 20_000, ..Tuning::default() };
        let mut table = Table::tuned(false, Safety::Full, tuning);
        table.run_until(5_000);
        assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
        for txn in 1..2_000 {
            table.ask_add(A, 1, txn);
            table.run_for(5);
        }
        assert!(table.confirmed(1_999));
        assert_eq!(table.sql(A, SUSPEND), Ok(()));
        table.run_for(pause_ms);
        table.crash(A);
        table.run_for(10);
        table.statement(B, "ALTER DATABASE sales SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS");
        let mut waited = 0;
        while table.servers().is_empty() {
            table.run_for(10);
            waited += 10;
            assert!(waited < 60_000, "forced service never opens");
        }
        waited
    };
    let at_once = opened_after_ms(0);
    let after_a_pause = opened_after_ms(120_000);
    assert!(at_once > 1_000 && after_a_pause < 100, "{at_once} ms, {after_a_pause} ms after a pause");
}
