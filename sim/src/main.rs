//! The command `dbmsim`.
fn main() {}
