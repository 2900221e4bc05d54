//! What a client wants to do and when: a fixed timetable of transactions, drawn from the client's stream.
//!
//! *Slots.* Client c of C owns the slots g = k·C + c; slot g is due somewhere in the k-th interval of C / rate after
//! the start. All that a slot does follows from one number drawn for it, whether it is used or skipped, so a fault
//! that holds up one transaction changes none of the later ones.
//!
//! *Lists.* A row holds at most [`LIST_CAPACITY`] elements, so a list is a chain of rows, one per *generation*. Slots
//! are cut into spans of `ENTRIES` per list; a span has its own generation, and within it every list is the first
//! choice of exactly `ENTRIES` slots and the second choice of as many. A slot commits at most once, so no list can
//! overflow, whatever the network does and without any client asking another.

use crate::rng::{Stream, mix};
use crate::scenario::Workload;
use crate::time::Time;
use dbm_core::io::Op;
use dbm_core::types::{Key, TxnId, Value};

/// Accounts have the keys below this one, lists those from here.
pub const FIRST_LIST_KEY: u32 = 1024;
/// Generations, and so keys, of one list.
pub const GENERATIONS: u32 = 4096;
/// Elements that fit into one row.
pub const LIST_CAPACITY: usize = Value::MAX / 4;

/// Slots of a span in which a list is the first choice, and as many in which it is the second.
const ENTRIES: u64 = LIST_CAPACITY as u64 / 2;

/// A slot that is later than this is skipped: load that could not be served does not pile up.
const BACKLOG_MAX: Time = Time::secs(1);

/// The row of list `list` in a generation.
pub fn list_key(list: u32, generation: u32) -> Key {
    assert!(generation < GENERATIONS, "the next list's keys begin here");
    Key(FIRST_LIST_KEY + list * GENERATIONS + generation)
}

/// A small generator seeded by a slot's number (splitmix64).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(n)) >> 64) as u64
    }

    fn percent(&mut self, p: u8) -> bool {
        self.below(100) < u64::from(p)
    }
}

/// How a transaction is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// In one call.
    Batch,
    /// Call by call.
    Interactive {
        /// Rolled back after so many operations instead of committed.
        rollback_after: Option<u8>,
    },
}

/// One transaction to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub ops: Vec<Op>,
    pub style: Style,
    /// For think times and pauses.
    pub dice: Dice,
}

impl Job {
    /// Names the transaction in the elements it appends: the low half of its id, unique in a run.
    pub fn stamp(&mut self, txn: TxnId) {
        for op in &mut self.ops {
            match op {
                Op::Append(_, element) => *element = txn.0 as u32,
                Op::Read(_) | Op::Write(_, _) | Op::Add(_, _) => {}
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ReadOnly,
    Transfer,
    Append,
    Mixed,
}

/// The timetable of one client.
#[derive(Clone, Debug)]
pub(super) struct Timetable {
    workload: Workload,
    client: u64,
    clients: u64,
    /// No transaction begins here or later.
    stop: Time,
    chance: Stream,
    /// The next slot: its number among this client's, when it is due, and the dice it is played with.
    k: u64,
    due: Time,
    dice: Dice,
}

impl Timetable {
    pub fn new(mut workload: Workload, client: u16, clients: u16, end: Time, chance: Stream) -> Self {
        workload.accounts = workload.accounts.min(FIRST_LIST_KEY);
        workload.lists = workload.lists.min((u32::MAX - FIRST_LIST_KEY) / GENERATIONS);
        let idle = workload.commits_per_s == 0 || (workload.accounts == 0 && workload.lists == 0);
        let stop = if idle { Time(0) } else { workload.stop.map_or(end, |stop| stop.min(end)) };
        let mut table = Timetable {
            workload,
            client: u64::from(client),
            clients: u64::from(clients.max(1)),
            stop,
            chance,
            k: 0,
            due: Time(0),
            dice: Dice(0),
        };
        table.draw(0);
        table
    }

    /// When the next transaction is due; `None` when there are no more.
    pub fn due(&self) -> Option<Time> {
        (self.due < self.stop).then_some(self.due)
    }

    /// Nothing more begins from here on.
    pub fn is_over(&self, now: Time) -> bool {
        now >= self.stop || self.due >= self.stop
    }

    /// The number of the next slot, for fingerprints.
    pub fn position(&self) -> u64 {
        self.k
    }

    /// The transaction that is due, written over `job`; skips what is too late. `false`: nothing is due.
    pub fn take(&mut self, now: Time, job: &mut Job) -> bool {
        if now >= self.stop {
            self.due = self.stop;
        }
        while self.due + BACKLOG_MAX < now && self.due < self.stop {
            self.draw(self.k + 1);
        }
        if self.due > now || self.due >= self.stop {
            return false;
        }
        self.plan(job);
        self.draw(self.k + 1);
        true
    }

    fn draw(&mut self, k: u64) {
        self.k = k;
        self.dice = Dice(self.chance.bits());
        let rate = u64::from(self.workload.commits_per_s.max(1));
        let interval = self.clients * 1_000_000;
        let jitter = self.dice.below(interval);
        self.due = self.workload.start + Time((k.saturating_mul(interval).saturating_add(jitter)) / rate);
    }

    fn plan(&self, job: &mut Job) {
        let mut dice = self.dice;
        let slot = self.k * self.clients + self.client;
        let kind = self.kind(&mut dice, slot);
        job.ops.clear();
        self.fill(kind, slot, &mut dice, &mut job.ops);
        // Most transactions lock in key order; the others are there for the deadlocks.
        if dice.below(8) != 0 {
            job.ops.sort_by_key(Op::key);
        }
        job.style = if dice.percent(self.workload.interactive_percent) {
            let rollback = dice.percent(self.workload.rollback_percent);
            let after = dice.below(job.ops.len() as u64 + 1) as u8;
            Style::Interactive { rollback_after: rollback.then_some(after) }
        } else {
            Style::Batch
        };
        job.dice = dice;
    }

    fn kind(&self, dice: &mut Dice, slot: u64) -> Kind {
        let read_only = dice.percent(self.workload.read_only_percent);
        let share = dice.below(20);
        let can_move = self.workload.accounts >= 2;
        let can_append = self.workload.lists > 0 && self.generation(slot) < u64::from(GENERATIONS);
        match (can_move, can_append) {
            (false, false) => Kind::ReadOnly,
            (_, _) if read_only => Kind::ReadOnly,
            (true, false) => Kind::Transfer,
            (false, true) => Kind::Append,
            (true, true) if share < 9 => Kind::Transfer,
            (true, true) if share < 15 => Kind::Append,
            (true, true) => Kind::Mixed,
        }
    }

    fn fill(&self, kind: Kind, slot: u64, dice: &mut Dice, ops: &mut Vec<Op>) {
        match kind {
            Kind::ReadOnly => self.reads(slot, dice, ops),
            Kind::Transfer => {
                let (from, to) = self.two_accounts(dice);
                transfer(from, to, dice, ops);
            }
            Kind::Append => self.appends(slot, dice, ops),
            Kind::Mixed => {
                let (from, to) = self.two_accounts(dice);
                let looked_at = if dice.below(2) == 0 { (from, to) } else { self.two_accounts(dice) };
                ops.extend([Op::Read(looked_at.0), Op::Read(looked_at.1)]);
                ops.push(Op::Append(self.list(slot, 0), 0));
                transfer(from, to, dice, ops);
            }
        }
    }

    /// Two to four accounts and up to two lists; now and then all accounts, whose sum is known.
    fn reads(&self, slot: u64, dice: &mut Dice, ops: &mut Vec<Op>) {
        let accounts = u64::from(self.workload.accounts);
        if dice.below(8) == 0 && accounts <= 64 {
            ops.extend((0..self.workload.accounts).map(|account| Op::Read(Key(account))));
        } else {
            let n = (2 + dice.below(3)).min(accounts);
            ops.extend((0..n).map(|_| Op::Read(Key(dice.below(accounts) as u32))));
        }
        let n = if ops.is_empty() { 1 + dice.below(2) } else { dice.below(3) };
        for _ in 0..n.min(u64::from(self.workload.lists)) {
            ops.push(Op::Read(self.some_list(slot, dice)));
        }
    }

    /// One or two appends, and in half the cases a look at some other list.
    fn appends(&self, slot: u64, dice: &mut Dice, ops: &mut Vec<Op>) {
        let (first, second) = (self.list(slot, 0), self.list(slot, 1));
        if dice.below(2) == 0 {
            ops.push(Op::Read(self.some_list(slot, dice)));
        }
        ops.push(Op::Append(first, 0));
        if dice.below(3) == 0 && second != first {
            ops.push(Op::Append(second, 0));
        }
    }

    fn two_accounts(&self, dice: &mut Dice) -> (Key, Key) {
        let n = u64::from(self.workload.accounts);
        let from = dice.below(n);
        let to = (from + 1 + dice.below(n - 1)) % n;
        (Key(from as u32), Key(to as u32))
    }

    /// Some list, in the slot's generation or the one before.
    fn some_list(&self, slot: u64, dice: &mut Dice) -> Key {
        let list = dice.below(u64::from(self.workload.lists)) as u32;
        let generation = self.generation(slot).saturating_sub(dice.below(4) / 3);
        list_key(list, generation.min(u64::from(GENERATIONS) - 1) as u32)
    }

    /// The generation of the span the slot lies in.
    fn generation(&self, slot: u64) -> u64 {
        slot / (u64::from(self.workload.lists) * ENTRIES)
    }

    /// The list that is the slot's first (0) or second (1) choice: its place in a permutation of the span, the same
    /// for all clients. A prime larger than any span makes `factor · place + shift` a permutation.
    fn list(&self, slot: u64, choice: u64) -> Key {
        const PRIMES: [u64; 8] = [
            4_294_967_291,
            4_294_967_279,
            4_294_967_231,
            4_294_967_197,
            4_294_967_189,
            4_294_967_161,
            4_294_967_143,
            4_294_967_111,
        ];
        let span = u64::from(self.workload.lists) * ENTRIES;
        let generation = self.generation(slot);
        let chosen = mix(generation ^ 0x6c69_7374);
        let factor = PRIMES[(chosen % 8) as usize] % span;
        let place = (slot % span + choice * span / 2) % span;
        let list = (factor * place + (chosen >> 8) % span) % span / ENTRIES;
        list_key(list as u32, generation as u32)
    }
}

fn transfer(from: Key, to: Key, dice: &mut Dice, ops: &mut Vec<Op>) {
    let amount = 1 + dice.below(100) as i64;
    ops.extend([Op::Add(from, -amount), Op::Add(to, amount)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn table(workload: Workload, client: u16, end: Time) -> Timetable {
        Timetable::new(
            workload,
            client,
            workload.clients,
            end,
            Stream::new(7, "client", &[u64::from(client)]),
        )
    }

    fn job() -> Job {
        Job { ops: Vec::new(), style: Style::Batch, dice: Dice(0) }
    }

    /// All that a client does when every transaction starts on time.
    fn jobs(mut table: Timetable) -> Vec<(Time, Job)> {
        let mut all = Vec::new();
        while let Some(due) = table.due() {
            let mut job = job();
            assert!(table.take(due, &mut job));
            all.push((due, job));
        }
        all
    }

    #[test]
    fn no_list_overflows_even_if_every_slot_commits() {
        for (clients, lists, commits_per_s) in
            [(4, 4, 20), (4, 4, 100), (1, 1, 100), (8, 3, 50), (5, 7, 1000)]
        {
            let workload = Workload { clients, lists, commits_per_s, ..Workload::default() };
            let mut used: BTreeMap<Key, usize> = BTreeMap::new();
            for client in 0..clients {
                for (_, job) in jobs(table(workload, client, Time::secs(200))) {
                    for op in job.ops {
                        if let Op::Append(key, _) = op {
                            *used.entry(key).or_default() += 1;
                        }
                    }
                }
            }
            assert!(used.len() > 20);
            assert!(used.values().all(|n| *n <= LIST_CAPACITY), "{used:?}");
        }
    }

    #[test]
    fn each_list_is_each_choice_of_as_many_slots() {
        for lists in [1, 2, 3, 4, 16, 100] {
            let table = table(Workload { lists, ..Workload::default() }, 0, Time::secs(1));
            let span = u64::from(lists) * ENTRIES;
            for generation in 0..50 {
                let mut used: BTreeMap<(u64, Key), u64> = BTreeMap::new();
                for slot in generation * span..(generation + 1) * span {
                    for choice in [0, 1] {
                        *used.entry((choice, table.list(slot, choice))).or_default() += 1;
                    }
                }
                assert_eq!(used.len(), 2 * lists as usize);
                assert!(used.values().all(|n| *n == ENTRIES));
            }
        }
    }

    #[test]
    fn due_times_rise_and_keep_the_rate() {
        let workload = Workload::default();
        let mut n = 0;
        for client in 0..4 {
            let all = jobs(table(workload, client, Time::secs(100) + workload.start));
            assert!(all.is_sorted_by_key(|(due, _)| *due));
            n += all.len();
        }
        assert_eq!(n, 2000);
    }

    #[test]
    fn a_skipped_slot_changes_no_later_one() {
        let punctual = jobs(table(Workload::default(), 1, Time::secs(30)));
        let mut late = table(Workload::default(), 1, Time::secs(30));
        let mut first = job();
        assert!(late.take(Time::secs(20), &mut first));
        let due = late.due().unwrap();
        assert!(late.due().unwrap() + BACKLOG_MAX > Time::secs(20));
        let rest: Vec<_> = punctual.into_iter().filter(|(at, _)| *at >= due).collect();
        assert_eq!(jobs(late), rest);
    }

    #[test]
    fn transfers_leave_the_sum_alone_and_every_kind_occurs() {
        let all = jobs(table(Workload::default(), 0, Time::secs(1000)));
        let (mut read_only, mut appends, mut rolled_back, mut unordered) = (0, 0, 0, 0);
        for (_, job) in &all {
            let sum: i64 = job.ops.iter().map(|op| if let Op::Add(_, x) = op { *x } else { 0 }).sum();
            assert_eq!(sum, 0);
            assert!(!job.ops.is_empty());
            read_only += usize::from(job.ops.iter().all(|op| matches!(op, Op::Read(_))));
            appends += usize::from(job.ops.iter().any(|op| matches!(op, Op::Append(..))));
            rolled_back += usize::from(matches!(job.style, Style::Interactive { rollback_after: Some(_) }));
            unordered += usize::from(!job.ops.is_sorted_by_key(Op::key));
        }
        let percent = |n: usize| n * 100 / all.len();
        assert!((17..24).contains(&percent(read_only)), "{read_only} of {}", all.len());
        assert!((35..52).contains(&percent(appends)), "{appends} of {}", all.len());
        assert!(rolled_back > 20 && percent(rolled_back) < 4, "{rolled_back}");
        assert!(unordered > 20 && percent(unordered) < 13, "{unordered}");
    }

    #[test]
    fn small_worlds_get_what_they_can_hold() {
        let small = |accounts, lists| Workload { accounts, lists, start: Time(0), ..Workload::default() };
        let end = Time::secs(100);
        assert_eq!(jobs(table(small(0, 0), 0, end)).len(), 0);
        assert_eq!(jobs(table(Workload { commits_per_s: 0, ..Workload::default() }, 0, end)).len(), 0);
        for (accounts, lists) in [(1, 0), (2, 0), (0, 1), (1, 1)] {
            let all = jobs(table(small(accounts, lists), 0, end));
            assert_eq!(all.len(), 500);
            assert!(all.iter().all(|(_, job)| !job.ops.is_empty()));
        }
    }
}
