//! One mirroring session on one instance.
//!
//! `partner` holds the parts together and is the one place where a role changes; `principal` and `mirror` are the two
//! roles, `reconcile` brings a rejoining mirror's log onto the principal's, `statements` are the owner's commands,
//! `quorum` the pure rule of who may serve, `channel` what partner and witness share.

pub mod channel;
pub mod mirror;
pub mod partner;
pub mod principal;
pub mod quorum;
pub mod reconcile;
pub mod statements;
