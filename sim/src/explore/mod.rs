//! A bounded exploration of the same instances that the simulator runs: every order of what can happen, and every place
//! of a few faults, instead of one order per seed. `docs/explorer.md` says what is covered and what is not.
//!
//! | file | what it owns |
//! |---|---|
//! | `action` | one step of a path |
//! | `model`, `links`, `disk` | the world: what a step does |
//! | `moves` | which steps a state has |
//! | `canon` | when two states are one |
//! | `judge` | what must hold |
//! | `situation` | where it starts |
//! | `table`, `search` | the search |
//! | `path`, `transcript` | a path in a file, and its repetition |
//! | `as_scenario` | the nearest scenario |

pub mod action;
pub mod as_scenario;
pub mod canon;
pub mod disk;
pub mod judge;
pub mod links;
pub mod model;
pub mod moves;
pub mod path;
pub mod search;
pub mod situation;
pub mod table;
pub mod transcript;

#[cfg(test)]
mod tests;
