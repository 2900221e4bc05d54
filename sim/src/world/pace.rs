//! Bounds against livelocks: a run in which time stands still, in which too much happens, or in which one process keeps
//! itself busy and nobody gets anywhere.
//!
//! A limit on virtual time ends none of these: the first never comes to it, the others come to it after hours.

use crate::node::NodeIndex;
use crate::time::Time;

/// Bounds that end a run, each with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Events at one moment of true time.
    pub per_instant: u64,
    /// Events of the run, for each begun second of its duration.
    pub per_second: u64,
    /// Inputs that one process handles within one second of true time.
    pub busy: u64,
    /// Inputs that one process handles within one second of true time in which nothing happens to anybody else.
    pub alone: u64,
}

/// Ten times what the busiest of the shipped scenarios needs (1,745 and 1,202 inputs), and less than what a timer needs
/// that re-arms itself after 100 us.
impl Default for Budget {
    fn default() -> Self {
        Budget { per_instant: 50_000, per_second: 200_000, busy: 20_000, alone: 8_000 }
    }
}

/// A second of true time in a process's life.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    began: Time,
    inputs: u64,
}

impl Second {
    /// Counts an input at `now`; answers how many came since the second began.
    fn count(&mut self, now: Time) -> u64 {
        if now.0 - self.began.0 >= 1_000_000 {
            *self = Second { began: now, inputs: 0 };
        }
        self.inputs += 1;
        self.inputs
    }
}

/// How much happens, and to whom.
#[derive(Debug)]
pub(super) struct Pace {
    budget: Budget,
    events: u64,
    /// The newest moment and its events.
    instant: (Time, u64),
    busy: Vec<Second>,
    /// Who handled the newest input, and since when nobody else has.
    alone: (NodeIndex, Second),
}

impl Pace {
    pub(super) fn new(budget: Budget, nodes: usize) -> Self {
        Pace {
            budget,
            events: 0,
            instant: (Time(0), 0),
            busy: vec![Second::default(); nodes],
            alone: (NodeIndex(0), Second::default()),
        }
    }

    /// Events so far.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Counts an event of a run that lasts until `end`; answers what is wrong.
    pub(super) fn event(&mut self, now: Time, end: Time) -> Option<String> {
        self.events += 1;
        self.instant = if self.instant.0 == now { (now, self.instant.1 + 1) } else { (now, 1) };
        let whole = self.budget.per_second * end.0.div_ceil(1_000_000).max(1);
        if self.instant.1 > self.budget.per_instant {
            return Some(format!("more than {} events at one moment", self.budget.per_instant));
        }
        (self.events > whole).then(|| format!("more than {whole} events in the run"))
    }

    /// Counts an input that a process is about to handle; answers what is wrong with so many.
    pub(super) fn input(&mut self, now: Time, node: NodeIndex) -> Option<String> {
        let inputs = self.busy[node.index()].count(now);
        if self.alone.0 != node {
            self.alone = (node, Second { began: now, inputs: 0 });
        }
        let alone = self.alone.1.count(now);
        if inputs > self.budget.busy {
            return Some(format!("handled more than {} inputs in a second", self.budget.busy));
        }
        let own = self.budget.alone;
        (alone > own)
            .then(|| format!("handled more than {own} inputs in a second in which nobody else had any"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { per_instant: 5, per_second: 100, busy: 20, alone: 10 };
    const ONE: NodeIndex = NodeIndex(0);
    const OTHER: NodeIndex = NodeIndex(1);

    #[test]
    fn so_many_events_at_one_moment_and_no_more() {
        let mut pace = Pace::new(BUDGET, 2);
        assert!((0..5).all(|_| pace.event(Time(7), Time::secs(1)).is_none()));
        assert!(pace.event(Time(7), Time::secs(1)).is_some_and(|text| text.contains("at one moment")));
        assert_eq!(pace.event(Time(8), Time::secs(1)), None);
    }

    #[test]
    fn so_many_events_in_a_run_and_no_more() {
        let mut pace = Pace::new(BUDGET, 2);
        assert!((0..200).all(|at| pace.event(Time(at), Time(1_000_001)).is_none()));
        assert!(pace.event(Time(200), Time(1_000_001)).is_some_and(|text| text.contains("in the run")));
    }

    #[test]
    fn so_many_inputs_of_one_process_in_a_second_and_no_more() {
        let mut pace = Pace::new(BUDGET, 2);
        let mut both = |at| [ONE, OTHER].map(|node| pace.input(Time(at), node)).into_iter().flatten().next();
        assert!((0..20).all(|at| both(at * 1000).is_none()));
        assert!((20..40).all(|at| both(980_000 + at * 1000).is_none()), "another second");
        assert!(both(1_020_000).is_some_and(|text| text.contains("more than 20 inputs")));
    }

    #[test]
    fn so_many_inputs_of_one_process_alone_and_no_more() {
        let mut pace = Pace::new(BUDGET, 2);
        assert!((0..10).all(|at| pace.input(Time(at), ONE).is_none()));
        assert_eq!(pace.input(Time(10), OTHER), None);
        assert!((11..21).all(|at| pace.input(Time(at), OTHER).is_none() || at == 20));
        let mut pace = Pace::new(BUDGET, 2);
        assert!(
            (0..100).all(|at| pace.input(Time(at * 120_000), ONE).is_none()),
            "slowly it may go on for ever"
        );
        assert!(
            (0..10)
                .any(|at| pace.input(Time(12_000_000 + at), ONE).is_some_and(|t| t.contains("nobody else")))
        );
    }
}
