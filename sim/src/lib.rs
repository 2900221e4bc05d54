//! The simulated world around `dbm-core`: seeded, discrete-event, on madsim.

pub mod client;
pub mod fault;
pub mod observe;
pub mod oracle;
pub mod scenario;
pub mod time;
