//! `dbmsim explore`.

use super::stopwatch::Stopwatch;
use super::{CliError, FAILED, HELD, Streams};
use crate::explore::action::Action;
use crate::explore::as_scenario;
use crate::explore::path::{BadQuestion, DEAD_END, FORMAT, PathFile, Question};
use crate::explore::search::{Counts, Limits, Outcome, search};
use crate::explore::situation::{Lost, SITUATIONS};
use std::path::PathBuf;
use std::time::Duration;

/// What to explore, and how far.
#[derive(Clone, Debug, clap::Args)]
pub struct ExploreArgs {
    /// Where to start; `--list` shows all
    #[arg(required_unless_present_any = ["list", "replay"])]
    pub situation: Option<String>,
    /// Show the situations
    #[arg(long)]
    pub list: bool,
    /// Repeat the path of a file that an exploration wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["situation", "list"])]
    pub replay: Option<PathBuf>,
    /// Most breaks of links
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub breaks: u8,
    /// Kinds of breaks: reset, cut, drop
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_values_t = ["reset".to_owned(), "cut".into(), "drop".into()])]
    pub kinds: Vec<String>,
    /// Most crashes of processes
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub crashes: u8,
    /// Only these instances crash: A, B, W
    #[arg(long, value_name = "INSTANCE", value_delimiter = ',')]
    pub crash_only: Vec<String>,
    /// Most transactions of clients
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=4))]
    pub commits: u8,
    /// Statements given in this order, each once, at any moment, on either partner: FAILOVER, FORCE, SUSPEND, RESUME,
    /// OFF, "WITNESS OFF"
    #[arg(long, value_name = "STATEMENT", value_delimiter = ',')]
    pub statements: Vec<String>,
    /// Times at which the clock may go on although something is under way
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub stalls: u8,
    /// Most times in one moment at which something overtakes what is first in order; without it every order is tried
    #[arg(long, value_name = "K")]
    pub overtakes: Option<u8>,
    /// No witness
    #[arg(long)]
    pub no_witness: bool,
    /// Heal and restart in the middle of a moment too, not only at its end
    #[arg(long)]
    pub repairs_anywhere: bool,
    /// Stop after so many states
    #[arg(long, value_name = "N", default_value_t = 50_000_000)]
    pub max_states: u64,
    /// Follow paths to this length only
    #[arg(long, value_name = "N", default_value_t = u32::MAX, hide_default_value = true)]
    pub max_depth: u32,
    /// Stop after so many minutes; the counts then depend on the machine
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// Threads; without it one per core. The result is the same
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Directory for a path that breaks a rule
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
    /// Plant this bug
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "NAME")]
    pub bug: Option<String>,
}

impl ExploreArgs {
    fn question(&self) -> Question {
        #[cfg(feature = "planted-bugs")]
        let bug = self.bug.clone();
        #[cfg(not(feature = "planted-bugs"))]
        let bug = None;
        Question {
            situation: self.situation.clone().unwrap_or_default(),
            witness: !self.no_witness,
            breaks: self.breaks,
            kinds: self.kinds.clone(),
            crashes: self.crashes,
            crash_only: self.crash_only.clone(),
            commits: self.commits,
            statements: self.statements.clone(),
            stalls: self.stalls,
            overtakes: self.overtakes,
            repairs_anywhere: self.repairs_anywhere,
            bug,
        }
    }
}

/// Runs the command.
pub fn explore(args: &ExploreArgs, streams: &mut Streams<'_>) -> Result<u8, CliError> {
    if args.list {
        for s in SITUATIONS {
            writeln!(streams.out, "{:<14} {}", s.name, s.about)?;
        }
        return Ok(HELD);
    }
    if let Some(file) = &args.replay {
        return replay(file, args, streams);
    }
    let question = args.question();
    let root = match question.root() {
        Ok(root) => root,
        // The way to a situation is a path too.
        Err(e @ BadQuestion::Lost(_, Lost::Finding(_))) => {
            writeln!(streams.out, "{e}")?;
            return Ok(FAILED);
        }
        Err(e) => return Err(CliError::Usage(e.to_string())),
    };
    let threads =
        args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| CliError::Usage(e.to_string()))?;
    let clock = Stopwatch::start();
    let allowed = args.minutes.map(|m| Duration::from_secs_f64(m.max(0.0) * 60.0));
    let bar = spinner(streams.progress);
    let limits = Limits { states: args.max_states, depth: args.max_depth };
    let outcome = pool.install(|| {
        search(root, limits, &mut |counts: &Counts| {
            bar.set_message(format!(
                "{} states, {} transitions, depth {}, {} to go on from",
                counts.states, counts.transitions, counts.depth, counts.frontier
            ));
            bar.tick();
            allowed.is_none_or(|allowed| clock.elapsed() < allowed)
        })
    });
    bar.finish_and_clear();
    let report = Report { question: &question, outcome: &outcome, seconds: clock.elapsed().as_secs_f64() };
    let files = report.files();
    let saved = match &args.save {
        Some(directory) => save(directory, &files)?,
        None => Vec::new(),
    };
    if args.json {
        writeln!(streams.out, "{}", report.json(&files))?;
    } else {
        report.text(&files, &saved, streams)?;
    }
    Ok(if files.is_empty() { HELD } else { FAILED })
}

struct Report<'a> {
    question: &'a Question,
    outcome: &'a Outcome,
    seconds: f64,
}

impl Report<'_> {
    fn file(&self, rule: &str, text: &str, path: &[Action]) -> PathFile {
        PathFile {
            dbmsim_explore: FORMAT,
            question: self.question.clone(),
            rule: rule.to_owned(),
            text: text.to_owned(),
            path: path.iter().map(Action::to_string).collect(),
        }
    }

    /// What was found, as files.
    fn files(&self) -> Vec<PathFile> {
        let broken = self.outcome.finding.iter().map(|(f, path)| self.file(f.rule, &f.text, path));
        let text = "nothing leads back to served and SYNCHRONIZED";
        let dead = self.outcome.dead_end.iter().map(|path| self.file(DEAD_END, text, path));
        broken.chain(dead).collect()
    }

    fn json(&self, files: &[PathFile]) -> String {
        let counts = &self.outcome.counts;
        let value = serde_json::json!({
            "question": self.question,
            "verdict": if files.is_empty() { "held" } else { "violated" },
            "states": counts.states,
            "transitions": counts.transitions,
            "depth": counts.depth,
            "arrived": counts.arrived,
            "cut_off": self.outcome.cut_off.map(|c| c.name()),
            "dead_ends": self.outcome.dead_ends,
            "open": self.outcome.open,
            "seconds": self.seconds,
            "findings": files,
        });
        value.to_string()
    }

    fn text(&self, files: &[PathFile], saved: &[PathBuf], streams: &mut Streams<'_>) -> Result<(), CliError> {
        let counts = &self.outcome.counts;
        let bold = anstyle::Style::new().bold();
        let out = &mut *streams.out;
        let verdict = match (files.is_empty(), self.outcome.cut_off) {
            (false, _) => "VIOLATED",
            (true, None) => "held",
            (true, Some(_)) => "held as far as it went",
        };
        writeln!(out, "{bold}{}{bold:#}: {verdict}", self.question.situation)?;
        writeln!(
            out,
            "  {} states, {} transitions, depth {}, {:.1} s",
            counts.states, counts.transitions, counts.depth, self.seconds
        )?;
        if let Some(overtakes) = self.question.overtakes {
            writeln!(out, "  only orders with at most {overtakes} overtakings in a moment")?;
        }
        if let Some(cut_off) = self.outcome.cut_off {
            let (frontier, open) = (counts.frontier, self.outcome.open);
            writeln!(
                out,
                "  cut off by the limit of {}: {frontier} states at the edge; of {open} it is not known whether \
                 they lead back",
                cut_off.name()
            )?;
        }
        if self.outcome.dead_ends > 0 {
            writeln!(out, "  {} states are dead ends", self.outcome.dead_ends)?;
        }
        for file in files {
            writeln!(out, "  {bold}{}{bold:#}: {}", file.rule, file.text)?;
            writeln!(out, "  after {} steps:", file.path.len())?;
            if let Ok(replayed) = file.replay() {
                for line in replayed.lines {
                    writeln!(out, "  {line}")?;
                }
            }
        }
        for file in saved {
            writeln!(out, "  saved: {}", file.display())?;
        }
        Ok(())
    }
}

fn save(directory: &std::path::Path, files: &[PathFile]) -> Result<Vec<PathBuf>, CliError> {
    let write = |name: String, text: String| {
        let file = directory.join(name);
        let failed = |source| CliError::Write { file: file.clone(), source };
        std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&file, text)).map_err(failed)?;
        Ok::<PathBuf, CliError>(file)
    };
    let mut saved = Vec::new();
    for file in files {
        let text = serde_json::to_string_pretty(file).expect("a path has only text keys");
        let name = format!("{}-{}", file.question.situation, file.rule);
        saved.push(write(format!("{name}.path.json"), text + "\n")?);
        if let Ok(replayed) = file.replay() {
            let scenario = as_scenario::scenario(file, &replayed.taken);
            let text = serde_json::to_string_pretty(&scenario).expect("a scenario has only text keys");
            saved.push(write(format!("{name}.json"), text + "\n")?);
        }
    }
    Ok(saved)
}

fn replay(file: &PathBuf, args: &ExploreArgs, streams: &mut Streams<'_>) -> Result<u8, CliError> {
    let wrong = |e: &dyn std::fmt::Display| CliError::Usage(format!("{}: {e}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
    let path: PathFile = serde_json::from_str(&text).map_err(|e| wrong(&e))?;
    let replayed = path.replay().map_err(|e| wrong(&e))?;
    if args.json {
        let finding = replayed.finding.as_ref().map(|f| serde_json::json!({"rule": f.rule, "text": f.text}));
        let value = serde_json::json!({"finding": finding, "lines": replayed.lines});
        writeln!(streams.out, "{value}")?;
    } else {
        for line in &replayed.lines {
            writeln!(streams.out, "{line}")?;
        }
        match &replayed.finding {
            Some(finding) => writeln!(streams.out, "{}: {}", finding.rule, finding.text)?,
            None => writeln!(streams.out, "held: this build does not break `{}` on this path", path.rule)?,
        }
    }
    Ok(if replayed.finding.is_some() { FAILED } else { HELD })
}

fn spinner(shown: bool) -> indicatif::ProgressBar {
    if !shown {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new_spinner();
    if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}
