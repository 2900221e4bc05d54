//! Planted bugs: named defects, each undoing one rule at the place where it is kept. They prove that the oracle
//! would notice. Compiled in only with the feature `planted-bugs`, and then selected one per run.

/// What a planted bug is in the way of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// A commit on its way to the client.
    CommitPath,
    /// Who may serve, by echoed pings.
    Leases,
    /// The witness's seat.
    Witness,
    /// Who counts as lost, and who may run without the mirror.
    Quorum,
    /// Automatic and manual role switches.
    Failover,
    /// Forced service.
    ForcedService,
    /// Rejoining.
    Reconcile,
    /// Recovery after a crash.
    Recovery,
    /// Log on disk and on its way.
    Log,
    /// Data pages.
    Pages,
    /// Frames and channels.
    Wire,
    /// Client connections and transactions.
    Clients,
    /// Views and events.
    Views,
    /// Control statements and replicated settings.
    Statements,
}

impl Area {
    /// All areas, in the order of reports.
    pub const ALL: &[Area] = &[
        Area::CommitPath,
        Area::Leases,
        Area::Witness,
        Area::Quorum,
        Area::Failover,
        Area::ForcedService,
        Area::Reconcile,
        Area::Recovery,
        Area::Log,
        Area::Pages,
        Area::Wire,
        Area::Clients,
        Area::Views,
        Area::Statements,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Area::CommitPath => "commit path",
            Area::Leases => "leases",
            Area::Witness => "witness",
            Area::Quorum => "quorum",
            Area::Failover => "failover",
            Area::ForcedService => "forced service",
            Area::Reconcile => "reconcile",
            Area::Recovery => "recovery",
            Area::Log => "log",
            Area::Pages => "pages",
            Area::Wire => "wire",
            Area::Clients => "clients",
            Area::Views => "views",
            Area::Statements => "statements",
        }
    }
}

/// Defines the list once: description, variant, name, rule, area and, for what the model check has found, the number of
/// the repair that it undoes (F1 … F10).
macro_rules! bugs {
    ($(#[doc = $about:literal] $variant:ident = $name:literal, $rule:literal, $area:ident $(, $repair:literal)?;)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug { $(#[doc = $about] $variant,)* }
        impl Bug {
            /// Every bug, in the order of this list.
            pub const ALL: &[Bug] = &[$(Bug::$variant),*];
            /// Its name on the command line.
            pub fn name(self) -> &'static str { match self { $(Bug::$variant => $name),* } }
            /// The rule it breaks.
            pub fn rule(self) -> &'static str { match self { $(Bug::$variant => $rule),* } }
            /// Where it is.
            pub fn area(self) -> Area { match self { $(Bug::$variant => Area::$area),* } }
            /// What is wrong, in a sentence.
            pub fn about(self) -> &'static str { match self { $(Bug::$variant => $about.trim_ascii()),* } }
            /// The repair of the model check that it undoes: k of Fk.
            pub fn repair(self) -> Option<u8> {
                match self { $(Bug::$variant => [$($repair,)? 0].first().copied().filter(|k| *k > 0)),* }
            }
        }
    };
}

bugs! {
    /// The mirror acknowledges log when it arrives, not when it is flushed.
    AckBeforeFlush = "ack-before-flush", "P-11", CommitPath;
    /// The principal answers clients without looking at its leases.
    NoLeaseCheck = "no-lease-check", "OQ-3.1", Leases;
    /// The principal runs exposed without asking anybody.
    NoExpose = "no-expose", "OQ-4.1", Quorum;
    /// Messages of a lower role sequence are taken as if they were current.
    NoRoleSequenceCheck = "no-role-sequence-check", "P-7", Wire;
    /// A rejoining partner keeps its log beyond the common prefix.
    NoUndo = "no-undo", "FO-43", Reconcile;
    /// The witness answers before its record is durable.
    WitnessAnswersBeforeFlush = "witness-answers-before-flush", "OQ-4.3", Witness;
    /// A mirror that lost its witness stays armed and claims after a flap.
    ArmedAcrossFlap = "armed-across-flap", "OQ-15", Failover;
    /// The claim is not made durable, and is forgotten when the principal is met again.
    VolatileClaim = "volatile-claim", "OQ-4.3", Failover;
    /// Recovery takes log blocks without looking at their checksum.
    NoRecoveryChecksum = "no-recovery-checksum", "P-11", Recovery;
    /// A mirror with an open claim goes on echoing and following the principal.
    ClaimantFollows = "claimant-follows", "OQ-4.3", Failover, 1;
    /// A principal that recovers goes on in the log branch it was in.
    NoLogBranch = "no-log-branch", "OQ-68", Log, 3;
    /// While SYNCHRONIZING, commits do not wait for the mirror, whoever noted it.
    SynchronizingDoesNotWait = "synchronizing-does-not-wait", "OQ-4.1", CommitPath, 7;
    /// A restarted principal believes that it still runs exposed.
    ExposedAfterRestart = "exposed-after-restart", "OQ-4.1", Quorum;
    /// The right to run exposed outlives the way to SYNCHRONIZED.
    ExposedAfterSynced = "exposed-after-synced", "OQ-4.2", CommitPath;
    /// The refusal "not lost yet" is taken as the witness's last word.
    RefusalIsFinal = "refusal-is-final", "OQ-3.3", Failover;
    /// The witness takes SYNCED, and the record of it, from the mirror.
    SyncedFromMirror = "synced-from-mirror", "OQ-4.1", Witness;
    /// A mirror whose record agrees with the witness's arms itself.
    MirrorArmsItself = "mirror-arms-itself", "OQ-4.2", Failover;
    /// Pings of another role sequence are life signs, and are echoed.
    EchoAnySequence = "echo-any-sequence", "OQ-1", Leases;
    /// A time-out or arbitration BYE counts as the end of the principal's service.
    AnyByeIsDefinite = "any-bye-is-definite", "OQ-3.4", Quorum;
    /// A filter's reset of a dial counts as "nothing listens".
    ResetIsRefusal = "reset-is-refusal", "OQ-3.4", Quorum;
    /// An instance that is told of a higher role sequence does not write it.
    VolatileSequence = "volatile-sequence", "OQ-4.5", Failover;
    /// After a break of the mirror-witness channel an open claim is sent again instead of queried.
    ClaimAfterFlap = "claim-after-flap", "OQ-4.3", Failover;
    /// The role record is told while it is on its way to the disk.
    RecordBeforeFlush = "record-before-flush", "P-1", Failover;
    /// An instance that is told that it owns a higher role sequence stays mirror.
    NotElected = "not-elected", "OQ-4.5", Failover, 2;
    /// The hand-over record keeps the role sequence at hand.
    HandoverKeepsSequence = "handover-keeps-sequence", "OQ-9", Failover, 4;
    /// Forced service asks for no declaration of loss, here or at the witness.
    ForceWithoutClaim = "force-without-claim", "OQ-4.6", ForcedService, 5;
    /// A setting's counter alone tells which is newer, whatever role sequence it was set under.
    StampWithoutRoleSequence = "stamp-without-role-sequence", "OQ-20", ForcedService, 9;
    /// The hand-over is told to the partner only.
    HandoverHiddenFromWitness = "handover-hidden-from-witness", "OQ-9", Failover, 10;
    /// A lease uses the own period only.
    LeaseByOwnPeriod = "lease-by-own-period", "OQ-3.1", Leases, 6;
    /// SET WITNESS OFF releases the principal first.
    ReleasedFirst = "released-first", "OQ-16", Statements, 8;
    /// A principal whose hand-over meets a broken link serves again.
    ServesAfterHandover = "serves-after-handover", "FO-39", Failover;
    /// While the hand-over is being written the principal goes on answering clients.
    ServesWhileHandingOver = "serves-while-handing-over", "OQ-9", Failover;
    /// Forced service does not ask for the witness.
    ForceWithoutWitness = "force-without-witness", "FO-52", ForcedService;
    /// Whether a copy may be forced is read off the suspended flag, not off its fork.
    ForceBySuspendedFlag = "force-by-suspended-flag", "OQ-7", ForcedService;
    /// RESUME keeps what the rejoining copy has beyond the fork.
    ResumeKeepsFork = "resume-keeps-fork", "FO-46", Reconcile;
    /// A rejoining partner undoes its log without waiting for RESUME.
    UndoWithoutResume = "undo-without-resume", "FO-45", Reconcile;
    /// A suspended session stays armed.
    SuspendedFailsOver = "suspended-fails-over", "FO-29", Failover;
    /// Neither forced service nor SUSPEND survives a restart: the flag is not read back.
    VolatileSuspend = "volatile-suspend", "TR-11", Statements;
    /// A witness makes a session of a role record it does not know.
    WitnessFromHello = "witness-from-hello", "OQ-16", Witness;
    /// Log is truncated though a paused mirror has not got it.
    TruncateWhileSuspended = "truncate-while-suspended", "INV-8", Log;
    /// Of the commits that wait for the mirror one more is answered than it has hardened.
    ConfirmsOneTooMany = "confirms-one-too-many", "S-64", CommitPath;
    /// A transaction's locks are freed when its commit is logged, not when it is answered.
    LocksFreedBeforeConfirm = "locks-freed-before-confirm", "FO-5", CommitPath;
    /// Log is written into the disk's cache, not through it.
    LogWriteCached = "log-write-cached", "P-11", Log;
    /// Log is truncated whatever the mirror has hardened.
    TruncatesWithoutMirror = "truncates-without-mirror", "INV-8", Log;
    /// A change of a row does not move the LSN of its page.
    PageLsnStays = "page-lsn-stays", "P-12", Pages;
    /// Pages are written in place without an image in the double-write file.
    NoDoubleWrite = "no-double-write", "P-12", Pages;
    /// Pages are written before the log of their changes is hardened.
    PageBeforeLog = "page-before-log", "P-12", Pages;
    /// Recovery takes data pages without looking at their checksum.
    PageChecksumUnchecked = "page-checksum-unchecked", "P-15", Pages;
    /// A failed disk operation counts as done.
    FailedWriteCounts = "failed-write-counts", "OQ-35", Pages;
    /// Frames are taken without looking at their checksum.
    FrameChecksumUnchecked = "frame-checksum-unchecked", "P-14", Wire;
    /// A damaged frame is skipped, and its link goes on.
    DamagedFrameSkipped = "damaged-frame-skipped", "P-14", Wire;
    /// Reads take no lock.
    DirtyRead = "dirty-read", "FO-5", Clients;
    /// The victim of a deadlock is told that it is committed.
    DeadlockToldAsCommit = "deadlock-told-as-commit", "CL-50", Clients;
    /// ROLLBACK keeps the changes.
    RollbackCommits = "rollback-commits", "FO-5", Clients;
    /// Views show a role sequence, and a suspension, that are not durable yet.
    ViewBeforeDurable = "view-before-durable", "P-1", Views;
    /// The view shows the witness as connected whatever happens to it.
    WitnessStateStale = "witness-state-stale", "ST-50", Views;
    /// The view shows the SAFETY that a new session has, whatever is set.
    SafetyStale = "safety-stale", "C-65", Views;
    /// An automatic failover is not told as an event.
    AutomaticFailoverUnsaid = "automatic-failover-unsaid", "EV-8", Views;
    /// SYNCHRONIZED is shown while the principal still records it.
    SynchronizedShownEarly = "synchronized-shown-early", "P-1", Views;
    /// TIMEOUT 0 to 4 is stored as it was said.
    ShortTimeOutKept = "short-time-out-kept", "FL-9", Statements;
    /// SUSPEND, RESUME, SAFETY and TIMEOUT are done when the own disk has them, and told to nobody.
    SettingKeptLocal = "setting-kept-local", "C-47", Statements;
    /// RESUME is accepted on the mirror.
    ResumeOnMirror = "resume-on-mirror", "C-64", Statements;
    /// Recovery does not redo the log.
    NoRedoInRecovery = "no-redo-in-recovery", "P-12", Recovery;
    /// The changes of unfinished transactions stay when these are rolled back.
    LosersKeepChanges = "losers-keep-changes", "FO-5", Recovery;
    /// A rejoining partner cuts its log and fetches no pages.
    UndoFetchesNothing = "undo-fetches-nothing", "OQ-21", Reconcile;
    /// A rejoining partner does not fetch the last page that its dead log has changed.
    UndoMissesAPage = "undo-misses-a-page", "OQ-21", Reconcile;
    /// A rejoining partner keeps the first block beyond the common prefix.
    CutKeepsABlock = "cut-keeps-a-block", "FO-43", Reconcile;
    /// A lease lasts twice the period.
    LeaseTwiceAsLong = "lease-twice-as-long", "OQ-3.1", Leases;
    /// The witness grants a claim whatever it knows of "synchronised".
    GrantsThoughExposed = "grants-though-exposed", "OQ-4.3", Witness;
    /// The witness grants a claim without having lost the principal itself.
    GrantsWithoutLoss = "grants-without-loss", "OQ-3.2", Witness;
    /// Forced service does not suspend the session.
    ForceNotSuspended = "force-not-suspended", "FO-61", ForcedService;
    /// A loss that has been declared is looked at again and again.
    TimerInThePast = "timer-in-the-past", "FL-8", Quorum;
}

impl Bug {
    /// The bug of that name.
    pub fn by_name(name: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|b| b.name() == name)
    }
}

/// Is `bug` planted in this run? Always `false` without the feature, so that the compiler drops the branch.
#[inline(always)]
pub fn planted(selected: Option<Bug>, bug: Bug) -> bool {
    cfg!(feature = "planted-bugs") && selected == Some(bug)
}
