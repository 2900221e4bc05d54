//! The oracle: judges every run from facts alone.
//!
//! Facts are frames, durable bytes, replies and the world's own doings; what an instance says about itself is judged,
//! never believed. No decision code is shared with the protocol, only types. [P-10, INV-1 … INV-13]
//!
//! This file takes facts apart once and hands them to the invariants, one file each. Three models are shared by them:
//! `chain` (all log seen durable), `history` (what clients did and saw), `records` and `world` (who knows what, what
//! was done). A fact costs constant or logarithmic time; what needs a view of the whole is judged in
//! [`Oracle::finish`]. All violations of a run are collected, up to a bound.
//!
//! | invariant of `docs/spec/README.md` | judged by |
//! |---|---|
//! | INV-1, INV-7 | `roles`: n never falls, leases; `availability`, `liveness`: who serves in a settled world and at the end |
//! | INV-2 | `durability`: at each new server, each confirmation, each cut of a log, and at the end |
//! | INV-3 | `roles`: one replier and one owner of each n |
//! | INV-4, INV-5 | `chain`: log matching; `logs`: acknowledgements and pages |
//! | INV-6 | `roles`: what a grant needs; `switches`: every other way to a role sequence |
//! | INV-8 | `liveness`: a mirror that could not catch up lacks log at the end |
//! | INV-9 | `switches`: where each change of the suspended flag was first written; `states`: what is shown of it |
//! | INV-10 | `durability`: nothing dropped that the principal holds, nothing before RESUME, each loss in its window |
//! | INV-13 | `roles`: a lower n only with a force between; `switches`: not after being told |
//! | INV-11, INV-12 | not simulated yet: page repair, several sessions |
//! | INV-14 | `digest` and the tests of determinism |
//!
//! One session on one pair of partners is judged; facts of other sessions are ignored.

mod availability;
mod chain;
mod commands;
mod data;
mod durability;
mod echoes;
mod events;
mod history;
mod liveness;
mod logs;
mod pages;
pub mod parse;
mod records;
mod report;
mod roles;
mod statements;
mod states;
mod switches;
#[cfg(test)]
mod testkit;
mod views;
mod wire;
mod words;
mod world;

pub use parse::{Decoders, FrameView, RecordView, SeatView};
pub use report::{Loss, PER_RULE_MAX, Stats, VIOLATIONS_MAX, Verdict, Violation, Window, invariants};

use crate::fault::Action;
use crate::observe::{ClientId, Fact};
use crate::promise::{self, Tier};
use crate::scenario::{SafetyDecl, Scenario, Workload};
use crate::time::Time;
use dbm_core::config::Tuning;
use dbm_core::control::{PartnerOption, Statement};
use dbm_core::io::{ClientEvent, DiskOp, DiskResult, FileId, FileKind, Input, Notice, Reply};
use dbm_core::types::{InstanceId, RoleSequence, Safety, SessionId};

/// So many facts at one instant of true time are a livelock.
const FACTS_PER_INSTANT_MAX: u32 = 100_000;

/// What the oracle knows of a run beforehand.
#[derive(Clone, Debug)]
pub struct OracleSetup {
    /// Names of the instances, by id.
    pub names: Vec<String>,
    /// First principal, first mirror.
    pub partners: [InstanceId; 2],
    /// The witness, if one is set.
    pub witness: Option<InstanceId>,
    /// SAFETY at the start.
    pub safety: Safety,
    /// T at the start.
    pub timeout: Time,
    /// i.
    pub ping_interval: Time,
    /// Largest rate error of any clock in this run, parts per million.
    pub drift_ppm: u32,
    /// Added to every time bound on availability: reconnecting, redo, slow disks and links.
    pub slack: Time,
    /// The load, if there is one.
    pub workload: Option<Workload>,
    /// What the plan promises.
    pub tier: Tier,
    /// The session judged.
    pub session: SessionId,
    /// How frames and session records are decoded.
    pub decoders: Decoders,
}

impl OracleSetup {
    /// For a plan, held to what it promises.
    pub fn promised(plan: &Scenario) -> Self {
        let promise = promise::of(plan);
        let tier = if promise.late { Tier::Live } else { promise.tier };
        OracleSetup { tier, ..OracleSetup::new(plan) }
    }

    /// For a scenario or plan. Instances named nowhere count as the first two.
    pub fn new(scenario: &Scenario) -> Self {
        let names: Vec<String> = scenario.instances.iter().map(|i| i.name.clone()).collect();
        let find = |name: &str| names.iter().position(|n| n == name).map(|i| InstanceId(i as u8));
        let partners = [
            find(&scenario.session.principal).unwrap_or(InstanceId(0)),
            find(&scenario.session.mirror).unwrap_or(InstanceId(1)),
        ];
        let clocks = scenario.clocks.values().map(|c| c.rate_ppm.unsigned_abs());
        let faults = scenario.timeline.iter().filter_map(|step| match &step.action {
            Action::ClockRate { ppm, .. } => Some(ppm.unsigned_abs()),
            _ => None,
        });
        let slowest =
            [scenario.network.latency, scenario.disk.write, scenario.disk.flush, scenario.disk.read];
        let slowest = slowest.iter().map(|s| s.max.0).sum::<u64>();
        OracleSetup {
            witness: scenario.session.witness.as_deref().and_then(find),
            safety: match scenario.session.safety {
                SafetyDecl::Full => Safety::Full,
                SafetyDecl::Off => Safety::Off,
            },
            timeout: Time::secs(scenario.session.timeout_s.into()),
            ping_interval: Time(Tuning::default().ping_interval.0),
            drift_ppm: clocks.chain(faults).chain([scenario.clock_rate_ppm_max]).max().unwrap_or_default(),
            slack: Time::secs(5) + Time(50 * slowest),
            workload: scenario.workload,
            tier: Tier::default(),
            session: crate::world::SESSION,
            decoders: Decoders::default(),
            names,
            partners,
        }
    }
}

/// How long a run of `plan` must last for its end to be judged, when its last fault ends at `last_change` and its last
/// statement is given at `last_statement`.
pub fn judged_after(plan: &Scenario, last_change: Time, last_statement: Time) -> Time {
    let mut world = world::World::new(&OracleSetup::new(plan));
    world.foresee(plan);
    liveness::quiet_after(&world, last_change, last_statement)
}

/// Do all clocks of `plan` keep the bound for leases, for every time-out period that its statements may set? [OQ-8]
pub fn clocks_in_bound(plan: &Scenario) -> bool {
    let mut world = world::World::new(&OracleSetup::new(plan));
    world.foresee(plan);
    world.guaranteed()
}

/// May a statement of `plan` do what the oracle does not follow, such as end the session?
pub fn ends_session(plan: &Scenario) -> bool {
    let mut world = world::World::new(&OracleSetup::new(plan));
    world.foresee(plan);
    world.tried.foreign
}

/// Judges one run.
#[derive(Clone, Debug)]
pub struct Oracle {
    setup: OracleSetup,
    report: report::Report,
    chain: chain::Chain,
    history: history::History,
    records: records::Records,
    world: world::World,
    logs: logs::Logs,
    durability: durability::Durability,
    roles: roles::Roles,
    statements: statements::Statements,
    switches: switches::Switches,
    states: states::States,
    events: events::Events,
    availability: availability::Availability,
    liveness: liveness::Liveness,
    echoes: echoes::Echoes,
    wire: wire::Wire,
    words: words::Words,
    pages: pages::Pages,
    commands: commands::Commands,
    views: views::Views,
    instant: (Time, u32),
}

impl Oracle {
    /// An oracle before the first fact.
    pub fn new(setup: OracleSetup) -> Self {
        let n = setup.names.len();
        Oracle {
            report: report::Report::new(),
            chain: chain::Chain::new(n),
            history: history::History::default(),
            records: records::Records::new(n, setup.decoders),
            world: world::World::new(&setup),
            logs: logs::Logs::new(),
            durability: durability::Durability::new(setup.partners, n),
            roles: roles::Roles::new(&setup),
            statements: statements::Statements::new(n),
            switches: switches::Switches::new(setup.partners, n),
            states: states::States::new(n, setup.witness.is_some()),
            events: events::Events::new(n),
            availability: availability::Availability::new(&setup),
            liveness: liveness::Liveness::new(&setup),
            echoes: echoes::Echoes::new(n),
            wire: wire::Wire::new(n),
            words: words::Words::new(setup.partners, n),
            pages: pages::Pages::new(n),
            commands: commands::Commands::new(setup.partners, n),
            views: views::Views::new(&setup),
            instant: (Time(0), 0),
            setup,
        }
    }

    /// One fact, in the order of true time.
    pub fn fact(&mut self, at: Time, fact: &Fact<'_>) {
        self.report.stats.facts += 1;
        self.watch(at);
        match *fact {
            Fact::Started { instance, incarnation } => {
                self.availability.before_change(at, &self.world, &self.records, &self.roles);
                let change = self.world.process_started(at, instance);
                self.availability.changed(change);
                self.views.changed();
                self.durability.started(instance, incarnation);
                self.gone(instance);
            }
            Fact::Died { instance } => {
                self.availability.before_change(at, &self.world, &self.records, &self.roles);
                let change = self.world.died(at, instance);
                self.availability.changed(change);
                self.views.changed();
                self.roles.died(at, instance);
                self.gone(instance);
            }
            Fact::Paused { instance, paused } => {
                self.availability.before_change(at, &self.world, &self.records, &self.roles);
                let change = self.world.paused(at, instance, paused);
                self.availability.changed(change);
                self.views.changed();
            }
            Fact::Acted { action, .. } => {
                self.availability.before_change(at, &self.world, &self.records, &self.roles);
                let change = self.world.acted(at, action);
                self.availability.changed(change);
                self.views.changed();
            }
            Fact::Handling { instance, input } => {
                if let Input::Frame { link, bytes } = input {
                    self.wire.handles(instance, *link, bytes, &mut self.report);
                }
                if let Input::Statement { sql, .. } = input {
                    self.commands.asked(instance, sql, &self.records, &self.world);
                    self.statements.asked(at, instance, sql);
                }
                if let Input::Client { event: ClientEvent::Open { .. } | ClientEvent::Request(_), .. } = input
                {
                    self.availability.asked(at, instance, &self.world, &mut self.report);
                }
                if let Input::Disk { result: DiskResult::Failed, .. } = input {
                    self.availability.before_change(at, &self.world, &self.records, &self.roles);
                    let change = self.world.disk_failed(at, instance);
                    self.availability.changed(change);
                    self.views.changed();
                }
            }
            Fact::Sent { from, to, link, bytes } => {
                self.wire.sent(at, from, link, &mut self.report);
                self.sent(at, from, to, bytes);
            }
            Fact::Delivered { from, to, bytes, .. } => {
                if let Some(frame) = (self.setup.decoders.frame)(bytes) {
                    let paused = self.world.is_paused(to);
                    self.roles.delivered(at, from, to, &frame, paused);
                    self.switches.delivered(at, to, &frame, paused, &self.records);
                    self.words.delivered(from, to, &frame);
                }
            }
            Fact::LinkUp { at: end, peer, link } => {
                self.roles.link_up(end, peer, link);
                self.commands.link_up(end, peer, link);
            }
            Fact::LinkDown { at: end, peer, link, cause } => {
                self.roles.link_down(at, end, peer, link, cause);
                self.commands.link_down(end, link);
            }
            Fact::DiskIssued { instance, op } => self.issued(at, instance, op),
            Fact::Durable { instance, file, offset, bytes } => {
                self.durable(at, instance, file, offset, bytes)
            }
            Fact::Preloaded { instance, file, bytes } => self.preloaded(at, instance, file, bytes),
            Fact::Replied { instance, reply, .. } => self.replied(at, instance, reply),
            Fact::Called { client, request, .. } => self.history.called(client, request),
            Fact::TxnBegun { client, txn } => self.history.begun(client, txn),
            Fact::Answered { client, from, reply } => self.answered(at, client, from, reply),
            Fact::ClientLost { client } => self.history.give_up(client),
            Fact::Told { instance, notice } => self.told(at, instance, notice),
            // The dates of wall clocks bind nobody.
            Fact::Logged { .. } => {}
            Fact::Status { instance, session, status } => {
                if session == self.setup.session {
                    self.states.status_changed(at, instance, status, &self.records, &mut self.report);
                    self.events.status(at, instance, status, &mut self.report);
                }
            }
            Fact::StatementDone { instance, sql, result } => {
                let alone = match dbm_core::control::parse(sql) {
                    Ok(Statement::Recover { .. }) => true,
                    // A principal that has been superseded unawares: the owner has told it to go on alone. [C-84]
                    Ok(Statement::SetPartner { option, .. }) => option == PartnerOption::Off,
                    Ok(Statement::SetWitness { .. }) | Err(_) => false,
                };
                if result.is_ok() && alone {
                    self.durability.recovered(instance, &self.chain);
                }
                let (records, world) = (&self.records, &self.world);
                self.commands.ended(at, instance, (sql, result), records, world, &mut self.report);
                self.statements.ended(instance, sql, result);
            }
            Fact::Panicked { instance, message } => {
                self.report
                    .fire("panic", "PANIC", at, || format!("instance {} panicked: {message}", instance.0));
            }
        }
    }

    /// The end of the run.
    pub fn finish(mut self, end: Time) -> Verdict {
        self.availability.tick(end, &self.world, &self.records, &mut self.report);
        self.durability.tick(&self.states, &mut self.report);
        self.durability.finish(end, &self.history, &self.chain, &mut self.report);
        self.judge_data(end);
        self.liveness.finish(end, &self.world, &self.records, &self.states, &self.chain, &mut self.report);
        self.report.verdict()
    }

    /// What clients saw, on the surviving log and, after a forced service, on each log that was left behind.
    fn judge_data(&mut self, end: Time) {
        let Some(server) = self.durability.server().filter(|_| !self.durability.parted()) else { return };
        let forced = self.durability.forced();
        let accounts = self.setup.workload.map_or(0, |w| w.accounts.min(data::FIRST_LIST_KEY));
        let mut tips = vec![self.chain.end(server.0.into())];
        if forced {
            tips.extend(self.durability.other_ends(&self.chain).into_iter().map(Some));
        }
        for (i, tip) in tips.into_iter().enumerate() {
            let fork = data::Fork { tip, accounts, only_log: !forced };
            if i > 0 {
                self.report.held(report::Premise::ForkJudged);
            }
            data::finish(end, fork, &self.history, &self.chain, &self.logs, &mut self.report);
        }
    }

    /// A process starts or ends: what was in its memory is gone.
    fn gone(&mut self, instance: InstanceId) {
        self.states.gone(instance);
        self.events.gone(instance);
        self.records.gone(instance);
        self.statements.gone(instance);
        self.switches.gone(instance);
        self.wire.gone(instance);
        self.words.gone(instance);
        self.commands.gone(instance);
    }

    /// Runs on every fact.
    #[inline]
    fn watch(&mut self, at: Time) {
        if self.instant.0 == at {
            self.instant.1 += 1;
            if self.instant.1 == FACTS_PER_INSTANT_MAX {
                self.report.fire("livelock", "LIVELOCK", at, || "time does not pass any more".into());
            }
            return;
        }
        self.instant = (at, 0);
        self.durability.tick(&self.states, &mut self.report);
        self.events.tick(&mut self.report);
        self.availability.tick(at, &self.world, &self.records, &mut self.report);
        self.views.tick(at, &self.world, &self.records, &self.states, &mut self.report);
    }

    fn sent(&mut self, at: Time, from: InstanceId, to: InstanceId, bytes: &[u8]) {
        let Some(frame) = (self.setup.decoders.frame)(bytes) else { return };
        if let Some(n) = (self.setup.decoders.said_under)(bytes) {
            self.records.said(at, from, n, &frame, &mut self.report);
        }
        self.roles.sent(at, from, to, &frame);
        self.echoes.sent(at, (from, to), &frame, &self.records, &mut self.report);
        if let FrameView::LogAck { hardened, branch, .. } = frame {
            self.logs.acknowledged(at, from, hardened, branch, &self.chain, &mut self.report);
        }
        if let FrameView::LogRequest { from: mark } = frame {
            self.logs.acknowledged(at, from, mark, None, &self.chain, &mut self.report);
        }
    }

    fn issued(&mut self, at: Time, instance: InstanceId, op: &DiskOp) {
        let DiskOp::Write { file, bytes, offset, .. } = op else { return };
        if file.session != self.setup.session {
            return;
        }
        match file.kind {
            FileKind::Record => {
                if let Some(record) = self.records.decode(bytes) {
                    self.record_issued(at, instance, record);
                }
            }
            FileKind::Data | FileKind::DoubleWrite => {
                let (kind, offset, peer) = (file.kind, *offset, self.peer(instance));
                let writing = pages::Writing { instance, peer, kind, offset, bytes };
                self.pages.issued(at, writing, &self.logs, &self.chain, &mut self.report);
            }
            FileKind::Boot => {
                let owner = self.records.current(instance).is_some_and(|r| r.owner == instance && !r.over);
                if owner && !self.world.tried.foreign {
                    let pair = (instance, self.peer(instance));
                    self.logs.truncates(at, pair, bytes, &self.chain, &mut self.report);
                }
            }
            FileKind::Log => {}
        }
    }

    /// The other partner.
    fn peer(&self, instance: InstanceId) -> InstanceId {
        let [a, b] = self.setup.partners;
        if instance == a { b } else { a }
    }

    fn record_issued(&mut self, at: Time, instance: InstanceId, new: RecordView) {
        let models = (&self.records, &self.statements);
        self.roles.record_issued(at, instance, &new, models, &self.world, &mut self.report);
        if let Some(before) = self.records.bound(instance).copied() {
            // Once somebody has tried to remove the session, who may make a role sequence is not judged; that one was
            // forced still counts, for the removal may have failed.
            let mut unheard = report::Report::new();
            let report = if self.world.tried.foreign { &mut unheard } else { &mut self.report };
            let made = self.switches.issued(switches::Issue {
                at,
                instance,
                before,
                new,
                records: &self.records,
                statements: &self.statements,
                states: &self.states,
                chain: &self.chain,
                head: self.durability.head(new.n),
                report,
            });
            if let Some(made) = made {
                let forced = (made.origin == switches::Origin::Force).then_some(made.owner);
                self.durability.role_made(at, made.n, forced, &self.chain);
            }
        }
        if !self.world.tried.foreign {
            self.words.issued(at, instance, &new, &self.records, &mut self.report);
        }
        self.records.issued(instance, new);
    }

    fn durable(&mut self, at: Time, instance: InstanceId, file: FileId, offset: u64, bytes: &[u8]) {
        if file.session != self.setup.session || bytes.is_empty() {
            return;
        }
        match file.kind {
            FileKind::Log => {
                self.chain.durable(at, instance.0.into(), offset, bytes, &mut self.report);
                for cut in self.chain.take_cuts() {
                    self.durability.cut(at, cut, &self.records, &self.chain, &mut self.report);
                }
            }
            FileKind::Data => {
                let peer = self.peer(instance);
                let kept = self.records.current(instance).is_some_and(|r| r.off_fork && r.suspended);
                let copy = logs::OfCopy { copy: instance, peer, kept };
                self.logs.pages_durable(at, copy, offset, bytes, &self.chain, &mut self.report);
            }
            FileKind::Record => self.record_durable(at, instance, offset, bytes),
            FileKind::DoubleWrite => self.pages.protected(instance, offset, bytes),
            FileKind::Boot => {}
        }
    }

    fn record_durable(&mut self, at: Time, instance: InstanceId, offset: u64, bytes: &[u8]) {
        let Some((before, now)) = self.records.durable(instance, offset, bytes) else { return };
        let moved = before.is_none_or(|b| (b.n, b.owner) != (now.n, now.owner));
        self.availability.record_changed(at, moved, &self.world);
        self.views.record_changed(at, &self.world);
        self.commands.record_durable(at, instance, &now, &mut self.report);
        let head = self.durability.head(now.n);
        let (records, world, chain) = (&self.records, &self.world, &self.chain);
        let mut cx = roles::RecordCx { at, instance, records, world, chain, head, report: &mut self.report };
        self.roles.record_durable(&mut cx, before.as_ref(), &now);
        self.switches.record_durable(&now);
    }

    fn preloaded(&mut self, at: Time, instance: InstanceId, file: FileId, bytes: &[u8]) {
        if file.session != self.setup.session || bytes.is_empty() {
            return;
        }
        match file.kind {
            FileKind::Log => self.chain.preload(at, instance.0.into(), bytes, &mut self.report),
            FileKind::Data => self.logs.preload(bytes),
            FileKind::Record => self.record_durable(at, instance, 0, bytes),
            FileKind::Boot | FileKind::DoubleWrite => {}
        }
    }

    fn replied(&mut self, at: Time, by: InstanceId, reply: &Reply) {
        let n: RoleSequence = match *reply {
            Reply::Refused { error } => {
                self.availability.refused(at, by, error, &mut self.report);
                return;
            }
            Reply::Connected { n, .. }
            | Reply::Begun { n }
            | Reply::Done { n, .. }
            | Reply::Committed { n, .. }
            | Reply::RolledBack { n }
            | Reply::Failed { n, .. } => n,
        };
        // The rules of a session do not bind a database that has left it.
        if !self.durability.apart(by) {
            self.roles.serves(at, by, n, &self.world, &self.records, &self.switches, &mut self.report);
        }
        self.switches.serves(at, by, n, &self.records, &mut self.report);
        self.durability.serves(at, by, n, &self.chain, &mut self.report);
        self.availability.served(at, by, &mut self.report);
        self.liveness.served(at, by);
        if let Reply::Committed { at: lsn, branch, txn, .. } = *reply {
            let confirmation = durability::Confirmation { by, txn, n, lsn, branch };
            let mut cx = durability::Cx {
                history: &self.history,
                chain: &self.chain,
                records: &self.records,
                states: &self.states,
                report: &mut self.report,
            };
            self.durability.confirms(at, confirmation, &mut cx);
        }
    }

    fn answered(&mut self, at: Time, client: ClientId, from: InstanceId, reply: &Reply) {
        if let Reply::Committed { .. } = reply
            && self.history.current(client).is_some()
        {
            self.liveness.confirmed(at);
        }
        self.history.answered(client, from, reply);
    }

    fn told(&mut self, at: Time, instance: InstanceId, notice: &Notice) {
        match *notice {
            Notice::State { session, from, to, n } => {
                if session == self.setup.session {
                    let causes = states::Causes {
                        partners: self.setup.partners,
                        records: &self.records,
                        statements: &self.statements,
                        switches: &self.switches,
                    };
                    self.states.told(at, instance, (from, to), n, &causes, &mut self.report);
                    // After a removal the oracle does not follow who made which role sequence.
                    let origin = if self.world.tried.foreign {
                        None
                    } else {
                        Some(self.switches.made(n).map(|made| made.origin))
                    };
                    self.events.transition(at, instance, (from, to), origin, &mut self.report);
                }
            }
            // Shown again as facts of their own, or told for people only.
            Notice::Removed { session, .. } => {
                if session == self.setup.session {
                    self.states.gone(instance);
                    self.events.removed(instance);
                }
            }
            Notice::Event { session, number, previous } => {
                if session == self.setup.session {
                    self.events.told(at, instance, number, previous, &mut self.report);
                }
            }
            Notice::Status { .. } | Notice::Message { .. } | Notice::Serving { .. } | Notice::Step { .. } => {
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testkit::{A, Bench};
    use super::*;

    #[test]
    fn a_panic_is_a_violation() {
        let mut bench = Bench::new(true);
        bench.fact(Fact::Panicked { instance: A, message: "assertion failed" });
        assert_eq!(bench.rules(), [("panic", "PANIC")]);
    }

    #[test]
    fn time_that_stands_still_is_a_violation() {
        let mut bench = Bench::new(true);
        for _ in 0..=FACTS_PER_INSTANT_MAX {
            bench.fact(Fact::ClientLost { client: ClientId(0) });
        }
        assert_eq!(bench.rules(), [("livelock", "LIVELOCK")]);
    }

    #[test]
    fn every_premise_is_in_the_verdict_even_if_it_never_held() {
        let verdict = Bench::new(false).oracle.finish(Time(0));
        assert!(verdict.passed());
        for invariant in [
            "logs",
            "durability",
            "roles",
            "switches",
            "data",
            "states",
            "events",
            "availability",
            "liveness",
        ] {
            assert!(
                verdict.premises.iter().any(|(i, _, count)| *i == invariant && *count == 0),
                "{invariant}"
            );
        }
    }
}
