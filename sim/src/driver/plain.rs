//! The bare loop.

use super::Outcome;
use crate::node::Actor;
use crate::world::{Step, World};

/// Runs the world to its end.
pub(super) fn run(mut world: World) -> Outcome {
    let mut actors: Vec<Option<Actor>> = (0..world.roster().nodes()).map(|_| None).collect();
    loop {
        match world.next() {
            Step::Actor(node, event) => {
                let actor = actors[node.index()].as_mut().expect("the world names only nodes it has booted");
                world.deliver(actor, node, event);
            }
            Step::Kill(node) => {
                world.power_failure(node);
                actors[node.index()] = None;
            }
            Step::Boot(node) => actors[node.index()] = Some(world.boot(node)),
            Step::End => return world.finish(),
        }
    }
}
