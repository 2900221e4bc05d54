//! The simulated world around `dbm-core`: seeded, discrete-event, on madsim.

#[cfg(not(madsim))]
compile_error!(
    "dbm-sim runs on madsim's simulation mode, which needs `--cfg madsim`. Build from inside the repository (its \
     .cargo/config.toml sets the flag), and unset RUSTFLAGS: that variable replaces the flags of the file. Or add the \
     flag to it: RUSTFLAGS=\"--cfg madsim\"."
);

pub mod agenda;
pub mod campaign;
pub mod cli;
pub mod client;
pub mod clock;
pub mod coverage;
pub mod digest;
pub mod disk;
pub mod driver;
pub mod expect;
pub mod explore;
pub mod fault;
pub mod felt;
pub mod frames;
pub mod fuzz;
pub mod moments;
pub mod names;
pub mod network;
pub mod node;
pub mod observe;
pub mod oracle;
pub mod plan;
pub mod promise;
pub mod read;
pub mod report;
pub mod rng;
pub mod runner;
pub mod scenario;
pub mod schema;
pub mod script;
pub mod shrink;
#[cfg(test)]
mod testing;
pub mod time;
pub mod trace;
pub mod trigger;
pub mod validate;
pub mod watch;
pub mod world;
