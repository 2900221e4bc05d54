//! The simulated world: everything but the processes.
//!
//! A driver asks [`World::next`] what comes: a process has something to handle ([`World::deliver`]), has to be killed
//! ([`World::power_failure`]) or started ([`World::boot`]), or the run is over. The driver owns the processes and
//! nothing else, so that any driver gives the same run.
//!
//! The order within a moment: a step of a process performs its effects one after the other. A step of the plan that
//! waits for one of them happens between it and the next; a crash of the acting process then loses the rest, a pause
//! begins after the last.

mod acts;
mod effects;
mod event;
mod pace;
mod process;
mod waiting;

use crate::agenda::{Agenda, Event};
use crate::client::ClientEffect;
use crate::clock::Clock;
use crate::disk::{Disk, Hardened};
use crate::driver::{Outcome, RunOptions};
use crate::felt::{Feeling, Felt};
use crate::moments::Moments;
use crate::network::{Cx, Network};
use crate::node::{Crew, NodeIndex, Roster};
use crate::observe::Fact;
use crate::rng::Stream;
use crate::scenario::Scenario;
use crate::script::{Cue, PlanError, Script};
use crate::time::Time;
use crate::trigger::{Moment, Triggers};
use crate::watch::{Finding, Watch};
use acts::Stale;
use dbm_core::bugs::Bug;
use dbm_core::config::Tuning;
use dbm_core::io::Effect;
use dbm_core::types::{InstanceId, Instant, Role, SessionId};
use pace::Pace;
use process::{Life, Process};
use std::collections::VecDeque;
use std::sync::Arc;

pub use event::NodeEvent;
pub use pace::Budget;

/// The one session of a scenario.
pub const SESSION: SessionId = SessionId(1);

/// What a driver has to do next.
#[derive(Debug)]
pub enum Step {
    /// Let the node's actor handle this, by [`World::deliver`].
    Actor(NodeIndex, NodeEvent),
    /// Drop the node's actor and call [`World::power_failure`].
    Kill(NodeIndex),
    /// Make the node's actor by [`World::boot`].
    Boot(NodeIndex),
    /// Stop.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kill(NodeIndex),
    Boot(NodeIndex),
}

#[derive(Debug)]
struct Host {
    clock: Clock,
    up: bool,
}

/// A statement of the plan that has not been answered.
#[derive(Debug)]
struct Statement {
    request: u64,
    step: usize,
    on: InstanceId,
}

/// Everything but the processes.
pub struct World {
    plan: Arc<Scenario>,
    roster: Arc<Roster>,
    script: Arc<Script>,
    seed: u64,
    end: Time,
    agenda: Agenda,
    felt: Felt,
    network: Network,
    disks: Vec<Disk>,
    hosts: Vec<Host>,
    processes: Vec<Process>,
    triggers: Triggers,
    moments: Option<Moments>,
    watch: Watch,
    crew: Arc<dyn Crew>,
    tuning: Tuning,
    bug: Option<Bug>,
    check_every: u32,
    digest: bool,
    orders: VecDeque<Order>,
    acting: Option<NodeIndex>,
    statements: Vec<Statement>,
    stale: Option<Stale>,
    pace: Pace,
    findings: Vec<Finding>,
    over: bool,
    effects: Vec<Effect>,
    client_effects: Vec<ClientEffect>,
    hardened: Vec<Hardened>,
}

impl World {
    /// The world of a plan before anything has happened; every process is to be booted.
    pub fn new(plan: &Scenario, seed: u64, options: &RunOptions) -> Result<Self, PlanError> {
        let plan = Arc::new(plan.clone());
        let roster = Arc::new(Roster::new(&plan));
        let script = Arc::new(Script::new(&plan, seed, &roster)?);
        let stale = Stale::new(&plan, &script, &roster);
        let watch =
            Watch::new(plan.clone(), roster.clone(), options.trace, options.record.clone(), options.judge);
        let instances = roster.instances();
        let roles = plan.instances.iter().map(|decl| match &decl.name {
            name if *name == plan.session.principal => Some(Role::Principal),
            name if *name == plan.session.mirror => Some(Role::Mirror),
            _ => None,
        });
        let roles: Vec<Option<Role>> = roles.collect();
        let mut world = World {
            seed,
            end: plan.duration,
            agenda: Agenda::default(),
            felt: Felt::default(),
            network: Network::new(seed, plan.network, &roster, stale.is_some()),
            disks: (0..instances).map(|i| Disk::new(seed, plan.disk, i as u8)).collect(),
            hosts: (0..roster.hosts())
                .map(|i| Host { clock: clock(&plan, &roster, seed, i), up: true })
                .collect(),
            processes: (0..roster.nodes()).map(|_| Process::new()).collect(),
            moments: options.moments.then(|| Moments::new(roster.clone(), roles.clone())),
            triggers: Triggers::new(&script, roles),
            watch,
            crew: options.crew.clone(),
            tuning: options.tuning,
            bug: options.bug,
            check_every: options.check_every.max(1),
            digest: options.digest,
            orders: (0..roster.nodes()).map(|i| Order::Boot(NodeIndex(i as u16))).collect(),
            acting: None,
            statements: Vec::new(),
            stale,
            pace: Pace::new(options.budget, roster.nodes()),
            findings: Vec::new(),
            over: false,
            effects: Vec::new(),
            client_effects: Vec::new(),
            hardened: Vec::new(),
            plan,
            roster,
            script,
        };
        for (step, s) in world.script.0.iter().enumerate() {
            if let Cue::At(at) = s.cue {
                world.agenda.enter(at, Event::Step { step: step as u32 });
            }
        }
        for (instance, file, bytes) in options.preload.iter() {
            world.watch.fact(Time(0), &Fact::Preloaded { instance: *instance, file: *file, bytes });
            world.disks[usize::from(instance.0)].preload(*file, bytes.clone());
        }
        tracing::info!(plan = %world.plan.name, seed, "run starts");
        Ok(world)
    }

    /// True time.
    pub fn now(&self) -> Time {
        self.agenda.now()
    }

    /// Who takes part.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The disk of an instance.
    pub fn disk(&self, instance: InstanceId) -> &Disk {
        &self.disks[usize::from(instance.0)]
    }

    /// The wall clock of an instance's host, in milliseconds since 1970.
    pub fn wall_ms(&self, instance: InstanceId) -> i64 {
        self.hosts[self.roster.host_of(usize::from(instance.0))].clock.wall_ms(self.now())
    }

    /// Goes on until a driver has to do something.
    #[allow(
        clippy::should_implement_trait,
        reason = "a world is no iterator: its steps have to be performed"
    )]
    pub fn next(&mut self) -> Step {
        loop {
            match self.orders.pop_front() {
                Some(Order::Kill(node)) => return Step::Kill(node),
                Some(Order::Boot(node)) => return Step::Boot(node),
                None => {}
            }
            if self.over {
                return Step::End;
            }
            let Some(event) = self.agenda.advance(self.end) else {
                self.over = true;
                continue;
            };
            if let Some(text) = self.pace.event(self.agenda.now(), self.end) {
                self.livelock(text);
            }
            let handed = match event {
                Event::Drain { node } => self.drain(NodeIndex(node)).map(|event| (NodeIndex(node), event)),
                event => self.happen(event).and_then(|(node, event)| self.hand_over(node, event)),
            };
            if let Some((node, event)) = handed {
                if let Some(text) = self.pace.input(self.agenda.now(), node) {
                    let who = self.roster.node_name(node);
                    self.livelock(format!("{who} {text}"));
                }
                return Step::Actor(node, event);
            }
        }
    }

    /// Nobody gets anywhere: a finding, and the end of the run.
    fn livelock(&mut self, text: String) {
        self.findings.push(Finding { at: self.now(), rule: "livelock", text });
        self.over = true;
    }

    /// Performs an event of the agenda; answers what a process has to handle of it.
    fn happen(&mut self, event: Event) -> Option<(NodeIndex, NodeEvent)> {
        let mut cx = Cx { agenda: &mut self.agenda, felt: &mut self.felt };
        match event {
            Event::Arrive { conn, generation, way } => {
                self.network.arrive(&mut cx, conn, generation, way).and_then(NodeEvent::arrived)
            }
            Event::GiveUp { conn, hole, way } => {
                self.network.give_up(&mut cx, conn, hole, way).and_then(NodeEvent::arrived)
            }
            Event::Probe { conn, probe, way } => {
                self.network.probe(&mut cx, conn, probe, way);
                None
            }
            Event::Disk { instance, file, epoch } => self.disk_done(instance, file, epoch),
            Event::Timer { node } => self.timer(NodeIndex(node)),
            // Handed out by `next`, past the others that wait.
            Event::Drain { .. } => None,
            Event::Step { step } => {
                self.perform(step);
                None
            }
            Event::Ask { step } => self.ask(step),
            Event::Loop { node, number } => {
                self.turn_loop(NodeIndex(node), number);
                None
            }
        }
    }

    fn disk_done(&mut self, instance: u8, file: u8, epoch: u32) -> Option<(NodeIndex, NodeEvent)> {
        let mut hardened = std::mem::take(&mut self.hardened);
        let disk = &mut self.disks[usize::from(instance)];
        let done = disk.complete(&mut self.agenda, &mut self.felt, file, epoch, &mut hardened);
        self.show_hardened(InstanceId(instance), hardened);
        done.map(|done| (NodeIndex(u16::from(instance)), NodeEvent::Disk(Box::new(done))))
    }

    fn show_hardened(&mut self, instance: InstanceId, mut hardened: Vec<Hardened>) {
        for Hardened { file, offset, bytes } in hardened.drain(..) {
            self.fact(&Fact::Durable { instance, file, offset, bytes: &bytes });
        }
        self.hardened = hardened;
    }

    // Time.

    fn timer(&mut self, node: NodeIndex) -> Option<(NodeIndex, NodeEvent)> {
        let now = self.now();
        let due = self.due(node);
        let process = &mut self.processes[node.index()];
        if process.armed != Some(now.0) {
            return None;
        }
        process.armed = None;
        if due? > now {
            self.arm_timer(node);
            return None;
        }
        if node.index() < self.roster.instances() && self.host(node).clock.disturbed() {
            self.felt.count(Feeling::ClockRate);
        }
        Some((node, NodeEvent::Timeout))
    }

    /// The true time of the node's deadline.
    fn due(&self, node: NodeIndex) -> Option<Time> {
        let process = &self.processes[node.index()];
        let deadline = process.deadline.filter(|_| process.life == Life::Running)?;
        Some(match self.roster.client(node) {
            None => self.host(node).clock.true_time(Instant(deadline)),
            Some(_) => Time(deadline),
        })
    }

    fn arm_timer(&mut self, node: NodeIndex) {
        let Some(due) = self.due(node) else { return };
        let at = due.max(self.now()).0;
        let process = &mut self.processes[node.index()];
        if process.armed.is_none_or(|armed| at < armed) {
            process.armed = Some(at);
            self.agenda.enter(at, Event::Timer { node: node.0 });
        }
    }

    fn host(&self, instance: NodeIndex) -> &Host {
        &self.hosts[self.roster.host_of(instance.index())]
    }

    // Watchers.

    fn fact(&mut self, fact: &Fact<'_>) {
        self.watch.fact(self.agenda.now(), fact);
    }

    /// Performs the steps of the plan that wait for this moment.
    fn moment(&mut self, moment: &Moment<'_>) {
        if let Some(moments) = &mut self.moments {
            moments.note(self.agenda.now(), moment);
        }
        for due in self.triggers.due(self.agenda.now().0, moment) {
            match due.delay {
                0 => self.perform(due.step),
                delay => self.agenda.enter(self.agenda.now().0 + delay, Event::Step { step: due.step }),
            }
        }
    }

    /// The end of the run.
    pub fn finish(mut self) -> Outcome {
        self.unanswered();
        let at = self.now();
        let watched = self.watch.finish(at, &self.felt);
        let findings = self.findings;
        let digest = watched.digest.value();
        tracing::info!(events = self.pace.events(), digest, findings = findings.len(), "run ends");
        Outcome {
            digest,
            events: self.pace.events(),
            virtual_time: at,
            faults_felt: self.felt.by_name(),
            steps_happened: self.triggers.happened().to_vec(),
            checkpoints: watched.digest.into_checkpoints(),
            trace: watched.trace,
            moments: self.moments.map(Moments::seen).unwrap_or_default(),
            recorded: watched.recorded,
            findings,
            verdict: watched.verdict,
            unmet: watched.unmet,
            coverage: watched.coverage,
            downtime: watched.downtime,
        }
    }
}

/// A host's clocks: as the plan says, or within its bound.
fn clock(plan: &Scenario, roster: &Roster, seed: u64, host: usize) -> Clock {
    let mut stream = Stream::new(seed, "clock", &[host as u64]);
    // Clocks have unrelated zeros, an hour to a few months back.
    let zero = stream.range(3_600_000_000, 10_000_000_000_000);
    let bound = u64::from(plan.clock_rate_ppm_max.min(500_000));
    let drawn = stream.range(0, 2 * bound + 1) as i32 - bound as i32;
    match plan.clocks.get(roster.host_name(host)) {
        Some(profile) => Clock::new(zero, profile.rate_ppm, profile.offset_ms),
        None => Clock::new(zero, drawn, 0),
    }
}

#[cfg(test)]
mod tests;
