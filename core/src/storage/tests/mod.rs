//! Tests of a copy as a whole, on a small disk that loses, keeps and tears what is not durable.

mod behaviour;
mod damage;
mod disk;
mod node;
mod pair;
mod single;
