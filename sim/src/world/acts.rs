//! What the plan does to the world.

use super::process::Life;
use super::{Order, Statement, World, event};
use crate::agenda::Event;
use crate::disk::Damage;
use crate::fault::Action;
use crate::felt::Feeling;
use crate::frames;
use crate::network::path::Endpoint;
use crate::node::{NodeIndex, Roster};
use crate::observe::Fact;
use crate::scenario::Scenario;
use crate::script::{Act, Script};
use crate::watch::Finding;
use crate::world::NodeEvent;
use dbm_core::types::InstanceId;
use std::sync::Arc;

/// The statement of a step and the error it must end with.
pub(super) fn statement(plan: &Scenario, step: usize) -> Option<(&str, Option<i32>)> {
    match &plan.timeline.get(step)?.action {
        Action::Sql { text, error, .. } => Some((text, *error)),
        _ => None,
    }
}

fn node(instance: u8) -> NodeIndex {
    NodeIndex(u16::from(instance))
}

impl World {
    /// Performs a step of the plan.
    pub(super) fn perform(&mut self, step: u32) {
        let index = step as usize;
        self.triggers.performed(step);
        if let Some(moments) = &mut self.moments {
            moments.performed(self.agenda.now(), step);
        }
        let (plan, script) = (self.plan.clone(), self.script.clone());
        let action = &plan.timeline[index].action;
        tracing::debug!(at = self.now().0, step, ?action, "plan");
        self.watch.event(self.now(), u16::MAX, event::ACT, u64::from(step));
        self.fact(&Fact::Acted { step: index, action });
        match script.0[index].act {
            Act::Crash(instance) => self.crash(node(instance)),
            Act::Restart(instance) => self.restart(node(instance)),
            Act::HostDown(host) => self.host_down(host),
            Act::HostUp(host) => self.host_up(host),
            Act::Pause(instance) => self.pause(node(instance)),
            Act::Unpause(instance) => self.unpause(node(instance)),
            Act::Cut(route) => {
                route.directions().for_each(|(from, to)| self.network.overlay_mut(from, to).cut = true);
            }
            Act::Stall(route) => {
                route.directions().for_each(|(from, to)| self.network.overlay_mut(from, to).stalled = true);
            }
            Act::Slow { route, by, jitter } => {
                for (from, to) in route.directions() {
                    let overlay = self.network.overlay_mut(from, to);
                    (overlay.slow, overlay.jitter) = (by, jitter);
                }
            }
            Act::Throttle(route, bytes_s) => {
                let (network, mut cx) = self.network();
                route.directions().for_each(|(from, to)| network.throttle(&mut cx, from, to, bytes_s));
            }
            Act::Corrupt(route, one_in) => {
                route
                    .directions()
                    .for_each(|(from, to)| self.network.overlay_mut(from, to).corrupt_one_in = one_in);
            }
            Act::SlowStart(route, by) => {
                route.directions().for_each(|(from, to)| self.network.overlay_mut(from, to).slow_start = by);
            }
            Act::Refuse(route) => {
                route.directions().for_each(|(from, to)| self.network.overlay_mut(from, to).refused = true);
            }
            Act::Reset(route) => {
                let (network, mut cx) = self.network();
                network.reset(&mut cx, route.from, route.to);
            }
            Act::Heal(route) => {
                let (network, mut cx) = self.network();
                route.directions().for_each(|(from, to)| network.heal(&mut cx, from, to));
            }
            Act::DiskStall(instance) => self.disks[usize::from(instance)].stall(),
            Act::DiskSlow(instance, by) => self.disks[usize::from(instance)].slow_down(by),
            Act::DiskError(instance, count) => self.damage(instance).fail_next(count),
            Act::DiskFail(instance) => self.damage(instance).break_down(),
            Act::DiskFull(instance) => self.damage(instance).fill(),
            Act::DiskLie(instance) => self.damage(instance).lie(),
            Act::Misdirect(instance, file) => self.damage(instance).misdirect(file),
            Act::Rot(instance, file) => self.disks[usize::from(instance)].rot(file),
            Act::DiskHeal(instance) => self.heal_disk(InstanceId(instance)),
            Act::SlowCpu(instance, by) => self.slow_cpu(node(instance), by),
            Act::FastCpu(instance) => self.fast_cpu(node(instance)),
            Act::RestartLoop(instance, how) => self.begin_loop(node(instance), how),
            Act::ClockRate(host, ppm) => {
                self.hosts[usize::from(host)].clock.set_rate(self.agenda.now(), ppm);
                self.rearm(usize::from(host));
            }
            Act::ClockStep(host, ms) => self.hosts[usize::from(host)].clock.step(ms),
            Act::ClockFreeze(host, frozen) => {
                self.hosts[usize::from(host)].clock.freeze(self.agenda.now(), frozen);
            }
            Act::HealAll => self.heal_all(),
            // Not in the middle of somebody's step: the statement is an input of its own.
            Act::Sql(_) => self.agenda.enter(self.agenda.now().0, Event::Ask { step }),
            Act::Inject { from, to } => self.inject(step, from, to),
        }
    }

    /// Kills the process: at once in the middle of a step, otherwise by the driver, before anything else happens.
    pub(super) fn crash(&mut self, node: NodeIndex) {
        match self.processes[node.index()].life {
            Life::Down => return,
            Life::Starting => {
                self.processes[node.index()].life = Life::Down;
                self.orders.retain(|order| *order != Order::Boot(node));
                return;
            }
            Life::Running => {}
        }
        if self.acting.is_some() {
            self.power_failure(node);
        }
        self.orders.push_back(Order::Kill(node));
    }

    pub(super) fn restart(&mut self, node: NodeIndex) {
        if self.host(node).up && self.processes[node.index()].life == Life::Down {
            self.processes[node.index()].life = Life::Starting;
            self.orders.push_back(Order::Boot(node));
        }
    }

    fn damage(&mut self, instance: u8) -> &mut Damage {
        self.disks[usize::from(instance)].damage_mut()
    }

    fn heal_disk(&mut self, instance: InstanceId) {
        let mut hardened = std::mem::take(&mut self.hardened);
        self.disks[usize::from(instance.0)].heal(&mut self.agenda, &mut hardened);
        self.show_hardened(instance, hardened);
    }

    fn on_host(&self, host: usize) -> Vec<NodeIndex> {
        (0..self.roster.instances())
            .filter(|&i| self.roster.host_of(i) == host)
            .map(|i| NodeIndex(i as u16))
            .collect()
    }

    fn host_down(&mut self, host: u8) {
        let host = usize::from(host);
        self.hosts[host].up = false;
        for node in self.on_host(host) {
            let (network, mut cx) = self.network();
            network.set_host(&mut cx, node, false);
            self.crash(node);
        }
    }

    fn host_up(&mut self, host: u8) {
        let host = usize::from(host);
        if std::mem::replace(&mut self.hosts[host].up, true) {
            return;
        }
        for node in self.on_host(host) {
            let (network, mut cx) = self.network();
            network.set_host(&mut cx, node, true);
            self.restart(node);
        }
    }

    fn pause(&mut self, node: NodeIndex) {
        if self.running(node) && !std::mem::replace(&mut self.processes[node.index()].paused, true) {
            self.fact(&Fact::Paused { instance: InstanceId(node.0 as u8), paused: true });
        }
    }

    fn unpause(&mut self, node: NodeIndex) {
        if std::mem::take(&mut self.processes[node.index()].paused) {
            self.fact(&Fact::Paused { instance: InstanceId(node.0 as u8), paused: false });
            self.go_on(node);
        }
    }

    /// A clock that runs faster from now on may bring deadlines forward.
    fn rearm(&mut self, host: usize) {
        for node in self.on_host(host) {
            self.arm_timer(node);
        }
    }

    fn heal_all(&mut self) {
        let ends = self.roster.instances() as u8 + 1;
        let now = self.agenda.now();
        for host in 0..self.hosts.len() {
            self.hosts[host].clock.heal(now);
            self.rearm(host);
            self.host_up(host as u8);
        }
        for from in 0..ends {
            for to in 0..ends {
                let (network, mut cx) = self.network();
                network.heal(&mut cx, Endpoint(from), Endpoint(to));
            }
        }
        for instance in 0..self.roster.instances() {
            self.heal_disk(InstanceId(instance as u8));
            let node = NodeIndex(instance as u16);
            self.end_loop(node);
            self.fast_cpu(node);
            self.unpause(node);
            self.restart(node);
        }
    }

    fn inject(&mut self, step: u32, from: u8, to: u8) {
        let Some(bytes) = self.stale.as_ref().and_then(|stale| stale.frame(step)) else { return };
        let (network, mut cx) = self.network();
        if network.inject(&mut cx, node(from), node(to), &bytes) {
            self.felt.count(Feeling::Inject);
        }
    }

    // Statements of the plan.

    /// The statement of a step reaches its instance.
    pub(super) fn ask(&mut self, step: u32) -> Option<(NodeIndex, NodeEvent)> {
        let Act::Sql(on) = self.script.0[step as usize].act else { return None };
        let step = step as usize;
        let plan = self.plan.clone();
        let (sql, _) = statement(&plan, step)?;
        let request = step as u64;
        self.statements.push(Statement { request, step, on: InstanceId(on) });
        if !self.running(node(on)) {
            self.drop_statements(InstanceId(on));
            return None;
        }
        Some((node(on), NodeEvent::Statement { request, sql: sql.into() }))
    }

    /// The statements sent to an instance that has died are not answered.
    pub(super) fn drop_statements(&mut self, on: InstanceId) {
        let (gone, kept) = std::mem::take(&mut self.statements).into_iter().partition(|s| s.on == on);
        self.statements = kept;
        self.not_answered(gone);
    }

    /// At the end of the run, no more answers come.
    pub(super) fn unanswered(&mut self) {
        let left = std::mem::take(&mut self.statements);
        self.not_answered(left);
    }

    fn not_answered(&mut self, statements: Vec<Statement>) {
        for Statement { step, on, .. } in statements {
            match statement(&self.plan, step) {
                Some((_, Some(-1))) | None => {}
                Some((sql, _)) => {
                    let name = self.roster.instance_name(usize::from(on.0));
                    let text = format!("step {step}: `{sql}` on {name} was not answered");
                    self.findings.push(Finding { at: self.now(), rule: "statement", text });
                }
            }
        }
    }
}

/// The frames that injections of the plan may bring back.
#[derive(Debug)]
pub(super) struct Stale {
    wanted: Vec<Wanted>,
    /// The highest role sequence each instance has sent or shown.
    reached: Vec<u32>,
}

#[derive(Debug)]
struct Wanted {
    step: u32,
    from: InstanceId,
    to: InstanceId,
    kind: String,
    /// The newest frame of each role sequence, in order of sending.
    newest: Vec<(u32, Arc<[u8]>)>,
}

impl Stale {
    /// What the plan's injections want; `None` when there are none, so that runs without them pay nothing.
    pub(super) fn new(plan: &Scenario, script: &Script, roster: &Roster) -> Option<Self> {
        let wanted: Vec<Wanted> = plan
            .timeline
            .iter()
            .zip(&script.0)
            .enumerate()
            .filter_map(|(step, (declared, resolved))| match (&declared.action, &resolved.act) {
                (Action::Inject { frame, .. }, Act::Inject { from, to }) => Some(Wanted {
                    step: step as u32,
                    from: InstanceId(*from),
                    to: InstanceId(*to),
                    kind: frame.clone(),
                    newest: Vec::new(),
                }),
                _ => None,
            })
            .collect();
        (!wanted.is_empty()).then(|| Stale { wanted, reached: vec![0; roster.instances()] })
    }

    /// An instance sends a frame.
    pub(super) fn sent(&mut self, from: InstanceId, to: InstanceId, bytes: &Arc<[u8]>) {
        let n = frames::frame_n(bytes);
        self.reached(from, n);
        for wanted in self.wanted.iter_mut().filter(|w| (w.from, w.to) == (from, to)) {
            if frames::frame_kind(bytes) == Some(&wanted.kind) {
                wanted.newest.retain(|(other, _)| *other != n);
                wanted.newest.push((n, bytes.clone()));
            }
        }
    }

    /// An instance has reached a role sequence.
    pub(super) fn reached(&mut self, instance: InstanceId, n: u32) {
        let reached = &mut self.reached[usize::from(instance.0)];
        *reached = n.max(*reached);
    }

    /// The frame for an injection: the newest sent under a lower role sequence than now.
    fn frame(&self, step: u32) -> Option<Arc<[u8]>> {
        let wanted = self.wanted.iter().find(|w| w.step == step)?;
        let now = self.reached[usize::from(wanted.from.0)];
        wanted.newest.iter().rev().find(|(n, _)| *n < now).map(|(_, bytes)| bytes.clone())
    }
}
