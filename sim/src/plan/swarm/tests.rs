use super::*;
use crate::plan::{self, spans};
use crate::validate;
use std::collections::{BTreeMap, BTreeSet};

const SEEDS: u64 = 1000;

/// The default swarm with every class.
fn everything() -> Scenario {
    Scenario { swarm: Some(Swarm::default()), ..default_scenario() }
}

fn plan_of(seed: u64) -> Scenario {
    plan::resolve(&everything(), seed)
}

#[test]
fn a_plan_of_a_swarm_is_sound_and_its_own_plan() {
    for seed in 0..300 {
        let plan = plan_of(seed);
        assert_eq!(validate::check(&plan), [], "seed {seed}");
        assert!(plan::is_plan(&plan) && plan.duration <= LONGEST, "seed {seed} lasts {}", plan.duration);
        assert_eq!(plan::resolve(&plan, seed), plan);
        let text = serde_json::to_string_pretty(&plan).expect("a plan is JSON");
        assert_eq!(read::text(Path::new("plan.json"), &text).expect("reads back"), plan);
    }
}

/// What a thousand seeds are made of.
#[test]
fn swarm_seeds_are_as_mixed_as_promised() {
    let (mut calm, mut wild, mut lonely) = (0, 0, 0);
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    let mut classes: BTreeMap<FaultClass, u64> = BTreeMap::new();
    let mut seconds = 0;
    for seed in 0..SEEDS {
        let (plan, shape) = (plan_of(seed), shape(&everything(), seed));
        seconds += plan.duration.0 / 1_000_000;
        let spans: Vec<spans::Span> =
            spans::of(&plan).into_iter().filter(|span| span.from < shape.until).collect();
        let faults: BTreeSet<usize> = spans.iter().map(|span| span.step).collect();
        if shape.calm {
            calm += 1;
            // A refusing filter comes with the reset that makes it felt.
            assert!(faults.len() <= 2, "seed {seed}: {faults:?}");
        } else {
            wild += 1;
            lonely += u64::from(!spans::overlap(&plan));
        }
        *ends.entry(shape.end.name()).or_default() += 1;
        for class in spans.iter().map(|span| span.class).collect::<BTreeSet<_>>() {
            *classes.entry(class).or_default() += 1;
        }
    }
    println!(
        "{SEEDS} seeds of {} s: {calm} calm, {lonely} of {wild} wild ones without overlap",
        seconds / SEEDS
    );
    println!("ends {ends:?}\nclasses {classes:?}");
    assert!((70..=130).contains(&calm), "{calm} calm seeds");
    assert!(lonely * 10 < wild, "{lonely} of {wild} wild seeds lack overlapping faults");
    for class in FaultClass::ALL {
        assert!(classes.get(&class).is_some_and(|n| *n >= 5), "{class:?}: {classes:?}");
    }
    for end in ["healed", "survivors", "majority"] {
        assert!(ends.get(end).is_some_and(|n| *n >= 50), "{end}: {ends:?}");
    }
}

#[test]
fn a_class_that_is_left_out_changes_nothing_else() {
    let mut without = everything();
    without.swarm = Some(Swarm { without: vec![FaultClass::Crash] });
    for seed in 0..100 {
        let actions = |plan: Scenario| -> Vec<(Option<Time>, Action)> {
            plan.timeline.into_iter().map(|step| (step.at, step.action)).collect()
        };
        let mut all = actions(plan_of(seed));
        all.retain(|(_, action)| FaultClass::of(action) != Some(FaultClass::Crash));
        assert_eq!(actions(plan::resolve(&without, seed)), all, "seed {seed}");
        assert_eq!(validate::check(&plan::resolve(&without, seed)), []);
    }
}
