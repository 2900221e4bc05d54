//! Three instances on a table: a tiny deterministic net and disk, for tests of single rules of the session without
//! the simulator. Every frame takes a millisecond, every disk operation half of one.

use dbm_core::config::{Config, Part, Tuning};
use dbm_core::instance::Instance;
use dbm_core::io::*;
use dbm_core::message::kind_name;
use dbm_core::prepared::Prepared;
use dbm_core::types::*;
use dbm_core::view::Status;
use dbm_core::wire;
use std::collections::{BTreeMap, BTreeSet};

const SESSION: SessionId = SessionId(1);
const FRAME_US: u64 = 1000;
const DISK_US: u64 = 500;

struct Table {
    now: u64,
    serial: u64,
    events: BTreeMap<(u64, u64), (u8, u32, Input)>,
    instances: BTreeMap<u8, Instance>,
    incarnations: [u32; 3],
    disks: BTreeMap<(u8, FileId), Vec<u8>>,
    /// (instance, link) to the other end.
    links: BTreeMap<(u8, LinkId), (u8, LinkId)>,
    inbound: u64,
    cut: BTreeSet<(u8, u8)>,
    replies: Vec<(u64, u8, ConnId, Reply)>,
    statements: Vec<(u64, Result<(), SqlError>)>,
    status: BTreeMap<u8, Status>,
    sent: Vec<(u64, u8, u8, &'static str)>,
    timers: [u64; 3],
    verbose: bool,
}

impl Table {
    fn new(witness: bool) -> Table {
        let prepared = Prepared {
            session: SESSION,
            principal: InstanceId(0),
            mirror: InstanceId(1),
            witness: witness.then_some(InstanceId(2)),
            safety: Safety::Full,
            timeout_s: 10,
            geometry: Default::default(),
            rows: (0..8).map(|k| (Key(k), Value::number(1000))).collect(),
        };
        let mut table = Table {
            now: 0,
            serial: 0,
            events: BTreeMap::new(),
            instances: BTreeMap::new(),
            incarnations: [0; 3],
            disks: prepared.files().into_iter().map(|(i, f, b)| ((i.0, f), b)).collect(),
            links: BTreeMap::new(),
            inbound: 1,
            cut: BTreeSet::new(),
            replies: Vec::new(),
            statements: Vec::new(),
            status: BTreeMap::new(),
            sent: Vec::new(),
            timers: [u64::MAX; 3],
            verbose: std::env::var("TABLE").is_ok(),
        };
        for id in 0..3 {
            table.start(id);
        }
        table
    }

    fn start(&mut self, id: u8) {
        self.incarnations[id as usize] += 1;
        let part = if id == 2 { Part::Witness } else { Part::Partner };
        let has = self.disks.contains_key(&(id, FileId { session: SESSION, kind: FileKind::Record }));
        let config = Config {
            id: InstanceId(id),
            incarnation: self.incarnations[id as usize],
            addresses: vec!["TCP://A:5022".into(), "TCP://B:5022".into(), "TCP://W:5022".into()],
            sessions: if has { vec![(SESSION, part, "sales".into())] } else { vec![] },
            tuning: Tuning::default(),
            bug: None,
        };
        self.instances.insert(id, Instance::new(config));
        self.push(0, id, Input::Start);
    }

    fn crash(&mut self, id: u8) {
        self.instances.remove(&id);
        self.status.remove(&id);
        let ends: Vec<_> = self.links.iter().filter(|((i, _), _)| *i == id).map(|(k, v)| (*k, *v)).collect();
        for (near, far) in ends {
            self.links.remove(&near);
            if self.links.remove(&far).is_some() {
                self.push(FRAME_US, far.0, Input::LinkDown { link: far.1, cause: LinkDownCause::Reset });
            }
        }
        self.events.retain(|_, (to, _, _)| *to != id);
    }

    fn push(&mut self, after: u64, to: u8, input: Input) {
        self.serial += 1;
        let incarnation = self.incarnations[to as usize];
        self.events.insert((self.now + after, self.serial), (to, incarnation, input));
    }

    fn run_until(&mut self, until_ms: u64) {
        let until = until_ms * 1000;
        while let Some((&(at, _), _)) = self.events.first_key_value() {
            if at > until {
                break;
            }
            let (_, (to, incarnation, input)) = self.events.pop_first().expect("looked at it");
            self.now = at;
            if self.incarnations[to as usize] == incarnation && self.instances.contains_key(&to) {
                self.handle(to, input);
            }
        }
        self.now = until;
    }

    fn handle(&mut self, id: u8, input: Input) {
        let mut out = Vec::new();
        if matches!(input, Input::Timeout) {
            self.timers[id as usize] = u64::MAX;
        }
        if let Input::LinkDown { link, .. } = input {
            self.links.remove(&(id, link));
        }
        let instance = self.instances.get_mut(&id).expect("only living instances handle");
        instance.handle(Instant(self.now), input, &mut out);
        instance.check();
        let next = instance.next_timeout();
        for effect in out {
            self.effect(id, effect);
        }
        if let Some(at) = next
            && at.0 < self.timers[id as usize]
        {
            self.timers[id as usize] = at.0;
            let after = at.0.saturating_sub(self.now);
            self.push(after, id, Input::Timeout);
        }
    }

    fn effect(&mut self, id: u8, effect: Effect) {
        match effect {
            Effect::Connect { link, to } => {
                if self.cut.contains(&(id, to.0)) || self.cut.contains(&(to.0, id)) {
                    return;
                }
                if !self.instances.contains_key(&to.0) {
                    let cause = LinkDownCause::Refused;
                    self.push(2 * FRAME_US, id, Input::LinkDown { link, cause });
                    return;
                }
                self.inbound += 2;
                let far = LinkId(self.inbound);
                self.links.insert((id, link), (to.0, far));
                self.links.insert((to.0, far), (id, link));
                self.push(FRAME_US, to.0, Input::LinkUp { link: far, to: None });
                self.push(2 * FRAME_US, id, Input::LinkUp { link, to: Some(to) });
            }
            Effect::Close { link } => {
                if let Some(far) = self.links.remove(&(id, link))
                    && self.links.remove(&far).is_some()
                    && !self.cut.contains(&(id, far.0))
                {
                    self.push(FRAME_US, far.0, Input::LinkDown { link: far.1, cause: LinkDownCause::Closed });
                }
            }
            Effect::Send { link, bytes } => {
                let Some(&(to, far)) = self.links.get(&(id, link)) else { return };
                let name = wire::peek(&bytes).and_then(|h| kind_name(h.kind)).expect("instances send frames");
                if self.verbose && name != "ping" {
                    println!(
                        "{:>9} {id} -> {to} {:?}",
                        self.now,
                        wire::decode(&bytes).map(|(h, m)| (h.n, m))
                    );
                }
                self.sent.push((self.now, id, to, name));
                if !self.cut.contains(&(id, to)) {
                    self.push(FRAME_US, to, Input::Frame { link: far, bytes });
                }
            }
            Effect::Disk { ticket, op } => {
                let result = match op {
                    DiskOp::ReadAll { file } => {
                        DiskResult::Read(self.disks.get(&(id, file)).cloned().unwrap_or_default())
                    }
                    DiskOp::Write { file, offset, bytes, .. } => {
                        let content = self.disks.entry((id, file)).or_default();
                        let end = offset as usize + bytes.len();
                        if content.len() < end {
                            content.resize(end, 0);
                        }
                        content[offset as usize..end].copy_from_slice(&bytes);
                        DiskResult::Done
                    }
                    DiskOp::Flush { .. } => DiskResult::Done,
                };
                self.push(DISK_US, id, Input::Disk { ticket, result });
            }
            Effect::Reply { conn, reply } => self.replies.push((self.now, id, conn, reply)),
            Effect::Disconnect { .. } => {}
            Effect::StatementDone { request, result } => self.statements.push((request, result)),
            Effect::Notice(notice) => {
                if let Notice::Status { status, .. } = &notice {
                    self.status.insert(id, *status);
                }
                if self.verbose {
                    println!("{:>9} {id} {notice:?}", self.now);
                }
            }
        }
    }

    fn open(&mut self, id: u8, conn: u64) -> Reply {
        self.call(id, conn, ClientEvent::Open { database: SESSION })
    }

    /// One call and its answer, at most 100 ms later.
    fn call(&mut self, id: u8, conn: u64, event: ClientEvent) -> Reply {
        let before = self.replies.len();
        self.push(0, id, Input::Client { conn: ConnId(conn), event });
        let until = self.now / 1000 + 100;
        self.run_until(until);
        self.replies.get(before).map(|(_, _, _, reply)| reply.clone()).expect("an answer within 100 ms")
    }

    fn add(&mut self, id: u8, conn: u64, txn: u64, by: i64) -> Reply {
        let ops = vec![Op::Add(Key(0), -by), Op::Add(Key(1), by)];
        self.call(id, conn, ClientEvent::Request(Request::Batch(TxnId(txn), ops)))
    }

    fn read(&mut self, id: u8, conn: u64, txn: u64) -> Vec<i64> {
        let ops = vec![Op::Read(Key(0)), Op::Read(Key(1))];
        match self.call(id, conn, ClientEvent::Request(Request::Batch(TxnId(txn), ops))) {
            Reply::Committed { values, .. } => values.iter().map(Value::as_number).collect(),
            other => panic!("read answered {other:?}"),
        }
    }

    fn state(&self, id: u8) -> (Role, MirroringState) {
        let status = self.status[&id];
        (status.role.expect("a partner"), status.state.expect("an open copy"))
    }

    fn sent(&self, from: u8, to: u8, kind: &str) -> usize {
        self.sent.iter().filter(|(_, f, t, k)| (*f, *t, *k) == (from, to, kind)).count()
    }

    fn sql(&mut self, id: u8, text: &str) -> Result<(), u32> {
        let before = self.statements.len();
        self.push(0, id, Input::Statement { request: 0, sql: text.into() });
        let until = self.now / 1000 + 1000;
        self.run_until(until);
        let (_, result) = self.statements.get(before).expect("an answer within a second");
        result.map_err(|e| e.number)
    }
}

/// A prepared session becomes SYNCHRONIZED on both partners and is armed. [S-33, ST-6, OQ-4.2]
#[test]
fn prepared_session_synchronizes_and_arms() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.state(0), (Role::Principal, MirroringState::Synchronized));
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Synchronized));
    assert!(table.sent(0, 1, "armed") >= 1);
    assert!(table.status[&0].serving);
}

/// A commit is confirmed and read back. [S-64]
#[test]
fn commit_is_confirmed_and_read_back() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert!(matches!(table.open(0, 1), Reply::Connected { .. }));
    assert!(matches!(table.add(0, 1, 1, 5), Reply::Committed { .. }));
    assert_eq!(table.read(0, 1, 2), vec![995, 1005]);
}

/// The mirror's copy is not served. [S-3, ST-22]
#[test]
fn mirror_refuses_clients() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.open(1, 1), Reply::Refused { error: 954 });
}

/// The principal's process dies: the mirror takes over at once, with everything confirmed. [QT-A7, FL-14, INV-2]
#[test]
fn crash_of_the_principal_fails_over_without_loss() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    table.add(0, 1, 1, 5);
    table.crash(0);
    let now = table.now / 1000;
    table.run_until(now + 3_000);
    assert_eq!(table.state(1), (Role::Principal, MirroringState::Disconnected));
    assert!(matches!(table.open(1, 7), Reply::Connected { n: RoleSequence(2), .. }));
    assert_eq!(table.read(1, 7, 2), vec![995, 1005]);
    assert!(matches!(table.add(1, 7, 3, 5), Reply::Committed { .. }));
}

/// The former principal comes back as mirror, without a command, and the session synchronizes. [FO-25, FO-45]
#[test]
fn former_principal_rejoins_as_mirror() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    table.add(0, 1, 1, 5);
    table.crash(0);
    let now = table.now / 1000;
    table.run_until(now + 3_000);
    table.open(1, 7);
    table.add(1, 7, 3, 5);
    table.start(0);
    let now = table.now / 1000;
    table.run_until(now + 5_000);
    assert_eq!(table.state(0), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.state(1), (Role::Principal, MirroringState::Synchronized));
    // And back again.
    table.crash(1);
    let now = table.now / 1000;
    table.run_until(now + 3_000);
    assert!(matches!(table.open(0, 9), Reply::Connected { n: RoleSequence(3), .. }));
    assert_eq!(table.read(0, 9, 4), vec![990, 1010]);
}

/// Without the mirror the principal runs exposed once the witness has noted it. [QT-A6, OQ-4.1]
#[test]
fn principal_runs_exposed_through_the_witness() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    table.crash(1);
    assert!(matches!(table.add(0, 1, 1, 5), Reply::Committed { .. }));
    assert!(table.sent(0, 2, "expose") >= 1);
    assert_eq!(table.state(0), (Role::Principal, MirroringState::Disconnected));
}

/// An isolated principal stops when its leases end, and the mirror takes over only afterwards. [OQ-3, QT-A7]
#[test]
fn isolated_principal_stops_before_the_mirror_serves() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.open(0, 1);
    for peer in [1, 2] {
        table.cut.insert((0, peer));
        table.cut.insert((peer, 0));
    }
    table.run_until(14_000);
    assert!(table.status[&0].serving);
    table.run_until(15_500);
    assert!(!table.status[&0].serving);
    assert!(!table.status[&1].serving);
    table.run_until(18_500);
    assert!(table.status[&1].serving);
}

/// A restarted principal that reaches nobody is not served.
#[test]
fn restarted_principal_alone_is_not_served() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.crash(1);
    table.crash(2);
    table.crash(0);
    table.start(0);
    table.run_until(30_000);
    assert_eq!(table.open(0, 1), Reply::Refused { error: 955 });
    table.start(2);
    let now = table.now / 1000;
    table.run_until(now + 5_000);
    assert!(matches!(table.open(0, 2), Reply::Connected { .. }));
}

/// Without a witness the principal serves alone, and nobody fails over. [QT-D3, QT-D5]
#[test]
fn no_witness_means_no_quorum_rule() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert!(matches!(table.open(0, 1), Reply::Connected { .. }));
    table.crash(1);
    assert!(matches!(table.add(0, 1, 1, 5), Reply::Committed { .. }));
    table.start(1);
    let now = table.now / 1000;
    table.run_until(now + 5_000);
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Synchronized));
    table.crash(0);
    let now = table.now / 1000;
    table.run_until(now + 30_000);
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Disconnected));
}

/// SAFETY and TIMEOUT reach all three; SET WITNESS OFF and back. [C-65, C-66, C-70, C-73]
#[test]
fn settings_reach_everybody() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET PARTNER TIMEOUT 20"), Ok(()));
    assert_eq!(table.sql(1, "ALTER DATABASE sales SET PARTNER TIMEOUT 20"), Err(1470));
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET PARTNER SAFETY OFF"), Ok(()));
    assert_eq!(table.status[&1].safety, Safety::Off);
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET PARTNER SAFETY FULL"), Ok(()));
    let now = table.now / 1000;
    table.run_until(now + 2_000);
    assert_eq!(table.state(1), (Role::Mirror, MirroringState::Synchronized));
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET WITNESS OFF"), Ok(()));
    assert_eq!(table.status[&1].witness, None);
    assert_eq!(table.sql(0, "ALTER DATABASE sales SET WITNESS = 'TCP://W:5022'"), Ok(()));
    let now = table.now / 1000;
    table.run_until(now + 3_000);
    assert_eq!(table.status[&0].witness, Some(WitnessState::Connected));
    table.crash(0);
    let now = table.now / 1000;
    table.run_until(now + 4_000);
    assert_eq!(table.state(1).0, Role::Principal);
}
