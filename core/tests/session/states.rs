//! What partners show and tell: views, transitions and messages. [states.md]

use crate::table::{A, B, Table, W};
use dbm_core::io::*;
use dbm_core::types::MirroringState::{
    Disconnected, PendingFailover, Suspended, Synchronized, Synchronizing,
};
use dbm_core::types::Role::{Mirror, Principal};
use dbm_core::types::*;

fn sql(option: &str) -> String {
    format!("ALTER DATABASE sales SET {option}")
}

/// A session in one of the states that both partners can show together.
fn session(state: MirroringState) -> Table {
    let mut table = Table::new(true);
    table.run_until(5_000);
    match state {
        Suspended => assert_eq!(table.sql(A, &sql("PARTNER SUSPEND")), Ok(())),
        Synchronizing => {
            table.open(A, 1);
            table.stall_disk(B);
            table.ask_add(A, 1, 1);
            table.run_for(10);
            table.reset(A, B);
            table.run_for(2_000);
        }
        Synchronized | Disconnected | PendingFailover => {}
    }
    assert_eq!((table.state(A).1, table.state(B).1), (state, state));
    table
}

/// From every state the loss of the link leads to DISCONNECTED, on both. [TR-16, FL-16]
#[test]
fn loss_of_the_link_leads_to_disconnected() {
    for state in [Synchronized, Synchronizing, Suspended] {
        let mut table = session(state);
        table.part(A, B);
        table.run_for(15_000);
        assert_eq!(table.transitions_of(A).last(), Some(&((Principal, state), (Principal, Disconnected))));
        assert_eq!(table.transitions_of(B).last(), Some(&((Mirror, state), (Mirror, Disconnected))));
    }
}

/// When the link returns the session synchronizes, and is never SYNCHRONIZED at once. [TR-17, S-36]
#[test]
fn return_of_the_link_leads_to_synchronizing() {
    let mut table = session(Synchronized);
    let asked = table.sent(B, A, "log_request");
    table.part(A, B);
    table.run_for(15_000);
    let seen = [A, B].map(|id| table.transitions_of(id).len());
    table.join(A, B);
    table.run_for(5_000);
    for (id, role) in [(A, Principal), (B, Mirror)] {
        let [through, at] = [Synchronizing, Synchronized].map(|state| (role, state));
        assert_eq!(
            table.transitions_of(id)[seen[usize::from(id)]..],
            [((role, Disconnected), through), (through, at)]
        );
    }
    assert!(table.sent(B, A, "log_request") > asked);
}

/// With SAFETY OFF → FULL the way to SYNCHRONIZED starts anew, and ends when the mirror has hardened everything.
/// [TR-4, S-73, S-74]
#[test]
fn safety_full_starts_from_synchronizing() {
    let mut table = Table::with(true, Safety::Off);
    table.run_until(5_000);
    table.open(A, 1);
    table.stall_disk(B);
    table.ask_add(A, 1, 1);
    table.run_for(100);
    table.statement(A, &sql("PARTNER SAFETY FULL"));
    table.run_for(2_000);
    assert_eq!(table.state(A), (Principal, Synchronizing));
    table.release_disk(B);
    table.run_for(2_000);
    assert_eq!((table.state(A), table.state(B)), ((Principal, Synchronized), (Mirror, Synchronized)));
    assert_eq!(table.status[&B].safety, Safety::Full);
    assert_eq!(table.statements.last().map(|(_, result)| result.is_ok()), Some(true));
}

/// SAFETY OFF leaves the witness. [OQ-37]
#[test]
fn safety_off_leaves_the_witness() {
    let mut table = session(Synchronized);
    assert_eq!(table.sql(A, &sql("PARTNER SAFETY OFF")), Ok(()));
    assert_eq!(table.status[&A].witness, Some(WitnessState::Connected));
    assert_eq!(table.status[&B].witness, Some(WitnessState::Connected));
}

/// An automatic failover leads from DISCONNECTED to DISCONNECTED, exposed, and its end needs no command. [TR-19, OQ-51]
#[test]
fn failover_stays_disconnected_until_the_other_returns() {
    let mut table = session(Synchronized);
    table.crash(A);
    table.run_for(3_000);
    let last_two = [
        ((Mirror, Synchronized), (Mirror, Disconnected)),
        ((Mirror, Disconnected), (Principal, Disconnected)),
    ];
    assert_eq!(table.transitions_of(B)[table.transitions_of(B).len() - 2..], last_two);
    table.start(A);
    table.run_for(5_000);
    assert_eq!(table.state(B), (Principal, Synchronized));
}

/// PENDING_FAILOVER is shown by the principal only, out of SYNCHRONIZED with SAFETY FULL only. [ST-67, ST-79]
#[test]
fn pending_failover_is_never_shown_elsewhere() {
    for safety in [Safety::Full, Safety::Off] {
        let mut table = Table::with(true, safety);
        table.run_until(5_000);
        let switched = table.sql(A, &sql("PARTNER FAILOVER")).is_ok();
        assert_eq!(switched, safety == Safety::Full);
        table.run_for(3_000);
        let pending: Vec<_> = table.transitions.iter().filter(|(_, _, to)| to.1 == PendingFailover).collect();
        let expected = (A, (Principal, Synchronized), (Principal, PendingFailover));
        assert_eq!(pending, if switched { vec![&expected] } else { vec![] });
    }
}

/// A database without mirroring has neither role nor state nor witness. [ST-8, C-82]
#[test]
fn nothing_is_shown_after_removal() {
    let mut table = session(Synchronized);
    assert_eq!(table.sql(A, &sql("PARTNER OFF")), Ok(()));
    table.run_for(1_000);
    for id in [A, B] {
        let status = table.status[&id];
        assert_eq!((status.role, status.state, status.witness), (None, None, None));
    }
}

/// What clients meet: an open database on the principal, E955 without quorum, E954 on the mirror. [ST-20 … ST-22]
#[test]
fn answers_to_clients_by_role_and_quorum() {
    let mut table = session(Synchronized);
    assert!(matches!(table.open(A, 1), Reply::Connected { .. }));
    assert_eq!(table.open(B, 2), Reply::Refused { error: 954 });
    table.part(A, B);
    table.part(A, W);
    table.part(B, W);
    table.run_for(20_000);
    assert_eq!(table.open(A, 3), Reply::Refused { error: 955 });
    assert_eq!(table.open(B, 4), Reply::Refused { error: 954 });
}

/// The witness holds no copy and serves nobody. [S-4]
#[test]
fn witness_serves_nobody() {
    let mut table = session(Synchronized);
    assert!(matches!(table.open(W, 1), Reply::Refused { .. }));
}

/// A former principal that rejoined after a forced service is inaccessible. [ST-23, FO-47]
#[test]
fn former_principal_is_inaccessible_after_a_forced_service() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.part(A, B);
    table.run_for(15_000);
    assert_eq!(table.sql(B, &sql("PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS")), Ok(()));
    table.join(A, B);
    table.run_for(5_000);
    assert_eq!(table.state(A), (Mirror, Suspended));
    assert_eq!(table.open(A, 1), Reply::Refused { error: 954 });
}

/// A copy that is being promoted is in transition until its new log is durable. [ST-24]
#[test]
fn copy_in_promotion_is_in_transition() {
    let mut table = session(Synchronized);
    table.crash(A);
    while table.sent(W, B, "claim_granted") == 0 {
        table.run_for_us(100);
    }
    // The grant arrives after a millisecond, and its record is written half of one later: that write still completes.
    table.run_for_us(1_200);
    table.stall_disk(B);
    table.run_for(1_000);
    assert_eq!(table.state(B).0, Principal);
    let answer = table.open(B, 1);
    assert!(matches!(answer, Reply::Refused { error: 952 | 922 }), "{answer:?}");
    table.release_disk(B);
    table.run_for(3_000);
    assert!(matches!(table.open(B, 2), Reply::Connected { .. }));
}

/// At start-up recovery is bypassed: the mirror says E1444, a principal that knows of nobody yet E1445. [ST-27, ST-28]
#[test]
fn messages_at_start_up() {
    let mut table = session(Synchronized);
    table.messages.clear();
    for id in [A, B, W] {
        table.crash(id);
    }
    table.start(B);
    table.run_for(1_000);
    table.start(A);
    table.run_for(20);
    assert!(table.messages.contains(&(B, 1444)) && !table.messages.contains(&(B, 1445)));
    assert!(table.messages.contains(&(A, 1445)) && !table.messages.contains(&(A, 1444)));
}

/// A switch of roles is announced by E1480 on both partners. [FO-8]
#[test]
fn switch_of_roles_is_announced() {
    let mut table = session(Synchronized);
    table.messages.clear();
    assert_eq!(table.sql(A, &sql("PARTNER FAILOVER")), Ok(()));
    table.run_for(2_000);
    assert!(table.messages.contains(&(A, 1480)) && table.messages.contains(&(B, 1480)));
}

/// No event tells that the principal is SYNCHRONIZING. [EV-13, OQ-22]
#[test]
fn principal_tells_no_event_for_synchronizing() {
    let mut table = session(Synchronized);
    table.crash(B);
    table.run_for(3_000);
    table.events_told.clear();
    table.stall_disk(B);
    table.start(B);
    table.run_for(1_000);
    table.release_disk(B);
    table.run_for(5_000);
    assert!(table.transitions_of(A).contains(&((Principal, Disconnected), (Principal, Synchronizing))));
    assert_eq!(table.event_numbers(A), [1]);
}

/// SUSPENDED outlives restarts of everybody, the loss of every link, and a failover that is not to be.
/// [INV-9, FL-35, TR-11, TR-18, Q-36]
#[test]
fn suspended_ends_only_by_resume() {
    let mut table = session(Suspended);
    for id in [A, B, W] {
        table.crash(id);
        table.run_for(3_000);
        table.start(id);
        table.run_for(15_000);
        assert_eq!((table.state(A), table.state(B)), ((Principal, Suspended), (Mirror, Suspended)));
    }
    for id in [A, B, W] {
        table.crash(id);
    }
    for id in [W, B, A] {
        table.start(id);
    }
    table.run_for(20_000);
    assert_eq!((table.state(A), table.state(B)), ((Principal, Suspended), (Mirror, Suspended)));
    assert_eq!(table.sql(A, &sql("PARTNER RESUME")), Ok(()));
    table.run_for(3_000);
    assert_eq!((table.state(A), table.state(B)), ((Principal, Synchronized), (Mirror, Synchronized)));
}

/// A paused session is served, and its commits wait for nobody. [OQ-28, CL-70, CX-30]
#[test]
fn paused_session_is_served() {
    let mut table = session(Suspended);
    table.part(B, W);
    table.open(A, 1);
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    assert_eq!(table.sent(A, B, "log_block"), 0);
}

/// Roles swap any number of times. [S-2]
#[test]
fn roles_swap_any_number_of_times() {
    let mut table = session(Synchronized);
    for n in 0..6 {
        let [from, to] = if n % 2 == 0 { [A, B] } else { [B, A] };
        assert_eq!(table.sql(from, &sql("PARTNER FAILOVER")), Ok(()));
        table.run_for(3_000);
        assert_eq!((table.state(from), table.state(to)), ((Mirror, Synchronized), (Principal, Synchronized)));
        assert_eq!(table.status[&A].n, RoleSequence(n + 2));
    }
}

/// The first state of a session that is set up is SYNCHRONIZING, on both. [TR-1, ST-3, S-25]
#[test]
fn first_state_of_a_session_is_synchronizing() {
    let mut table = session(Synchronized);
    assert_eq!(table.sql(A, &sql("PARTNER OFF")), Ok(()));
    table.run_for(2_000);
    table.transitions.clear();
    assert_eq!(table.sql(B, &sql("PARTNER = 'TCP://A:5022'")), Ok(()));
    assert_eq!(table.sql(A, &sql("PARTNER = 'TCP://B:5022'")), Ok(()));
    table.run_for(3_000);
    for (id, role) in [(A, Principal), (B, Mirror)] {
        let steps = table.transitions_of(id);
        assert_eq!(steps.last(), Some(&((role, Synchronizing), (role, Synchronized))), "{steps:?}");
        let status = table.status[&id];
        assert_eq!((status.witness, status.safety), (None, Safety::Full));
    }
}
