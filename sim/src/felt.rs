//! What the nodes felt of the faults: an installed fault that no one met has tested nothing.

use std::collections::BTreeMap;

/// Defines the list once: variant and name in reports.
macro_rules! feelings {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// One way to be hit by a fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Feeling { $($(#[$doc])* $variant,)* }
        /// Their names, in the order of the variants.
        const NAMES: &[&str] = &[$($name),*];
    };
}

feelings! {
    /// A running process was killed.
    Crash = "crash";
    /// A running process died with its host, or something was lost because a host had no power.
    HostDown = "host_down";
    /// An input waited for a paused process.
    Pause = "pause";
    /// A frame, dial or reset was lost on a cut path.
    Cut = "cut";
    /// Something was held back on a stalled path.
    Stall = "stall";
    /// Something took longer on a slow path.
    Slow = "slow";
    /// A dial was reset by a filter.
    Refuse = "refuse";
    /// An open link was reset.
    Reset = "reset";
    /// A link ended because a cut lasted longer than its sender's patience.
    GaveUp = "retransmission_time_out";
    /// A disk completion waited.
    DiskStall = "disk_stall";
    /// A disk operation took longer.
    DiskSlow = "disk_slow";
    /// A crash lost a write, wholly.
    LostWrite = "lost_write";
    /// A crash tore a write.
    TornWrite = "torn_write";
    /// A timer fired while a fault held the clock's rate.
    ClockRate = "clock_rate";
    /// A stale frame was delivered.
    Inject = "inject";
}

/// Every name, in the order of the variants.
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// How often each was felt in a run.
#[derive(Clone, Debug)]
pub struct Felt([u64; NAMES.len()]);

impl Default for Felt {
    fn default() -> Self {
        Felt([0; NAMES.len()])
    }
}

impl Felt {
    /// Counts one.
    pub fn count(&mut self, feeling: Feeling) {
        self.0[feeling as usize] += 1;
    }
    /// How often so far.
    pub fn of(&self, feeling: Feeling) -> u64 {
        self.0[feeling as usize]
    }
    /// Those felt at least once, by name.
    pub fn by_name(&self) -> BTreeMap<&'static str, u64> {
        NAMES.iter().copied().zip(self.0).filter(|&(_, count)| count > 0).collect()
    }
}
