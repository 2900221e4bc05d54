//! The rows QT-A1 to QT-E4: every combination of links, from the columns of the tables. [Q-1 … Q-13]
//!
//! Each row is entered from full connectivity and looked at; then one thing is asked, in a run of its own: whether the
//! mirror takes over when A is lost next, what FAILOVER answers on A, what FORCE_SERVICE_ALLOW_DATA_LOSS answers on B,
//! and, where nobody serves until A returns, whether A serves then.

use crate::play::*;
use crate::spec::{self, Answer, Row, Server, Shown, View};
use dbm_sim::fault::{Action, Path};
use dbm_sim::scenario::{RoleName, SafetyDecl, StateName, WitnessName};
use dbm_sim::time::Time;

pub const FAILOVER: &str = "PARTNER FAILOVER";
pub const FORCE: &str = "PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS";
pub const SUSPEND: &str = "PARTNER SUSPEND";
pub const RESUME: &str = "PARTNER RESUME";

/// What a run asks about its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Automatic,
    Manual,
    Forced,
    Return,
}

/// The session before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Synchronized,
    /// The mirror has just rejoined and cannot harden.
    Synchronizing,
    Suspended,
}

impl Before {
    fn of(sign: &str) -> Before {
        match sign {
            "S" => Before::Synchronized,
            "…" => Before::Synchronizing,
            "X" => Before::Suspended,
            _ => unreachable!("the rows name no other"),
        }
    }

    fn state(self) -> StateName {
        match self {
            Before::Synchronized => StateName::Synchronized,
            Before::Synchronizing => StateName::Synchronizing,
            Before::Suspended => StateName::Suspended,
        }
    }
}

/// Plays a row with one seed, for every session before and every question. [QT-A1 … QT-E4]
pub fn play(row: &Row, seed: u64) -> Result<(), String> {
    let mut failed = Vec::new();
    for sign in spec::before(row)? {
        for question in [Question::Automatic, Question::Manual, Question::Forced, Question::Return] {
            if let Some(play) = course(row, Before::of(sign), question, seed)?
                && let Err(e) = play.judge()
            {
                failed.push(format!("{}, session {sign}, {question:?}, seed {seed}\n{e}", row.id));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Full connectivity, with the session in this state.
pub fn begin(play: &mut Play, before: Before) {
    let both = || [state(A, before.state()), state(B, before.state())];
    match before {
        Before::Synchronized => play.pass(Time::secs(2)),
        Before::Synchronizing => {
            // The mirror's disk stands still with log on its way to it; after a break it has nothing to go on from.
            play.act(Action::DiskStall(B.into()));
            play.pass(Time::secs(1));
            play.act(Action::Reset(Path { from: A.into(), to: B.into(), both: true }));
            play.pass(Time::secs(1));
        }
        Before::Suspended => suspend(play),
    }
    play.sees_within(Time::secs(1), &both());
}

/// SUSPEND on either partner.
fn suspend(play: &mut Play) {
    let on = play.one_of(&[A, B]);
    play.sql(on, SUSPEND, None);
    play.pass(Time::secs(2));
}

/// The course of events of one run; `None` where the row has no such column, or nobody who could be asked.
fn course(row: &Row, before: Before, question: Question, seed: u64) -> Result<Option<Play>, String> {
    let letter = row.id.chars().nth(3).unwrap_or_default();
    let mode = Mode::of(letter).ok_or_else(|| format!("{}: is of no mode", row.id))?;
    let server = spec::server(row)?;
    let wanted = match question {
        Question::Automatic => mode.witness && spec::armed(row)?.is_some(),
        Question::Manual => true,
        Question::Forced => spec::forced(row)? != Answer::Untold,
        Question::Return => server == Server::NobodyUntilReturn,
    };
    if !wanted {
        return Ok(None);
    }
    let mut play = Play::new(&format!("{}-{before:?}-{question:?}", row.id), mode, seed);
    // While the partners are connected the owner may change the session after the loss as well as before: then a
    // witness that was lost has not heard of it.
    let late = spec::link(row, "PM")? == Some(true) && play.one_in(2);
    match before {
        Before::Suspended if late => {
            begin(&mut play, Before::Synchronized);
            enter(&mut play, row, question)?;
            play.settle();
            suspend(&mut play);
        }
        Before::Synchronized if late && mode.safety == SafetyDecl::Off => {
            play.begin_with_safety_full();
            begin(&mut play, before);
            enter(&mut play, row, question)?;
            play.settle();
            play.sql(A, "PARTNER SAFETY OFF", None);
            play.pass(Time::secs(3));
        }
        Before::Suspended | Before::Synchronized | Before::Synchronizing => {
            begin(&mut play, before);
            enter(&mut play, row, question)?;
            play.settle();
        }
    }
    let seen = sights(&play, row, mode, before)?;
    play.sees(&seen);
    if before == Before::Synchronizing && spec::link(row, "PM")? == Some(false) {
        play.act(Action::DiskHeal(B.into()));
        play.pass(Time::secs(1));
    }
    match question {
        Question::Automatic => automatic(&mut play, row)?,
        Question::Manual => manual(&mut play, row, &seen)?,
        Question::Forced => forced(&mut play, row, &seen)?,
        Question::Return => {
            play.up(A);
            play.join_all();
            play.settle();
            play.sees(&[
                served_by(A),
                role(A, RoleName::Principal),
                role(B, RoleName::Mirror),
                sequence(A, 1),
            ]);
        }
    }
    Ok(Some(play))
}

/// The links of the row are lost, in one step. An instance that has lost both may as well be down, if nobody has to
/// answer there.
fn enter(play: &mut Play, row: &Row, question: Question) -> Result<(), String> {
    if let Some(name) = spec::down(row) {
        play.down(name);
        return Ok(());
    }
    let mut lost = Vec::new();
    for link in Link::ALL {
        if spec::link(row, link.name())? == Some(false) {
            lost.push(link);
        }
    }
    let alone = match lost[..] {
        [Link::Pm, Link::Pw] => Some(A),
        [Link::Pm, Link::Mw] => Some(B),
        [Link::Pw, Link::Mw] => Some(W),
        _ => None,
    };
    let asked = match question {
        Question::Automatic | Question::Return => None,
        Question::Manual => Some(A),
        Question::Forced => Some(B),
    };
    match alone.filter(|name| asked != Some(*name)) {
        Some(name) if play.one_in(2) => play.down(name),
        _ => play.lose(&lost),
    }
    Ok(())
}

/// What the row says: who serves, and what each partner shows.
pub fn sights(play: &Play, row: &Row, mode: Mode, before: Before) -> Result<Vec<Sight>, String> {
    let server = spec::server(row)?;
    let mut seen = vec![match server {
        Server::A => served_by(A),
        Server::B => served_by(B),
        Server::Nobody | Server::NobodyUntilReturn => not_served(),
    }];
    for partner in [A, B] {
        let View { state: shown, witness: connected } = spec::view(row, partner)?;
        let down = play.is_down(partner);
        match shown {
            _ if down => continue,
            Shown::Before => seen.push(state(partner, before.state())),
            Shown::Disconnected => seen.push(state(partner, StateName::Disconnected)),
            Shown::Nothing => return Err(format!("{}: {partner} is up and should show nothing", row.id)),
        }
        seen.push(witness(
            partner,
            match connected {
                Some(true) => WitnessName::Connected,
                Some(false) => WitnessName::Disconnected,
                None if mode.witness => return Err(format!("{}: {partner} shows no witness", row.id)),
                None => WitnessName::Null,
            },
        ));
        let principal = partner == A || server == Server::B;
        seen.push(role(partner, if principal { RoleName::Principal } else { RoleName::Mirror }));
        seen.push(sequence(partner, if server == Server::B && partner == B { 2 } else { 1 }));
    }
    Ok(seen)
}

/// A is lost: an armed mirror takes over, another one never does. [FO-11 … FO-16, FO-26 … FO-29, CL-50]
fn automatic(play: &mut Play, row: &Row) -> Result<(), String> {
    let mut links = Vec::new();
    for link in [Link::Pm, Link::Pw] {
        if spec::link(row, link.name())? == Some(true) {
            links.push(link);
        }
    }
    if links.is_empty() || play.one_in(2) {
        play.down(A);
    } else {
        play.lose(&links);
    }
    // A disk that stands still would keep B from taking over for the wrong reason.
    play.act(Action::DiskHeal(B.into()));
    play.settle();
    match spec::armed(row)? {
        Some(true) => {
            play.sees(&[served_by(B), role(B, RoleName::Principal), sequence(B, 2)]);
            play.loses_nothing();
        }
        _ if play.is_down(B) => play.sees(&[not_served()]),
        _ => play.sees(&[not_served(), role(B, RoleName::Mirror), sequence(B, 1)]),
    }
    Ok(())
}

/// FAILOVER on A; where A is down, on B, which is no principal. [FO-2, FO-31, FO-33 … FO-36, FO-37d, FO-37f, FO-38]
fn manual(play: &mut Play, row: &Row, seen: &[Sight]) -> Result<(), String> {
    match spec::manual(row)? {
        Answer::Yes => {
            play.sql(A, FAILOVER, None);
            play.pass(Time::secs(4));
            play.sees(&[
                served_by(B),
                role(A, RoleName::Mirror),
                role(B, RoleName::Principal),
                sequence(A, 2),
                sequence(B, 2),
                state(A, StateName::Synchronized),
                state(B, StateName::Synchronized),
            ]);
            play.loses_nothing();
        }
        Answer::No(error) => {
            play.sql(A, FAILOVER, Some(error));
            play.sees(seen);
        }
        Answer::Untold => {
            play.sql(B, FAILOVER, Some(1470));
            play.sees(seen);
        }
    }
    Ok(())
}

/// FORCE_SERVICE_ALLOW_DATA_LOSS on B. [FO-3, FO-50 … FO-53, FO-60, FO-61, FO-63, TR-20]
fn forced(play: &mut Play, row: &Row, seen: &[Sight]) -> Result<(), String> {
    if let Answer::No(error) = spec::forced(row)? {
        play.sql(B, FORCE, Some(error));
        play.sees(seen);
        return Ok(());
    }
    play.sql(B, FORCE, None);
    play.pass(Time::secs(3));
    let switched = [role(B, RoleName::Principal), sequence(B, 2), state(B, StateName::Disconnected)];
    if spec::both_serve(row)? {
        play.sees(&switched);
        both_serve_until_they_meet(play);
    } else {
        play.sees(&switched);
        play.sees(&[served_by(B)]);
    }
    Ok(())
}

/// Clients who cannot reach A are served by B, and those who cannot reach B by A, until the partners meet: then A yields
/// and the session is suspended. [INV-13, FO-45, FO-68, Q-34]
fn both_serve_until_they_meet(play: &mut Play) {
    let clients = |server: &str| Path { from: "clients".into(), to: server.into(), both: true };
    let found = Time::secs(12);
    play.act(Action::Cut(clients(A)));
    play.sees_within(found, &[served_by(B)]);
    play.sees(&[role(A, RoleName::Principal), role(B, RoleName::Principal)]);
    play.act(Action::Heal(clients(A)));
    play.act(Action::Cut(clients(B)));
    play.sees_within(found, &[served_by(A)]);
    play.sees(&[role(A, RoleName::Principal), role(B, RoleName::Principal)]);
    play.act(Action::Heal(clients(B)));
    play.join_all();
    play.settle();
    play.sees(&[
        served_by(B),
        role(A, RoleName::Mirror),
        sequence(A, 2),
        state(A, StateName::Suspended),
        state(B, StateName::Suspended),
    ]);
}
