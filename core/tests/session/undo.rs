//! What is kept and what is undone when a former principal rejoins. [failover.md sections 4 and 5]

use crate::table::{A, B, Table, W};
use dbm_core::io::*;
use dbm_core::types::MirroringState::{Suspended, Synchronized};
use dbm_core::types::Role::Mirror;
use dbm_core::types::*;

const FORCE: &str = "ALTER DATABASE sales SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS";
const RESUME: &str = "ALTER DATABASE sales SET PARTNER RESUME";
const FAILOVER: &str = "ALTER DATABASE sales SET PARTNER FAILOVER";
const OFF: &str = "ALTER DATABASE sales SET PARTNER OFF";

/// A has hardened log alone, B is principal by an automatic failover, and the two meet again, until the first frame of
/// this kind: then B and the witness are cut off from A's point of view.
fn undo_cut_at(kind: &'static str) -> Table {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.add(A, 1, 1, 5);
    table.part(A, B);
    table.part(A, W);
    table.ask_add(A, 1, 2);
    table.run_for(20_000);
    assert_eq!(table.servers(), [B]);
    table.join(A, B);
    table.join(A, W);
    table.cut_when(A, B, kind);
    table.run_for(5_000);
    assert!(table.sent(A, B, kind) + table.sent(B, A, kind) > 0);
    table.part(B, W);
    table.run_for(20_000);
    table
}

/// A copy in the middle of an undo is not consistent: service cannot be forced there, and mirroring cannot be removed.
/// [FO-44, FO-54, C-62, OQ-21]
#[test]
fn copy_in_the_middle_of_an_undo_is_no_principal() {
    let mut table = undo_cut_at("page_request");
    assert_eq!(table.state(A).0, Mirror);
    assert_eq!(table.sql(A, FORCE), Err(1406));
    assert_eq!(table.sql(A, OFF), Err(1457));
    table.crash(A);
    table.run_for(1_000);
    table.start(A);
    table.run_for(20_000);
    assert_eq!(table.sql(A, FORCE), Err(1406));
    assert_eq!(table.sql(A, OFF), Err(1457));
    // Met again, it goes on from its list.
    table.join(A, B);
    table.join(B, W);
    table.run_for(20_000);
    assert_eq!((table.state(A), table.servers()), ((Mirror, Synchronized), vec![B]));
    assert_eq!(table.sql(A, OFF), Ok(()));
}

/// A new mirror whose log ends at the failover LSN has nothing to undo and goes on from there. [FO-42]
#[test]
fn nothing_is_undone_after_a_manual_failover() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.add(A, 1, 1, 5);
    assert_eq!(table.sql(A, FAILOVER), Ok(()));
    table.run_for(3_000);
    assert_eq!(table.state(A), (Mirror, Synchronized));
    assert_eq!(table.sent(A, B, "page_request"), 0);
}

/// With or without a witness: A has confirmed 2 alone, exposed; B was forced and has confirmed 3. Both have 1.
fn forced(witness: bool) -> Table {
    let mut table = Table::new(witness);
    table.run_until(5_000);
    table.open(A, 1);
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    table.part(A, B);
    table.run_for(20_000);
    table.open(A, 2);
    assert!(matches!(table.add(A, 2, 2, 20), Reply::Committed { .. }));
    table.part(A, W);
    table.run_for(20_000);
    assert_eq!(table.sql(B, FORCE), Ok(()));
    table.run_for(2_000);
    table.open(B, 3);
    assert!(matches!(table.add(B, 3, 3, 100), Reply::Committed { .. }));
    table.join(A, B);
    table.join(A, W);
    table.run_for(10_000);
    assert_eq!((table.state(A), table.state(B).1), ((Mirror, Suspended), Suspended));
    table
}

/// Exactly what A had confirmed beyond the fork is gone after RESUME, and not before: what both had and what B confirmed
/// is kept. [FO-45, FO-46, FO-49, FO-64 … FO-67, INV-10, CL-51]
#[test]
fn exposed_changes_are_lost_by_force_and_resume_only() {
    for witness in [true, false] {
        let mut table = forced(witness);
        assert_eq!(table.sent(A, B, "page_request"), 0);
        assert_eq!(table.sql(B, RESUME), Ok(()));
        table.run_for(5_000);
        assert!(table.sent(A, B, "page_request") > 0);
        assert_eq!(table.sql(B, FAILOVER), Ok(()));
        table.run_for(3_000);
        table.open(A, 9);
        assert_eq!(table.read(A, 9, 9), vec![1000 - 105, 1000 + 105], "witness {witness}");
    }
}

/// A copy that was demoted by a forced service and not resumed has left the fork: forcing it is refused. [FO-55, OQ-7]
#[test]
fn copy_off_the_fork_cannot_be_forced() {
    for witness in [true, false] {
        let mut table = forced(witness);
        table.part(A, B);
        table.part(B, W);
        table.run_for(20_000);
        assert_eq!(table.sql(A, FORCE), Err(1455), "witness {witness}");
    }
}

/// A mirror of a paused session is on the fork: the flag alone does not keep it from being forced. [FO-55, OQ-7]
#[test]
fn mirror_that_was_paused_can_be_forced() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SUSPEND"), Ok(()));
    table.part(A, B);
    table.run_for(20_000);
    assert_eq!(table.sql(B, FORCE), Ok(()));
}

/// A forced service that is ordered while the mirror already asks the witness for the role is refused. [FO-56]
#[test]
fn force_during_an_automatic_failover_is_refused() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(A);
    while table.sent(B, W, "claim") == 0 {
        table.run_for_us(100);
    }
    assert_eq!(table.sql(B, FORCE), Err(1455));
    table.run_for(2_000);
    assert_eq!(table.servers(), [B]);
}

/// Clients of the former principal are gone, and their open transactions are rolled back. [FO-6]
#[test]
fn open_transactions_end_with_the_role() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.call(A, 1, ClientEvent::Request(Request::Begin(TxnId(1))));
    table.call(A, 1, ClientEvent::Request(Request::Execute(Op::Add(Key(0), -5))));
    assert_eq!(table.sql(A, FAILOVER), Ok(()));
    table.run_for(3_000);
    assert_eq!(table.open(A, 2), Reply::Refused { error: 954 });
    table.open(B, 3);
    assert_eq!(table.read(B, 3, 2), vec![1000, 1000]);
}
