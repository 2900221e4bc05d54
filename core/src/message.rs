//! What instances say to each other. One enum, one frame kind per variant; `wire` gives it bytes. [OQ-1]

use crate::storage::BranchTable;
use crate::types::{InstanceId, Instant, Lsn, MirroringState, PageId, RoleSequence, Safety};
use serde::{Deserialize, Serialize};

/// When a replicated value was set: the role sequence, then a counter of the setting. The larger is newer. [OQ-20]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Role sequence under which it was set.
    pub n: RoleSequence,
    /// Grows with every change of this value.
    pub sequence: u32,
}

/// A replicated value and when it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Stamped<T> {
    /// The value.
    pub value: T,
    /// When it was set.
    pub stamp: Stamp,
}

impl<T: Copy + PartialEq> Stamped<T> {
    /// Takes `other` when it is newer; tells whether anything changed.
    pub fn adopt(&mut self, other: &Stamped<T>) -> bool {
        if other.stamp > self.stamp {
            *self = *other;
            return true;
        }
        false
    }
    /// Sets a new value under role sequence `n`.
    pub fn set(&mut self, n: RoleSequence, value: T) {
        let sequence = self.stamp.sequence + 1;
        *self = Stamped { value, stamp: Stamp { n, sequence } };
    }
}

impl Stamped<bool> {
    /// "Not synchronised", as whoever makes somebody owner of `n` records it. Only the owner itself says more for its
    /// n, and everything it says is newer. [OQ-4.1]
    pub fn not_synchronized(n: RoleSequence) -> Self {
        Stamped { value: false, stamp: Stamp { n, sequence: 0 } }
    }
}

/// The WITNESS setting of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum WitnessSetting {
    /// No witness: no quorum rule.
    Off,
    /// This instance is the witness.
    Set(InstanceId),
    /// SET WITNESS OFF is under way: the quorum rule still binds, the witness no longer counts. [OQ-16]
    Leaving(InstanceId),
}

impl WitnessSetting {
    /// The witness that counts, if any.
    pub fn counting(self) -> Option<InstanceId> {
        match self {
            WitnessSetting::Set(id) => Some(id),
            WitnessSetting::Off | WitnessSetting::Leaving(_) => None,
        }
    }
    /// The instance named, counting or not.
    pub fn named(self) -> Option<InstanceId> {
        match self {
            WitnessSetting::Set(id) | WitnessSetting::Leaving(id) => Some(id),
            WitnessSetting::Off => None,
        }
    }
}

/// The shared part of the session record, as ROLE_RECORD carries it. [OQ-1, OQ-20]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct RoleRecord {
    /// Which session of this database: grows with every SET PARTNER =, and tells a session that was removed from the one
    /// set up after it. The simulated `mirroring_guid`. [ST-8, C-81]
    pub generation: u32,
    /// Role sequence.
    pub n: RoleSequence,
    /// Owner of the principal role under it.
    pub owner: InstanceId,
    /// The two partners.
    pub partners: [InstanceId; 2],
    /// SAFETY.
    pub safety: Stamped<Safety>,
    /// TIMEOUT in seconds.
    pub timeout_s: Stamped<u16>,
    /// WITNESS.
    pub witness: Stamped<WitnessSetting>,
    /// Were the partners synchronized? Written by the owner of n only. [OQ-4.1]
    pub synchronized: Stamped<bool>,
    /// Is the session suspended? [OQ-10]
    pub suspended: Stamped<bool>,
    /// Last LSN hardened on both partners, at the newest role switch.
    pub failover_lsn: Lsn,
}

impl RoleRecord {
    /// The role goes to `owner` under `n`, from this point of the log on, and nobody has said "synchronised" for it yet.
    /// [FO-4, FO-62, OQ-4.1]
    pub fn pass(&mut self, n: RoleSequence, owner: InstanceId, failover_lsn: Lsn) {
        self.n = n;
        self.owner = owner;
        self.failover_lsn = failover_lsn;
        self.synchronized = Stamped::not_synchronized(n);
    }

    /// What an instance with this record holds once it is told of `theirs`, which is of a higher role sequence: owner,
    /// failover LSN and the synchronised flag are those of the new n; of each setting the newer value counts, wherever it
    /// was made. [OQ-4.5, OQ-20]
    pub fn superseded_by(&self, theirs: &RoleRecord) -> RoleRecord {
        let mut merged = *theirs;
        merged.safety.adopt(&self.safety);
        merged.timeout_s.adopt(&self.timeout_s);
        // A removal that has not got through is the former owner's affair.
        if !matches!(self.witness.value, WitnessSetting::Leaving(_)) {
            merged.witness.adopt(&self.witness);
        }
        merged.suspended.adopt(&self.suspended);
        merged
    }
}

/// Where a partner's log stands, sent with its role record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct LogPosition {
    /// End of the sealed log, exclusive.
    pub end: Lsn,
    /// Branches of the log.
    pub branches: BranchTable,
}

/// One incarnation of a channel between two instances; both ends know it by the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChannelId {
    /// Who dialled the link under it.
    pub dialler: u8,
    /// The dialler's incarnation.
    pub incarnation: u32,
    /// The dialler's running number of dials.
    pub dial: u32,
}

impl std::hash::Hash for ChannelId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        crate::canon::dial(state, self.dialler, self.incarnation, self.dial);
    }
}

/// What a sender of pings knows of its channel to the third instance. [decisions: Arming]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct OtherChannel {
    /// The third instance.
    pub peer: InstanceId,
    /// The channel, while it is up and started.
    pub up: Option<ChannelId>,
}

/// Why a channel is closed in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum ByeReason {
    /// No ping in time. [FL-8]
    TimedOut,
    /// Another link to the same peer is kept. [EP-14]
    Arbitration,
}

/// Which replicated setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum Setting {
    /// SAFETY.
    Safety(Stamped<Safety>),
    /// TIMEOUT.
    Timeout(Stamped<u16>),
    /// WITNESS.
    Witness(Stamped<WitnessSetting>),
    /// SUSPEND and RESUME. [OQ-10]
    Suspended(Stamped<bool>),
}

impl Setting {
    /// When it was set.
    pub fn stamp(&self) -> Stamp {
        match self {
            Setting::Safety(s) => s.stamp,
            Setting::Timeout(s) => s.stamp,
            Setting::Witness(s) => s.stamp,
            Setting::Suspended(s) => s.stamp,
        }
    }
}

/// One message. Every one travels with session id, sender, incarnation, role sequence and channel sequence in the
/// frame's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub enum Message {
    /// First frame of a link, by its dialler.
    Hello {
        /// The dialler's running number of dials to this peer.
        dial: u32,
        /// The newest dial of the receiver (its incarnation, its number) that the sender has welcomed.
        welcomed: Option<(u32, u32)>,
    },
    /// The acceptor's answer: the link is in use from now on.
    Welcome {
        /// The dial that is welcomed.
        dial: u32,
    },
    /// Orderly close.
    Bye {
        /// Why.
        reason: ByeReason,
    },
    /// Life sign. [FL-6, OQ-3.1]
    Ping {
        /// The sender's time-out period in force, in seconds.
        timeout_s: u16,
        /// When it was sent, by the sender's clock.
        sent: Instant,
        /// Send time of the newest ping received from the receiver, if the sender's record names the receiver as owner
        /// of this n and no claim is open: it grants a lease.
        echo: Option<Instant>,
        /// The sender's view of its other channel.
        other: Option<OtherChannel>,
        /// The state the principal shows; the mirror shows the same. [ST-6]
        state: Option<MirroringState>,
    },
    /// ROLE_RECORD, the START of a channel and sent again whenever the sender adopts another one.
    Record {
        /// The shared record.
        record: RoleRecord,
        /// A partner's log position; absent from a witness and while the copy is not open.
        log: Option<LogPosition>,
    },
    /// The mirror asks for log. [S-30]
    LogRequest {
        /// From this mark on.
        from: Lsn,
    },
    /// Log, one or more whole blocks, LZ4-compressed as one group. [S-41]
    LogBlock {
        /// LSN of the first block.
        first: Lsn,
        /// End of the last one, exclusive.
        end: Lsn,
        /// Bytes when decompressed.
        raw_bytes: u32,
        /// The principal's hardened mark: what the mirror may show as the failover LSN.
        hardened: Lsn,
        /// The compressed bytes.
        #[serde(skip)]
        bytes: Vec<u8>,
    },
    /// What the mirror has hardened. [S-32]
    LogAck {
        /// Hardened mark, exclusive.
        hardened: Lsn,
        /// Redone mark, exclusive.
        redone: Lsn,
        /// Redo queue in bytes. [S-47]
        redo_queue_bytes: u64,
    },
    /// "Not synchronised" for the current n. [OQ-4.1]
    Expose {
        /// The new stamp of the synchronised flag.
        stamp: Stamp,
    },
    /// Durably noted.
    ExposeOk {
        /// The stamp noted.
        stamp: Stamp,
    },
    /// "Synchronised" for the current n. [OQ-4.2]
    Synced {
        /// The new stamp of the synchronised flag.
        stamp: Stamp,
    },
    /// Durably noted.
    SyncedOk {
        /// The stamp noted.
        stamp: Stamp,
    },
    /// The mirror may fail over automatically while this channel to the witness stands. [OQ-4.2]
    Armed {
        /// Stamp of the SYNCED record.
        stamp: Stamp,
        /// Channel between mirror and witness.
        channel: ChannelId,
    },
    /// The mirror, having lost the principal, asks the witness for the role. [OQ-4.3]
    Claim {
        /// Its synchronised record.
        stamp: Stamp,
        /// Its hardened mark.
        hardened: Lsn,
    },
    /// The owner orders the mirror to take the role, with possible loss. [OQ-4.6, FO-50 … FO-56]
    ForceClaim {
        /// The mirror's hardened mark.
        hardened: Lsn,
    },
    /// What became of my claim? [OQ-4.3]
    ClaimQuery {
        /// The claimed role sequence.
        claimed: RoleSequence,
    },
    /// The mirror is the owner of this n.
    ClaimGranted {
        /// The new role sequence.
        claimed: RoleSequence,
        /// The suspended flag as the witness holds it: set by a forced service. [FO-61]
        suspended: Stamped<bool>,
    },
    /// No.
    ClaimRefused {
        /// The claimed role sequence.
        claimed: RoleSequence,
        /// The records differ and asking again is useless; otherwise "principal not lost".
        last_word: bool,
    },
    /// A replicated setting. [C-47]
    SettingChange {
        /// The setting.
        setting: Setting,
    },
    /// Durably taken.
    SettingOk {
        /// Its stamp.
        stamp: Stamp,
    },
    /// A newer value is held: E1424.
    SettingRefused {
        /// The stamp refused.
        stamp: Stamp,
    },
    /// SET WITNESS: be the witness of this session. [OQ-16]
    WitnessSet {
        /// The record to keep.
        record: RoleRecord,
    },
    /// The principal has thrown its clients out and sent its whole log: harden it, and say so. [OQ-9.1]
    FailoverStart {
        /// End of the tail, exclusive.
        end: Lsn,
    },
    /// The mirror has hardened the tail and recorded the failover LSN. The hand-over itself is the role record that
    /// follows. [OQ-9.2]
    FailoverReady {
        /// The failover LSN.
        end: Lsn,
    },
    /// No such session here. [FL-30]
    NoSession,
    /// The session of that generation was removed. [C-80, C-81]
    SessionEnd {
        /// Its generation.
        generation: u32,
        /// Who was principal at its end, under the role sequence of the header.
        owner: InstanceId,
    },
    /// The principal sets up a session with a copy that waits for it. [C-51, S-30]
    Start {
        /// The record of the new session.
        record: RoleRecord,
        /// The principal's log.
        log: LogPosition,
        /// Where the log begins that it still has.
        log_start: Lsn,
    },
    /// The copy cannot be mirrored; nothing has changed there. [C-53]
    StartFail {
        /// The generation that was to be.
        generation: u32,
        /// Error number.
        error: u32,
    },
    /// Pages for the undo of a rejoining mirror. [OQ-21]
    PageRequest {
        /// Which.
        pages: Vec<PageId>,
    },
    /// One page.
    PageReply {
        /// Which.
        page: PageId,
        /// The page, encoded.
        #[serde(skip)]
        image: Vec<u8>,
    },
    /// The sender's files of this session have failed: it takes no part until its process starts again, as if that had
    /// died. [OQ-35, FL-18]
    DatabaseFailed,
}

macro_rules! kinds {
    ($($variant:ident = $code:literal, $name:literal;)*) => {
        impl Message {
            /// The frame kind's code on the wire.
            pub fn code(&self) -> u8 { match self { $(Message::$variant { .. } => $code),* } }
            /// Every kind: code and name, as traces and scenarios spell it.
            pub const KINDS: &[(u8, &str)] = &[$(($code, $name)),*];
        }
        /// The name of a frame kind.
        pub fn kind_name(code: u8) -> Option<&'static str> {
            match code { $($code => Some($name),)* _ => None }
        }
    };
}

kinds! {
    Hello = 1, "hello";
    Welcome = 2, "welcome";
    Bye = 3, "bye";
    Ping = 4, "ping";
    Record = 5, "record";
    LogRequest = 6, "log_request";
    LogBlock = 7, "log_block";
    LogAck = 8, "log_ack";
    Expose = 9, "expose";
    ExposeOk = 10, "expose_ok";
    Synced = 12, "synced";
    SyncedOk = 13, "synced_ok";
    Armed = 14, "armed";
    Claim = 15, "claim";
    ClaimQuery = 16, "claim_query";
    ClaimGranted = 17, "claim_granted";
    ClaimRefused = 18, "claim_refused";
    SettingChange = 19, "setting";
    SettingOk = 20, "setting_ok";
    SettingRefused = 21, "setting_refused";
    WitnessSet = 22, "witness_set";
    NoSession = 23, "no_session";
    PageRequest = 24, "page_request";
    PageReply = 25, "page_reply";
    ForceClaim = 26, "force_claim";
    FailoverStart = 27, "failover_start";
    FailoverReady = 28, "failover_ready";
    SessionEnd = 29, "session_end";
    Start = 30, "start";
    StartFail = 31, "start_fail";
    DatabaseFailed = 32, "database_failed";
}
