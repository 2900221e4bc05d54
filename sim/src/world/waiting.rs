//! Processes that do not get on: paused ones, slow ones, and ones that die again and again.
//!
//! A slow process handles one input after the other, each so long after it came or after the one before it. What an
//! input decides and what it sends happen at one moment, at the end of its time; a process that loses its processor
//! between a decision and its effect is not simulated.

use super::process::Life;
use super::{NodeEvent, World};
use crate::agenda::Event;
use crate::felt::Feeling;
use crate::node::NodeIndex;
use crate::script::Loop;

/// A process that dies again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looping {
    how: Loop,
    /// Turns are numbered, over all loops of a process: an event of an older number is void.
    number: u32,
    /// The next turn is a start.
    dead: bool,
}

impl World {
    /// Lets the input wait if the process is paused, slow, or has others waiting.
    pub(super) fn hand_over(&mut self, node: NodeIndex, event: NodeEvent) -> Option<(NodeIndex, NodeEvent)> {
        let process = &mut self.processes[node.index()];
        if process.life != Life::Running {
            return None;
        }
        if process.slow > 0 {
            self.felt.count(Feeling::SlowCpu);
        }
        if process.paused {
            self.felt.count(Feeling::Pause);
        }
        if process.slow > 0 || process.paused || !process.waiting.is_empty() {
            process.waiting.push_back(event);
            self.go_on(node);
            return None;
        }
        Some((node, event))
    }

    /// Takes the first waiting input of a process that goes on, and sees to the next.
    pub(super) fn drain(&mut self, node: NodeIndex) -> Option<NodeEvent> {
        let now = self.now().0;
        let process = &mut self.processes[node.index()];
        if process.drained_at != Some(now) {
            return None;
        }
        process.drained_at = None;
        if process.paused {
            return None;
        }
        let event = process.waiting.pop_front()?;
        self.go_on(node);
        Some(event)
    }

    /// Sees to it that what waits for a process is handled, one input after the other.
    pub(super) fn go_on(&mut self, node: NodeIndex) {
        let now = self.now().0;
        let process = &mut self.processes[node.index()];
        if process.drained_at.is_none() && !process.paused && !process.waiting.is_empty() {
            let at = now + process.slow;
            process.drained_at = Some(at);
            self.agenda.enter(at, Event::Drain { node: node.0 });
        }
    }

    /// Every input takes so many microseconds from now on.
    pub(super) fn slow_cpu(&mut self, node: NodeIndex, by: u64) {
        self.processes[node.index()].slow = by;
    }

    /// Inputs take no time, not even the one at hand.
    pub(super) fn fast_cpu(&mut self, node: NodeIndex) {
        let process = &mut self.processes[node.index()];
        if std::mem::take(&mut process.slow) > 0 {
            process.drained_at = None;
            self.go_on(node);
        }
    }

    /// The process dies now, and again after each start. A loop that was there before is over.
    pub(super) fn begin_loop(&mut self, node: NodeIndex, how: Loop) {
        let number = self.processes[node.index()].looping.map_or(0, |before| before.number);
        self.processes[node.index()].looping = Some(Looping { how, number, dead: false });
        self.turn_loop(node, number);
    }

    /// It dies no more.
    pub(super) fn end_loop(&mut self, node: NodeIndex) {
        if let Some(looping) = &mut self.processes[node.index()].looping {
            looping.how.times = 0;
            looping.number = looping.number.wrapping_add(1);
        }
    }

    /// The process dies or starts, and the next turn is entered.
    pub(super) fn turn_loop(&mut self, node: NodeIndex, number: u32) {
        let Some(looping) = self.processes[node.index()].looping.filter(|l| l.number == number) else {
            return;
        };
        let Looping { mut how, dead, .. } = looping;
        let after = if dead {
            self.restart(node);
            how.up
        } else if how.times > 0 {
            how.times -= 1;
            if self.running(node) {
                self.felt.count(Feeling::RestartLoop);
            }
            self.crash(node);
            how.down
        } else {
            return;
        };
        let number = number.wrapping_add(1);
        self.processes[node.index()].looping = Some(Looping { how, number, dead: !dead });
        self.agenda.enter(self.agenda.now().0 + after, Event::Loop { node: node.0, number });
    }
}
