//! Clients against fake servers.

use super::workload::{FIRST_LIST_KEY, LIST_CAPACITY};
use super::*;
use dbm_core::io::Op;
use dbm_core::types::{Branch, Key, Lsn, RoleSequence, Value};
use std::collections::{BTreeMap, BTreeSet};

const A: InstanceId = InstanceId(0);
const B: InstanceId = InstanceId(1);
const N: RoleSequence = RoleSequence(1);

fn client(id: u16, seed: u64, workload: Workload, end: Time) -> Client {
    let setup = ClientSetup {
        id: ClientId(id),
        clients: workload.clients,
        database: SessionId(0),
        initial: A,
        partner: Some(B),
        workload,
        end,
    };
    Client::new(setup, Stream::new(seed, "client", &[u64::from(id)]))
}

/// A client under the hand of a test.
struct Hand {
    client: Client,
    now: Time,
    out: Vec<ClientEffect>,
}

impl Hand {
    fn new(workload: Workload) -> Self {
        Hand {
            client: client(0, 1, Workload { start: Time(0), ..workload }, Time::secs(1000)),
            now: Time(0),
            out: vec![],
        }
    }

    fn input(&mut self, input: ClientInput) -> Vec<ClientEffect> {
        self.client.handle(self.now, input, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn timeout(&mut self) -> Vec<ClientEffect> {
        self.now = self.client.next_timeout().expect("something to wait for").max(self.now);
        self.input(ClientInput::Timeout)
    }

    /// From the start to a standing connection to A.
    fn connect(&mut self) {
        let effects = self.input(ClientInput::Start);
        assert_eq!(effects, [ClientEffect::Connect(ClientConn(1), A)]);
        let effects = self.input(ClientInput::Connected(ClientConn(1)));
        let open = ClientEvent::Open { database: SessionId(0) };
        assert_eq!(effects, [ClientEffect::Send(ClientConn(1), open)]);
        let effects = self.reply(Reply::Connected { n: N, partner: B });
        assert_eq!(effects, []);
    }

    fn reply(&mut self, reply: Reply) -> Vec<ClientEffect> {
        self.input(ClientInput::Reply(self.client.conn, reply))
    }

    /// Answers everything until the client sends what the test looks for.
    fn until(&mut self, wanted: impl Fn(&Request) -> bool) -> Vec<ClientEffect> {
        let mut effects = self.timeout();
        loop {
            let request = effects.iter().find_map(|effect| match effect {
                ClientEffect::Send(_, ClientEvent::Request(request)) => Some(request.clone()),
                _ => None,
            });
            match request {
                Some(request) if wanted(&request) => return effects,
                Some(request) => effects = self.reply(perfect(&request)),
                None => effects = self.timeout(),
            }
        }
    }
}

/// An answer that pleases, without any state behind it.
fn perfect(request: &Request) -> Reply {
    let value = Value::default();
    match request {
        Request::Begin(_) => Reply::Begun { n: N },
        Request::Execute(_) => Reply::Done { n: N, value },
        Request::Commit => committed(vec![]),
        Request::Rollback => Reply::RolledBack { n: N },
        Request::Batch(_, ops) => committed(vec![value; ops.len()]),
    }
}

fn committed(values: Vec<Value>) -> Reply {
    Reply::Committed { n: N, txn: TxnId(0), at: Lsn::ZERO, branch: Branch::default(), values }
}

fn writes() -> Workload {
    Workload { read_only_percent: 0, ..Workload::default() }
}

/// [CL-20, CL-26, CL-34]
#[test]
fn looks_at_the_other_partner_when_the_first_is_a_mirror() {
    let mut hand = Hand::new(writes());
    assert_eq!(hand.input(ClientInput::Start), [ClientEffect::Connect(ClientConn(1), A)]);
    hand.input(ClientInput::Connected(ClientConn(1)));
    let expected = [ClientEffect::Close(ClientConn(1)), ClientEffect::Connect(ClientConn(2), B)];
    assert_eq!(hand.reply(Reply::Refused { error: 954 }), expected);
    assert_eq!(hand.input(ClientInput::Refused(ClientConn(2))), []);
    assert_eq!(hand.client.next_timeout(), Some(Time::millis(100)));
    assert_eq!(hand.timeout(), [ClientEffect::Connect(ClientConn(3), A)]);
    assert_eq!(hand.client.next_timeout(), Some(Time::millis(2500)));
}

/// [CL-32, CL-33]
#[test]
fn silence_is_given_up_and_the_search_begins_again_after_the_login_time_out() {
    let mut hand = Hand::new(writes());
    hand.input(ClientInput::Start);
    let mut dialled = vec![];
    while hand.now < Time::secs(16) {
        let effects = hand.timeout();
        let [ClientEffect::Close(closed), ClientEffect::Connect(conn, to)] = effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(closed.0 + 1, conn.0);
        dialled.push((hand.now.0 / 100_000, to));
    }
    let expected = [(12, B), (24, A), (48, B), (72, A), (108, B), (144, A), (150, A), (162, B)];
    assert_eq!(dialled, expected);
}

/// [CL-28]
#[test]
fn a_refused_login_waits_before_the_application_tries_again() {
    let mut hand = Hand::new(writes());
    hand.input(ClientInput::Start);
    hand.input(ClientInput::Connected(ClientConn(1)));
    assert_eq!(hand.reply(Reply::Refused { error: 18456 }), [ClientEffect::Close(ClientConn(1))]);
    assert_eq!(hand.client.next_timeout(), Some(Time::secs(1)));
    assert_eq!(hand.timeout(), [ClientEffect::Connect(ClientConn(2), A)]);
}

/// [CL-12, CL-40, CL-41, CL-62]
#[test]
fn reconnects_after_a_loss_with_the_partner_it_was_told() {
    let mut hand = Hand::new(writes());
    hand.input(ClientInput::Start);
    hand.input(ClientInput::Connected(ClientConn(1)));
    hand.reply(Reply::Connected { n: N, partner: InstanceId(2) });
    let effects = hand.input(ClientInput::Lost(ClientConn(1)));
    assert_eq!(effects, [ClientEffect::Connect(ClientConn(2), A)]);
    let effects = hand.input(ClientInput::Refused(ClientConn(2)));
    assert_eq!(effects, [ClientEffect::Connect(ClientConn(3), InstanceId(2))]);
    hand.input(ClientInput::Connected(ClientConn(3)));
    hand.reply(Reply::Connected { n: RoleSequence(2), partner: B });
    hand.until(|request| matches!(request, Request::Batch(..)));
}

/// [CL-53]
#[test]
fn a_lost_batch_or_commit_is_unknown() {
    for wanted in [|r: &Request| matches!(r, Request::Batch(..)), |r: &Request| matches!(r, Request::Commit)]
    {
        let mut hand = Hand::new(writes());
        hand.connect();
        hand.until(wanted);
        let effects = hand.input(ClientInput::Lost(ClientConn(1)));
        assert_eq!(effects, [ClientEffect::Unknown, ClientEffect::Connect(ClientConn(2), A)]);
    }
}

/// [CL-54]
#[test]
fn a_transaction_lost_before_its_commit_is_known_to_be_rolled_back() {
    for wanted in [
        |r: &Request| matches!(r, Request::Begin(_)),
        |r: &Request| matches!(r, Request::Execute(_)),
        |r: &Request| matches!(r, Request::Rollback),
    ] {
        let mut hand = Hand::new(Workload { rollback_percent: 50, ..writes() });
        hand.connect();
        hand.until(wanted);
        let effects = hand.input(ClientInput::Lost(ClientConn(1)));
        assert_eq!(effects, [ClientEffect::Connect(ClientConn(2), A)]);
    }
}

#[test]
fn a_call_without_an_answer_is_given_up_after_its_timeout() {
    let mut hand = Hand::new(writes());
    hand.connect();
    hand.until(|request| matches!(request, Request::Batch(..)));
    let sent = hand.now;
    let effects = hand.timeout();
    assert_eq!(hand.now, sent + writes().call_timeout);
    let expected =
        [ClientEffect::Close(ClientConn(1)), ClientEffect::Unknown, ClientEffect::Connect(ClientConn(2), A)];
    assert_eq!(effects, expected);
    // What the old connection still brings is history.
    assert_eq!(hand.input(ClientInput::Reply(ClientConn(1), committed(vec![]))), []);
    assert_eq!(hand.input(ClientInput::Lost(ClientConn(1))), []);
}

#[test]
fn a_deadlock_victim_tries_the_same_again_as_a_new_transaction() {
    let mut hand = Hand::new(writes());
    hand.connect();
    let batch = |effects: &[ClientEffect]| match effects {
        [
            ClientEffect::Begun(begun),
            ClientEffect::Send(_, ClientEvent::Request(Request::Batch(txn, ops))),
        ] => {
            assert_eq!(begun, txn);
            (*txn, ops.iter().map(Op::key).collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    };
    let (first, keys) = batch(&hand.until(|request| matches!(request, Request::Batch(..))));
    let mut seen = BTreeSet::from([first]);
    for _ in 1..ATTEMPTS_MAX {
        assert_eq!(hand.reply(Reply::Failed { n: N, error: 1205 }), []);
        let failed = hand.now;
        let (again, same) = batch(&hand.timeout());
        assert!(hand.now > failed && hand.now <= failed + Time::millis(20));
        assert!(seen.insert(again));
        assert_eq!(keys, same);
    }
    hand.reply(Reply::Failed { n: N, error: 1205 });
    assert_eq!(hand.client.phase, Phase::Ready);
}

#[test]
fn any_other_failure_ends_the_transaction() {
    let mut hand = Hand::new(writes());
    hand.connect();
    hand.until(|request| matches!(request, Request::Execute(_)));
    hand.reply(Reply::Failed { n: N, error: 9002 });
    assert!(!matches!(hand.client.phase, Phase::Thinking { .. } | Phase::Retrying { .. }));
}

#[test]
fn an_answer_to_another_call_ends_the_connection() {
    let mut hand = Hand::new(writes());
    hand.connect();
    hand.until(|request| matches!(request, Request::Batch(..)));
    let expected =
        [ClientEffect::Close(ClientConn(1)), ClientEffect::Unknown, ClientEffect::Connect(ClientConn(2), A)];
    assert_eq!(hand.reply(Reply::RolledBack { n: N }), expected);
}

#[test]
fn rests_after_the_last_transaction() {
    let mut hand = Hand::new(Workload { stop: Some(Time::secs(2)), ..writes() });
    hand.connect();
    hand.now = Time::secs(2);
    assert_eq!(hand.input(ClientInput::Timeout), []);
    assert_eq!(hand.client.next_timeout(), None);
    assert_eq!(hand.input(ClientInput::Lost(ClientConn(1))), []);
    assert_eq!(hand.client.next_timeout(), None);
    assert_eq!(hand.client.phase, Phase::Resting);
}

/// All clients of a workload before one server that answers everything after half a millisecond, and drops every
/// `drop_every`-th call together with its connection.
struct Office {
    clients: Vec<Client>,
    /// What is on its way to clients: due time and order of sending, client, input.
    agenda: BTreeMap<(Time, u64), (usize, ClientInput)>,
    sent: u64,
    rows: BTreeMap<Key, Value>,
    /// Per client: what its open transaction has done.
    undo: Vec<Vec<Op>>,
    txns: BTreeSet<TxnId>,
    calls: u64,
    commits: u64,
    unknown: u64,
    drop_every: u64,
    trace: Vec<u64>,
}

impl Office {
    fn run(workload: Workload, seed: u64, end: Time, drop_every: u64) -> Self {
        let clients: Vec<Client> = (0..workload.clients).map(|id| client(id, seed, workload, end)).collect();
        let mut office = Office {
            undo: vec![vec![]; clients.len()],
            clients,
            agenda: BTreeMap::new(),
            sent: 0,
            rows: BTreeMap::new(),
            txns: BTreeSet::new(),
            calls: 0,
            commits: 0,
            unknown: 0,
            drop_every,
            trace: vec![],
        };
        (0..office.clients.len()).for_each(|client| office.tell(client, Time(0), ClientInput::Start));
        loop {
            let wake = office.clients.iter().enumerate();
            let wake = wake.filter_map(|(c, client)| client.next_timeout().map(|at| (at, c))).min();
            let mail = office.agenda.keys().next().copied();
            match (wake, mail) {
                (Some((at, c)), mail) if mail.is_none_or(|(due, _)| at < due) && at <= end => {
                    office.tell(c, at, ClientInput::Timeout);
                }
                (_, Some(key)) if key.0 <= end => {
                    let (c, input) = office.agenda.remove(&key).expect("just seen");
                    office.tell(c, key.0, input);
                }
                _ => return office,
            }
        }
    }

    fn tell(&mut self, c: usize, now: Time, input: ClientInput) {
        let mut out = vec![];
        self.clients[c].handle(now, input, &mut out);
        self.trace.push(self.clients[c].fingerprint() ^ now.0);
        for effect in out {
            let answer = match effect {
                ClientEffect::Connect(conn, _) => ClientInput::Connected(conn),
                ClientEffect::Send(conn, ClientEvent::Open { .. }) => {
                    ClientInput::Reply(conn, Reply::Connected { n: N, partner: B })
                }
                ClientEffect::Send(conn, ClientEvent::Request(request)) => {
                    self.calls += 1;
                    if self.drop_every > 0 && self.calls.is_multiple_of(self.drop_every) {
                        self.roll_back(c);
                        ClientInput::Lost(conn)
                    } else {
                        ClientInput::Reply(conn, self.serve(c, &request))
                    }
                }
                ClientEffect::Begun(txn) => {
                    assert!(self.txns.insert(txn), "{txn:?} twice");
                    continue;
                }
                ClientEffect::Unknown => {
                    self.unknown += 1;
                    continue;
                }
                ClientEffect::Send(_, ClientEvent::Closed) | ClientEffect::Close(_) => continue,
            };
            self.sent += 1;
            self.agenda.insert((now + Time(500), self.sent), (c, answer));
        }
    }

    fn serve(&mut self, c: usize, request: &Request) -> Reply {
        match request {
            Request::Begin(_) => assert!(self.undo[c].is_empty()),
            Request::Execute(op) => {
                return Reply::Done { n: N, value: self.execute(c, op) };
            }
            Request::Commit => {
                self.undo[c].clear();
                self.commits += 1;
            }
            Request::Rollback => self.roll_back(c),
            Request::Batch(_, ops) => {
                let values = ops.iter().map(|op| self.execute(c, op)).collect();
                self.undo[c].clear();
                self.commits += 1;
                return committed(values);
            }
        }
        perfect(request)
    }

    fn execute(&mut self, c: usize, op: &Op) -> Value {
        let row = self.rows.entry(op.key()).or_default();
        let before = row.clone();
        match op {
            Op::Read(_) => {}
            Op::Write(_, value) => *row = value.clone(),
            Op::Add(_, amount) => *row = Value::number(row.as_number() + amount),
            Op::Append(key, element) => {
                assert!(key.0 >= FIRST_LIST_KEY);
                assert!(before.as_list().all(|other| other != *element), "{element} twice in {key:?}");
                row.0.extend(element.to_le_bytes());
                assert!(row.0.len() <= LIST_CAPACITY * 4, "{key:?} overflows");
            }
        }
        self.undo[c].push(op.clone());
        before
    }

    /// There are no locks, so only what the transaction itself did is taken back.
    fn roll_back(&mut self, c: usize) {
        for op in std::mem::take(&mut self.undo[c]) {
            let row = self.rows.entry(op.key()).or_default();
            match op {
                Op::Read(_) | Op::Write(_, _) => {}
                Op::Add(_, amount) => *row = Value::number(row.as_number() - amount),
                Op::Append(_, element) => {
                    let left = row.as_list().filter(|other| *other != element);
                    *row = Value(left.flat_map(u32::to_le_bytes).collect());
                }
            }
        }
    }
}

#[test]
fn lists_never_overflow_in_long_runs() {
    for (lists, commits_per_s, seed) in [(4, 20, 1), (4, 100, 2), (1, 50, 3), (9, 100, 4)] {
        let workload = Workload { lists, commits_per_s, ..Workload::default() };
        let office = Office::run(workload, seed, Time::secs(300), 0);
        let full = office.rows.iter().filter(|(key, row)| key.0 >= FIRST_LIST_KEY && row.0.len() >= 20);
        assert!(full.count() > 10);
    }
}

#[test]
fn commits_come_at_the_rate_asked_for() {
    for commits_per_s in [20, 100] {
        let workload = Workload { commits_per_s, rollback_percent: 0, start: Time(0), ..Workload::default() };
        let office = Office::run(workload, 1, Time::secs(100), 0);
        let expected = u64::from(commits_per_s) * 100;
        assert!(office.commits > expected * 98 / 100 && office.commits <= expected, "{}", office.commits);
    }
}

#[test]
fn load_goes_on_through_losses() {
    let office = Office::run(Workload { start: Time(0), ..Workload::default() }, 5, Time::secs(100), 25);
    assert!(office.unknown > 20, "{}", office.unknown);
    assert!(office.commits > 1500, "{}", office.commits);
    let sum: i64 = office.rows.range(..Key(FIRST_LIST_KEY)).map(|(_, row)| row.as_number()).sum();
    let open: i64 = office.undo.iter().flatten().map(|op| if let Op::Add(_, x) = op { *x } else { 0 }).sum();
    assert_eq!(sum, open);
}

/// Elements are the low halves of transaction ids.
#[test]
fn low_halves_of_ids_are_unique_too() {
    let office = Office::run(Workload { clients: 7, ..Workload::default() }, 1, Time::secs(60), 20);
    let low: BTreeSet<u32> = office.txns.iter().map(|txn| txn.0 as u32).collect();
    assert_eq!(low.len(), office.txns.len());
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| Office::run(Workload::default(), seed, Time::secs(30), 30).trace;
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
