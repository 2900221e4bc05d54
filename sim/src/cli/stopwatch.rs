//! Wall-clock time, for figures and for limits in minutes only: never for what happens in a run.

use std::time::Duration;

/// How long a command has taken.
pub(super) struct Stopwatch {
    #[allow(
        clippy::disallowed_types,
        reason = "a figure for people, and a limit that says it depends on the machine"
    )]
    begin: std::time::Instant,
}

impl Stopwatch {
    #[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "as above")]
    pub(super) fn start() -> Self {
        Stopwatch { begin: std::time::Instant::now() }
    }
    pub(super) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }
}
