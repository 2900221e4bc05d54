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
    /// A frame was held up by its path's jitter.
    Jitter = "jitter";
    /// A frame took longer on a narrowed path.
    Throttle = "throttle";
    /// A frame arrived with a flipped byte.
    Corrupt = "corrupt";
    /// A dial took longer.
    SlowStart = "slow_start";
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
    /// A disk operation failed; the disk works again later.
    DiskError = "disk_error";
    /// An operation of a broken disk failed.
    DiskFail = "disk_fail";
    /// A write found no room.
    DiskFull = "disk_full";
    /// An operation was reported as durable and was not.
    DiskLie = "disk_lie";
    /// A write landed on another sector.
    Misdirect = "misdirect";
    /// A process read a bit that had flipped.
    Rot = "rot";
    /// A crash, or a failed operation, lost a write wholly.
    LostWrite = "lost_write";
    /// A crash, or a failed operation, tore a write.
    TornWrite = "torn_write";
    /// A timer fired while a fault held the clock's rate.
    ClockRate = "clock_rate";
    /// Something was dated by a wall clock that had been stepped.
    ClockStep = "clock_step";
    /// Something was dated by a wall clock that stood still.
    ClockFreeze = "clock_freeze";
    /// An input waited for a slow process.
    SlowCpu = "slow_cpu";
    /// A running process died once more.
    RestartLoop = "restart_loop";
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
