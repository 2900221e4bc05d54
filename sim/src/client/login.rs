//! How a driver looks for the principal: rounds of attempts, each a little longer than the last. [CL-20 … CL-36]
//!
//! Pure arithmetic; the client makes the attempts and says how they ended.
//!
//! ```text
//! login time-out 15 s, nobody answers                          both answer "inactive" at once
//! 0    1.2   2.4     4.8     7.2     10.8     14.4  15         0    0.1    0.3      0.7   … 14.5  15
//! |-A--|--B--|---A---|---B---|---A----|---B----|-A-|           AB ·  AB ··  AB ····  AB ·     AB ··|
//! ```
//!
//! Assumed: an attempt lasts until the server has answered whether the database is open there. Real logins add time
//! outside the arithmetic [CL-27]; here a login takes no time of its own, and a process that is paused between the
//! two must not eat the whole login time-out.

use crate::time::Time;
use dbm_core::types::InstanceId;

/// The documented default. [CL-6]
pub(super) const LOGIN_TIMEOUT: Time = Time::secs(15);

/// What the driver caches for one database. [CL-10]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// From the connection string; never updated. [CL-11]
    pub initial: InstanceId,
    /// From the connection string, then from whichever principal answered last.
    pub failover: Option<InstanceId>,
}

impl Names {
    /// Caches the partner that a principal named, at every connection (profile `native`). [CL-12, CL-13]
    ///
    /// Assumed: a principal that names the initial partner leaves the cache as it is. The pair would become (A, A),
    /// and a client that happened to connect while B served could never find B again.
    pub fn learn(&mut self, partner: InstanceId) {
        if partner != self.initial {
            self.failover = Some(partner);
        }
    }
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try this server, until then at most.
    Attempt { to: InstanceId, until: Time },
    /// Wait, then ask again.
    Delay { until: Time },
    /// The login has failed, by time-out or by an error that the other partner cannot help.
    Failed,
}

/// Whose turn it is within a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Initial,
    Failover,
    Over,
}

/// One opening of a connection, from the first attempt to success or time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login {
    started: Time,
    timeout: Time,
    /// From 1.
    round: u32,
    turn: Turn,
    /// An attempt of this round was answered instead of timing out.
    early: bool,
}

impl Login {
    pub fn new(now: Time, timeout: Time) -> Self {
        Login { started: now, timeout, round: 1, turn: Turn::Initial, early: false }
    }

    /// The round that runs, from 1.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// The login time-out has passed. [CL-33]
    pub fn is_expired(&self, now: Time) -> bool {
        now >= self.started + self.timeout
    }

    /// The running attempt ended with an error before its time. [CL-32]
    pub fn ended_early(&mut self) {
        self.early = true;
    }

    /// Called at the start, after every attempt that failed or expired, and after every delay.
    pub fn next(&mut self, now: Time, names: Names) -> Next {
        let end = self.started + self.timeout;
        if self.is_expired(now) {
            return Next::Failed;
        }
        let Some(failover) = names.failover else {
            return self.next_of_one(names.initial, end);
        };
        if self.turn == Turn::Over {
            let delay = delay_after(self.round);
            let early = std::mem::take(&mut self.early);
            self.round += 1;
            self.turn = Turn::Initial;
            // A round that used up all its time is followed by no delay. [CL-35]
            if early {
                return Next::Delay { until: end.min(now + delay) };
            }
        }
        let to = match self.turn {
            Turn::Initial | Turn::Over => {
                self.turn = Turn::Failover;
                names.initial
            }
            Turn::Failover => {
                self.turn = Turn::Over;
                failover
            }
        };
        Next::Attempt { to, until: end.min(now + retry_time(self.timeout, self.round)) }
    }

    /// Without a failover partner there is one attempt, as for any database. [CL-21]
    fn next_of_one(&mut self, initial: InstanceId, end: Time) -> Next {
        match self.turn {
            Turn::Initial => {
                self.turn = Turn::Over;
                Next::Attempt { to: initial, until: end }
            }
            Turn::Failover | Turn::Over => Next::Failed,
        }
    }
}

/// How long each attempt of a round may last: 8 % of the login time-out more than in the round before. [CL-31]
fn retry_time(timeout: Time, round: u32) -> Time {
    Time((timeout.0 * 8 / 100).saturating_mul(u64::from(round)))
}

/// The delay after a round with an inactive partner. [CL-34]
fn delay_after(round: u32) -> Time {
    Time::millis(match round {
        1 => 100,
        2 => 200,
        3 => 400,
        4 => 800,
        _ => 1000,
    })
}

/// Errors that no other partner would answer differently: the login itself is refused. [CL-28]
/// Assumed: everything else about a database that is not open here sends the driver to the other partner.
pub(super) fn is_final(error: u32) -> bool {
    matches!(error, 18456 | 18488)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InstanceId = InstanceId(0);
    const B: InstanceId = InstanceId(1);
    const BOTH: Names = Names { initial: A, failover: Some(B) };

    /// Runs a login against servers of which those in `inactive` answer at once and the others never; lists
    /// (start, server, limit) of every attempt, all in milliseconds, and the time of failure.
    fn attempts(names: Names, timeout: Time, inactive: &[InstanceId]) -> (Vec<(u64, InstanceId, u64)>, u64) {
        let (mut now, mut seen) = (Time(7_000_000), Vec::new());
        let start = now;
        let mut login = Login::new(now, timeout);
        loop {
            match login.next(now, names) {
                Next::Attempt { to, until } => {
                    seen.push(((now.0 - start.0) / 1000, to, (until.0 - now.0) / 1000));
                    if inactive.contains(&to) {
                        login.ended_early();
                    } else {
                        now = until;
                    }
                }
                Next::Delay { until } => now = until,
                Next::Failed => return (seen, (now.0 - start.0) / 1000),
            }
        }
    }

    /// [CL-36]
    #[test]
    fn three_silent_rounds_leave_six_tenths_of_a_second() {
        let (seen, end) = attempts(BOTH, LOGIN_TIMEOUT, &[]);
        let expected = [
            (0, A, 1200),
            (1200, B, 1200),
            (2400, A, 2400),
            (4800, B, 2400),
            (7200, A, 3600),
            (10800, B, 3600),
            (14400, A, 600),
        ];
        assert_eq!(seen, expected);
        assert_eq!(end, 15_000);
    }

    /// [CL-34, CL-36]
    #[test]
    fn eighteen_rounds_when_both_are_inactive() {
        let (seen, end) = attempts(BOTH, LOGIN_TIMEOUT, &[A, B]);
        let starts: Vec<u64> = seen.iter().filter(|(_, to, _)| *to == A).map(|(at, _, _)| *at).collect();
        let mut expected = vec![0, 100, 300, 700];
        expected.extend((1..15).map(|s| s * 1000 + 500));
        assert_eq!(starts, expected);
        assert_eq!(starts.len(), 18);
        assert_eq!(seen.len(), 36);
        assert_eq!(end, 15_000);
    }

    /// The table of retry times. [CL-31]
    #[test]
    fn retry_time_grows_by_eight_percent_of_the_login_time_out() {
        for (timeout_s, expected_ms) in
            [(5, [400, 800, 1200, 1600]), (15, [1200, 2400, 3600, 4800]), (30, [2400, 4800, 7200, 9600])]
        {
            let got = [1, 2, 3, 4].map(|round| retry_time(Time::secs(timeout_s), round));
            assert_eq!(got, expected_ms.map(Time::millis));
        }
    }

    /// One answer is enough for the delay. [CL-34, CL-35]
    #[test]
    fn a_half_silent_round_is_followed_by_its_delay() {
        let (seen, _) = attempts(BOTH, LOGIN_TIMEOUT, &[B]);
        assert_eq!(seen[..4], [(0, A, 1200), (1200, B, 1200), (1300, A, 2400), (3700, B, 2400)]);
        assert_eq!(seen[4], (3900, A, 3600));
    }

    /// [CL-21]
    #[test]
    fn a_single_name_gets_the_whole_login_time_out() {
        let names = Names { initial: A, failover: None };
        assert_eq!(attempts(names, LOGIN_TIMEOUT, &[]), (vec![(0, A, 15_000)], 15_000));
        assert_eq!(attempts(names, LOGIN_TIMEOUT, &[A]), (vec![(0, A, 15_000)], 0));
    }

    /// [CL-11, CL-12, CL-62]
    #[test]
    fn a_partner_named_by_the_principal_replaces_the_failover_partner() {
        let mut names = BOTH;
        names.learn(InstanceId(2));
        assert_eq!(names, Names { initial: A, failover: Some(InstanceId(2)) });
        names.learn(A);
        assert_eq!(names, Names { initial: A, failover: Some(InstanceId(2)) });
    }
}
