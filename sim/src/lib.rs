//! The simulated world around `dbm-core`: seeded, discrete-event, on madsim.

pub mod campaign;
pub mod cli;
pub mod client;
pub mod expect;
pub mod fault;
pub mod names;
pub mod observe;
pub mod plan;
pub mod read;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod schema;
pub mod time;
pub mod validate;
