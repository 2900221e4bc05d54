//! A client: looks for the principal, runs transactions, and knows what it does not know.
//!
//! A state machine without a world, as the core is: inputs in, effects out, time as an argument. It relies on each
//! call being answered once unless the connection breaks. `login` has the driver's search for the principal
//! [CL-20 … CL-36], [`workload`] has what the application does; here is what ties them together: opening a new
//! connection whenever one broke [CL-40, CL-41], calls one after the other, and outcomes.
//!
//! What the client knows of a transaction after a broken connection [CL-53, CL-54]:
//!
//! ```text
//! Begin … Execute … Execute …     | Commit …     Batch …
//! rolled back: nothing to report  | Unknown      Unknown
//! ```

mod login;
pub mod workload;

use crate::observe::ClientId;
use crate::rng::Stream;
use crate::scenario::Workload;
use crate::time::Time;
use dbm_core::io::{ClientEvent, Reply, Request};
use dbm_core::types::{InstanceId, SessionId, TxnId};
use login::{Login, Names, Next};
use workload::{Dice, Job, Style, Timetable};

/// A connection of one client, numbered by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientConn(pub u64);

/// What can happen to a client. Its clock is true time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientInput {
    /// The client starts.
    Start,
    /// A time asked for has come; spurious ones are harmless.
    Timeout,
    /// The transport connection stands.
    Connected(ClientConn),
    /// Nobody listens there: the host refused at once.
    Refused(ClientConn),
    /// An answer.
    Reply(ClientConn, Reply),
    /// The connection broke.
    Lost(ClientConn),
}

/// What a client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEffect {
    /// Open a transport connection; answered by `Connected`, `Refused`, or silence.
    Connect(ClientConn, InstanceId),
    /// Send something on a standing connection.
    Send(ClientConn, ClientEvent),
    /// Close a connection or give up a dial.
    Close(ClientConn),
    /// For the observers: a transaction begins now, its first call follows.
    Begun(TxnId),
    /// For the observers: the open call's outcome stays unknown (connection lost, or waited too long).
    Unknown,
}

/// How long the application waits before it opens again after an error that waiting may cure.
const REOPEN_PAUSE: Time = Time::secs(1);
/// Longest think time between two calls of an interactive transaction, in microseconds, exclusive.
const THINK_US_MAX: u64 = 5_000;
/// Longest pause before a deadlock victim tries again, in microseconds, exclusive.
const RETRY_US_MAX: u64 = 20_000;
/// A deadlock victim gives up after so many attempts.
const ATTEMPTS_MAX: u8 = 8;
/// "Transaction was deadlocked … and has been chosen as the deadlock victim."
const DEADLOCK_VICTIM: u32 = 1205;

/// What a client is told before it starts.
#[derive(Clone, Debug)]
pub struct ClientSetup {
    /// Which client.
    pub id: ClientId,
    /// How many there are.
    pub clients: u16,
    /// The database it uses.
    pub database: SessionId,
    /// The initial partner name of its connection string. [CL-1]
    pub initial: InstanceId,
    /// The failover partner name of its connection string. [CL-3]
    pub partner: Option<InstanceId>,
    /// The load of all clients together.
    pub workload: Workload,
    /// The end of the run; no transaction begins there or later.
    pub end: Time,
}

/// One simulated client.
#[derive(Clone, Debug)]
pub struct Client {
    id: ClientId,
    clients: u16,
    database: SessionId,
    start: Time,
    /// A call that got no answer for so long is given up, and its connection with it.
    call_timeout: Time,
    names: Names,
    timetable: Timetable,
    /// The newest connection; every other one is history.
    conn: ClientConn,
    phase: Phase,
    /// The transaction that runs, or the last one; kept for its allocation.
    job: Job,
    /// Transactions begun, retries counted as well.
    begun: u64,
    /// Attempts made at the job.
    attempts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not started, or nothing is left to do and no connection stands.
    Resting,
    /// Opens a connection, from the start, then.
    Closed { until: Time },
    /// Between two rounds of a login.
    Delayed { login: Login, until: Time },
    /// An attempt of a login runs.
    Trying { login: Login, until: Time },
    /// Connected; no transaction is open.
    Ready,
    /// A call waits for its answer.
    Calling { call: Call, until: Time },
    /// Inside a transaction, before the next call.
    Thinking { done: u8, until: Time },
    /// Was a deadlock victim; tries again then.
    Retrying { until: Time },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Begin,
    /// The operation of this index.
    Execute(u8),
    Commit,
    Rollback,
    Batch,
}

impl Call {
    /// A broken connection leaves the transaction's outcome open. [CL-53, CL-54]
    fn decides(self) -> bool {
        match self {
            Call::Commit | Call::Batch => true,
            Call::Begin | Call::Execute(_) | Call::Rollback => false,
        }
    }
}

impl Client {
    /// A client that has not started. `chance` is its own stream.
    pub fn new(setup: ClientSetup, chance: Stream) -> Self {
        let ClientSetup { id, clients, database, initial, partner, workload, end } = setup;
        assert!(id.0 < clients, "clients are numbered from 0");
        Client {
            id,
            clients,
            database,
            start: workload.start,
            call_timeout: workload.call_timeout,
            names: Names { initial, failover: partner },
            timetable: Timetable::new(workload, id.0, clients, end, chance),
            conn: ClientConn(0),
            phase: Phase::Resting,
            job: Job { ops: Vec::new(), style: Style::Batch, dice: Dice::default() },
            begun: 0,
            attempts: 0,
        }
    }

    /// One input; appends what the client wants done, in order.
    pub fn handle(&mut self, now: Time, input: ClientInput, out: &mut Vec<ClientEffect>) {
        match input {
            ClientInput::Start => {
                if self.phase == Phase::Resting {
                    self.open_at(now.max(self.start), now, out);
                }
            }
            ClientInput::Timeout => {
                if self.next_timeout().is_some_and(|until| until <= now) {
                    self.on_timeout(now, out);
                }
            }
            ClientInput::Connected(conn) => {
                if conn == self.conn
                    && let Phase::Trying { .. } = self.phase
                {
                    let open = ClientEvent::Open { database: self.database };
                    out.push(ClientEffect::Send(conn, open));
                }
            }
            ClientInput::Refused(conn) | ClientInput::Lost(conn) => {
                if conn == self.conn {
                    self.on_lost(now, out);
                }
            }
            ClientInput::Reply(conn, reply) => {
                if conn == self.conn {
                    self.on_reply(now, reply, out);
                }
            }
        }
    }

    /// When the client next wants [`ClientInput::Timeout`].
    pub fn next_timeout(&self) -> Option<Time> {
        match self.phase {
            Phase::Resting => None,
            Phase::Ready => self.timetable.due(),
            Phase::Closed { until }
            | Phase::Delayed { until, .. }
            | Phase::Trying { until, .. }
            | Phase::Calling { until, .. }
            | Phase::Thinking { until, .. }
            | Phase::Retrying { until } => Some(until),
        }
    }

    /// A cheap digest of what decides the client's future.
    pub fn fingerprint(&self) -> u64 {
        let (phase, detail) = match self.phase {
            Phase::Resting => (0, 0),
            Phase::Closed { .. } => (1, 0),
            Phase::Delayed { login, .. } => (2, u64::from(login.round())),
            Phase::Trying { login, .. } => (3, u64::from(login.round())),
            Phase::Ready => (4, 0),
            Phase::Calling { call, .. } => match call {
                Call::Begin => (5, 0),
                Call::Execute(index) => (6, u64::from(index)),
                Call::Commit => (7, 0),
                Call::Rollback => (8, 0),
                Call::Batch => (9, 0),
            },
            Phase::Thinking { done, .. } => (10, u64::from(done)),
            Phase::Retrying { .. } => (11, u64::from(self.attempts)),
        };
        let partner = self.names.failover.map_or(u64::MAX, |partner| u64::from(partner.0));
        let wake = self.next_timeout().map_or(u64::MAX, |at| at.0);
        [detail << 8 | phase, wake, self.conn.0, self.begun, self.timetable.position(), partner]
            .into_iter()
            .fold(u64::from(self.id.0), |hash, word| {
                (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
            })
    }

    fn on_timeout(&mut self, now: Time, out: &mut Vec<ClientEffect>) {
        match self.phase {
            Phase::Resting => {}
            Phase::Closed { .. } => self.open_at(now, now, out),
            Phase::Delayed { login, .. } => self.look(login, now, out),
            Phase::Trying { login, .. } => {
                self.close(out);
                self.look(login, now, out);
            }
            Phase::Ready => self.ready(now, out),
            Phase::Calling { .. } => {
                // Whatever the call was: nobody will say any more what became of it.
                self.close(out);
                out.push(ClientEffect::Unknown);
                self.open_at(now, now, out);
            }
            Phase::Thinking { done, .. } => self.go_on(done, now, out),
            Phase::Retrying { .. } => self.begin(now, out),
        }
    }

    /// The newest connection broke, or did not come up.
    fn on_lost(&mut self, now: Time, out: &mut Vec<ClientEffect>) {
        match self.phase {
            // Without a connection nothing can be lost.
            Phase::Resting | Phase::Closed { .. } | Phase::Delayed { .. } => {}
            Phase::Trying { mut login, .. } => {
                login.ended_early();
                self.look(login, now, out);
            }
            Phase::Calling { call, .. } => {
                if call.decides() {
                    out.push(ClientEffect::Unknown);
                }
                self.open_at(now, now, out);
            }
            Phase::Ready | Phase::Thinking { .. } | Phase::Retrying { .. } => self.open_at(now, now, out),
        }
    }

    fn on_reply(&mut self, now: Time, reply: Reply, out: &mut Vec<ClientEffect>) {
        match self.phase {
            Phase::Trying { login, .. } => self.on_login_answer(login, now, reply, out),
            Phase::Calling { call, .. } => self.on_answer(call, now, reply, out),
            Phase::Resting | Phase::Closed { .. } | Phase::Delayed { .. } => {}
            // No call is open: a server that talks out of turn is not trusted with the next one.
            Phase::Ready | Phase::Thinking { .. } | Phase::Retrying { .. } => {
                self.close(out);
                self.open_at(now, now, out);
            }
        }
    }

    fn on_login_answer(&mut self, mut login: Login, now: Time, reply: Reply, out: &mut Vec<ClientEffect>) {
        match reply {
            Reply::Connected { partner, .. } => {
                self.names.learn(partner);
                self.ready(now, out);
            }
            Reply::Refused { error } if login::is_final(error) => {
                self.close(out);
                self.open_at(now + REOPEN_PAUSE, now, out);
            }
            Reply::Refused { .. }
            | Reply::Begun { .. }
            | Reply::Done { .. }
            | Reply::Committed { .. }
            | Reply::RolledBack { .. }
            | Reply::Failed { .. } => {
                self.close(out);
                login.ended_early();
                self.look(login, now, out);
            }
        }
    }

    fn on_answer(&mut self, call: Call, now: Time, reply: Reply, out: &mut Vec<ClientEffect>) {
        match (call, reply) {
            (Call::Begin, Reply::Begun { .. }) => self.think(0, now, out),
            (Call::Execute(index), Reply::Done { .. }) => self.think(index + 1, now, out),
            (Call::Commit | Call::Batch, Reply::Committed { .. })
            | (Call::Rollback, Reply::RolledBack { .. }) => self.ready(now, out),
            (_, Reply::Failed { error: DEADLOCK_VICTIM, .. }) if self.may_retry(now) => {
                let pause = self.job.dice.below(RETRY_US_MAX);
                self.phase = Phase::Retrying { until: now + Time(1 + pause) };
            }
            (_, Reply::Failed { .. }) => self.ready(now, out),
            // Not an answer to this call; nothing on this connection can be believed any more.
            (
                Call::Begin | Call::Execute(_) | Call::Commit | Call::Rollback | Call::Batch,
                Reply::Connected { .. }
                | Reply::Refused { .. }
                | Reply::Begun { .. }
                | Reply::Done { .. }
                | Reply::Committed { .. }
                | Reply::RolledBack { .. },
            ) => {
                self.close(out);
                if call.decides() {
                    out.push(ClientEffect::Unknown);
                }
                self.open_at(now, now, out);
            }
        }
    }

    fn may_retry(&self, now: Time) -> bool {
        self.attempts < ATTEMPTS_MAX && !self.timetable.is_over(now)
    }

    /// Opens a connection with the same string as ever, at `at`. [CL-41]
    fn open_at(&mut self, at: Time, now: Time, out: &mut Vec<ClientEffect>) {
        if self.timetable.is_over(now) {
            self.phase = Phase::Resting;
        } else if at > now {
            self.phase = Phase::Closed { until: at };
        } else {
            self.look(Login::new(now, login::LOGIN_TIMEOUT), now, out);
        }
    }

    /// The next step of a login.
    fn look(&mut self, mut login: Login, now: Time, out: &mut Vec<ClientEffect>) {
        match login.next(now, self.names) {
            Next::Attempt { to, until } => {
                self.conn.0 += 1;
                out.push(ClientEffect::Connect(self.conn, to));
                self.phase = Phase::Trying { login, until };
            }
            Next::Delay { until } => self.phase = Phase::Delayed { login, until },
            // An application that opens again at once after an immediate error would spin.
            Next::Failed if login.is_expired(now) => self.open_at(now, now, out),
            Next::Failed => self.open_at(now + REOPEN_PAUSE, now, out),
        }
    }

    fn close(&mut self, out: &mut Vec<ClientEffect>) {
        out.push(ClientEffect::Close(self.conn));
    }

    /// Between transactions: begins the next one if it is due.
    fn ready(&mut self, now: Time, out: &mut Vec<ClientEffect>) {
        self.phase = Phase::Ready;
        if self.timetable.take(now, &mut self.job) {
            self.attempts = 0;
            self.begin(now, out);
        }
    }

    /// Begins the job, as a transaction of its own at every attempt.
    fn begin(&mut self, now: Time, out: &mut Vec<ClientEffect>) {
        self.begun += 1;
        self.attempts += 1;
        let txn = self.txn();
        self.job.stamp(txn);
        out.push(ClientEffect::Begun(txn));
        match self.job.style {
            Style::Batch => self.call(Call::Batch, Request::Batch(txn, self.job.ops.clone()), now, out),
            Style::Interactive { .. } => self.call(Call::Begin, Request::Begin(txn), now, out),
        }
    }

    /// Unique in the run, and so is its low half, because clients count in strides of their number.
    fn txn(&self) -> TxnId {
        let low = self.begun * u64::from(self.clients) + u64::from(self.id.0);
        assert!(low < 1 << 32, "more transactions than the low half of an id can tell apart");
        TxnId((u64::from(self.id.0) + 1) << 40 | low)
    }

    /// A little later, what comes after `done` operations.
    fn think(&mut self, done: u8, now: Time, out: &mut Vec<ClientEffect>) {
        match self.job.dice.below(THINK_US_MAX) {
            0 => self.go_on(done, now, out),
            pause => self.phase = Phase::Thinking { done, until: now + Time(pause) },
        }
    }

    fn go_on(&mut self, done: u8, now: Time, out: &mut Vec<ClientEffect>) {
        let rollback = self.job.style == Style::Interactive { rollback_after: Some(done) };
        match self.job.ops.get(usize::from(done)) {
            _ if rollback => self.call(Call::Rollback, Request::Rollback, now, out),
            Some(op) => self.call(Call::Execute(done), Request::Execute(op.clone()), now, out),
            None => self.call(Call::Commit, Request::Commit, now, out),
        }
    }

    fn call(&mut self, call: Call, request: Request, now: Time, out: &mut Vec<ClientEffect>) {
        out.push(ClientEffect::Send(self.conn, ClientEvent::Request(request)));
        self.phase = Phase::Calling { call, until: now + self.call_timeout };
    }
}

#[cfg(test)]
mod tests;
