//! What is to happen: one heap of small events in the order (time, order of entry), and the true time of now.
//!
//! Payloads stay where they wait (in the pipe of a link, the queue of a file), so that an event is a few words.

use crate::time::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something due. Each names its subject by index; a subject that is gone or has changed its mind since is
/// recognised by a generation or a time, so nothing is ever taken out of the heap early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The first item in one direction of a connection arrives.
    Arrive {
        /// The connection.
        conn: u32,
        /// The generation of that direction.
        generation: u32,
        /// From the dialler (0) or towards it (1).
        way: u8,
    },
    /// The sender's patience with a hole in a connection ends.
    GiveUp {
        /// The connection.
        conn: u32,
        /// The number of the hole.
        hole: u32,
        /// The direction.
        way: u8,
    },
    /// An end of a connection whose other end is gone asks for it.
    Probe {
        /// The connection.
        conn: u32,
        /// The number of the probes.
        probe: u32,
        /// The direction from the end that is gone.
        way: u8,
    },
    /// The first operation in the queue of a file is done.
    Disk {
        /// The instance.
        instance: u8,
        /// The file, by index.
        file: u8,
        /// The disk's epoch; a crash begins a new one.
        epoch: u32,
    },
    /// A node's timer.
    Timer {
        /// The node.
        node: u16,
    },
    /// The next waiting input of a node that goes on after a pause, or is slow.
    Drain {
        /// The node.
        node: u16,
    },
    /// A step of the plan.
    Step {
        /// Its index.
        step: u32,
    },
    /// A process that dies again and again dies or starts.
    Loop {
        /// The node.
        node: u16,
        /// The number of the loop's turn.
        number: u32,
    },
    /// The statement of a step reaches its instance.
    Ask {
        /// The step's index.
        step: u32,
    },
}

/// The heap and the clock of true time.
#[derive(Debug, Default)]
pub struct Agenda {
    now: u64,
    entered: u64,
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
}

impl Agenda {
    /// True time.
    pub fn now(&self) -> Time {
        Time(self.now)
    }

    /// Enters an event; one in the past is due now.
    pub fn enter(&mut self, at: u64, event: Event) {
        self.entered += 1;
        self.heap.push(Reverse((at.max(self.now), self.entered, event)));
    }

    /// Goes to the next event not later than `end`, or to `end`.
    pub fn advance(&mut self, end: Time) -> Option<Event> {
        match self.heap.peek() {
            Some(Reverse((at, ..))) if *at <= end.0 => {
                let Reverse((at, _, event)) = self.heap.pop()?;
                self.now = at;
                Some(event)
            }
            Some(_) | None => {
                self.now = end.0;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_order_of_entry() {
        let mut agenda = Agenda::default();
        for (at, step) in [(20, 0), (10, 1), (20, 2), (10, 3), (31, 4)] {
            agenda.enter(at, Event::Step { step });
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.advance(Time(30))).collect();
        assert_eq!(order, [1, 3, 0, 2].map(|step| Event::Step { step }));
        assert_eq!(agenda.now(), Time(30));
    }

    #[test]
    fn an_event_in_the_past_is_due_now() {
        let mut agenda = Agenda::default();
        agenda.enter(50, Event::Timer { node: 0 });
        assert!(agenda.advance(Time(100)).is_some());
        agenda.enter(10, Event::Timer { node: 1 });
        assert_eq!(agenda.advance(Time(100)), Some(Event::Timer { node: 1 }));
        assert_eq!(agenda.now(), Time(50));
    }
}
