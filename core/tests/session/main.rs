//! Rules of the session, one test each, on a table of three instances.

mod commit;
mod disks;
mod events;
mod failover;
mod force;
mod handover;
mod matrix;
mod order;
mod pause;
mod quorum;
mod removal;
mod restart;
mod statements;
mod states;
mod table;
mod undo;
