//! The tables of `docs/spec/quorum.md`, row by row: a test for each, called after it.
//!
//!     cargo test QT-A7                        the row QT-A7
//!     DBMSIM_SEED=17 cargo test QR-           the rows of section 3 with exactly that seed
//!     DBMSIM_SEEDS=500 cargo test QT-B        with the seeds 1 to 500
//!
//! The rows are read from the file: what its cells say is what is expected. A failure names the row, the session before
//! the change, what was asked and the seed, and leaves a scenario with which to see it again.

mod links;
mod play;
mod sequences;
mod spec;

use libtest_mimic::{Arguments, Failed, Trial};
use spec::Row;
use std::process::ExitCode;

/// Seeds of each row.
const SEEDS: u64 = 20;
/// Failing seeds that are told in full.
const TOLD_MAX: usize = 3;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![Trial::test("every_row_has_its_case_and_every_case_its_row", rows_and_cases)];
    for row in spec::rows() {
        trials.push(Trial::test(row.id.clone(), move || over_seeds(&row)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The rows of the file are those that are played here, once each.
fn rows_and_cases() -> Result<(), Failed> {
    let rows: Vec<String> = spec::rows().into_iter().map(|row| row.id).collect();
    let of = |letter: char, last: u32| (1..=last).map(move |n| format!("QT-{letter}{n}"));
    let tables = [('A', 8), ('B', 8), ('C', 8), ('D', 6), ('E', 4)];
    let mut cases: Vec<String> = tables.into_iter().flat_map(|(letter, last)| of(letter, last)).collect();
    cases.extend(sequences::CASES.iter().map(|case| case.id.to_owned()));
    cases.dedup();
    let lone = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|id| !those.contains(id)).cloned().collect()
    };
    let (untested, unwritten) = (lone(&rows, &cases), lone(&cases, &rows));
    if rows.len() == cases.len() && untested.is_empty() && unwritten.is_empty() {
        return Ok(());
    }
    Err(format!("rows without a case: {untested:?}; cases without a row: {unwritten:?}; {} rows", rows.len())
        .into())
}

fn over_seeds(row: &Row) -> Result<(), Failed> {
    let seeds = seeds()?;
    let failed: Vec<String> = seeds.iter().filter_map(|seed| play(row, *seed).err()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let told: Vec<&str> = failed.iter().take(TOLD_MAX).map(String::as_str).collect();
    Err(format!("{} of {} seeds failed\n\n{}", failed.len(), seeds.len(), told.join("\n")).into())
}

fn play(row: &Row, seed: u64) -> Result<(), String> {
    if row.id.starts_with("QT-") { links::play(row, seed) } else { sequences::play(row, seed) }
}

fn seeds() -> Result<Vec<u64>, String> {
    let number = |name: &str| match std::env::var(name) {
        Ok(text) => text.parse::<u64>().map(Some).map_err(|_| format!("{name}={text}: is no number")),
        Err(_) => Ok(None),
    };
    match number("DBMSIM_SEED")? {
        Some(seed) => Ok(vec![seed]),
        None => Ok((1..=number("DBMSIM_SEEDS")?.unwrap_or(SEEDS)).collect()),
    }
}
