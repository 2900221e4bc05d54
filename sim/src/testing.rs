//! For tests: small plans, and processes that use everything the world offers without knowing the protocol.

use crate::client::{ClientConn, ClientEffect, ClientInput};
use crate::driver::{Driver, RunOptions};
use crate::fault::{Action, Path};
use crate::node::{ClientProcess, Crew, ServerProcess};
use crate::observe::ClientId;
use crate::rng::{Stream, mix};
use crate::scenario::{Scenario, Step, Trigger};
use crate::time::Time;
use crate::world::SESSION;
use dbm_core::config::Config;
use dbm_core::io::{
    Area, ClientEvent, DiskOp, DiskResult, Durability, Effect, Effects, FileId, FileKind, Input, LinkId,
    Notice, Reply, Request, Ticket,
};
use dbm_core::types::{InstanceId, Instant, Micros, RoleSequence, TxnId};
use std::sync::Arc;

/// Two partners A and B, a witness W, and so many clients.
pub fn plan(seconds: u64, clients: u16) -> Scenario {
    serde_json::from_value(serde_json::json!({
        "dbmsim": 1, "name": "test", "duration": format!("{seconds}s"),
        "instances": [{"name": "A"}, {"name": "B"}, {"name": "W"}],
        "session": {"principal": "A", "mirror": "B", "witness": "W"},
        "workload": {"clients": clients},
    }))
    .expect("the test plan is well formed")
}

/// A step at a time.
pub fn at(time: Time, action: Action) -> Step {
    Step {
        at: Some(time),
        between: None,
        on: None,
        nth: None,
        after_step: None,
        delay: None,
        until: None,
        action,
    }
}

/// A step at a moment.
pub fn on(trigger: Trigger, action: Action) -> Step {
    Step {
        at: None,
        between: None,
        on: Some(trigger),
        nth: None,
        after_step: None,
        delay: None,
        until: None,
        action,
    }
}

/// Both directions between two names.
pub fn both(from: &str, to: &str) -> Path {
    Path { from: from.into(), to: to.into(), both: true }
}

/// One direction.
pub fn one_way(from: &str, to: &str) -> Path {
    Path { from: from.into(), to: to.into(), both: false }
}

/// Options for a crew.
pub fn options(driver: Driver, crew: impl Crew + 'static) -> RunOptions {
    RunOptions { driver, crew: Arc::new(crew), ..RunOptions::default() }
}

/// Random faults of every kind, drawn from the seed; some overlap.
pub fn chaos(seed: u64, seconds: u64, steps: usize) -> Vec<Step> {
    let mut chance = Stream::new(seed, "test chaos", &[]);
    let mut timeline = Vec::new();
    let names = ["A", "B", "W"];
    for _ in 0..steps {
        let mut name = || names[chance.range(0, 3) as usize].to_owned();
        let (a, b) = (name(), if chance.chance(1, 5) { "clients".into() } else { name2(&mut chance) });
        let path = Path { from: a.clone(), to: b, both: chance.chance(1, 2) };
        let start = Time(chance.range(0, seconds * 1_000_000));
        let stop = start + Time(chance.range(1_000, 12_000_000));
        let (instance, file) = (a.clone(), "log".to_owned());
        let (fault, repair) = match chance.range(0, 26) {
            0 => (Action::Crash(a.clone()), Some(Action::Restart(a))),
            1 => (Action::HostDown(a.clone()), Some(Action::HostUp(a))),
            2 => (Action::Pause(a.clone()), Some(Action::Unpause(a))),
            3 | 4 => (Action::Cut(path.clone()), Some(Action::Heal(path))),
            5 => (Action::Stall(path.clone()), Some(Action::Heal(path))),
            6 => {
                let jitter = Time::millis(chance.range(0, 2) * 30);
                (Action::Slow { path: path.clone(), by: Time::millis(40), jitter }, Some(Action::Heal(path)))
            }
            7 => (Action::Refuse(path.clone()), Some(Action::Heal(path))),
            8 => (Action::Reset(path), None),
            9 => (Action::DiskStall(a.clone()), Some(Action::DiskHeal(a))),
            10 => (Action::DiskSlow { instance, by: Time::millis(30) }, Some(Action::DiskHeal(a))),
            11 => (
                Action::ClockRate { host: a.clone(), ppm: chance.range(0, 400_000) as i32 - 200_000 },
                Some(Action::ClockRate { host: a, ppm: 0 }),
            ),
            12 => (Action::ClockFreeze { host: a.clone(), frozen: true }, Some(Action::HealAll)),
            13 => (Action::ClockStep { host: a, ms: 5000 }, None),
            14 => (Action::Throttle { path: path.clone(), bytes_s: 500 }, Some(Action::Heal(path))),
            15 => (Action::Corrupt { path: path.clone(), one_in: 3 }, Some(Action::Heal(path))),
            16 => (Action::SlowStart { path: path.clone(), by: Time::millis(300) }, Some(Action::Heal(path))),
            17 => (Action::DiskError { instance, count: 3 }, None),
            18 => (Action::DiskFail(a.clone()), Some(Action::DiskHeal(a))),
            19 => (Action::DiskFull(a.clone()), Some(Action::DiskHeal(a))),
            20 => (Action::DiskLie(a.clone()), Some(Action::Crash(a))),
            21 => (Action::Misdirect { instance, file }, Some(Action::DiskHeal(a))),
            22 => (Action::Rot { instance, file }, Some(Action::Crash(a))),
            23 => (Action::SlowCpu { instance, by: Time::millis(20) }, Some(Action::FastCpu(a))),
            24 => {
                let (up, down) = (Time::millis(chance.range(0, 900)), Time::millis(chance.range(0, 900)));
                (Action::RestartLoop { instance, times: 3, up, down }, None)
            }
            _ => (Action::Crash(a.clone()), Some(Action::HealAll)),
        };
        let mut step = at(start, fault);
        if chance.chance(1, 4) {
            let instance = names[chance.range(0, 3) as usize].to_owned();
            step.at = None;
            step.nth = Some(chance.range(1, 30) as u32);
            step.on = Some(match chance.range(0, 4) {
                0 => Trigger::DiskIssued { instance, file: "log".into() },
                1 => Trigger::DiskDone { instance, file: "log".into() },
                2 => Trigger::Started { instance },
                _ => Trigger::Reached { instance, step: "tick".into() },
            });
        }
        timeline.push(step);
        timeline.extend(repair.map(|repair| at(stop, repair)));
    }
    timeline
}

fn name2(chance: &mut Stream) -> String {
    ["A", "B", "W"][chance.range(0, 3) as usize].to_owned()
}

/// Plays servers and clients that are busy.
#[derive(Clone, Copy, Debug, Default)]
pub struct BusyCrew;

impl Crew for BusyCrew {
    fn instance(&self, config: Config) -> Box<dyn ServerProcess> {
        Box::new(BusyServer::new(config))
    }
    fn client(&self, _: &Scenario, client: ClientId, chance: Stream) -> Box<dyn ClientProcess> {
        Box::new(BusyClient {
            me: client,
            chance,
            conn: 0,
            at: InstanceId(0),
            open: false,
            heard: 0,
            next: Time(0),
        })
    }
}

/// Every 100 ms a disk write of some kind and a frame on each link; dials those with higher ids again and again.
pub struct BusyServer {
    config: Config,
    links: Vec<(LinkId, bool)>,
    dialled: u64,
    tickets: u64,
    next: Instant,
    heard: u64,
}

impl BusyServer {
    /// Before its start.
    pub fn new(config: Config) -> Self {
        BusyServer { config, links: Vec::new(), dialled: 0, tickets: 0, next: Instant(0), heard: 0 }
    }

    fn hear(&mut self, word: u64) {
        self.heard = mix(self.heard ^ word);
    }

    fn disk(&mut self, op: DiskOp, out: &mut Effects) {
        self.tickets += 1;
        out.push(Effect::Disk { ticket: Ticket::new(SESSION, Area::Copy, self.tickets), op });
    }

    fn tick(&mut self, out: &mut Effects) {
        let file = FileId { session: SESSION, kind: FileKind::Log };
        // The file is written again and again, and grows slowly.
        let offset = self.tickets % 7 * 700 + self.tickets / 16 * 300;
        let bytes = vec![self.tickets as u8; 1500].into();
        let durability =
            if self.tickets.is_multiple_of(2) { Durability::Cached } else { Durability::Through };
        out.push(Effect::Notice(Notice::Step { session: SESSION, name: "tick" }));
        out.push(Effect::Notice(Notice::Message { session: SESSION, number: 1480 }));
        match self.tickets % 5 {
            4 => self.disk(DiskOp::Flush { file }, out),
            _ => self.disk(DiskOp::Write { file, offset, bytes, durability }, out),
        }
        for (link, _) in self.links.iter().filter(|(_, up)| *up) {
            out.push(Effect::Send { link: *link, bytes: self.heard.to_le_bytes().repeat(8).into() });
        }
        if self.links.len() > 4 && self.heard.is_multiple_of(9) {
            let (link, _) = self.links.remove(0);
            out.push(Effect::Close { link });
        }
        if self.links.len() < 6 && self.config.id.0 < 2 {
            self.dialled += 2;
            let link = LinkId(self.dialled);
            let to = InstanceId(self.config.id.0 + 1 + (self.dialled / 2 % 2) as u8 * (1 - self.config.id.0));
            self.links.push((link, false));
            out.push(Effect::Connect { link, to });
        }
    }
}

impl ServerProcess for BusyServer {
    fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        self.hear(now.0);
        match input {
            Input::Start => {
                self.next = now;
                self.disk(DiskOp::ReadAll { file: FileId { session: SESSION, kind: FileKind::Log } }, out);
            }
            Input::Timeout if now >= self.next => {
                self.next = now + Micros::from_millis(100);
                self.tick(out);
            }
            Input::Timeout => {}
            Input::LinkUp { link, .. } => {
                self.links.retain(|(l, _)| *l != link);
                self.links.push((link, true));
            }
            Input::LinkDown { link, cause } => {
                self.hear(cause as u64);
                self.links.retain(|(l, _)| *l != link);
            }
            Input::Frame { link, bytes } => self.hear(crate::digest::bytes(&bytes) ^ link.0),
            Input::Disk { ticket, result } => self.hear(match result {
                DiskResult::Read(bytes) => crate::digest::bytes(&bytes),
                DiskResult::Done => ticket.0,
                DiskResult::Failed => !ticket.0,
            }),
            Input::Client { conn, event } => {
                self.hear(crate::digest::client_event(&event));
                let n = RoleSequence(1);
                match event {
                    ClientEvent::Open { .. } => {
                        out.push(Effect::Reply {
                            conn,
                            reply: Reply::Connected { n, partner: InstanceId(1) },
                        });
                    }
                    ClientEvent::Request(_) if self.heard.is_multiple_of(7) => {
                        out.push(Effect::Disconnect { conn });
                    }
                    ClientEvent::Request(_) => out.push(Effect::Reply { conn, reply: Reply::Begun { n } }),
                    ClientEvent::Closed => {}
                }
            }
            Input::Statement { request, .. } => out.push(Effect::StatementDone { request, result: Ok(()) }),
        }
    }
    fn next_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }
    fn fingerprint(&self) -> u64 {
        self.heard
    }
    fn check(&self) {}
}

/// Connects anywhere, asks, and asks again when answered; tries another instance when nothing is heard for a second.
pub struct BusyClient {
    me: ClientId,
    chance: Stream,
    conn: u64,
    at: InstanceId,
    open: bool,
    heard: u64,
    next: Time,
}

impl BusyClient {
    fn dial(&mut self, now: Time, out: &mut Vec<ClientEffect>) {
        if self.open {
            out.push(ClientEffect::Close(ClientConn(self.conn)));
            out.push(ClientEffect::Unknown);
        }
        self.conn += 1;
        self.at = InstanceId(self.chance.range(0, 3) as u8);
        self.open = true;
        self.next = now + Time::secs(1);
        out.push(ClientEffect::Connect(ClientConn(self.conn), self.at));
    }
}

impl ClientProcess for BusyClient {
    fn handle(&mut self, now: Time, input: ClientInput, out: &mut Vec<ClientEffect>) {
        self.heard = mix(self.heard ^ now.0);
        match input {
            ClientInput::Connected(conn) if conn.0 == self.conn => {
                out.push(ClientEffect::Send(conn, ClientEvent::Open { database: SESSION }));
            }
            ClientInput::Reply(conn, reply) if conn.0 == self.conn => {
                self.heard = mix(self.heard ^ crate::digest::reply(&reply));
                self.next = now + Time::secs(1);
                let txn = TxnId(u64::from(self.me.0) << 32 | self.heard >> 40);
                out.push(ClientEffect::Begun(txn));
                out.push(ClientEffect::Send(conn, ClientEvent::Request(Request::Begin(txn))));
            }
            ClientInput::Refused(conn) | ClientInput::Lost(conn) if conn.0 == self.conn => {
                self.open = false;
                self.next = now + Time::millis(self.chance.range(10, 300));
            }
            ClientInput::Start => self.dial(now, out),
            ClientInput::Timeout if now >= self.next => self.dial(now, out),
            _ => {}
        }
    }
    fn next_timeout(&self) -> Option<Time> {
        Some(self.next)
    }
    fn fingerprint(&self) -> u64 {
        self.heard
    }
}
