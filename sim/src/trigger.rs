//! Steps of the plan that wait for something in the run.
//!
//! The world shows each moment that a step could wait for; while no step waits for its class, that costs one test.

use crate::frames;
use crate::script::{Cue, Point, Script};
use dbm_core::io::FileKind;
use dbm_core::types::{MirroringState, Role};

/// A moment of the run at which a step may be due.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// A frame is handed to the network.
    Sent {
        /// Sender.
        from: u8,
        /// Receiver.
        to: u8,
        /// The frame.
        bytes: &'a [u8],
    },
    /// A frame is about to be handled.
    Delivered {
        /// Sender.
        from: u8,
        /// Receiver.
        to: u8,
        /// The frame.
        bytes: &'a [u8],
    },
    /// A disk operation is issued.
    DiskIssued(u8, FileKind),
    /// A disk write or flush is about to be reported.
    DiskDone(u8, FileKind),
    /// An instance shows a role and state.
    Shows(u8, Role, MirroringState),
    /// A database opens to clients.
    Serving(u8),
    /// A named step is reported.
    Reached(u8, &'a str),
    /// A process has started.
    Started(u8),
    /// A numbered state-change event is raised.
    Event(u8, u8),
}

/// A step that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its index.
    pub step: u32,
    /// So many microseconds from now; 0 is at once.
    pub delay: u64,
}

#[derive(Debug)]
struct Waiting {
    step: u32,
    point: Point,
    left: u32,
    after: Option<usize>,
    delay: u64,
    until: Option<u64>,
}

/// Every step that waits for something in the run.
#[derive(Debug)]
pub struct Triggers {
    waiting: Vec<Waiting>,
    /// One bit per class of moment that a step waits for.
    classes: u16,
    happened: Vec<bool>,
    shown: Vec<Option<(Role, Option<MirroringState>)>>,
}

impl Triggers {
    /// The triggers of a script; `roles` are those the instances begin in, so that a first report is no change.
    pub fn new(script: &Script, roles: Vec<Option<Role>>) -> Self {
        let waiting = script
            .0
            .iter()
            .enumerate()
            .filter_map(|(step, s)| match &s.cue {
                Cue::At(_) => None,
                Cue::On { point, nth, after, delay, until } => Some(Waiting {
                    step: step as u32,
                    point: point.clone(),
                    left: *nth,
                    after: *after,
                    delay: *delay,
                    until: *until,
                }),
            })
            .collect();
        let mut triggers = Triggers {
            waiting,
            classes: 0,
            happened: vec![false; script.0.len()],
            shown: roles.into_iter().map(|role| role.map(|role| (role, None))).collect(),
        };
        triggers.classify();
        triggers
    }

    fn classify(&mut self) {
        self.classes = self.waiting.iter().fold(0, |classes, w| classes | class_of_point(&w.point));
    }

    /// Notes that a step has been performed.
    pub fn performed(&mut self, step: u32) {
        self.happened[step as usize] = true;
    }

    /// Which steps have been performed.
    pub fn happened(&self) -> &[bool] {
        &self.happened
    }

    /// Takes out the steps that are due at this moment; `now` is true time.
    #[inline]
    pub fn due(&mut self, now: u64, moment: &Moment<'_>) -> Vec<Due> {
        if self.classes & class_of_moment(moment) == 0 {
            return Vec::new();
        }
        self.search(now, moment)
    }

    fn search(&mut self, now: u64, moment: &Moment<'_>) -> Vec<Due> {
        let before = match moment {
            Moment::Shows(instance, role, state) => {
                self.shown[usize::from(*instance)].replace((*role, Some(*state)))
            }
            _ => None,
        };
        let mut due = Vec::new();
        let happened = &self.happened;
        let waited = self.waiting.len();
        self.waiting.retain_mut(|w| {
            if !w.point.matches(moment, before) || w.after.is_some_and(|after| !happened[after]) {
                return true;
            }
            if w.until.is_some_and(|until| now > until) {
                return false;
            }
            w.left -= 1;
            if w.left == 0 {
                due.push(Due { step: w.step, delay: w.delay });
            }
            w.left > 0
        });
        if self.waiting.len() < waited {
            self.classify();
        }
        due
    }
}

impl Point {
    fn matches(&self, moment: &Moment<'_>, before: Option<(Role, Option<MirroringState>)>) -> bool {
        match (self, moment) {
            (Point::Sent { frame, from, to }, Moment::Sent { from: f, to: t, bytes })
            | (Point::Delivered { frame, from, to }, Moment::Delivered { from: f, to: t, bytes }) => {
                (from, to) == (f, t) && frames::frame_kind(bytes) == Some(frame)
            }
            (Point::DiskIssued(instance, kind), Moment::DiskIssued(i, k))
            | (Point::DiskDone(instance, kind), Moment::DiskDone(i, k)) => (instance, kind) == (i, k),
            (Point::Role(instance, role), Moment::Shows(i, r, _)) => {
                (instance, role) == (i, r) && before.is_none_or(|(before, _)| before != *r)
            }
            (Point::State(instance, state), Moment::Shows(i, _, s)) => {
                (instance, state) == (i, s) && before.and_then(|(_, state)| state) != Some(*s)
            }
            (Point::Serving(instance), Moment::Serving(i))
            | (Point::Started(instance), Moment::Started(i)) => instance == i,
            (Point::Reached(instance, name), Moment::Reached(i, n)) => instance == i && name == n,
            (Point::Event(instance, number), Moment::Event(i, n)) => (instance, number) == (i, n),
            _ => false,
        }
    }
}

fn class_of_moment(moment: &Moment<'_>) -> u16 {
    match moment {
        Moment::Sent { .. } => 1,
        Moment::Delivered { .. } => 2,
        Moment::DiskIssued(..) => 4,
        Moment::DiskDone(..) => 8,
        Moment::Shows(..) => 16,
        Moment::Serving(_) => 32,
        Moment::Reached(..) => 64,
        Moment::Started(_) => 128,
        Moment::Event(..) => 256,
    }
}

fn class_of_point(point: &Point) -> u16 {
    match point {
        Point::Sent { .. } => 1,
        Point::Delivered { .. } => 2,
        Point::DiskIssued(..) => 4,
        Point::DiskDone(..) => 8,
        Point::Role(..) | Point::State(..) => 16,
        Point::Serving(_) => 32,
        Point::Reached(..) => 64,
        Point::Started(_) => 128,
        Point::Event(..) => 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Act, ScriptStep};

    const NONE: [u32; 0] = [];
    const NOW: u64 = 7;

    fn on(point: Point, nth: u32, after: Option<usize>) -> ScriptStep {
        ScriptStep { cue: Cue::On { point, nth, after, delay: 0, until: None }, act: Act::HealAll }
    }

    fn fires(triggers: &mut Triggers, moment: Moment<'_>) -> Vec<u32> {
        triggers.due(NOW, &moment).into_iter().map(|due| due.step).collect()
    }

    #[test]
    fn the_nth_occurrence_counts_once() {
        let script = Script(vec![on(Point::Started(1), 2, None), on(Point::Started(1), 3, None)]);
        let mut triggers = Triggers::new(&script, vec![None; 2]);
        assert_eq!(fires(&mut triggers, Moment::Started(1)), NONE);
        assert_eq!(fires(&mut triggers, Moment::Started(0)), NONE);
        assert_eq!(fires(&mut triggers, Moment::Started(1)), [0]);
        assert_eq!(fires(&mut triggers, Moment::Started(1)), [1]);
        assert_eq!(fires(&mut triggers, Moment::Started(1)), NONE);
        assert_eq!(triggers.classes, 0);
    }

    #[test]
    fn occurrences_count_only_after_the_step_named() {
        let script = Script(vec![
            ScriptStep { cue: Cue::At(5), act: Act::HealAll },
            on(Point::Reached(0, "claim.durable".into()), 1, Some(0)),
        ]);
        let mut triggers = Triggers::new(&script, vec![None; 1]);
        assert_eq!(fires(&mut triggers, Moment::Reached(0, "claim.durable")), NONE);
        triggers.performed(0);
        assert_eq!(fires(&mut triggers, Moment::Reached(0, "claim.sent")), NONE);
        assert_eq!(fires(&mut triggers, Moment::Reached(0, "claim.durable")), [1]);
    }

    #[test]
    fn occurrences_after_the_end_of_the_wait_do_not_count() {
        let step = |until| ScriptStep {
            cue: Cue::On { point: Point::Started(1), nth: 2, after: None, delay: 0, until },
            act: Act::HealAll,
        };
        for (until, fired) in [(Some(NOW), &[0][..]), (Some(NOW - 1), &[])] {
            let mut triggers = Triggers::new(&Script(vec![step(until)]), vec![None; 2]);
            assert_eq!(triggers.due(NOW - 1, &Moment::Started(1)), []);
            assert_eq!(fires(&mut triggers, Moment::Started(1)), fired);
            assert_eq!(fires(&mut triggers, Moment::Started(1)), NONE);
        }
    }

    #[test]
    fn an_event_fires_by_instance_and_number() {
        let script = Script(vec![on(Point::Event(1, 9), 2, None)]);
        let mut triggers = Triggers::new(&script, vec![None; 2]);
        for (moment, fired) in [
            (Moment::Event(1, 9), &NONE[..]),
            (Moment::Event(1, 12), &NONE),
            (Moment::Event(0, 9), &NONE),
            (Moment::Event(1, 9), &[0]),
        ] {
            assert_eq!(fires(&mut triggers, moment), fired);
        }
    }

    #[test]
    fn a_role_fires_when_it_becomes_so_and_not_when_it_is_told_again() {
        let script = Script(vec![
            on(Point::Role(0, Role::Principal), 1, None),
            on(Point::State(0, MirroringState::Synchronized), 2, None),
        ]);
        let mut triggers = Triggers::new(&script, vec![Some(Role::Principal)]);
        let shows = |role, state| Moment::Shows(0, role, state);
        use MirroringState::{Disconnected, Synchronized};
        assert_eq!(fires(&mut triggers, shows(Role::Principal, Synchronized)), NONE);
        assert_eq!(fires(&mut triggers, shows(Role::Principal, Synchronized)), NONE);
        assert_eq!(fires(&mut triggers, shows(Role::Mirror, Disconnected)), NONE);
        assert_eq!(fires(&mut triggers, shows(Role::Mirror, Synchronized)), [1]);
        assert_eq!(fires(&mut triggers, shows(Role::Principal, Disconnected)), [0]);
    }
}
