//! How a seed may begin: a short sequence of faults and statements, each of which is common and which hardly ever follow
//! each other by chance, such as a claim that is durable, a break, and the claimant's return. Before the other faults
//! begin, everything that a story broke is lifted, so that what it left behind meets all that comes later.

use super::shape::{Shape, millis};
use crate::fault::{Action, Path};
use crate::plan::draw::Draw;
use crate::scenario::{SafetyDecl, Scenario, StateName, Step, Trigger, Workload};
use crate::time::Time;
use crate::validate;
use dbm_core::control::{PartnerOption, Statement};

/// The longest time-out period of a session with a story, in seconds, so that the story stays short.
const TIMEOUT_S_MAX: u16 = 6;
/// Long enough for a session to be synchronised.
const BEGIN: Time = Time::millis(3_500);
/// From the end of a story's last fault to its end.
const REST: Time = Time::secs(1);

/// A beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Hosts lose their power while long blocks of log are being written.
    TornLog,
    /// Pages rot while nobody reads them, and then their instance has to serve.
    RottenPages,
    /// A claim is durable, and its claimant breaks off and comes back while the principal is away.
    BrokenClaim,
    /// The mirror is cut off, the principal runs exposed, and dies.
    ExposedDeath,
    /// A hand-over whose partners lose each other within it.
    BrokenHandover,
    /// A hand-over whose record takes its time on the disk.
    SlowHandover,
    /// A principal that ran exposed comes back to a session that was forced without it.
    Fork,
}

impl Story {
    const ALL: [Story; 8] = [
        // Twice: few writes are torn, and fewer of these so that it could be overlooked.
        Story::TornLog,
        Story::TornLog,
        Story::RottenPages,
        Story::BrokenClaim,
        Story::ExposedDeath,
        Story::BrokenHandover,
        Story::SlowHandover,
        Story::Fork,
    ];

    /// A story for four of ten seeds.
    pub(super) fn draw(draw: &mut Draw) -> Option<Story> {
        if draw.chance(4, 10) { draw.pick(&Story::ALL).copied() } else { None }
    }

    /// Its name in notes.
    pub fn name(self) -> &'static str {
        match self {
            Story::TornLog => "torn-log",
            Story::RottenPages => "rotten-pages",
            Story::BrokenClaim => "broken-claim",
            Story::ExposedDeath => "exposed-death",
            Story::BrokenHandover => "broken-handover",
            Story::SlowHandover => "slow-handover",
            Story::Fork => "fork",
        }
    }

    /// Does it need an owner who mends the session at the end?
    pub(super) fn needs_owner(self) -> bool {
        self == Story::Fork
    }

    /// The session as the story needs it; `witness` is there to be had.
    pub(super) fn set(self, plan: &mut Scenario, witness: Option<String>, draw: &mut Draw) {
        let session = &mut plan.session;
        session.timeout_s = session.timeout_s.min(TIMEOUT_S_MAX);
        session.safety = SafetyDecl::Full;
        match self {
            Story::BrokenClaim | Story::ExposedDeath => session.witness = witness,
            // Nobody but the partners can say who owns the role.
            Story::BrokenHandover if draw.chance(1, 2) => session.witness = None,
            _ => {}
        }
    }

    /// The load as the story needs it.
    pub(super) fn load(self, workload: &mut Workload, draw: &mut Draw) {
        match self {
            Story::TornLog => {
                // Many commits at once, none of which waits for another or for a server that is gone, make long blocks.
                workload.clients = draw.between(24, 32) as u16;
                workload.commits_per_s = draw.between(200, 300) as u32;
                workload.accounts = 64;
                workload.lists = 8;
                workload.call_timeout = Time::millis(300);
                workload.interactive_percent = 0;
                workload.read_only_percent = 0;
            }
            Story::RottenPages => {
                workload.accounts = draw.between(64, 512) as u32;
                workload.read_only_percent = 50;
            }
            Story::SlowHandover => {
                workload.clients = workload.clients.max(8);
                workload.commits_per_s = workload.commits_per_s.max(40);
                workload.read_only_percent = 50;
                workload.call_timeout = Time::secs(3);
            }
            Story::BrokenClaim | Story::ExposedDeath | Story::BrokenHandover | Story::Fork => {}
        }
    }

    /// When it begins.
    fn begin(from: Time) -> Time {
        from.max(BEGIN)
    }

    /// When it has ended, if without it faults began at `from`.
    pub(super) fn end(self, plan: &Scenario, from: Time) -> Time {
        let detection = Time::secs(u64::from(plan.session.timeout_s) + 1);
        let lasts = match self {
            Story::TornLog => Time::secs(14),
            Story::RottenPages | Story::SlowHandover => Time::secs(8),
            Story::BrokenClaim => Time::secs(10),
            Story::ExposedDeath => detection + detection + Time::secs(4),
            Story::BrokenHandover => detection + Time::secs(4),
            Story::Fork => Time::secs(18),
        };
        Self::begin(from) + lasts
    }
}

/// The steps of a seed's story. An `after_step` is an index among them.
pub(super) fn draw(plan: &Scenario, shape: &Shape, seed: u64) -> Vec<Step> {
    let Some((story, from)) = shape.story else { return Vec::new() };
    let (begin, end) = (Story::begin(from), shape.from);
    let draw = Draw::named(seed, "plan/swarm/stories");
    let mut told = Told { plan, end, draw, steps: Vec::new() };
    told.tell(story, begin);
    told.at(end, Action::HealAll);
    told.steps
}

struct Told<'a> {
    plan: &'a Scenario,
    end: Time,
    draw: Draw,
    steps: Vec<Step>,
}

impl Told<'_> {
    fn at(&mut self, at: Time, action: Action) -> usize {
        self.steps.push(super::timed(at, action));
        self.steps.len() - 1
    }

    /// A step that waits for a moment after step `after`, and for no longer than the story lasts.
    fn on(&mut self, trigger: &Trigger, nth: u32, after: usize, delay: Time, action: Action) {
        let until = Time(self.end.0 - REST.0 - delay.0);
        self.steps.push(Step {
            at: None,
            between: None,
            on: Some(trigger.clone()),
            nth: Some(nth),
            after_step: Some(after),
            delay: (delay > Time(0)).then_some(delay),
            until: Some(until),
            action,
        });
    }

    fn millis(&mut self, low: u64, high: u64) -> Time {
        millis(&mut self.draw, low, high)
    }

    fn ask(&mut self, at: Time, on: &str, option: PartnerOption) -> usize {
        let database = self.plan.session.database.clone();
        let text = Statement::SetPartner { database, option }.to_string();
        self.at(at, Action::Sql { on: on.into(), text, error: Some(-1) })
    }

    fn host(&self, name: &str) -> String {
        let at = self.plan.instances.iter().position(|i| i.name == name);
        at.map_or(name, |i| validate::hosts(self.plan)[i]).to_owned()
    }

    fn tell(&mut self, story: Story, begin: Time) {
        let session = self.plan.session.clone();
        let (principal, mirror) = (session.principal, session.mirror);
        match story {
            Story::TornLog => {
                for strike in 0..6 {
                    let start = begin + Time(strike * 2_100_000);
                    let victim = if self.draw.chance(3, 4) { &principal } else { &mirror };
                    self.power_lost_in_log_write(start, victim);
                }
            }
            Story::RottenPages => self.rotten_pages(begin, &principal, &mirror),
            Story::BrokenClaim => {
                let first = self.at(begin, Action::Crash(principal));
                let durable = Trigger::Reached { instance: mirror.clone(), step: "claim.durable".into() };
                let back = begin + self.millis(1_500, 5_000);
                let host = self.host(&mirror);
                match (self.draw.between(0, 3), session.witness) {
                    (0, Some(witness)) => {
                        let reset = Action::Reset(path(&mirror, &witness, true));
                        self.on(&durable, 1, first, Time(0), reset);
                    }
                    (1, _) => {
                        self.on(&durable, 1, first, Time(0), Action::HostDown(host.clone()));
                        self.at(back, Action::HostUp(host));
                    }
                    _ => {
                        self.on(&durable, 1, first, Time(0), Action::Crash(mirror.clone()));
                        self.at(back, Action::Restart(mirror));
                    }
                }
            }
            Story::ExposedDeath => {
                let first = if self.draw.chance(1, 2) {
                    self.at(begin, Action::Cut(path(&principal, &mirror, true)))
                } else {
                    // A principal that comes back in time is principal still, and catches up.
                    let host = self.host(&principal);
                    let down = self.at(begin, Action::HostDown(host.clone()));
                    let up = begin + self.millis(300, 1_500);
                    self.at(up, Action::HostUp(host));
                    let state = StateName::Synchronizing;
                    let catching_up = Trigger::State { instance: principal.clone(), state };
                    let cut = Action::Cut(path(&principal, &mirror, true));
                    self.on(&catching_up, 1, down, Time(0), cut);
                    down
                };
                let exposed = Trigger::Reached { instance: principal.clone(), step: "exposed".into() };
                let delay = self.millis(0, 1_000);
                let death = if self.draw.chance(2, 3) {
                    Action::Crash(principal)
                } else {
                    Action::HostDown(self.host(&principal))
                };
                self.on(&exposed, 1, first, delay, death);
            }
            Story::BrokenHandover => self.broken_handover(begin, &principal, &mirror),
            Story::SlowHandover => {
                let start = begin + Time::millis(200);
                if self.draw.chance(1, 2) {
                    let by = self.millis(50, 500);
                    self.at(begin, Action::DiskSlow { instance: principal.clone(), by });
                    self.ask(start, &principal, PartnerOption::Failover);
                } else {
                    let first = self.ask(start, &principal, PartnerOption::Failover);
                    let bound =
                        Trigger::Reached { instance: principal.clone(), step: "handover.bound".into() };
                    self.on(&bound, 1, first, Time(0), Action::DiskStall(principal.clone()));
                    let healed = start + self.millis(1_000, 5_000);
                    self.at(healed, Action::DiskHeal(principal));
                }
            }
            Story::Fork => self.fork(begin, &principal, &mirror),
        }
    }

    /// A disk so slow that blocks grow long, and no power in the middle of one.
    fn power_lost_in_log_write(&mut self, start: Time, victim: &str) {
        let by = self.millis(40, 80);
        let slow = self.at(start, Action::DiskSlow { instance: victim.into(), by });
        let writes = Trigger::DiskIssued { instance: victim.into(), file: "log".into() };
        let nth = self.draw.between(3, 7) as u32;
        let delay = Time(self.draw.between(0, by.0 / 2));
        let host = self.host(victim);
        self.on(&writes, nth, slow, delay, Action::HostDown(host.clone()));
        self.on(&writes, nth, slow, delay + Time::millis(200), Action::DiskHeal(victim.into()));
        self.on(&writes, nth, slow, delay + Time::millis(300), Action::HostUp(host));
    }

    fn rotten_pages(&mut self, begin: Time, principal: &str, mirror: &str) {
        let victim = if self.draw.chance(3, 4) { mirror } else { principal };
        self.at(begin, Action::Crash(victim.into()));
        for i in 0..self.draw.between(4, 20) {
            let at = begin + Time::millis(100 + 10 * i);
            self.at(at, Action::Rot { instance: victim.into(), file: "data".into() });
        }
        let back = begin + self.millis(400, 1_500);
        self.at(back, Action::Restart(victim.into()));
        if victim == mirror {
            let death = back + self.millis(1_500, 3_000);
            self.at(death, Action::Crash(principal.into()));
        }
    }

    fn broken_handover(&mut self, begin: Time, principal: &str, mirror: &str) {
        let first = self.ask(begin, principal, PartnerOption::Failover);
        let record =
            |from: &str, to: &str| Trigger::Sent { frame: "record".into(), from: from.into(), to: to.into() };
        let reached =
            |instance: &str, step: &str| Trigger::Reached { instance: instance.into(), step: step.into() };
        let moments = [
            record(principal, mirror),
            record(principal, mirror),
            record(mirror, principal),
            reached(principal, "handover.bound"),
            reached(mirror, "failover.ready"),
        ];
        let Some(moment) = self.draw.pick(&moments) else { return };
        let delay = if self.draw.chance(1, 2) { Time(0) } else { self.millis(0, 30) };
        let fault = match self.draw.between(0, 4) {
            0 => Action::Reset(path(principal, mirror, true)),
            1 => Action::Cut(path(principal, mirror, false)),
            2 => Action::Cut(path(principal, mirror, true)),
            _ => Action::Cut(path(mirror, principal, false)),
        };
        self.on(moment, 1, first, delay, fault);
    }

    fn fork(&mut self, begin: Time, principal: &str, mirror: &str) {
        self.at(begin, Action::Crash(mirror.into()));
        let mut now = begin + self.millis(1_500, 3_000);
        self.at(now, Action::Crash(principal.into()));
        now = now + self.millis(200, 800);
        self.at(now, Action::Restart(mirror.into()));
        for _ in 0..2 {
            now = now + self.millis(1_000, 1_800);
            self.ask(now, mirror, PartnerOption::ForceServiceAllowDataLoss);
        }
        now = now + self.millis(500, 1_000);
        self.at(now, Action::Restart(principal.into()));
        now = now + self.millis(1_500, 2_500);
        let resume = self.ask(now, mirror, PartnerOption::Resume);
        if self.draw.chance(1, 2) {
            return;
        }
        // The way back breaks off, and then the other partner is forced.
        let recorded = Trigger::DiskDone { instance: principal.into(), file: "record".into() };
        let nth = 1 + u32::from(self.draw.chance(1, 4));
        self.on(&recorded, nth, resume, Time(0), Action::Crash(principal.into()));
        now = now + Time::millis(700);
        self.at(now, Action::Crash(mirror.into()));
        now = now + Time::millis(300);
        self.at(now, Action::Restart(principal.into()));
        for _ in 0..2 {
            now = now + self.millis(800, 1_500);
            self.ask(now, principal, PartnerOption::ForceServiceAllowDataLoss);
        }
    }
}

fn path(from: &str, to: &str, both: bool) -> Path {
    Path { from: from.into(), to: to.into(), both }
}
