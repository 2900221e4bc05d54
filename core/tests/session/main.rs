//! Rules of the session, one test each, on a table of three instances.

mod commit;
mod events;
mod failover;
mod quorum;
mod restart;
mod statements;
mod table;
