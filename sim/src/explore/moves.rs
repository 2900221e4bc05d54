//! What can happen in a state, and what would happen if the world were kind.

use super::action::Action;
use super::links::PAIRS;
use super::model::Model;
use dbm_core::types::{MirroringState, Role};

/// What can happen next: what the world does by itself, then what comes from outside.
pub fn moves(model: &Model) -> Vec<Action> {
    let most = if model.setup.overtakes.is_some() && model.left.overtakes == 0 { 1 } else { usize::MAX };
    let mut moves: Vec<Action> = events(model).take(most).collect();
    let quiet = moves.is_empty();
    if quiet || model.setup.repairs_anywhere {
        moves.extend(repairs(model));
    }
    if quiet || model.left.stalls > 0 {
        moves.push(Action::Advance);
    }
    faults(model, &mut moves);
    wishes(model, &mut moves);
    moves
}

/// The move of a world that breaks nothing more, repairs everything and keeps nobody waiting; `None` when nothing is
/// left to wish for. Every state but the last has it among its moves.
pub fn fair(model: &Model) -> Option<Action> {
    let kind = events(model).chain(repairs(model)).next();
    kind.or_else(|| (!arrived(model)).then_some(Action::Advance))
}

/// Everybody runs, everything is connected, one instance serves and shows SYNCHRONIZED.
pub fn arrived(model: &Model) -> bool {
    model.quiet()
        && repairs(model).is_empty()
        && model.ghost.servers() == 1
        && (0..2).any(|i: u8| {
            model.ghost.serves(i)
                && model.shown[usize::from(i)] == Some((Role::Principal, MirroringState::Synchronized))
        })
}

/// What is under way, in a fixed order: deliveries by link, then disks.
pub(super) fn events(model: &Model) -> impl Iterator<Item = Action> {
    let deliveries = model.links.deliverable().map(|(serial, side, _)| Action::Deliver(serial, side as u8));
    let disks = model.instances().flat_map(|i| model.disk(i).busy().map(move |kind| Action::Disk(i, kind)));
    deliveries.chain(disks)
}

fn repairs(model: &Model) -> Vec<Action> {
    let heals = (0..PAIRS.len() as u8).filter(|p| model.links.cut[usize::from(*p)]).map(Action::Heal);
    let restarts = model.instances().filter(|i| model.node(*i).is_none()).map(Action::Restart);
    let resumes = (0..2_u8)
        .filter(|i| model.shown[usize::from(*i)] == Some((Role::Principal, MirroringState::Suspended)))
        .map(Action::Resume);
    heals.chain(restarts).chain(resumes).collect()
}

fn faults(model: &Model, moves: &mut Vec<Action>) {
    if model.left.breaks > 0 {
        for (pair, (_, other)) in PAIRS.into_iter().enumerate() {
            if model.instances().contains(&other) && !model.links.cut[pair] {
                moves.extend(model.setup.breaks.iter().map(|kind| Action::Break(pair as u8, *kind)));
            }
        }
    }
    if model.left.crashes > 0 {
        for instance in model.instances() {
            if !model.setup.crashing[usize::from(instance)] || model.node(instance).is_none() {
                continue;
            }
            let uncertain = model.disk(instance).uncertain().fold(0_u8, |bits, kind| bits | 1 << kind as u8);
            // Every subset of the uncertain files, the empty one last.
            let mut kept = uncertain;
            loop {
                moves.push(Action::Crash(instance, kept));
                if kept == 0 {
                    break;
                }
                kept = (kept - 1) & uncertain;
            }
        }
    }
}

fn wishes(model: &Model, moves: &mut Vec<Action>) {
    if model.left.commits > 0 {
        moves.extend((0..2).filter(|i| model.ghost.serves(*i)).map(Action::Commit));
    }
    if usize::from(model.stated) < model.setup.statements.len() {
        moves.extend((0..2).filter(|i| model.node(*i).is_some()).map(Action::Statement));
    }
}
