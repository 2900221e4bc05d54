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
