//! One course of events, written down as it happens: what is done, then what must be seen. Out comes a scenario that
//! anybody can run again. When, in which way and in which order links are lost is drawn from the seed.

use dbm_sim::campaign::{self, Source};
use dbm_sim::fault::{Action, Path};
use dbm_sim::report::Verdict;
use dbm_sim::rng::Stream;
use dbm_sim::runner;
use dbm_sim::scenario::*;
use dbm_sim::time::Time;
use dbm_sim::{plan, validate};
use std::collections::{BTreeMap, BTreeSet};

/// Time-out period T of every session here, in seconds; with SAFETY OFF ten seconds are in force. [FL-9, OQ-34]
const TIMEOUT_S: u16 = 5;
/// Losses of one step happen within this time: less than it takes to detect the first of them.
const STEP: Time = Time::secs(2);
/// After the detection the witness may have to be asked again, and clients have to find the new principal.
const MARGIN: Time = Time::millis(2500);
/// How long a situation is looked at.
const LOOK: Time = Time::millis(2500);

pub const A: &str = "A";
pub const B: &str = "B";
pub const W: &str = "W";

/// A link between two of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    Pm,
    Pw,
    Mw,
}

impl Link {
    pub const ALL: [Link; 3] = [Link::Pm, Link::Pw, Link::Mw];

    /// As the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Link::Pm => "PM",
            Link::Pw => "PW",
            Link::Mw => "MW",
        }
    }

    fn ends(self) -> [&'static str; 2] {
        match self {
            Link::Pm => [A, B],
            Link::Pw => [A, W],
            Link::Mw => [B, W],
        }
    }
}

/// The five sections of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub safety: SafetyDecl,
    pub witness: bool,
}

impl Mode {
    /// SAFETY FULL with a witness, mode A.
    pub const FULL: Mode = Mode { safety: SafetyDecl::Full, witness: true };
    /// SAFETY FULL without a witness, mode D.
    pub const ALONE: Mode = Mode { safety: SafetyDecl::Full, witness: false };

    /// By the letter of a QT-row.
    pub fn of(letter: char) -> Option<Mode> {
        let mode = |safety, witness| Some(Mode { safety, witness });
        match letter {
            'A' | 'B' => mode(SafetyDecl::Full, true),
            'C' => mode(SafetyDecl::Off, true),
            'D' => mode(SafetyDecl::Full, false),
            'E' => mode(SafetyDecl::Off, false),
            _ => None,
        }
    }
}

/// Something to be seen.
pub type Sight = Condition;

/// The only one that answers clients.
pub fn served_by(who: &str) -> Sight {
    Condition::ServedBy(Some(who.into()))
}

/// Nobody answers a client.
pub fn not_served() -> Sight {
    Condition::ServedBy(None)
}

pub fn role(of: &str, role: RoleName) -> Sight {
    Condition::Role(BTreeMap::from([(of.into(), Some(role))]))
}

pub fn state(of: &str, state: StateName) -> Sight {
    Condition::State(BTreeMap::from([(of.into(), Some(state))]))
}

pub fn witness(of: &str, state: WitnessName) -> Sight {
    Condition::WitnessState(BTreeMap::from([(of.into(), state)]))
}

/// The role sequence that an instance shows.
pub fn sequence(of: &str, n: u32) -> Sight {
    Condition::RoleSequence { instance: of.into(), n }
}

/// How a step loses its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Both directions, silently.
    Cut,
    /// Held back in both directions.
    Stall,
    /// One direction, silently: for the tables that is lost, too. [OQ-18]
    OneWay,
    /// A filter: what is open is reset at once, and so is every new dial. [OQ-3.4]
    Filter,
}

/// How an instance is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Process,
    Host,
}

/// A course of events that is being written.
#[derive(Debug)]
pub struct Play {
    scenario: Scenario,
    draw: Stream,
    /// T + i.
    detection: Time,
    patience: Time,
    now: Time,
    lost: BTreeSet<Link>,
    down: BTreeMap<&'static str, Down>,
}

impl Play {
    /// A session in this mode, from which nothing has been taken yet. The name tells this course from all others.
    pub fn new(name: &str, mode: Mode, seed: u64) -> Play {
        let mut draw = Stream::new(seed, &format!("quorum {name}"), &[]);
        let latencies = [(200, 3_000), (1_000, 15_000), (3_000, 60_000)];
        let (min, max) = latencies[draw.range(0, 3) as usize];
        let clock_rate_ppm_max = [0, 200, 10_000][draw.range(0, 3) as usize];
        let names = [A, B, W];
        let instances = if mode.witness { &names[..] } else { &names[..2] };
        let period_s = match mode.safety {
            SafetyDecl::Full => u64::from(TIMEOUT_S),
            SafetyDecl::Off => 10,
        };
        let scenario = Scenario {
            dbmsim: FORMAT,
            name: name.into(),
            note: String::new(),
            rules: Vec::new(),
            seed: Some(seed),
            duration: Time(0),
            instances: instances.iter().map(|n| InstanceDecl { name: (*n).into(), host: None }).collect(),
            session: SessionDecl {
                database: "sales".into(),
                principal: A.into(),
                mirror: B.into(),
                witness: mode.witness.then(|| W.into()),
                safety: mode.safety,
                timeout_s: TIMEOUT_S,
                prepared: true,
            },
            network: NetworkProfile {
                latency: Spread { min: Time(min), max: Time(max) },
                ..NetworkProfile::default()
            },
            disk: DiskProfile::default(),
            clocks: BTreeMap::new(),
            clock_rate_ppm_max,
            workload: Some(Workload {
                commits_per_s: 10,
                call_timeout: Time::secs(2),
                ..Workload::default()
            }),
            timeline: Vec::new(),
            chaos: None,
            swarm: None,
            expect: Vec::new(),
        };
        Play {
            scenario,
            draw,
            detection: Time::secs(period_s + 1),
            patience: Time::secs(period_s + 1) + MARGIN,
            now: Time::secs(2),
            lost: BTreeSet::new(),
            down: BTreeMap::new(),
        }
    }

    /// The session begins with SAFETY FULL; OFF comes later, by a statement.
    pub fn begin_with_safety_full(&mut self) {
        self.scenario.session.safety = SafetyDecl::Full;
    }

    /// One in so many, by the seed.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.draw.chance(1, n)
    }

    /// One of them, by the seed.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.draw.range(0, choices.len() as u64) as usize]
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Time) {
        self.now = self.now + time;
    }

    /// Lets every loss be detected, and what follows from it happen.
    pub fn settle(&mut self) {
        self.pass(self.patience);
    }

    /// Something done now.
    pub fn act(&mut self, action: Action) {
        self.act_at(self.now, action);
    }

    fn act_at(&mut self, at: Time, action: Action) {
        self.scenario.timeline.push(Step {
            at: Some(at),
            between: None,
            on: None,
            nth: None,
            after_step: None,
            delay: None,
            until: None,
            action,
        });
    }

    /// A step of the protocol that an instance has to reach after what was done last.
    pub fn reaches_after(&mut self, instance: &str, step: &str) {
        let after_step = self.scenario.timeline.len().checked_sub(1);
        self.scenario.timeline.push(Step {
            at: None,
            between: None,
            on: Some(Trigger::Reached { instance: instance.into(), step: step.into() }),
            nth: None,
            after_step,
            delay: None,
            until: None,
            // Nothing is done; that it was reached is what counts.
            action: Action::DiskHeal(instance.into()),
        });
    }

    /// These links are lost, in an order and a way of the seed's choice; all before the first loss is detected, so that
    /// it is one step of the tables.
    pub fn lose(&mut self, links: &[Link]) {
        let links: Vec<Link> = links.iter().copied().filter(|link| self.lost.insert(*link)).collect();
        // Of two links lost in one direction the second could carry an EXPOSE when the first is noticed; that would be
        // two steps of the tables.
        let loss = match links.len() {
            1 => self.one_of(&[Loss::Cut, Loss::Stall, Loss::Filter, Loss::OneWay]),
            _ => self.one_of(&[Loss::Cut, Loss::Stall, Loss::Filter]),
        };
        let moment = |play: &mut Play| play.now + Time::millis(play.draw.range(0, 1000 * STEP.0 / 1_000_000));
        match loss {
            Loss::Cut | Loss::Stall | Loss::OneWay => {
                for link in links {
                    let at = moment(self);
                    let path = self.path(link, loss != Loss::OneWay);
                    self.act_at(
                        at,
                        if loss == Loss::Stall { Action::Stall(path) } else { Action::Cut(path) },
                    );
                }
            }
            Loss::Filter => {
                // A reset is noticed at once, so that all have to come at the same moment.
                let at = moment(self);
                for make in [Action::Refuse, Action::Reset] {
                    for link in &links {
                        let path = self.path(*link, true);
                        self.act_at(at, make(path));
                    }
                }
            }
        }
        self.pass(STEP);
        if loss == Loss::OneWay {
            // One side notices and closes; only then the other side begins to wait.
            self.pass(self.detection);
        }
    }

    fn path(&mut self, link: Link, both: bool) -> Path {
        let mut ends = link.ends();
        if !both && self.draw.chance(1, 2) {
            ends.reverse();
        }
        Path { from: ends[0].into(), to: ends[1].into(), both }
    }

    /// These links return, at moments of the seed's choice.
    pub fn join(&mut self, links: &[Link]) {
        for link in links {
            if self.lost.remove(link) {
                let at = self.now + Time::millis(self.draw.range(0, 500));
                let path = self.path(*link, true);
                self.act_at(at, Action::Heal(path));
            }
        }
        self.pass(Time::millis(500));
    }

    /// Every link that is lost returns.
    pub fn join_all(&mut self) {
        let lost: Vec<Link> = self.lost.iter().copied().collect();
        self.join(&lost);
    }

    /// Its process dies, or its host loses power.
    pub fn down(&mut self, name: &'static str) {
        let how = self.one_of(&[Down::Process, Down::Host]);
        let at = self.now + Time::millis(self.draw.range(0, 1000));
        self.act_at(
            at,
            match how {
                Down::Process => Action::Crash(name.into()),
                Down::Host => Action::HostDown(name.into()),
            },
        );
        self.down.insert(name, how);
        self.pass(Time::secs(1));
    }

    /// It starts again.
    pub fn up(&mut self, name: &'static str) {
        if let Some(how) = self.down.remove(name) {
            self.act(match how {
                Down::Process => Action::Restart(name.into()),
                Down::Host => Action::HostUp(name.into()),
            });
        }
    }

    /// Stops a process in this very moment, and a host never: the others hear of it at once.
    pub fn crash_now(&mut self, name: &'static str) {
        self.act(Action::Crash(name.into()));
        self.down.insert(name, Down::Process);
    }

    /// Is it down?
    pub fn is_down(&self, name: &str) -> bool {
        self.down.contains_key(name)
    }

    /// An option of SET PARTNER or SET WITNESS for the database, and the error it ends with, if it is refused.
    pub fn sql(&mut self, on: &str, option: &str, error: Option<i32>) {
        let text = format!("ALTER DATABASE sales SET {option}");
        self.act(Action::Sql { on: on.into(), text, error });
    }

    /// All this is seen for a while from now on; then that while is over.
    pub fn sees(&mut self, sights: &[Sight]) {
        let window = [self.now, self.now + LOOK];
        self.expect_each(sights, |e| e.throughout = Some(window));
        // The window includes its end.
        self.pass(LOOK + Time::millis(1));
    }

    /// Each of these is seen at some moment within this time; then that time is over.
    pub fn sees_within(&mut self, time: Time, sights: &[Sight]) {
        let (after, by) = (self.now, self.now + time);
        self.expect_each(sights, |e| (e.after, e.by) = (Some(after), Some(by)));
        self.pass(time);
    }

    fn expect_each(&mut self, sights: &[Sight], form: impl Fn(&mut Expectation)) {
        for condition in sights {
            let condition = condition.clone();
            let mut expectation =
                Expectation { by: None, after: None, at: None, throughout: None, condition };
            form(&mut expectation);
            self.scenario.expect.push(expectation);
        }
    }

    /// No confirmed transaction is missing in the end.
    pub fn loses_nothing(&mut self) {
        let by = self.now;
        self.expect_each(&[Condition::LostTransactions(Amount::AtMost(0))], |e| e.at = Some(by));
    }

    /// Plays it. The error says what was seen instead, and how to play it again.
    pub fn judge(mut self) -> Result<(), String> {
        let seed = self.scenario.seed.expect("set at the start");
        self.scenario.duration = self.now + Time::millis(100);
        let plan = plan::resolve(&self.scenario, seed);
        let problems = validate::check(&plan);
        assert!(problems.is_empty(), "{}: is no scenario: {problems:?}", plan.name);
        let file = format!("{}/{}-{seed}.json", env!("CARGO_TARGET_TMPDIR"), plan.name);
        let source = Source { file: file.clone(), scenario: plan };
        let report = campaign::one(&runner::run, &source, seed, campaign::Mode::default()).report;
        if report.verdict == Verdict::Held {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&source.scenario).expect("a scenario is JSON");
        std::fs::write(&file, text).map_err(|e| format!("{file}: {e}"))?;
        Err(format!(
            "{}to run it again:\n  cargo run --release -- run {file} --seed {seed} --trace\n",
            report.text()
        ))
    }
}
