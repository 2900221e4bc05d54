//! The life of processes: start, steps, death.

use super::waiting::Looping;
use super::{NodeEvent, SESSION, World, event};
use crate::client::ClientInput;
use crate::felt::Feeling;
use crate::network::Cx;
use crate::node::{Actor, NodeIndex, guarded};
use crate::observe::{ClientId, Fact};
use crate::rng::Stream;
use crate::trigger::Moment;
use crate::watch::Finding;
use dbm_core::config::{Config, Part};
use dbm_core::io::{Effect, FileId, FileKind, Input, LinkId, Notice};
use dbm_core::types::InstanceId;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Down,
    /// A boot has been ordered.
    Starting,
    Running,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) life: Life,
    pub(super) incarnation: u32,
    pub(super) paused: bool,
    /// Inputs that came during a pause or while it was busy, in order.
    pub(super) waiting: VecDeque<NodeEvent>,
    /// When the first of them has its turn.
    pub(super) drained_at: Option<u64>,
    /// Microseconds that each input takes.
    pub(super) slow: u64,
    /// It dies again and again.
    pub(super) looping: Option<Looping>,
    /// On the process's own clock: of the host for an instance, true time for a client.
    pub(super) deadline: Option<u64>,
    /// The true time at which a timer event is due.
    pub(super) armed: Option<u64>,
    pub(super) steps: u32,
}

impl Process {
    /// The peer of a link whose end waits to be handled.
    pub(super) fn waits_for_end(&self, link: LinkId) -> Option<InstanceId> {
        self.waiting.iter().find_map(|event| match event {
            NodeEvent::LinkDown { link: ended, peer, .. } if *ended == link => Some(*peer),
            _ => None,
        })
    }

    /// One whose boot is ordered.
    pub(super) fn new() -> Self {
        Process {
            life: Life::Starting,
            incarnation: 0,
            paused: false,
            waiting: VecDeque::new(),
            drained_at: None,
            slow: 0,
            looping: None,
            deadline: None,
            armed: None,
            steps: 0,
        }
    }
}

impl World {
    pub(super) fn running(&self, node: NodeIndex) -> bool {
        self.processes[node.index()].life == Life::Running
    }

    /// Makes a process and lets it handle its start.
    pub fn boot(&mut self, node: NodeIndex) -> Actor {
        let process = &mut self.processes[node.index()];
        assert!(process.life == Life::Starting, "a boot that nobody ordered");
        process.life = Life::Running;
        process.incarnation += 1;
        let incarnation = process.incarnation;
        self.watch.event(self.agenda.now(), node.0, event::BOOT, u64::from(incarnation));
        match self.roster.client(node) {
            Some(client) => {
                let stream = Stream::new(self.seed, "client", &[u64::from(client.0)]);
                let mut actor = Actor::Client(self.crew.client(&self.plan, client, stream));
                self.run_client(&mut actor, node, client, ClientInput::Start);
                actor
            }
            None => {
                let instance = InstanceId(node.0 as u8);
                self.network.process_up(node);
                let config = self.config(instance, incarnation);
                let mut actor = Actor::Instance(self.crew.instance(config));
                self.acting = Some(node);
                self.fact(&Fact::Started { instance, incarnation });
                self.moment(&Moment::Started(instance.0));
                self.run_instance(&mut actor, node, Input::Start);
                self.acting = None;
                actor
            }
        }
    }

    /// What an instance is told at its start.
    fn config(&self, id: InstanceId, incarnation: u32) -> Config {
        let session = &self.plan.session;
        let name = self.roster.instance_name(usize::from(id.0));
        let part = if name == session.principal || name == session.mirror {
            Some(Part::Partner)
        } else {
            // A statement may have made any other instance a witness; it finds its seat again by the file.
            let record = FileId { session: SESSION, kind: FileKind::Record };
            let seat = !self.disks[usize::from(id.0)].durable(record).is_empty();
            (seat || session.witness.as_deref() == Some(name)).then_some(Part::Witness)
        };
        let sessions = part.map(|part| (SESSION, part, session.database.clone()));
        Config {
            id,
            incarnation,
            addresses: (0..self.roster.instances()).map(|i| self.roster.address(i)).collect(),
            sessions: sessions.into_iter().collect(),
            tuning: self.tuning,
            bug: self.bug,
        }
    }

    /// The process is dead: its connections end, and its disk keeps what it keeps. Without effect when the process
    /// died already, in the middle of a step.
    pub fn power_failure(&mut self, node: NodeIndex) {
        let process = &mut self.processes[node.index()];
        if self.roster.client(node).is_some() || process.life != Life::Running {
            return;
        }
        process.life = Life::Down;
        process.paused = false;
        process.waiting.clear();
        process.drained_at = None;
        process.deadline = None;
        process.armed = None;
        let instance = InstanceId(node.0 as u8);
        let with_host = !self.host(node).up;
        self.felt.count(if with_host { Feeling::HostDown } else { Feeling::Crash });
        self.watch.event(self.agenda.now(), node.0, event::DEATH, 0);
        self.fact(&Fact::Died { instance });
        let mut hardened = std::mem::take(&mut self.hardened);
        self.disks[node.index()].crash(&mut self.felt, &mut hardened);
        self.show_hardened(instance, hardened);
        self.network.process_down(&mut Cx { agenda: &mut self.agenda, felt: &mut self.felt }, node);
        self.drop_statements(instance);
    }

    /// Lets an actor handle an event, and performs the effects.
    pub fn deliver(&mut self, actor: &mut Actor, node: NodeIndex, event: NodeEvent) {
        if self.digest {
            self.watch.event(self.agenda.now(), node.0, event.code(), event.checksum());
        }
        match self.roster.client(node) {
            Some(client) => {
                let input = self.show_client_event(client, event);
                self.run_client(actor, node, client, input);
            }
            None => {
                self.acting = Some(node);
                let input = self.show_event(InstanceId(node.0 as u8), event);
                if self.running(node) {
                    self.run_instance(actor, node, input);
                }
                self.acting = None;
            }
        }
    }

    fn run_instance(&mut self, actor: &mut Actor, node: NodeIndex, input: Input) {
        let Actor::Instance(server) = actor else { panic!("a client on an instance's node") };
        if !self.running(node) {
            return;
        }
        let instance = InstanceId(node.0 as u8);
        self.watch.fact(self.agenda.now(), &Fact::Handling { instance, input: &input });
        let now = self.host(node).clock.local(self.now());
        server.wall_clock(self.wall_ms(instance));
        let process = &mut self.processes[node.index()];
        process.steps = process.steps.wrapping_add(1);
        let check = process.steps.is_multiple_of(self.check_every);
        let digest = self.digest;
        let mut effects = std::mem::take(&mut self.effects);
        let result = guarded(|| {
            server.handle(now, input, &mut effects);
            let state = |effect: &Effect| matches!(effect, Effect::Notice(Notice::State { .. }));
            if check || effects.iter().any(state) {
                server.check();
            }
            (server.next_timeout(), digest.then(|| server.fingerprint()))
        });
        match result {
            Ok((deadline, fingerprint)) => {
                let mut rest = effects.drain(..);
                while let Some(effect) = rest.next() {
                    self.effect(node, effect);
                    if !self.running(node) {
                        if rest.len() > 0 {
                            self.watch.cut_short(instance);
                        }
                        break;
                    }
                }
                drop(rest);
                if let Some(fingerprint) = fingerprint {
                    self.watch.fingerprint(node.0, fingerprint);
                }
                self.processes[node.index()].deadline =
                    deadline.filter(|_| self.running(node)).map(|at| at.0);
                self.arm_timer(node);
            }
            Err(message) => {
                effects.clear();
                self.panicked(node, &message);
            }
        }
        self.effects = effects;
    }

    fn run_client(&mut self, actor: &mut Actor, node: NodeIndex, client: ClientId, input: ClientInput) {
        let Actor::Client(process) = actor else { panic!("an instance on a client's node") };
        let mut effects = std::mem::take(&mut self.client_effects);
        process.handle(self.now(), input, &mut effects);
        if self.digest {
            self.watch.fingerprint(node.0, process.fingerprint());
        }
        for effect in effects.drain(..) {
            self.client_effect(node, client, effect);
        }
        self.client_effects = effects;
        self.processes[node.index()].deadline = process.next_timeout().map(|at| at.0);
        self.arm_timer(node);
    }

    /// The process has broken a rule of its own: a finding, and the end of it.
    pub(super) fn panicked(&mut self, node: NodeIndex, message: &str) {
        let instance = InstanceId(node.0 as u8);
        self.fact(&Fact::Panicked { instance, message });
        let name = self.roster.instance_name(node.index());
        self.findings.push(Finding { at: self.now(), rule: "panic", text: format!("{name}: {message}") });
        self.crash(node);
    }
}
