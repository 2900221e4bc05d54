//! The explored world: three instances, their disks and links, one clock, and what an action does to them.
//!
//! One action is one input to one instance (or one moment of time to all that wait for it), with all its effects; then
//! everything that is no choice happens at once ([`Item::eager`]). All clocks agree and frames take no time: a moment
//! ends when nothing is left to deliver and no disk is at work, and only then does time go on.

use super::action::{Action, BreakKind};
use super::canon::{Canon, Digest, combine};
use super::disk::Disk;
use super::judge::{Finding, Ghost};
use super::links::{INSTANCES, Item, Links, NAMES, instant};
use dbm_core::bugs::Bug;
use dbm_core::config::{Config, Geometry, Part, Tuning};
use dbm_core::instance::Instance;
use dbm_core::io::{
    ClientEvent, ConnId, DiskOp, Effect, FileKind, Input, LinkId, Notice, Op, Reply, Request, SqlError,
};
use dbm_core::prepared::Prepared;
use dbm_core::record;
use dbm_core::types::{InstanceId, Key, Micros, MirroringState, Role, Safety, SessionId, TxnId, Value};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The session.
pub const SESSION: SessionId = SessionId(1);
/// The database's name.
pub const DATABASE: &str = "sales";
/// Time-out period of the explored session in seconds, the shortest that statements accept.
pub const TIMEOUT_S: u16 = 5;
/// Time at which the world begins, in microseconds.
pub const BEGIN_US: u64 = 10_000_000;
/// Most commits of one path: each writes a row of its own.
pub const COMMITS_MAX: u8 = 4;
/// Things delivered at once after one action; more is a livelock.
const EAGER_MAX: usize = 1000;
/// Client connections of commits are numbered from here.
const COMMIT_CONN: u64 = 1000;

/// What does not change along a path.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Is a witness set?
    pub witness: bool,
    /// Kinds of breaks that are tried.
    pub breaks: Vec<BreakKind>,
    /// Instances that may crash.
    pub crashing: [bool; INSTANCES],
    /// Statements the owner may give, in this order, each once: `FAILOVER`, `SUSPEND`, …
    pub statements: Vec<String>,
    /// Most times in one moment at which something overtakes what is first in order; `None`: every order is tried.
    pub overtakes: Option<u8>,
    /// Heals and restarts are tried in the middle of a moment too, not only at its end.
    pub repairs_anywhere: bool,
    /// The planted bug.
    pub bug: Option<Bug>,
}

/// What may still happen to a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Breaks.
    pub breaks: u8,
    /// Crashes.
    pub crashes: u8,
    /// Commits.
    pub commits: u8,
    /// Times at which the clock may go on although something is under way.
    pub stalls: u8,
    /// Overtakings left in this moment, where they are bounded.
    pub overtakes: u8,
}

/// What a partner shows.
pub type Shown = Option<(Role, MirroringState)>;

/// A world.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is made of.
    pub setup: Arc<Setup>,
    /// Microseconds since the start.
    pub now: u64,
    nodes: [Option<Arc<Instance>>; INSTANCES],
    incarnations: [u32; INSTANCES],
    inbound: u64,
    disks: [Arc<Disk>; INSTANCES],
    /// The links.
    pub links: Links,
    /// What may still happen.
    pub left: Budget,
    /// Statements given.
    pub stated: u8,
    /// Commits asked for.
    pub commits: u8,
    /// Role and state of each partner, as it told.
    pub shown: [Shown; INSTANCES],
    /// What the judge remembers.
    pub ghost: Ghost,
    /// Hashes of the instances, taken when they change.
    digests: [Arc<Digest>; INSTANCES],
    /// Hashes of the disks.
    disk_digests: [Arc<Digest>; INSTANCES],
    dirty: [bool; INSTANCES],
    /// What the last action made instances tell, for replays and for the way to a situation.
    pub told: Vec<(u8, String)>,
    /// Tell everything?
    pub verbose: bool,
}

/// Whether an action could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was.
    Yes,
    /// It cannot be done here, or does nothing.
    No,
}

fn tuning() -> Tuning {
    let geometry = Geometry { vlf_bytes: 16 << 10, vlf_count: 3, checkpoint_bytes: 1 << 20 };
    Tuning { ping_interval: Micros::from_secs(1), geometry, ..Tuning::default() }
}

impl Model {
    /// A synchronised session on three disks; nothing runs.
    pub fn new(setup: Setup) -> Self {
        let prepared = Prepared {
            session: SESSION,
            principal: InstanceId(0),
            mirror: InstanceId(1),
            witness: setup.witness.then_some(InstanceId(2)),
            safety: Safety::Full,
            timeout_s: TIMEOUT_S,
            geometry: tuning().geometry,
            rows: (0..u32::from(COMMITS_MAX)).map(|k| (Key(k), Value::number(0))).collect(),
        };
        let mut disks: [Disk; INSTANCES] = Default::default();
        for (instance, file, bytes) in prepared.files() {
            disks[usize::from(instance.0)].prepare(file, bytes);
        }
        let disk_digests = [0, 1, 2].map(|i: usize| Arc::new(disks[i].digest()));
        Model {
            setup: Arc::new(setup),
            now: BEGIN_US,
            nodes: [const { None }; INSTANCES],
            incarnations: [0; INSTANCES],
            inbound: 1,
            disks: disks.map(Arc::new),
            links: Links::default(),
            left: Budget::default(),
            stated: 0,
            commits: 0,
            shown: [None; INSTANCES],
            ghost: Ghost::default(),
            digests: Default::default(),
            disk_digests,
            dirty: [false; INSTANCES],
            told: Vec::new(),
            verbose: false,
        }
    }

    /// Instances of this world: without a witness, only the partners.
    pub fn instances(&self) -> std::ops::Range<u8> {
        0..if self.setup.witness { 3 } else { 2 }
    }

    /// A running instance.
    pub fn node(&self, instance: u8) -> Option<&Arc<Instance>> {
        self.nodes[usize::from(instance)].as_ref()
    }

    /// An instance's disk.
    pub fn disk(&self, instance: u8) -> &Disk {
        &self.disks[usize::from(instance)]
    }

    /// Nothing is under way: the moment is over.
    pub fn quiet(&self) -> bool {
        self.links.deliverable().next().is_none() && self.disks.iter().all(|d| d.busy().next().is_none())
    }

    /// Does one thing, and everything that follows at once.
    pub fn apply(&mut self, action: Action) -> Result<Done, Finding> {
        self.told.clear();
        let done = self.act(action)?;
        if done == Done::Yes {
            self.settle()?;
            if action == Action::Advance {
                self.dirty = [true; INSTANCES];
            }
            super::judge::judge(self)?;
            self.refresh();
        }
        Ok(done)
    }

    fn act(&mut self, action: Action) -> Result<Done, Finding> {
        let overtakes = self.setup.overtakes.is_some()
            && matches!(action, Action::Deliver(..) | Action::Disk(..))
            && super::moves::events(self).next() != Some(action);
        if overtakes {
            let Some(left) = self.left.overtakes.checked_sub(1) else { return Ok(Done::No) };
            self.left.overtakes = left;
        }
        match action {
            Action::Deliver(serial, side) => {
                let Some((end, item)) = self.links.take(serial, usize::from(side)) else {
                    return Ok(Done::No);
                };
                self.deliver(end, item)?;
            }
            Action::Disk(instance, kind) => {
                let i = usize::from(instance);
                let Some(ticket) = Arc::make_mut(&mut self.disks[i]).complete(kind) else {
                    return Ok(Done::No);
                };
                if kind == FileKind::Record {
                    self.record_written(instance)?;
                }
                let result = dbm_core::io::DiskResult::Done;
                self.handle(instance, Input::Disk { ticket, result })?;
            }
            Action::Advance => return self.advance(),
            Action::Break(pair, kind) => {
                let i = usize::from(pair);
                if self.links.cut[i] || kind != BreakKind::Cut && !self.links.linked(pair) {
                    return Ok(Done::No);
                }
                if kind != BreakKind::Cut {
                    self.links.reset(pair);
                }
                self.links.cut[i] = kind != BreakKind::Reset;
                if kind == BreakKind::Drop {
                    // Both ends learn of it, whatever is delivered later, and dial in vain.
                    while let Some((serial, side)) = self.links.reset_notice(pair) {
                        let (end, item) = self.links.take(serial, side).expect("just found");
                        self.deliver(end, item)?;
                    }
                }
                self.left.breaks -= 1;
            }
            Action::Heal(pair) => {
                if !std::mem::replace(&mut self.links.cut[usize::from(pair)], false) {
                    return Ok(Done::No);
                }
            }
            Action::Crash(instance, kept) => {
                let i = usize::from(instance);
                if self.nodes[i].take().is_none() {
                    return Ok(Done::No);
                }
                self.shown[i] = None;
                Arc::make_mut(&mut self.disks[i]).crash(kept);
                self.record_written(instance)?;
                self.links.crash(instance);
                self.ghost.crashed(instance);
                self.dirty[i] = true;
                self.left.crashes -= 1;
            }
            Action::Restart(instance) => {
                if self.nodes[usize::from(instance)].is_some() {
                    return Ok(Done::No);
                }
                self.start(instance)?;
            }
            Action::Commit(instance) => return self.commit(instance),
            Action::Statement(instance) => {
                let Some(text) = self.setup.statements.get(usize::from(self.stated)) else {
                    return Ok(Done::No);
                };
                let text = sql(text);
                if !self.state(instance, &text)? {
                    return Ok(Done::No);
                }
                self.told.push((instance, text));
                self.stated += 1;
            }
            Action::Resume(instance) => {
                if !self.state(instance, &sql("RESUME"))? {
                    return Ok(Done::No);
                }
            }
        }
        Ok(Done::Yes)
    }

    /// Starts a process. Its files are read at once: nothing else happens while they are.
    pub fn start(&mut self, instance: u8) -> Result<(), Finding> {
        let i = usize::from(instance);
        self.incarnations[i] += 1;
        let part = if instance == 2 { Part::Witness } else { Part::Partner };
        let config = Config {
            id: InstanceId(instance),
            incarnation: self.incarnations[i],
            addresses: NAMES.iter().map(|n| format!("TCP://{n}:5022")).collect(),
            sessions: vec![(SESSION, part, DATABASE.into())],
            tuning: tuning(),
            bug: self.setup.bug,
        };
        self.nodes[i] = Some(Arc::new(Instance::new(config)));
        self.handle(instance, Input::Start)
    }

    /// One input, and its effects.
    fn handle(&mut self, instance: u8, input: Input) -> Result<(), Finding> {
        let i = usize::from(instance);
        let Some(node) = &mut self.nodes[i] else { return Ok(()) };
        self.dirty[i] = true;
        let mut out = Vec::new();
        Arc::make_mut(node).handle(instant(self.now), input, &mut out);
        for effect in out {
            self.effect(instance, effect)?;
        }
        Ok(())
    }

    fn effect(&mut self, instance: u8, effect: Effect) -> Result<(), Finding> {
        let i = usize::from(instance);
        match effect {
            Effect::Connect { link, to } => {
                let far = self.nodes[usize::from(to.0)].is_some().then(|| {
                    self.inbound += 2;
                    LinkId(self.inbound)
                });
                self.links.dial(instance, link, to.0, far);
            }
            Effect::Close { link } => self.links.close(instance, link),
            Effect::Send { link, bytes } => self.links.send(instance, link, bytes),
            Effect::Disk { ticket, op } => {
                let reading = matches!(op, DiskOp::ReadAll { .. });
                if let Some(result) = Arc::make_mut(&mut self.disks[i]).issue(ticket, op) {
                    debug_assert!(reading, "only reads are answered at once");
                    self.handle(instance, Input::Disk { ticket, result })?;
                }
            }
            Effect::Reply { conn, reply } => self.replied(instance, conn, reply)?,
            // Whether the transaction is committed is not known; the probes will see.
            Effect::Disconnect { .. } => {}
            Effect::StatementDone { result, .. } => {
                let text = match result {
                    Ok(()) => "statement done".to_owned(),
                    Err(e) => format!("statement failed: {}", e.number),
                };
                self.told.push((instance, text));
            }
            Effect::Notice(notice) => self.notice(instance, notice)?,
        }
        Ok(())
    }

    fn notice(&mut self, instance: u8, notice: Notice) -> Result<(), Finding> {
        match notice {
            Notice::State { to, n, .. } => {
                self.shown[usize::from(instance)] = Some(to);
                if self.verbose {
                    self.told.push((instance, format!("{:?} {:?}, n {n}", to.0, to.1)));
                }
            }
            Notice::Step { name, .. } => {
                self.told.push((instance, name.to_owned()));
                self.step(instance, name)?;
            }
            Notice::Message { number, .. } => {
                if self.verbose {
                    self.told.push((instance, format!("message {number}")));
                }
                super::judge::message(instance, number)?;
            }
            Notice::Serving { open, .. } => {
                if self.verbose {
                    self.told.push((instance, if open { "serving" } else { "not serving" }.to_owned()));
                }
            }
            Notice::Removed { .. } => self.shown[usize::from(instance)] = None,
            Notice::Status { .. } | Notice::Event { .. } => {}
        }
        Ok(())
    }

    fn step(&mut self, instance: u8, name: &str) -> Result<(), Finding> {
        let disk = Arc::clone(&self.disks[usize::from(instance)]);
        self.ghost.step(instance, name, &disk, self.setup.bug)
    }

    fn record_written(&mut self, instance: u8) -> Result<(), Finding> {
        let bytes = self.disks[usize::from(instance)].durable(FileKind::Record);
        match record::newest(bytes) {
            Some((_, record)) => self.ghost.record(instance, &record),
            None => Ok(()),
        }
    }

    fn replied(&mut self, instance: u8, conn: ConnId, reply: Reply) -> Result<(), Finding> {
        let Some(k) = conn.0.checked_sub(COMMIT_CONN) else { return Ok(()) };
        match reply {
            Reply::Committed { n, .. } => {
                let other = self.disks[usize::from(1 - instance)].clone();
                self.told.push((instance, format!("transaction {k} confirmed")));
                self.ghost.known(k as usize, n.0, &other, self.setup.bug);
            }
            Reply::Failed { .. }
            | Reply::RolledBack { .. }
            | Reply::Connected { .. }
            | Reply::Refused { .. }
            | Reply::Begun { .. }
            | Reply::Done { .. } => {}
        }
        Ok(())
    }

    fn deliver(&mut self, end: super::links::End, item: Item) -> Result<(), Finding> {
        if self.verbose {
            self.told.push((end.instance, format!("receives {}", item.name())));
        }
        let link = end.id;
        let input = match item {
            Item::Up => Input::LinkUp { link, to: end.dialled.map(InstanceId) },
            Item::Frame(frame) => Input::Frame { link, bytes: frame.bytes },
            Item::Down(cause) => Input::LinkDown { link, cause },
        };
        self.handle(end.instance, input)
    }

    fn settle(&mut self) -> Result<(), Finding> {
        for _ in 0..EAGER_MAX {
            let next = self.links.deliverable().find(|(.., item)| item.eager());
            let Some((serial, side)) = next.map(|(serial, side, _)| (serial, side)) else { return Ok(()) };
            let (end, item) = self.links.take(serial, side).expect("just found");
            self.deliver(end, item)?;
        }
        Err(Finding::new("livelock", format!("more than {EAGER_MAX} deliveries without a pause")))
    }

    /// The next moment: everybody who wants to be called is.
    fn advance(&mut self) -> Result<Done, Finding> {
        let nodes = || self.nodes.iter().enumerate().filter_map(|(i, n)| Some((i as u8, n.as_ref()?)));
        let Some(next) = nodes().filter_map(|(_, n)| n.next_timeout()).min() else { return Ok(Done::No) };
        if !self.quiet() {
            if self.left.stalls == 0 {
                return Ok(Done::No);
            }
            self.left.stalls -= 1;
        }
        let before = self.now;
        self.left.overtakes = self.setup.overtakes.unwrap_or_default();
        self.now = self.now.max(next.0);
        let now = instant(self.now);
        let due: Vec<u8> =
            nodes().filter(|(_, n)| n.next_timeout().is_some_and(|at| at <= now)).map(|(i, _)| i).collect();
        for &instance in &due {
            self.handle(instance, Input::Timeout)?;
        }
        let again = |i: &u8| self.node(*i).and_then(|n| n.next_timeout()).is_some_and(|at| at.0 <= before);
        if due.iter().any(again) {
            return Err(Finding::new(
                "timer",
                "an instance wants to be called at a time that has passed".into(),
            ));
        }
        Ok(Done::Yes)
    }

    fn commit(&mut self, instance: u8) -> Result<Done, Finding> {
        let k = u64::from(self.commits);
        let conn = ConnId(COMMIT_CONN + k);
        if !self.ghost.serves(instance) {
            return Ok(Done::No);
        }
        self.left.commits -= 1;
        self.commits += 1;
        self.ghost.asked();
        self.handle(instance, Input::Client { conn, event: ClientEvent::Open { database: SESSION } })?;
        let ops = vec![Op::Write(Key(k as u32), Value::number(k as i64 + 1))];
        let request = Request::Batch(TxnId(k + 1), ops);
        self.handle(instance, Input::Client { conn, event: ClientEvent::Request(request) })?;
        Ok(Done::Yes)
    }

    /// False when it is refused at once.
    fn state(&mut self, instance: u8, text: &str) -> Result<bool, Finding> {
        let Some(node) = &self.nodes[usize::from(instance)] else { return Ok(false) };
        let mut trial = Instance::clone(node);
        let mut out = Vec::new();
        let input = Input::Statement { request: 0, sql: text.to_owned() };
        trial.handle(instant(self.now), input.clone(), &mut out);
        let refused = |e: &Effect| matches!(e, Effect::StatementDone { result: Err(SqlError { .. }), .. });
        if out.iter().any(refused) {
            return Ok(false);
        }
        if text == sql("RESUME") {
            self.ghost.resumed();
        }
        self.handle(instance, input)?;
        Ok(true)
    }

    /// Has anything about the instance changed in this step, if only its distance from something?
    pub fn changed(&self, instance: u8) -> bool {
        self.dirty[usize::from(instance)]
    }

    /// Brings the hashes up to date.
    fn refresh(&mut self) {
        for i in 0..INSTANCES {
            if !self.dirty[i] {
                continue;
            }
            let mut canon = Canon::new(self.now, i as u8);
            match &self.nodes[i] {
                Some(node) => node.hash(&mut canon),
                None => canon.write_u8(0),
            }
            self.digests[i] = Arc::new(canon.part());
            self.disk_digests[i] = Arc::new(self.disks[i].digest());
            self.dirty[i] = false;
        }
    }

    /// The hash under which states are merged.
    pub fn hash(&self) -> u128 {
        let mut rest = Canon::new(0, 0);
        (self.left, self.stated, self.commits, &self.ghost).hash(&mut rest);
        let rest = rest.part();
        let links = self.links.digest(self.now);
        let parts = self.digests.iter().chain(&self.disk_digests).map(Arc::as_ref);
        combine(parts.chain([&links, &rest]))
    }
}

/// A statement about the session, as T-SQL.
pub fn sql(what: &str) -> String {
    match what.strip_prefix("ALTER ") {
        Some(_) => what.to_owned(),
        None if what == "FORCE" => {
            format!("ALTER DATABASE {DATABASE} SET PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS")
        }
        None if what.starts_with("WITNESS") => format!("ALTER DATABASE {DATABASE} SET {what}"),
        None => format!("ALTER DATABASE {DATABASE} SET PARTNER {what}"),
    }
}
