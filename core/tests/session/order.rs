//! What has to be durable before what, and the flaws of the model check that are about the order of decisions.
//! [P-1, P-2, OQ-4, OQ-9, OQ-16, OQ-20, model-check.md]

use crate::table::{A, B, Table, W};
use dbm_core::io::Reply;
use dbm_core::types::MirroringState::{Suspended, Synchronized};
use dbm_core::types::*;

fn sql(option: &str) -> String {
    format!("ALTER DATABASE sales SET {option}")
}

/// A commit is answered after the mirror has hardened it, and log that is not hardened is not acknowledged.
/// [S-32, S-64, S-70, P-1, P-11]
#[test]
fn commit_is_answered_after_the_mirror_has_hardened() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    let acknowledged = table.sent(B, A, "log_ack");
    table.stall_disk(B);
    table.ask_add(A, 1, 1);
    table.run_for(5_000);
    assert!(!table.confirmed(1));
    assert_eq!(table.sent(B, A, "log_ack"), acknowledged);
    table.release_disk(B);
    table.run_for(100);
    assert!(table.confirmed(1));
}

/// The local write is waited for as well. [S-64, S-70, P-1]
#[test]
fn commit_is_answered_after_the_principal_has_hardened() {
    for safety in [Safety::Full, Safety::Off] {
        let mut table = Table::with(true, safety);
        table.run_until(5_000);
        table.open(A, 1);
        table.stall_disk(A);
        table.ask_add(A, 1, 1);
        table.run_for(3_000);
        assert!(!table.confirmed(1), "{safety:?}");
        table.release_disk(A);
        table.run_for(100);
        assert!(table.confirmed(1), "{safety:?}");
    }
}

/// A mirror that cannot harden delays nobody with SAFETY OFF. [S-67, S-71]
#[test]
fn mirror_never_delays_commits_with_safety_off() {
    let mut table = Table::with(false, Safety::Off);
    table.run_until(5_000);
    table.open(A, 1);
    table.stall_disk(B);
    for txn in 1..20 {
        assert!(matches!(table.add(A, 1, txn, 1), Reply::Committed { .. }));
    }
}

/// The new owner is durable at the witness before the mirror acts, and at the mirror before it serves. [FO-21, P-2]
#[test]
fn grant_is_durable_before_anybody_serves() {
    for slow in [B, W] {
        let mut table = Table::new(true);
        table.run_until(5_000);
        table.crash(A);
        table.stall_disk(slow);
        table.run_for(5_000);
        assert!(table.servers().is_empty(), "with the disk of {slow} standing still");
        table.release_disk(slow);
        table.run_for(3_000);
        assert_eq!(table.servers(), [B]);
    }
}

/// The witness says nothing about roles unless it is asked. [Q-16, OQ-41]
#[test]
fn witness_starts_no_failover() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(B, W);
    table.run_for(15_000);
    table.crash(A);
    table.run_for(5_000);
    table.join(B, W);
    table.run_for(30_000);
    assert_eq!(table.sent(B, W, "claim"), 0);
    assert_eq!(table.sent(W, B, "claim_granted"), 0);
    assert!(table.servers().is_empty());
}

/// FAILOVER: the mirror is ready when the tail is durable there. [OQ-9.1, OQ-9.2, FO-37b]
#[test]
fn mirror_is_ready_when_the_tail_is_durable() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    table.stall_disk(B);
    table.ask_add(A, 1, 1);
    table.run_for(5);
    table.statement(A, &sql("PARTNER FAILOVER"));
    table.run_for(2_000);
    assert_eq!(table.sent(A, B, "failover_start"), 1);
    assert_eq!(table.sent(B, A, "failover_ready"), 0);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::PendingFailover));
    table.release_disk(B);
    table.run_for(3_000);
    assert_eq!(table.servers(), [B]);
}

/// FAILOVER: nobody serves, and the mirror acts on nothing, before the hand-over is durable. [OQ-9.3, OQ-9.4, P-1]
#[test]
fn hand_over_is_durable_before_the_mirror_acts() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.statement(A, &sql("PARTNER FAILOVER"));
    table.run_for(1);
    table.stall_disk(A);
    table.run_for(4_000);
    assert!(table.servers().is_empty());
    assert_eq!(table.state(B).0, Role::Mirror);
    table.release_disk(A);
    table.run_for(3_000);
    assert_eq!(table.servers(), [B]);
}

/// A longer period is in force nowhere before the shorter one has ended everywhere: the mirror has it, the partners lose
/// each other, the principal takes it from the mirror, and the witness still has the old one. [F6, OQ-3.1, OQ-34]
#[test]
fn lengthened_period_never_lets_two_serve() {
    for delay_ms in 0..10 {
        let mut table = Table::new(true);
        table.run_until(5_000);
        table.statement(A, &sql("PARTNER TIMEOUT 20"));
        table.part(A, W);
        table.run_for(delay_ms);
        table.reset(A, B);
        table.run_for(3_000);
        table.part(A, B);
        for _ in 0..200 {
            table.run_for(250);
            assert!(table.servers().len() < 2, "reset after {delay_ms} ms");
        }
    }
}

/// SET WITNESS OFF and SET WITNESS =, cut off from everybody at any moment: never do two serve. [F8, OQ-16]
#[test]
fn change_of_the_witness_never_lets_two_serve() {
    for (before, option) in [(None, "WITNESS OFF"), (Some("WITNESS OFF"), "WITNESS = 'TCP://W:5022'")] {
        for delay_ms in 0..16 {
            let mut table = Table::new(true);
            table.run_until(5_000);
            if let Some(before) = before {
                assert_eq!(table.sql(A, &sql(before)), Ok(()));
                table.run_for(2_000);
            }
            table.statement(A, &sql(option));
            table.run_for(delay_ms);
            table.part(A, B);
            table.part(A, W);
            for _ in 0..160 {
                table.run_for(250);
                assert!(table.servers().len() < 2, "{option}, cut after {delay_ms} ms");
            }
        }
    }
}

/// A RESUME that was lost with the link does not undo a forced service: the flag that FORCE wrote is newer. [F9, OQ-20]
#[test]
fn lost_resume_does_not_beat_a_forced_service() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert_eq!(table.sql(A, &sql("PARTNER SUSPEND")), Ok(()));
    table.part(A, B);
    table.statement(A, &sql("PARTNER RESUME"));
    table.run_for(20_000);
    assert_eq!(table.sql(B, &sql("PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS")), Ok(()));
    table.join(A, B);
    table.run_for(10_000);
    assert_eq!(table.state(A), (Role::Mirror, Suspended));
    assert_eq!(table.state(B), (Role::Principal, Suspended));
    assert_eq!(table.sent(A, B, "page_request"), 0);
}

/// What a partner knows of the settings is not lost when it is given a higher role sequence: it keeps the newer value of
/// each, and its partner takes it. [OQ-20, QR-21]
#[test]
fn renounced_claim_does_not_bring_an_old_setting_back() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, B);
    // B claims just before it would notice that it has lost the witness, and keeps that claim.
    table.run_for(500);
    table.part(B, W);
    table.run_for(20_000);
    assert!(table.sent(B, W, "claim") > 0);
    assert_eq!(table.sql(A, &sql("WITNESS OFF")), Ok(()));
    table.join(A, B);
    table.run_for(10_000);
    assert_eq!((table.status[&A].witness, table.status[&B].witness), (None, None));
    assert_eq!((table.state(A).1, table.state(B).1), (Synchronized, Synchronized));
    assert_eq!(table.servers(), [A]);
}

/// A claim that still waits behind another write of the record binds nobody: the claimant that meets the principal takes it
/// back, and the role sequence stays. [OQ-1, OQ-4.3, FO-4]
#[test]
fn claim_that_was_not_issued_is_withdrawn() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.stall_disk(B);
    table.statement(A, &sql("PARTNER TIMEOUT 10"));
    table.run_for(10);
    table.crash(A);
    table.run_for(20);
    table.start(A);
    table.run_for(3_000);
    table.release_disk(B);
    table.run_for(5_000);
    assert_eq!(table.sent(B, W, "claim"), 0);
    for id in [A, B] {
        assert_eq!((table.status[&id].n, table.state(id).1), (RoleSequence(1), Synchronized));
    }
    assert_eq!(table.servers(), [A]);
}

/// Removing the witness changes neither partner's state. [Q-20, C-73]
#[test]
fn witness_off_leaves_the_session_synchronized() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.transitions.clear();
    assert_eq!(table.sql(A, &sql("WITNESS OFF")), Ok(()));
    table.run_for(5_000);
    assert_eq!((table.state(A).1, table.state(B).1), (Synchronized, Synchronized));
    assert_eq!(table.transitions, []);
}

/// One ping in each direction of every pair, once in each second, whatever else is sent. [OQ-2, FL-6, FL-7, S-7]
#[test]
fn pings_come_once_in_a_second() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    let pairs = [(A, B), (B, A), (A, W), (W, A), (B, W), (W, B)];
    let before = pairs.map(|(from, to)| table.sent(from, to, "ping"));
    table.run_for(10_000);
    for ((from, to), before) in pairs.into_iter().zip(before) {
        let sent = table.sent(from, to, "ping") - before;
        assert!((9..=12).contains(&sent), "{sent} from {from} to {to}");
    }
}

/// A time-out closes the channel and is reported by E1479. [FL-8]
#[test]
fn time_out_is_reported() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.messages.clear();
    table.part(A, B);
    table.run_for(9_900);
    assert!(!table.messages.contains(&(A, 1479)));
    table.run_for(2_100);
    assert!(table.messages.contains(&(A, 1479)) && table.messages.contains(&(B, 1479)));
}

/// One period holds for partner and witness alike. [FL-10]
#[test]
fn period_holds_for_every_pair() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, &sql("PARTNER TIMEOUT 30")), Ok(()));
    table.run_for(3_000);
    table.part(A, W);
    table.part(B, W);
    table.run_for(28_000);
    assert_eq!((table.shown(A).1, table.shown(B).1), (WitnessState::Connected, WitnessState::Connected));
    table.run_for(4_000);
    assert_eq!(
        (table.shown(A).1, table.shown(B).1),
        (WitnessState::Disconnected, WitnessState::Disconnected)
    );
}

/// A mirror that was away asks for everything after its own end, and gets it. [S-30, S-31, S-36]
#[test]
fn rejoining_mirror_receives_what_it_missed() {
    for safety in [Safety::Full, Safety::Off] {
        let mut table = Table::with(false, safety);
        table.run_until(5_000);
        table.open(A, 1);
        table.add(A, 1, 1, 1);
        table.crash(B);
        table.run_for(3_000);
        for txn in 2..10 {
            assert!(matches!(table.add(A, 1, txn, 1), Reply::Committed { .. }));
        }
        table.start(B);
        table.run_for(5_000);
        table.crash(A);
        table.run_for(15_000);
        assert_eq!(table.sql(B, &sql("PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS")), Ok(()));
        table.run_for(2_000);
        table.open(B, 2);
        assert_eq!(table.read(B, 2, 20), vec![991, 1009], "{safety:?}");
    }
}

/// With SAFETY OFF a session is SYNCHRONIZED when the mirror has caught up again. [S-34, TR-3]
#[test]
fn safety_off_becomes_synchronized_when_caught_up() {
    let mut table = Table::with(false, Safety::Off);
    table.run_until(5_000);
    table.crash(B);
    table.run_for(3_000);
    table.start(B);
    table.run_for(5_000);
    assert_eq!((table.state(A).1, table.state(B).1), (Synchronized, Synchronized));
}

/// A witness that has just started has heard nobody, and declares nobody lost for T + i; until then it agrees to no forced
/// service. [OQ-3.3, OQ-4.6, P-4]
#[test]
fn restarted_witness_waits_before_it_agrees() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, &sql("PARTNER SUSPEND")), Ok(()));
    table.part(A, B);
    table.part(A, W);
    table.run_for(20_000);
    table.crash(W);
    table.start(W);
    table.run_for(8_000);
    assert_eq!(table.sql(B, &sql("PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS")), Err(1455));
    table.run_for(5_000);
    assert_eq!(table.sql(B, &sql("PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS")), Ok(()));
}

/// The witness is told of SUSPEND and SAFETY with the same round. [OQ-54]
#[test]
fn witness_learns_settings_at_once() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    for option in ["PARTNER SUSPEND", "PARTNER RESUME", "PARTNER SAFETY OFF", "PARTNER SAFETY FULL"] {
        let told = table.sent(A, W, "setting");
        assert_eq!(table.sql(A, &sql(option)), Ok(()));
        assert!(table.sent(A, W, "setting") > told, "{option}");
    }
}

/// A witness that was away when mirroring was removed is told when it comes back. [OQ-55, C-80]
#[test]
fn witness_that_was_away_learns_of_the_removal() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(W);
    table.run_for(3_000);
    assert_eq!(table.sql(A, &sql("PARTNER OFF")), Ok(()));
    table.run_for(3_000);
    table.start(W);
    table.run_for(15_000);
    assert!(table.sent(A, W, "session_end") + table.sent(B, W, "session_end") > 0);
}

/// Issued in the other order the statements start no session: the principal needs a copy that waits for it. Then, in the
/// right order, and with a witness, it is one that fails over. [S-23, S-24, S-26, S-28]
#[test]
fn session_needs_a_waiting_mirror() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, &sql("PARTNER OFF")), Ok(()));
    table.run_for(2_000);
    assert_eq!(table.sql(A, &sql("PARTNER = 'TCP://B:5022'")), Err(1416));
    assert_eq!(table.sql(B, &sql("PARTNER = 'TCP://A:5022'")), Ok(()));
    table.run_for(5_000);
    assert_eq!(table.status[&A].role, None);
    assert_eq!(table.sql(A, &sql("PARTNER = 'TCP://B:5022'")), Ok(()));
    table.run_for(3_000);
    assert_eq!(table.sql(A, &sql("WITNESS = 'TCP://W:5022'")), Ok(()));
    table.run_for(3_000);
    table.crash(A);
    table.run_for(3_000);
    assert_eq!(table.servers(), [B]);
}

/// The mirror's log is the principal's, byte for byte, as far as it goes. [INV-4, S-5]
#[test]
fn mirrors_log_is_a_prefix_of_the_principals() {
    use dbm_core::io::{FileId, FileKind};
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(A, 1);
    for txn in 1..20 {
        table.add(A, 1, txn, 1);
    }
    let log = |id: u8| &table.disks[&(id, FileId { session: crate::table::SESSION, kind: FileKind::Log })];
    assert_eq!(log(A), log(B));
}

/// A witness that has lost its record of the session says so, and is no witness until it is set again. [FL-30, Q-18]
#[test]
fn witness_without_its_record_does_not_count() {
    use dbm_core::io::{FileId, FileKind};
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(W);
    table.disks.remove(&(W, FileId { session: crate::table::SESSION, kind: FileKind::Record }));
    table.messages.clear();
    table.start(W);
    table.run_for(15_000);
    assert!(table.messages.contains(&(A, 1402)));
    table.crash(B);
    table.run_for(15_000);
    assert!(table.servers().is_empty());
    table.start(B);
    table.run_for(5_000);
    assert_eq!(table.sql(A, &sql("WITNESS OFF")), Ok(()));
    table.run_for(2_000);
    assert_eq!(table.sql(A, &sql("WITNESS = 'TCP://W:5022'")), Ok(()));
    table.run_for(3_000);
    table.crash(A);
    table.run_for(3_000);
    assert_eq!(table.servers(), [B]);
}

/// What each instance knows of the session outlives the restart of all of them. [S-6, P-1]
#[test]
fn session_outlives_the_restart_of_everybody() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(A, &sql("PARTNER FAILOVER")), Ok(()));
    table.run_for(3_000);
    assert_eq!(table.sql(B, &sql("PARTNER SAFETY OFF")), Ok(()));
    let before = [A, B].map(|id| table.status[&id]);
    for id in [A, B, W] {
        table.crash(id);
    }
    for id in [A, B, W] {
        table.start(id);
    }
    table.run_for(10_000);
    assert_eq!([A, B].map(|id| table.status[&id]), before);
}

/// A statement may be accepted and its end never come: it fails after its time, and the views tell what has become of it.
/// [C-44, C-46, S-29]
#[test]
fn statement_without_an_answer_fails_after_its_time() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    table.stall_disk(B);
    table.statement(A, &sql("PARTNER SAFETY OFF"));
    table.run_for(9_900);
    assert_eq!(table.statements, []);
    table.run_for(200);
    assert_eq!(table.statements.last().map(|(_, result)| result.map_err(|e| e.number)), Some(Err(1421)));
    assert_eq!(table.status[&A].safety, Safety::Off);
}

/// SAFETY OFF makes it a high-performance session: nobody waits, and there is no failover by hand. [S-27, S-60, FO-33]
#[test]
fn safety_off_makes_a_high_performance_session() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert_eq!(table.sql(A, &sql("PARTNER SAFETY OFF")), Ok(()));
    table.stall_disk(B);
    table.open(A, 1);
    assert!(matches!(table.add(A, 1, 1, 5), Reply::Committed { .. }));
    assert_eq!(table.sql(A, &sql("PARTNER FAILOVER")), Err(1477));
}

/// An automatic failover takes the detection and little more, and one by hand that little only. [FO-70, FO-71, FO-74]
#[test]
fn time_out_of_service() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.statement(A, &sql("PARTNER FAILOVER"));
    table.run_for(100);
    assert_eq!(table.servers(), [B]);
    table.run_for(5_000);
    table.part(B, A);
    table.part(B, W);
    table.run_for(8_900);
    assert_eq!(table.servers(), [B]);
    table.run_for(4_300);
    assert_eq!(table.servers(), [A]);
}
