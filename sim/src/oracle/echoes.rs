//! Echoes: who may lend the right to serve, and to whom. [OQ-1, P-7]
//!
//! An echo in a ping is a lease. It goes to the owner of the role sequence that the ping is said under, and to nobody
//! else, and it gives back a ping that the owner sent under that very role sequence: an older one proves nothing.

use super::parse::FrameView;
use super::records::Records;
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::types::{InstanceId, RoleSequence};
use std::collections::VecDeque;

/// So many pings of a pair are remembered; an echo gives back one of the newest.
const REMEMBERED: usize = 256;

#[derive(Clone, Debug)]
pub(super) struct Echoes {
    instances: usize,
    /// Pings from one instance to another: stamp and n.
    sent: Vec<VecDeque<(u64, RoleSequence)>>,
}

impl Echoes {
    pub(super) fn new(instances: usize) -> Self {
        Echoes { instances, sent: vec![VecDeque::new(); instances * instances] }
    }

    fn pair(&self, from: InstanceId, to: InstanceId) -> usize {
        usize::from(from.0) * self.instances + usize::from(to.0)
    }

    /// A frame leaves.
    pub(super) fn sent(
        &mut self,
        at: Time,
        (from, to): (InstanceId, InstanceId),
        frame: &FrameView,
        records: &Records,
        report: &mut Report,
    ) {
        let FrameView::Ping { n, stamp, echo } = *frame else { return };
        if let Some(echo) = echo {
            self.judge(at, (from, to), n, echo, records, report);
        }
        let pair = self.pair(from, to);
        let sent = &mut self.sent[pair];
        if sent.len() == REMEMBERED {
            sent.pop_front();
        }
        sent.push_back((stamp, n));
    }

    fn judge(
        &self,
        at: Time,
        (from, to): (InstanceId, InstanceId),
        n: RoleSequence,
        echo: u64,
        records: &Records,
        report: &mut Report,
    ) {
        // Under another n than that of its durable record it may say nothing at all, which is judged elsewhere.
        let Some(record) = records.current(from).filter(|r| r.n == n) else { return };
        report.held(Premise::EchoJudged);
        if record.owner != to {
            report.fire("echoes", "OQ-1", at, || {
                format!(
                    "instance {} echoed a ping of instance {} under n = {n}, which instance {} owns",
                    from.0, to.0, record.owner.0
                )
            });
        }
        let mut pings = self.sent[self.pair(to, from)].iter().filter(|(stamp, _)| *stamp == echo).peekable();
        if let Some(&&(_, older)) = pings.peek()
            && pings.all(|(_, of)| *of != n)
        {
            report.fire("echoes", "P-7", at, || {
                format!(
                    "instance {} echoed under n = {n} a ping that instance {} sent under n = {older}",
                    from.0, to.0
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, W, ping, record};

    fn of(bench: &Bench) -> Vec<(&'static str, &'static str)> {
        bench.rules().into_iter().filter(|(invariant, _)| *invariant == "echoes").collect()
    }

    /// [OQ-1]
    #[test]
    fn an_echo_to_somebody_else_than_the_owner_is_found() {
        let mut bench = Bench::synchronised();
        bench.send(A, W, &ping(1, 5, None));
        bench.send(W, A, &ping(1, 6, Some(5)));
        assert_eq!(of(&bench), []);
        bench.send(B, W, &ping(1, 7, None));
        bench.send(W, B, &ping(1, 8, Some(7)));
        assert_eq!(of(&bench), [("echoes", "OQ-1")]);
    }

    /// [P-7]
    #[test]
    fn an_echo_of_a_ping_of_a_lower_sequence_is_found() {
        let mut bench = Bench::synchronised();
        bench.send(A, W, &ping(1, 5, None));
        bench.record(W, record(2, 3, A, false, 1, 0));
        bench.record(A, record(2, 3, A, false, 1, 0));
        bench.send(A, W, &ping(3, 7, None));
        bench.send(W, A, &ping(3, 8, Some(7)));
        assert_eq!(of(&bench), []);
        bench.send(W, A, &ping(3, 9, Some(5)));
        assert_eq!(of(&bench), [("echoes", "P-7")]);
    }
}
