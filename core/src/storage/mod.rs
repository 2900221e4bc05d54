//! Storage of one copy.
