//! SQL Server database mirroring as a pure state machine: [`Instance::handle`](instance::Instance::handle) takes the
//! time and one input and leaves effects. No clock, randomness, file, socket or thread inside; the host (the
//! simulator) owns all of them.
//!
//! Rule ids in brackets, such as `[OQ-4]`, are those of `docs/spec/`.

pub mod bugs;
pub mod canon;
pub mod config;
pub mod control;
pub mod instance;
pub mod io;
pub mod message;
pub mod prepared;
pub mod record;
pub mod session;
pub mod storage;
pub mod transport;
pub mod types;
pub mod view;
pub mod wire;
pub mod witness;
