//! Expectations of a scenario against what a run shows. Judges views and answers as an outsider sees them; it knows
//! no rule of the protocol.
//!
//! Every condition is a stretch of time during which it holds or does not hold; `Item::span` is the one place where
//! a stretch meets an expectation's window. Work per fact does not grow with the length of the run.

mod show;
mod told;

use crate::fault::Action;
use crate::observe::Fact;
use crate::scenario::{Amount, Condition, Expectation, Range, Scenario, Step};
use crate::time::Time;
use dbm_core::io::{Notice, Reply, SqlError};
use dbm_core::types::InstanceId;
use dbm_core::view::Status;
use serde::Serialize;
use show::{Show, describe};
use std::collections::BTreeMap;
use told::{Kind, Told};

/// "Serves" means: its newest answer is at most this old.
const FRESH: Time = Time::secs(1);

/// Something that had to be seen and was not. Fails the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmet {
    /// Its place in the plan: `expect[2]` or `timeline[5]`.
    pub path: String,
    /// What was to be seen.
    pub expected: String,
    /// What was seen instead.
    pub seen: String,
}

/// Watches a run for one plan.
#[derive(Clone, Debug)]
pub struct Expectations {
    names: Vec<String>,
    shown: Vec<Option<Status>>,
    items: Vec<Item>,
    /// Items that depend on what an instance shows, by instance.
    watchers: Vec<Vec<usize>>,
    /// Items about who serves, about downtime, and about the number of commits (ascending).
    serving: Vec<usize>,
    downtime: Vec<usize>,
    committing: Vec<usize>,
    /// Items about what instances tell, and about answers that are counted in a window.
    telling: Vec<usize>,
    counting: Vec<usize>,
    /// The newest state-change event of each instance since its process started.
    last_event: Vec<u8>,
    first_reply: Option<Time>,
    last_reply: Option<(Time, InstanceId)>,
    longest_gap: Time,
    clients_until: Time,
    committed: u64,
    lost: Option<u64>,
    steps: Vec<StepWatch>,
    open_statements: BTreeMap<(InstanceId, String), Vec<usize>>,
}

#[derive(Clone, Debug)]
struct StepWatch {
    /// Only steps with a trigger can fail to happen.
    triggered: Option<String>,
    statement: Option<(InstanceId, String, Option<i32>)>,
    acted: bool,
    unmet: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    By { after: Time, by: Time },
    At(Time),
    Throughout(Time, Time),
}

#[derive(Clone, Debug)]
enum Test {
    Shown(Vec<Show>),
    ServedBy(Option<InstanceId>),
    Lost(Amount),
    Downtime {
        most: Time,
        worst: Time,
        worst_from: Time,
    },
    Committed(u64),
    /// Answers in the window.
    Count {
        answer: Answer,
        on: Option<InstanceId>,
        wanted: Wanted,
        count: u64,
    },
    Told(Told),
}

/// What is counted in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A client is told that its transaction is committed.
    Commit,
    /// An instance tells it; nobody may hear.
    Confirms,
    /// A client is told an error.
    Error(u32),
}

/// What a number of answers is compared with.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Range(Range),
    /// What is missing in the end.
    Lost,
}

#[derive(Clone, Debug)]
struct Item {
    text: String,
    form: Form,
    test: Test,
    holds: bool,
    since: Time,
    /// Answers inside a `throughout` window by the expected server.
    answers: u64,
    verdict: Option<Result<(), String>>,
}

impl Item {
    /// The condition held, or did not hold, from `from` up to but not including `to`; `None`: until the end.
    fn span(&mut self, holds: bool, from: Time, to: Option<Time>, seen: impl FnOnce() -> String) {
        if self.verdict.is_some() {
            return;
        }
        // A state that was left at the moment it was entered has still been there for a view to show.
        let reaches = |point: Time| to.is_none_or(|to| to > point || (to == from && to == point));
        let lasts = to.is_none_or(|to| to > from);
        let verdict = match self.form {
            Form::By { after, by } => {
                if holds && from <= by && reaches(after) {
                    Some(Ok(()))
                } else {
                    to.is_none_or(|to| to > by).then_some(Err(()))
                }
            }
            Form::At(at) => {
                (from <= at && to.is_none_or(|to| to > at)).then_some(if holds { Ok(()) } else { Err(()) })
            }
            Form::Throughout(a, b) => {
                if !holds && lasts && from <= b && to.is_none_or(|to| to > a) {
                    Some(Err(()))
                } else {
                    to.is_none_or(|to| to > b).then_some(Ok(()))
                }
            }
        };
        self.verdict = verdict.map(|v| v.map_err(|()| seen()));
    }
}

impl Expectations {
    /// For a plan that has passed [`crate::validate::check`].
    pub fn new(plan: &Scenario) -> Self {
        let names: Vec<String> = plan.instances.iter().map(|i| i.name.clone()).collect();
        let by_name: BTreeMap<&str, InstanceId> =
            names.iter().enumerate().map(|(i, n)| (n.as_str(), InstanceId(i as u8))).collect();
        let mut it = Expectations {
            shown: vec![None; names.len()],
            items: plan.expect.iter().map(|e| item(e, &by_name)).collect(),
            watchers: vec![Vec::new(); names.len()],
            serving: Vec::new(),
            downtime: Vec::new(),
            committing: Vec::new(),
            telling: Vec::new(),
            counting: Vec::new(),
            last_event: vec![0; names.len()],
            first_reply: None,
            last_reply: None,
            longest_gap: Time(0),
            clients_until: plan.workload.and_then(|w| w.stop).unwrap_or(plan.duration),
            committed: 0,
            lost: None,
            steps: plan.timeline.iter().map(|s| step_watch(s, &by_name)).collect(),
            open_statements: BTreeMap::new(),
            names: names.clone(),
        };
        for (i, item) in it.items.iter_mut().enumerate() {
            match &item.test {
                Test::Shown(shows) => {
                    for show in shows {
                        let watched = &mut it.watchers[usize::from(show.instance().0)];
                        if watched.last() != Some(&i) {
                            watched.push(i);
                        }
                    }
                }
                Test::ServedBy(_) => it.serving.push(i),
                Test::Downtime { .. } => it.downtime.push(i),
                Test::Committed(n) => {
                    item.holds = *n == 0;
                    it.committing.push(i);
                }
                Test::Count { .. } => it.counting.push(i),
                Test::Told(_) => it.telling.push(i),
                Test::Lost(_) => {}
            }
        }
        let items = &it.items;
        let wanted = |i: &usize| if let Test::Committed(n) = items[*i].test { n } else { 0 };
        it.committing.sort_by_key(wanted);
        it.committing.retain(|i| wanted(i) > 0);
        it.committing.reverse();
        it
    }

    /// Takes note of one fact. Times never go back.
    pub fn fact(&mut self, at: Time, fact: &Fact<'_>) {
        match fact {
            Fact::Status { instance, status, .. } => self.show(at, *instance, Some(**status)),
            Fact::Died { instance } | Fact::Panicked { instance, .. } => {
                self.show(at, *instance, None);
                self.drop_statements(*instance);
            }
            Fact::Replied { instance, reply, .. } if serves(reply) => {
                if matches!(reply, Reply::Committed { .. }) {
                    self.count(at, *instance, Answer::Confirms);
                }
                self.reply(at, *instance);
            }
            Fact::Answered { from, reply: Reply::Committed { .. }, .. } => {
                self.commit(at);
                self.count(at, *from, Answer::Commit);
            }
            Fact::Answered {
                from, reply: Reply::Failed { error, .. } | Reply::Refused { error }, ..
            } => {
                self.count(at, *from, Answer::Error(*error));
            }
            Fact::Told { instance, notice } => self.told(at, *instance, notice),
            Fact::Started { instance, .. } => {
                self.drop_statements(*instance);
                self.last_event[usize::from(instance.0)] = 0;
            }
            Fact::Acted { step, .. } => self.acted(*step),
            Fact::StatementDone { instance, sql, result } => self.statement(*instance, sql, result),
            Fact::Paused { .. }
            | Fact::Handling { .. }
            | Fact::Sent { .. }
            | Fact::Delivered { .. }
            | Fact::LinkUp { .. }
            | Fact::LinkDown { .. }
            | Fact::DiskIssued { .. }
            | Fact::Durable { .. }
            | Fact::Preloaded { .. }
            | Fact::Replied { .. }
            | Fact::Called { .. }
            | Fact::TxnBegun { .. }
            | Fact::Answered { .. }
            | Fact::ClientLost { .. }
            | Fact::Logged { .. } => {}
        }
    }

    /// How many confirmed transactions are missing in the end; told once, before [`Expectations::finish`].
    pub fn lost_transactions(&mut self, count: u64) {
        self.lost = Some(count);
    }

    /// Longest time without a successful reply to any client, from the first reply to `end` or to the moment when the
    /// clients stop; zero when nothing was ever answered.
    pub fn downtime(&self, end: Time) -> Time {
        let tail =
            self.last_reply.map_or(0, |(last, _)| end.min(self.clients_until).0.saturating_sub(last.0));
        self.longest_gap.max(Time(tail))
    }

    /// What was not seen in a run that ended at `end`, in the order of the file.
    pub fn finish(mut self, end: Time) -> Vec<Unmet> {
        self.silence(None);
        let (first, last, until) = (self.first_reply, self.last_reply, end.min(self.clients_until));
        for i in 0..self.items.len() {
            let seen = self.seen(i);
            let item = &mut self.items[i];
            match &mut item.test {
                Test::Shown(_) | Test::Committed(_) => {
                    let (holds, since) = (item.holds, item.since);
                    item.span(holds, since, None, || seen);
                }
                Test::ServedBy(_) => {
                    // What is still open is a window throughout which nobody else answered.
                    item.verdict.get_or_insert(if item.answers > 0 { Ok(()) } else { Err(seen) });
                }
                Test::Count { wanted, count, .. } => {
                    let held = match wanted {
                        Wanted::Range(range) => range.holds(*count),
                        Wanted::Lost => self.lost == Some(*count),
                    };
                    item.verdict = Some(if held { Ok(()) } else { Err(seen) });
                }
                Test::Told(told) => item.verdict = Some(told.verdict(&self.names)),
                Test::Lost(amount) => {
                    item.verdict = Some(match self.lost {
                        Some(lost) if amount.range().holds(lost) => Ok(()),
                        Some(lost) => Err(format!("{lost} are missing")),
                        None => Err("nobody counted them".into()),
                    });
                }
                Test::Downtime { most, worst, worst_from } => {
                    if let (Some(first), Some((last, _))) = (first, last) {
                        let to = until.min(item.form.end());
                        let from = last.max(item.form.start()).max(first);
                        let tail = Time(to.0.saturating_sub(from.0));
                        if tail > *worst {
                            (*worst, *worst_from) = (tail, from);
                        }
                        let held = *worst <= *most;
                        let seen = format!("no answer for {worst} from {worst_from} on");
                        item.verdict = Some(if held { Ok(()) } else { Err(seen) });
                    } else {
                        item.verdict = Some(Err("no answer at all".into()));
                    }
                }
            }
        }
        let mut unmet = Vec::new();
        for (i, step) in self.steps.into_iter().enumerate() {
            let path = format!("timeline[{i}]");
            let open = self.open_statements.values().any(|steps| steps.contains(&i));
            if let Some(expected) = step.triggered.filter(|_| !step.acted) {
                unmet.push(Unmet { path, expected, seen: "never reached".into() });
            } else if let Some(seen) = step.unmet.or(open.then(|| "it did not end".into())) {
                let (_, text, error) = step.statement.unwrap_or((InstanceId(0), String::new(), None));
                if error != Some(-1) {
                    let end = error.map_or("success".into(), |e| format!("error {e}"));
                    unmet.push(Unmet { path, expected: format!("`{text}` ends with {end}"), seen });
                }
            }
        }
        for (i, item) in self.items.into_iter().enumerate() {
            if let Some(Err(seen)) = item.verdict {
                unmet.push(Unmet { path: format!("expect[{i}]"), expected: item.text, seen });
            }
        }
        unmet
    }

    fn show(&mut self, at: Time, instance: InstanceId, status: Option<Status>) {
        let who = usize::from(instance.0);
        for k in 0..self.watchers[who].len() {
            let i = self.watchers[who][k];
            let (shown, names) = (&self.shown, &self.names);
            let item = &mut self.items[i];
            let (holds, since) = (item.holds, item.since);
            let Test::Shown(shows) = &item.test else { continue };
            let seen = || describe(shows, shown, names);
            // `span` borrows the item, so what it may have to say is prepared only when it will be needed.
            let text = (item.verdict.is_none() && at > item.form.start()).then(seen);
            item.span(holds, since, Some(at), || text.unwrap_or_default());
        }
        self.shown[who] = status;
        for k in 0..self.watchers[who].len() {
            let item = &mut self.items[self.watchers[who][k]];
            let Test::Shown(shows) = &item.test else { continue };
            let holds = shows.iter().all(|s| s.holds(&self.shown));
            if holds != item.holds {
                (item.holds, item.since) = (holds, at);
            }
        }
    }

    fn reply(&mut self, at: Time, from: InstanceId) {
        self.silence(Some(at));
        if let Some((last, _)) = self.last_reply {
            self.longest_gap = self.longest_gap.max(Time(at.0 - last.0));
        }
        for k in 0..self.downtime.len() {
            let item = &mut self.items[self.downtime[k]];
            let (start, end) = (item.form.start(), item.form.end());
            if let (Test::Downtime { worst, worst_from, .. }, Some((last, _))) =
                (&mut item.test, self.last_reply)
            {
                let gap_from = last.max(start);
                let gap = Time(at.min(end).0.saturating_sub(gap_from.0));
                if gap > *worst {
                    (*worst, *worst_from) = (gap, gap_from);
                }
            }
        }
        for k in 0..self.serving.len() {
            let item = &mut self.items[self.serving[k]];
            if let (Form::Throughout(a, b), Test::ServedBy(expected)) = (item.form, &item.test)
                && (a..=b).contains(&at)
                && item.verdict.is_none()
            {
                if *expected == Some(from) {
                    item.answers += 1;
                } else {
                    item.verdict = Some(Err(format!("{} answered at {at}", self.names[usize::from(from.0)])));
                }
            }
        }
        self.first_reply.get_or_insert(at);
        self.last_reply = Some((at, from));
    }

    /// The time since the newest reply, as stretches during which its sender serves and then nobody does.
    fn silence(&mut self, to: Option<Time>) {
        let last = self.last_reply;
        let fresh_end = last.map_or(Time(0), |(t, _)| Time(t.0 + FRESH.0 + 1));
        let served_to = to.map_or(fresh_end, |to| to.min(fresh_end));
        for k in 0..self.serving.len() {
            let item = &mut self.items[self.serving[k]];
            let Test::ServedBy(expected) = item.test else { continue };
            if let Form::Throughout(..) = item.form {
                if to.is_none() && expected.is_none() {
                    item.verdict.get_or_insert(Ok(()));
                }
                continue;
            }
            let names = &self.names;
            let seen = || match last {
                Some((t, from)) => {
                    format!("the newest answer came from {} at {t}", names[usize::from(from.0)])
                }
                None => "no answer to any client".into(),
            };
            if let Some((t, from)) = last {
                item.span(expected == Some(from), t, Some(served_to), seen);
            }
            if to.is_none_or(|to| to > fresh_end) {
                item.span(expected.is_none(), fresh_end, to, seen);
            }
        }
    }

    fn commit(&mut self, at: Time) {
        self.committed += 1;
        while let Some(&i) = self.committing.last() {
            let item = &mut self.items[i];
            let Test::Committed(wanted) = item.test else { break };
            if wanted > self.committed {
                break;
            }
            let committed = self.committed;
            item.span(false, item.since, Some(at), || format!("{} were confirmed by then", committed - 1));
            (item.holds, item.since) = (true, at);
            self.committing.pop();
        }
    }

    fn count(&mut self, at: Time, from: InstanceId, got: Answer) {
        for k in 0..self.counting.len() {
            let item = &mut self.items[self.counting[k]];
            let inside = item.form.contains(at);
            if let Test::Count { answer, on, count, .. } = &mut item.test
                && inside
                && *answer == got
                && on.is_none_or(|on| on == from)
            {
                *count += 1;
            }
        }
    }

    fn told(&mut self, at: Time, instance: InstanceId, notice: &Notice) {
        let (kind, number, gap) = match notice {
            Notice::Event { number, previous, .. } => {
                let last = std::mem::replace(&mut self.last_event[usize::from(instance.0)], *number);
                (Kind::Event, u32::from(*number), (last != *previous).then_some((*previous, last)))
            }
            Notice::Message { number, .. } => (Kind::Message, *number, None),
            // The first event of the next session has 0 before it.
            Notice::Removed { .. } => {
                self.last_event[usize::from(instance.0)] = 0;
                return;
            }
            _ => return,
        };
        for k in 0..self.telling.len() {
            let item = &mut self.items[self.telling[k]];
            let inside = item.form.contains(at);
            if let Test::Told(told) = &mut item.test
                && inside
            {
                told.hear(at, kind, instance, number, gap);
            }
        }
    }

    fn acted(&mut self, step: usize) {
        let Some(watch) = self.steps.get_mut(step) else { return };
        watch.acted = true;
        if let Some((instance, text, _)) = &watch.statement {
            self.open_statements.entry((*instance, text.clone())).or_default().push(step);
        }
    }

    /// Nobody answers what was asked of a process that is gone, or was not there; the next answer is for another one.
    fn drop_statements(&mut self, instance: InstanceId) {
        for ((on, _), open) in &mut self.open_statements {
            if *on == instance {
                for step in open.drain(..) {
                    self.steps[step].unmet = Some("it did not end".into());
                }
            }
        }
    }

    fn statement(&mut self, instance: InstanceId, sql: &str, result: &Result<(), SqlError>) {
        let Some(open) = self.open_statements.get_mut(&(instance, sql.to_owned())) else { return };
        if open.is_empty() {
            return;
        }
        let watch = &mut self.steps[open.remove(0)];
        let wanted = watch.statement.as_ref().and_then(|(_, _, error)| *error);
        watch.unmet = match (wanted, result) {
            (Some(-1), _) | (None, Ok(())) => None,
            (Some(wanted), Err(e)) if i64::from(e.number) == i64::from(wanted) => None,
            (_, Ok(())) => Some("it succeeded".into()),
            (_, Err(e)) => Some(format!("it ended with error {}", e.number)),
        };
    }

    fn seen(&self, item: usize) -> String {
        match &self.items[item].test {
            Test::Shown(shows) => describe(shows, &self.shown, &self.names),
            Test::Committed(_) => format!("{} were confirmed", self.committed),
            Test::ServedBy(_) => "no answer of that instance in the window".into(),
            Test::Count { count, wanted: Wanted::Range(_), .. } => format!("{count} in the window"),
            Test::Count { count, wanted: Wanted::Lost, .. } => {
                format!("{count} in the window, and {} are missing", self.lost.unwrap_or_default())
            }
            Test::Lost(_) | Test::Downtime { .. } | Test::Told(_) => String::new(),
        }
    }
}

impl Form {
    fn start(self) -> Time {
        match self {
            Form::By { after, .. } => after,
            Form::At(_) => Time(0),
            Form::Throughout(from, _) => from,
        }
    }
    fn end(self) -> Time {
        match self {
            Form::By { by: to, .. } | Form::At(to) | Form::Throughout(_, to) => to,
        }
    }
    fn contains(self, at: Time) -> bool {
        (self.start()..=self.end()).contains(&at)
    }
}

/// An answer that only an instance that serves can give.
fn serves(reply: &Reply) -> bool {
    match reply {
        Reply::Connected { .. }
        | Reply::Begun { .. }
        | Reply::Done { .. }
        | Reply::Committed { .. }
        | Reply::RolledBack { .. } => true,
        Reply::Refused { .. } | Reply::Failed { .. } => false,
    }
}

fn item(e: &Expectation, by_name: &BTreeMap<&str, InstanceId>) -> Item {
    let id = |name: &String| by_name.get(name.as_str()).copied().unwrap_or(InstanceId(0));
    let form = match (e.by, e.at, e.throughout) {
        (Some(by), ..) => Form::By { after: e.after.unwrap_or_default(), by },
        (None, _, Some([from, to])) => Form::Throughout(from, to),
        (None, at, None) => Form::At(at.unwrap_or_default()),
    };
    let test = match &e.condition {
        Condition::Role(map) => Test::Shown(map.iter().map(|(n, v)| Show::Role(id(n), *v)).collect()),
        Condition::State(map) => Test::Shown(map.iter().map(|(n, v)| Show::State(id(n), *v)).collect()),
        Condition::WitnessState(map) => {
            Test::Shown(map.iter().map(|(n, v)| Show::Witness(id(n), *v)).collect())
        }
        Condition::Safety(map) => Test::Shown(map.iter().map(|(n, v)| Show::Safety(id(n), *v)).collect()),
        Condition::Commits { on, at_least, at_most } => {
            let wanted = Wanted::Range(Range { at_least: *at_least, at_most: *at_most });
            Test::Count { answer: Answer::Commit, on: on.as_ref().map(id), wanted, count: 0 }
        }
        Condition::Errors { number, on, at_least, at_most } => {
            let wanted = Wanted::Range(Range { at_least: *at_least, at_most: *at_most });
            Test::Count { answer: Answer::Error(*number), on: on.as_ref().map(id), wanted, count: 0 }
        }
        Condition::LostCommitsOf(on) => {
            Test::Count { answer: Answer::Confirms, on: Some(id(on)), wanted: Wanted::Lost, count: 0 }
        }
        Condition::Events(map) => {
            let wanted = map.iter().map(|(n, v)| (id(n), v.iter().map(|n| u32::from(*n)).collect()));
            Test::Told(Told::new(Kind::Event, wanted, e.throughout.is_some()))
        }
        Condition::Messages(map) => {
            let wanted = map.iter().map(|(n, v)| (id(n), v.clone()));
            Test::Told(Told::new(Kind::Message, wanted, e.throughout.is_some()))
        }
        Condition::RoleSequence { instance, n } => Test::Shown(vec![Show::Sequence(id(instance), *n)]),
        Condition::ServedBy(who) => Test::ServedBy(who.as_ref().map(id)),
        Condition::LostTransactions(n) => Test::Lost(*n),
        Condition::DowntimeMax(most) => Test::Downtime { most: *most, worst: Time(0), worst_from: Time(0) },
        Condition::Committed(n) => Test::Committed(*n),
    };
    let when = match form {
        Form::By { after: Time(0), by } => format!("by {by}"),
        Form::By { after, by } => format!("after {after}, by {by}"),
        Form::At(at) => format!("at {at}"),
        Form::Throughout(from, to) => format!("throughout {from} to {to}"),
    };
    let what = serde_json::to_string(&e.condition).unwrap_or_default();
    let text = format!("{when}: {what}");
    Item { text, form, test, holds: false, since: Time(0), answers: 0, verdict: None }
}

fn step_watch(step: &Step, by_name: &BTreeMap<&str, InstanceId>) -> StepWatch {
    let statement = if let Action::Sql { on, text, error } = &step.action {
        let on = by_name.get(on.as_str()).copied().unwrap_or(InstanceId(0));
        Some((on, text.clone(), *error))
    } else {
        None
    };
    // With an end of its wait, a step need not happen.
    let must = step.on.as_ref().filter(|_| step.until.is_none());
    let triggered = must.map(|trigger| {
        let times = step.nth.map_or(String::new(), |n| format!(" number {n}"));
        format!("trigger{times} {}", serde_json::to_string(trigger).unwrap_or_default())
    });
    StepWatch { triggered, statement, acted: false, unmet: None }
}

#[cfg(test)]
mod tests;
