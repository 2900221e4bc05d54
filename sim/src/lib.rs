//! The simulated world around `dbm-core`: seeded, discrete-event, on madsim.

pub mod client;
pub mod fault;
pub mod observe;
pub mod rng;
pub mod scenario;
pub mod time;
