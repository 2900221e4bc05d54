//! What a plan could have waited for: every moment of a run at which a step with `on` may be due, and every step that was
//! performed, in the order of the run. Kept only when asked for; shrinking looks here for the trigger behind a time.
//!
//! Counts agree with [`crate::trigger`]: an occurrence here is one that a waiting step would have counted.

use crate::frames;
use crate::node::Roster;
use crate::scenario::Trigger;
use crate::script::{file_name, role_name, state_name};
use crate::time::Time;
use crate::trigger::Moment;
use dbm_core::types::{MirroringState, Role};
use std::sync::Arc;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// Something to wait for, or something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A step of the timeline was performed.
    Step(usize),
    /// A trigger's occurrence.
    Occurred(Trigger),
}

/// Keeps the moments of a run.
#[derive(Debug)]
pub struct Moments {
    roster: Arc<Roster>,
    /// What each instance showed last; roles are known beforehand, as for triggers.
    shown: Vec<Option<(Role, Option<MirroringState>)>>,
    seen: Vec<Seen>,
}

impl Moments {
    /// Nothing has happened; `roles` are those the instances begin in.
    pub fn new(roster: Arc<Roster>, roles: Vec<Option<Role>>) -> Self {
        let shown = roles.into_iter().map(|role| role.map(|role| (role, None))).collect();
        Moments { roster, shown, seen: Vec::new() }
    }

    /// A step was performed.
    pub fn performed(&mut self, at: Time, step: u32) {
        self.seen.push(Seen { at, what: What::Step(step as usize) });
    }

    /// A moment came.
    pub fn note(&mut self, at: Time, moment: &Moment<'_>) {
        let name = |instance: u8| self.roster.instance_name(usize::from(instance)).to_owned();
        let trigger = match *moment {
            Moment::Sent { from, to, bytes } => frames::frame_kind(bytes).map(|kind| Trigger::Sent {
                frame: kind.into(),
                from: name(from),
                to: name(to),
            }),
            Moment::Delivered { from, to, bytes } => frames::frame_kind(bytes)
                .map(|kind| Trigger::Delivered { frame: kind.into(), from: name(from), to: name(to) }),
            Moment::DiskIssued(instance, file) => {
                Some(Trigger::DiskIssued { instance: name(instance), file: file_name(file).into() })
            }
            Moment::DiskDone(instance, file) => {
                Some(Trigger::DiskDone { instance: name(instance), file: file_name(file).into() })
            }
            Moment::Serving(instance) => Some(Trigger::Serving { instance: name(instance) }),
            Moment::Reached(instance, step) => {
                Some(Trigger::Reached { instance: name(instance), step: step.into() })
            }
            Moment::Started(instance) => Some(Trigger::Started { instance: name(instance) }),
            Moment::Event(instance, number) => Some(Trigger::Event { instance: name(instance), number }),
            Moment::Shows(instance, role, state) => return self.shows(at, instance, role, state),
        };
        self.seen.extend(trigger.map(|trigger| Seen { at, what: What::Occurred(trigger) }));
    }

    fn shows(&mut self, at: Time, instance: u8, role: Role, state: MirroringState) {
        let before = self.shown[usize::from(instance)].replace((role, Some(state)));
        let name = self.roster.instance_name(usize::from(instance)).to_owned();
        if before.is_none_or(|(before, _)| before != role) {
            let trigger = Trigger::Role { instance: name.clone(), role: role_name(role) };
            self.seen.push(Seen { at, what: What::Occurred(trigger) });
        }
        if before.and_then(|(_, state)| state) != Some(state) {
            let trigger = Trigger::State { instance: name, state: state_name(state) };
            self.seen.push(Seen { at, what: What::Occurred(trigger) });
        }
    }

    /// All of them, in the order of the run.
    pub fn seen(self) -> Vec<Seen> {
        self.seen
    }
}
