//! Many runs on many threads, told in the order in which they were asked for. Which thread ran what leaves no mark on
//! what is told. A panic ends the run it happens in, and nothing else.

use crate::plan;
use crate::report::{Outcome, RunReport};
use crate::runner::Options;
use crate::scenario::Scenario;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Once, mpsc};

/// Something that runs plans: [`crate::runner::run`], or a stand-in for tests.
pub type Runner<'a> = &'a (dyn Fn(&Scenario, &Options) -> Outcome + Sync);

/// One scenario and where it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file as named by the user.
    pub file: String,
    /// Its content.
    pub scenario: Scenario,
}

/// One run to be done.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Index of its source.
    pub source: usize,
    /// The seed.
    pub seed: u64,
}

/// What a run leaves.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The report.
    pub report: RunReport,
    /// The trace, if asked for.
    pub trace: Vec<String>,
}

/// What to do with each run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode {
    /// Passed to the driver.
    pub options: Options,
    /// Run twice, the second time in a fresh thread, and compare.
    pub check_determinism: bool,
}

/// Number of jobs, and the job of an index. A function and no list: a campaign may have millions.
pub struct Jobs<'a> {
    /// How many.
    pub count: usize,
    /// The job at an index below `count`.
    pub at: &'a (dyn Fn(usize) -> Job + Sync),
}

/// Why a campaign did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// No threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
}

/// Does all `jobs` on `threads` threads and hands each result to `tell`, in the order of the jobs, from the calling
/// thread. Stops early when `tell` returns `false`.
pub fn campaign(
    run: Runner<'_>,
    sources: &[Source],
    jobs: &Jobs<'_>,
    mode: Mode,
    threads: usize,
    mut tell: impl FnMut(Finished) -> bool,
) -> Result<(), CampaignError> {
    silence_panics();
    let threads = threads.min(jobs.count).max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| CampaignError::Threads { threads, source })?;
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    pool.in_place_scope(|scope| {
        for _ in 0..threads {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move |_| {
                // In order, so that few results wait for an earlier one.
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= jobs.count {
                        break;
                    }
                    let job = (jobs.at)(index);
                    let finished = one(run, &sources[job.source], job.seed, mode);
                    if sender.send((index, finished)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut told = 0;
        for (index, finished) in receiver {
            waiting.insert(index, finished);
            while let Some(finished) = waiting.remove(&told) {
                told += 1;
                if !stop.load(Ordering::Relaxed) && !tell(finished) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    Ok(())
}

/// One run from scenario and seed to its report.
pub fn one(run: Runner<'_>, source: &Source, seed: u64, mode: Mode) -> Finished {
    let name = &source.scenario.name;
    let options = Options { trace: mode.options.trace || mode.check_determinism, ..mode.options };
    let with = |options: Options| {
        guard(|| {
            let plan = plan::resolve(&source.scenario, seed);
            run(&plan, &options)
        })
    };
    let mut outcome = match with(options) {
        Ok(outcome) => outcome,
        Err(message) => {
            let mut report = RunReport::empty(name, &source.file, seed);
            report.fail("panic", message);
            return Finished { report, trace: Vec::new() };
        }
    };
    let mut report = RunReport::of(name, &source.file, seed, &outcome);
    if mode.check_determinism {
        let apart = |options: Options| {
            let again = std::thread::scope(|s| s.spawn(|| with(options)).join());
            again.unwrap_or_else(|payload| Err(message_of(&*payload)))
        };
        match apart(options) {
            Ok(second) => {
                if let Some(difference) = difference(&outcome, &second, options, &apart) {
                    report.fail("determinism", difference);
                }
            }
            Err(message) => report.fail("determinism", format!("the second run panicked: {message}")),
        }
    }
    let trace = if mode.options.trace { std::mem::take(&mut outcome.trace) } else { Vec::new() };
    Finished { report, trace }
}

/// The first event in which two runs of one plan differ. Traces tell what passes between processes; where these agree
/// and states do not, the plan is run twice `again`, with every event and state on record from where they last agreed.
fn difference(
    first: &Outcome,
    second: &Outcome,
    options: Options,
    again: &dyn Fn(Options) -> Result<Outcome, String>,
) -> Option<String> {
    if let Some(difference) = first_difference(&first.trace, &second.trace) {
        return Some(format!("two runs differ first at {difference}"));
    }
    if first.digest == second.digest && first.events == second.events {
        return None;
    }
    let pairs = first.checkpoints.iter().zip(&second.checkpoints);
    let agreed = pairs.take_while(|(a, b)| a == b).last().map_or(0, |((events, _), _)| *events);
    let next = first.checkpoints.iter().map(|(events, _)| *events).find(|events| *events > agreed);
    let window = Options { record: Some((agreed, next.unwrap_or(u64::MAX))), trace: false, ..options };
    let place = match (again(window), again(window)) {
        (Ok(a), Ok(b)) => first_difference(&a.recorded, &b.recorded),
        (Err(_), _) | (_, Err(_)) => None,
    };
    let place =
        place.map_or(String::new(), |difference| format!("; two more runs differ first at {difference}"));
    Some(format!(
        "traces are equal, but digests are {:016x} and {:016x} after {} and {} events; they last agreed after {agreed}{place}",
        first.digest, second.digest, first.events, second.events,
    ))
}

/// Where two lists part, with both lines.
fn first_difference(first: &[String], second: &[String]) -> Option<String> {
    let line = |lines: &[String], i: usize| lines.get(i).cloned().unwrap_or_else(|| "the end".into());
    let i = (0..first.len().max(second.len())).find(|&i| first.get(i) != second.get(i))?;
    Some(format!("event {i}:\n    first  {}\n    second {}", line(first, i), line(second, i)))
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `f`; a panic becomes its message with the place in the source.
pub(crate) fn guard<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    MESSAGE.set(None);
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(false);
    result.map_err(|payload| MESSAGE.take().unwrap_or_else(|| message_of(&*payload)))
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".into())
}

/// Panics inside a guarded run are kept for the report, not printed in between.
pub(crate) fn silence_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.get() {
                MESSAGE.set(Some(match info.location() {
                    Some(place) => {
                        format!("{} ({}:{})", message_of(info.payload()), place.file(), place.line())
                    }
                    None => message_of(info.payload()),
                }));
            } else {
                usual(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::small;
    use crate::report::Verdict;

    fn sources() -> Vec<Source> {
        vec![Source { file: "small.json".into(), scenario: small() }]
    }

    fn run_all(run: Runner<'_>, seeds: usize, mode: Mode, threads: usize) -> Vec<Finished> {
        let mut all = Vec::new();
        let at = |i: usize| Job { source: 0, seed: i as u64 };
        campaign(run, &sources(), &Jobs { count: seeds, at: &at }, mode, threads, |f| {
            all.push(f);
            true
        })
        .expect("threads");
        all
    }

    fn outcome(plan: &Scenario) -> Outcome {
        Outcome { digest: plan.seed.unwrap_or(0) * 31, ..Outcome::default() }
    }

    #[test]
    fn results_come_in_order_and_do_not_depend_on_the_number_of_threads() {
        let run = |plan: &Scenario, _: &Options| outcome(plan);
        let reports = |threads| -> Vec<RunReport> {
            run_all(&run, 300, Mode::default(), threads).into_iter().map(|f| f.report).collect()
        };
        let alone = reports(1);
        assert!(alone.iter().enumerate().all(|(i, r)| r.seed == i as u64));
        assert_eq!(alone, reports(7));
    }

    #[test]
    fn a_panic_is_a_finding_of_its_run() {
        let run = |plan: &Scenario, _: &Options| {
            assert_ne!(plan.seed, Some(2), "seed two is cursed");
            outcome(plan)
        };
        let all = run_all(&run, 5, Mode::default(), 2);
        let failed: Vec<&RunReport> =
            all.iter().map(|f| &f.report).filter(|r| r.verdict == Verdict::Failed).collect();
        assert_eq!((all.len(), failed.len(), failed[0].seed), (5, 1, 2));
        let panic = &failed[0].violations[0];
        assert!(
            panic.invariant == "panic" && panic.what.contains("cursed") && panic.what.contains("campaign.rs")
        );
    }

    #[test]
    fn the_first_differing_event_is_named() {
        let leak = AtomicUsize::new(0);
        let run = |plan: &Scenario, options: &Options| {
            assert!(options.trace);
            let n = leak.fetch_add(1, Ordering::Relaxed);
            let trace = vec!["same".to_owned(), format!("event {n}"), "same".to_owned()];
            Outcome { trace, ..outcome(plan) }
        };
        let mode = Mode { check_determinism: true, ..Mode::default() };
        let all = run_all(&run, 1, mode, 1);
        let v = &all[0].report.violations[0];
        assert_eq!(v.invariant, "determinism");
        assert!(v.what.contains("at event 1") && v.what.contains("event 0"), "{}", v.what);
        assert!(all[0].trace.is_empty(), "a trace that nobody asked for");
    }

    #[test]
    fn equal_runs_are_found_equal() {
        let run = |plan: &Scenario, _: &Options| outcome(plan);
        let mode = Mode { check_determinism: true, ..Mode::default() };
        assert_eq!(run_all(&run, 3, mode, 2)[2].report.verdict, Verdict::Held);
    }

    #[test]
    fn a_campaign_stops_when_nobody_listens() {
        let run = |plan: &Scenario, _: &Options| outcome(plan);
        let at = |i: usize| Job { source: 0, seed: i as u64 };
        let mut told = 0;
        campaign(&run, &sources(), &Jobs { count: 1_000_000, at: &at }, Mode::default(), 2, |_| {
            told += 1;
            told < 3
        })
        .expect("threads");
        assert_eq!(told, 3);
    }
}
