//! How a state says what of it matters, so that a search over states can tell equal ones. Nothing in the protocol uses
//! this; hashes of the state are for a host that explores.
//!
//! The parts of an instance derive `Hash`, and what must not be compared as it stands goes through two doors that a
//! `Hasher` made for the purpose can guard:
//!
//! - *times* ([`time`]) arrive at `write_i128`: only their distance from now matters;
//! - *names* ([`name`]) arrive at `write_u128`: links, channels and versions of the record are only compared with their
//!   own kind, so their order matters and not the numbers.
//!
//! Counters that only tell requests apart (tickets, places in a channel) are left out of the hash where they stand.

use crate::types::Instant;
use std::hash::Hasher;

/// What is named; numbers of different kinds, or of different owners, are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A dial, and the channel it becomes; owned by its dialler.
    Channel = 1,
    /// A link, as one instance knows it.
    Link = 2,
    /// A version of one instance's session record.
    Version = 3,
}

/// A point in time.
pub fn time<H: Hasher>(state: &mut H, at: Instant) {
    state.write_i128(i128::from(at.0));
}

/// A name: kind, owner (0 where the owner is the instance that is hashed), number.
pub fn name<H: Hasher>(state: &mut H, kind: Kind, owner: u8, number: u64) {
    state.write_u128((kind as u128) << 120 | u128::from(owner) << 112 | u128::from(number));
}

/// A dial by its dialler's incarnation and running number. A later one is larger.
pub fn dial<H: Hasher>(state: &mut H, dialler: u8, incarnation: u32, dial: u32) {
    name(state, Kind::Channel, dialler, u64::from(incarnation) << 32 | u64::from(dial));
}
