//! Planted bugs: named defects, each undoing one rule at the place where it is kept. They prove that the oracle
//! would notice. Compiled in only with the feature `planted-bugs`, and then selected one per run.

/// Defines the list once: variant, name, rule.
macro_rules! bugs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $rule:literal;)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug { $($(#[$doc])* $variant,)* }
        impl Bug {
            /// Every bug, in the order of this list.
            pub const ALL: &[Bug] = &[$(Bug::$variant),*];
            /// Its name on the command line.
            pub fn name(self) -> &'static str { match self { $(Bug::$variant => $name),* } }
            /// The rule it breaks.
            pub fn rule(self) -> &'static str { match self { $(Bug::$variant => $rule),* } }
        }
    };
}

bugs! {
    /// The mirror acknowledges log when it arrives, not when it is flushed.
    AckBeforeFlush = "ack-before-flush", "P-11";
    /// The principal answers clients without looking at its leases.
    NoLeaseCheck = "no-lease-check", "OQ-3.1";
    /// The principal runs exposed without asking anybody.
    NoExpose = "no-expose", "OQ-4.1";
    /// Messages of a lower role sequence are taken as if they were current.
    NoRoleSequenceCheck = "no-role-sequence-check", "P-7";
    /// A rejoining partner keeps its log beyond the common prefix.
    NoUndo = "no-undo", "FO-43";
    /// The witness answers before its record is durable.
    WitnessAnswersBeforeFlush = "witness-answers-before-flush", "OQ-4.3";
    /// A mirror that lost its witness stays armed and claims after a flap.
    ArmedAcrossFlap = "armed-across-flap", "OQ-15";
    /// The claim is not made durable, and is forgotten when the principal is met again.
    VolatileClaim = "volatile-claim", "OQ-4.3";
    /// Recovery takes log blocks without looking at their checksum.
    NoRecoveryChecksum = "no-recovery-checksum", "P-11";
    /// A mirror with an open claim goes on echoing and following the principal. Model check: F1.
    ClaimantFollows = "claimant-follows", "OQ-4.3";
    /// A principal that recovers goes on in the log branch it was in. Model check: F3.
    NoLogBranch = "no-log-branch", "OQ-68";
    /// While SYNCHRONIZING, commits do not wait for the mirror, whoever noted it. Model check: F7.
    SynchronizingDoesNotWait = "synchronizing-does-not-wait", "OQ-4.1";
    /// A restarted principal believes that it still runs exposed.
    ExposedAfterRestart = "exposed-after-restart", "OQ-4.1";
    /// The right to run exposed outlives the way to SYNCHRONIZED.
    ExposedAfterSynced = "exposed-after-synced", "OQ-4.2";
    /// The refusal "not lost yet" is taken as the witness's last word.
    RefusalIsFinal = "refusal-is-final", "OQ-3.3";
    /// The witness takes SYNCED, and the record of it, from the mirror.
    SyncedFromMirror = "synced-from-mirror", "OQ-4.1";
    /// A mirror whose record agrees with the witness's arms itself.
    MirrorArmsItself = "mirror-arms-itself", "OQ-4.2";
    /// Pings of another role sequence are life signs, and are echoed.
    EchoAnySequence = "echo-any-sequence", "OQ-1";
    /// A time-out or arbitration BYE counts as the end of the principal's service.
    AnyByeIsDefinite = "any-bye-is-definite", "OQ-3.4";
    /// A filter's reset of a dial counts as "nothing listens".
    ResetIsRefusal = "reset-is-refusal", "OQ-3.4";
    /// An instance that is told of a higher role sequence does not write it.
    VolatileSequence = "volatile-sequence", "OQ-4.5";
    /// After a break of the mirror-witness channel an open claim is sent again instead of queried.
    ClaimAfterFlap = "claim-after-flap", "OQ-4.3";
    /// The role record is told while it is on its way to the disk.
    RecordBeforeFlush = "record-before-flush", "P-1";
    /// An instance that is told that it owns a higher role sequence stays mirror. Model check: F2.
    NotElected = "not-elected", "OQ-4.5";
    /// The hand-over record keeps the role sequence at hand. Model check: F4.
    HandoverKeepsSequence = "handover-keeps-sequence", "OQ-9";
    /// Forced service asks for no declaration of loss, here or at the witness. Model check: F5.
    ForceWithoutClaim = "force-without-claim", "OQ-4.6";
    /// A setting's counter alone tells which is newer, whatever role sequence it was set under. Model check: F9.
    StampWithoutRoleSequence = "stamp-without-role-sequence", "OQ-20";
    /// The hand-over is told to the partner only. Model check: F10.
    HandoverHiddenFromWitness = "handover-hidden-from-witness", "OQ-9";
    /// A lease uses the own period only. Model check: F6.
    LeaseByOwnPeriod = "lease-by-own-period", "OQ-3.1";
    /// SET WITNESS OFF releases the principal first. Model check: F8.
    ReleasedFirst = "released-first", "OQ-16";
    /// A principal whose hand-over meets a broken link serves again.
    ServesAfterHandover = "serves-after-handover", "FO-39";
    /// While the hand-over is being written the principal goes on answering clients.
    ServesWhileHandingOver = "serves-while-handing-over", "OQ-9";
    /// Forced service does not ask for the witness.
    ForceWithoutWitness = "force-without-witness", "FO-52";
    /// Whether a copy may be forced is read off the suspended flag, not off its fork.
    ForceBySuspendedFlag = "force-by-suspended-flag", "OQ-7";
    /// RESUME keeps what the rejoining copy has beyond the fork.
    ResumeKeepsFork = "resume-keeps-fork", "FO-46";
    /// A rejoining partner undoes its log without waiting for RESUME.
    UndoWithoutResume = "undo-without-resume", "FO-45";
    /// A suspended session stays armed.
    SuspendedFailsOver = "suspended-fails-over", "FO-29";
    /// Neither forced service nor SUSPEND survives a restart: the flag is not read back.
    VolatileSuspend = "volatile-suspend", "TR-11";
    /// A witness makes a session of a role record it does not know.
    WitnessFromHello = "witness-from-hello", "OQ-16";
    /// Log is truncated though a paused mirror has not got it.
    TruncateWhileSuspended = "truncate-while-suspended", "INV-8";
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
