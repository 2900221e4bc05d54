//! The rows QR-1 to QR-22, QS-1 and QS-2 and: what comes after what. [quorum.md sections 3 to 5]
//!
//! A case begins where its row begins, does what the row names, and expects what it says; `says` is the part of the
//! row's text that it stands for, so that a rule that is rewritten is met by a test that fails. Where a row says "or",
//! and where it leaves open how something is lost, the seed chooses.

use crate::links::{self, Before, FORCE, RESUME, SUSPEND};
use crate::play::*;
use crate::spec::{self, Row};
use dbm_sim::fault::{Action, Path};
use dbm_sim::scenario::RoleName::{Mirror, Principal};
use dbm_sim::scenario::StateName::{Disconnected, Suspended, Synchronized, Synchronizing};
use dbm_sim::scenario::WitnessName::{self, Connected, Null};
use dbm_sim::time::Time;

const LEFT: WitnessName = WitnessName::Disconnected;

/// A row's course of events.
pub struct Case {
    /// Such as "QR-3".
    pub id: &'static str,
    says: &'static str,
    mode: Mode,
    course: fn(&mut Play),
}

const fn case(id: &'static str, says: &'static str, course: fn(&mut Play)) -> Case {
    Case { id, says, mode: Mode::FULL, course }
}

const fn alone(id: &'static str, says: &'static str, course: fn(&mut Play)) -> Case {
    Case { id, says, mode: Mode::ALONE, course }
}

/// One for each row.
pub const CASES: &[Case] = &[
    case("QR-1", "A stops serving; automatic failover to B", qr_1),
    case("QR-2", "QT-A6: A exposed through the witness", qr_2),
    case("QR-3", "nobody serves; no failover, also not when MW returns", qr_3),
    case("QR-4", "nobody serves", qr_4),
    case("QR-5", "A stops serving; no automatic failover although B and W are connected", qr_5),
    case("QR-6", "A stops serving; nobody serves", qr_6),
    case("QR-7", "still nobody; forcing becomes possible", qr_7),
    case("QR-8", "served by A, exposed", qr_8),
    case("QR-9", "A takes the mirror role, resynchronises", qr_9),
    case("QR-10", "nobody serves; A reaching W is told that B owns the role and stays offline", qr_10),
    case("QR-11", "served by B", qr_11),
    case("QR-12", "served by A, exposed, after the witness confirms", qr_12),
    case("QR-13", "served by A; partners resynchronise; SYNCHRONIZED when caught up", qr_13),
    case("QR-14", "not served, no automatic failover", qr_14_ends),
    case("QR-15", "served by A", qr_15),
    case("QR-16", "B serves, exposed, SUSPENDED once A rejoins", qr_16),
    case("QR-17", "regular operation; automatic failover armed again when SYNCHRONIZED", qr_17),
    case("QR-18", "B regains quorum as mirror; SYNCHRONIZING, then SYNCHRONIZED", qr_18),
    case("QR-19", "automatic failover possible again", qr_19),
    case("QR-20", "no quorum requirement any more; loss of PM then gives QT-D3", qr_20),
    case("QR-21", "A goes on without a quorum requirement; B learns on reconnect", qr_21),
    case("QR-22", "refused (E1431); the database stays offline", qr_22),
    case("QS-1.0", "A; A", qs_start),
    case("QS-1.1", "B (witness and mirror agree); B after failover", qs_1_1),
    case("QS-1.2", "B; nobody", qs_1_2),
    case("QS-1.3", "B; the witness tells A; nobody: A must stay offline", qs_1_3),
    case("QS-1.4", "B; B", qs_1_4),
    case("QS-2.0", "A; A", qs_start),
    case("QS-2.1", "A; A", qs_2_1),
    case("QS-2.2", "A; nobody", qs_2_2),
    case("QS-2.3", "A; the witness confirms; A", qs_2_3),
    case("Q-30", "not served (E955)", q_30),
    case("Q-31", "serves, exposed", q_31),
    case("Q-32", "stays offline, takes the mirror role when it reaches its partner", q_32),
    case("Q-33", "serves; partner-to-partner quorum", q_33),
    case("Q-34", "takes the mirror role;", q_34_after_a_failover),
    alone("Q-34", "SUSPENDED if that switch was a forced service", q_34_after_a_forced_service),
    alone("Q-35", "comes online, exposed, after trying its partner for one time-out period", q_35),
    case("Q-36", "rejoins as mirror; SYNCHRONIZING,", q_36),
    case("Q-36", "or SUSPENDED if the flag is set", q_36_suspended),
    case("Q-37", "stays mirror; automatic failover not armed", q_37),
    case("Q-38", "offers its durable record; never changes roles by restarting", q_38),
];

/// Plays the cases of a row with one seed.
pub fn play(row: &Row, seed: u64) -> Result<(), String> {
    let mut failed = Vec::new();
    for (nth, case) in CASES.iter().filter(|case| case.id == row.id).enumerate() {
        let result = row.result()?;
        if !result.contains(case.says) {
            return Err(format!("{}: the test expects `{}`, the row says `{result}`", row.id, case.says));
        }
        let mut play = Play::new(&format!("{}-{}", row.id, nth + 1), case.mode, seed);
        (case.course)(&mut play);
        if let Err(e) = play.judge() {
            failed.push(format!("{}, {}, seed {seed}\n{e}", row.id, case.says));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Full connectivity, SYNCHRONIZED.
fn begin(play: &mut Play) {
    links::begin(play, Before::Synchronized);
}

/// From full connectivity into a row of mode A, which is seen.
fn enter(play: &mut Play, id: &str) {
    begin(play);
    let row = row(id);
    let gone = |link: &Link| spec::link(&row, link.name()) == Ok(Some(false));
    let lost: Vec<Link> = Link::ALL.into_iter().filter(gone).collect();
    play.lose(&lost);
    play.settle();
    sees_row(play, id);
}

/// What the columns of a row of mode A say is seen.
fn sees_row(play: &mut Play, id: &str) {
    let seen =
        links::sights(play, &row(id), Mode::FULL, Before::Synchronized).expect("the row was read before");
    play.sees(&seen);
}

fn row(id: &str) -> Row {
    spec::rows().into_iter().find(|row| row.id == id).unwrap_or_else(|| panic!("there is no row {id}"))
}

/// A is principal again or still, everything is as at the start, and the next loss of A leads to a failover.
fn regular_and_armed(play: &mut Play) {
    sees_row(play, "QT-A1");
    play.down(A);
    play.settle();
    play.sees(&[served_by(B), role(B, Principal), sequence(B, 2)]);
    play.loses_nothing();
}

fn qr_1(play: &mut Play) {
    enter(play, "QT-A3");
    play.lose(&[Link::Pm]);
    play.settle();
    play.sees(&[served_by(B), state(A, Disconnected), witness(A, LEFT), role(B, Principal), sequence(B, 2)]);
    play.loses_nothing();
}

fn qr_2(play: &mut Play) {
    enter(play, "QT-A2");
    play.lose(&[Link::Pm]);
    play.settle();
    sees_row(play, "QT-A6");
}

fn qr_3(play: &mut Play) {
    enter(play, "QT-A2");
    play.down(A);
    play.settle();
    play.sees(&[not_served(), role(B, Mirror), witness(B, LEFT)]);
    play.join(&[Link::Mw]);
    play.settle();
    play.sees(&[not_served(), role(B, Mirror), witness(B, Connected), sequence(B, 1)]);
}

fn qr_4(play: &mut Play) {
    enter(play, "QT-A4");
    match play.one_of(&[None, Some(A), Some(B)]) {
        None => play.lose(&[Link::Pm]),
        Some(partner) => play.down(partner),
    }
    play.settle();
    play.sees(&[not_served()]);
    play.loses_nothing();
}

fn qr_5(play: &mut Play) {
    enter(play, "QT-A5");
    play.lose(&[Link::Pw]);
    play.settle();
    play.sees(&[not_served(), role(B, Mirror), witness(B, Connected), sequence(B, 1)]);
    play.sql(B, FORCE, None);
    play.pass(Time::secs(3));
    play.sees(&[role(B, Principal), sequence(B, 2)]);
    play.sees(&[served_by(B)]);
}

fn qr_6(play: &mut Play) {
    enter(play, "QT-A6");
    play.lose(&[Link::Pw]);
    play.settle();
    sees_row(play, "QT-A8");
}

fn qr_7(play: &mut Play) {
    qr_6(play);
    play.join(&[Link::Mw]);
    play.settle();
    play.sees(&[not_served(), role(B, Mirror), witness(B, Connected), sequence(B, 1)]);
    play.sql(B, FORCE, None);
    play.pass(Time::secs(4));
    play.sees(&[served_by(B), role(B, Principal), sequence(B, 2)]);
    play.join_all();
    play.settle();
    play.sees(&[served_by(B), role(A, Mirror), state(A, Suspended), state(B, Suspended)]);
    // What A changed while it was exposed is undone now, and not before.
    play.sql(B, RESUME, None);
    play.reaches_after(A, "undo.begin");
    play.pass(Time::secs(4));
    play.sees(&[served_by(B), state(A, Synchronized), state(B, Synchronized)]);
}

fn qr_8(play: &mut Play) {
    qr_6(play);
    play.join(&[Link::Pw]);
    play.settle();
    sees_row(play, "QT-A6");
}

fn qr_9(play: &mut Play) {
    enter(play, "QT-A7");
    let links = play.one_of(&[&[Link::Pm][..], &[Link::Pm, Link::Pw], &[Link::Pw]]);
    play.join(links);
    play.settle();
    play.sees(&[served_by(B), role(B, Principal), sequence(A, 2)]);
    play.join(&[Link::Pm]);
    play.settle();
    play.sees(&[served_by(B), role(A, Mirror), state(A, Synchronized), state(B, Synchronized)]);
    play.loses_nothing();
}

/// B is principal and has lost everybody; A reaches W. Is B down, or cut off?
fn b_lost_and_a_reaches_w(play: &mut Play, down: bool) {
    enter(play, "QT-A7");
    if down {
        play.down(B);
    } else {
        play.lose(&[Link::Mw]);
    }
    play.settle();
    play.sees(&[not_served()]);
    play.join(&[Link::Pw]);
    play.settle();
    play.sees(&[not_served(), witness(A, Connected), sequence(A, 2), role(A, Mirror)]);
}

fn qr_10(play: &mut Play) {
    let down = play.one_in(2);
    b_lost_and_a_reaches_w(play, down);
    play.loses_nothing();
}

fn qr_11(play: &mut Play) {
    let down = play.one_in(3);
    b_lost_and_a_reaches_w(play, down);
    if down {
        play.up(B);
    } else {
        let link = play.one_of(&[Link::Mw, Link::Pm]);
        play.join(&[link]);
    }
    play.settle();
    play.sees(&[served_by(B), role(B, Principal), role(A, Mirror), sequence(B, 2)]);
    play.loses_nothing();
}

fn qr_12(play: &mut Play) {
    enter(play, "QT-A8");
    play.join(&[Link::Pw]);
    play.settle();
    play.sees(&[
        served_by(A),
        state(A, Disconnected),
        witness(A, Connected),
        role(A, Principal),
        role(B, Mirror),
    ]);
    play.loses_nothing();
}

fn qr_13(play: &mut Play) {
    enter(play, "QT-A8");
    play.join(&[Link::Pm]);
    play.settle();
    play.sees(&[
        served_by(A),
        state(A, Synchronized),
        state(B, Synchronized),
        witness(A, LEFT),
        role(B, Mirror),
    ]);
    play.loses_nothing();
}

fn qr_14(play: &mut Play) {
    enter(play, "QT-A8");
    play.join(&[Link::Mw]);
    play.settle();
    play.sees(&[not_served(), role(A, Principal), role(B, Mirror), witness(B, Connected), sequence(B, 1)]);
}

fn qr_14_ends(play: &mut Play) {
    qr_14(play);
    play.loses_nothing();
}

fn qr_15(play: &mut Play) {
    qr_14(play);
    let links = play.one_of(&[&[Link::Pm][..], &[Link::Pw], &[Link::Pm, Link::Pw]]);
    play.join(links);
    play.settle();
    play.sees(&[served_by(A), role(A, Principal), role(B, Mirror)]);
    play.loses_nothing();
}

fn qr_16(play: &mut Play) {
    qr_14(play);
    play.sql(B, FORCE, None);
    play.pass(Time::secs(4));
    play.sees(&[served_by(B), role(B, Principal), state(B, Disconnected)]);
    play.join_all();
    play.settle();
    play.sees(&[served_by(B), role(A, Mirror), state(A, Suspended), state(B, Suspended)]);
}

fn qr_17(play: &mut Play) {
    enter(play, "QT-A8");
    play.join_all();
    play.settle();
    play.sees(&[served_by(A), state(A, Synchronized), state(B, Synchronized)]);
    play.sees(&[witness(A, Connected), witness(B, Connected)]);
    play.down(A);
    play.settle();
    play.sees(&[served_by(B), role(B, Principal)]);
    play.loses_nothing();
}

fn qr_18(play: &mut Play) {
    begin(play);
    play.down(B);
    play.settle();
    sees_row(play, "QT-A6");
    play.up(B);
    play.sees_within(Time::secs(4), &[state(B, Synchronizing), state(A, Synchronizing), role(B, Mirror)]);
    sees_row(play, "QT-A1");
    play.loses_nothing();
}

fn qr_19(play: &mut Play) {
    if play.one_in(2) {
        enter(play, "QT-A4");
        play.join_all();
    } else {
        begin(play);
        play.down(W);
        play.settle();
        sees_row(play, "QT-A4");
        play.up(W);
    }
    play.settle();
    regular_and_armed(play);
}

fn qr_20(play: &mut Play) {
    enter(play, "QT-A4");
    play.sql(A, "WITNESS OFF", None);
    play.pass(Time::secs(2));
    play.sees(&[served_by(A), witness(A, Null), witness(B, Null)]);
    play.lose(&[Link::Pm]);
    play.settle();
    let seen = links::sights(play, &row("QT-D3"), Mode::ALONE, Before::Synchronized);
    play.sees(&seen.expect("the row was read before"));
    play.loses_nothing();
}

fn qr_21(play: &mut Play) {
    enter(play, "QT-A6");
    play.sql(A, "WITNESS OFF", None);
    play.pass(Time::secs(2));
    play.lose(&[Link::Pw]);
    play.settle();
    play.sees(&[served_by(A), witness(A, Null), role(B, Mirror)]);
    // The old witness has no entry any more: for B it is as if it were away.
    play.join(&[Link::Mw]);
    play.settle();
    play.sql(B, FORCE, Some(1431));
    play.sees(&[served_by(A), role(B, Mirror), sequence(B, 1)]);
    play.join(&[Link::Pm]);
    play.settle();
    play.sees(&[served_by(A), witness(B, Null), state(A, Synchronized), state(B, Synchronized)]);
    play.loses_nothing();
}

fn qr_22(play: &mut Play) {
    enter(play, "QT-A8");
    play.sql(A, "WITNESS OFF", Some(1431));
    sees_row(play, "QT-A8");
    play.loses_nothing();
}

fn qs_start(play: &mut Play) {
    begin(play);
    sees_row(play, "QT-A1");
}

fn qs_1_1(play: &mut Play) {
    qs_start(play);
    play.down(A);
    play.settle();
    play.sees(&[served_by(B), role(B, Principal), sequence(B, 2), witness(B, Connected)]);
}

fn qs_1_2(play: &mut Play) {
    qs_1_1(play);
    play.down(B);
    play.settle();
    play.sees(&[not_served()]);
}

fn qs_1_3(play: &mut Play) {
    qs_1_2(play);
    play.up(A);
    play.settle();
    play.sees(&[not_served(), witness(A, Connected), role(A, Mirror), sequence(A, 2)]);
}

fn qs_1_4(play: &mut Play) {
    qs_1_3(play);
    play.up(B);
    play.settle();
    play.sees(&[served_by(B), role(B, Principal), role(A, Mirror), sequence(B, 2)]);
    play.loses_nothing();
}

fn qs_2_1(play: &mut Play) {
    enter(play, "QT-A4");
}

fn qs_2_2(play: &mut Play) {
    qs_2_1(play);
    play.lose(&[Link::Pm]);
    play.settle();
    sees_row(play, "QT-A8");
}

fn qs_2_3(play: &mut Play) {
    qs_2_2(play);
    play.join(&[Link::Pw]);
    play.settle();
    play.sees(&[served_by(A), role(A, Principal), role(B, Mirror), witness(A, Connected), sequence(A, 1)]);
    play.loses_nothing();
}

fn q_30(play: &mut Play) {
    enter(play, "QT-A8");
    play.down(A);
    play.up(A);
    play.settle();
    play.sees(&[not_served(), role(A, Principal), state(A, Disconnected), witness(A, LEFT)]);
    play.loses_nothing();
}

fn q_31(play: &mut Play) {
    enter(play, "QT-A6");
    play.down(A);
    play.up(A);
    play.settle();
    sees_row(play, "QT-A6");
    play.loses_nothing();
}

fn q_32(play: &mut Play) {
    begin(play);
    play.down(A);
    play.settle();
    play.sees(&[served_by(B), role(B, Principal)]);
    play.lose(&[Link::Pm]);
    play.up(A);
    play.settle();
    play.sees(&[served_by(B), witness(A, Connected), sequence(A, 2), state(A, Disconnected)]);
    play.join(&[Link::Pm]);
    play.settle();
    play.sees(&[served_by(B), role(A, Mirror), state(A, Synchronized), state(B, Synchronized)]);
    play.loses_nothing();
}

fn q_33(play: &mut Play) {
    enter(play, "QT-A4");
    play.down(A);
    play.settle();
    play.sees(&[not_served()]);
    play.up(A);
    play.settle();
    sees_row(play, "QT-A4");
    play.loses_nothing();
}

fn q_34_after_a_failover(play: &mut Play) {
    begin(play);
    play.down(A);
    play.settle();
    play.up(A);
    play.settle();
    play.sees(&[
        served_by(B),
        role(A, Mirror),
        state(A, Synchronized),
        state(B, Synchronized),
        sequence(A, 2),
    ]);
    play.loses_nothing();
}

fn q_34_after_a_forced_service(play: &mut Play) {
    begin(play);
    play.down(A);
    play.settle();
    play.sql(B, FORCE, None);
    play.pass(Time::secs(4));
    play.up(A);
    play.settle();
    play.sees(&[served_by(B), role(A, Mirror), state(A, Suspended), state(B, Suspended), sequence(A, 2)]);
}

fn q_35(play: &mut Play) {
    begin(play);
    play.lose(&[Link::Pm]);
    play.settle();
    play.down(A);
    play.pass(Time::secs(1));
    play.up(A);
    play.pass(Time::millis(500));
    // The time-out period has not passed yet.
    play.sees(&[not_served(), role(A, Principal)]);
    play.settle();
    play.sees(&[served_by(A), state(A, Disconnected), witness(A, Null), role(B, Mirror)]);
    play.loses_nothing();
}

fn q_36(play: &mut Play) {
    begin(play);
    play.down(B);
    play.up(B);
    play.sees_within(Time::secs(4), &[state(B, Synchronizing), role(B, Mirror)]);
    play.settle();
    sees_row(play, "QT-A1");
    play.loses_nothing();
}

fn q_36_suspended(play: &mut Play) {
    begin(play);
    play.sql(A, SUSPEND, None);
    play.pass(Time::secs(1));
    play.down(B);
    play.up(B);
    play.settle();
    play.sees(&[served_by(A), role(B, Mirror), state(A, Suspended), state(B, Suspended)]);
}

fn q_37(play: &mut Play) {
    begin(play);
    // In one moment, so that A never notices and never runs exposed.
    play.crash_now(B);
    play.crash_now(A);
    play.pass(Time::secs(1));
    play.up(B);
    play.settle();
    play.sees(&[
        not_served(),
        role(B, Mirror),
        state(B, Disconnected),
        witness(B, Connected),
        sequence(B, 1),
    ]);
    play.up(A);
    play.settle();
    regular_and_armed(play);
}

fn q_38(play: &mut Play) {
    begin(play);
    play.down(W);
    play.up(W);
    play.sees(&[served_by(A), role(A, Principal), role(B, Mirror), sequence(A, 1)]);
    play.lose(&[Link::Pm, Link::Pw]);
    play.settle();
    play.sees(&[served_by(B), sequence(B, 2)]);
    play.down(W);
    play.up(W);
    play.settle();
    // Its record is what it tells A.
    play.join(&[Link::Pw]);
    play.settle();
    play.sees(&[served_by(B), role(B, Principal), role(A, Mirror), sequence(A, 2)]);
    play.act(Action::Heal(Path { from: A.into(), to: B.into(), both: true }));
    play.settle();
    play.sees(&[served_by(B), state(A, Synchronized)]);
    play.loses_nothing();
}
