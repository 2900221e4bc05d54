//! Every planted bug is noticed: a shipped scenario fails with it, by the invariant that is there for it, and holds
//! without it on the same seeds. A check that nothing ever sets off proves nothing. See docs/planted-bugs.md; how soon
//! random seeds find each is in docs/kill-matrix.md.

use dbm_core::bugs::Bug;
use dbm_sim::campaign::{self, Mode, Source};
use dbm_sim::read;
use dbm_sim::report::{RunReport, Verdict};
use dbm_sim::runner::{self, Options};
use std::ops::RangeInclusive;
use std::path::Path;

/// In which of the seeds the bug shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    /// Triggers lead to it.
    Every,
    /// It needs luck.
    AtLeastOne,
}

/// What catches a bug.
#[derive(Clone, Debug)]
struct Killer {
    bug: &'static str,
    scenario: &'static str,
    seeds: RangeInclusive<u64>,
    shows: In,
    /// An invariant, or "unmet" for the expectations of the scenario.
    by: &'static str,
}

/// Defines the table once: a test's name, bug, scenario, seeds, where it shows, by what.
macro_rules! killers {
    ($($test:ident: $bug:literal, $scenario:literal, $seeds:expr, $shows:expr, $by:literal;)*) => {
        /// The table.
        fn killers() -> Vec<Killer> {
            vec![$(Killer { bug: $bug, scenario: $scenario, seeds: $seeds, shows: $shows, by: $by }),*]
        }
        $(
            #[test]
            fn $test() {
                caught($bug);
            }
        )*
    };
}

killers! {
    ack_before_flush: "ack-before-flush", "quorum/qt-a1", 1..=3, In::Every, "logs";
    no_lease_check: "no-lease-check", "failover/ambiguous-reset", 1..=3, In::Every, "roles";
    no_expose:
        "no-expose", "model_check/f7-restarted-principal-does-not-wait", 1..=3, In::Every, "durability";
    no_role_sequence_check:
        "no-role-sequence-check", "proof/stale-pings-are-no-life-signs", 1..=3, In::Every, "echoes";
    no_undo: "no-undo", "failover/ambiguous-reset", 1..=3, In::Every, "unmet";
    witness_answers_before_flush:
        "witness-answers-before-flush", "proof/grant-waits-for-the-witness-disk", 1..=3, In::Every, "records";
    armed_across_flap: "armed-across-flap", "quorum/qr-14-mirror-meets-witness", 1..=3, In::Every, "roles";
    volatile_claim: "volatile-claim", "failover/principal-crash-restart", 1..=3, In::Every, "roles";
    no_recovery_checksum: "no-recovery-checksum", "proof/torn-blocks", 1..=20, In::AtLeastOne, "logs";
    claimant_follows:
        "claimant-follows", "proof/f1-grant-after-claimant-met-principal", 1..=3, In::Every, "durability";
    no_log_branch: "no-log-branch", "proof/f3-new-log-at-the-same-place", 1..=20, In::AtLeastOne, "logs";
    synchronizing_does_not_wait:
        "synchronizing-does-not-wait", "proof/f7-commits-wait-until-somebody-noted", 1..=3, In::Every, "durability";
    exposed_after_restart:
        "exposed-after-restart", "model_check/f7-restarted-principal-does-not-wait", 1..=3, In::Every, "durability";
    exposed_after_synced:
        "exposed-after-synced", "proof/exposure-ends-with-synced", 1..=3, In::Every, "durability";
    refusal_is_final:
        "refusal-is-final", "model_check/refusal-not-lost-yet-is-temporary", 1..=3, In::Every, "availability";
    mirror_arms_itself: "mirror-arms-itself", "quorum/qr-14-mirror-meets-witness", 1..=3, In::Every, "roles";
    echo_any_sequence: "echo-any-sequence", "quorum/qt-a1", 1..=3, In::Every, "echoes";
    any_bye_is_definite:
        "any-bye-is-definite", "proof/time-out-is-no-farewell", 1..=20, In::AtLeastOne, "roles";
    reset_is_refusal: "reset-is-refusal", "model_check/filter-reset-is-ambiguous", 1..=3, In::Every, "roles";
    volatile_sequence: "volatile-sequence", "failover/back-and-forth", 1..=3, In::Every, "states";
    claim_after_flap:
        "claim-after-flap", "model_check/claimant-dies-after-durable-claim", 1..=3, In::Every, "roles";
    record_before_flush:
        "record-before-flush", "failover/principal-crash-restart", 1..=3, In::Every, "records";
    synced_from_mirror: "synced-from-mirror", "proof/mirror-believes-the-owner-only", 1..=3, In::Every, "states";
    not_elected: "not-elected", "model_check/f2-grant-lost-on-the-way", 1..=3, In::Every, "availability";
    handover_keeps_sequence:
        "handover-keeps-sequence", "model_check/f4-force-after-a-hand-over", 1..=3, In::Every, "roles";
    force_without_claim:
        "force-without-claim", "model_check/f5-force-needs-both-losses", 1..=3, In::Every, "roles";
    lease_by_own_period:
        "lease-by-own-period", "model_check/f6-lease-by-the-smaller-period", 1..=3, In::Every, "roles";
    released_first:
        "released-first", "model_check/f8-witness-off-binds-until-told", 1..=3, In::Every, "durability";
    stamp_without_role_sequence:
        "stamp-without-role-sequence", "model_check/f9-forced-suspension-beats-a-lost-resume", 1..=3, In::Every, "unmet";
    handover_hidden_from_witness:
        "handover-hidden-from-witness", "model_check/f10-hand-over-travels-through-the-witness", 1..=3, In::Every, "unmet";
    serves_after_handover:
        "serves-after-handover", "proof/broken-hand-over", 1..=3, In::Every, "roles";
    serves_while_handing_over:
        "serves-while-handing-over", "proof/hand-over-write-in-flight", 1..=3, In::Every, "switches";
    force_without_witness:
        "force-without-witness", "proof/force-needs-the-witness", 1..=3, In::Every, "roles";
    force_by_suspended_flag:
        "force-by-suspended-flag", "proof/force-needs-the-current-fork", 1..=3, In::Every, "switches";
    resume_keeps_fork: "resume-keeps-fork", "proof/resume-drops-the-fork", 1..=3, In::Every, "logs";
    undo_without_resume:
        "undo-without-resume", "proof/nothing-is-undone-before-resume", 1..=3, In::Every, "switches";
    suspended_fails_over:
        "suspended-fails-over", "proof/suspended-session-does-not-fail-over", 1..=3, In::Every, "roles";
    volatile_suspend:
        "volatile-suspend", "proof/forced-suspension-survives-a-restart", 1..=3, In::Every, "switches";
    witness_from_hello:
        "witness-from-hello", "proof/witness-is-not-made-from-a-hello", 1..=3, In::Every, "unmet";
    truncate_while_suspended:
        "truncate-while-suspended", "proof/paused-mirror-keeps-its-log", 1..=3, In::Every, "liveness";
    confirms_one_too_many: "confirms-one-too-many", "quorum/qt-a1", 1..=3, In::Every, "durability";
    locks_freed_before_confirm: "locks-freed-before-confirm", "quorum/qt-a1", 1..=3, In::Every, "data";
    log_write_cached: "log-write-cached", "quorum/qt-a1", 1..=3, In::Every, "logs";
    truncates_without_mirror: "truncates-without-mirror", "proof/broken-hand-over", 1..=3, In::Every, "logs";
    page_lsn_stays: "page-lsn-stays", "quorum/qt-a1", 1..=3, In::Every, "logs";
    no_double_write: "no-double-write", "quorum/qt-a1", 1..=3, In::Every, "pages";
    page_before_log: "page-before-log", "quorum/qt-a1", 1..=3, In::Every, "pages";
    page_checksum_unchecked: "page-checksum-unchecked", "proof/rotten-page", 1..=10, In::AtLeastOne, "data";
    failed_write_counts: "failed-write-counts", "proof/failing-writes", 1..=5, In::AtLeastOne, "durability";
    frame_checksum_unchecked:
        "frame-checksum-unchecked", "proof/damaged-frames", 1..=3, In::AtLeastOne, "wire";
    damaged_frame_skipped: "damaged-frame-skipped", "proof/damaged-frames", 1..=3, In::Every, "wire";
    dirty_read: "dirty-read", "quorum/qt-a1", 1..=3, In::Every, "data";
    deadlock_told_as_commit:
        "deadlock-told-as-commit", "proof/f3-new-log-at-the-same-place", 1..=3, In::AtLeastOne, "durability";
    rollback_commits: "rollback-commits", "quorum/qt-a1", 1..=3, In::Every, "durability";
    view_before_durable:
        "view-before-durable", "failover/principal-crash-restart", 1..=3, In::Every, "states";
    witness_state_stale:
        "witness-state-stale", "model_check/claim-after-flap-is-only-queried", 1..=3, In::Every, "views";
    safety_stale: "safety-stale", "safety_off/witness-no-failover", 1..=3, In::Every, "views";
    automatic_failover_unsaid:
        "automatic-failover-unsaid", "failover/principal-crash-restart", 1..=3, In::Every, "events";
    synchronized_shown_early:
        "synchronized-shown-early", "failover/principal-crash-restart", 1..=3, In::Every, "states";
    short_time_out_kept: "short-time-out-kept", "proof/short-time-out", 1..=3, In::Every, "commands";
    setting_kept_local:
        "setting-kept-local", "proof/forced-suspension-survives-a-restart", 1..=3, In::Every, "commands";
    resume_on_mirror: "resume-on-mirror", "chaos/owner", 1..=5, In::AtLeastOne, "switches";
    no_redo_in_recovery: "no-redo-in-recovery", "failover/principal-crash-restart", 1..=3, In::Every, "logs";
    losers_keep_changes:
        "losers-keep-changes", "proof/f3-new-log-at-the-same-place", 1..=3, In::AtLeastOne, "data";
    undo_fetches_nothing: "undo-fetches-nothing", "proof/exposure-ends-with-synced", 1..=3, In::Every, "logs";
    undo_misses_a_page: "undo-misses-a-page", "proof/exposure-ends-with-synced", 1..=3, In::Every, "logs";
    cut_keeps_a_block: "cut-keeps-a-block", "failover/ambiguous-reset", 1..=3, In::Every, "unmet";
    lease_twice_as_long: "lease-twice-as-long", "failover/ambiguous-reset", 1..=3, In::Every, "roles";
    grants_though_exposed:
        "grants-though-exposed", "model_check/f7-restarted-principal-does-not-wait", 1..=3, In::Every, "roles";
    grants_without_loss:
        "grants-without-loss", "model_check/refusal-not-lost-yet-is-temporary", 1..=3, In::Every, "roles";
    force_not_suspended: "force-not-suspended", "force/nothing-happens", 1..=3, In::Every, "switches";
    timer_in_the_past: "timer-in-the-past", "failover/mirror-host-loss", 1..=3, In::Every, "livelock";
}

#[test]
fn every_planted_bug_is_in_the_table_once() {
    let mut listed: Vec<&str> = killers().iter().map(|k| k.bug).collect();
    let mut all: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    listed.sort_unstable();
    all.sort_unstable();
    assert_eq!(listed, all);
}

fn source(scenario: &str) -> Source {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let file = format!("scenarios/{scenario}.json");
    let scenario = read::file(&root.join(&file)).unwrap_or_else(|e| panic!("{e}"));
    Source { file, scenario }
}

fn ran(source: &Source, seed: u64, bug: Option<Bug>) -> RunReport {
    let mode = Mode { options: Options { bug, ..Options::default() }, ..Mode::default() };
    campaign::one(&runner::run, source, seed, mode).report
}

fn failed_by(report: &RunReport, by: &str) -> bool {
    match by {
        "unmet" => !report.unmet.is_empty(),
        invariant => report.violations.iter().any(|v| v.invariant == invariant),
    }
}

/// Runs the table's line about `bug`. Where it takes luck, the first seed that has it is enough.
fn caught(bug: &str) {
    let killer = killers().into_iter().find(|k| k.bug == bug).expect("the macro made test and line together");
    let source = source(killer.scenario);
    let planted = Bug::by_name(bug).unwrap_or_else(|| panic!("no bug is called {bug}"));
    for seed in killer.seeds.clone() {
        let without = ran(&source, seed, None);
        assert_eq!(without.verdict, Verdict::Held, "seed {seed} without the bug: {}", without.text());
        let with = ran(&source, seed, Some(planted));
        match (failed_by(&with, killer.by), killer.shows) {
            (true, In::AtLeastOne) => return,
            (false, In::Every) => panic!("seed {seed} does not fail by {}: {}", killer.by, with.text()),
            (true, In::Every) | (false, In::AtLeastOne) => {}
        }
    }
    assert_eq!(killer.shows, In::Every, "no seed fails so: {killer:?}");
}
