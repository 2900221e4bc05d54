//! A swarm: each seed draws a small world of its own and what happens to it. [decisions: plan]
//!
//! `shape` draws what a seed is like, `stories` how it may begin, `faults` (with `breaks`) and `aims` what is done to it,
//! `ends` how it ends. Chaos asks whether one world stands everything; a swarm asks whether every world stands something,
//! so that faults which hide each other get their turn apart as well.

mod aims;
mod breaks;
mod ends;
mod faults;
mod shape;
mod stories;

pub use ends::{End, Gone, Way};
pub use shape::Shape;
pub use stories::Story;

use crate::fault::Action;
use crate::read;
use crate::scenario::{FaultClass, Scenario, Step, Swarm};
use crate::time::Time;
use std::path::Path;

/// No seed's run is longer.
pub const LONGEST: Time = Time::secs(240);

/// The file that the program carries with it.
pub const DEFAULT_FILE: &str = "scenarios/chaos/swarm.json";

/// The swarm of [`DEFAULT_FILE`], compiled in.
pub fn default_scenario() -> Scenario {
    let text = include_str!("../../../scenarios/chaos/swarm.json");
    read::text(Path::new(DEFAULT_FILE), text)
        .expect("the file that is compiled in is a scenario; a test reads it")
}

/// What `seed` is like in the swarm of `scenario`.
pub fn shape(scenario: &Scenario, seed: u64) -> Shape {
    shape::draw(scenario, seed).1
}

/// The plan of `seed`.
pub(super) fn resolve(scenario: &Scenario, swarm: &Swarm, seed: u64) -> Scenario {
    let (mut plan, shape) = shape::draw(scenario, seed);
    let mut steps = faults::draw(&plan, &shape, seed);
    let mut aimed = aims::draw(&plan, &shape, seed);
    // The end has to know what the story says, too.
    plan.timeline = stories::draw(&plan, &shape, seed);
    shape.end.finish(&mut plan, &mut steps, shape.until, shape.owner.is_some());
    let left_out =
        |action: &Action| FaultClass::of(action).is_some_and(|class| swarm.without.contains(&class));
    steps.retain(|(_, action)| !left_out(action));
    aimed.retain(|step| !left_out(&step.action));
    steps.sort_by_key(|(at, _)| *at);
    let told = leave_out(std::mem::take(&mut plan.timeline), left_out);
    // Steps that wait for the first fault after the story are told its place.
    let first = told.len() + aimed.len();
    aimed.iter_mut().filter(|step| step.after_step.is_some()).for_each(|step| step.after_step = Some(first));
    plan.timeline = told;
    plan.timeline.extend(aimed);
    plan.timeline.extend(steps.into_iter().map(|(at, action)| timed(at, action)));
    plan.note = note(&shape);
    plan
}

/// Without the steps that are left out; who waited for one of them waits for nobody.
fn leave_out(steps: Vec<Step>, left_out: impl Fn(&Action) -> bool) -> Vec<Step> {
    let kept: Vec<bool> = steps.iter().map(|step| !left_out(&step.action)).collect();
    let place = |old: usize| kept[old].then(|| kept[..old].iter().filter(|kept| **kept).count());
    let steps = steps.into_iter().zip(&kept).filter(|(_, kept)| **kept);
    steps.map(|(step, _)| Step { after_step: step.after_step.and_then(place), ..step }).collect()
}

fn note(shape: &Shape) -> String {
    let mood = if shape.calm { "calm" } else { "wild" };
    let owner = if shape.owner.is_some() { ", with an owner" } else { "" };
    let story = shape.story.map(|(story, _)| format!(", story {}", story.name())).unwrap_or_default();
    let classes: Vec<&str> = shape.classes.iter().map(|class| class.name()).collect();
    format!("swarm: {mood}{owner}{story}, end {}, classes {}", shape.end.name(), classes.join(" "))
}

fn timed(at: Time, action: Action) -> Step {
    Step {
        at: Some(at),
        between: None,
        on: None,
        nth: None,
        after_step: None,
        delay: None,
        until: None,
        action,
    }
}

#[cfg(test)]
mod tests;
