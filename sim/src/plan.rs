//! From a scenario and a seed to a plan: windows become moments, chaos becomes steps, and what comes out is again a
//! scenario file. Latencies and workload stay to be drawn in the run, from streams of the same seed.
//!
//! Every step draws from a stream of its own, so that one more step moves no other.

mod chaos;
mod draw;
mod owner;
pub mod spans;
pub mod swarm;

pub use chaos::CLASSES as CHAOS_CLASSES;
pub use owner::TAIL as OWNER_TAIL;
pub use swarm::LONGEST as SWARM_LONGEST;

use crate::scenario::{Scenario, Step};
use crate::time::Time;
use draw::Draw;

/// The seed that `scenario` runs with when none is asked for.
pub fn default_seed(scenario: &Scenario) -> u64 {
    scenario.seed.unwrap_or(1)
}

/// Is there nothing left to draw, so that the file is a plan?
pub fn is_plan(scenario: &Scenario) -> bool {
    scenario.seed.is_some()
        && scenario.chaos.is_none()
        && scenario.swarm.is_none()
        && scenario.timeline.iter().all(|step| step.between.is_none())
}

/// The plan of `scenario` for `seed`; of a plan, itself with that seed. The scenario must have passed
/// [`crate::validate::check`]; then so does the plan.
pub fn resolve(scenario: &Scenario, seed: u64) -> Scenario {
    if let Some(swarm) = &scenario.swarm {
        return swarm::resolve(scenario, swarm, seed);
    }
    let mut plan = scenario.clone();
    plan.seed = Some(seed);
    for (i, step) in plan.timeline.iter_mut().enumerate() {
        if let Some([from, to]) = step.between.take() {
            let mut draw = Draw::named(seed, &format!("plan/step/{i}"));
            step.at = Some(Time(draw.between(from.0, to.0)));
        }
    }
    if let Some(chaos) = plan.chaos.take() {
        plan.timeline.extend(chaos::steps(scenario, &chaos, seed));
    }
    plan.timeline = in_order(plan.timeline);
    plan
}

/// Steps in the order of their times; a step with a trigger stays behind the step it follows in the file. References
/// between steps follow.
pub(crate) fn in_order(steps: Vec<Step>) -> Vec<Step> {
    let mut time = Time(0);
    let mut keyed: Vec<(Time, usize, Step)> = Vec::with_capacity(steps.len());
    for (i, step) in steps.into_iter().enumerate() {
        time = step.at.unwrap_or(time);
        keyed.push((time, i, step));
    }
    keyed.sort_by_key(|(time, i, _)| (*time, *i));
    let mut place = vec![0; keyed.len()];
    for (new, (_, old, _)) in keyed.iter().enumerate() {
        place[*old] = new;
    }
    keyed
        .into_iter()
        .map(|(_, _, mut step)| {
            step.after_step = step.after_step.map(|old| place[old]);
            step
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Action;
    use crate::read;
    use crate::read::tests::small;
    use crate::scenario::{Chaos, FaultClass, StatementWeights, Statements, Trigger};
    use crate::validate;
    use dbm_core::control::{self, Statement};
    use std::collections::BTreeSet;

    fn chaotic() -> Scenario {
        let mut scenario = small();
        scenario.duration = Time::secs(60);
        let (from, until, every) = (Time::secs(5), Time::secs(40), Time::secs(2));
        scenario.chaos = Some(Chaos { from, until, every, classes: Vec::new(), statements: None });
        scenario.timeline = vec![
            Step { between: Some([Time::secs(30), Time::secs(50)]), ..step(Action::HealAll) },
            Step {
                on: Some(Trigger::Started { instance: "A".into() }),
                after_step: Some(0),
                ..step(Action::HealAll)
            },
            Step { at: Some(Time::secs(45)), ..step(Action::Crash("A".into())) },
        ];
        scenario
    }

    fn step(action: Action) -> Step {
        Step {
            at: None,
            between: None,
            on: None,
            nth: None,
            after_step: None,
            delay: None,
            until: None,
            action,
        }
    }

    #[test]
    fn a_plan_has_a_seed_and_nothing_left_to_draw() {
        let scenario = chaotic();
        assert!(!is_plan(&scenario));
        let plan = resolve(&scenario, 7);
        assert!(is_plan(&plan));
        assert_eq!(plan.seed, Some(7));
        assert_eq!(validate::check(&plan), []);
    }

    #[test]
    fn a_plan_is_its_own_plan_and_survives_json() {
        for seed in 0..50 {
            let plan = resolve(&chaotic(), seed);
            assert_eq!(resolve(&plan, seed), plan);
            let text = serde_json::to_string_pretty(&plan).expect("a plan is JSON");
            assert_eq!(read::text(std::path::Path::new("plan.json"), &text).expect("reads back"), plan);
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        assert_eq!(resolve(&chaotic(), 3), resolve(&chaotic(), 3));
        assert_ne!(resolve(&chaotic(), 3).timeline, resolve(&chaotic(), 4).timeline);
    }

    #[test]
    fn another_step_does_not_move_the_draws_of_the_others() {
        let mut more = chaotic();
        more.timeline.push(Step { between: Some([Time::secs(46), Time::secs(59)]), ..step(Action::HealAll) });
        let before = resolve(&chaotic(), 9).timeline;
        let after = resolve(&more, 9).timeline;
        assert_eq!(after.len(), before.len() + 1);
        let plain = |steps: &[Step]| -> Vec<(Option<Time>, Action)> {
            steps.iter().map(|s| (s.at, s.action.clone())).collect()
        };
        let kept = plain(&after);
        assert!(plain(&before).iter().all(|s| kept.contains(s)));
    }

    #[test]
    fn references_between_steps_follow_the_order_of_times() {
        for seed in 0..20 {
            let plan = resolve(&chaotic(), seed);
            let waiting = plan.timeline.iter().find(|s| s.on.is_some()).expect("the step with a trigger");
            let anchor = &plan.timeline[waiting.after_step.expect("an anchor")];
            assert_eq!(anchor.action, Action::HealAll);
            assert!(anchor.at.is_some_and(|t| t >= Time::secs(30)));
        }
    }

    #[test]
    fn chaos_ends_with_everything_healed() {
        for seed in 0..100 {
            let plan = resolve(&Scenario { timeline: Vec::new(), ..chaotic() }, seed);
            let last = plan.timeline.last().expect("chaos has steps");
            assert_eq!((last.at, &last.action), (Some(Time::secs(40)), &Action::HealAll));
            assert!(plan.timeline.iter().all(|s| s.at >= Some(Time::secs(5))));
        }
    }

    #[test]
    fn chaos_kills_or_isolates_the_first_principal_early_in_most_seeds() {
        let mut hit = 0;
        for seed in 0..300 {
            let plan = resolve(&Scenario { timeline: Vec::new(), ..chaotic() }, seed);
            let dead = plan.timeline.iter().any(|s| {
                matches!(&s.action, Action::Crash(a) | Action::HostDown(a) | Action::Pause(a) if a == "A")
            });
            let cut = |other: &str| {
                plan.timeline.iter().any(|s| {
                    matches!(&s.action, Action::Cut(p) | Action::Stall(p)
                        if (p.from == "A" && p.to == other) || (p.to == "A" && p.from == other))
                })
            };
            hit += u32::from(dead || (cut("B") && cut("W")));
        }
        assert!(hit > 240, "{hit} of 300");
    }

    #[test]
    fn every_class_occurs_and_only_those_asked_for() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            for s in resolve(&chaotic(), seed).timeline {
                seen.insert(
                    serde_json::to_value(&s.action)
                        .expect("JSON")
                        .to_string()
                        .split('"')
                        .nth(1)
                        .map(String::from),
                );
            }
        }
        for kind in [
            "crash",
            "host_down",
            "pause",
            "cut",
            "stall",
            "slow",
            "reset",
            "refuse",
            "disk_stall",
            "disk_slow",
            "clock_rate",
            "clock_step",
            "clock_freeze",
        ] {
            assert!(seen.contains(&Some(kind.to_owned())), "no {kind}");
        }
        let mut only = chaotic();
        only.timeline.clear();
        if let Some(chaos) = &mut only.chaos {
            chaos.classes = vec![FaultClass::Pause];
        }
        for s in resolve(&only, 1).timeline {
            assert!(matches!(s.action, Action::Pause(_) | Action::Unpause(_) | Action::HealAll), "{s:?}");
        }
    }

    fn owned() -> Scenario {
        let statements = Statements { every: Time::secs(2), weights: StatementWeights::default() };
        let mut scenario = Scenario { timeline: Vec::new(), ..chaotic() };
        if let Some(chaos) = &mut scenario.chaos {
            chaos.statements = Some(statements);
        }
        scenario
    }

    fn said(plan: &Scenario) -> Vec<(Time, String, Statement)> {
        let sql = |s: &Step| match &s.action {
            Action::Sql { on, text, error: Some(-1) } => {
                Some((s.at.expect("a time"), on.clone(), control::parse(text).expect("a statement")))
            }
            _ => None,
        };
        plan.timeline.iter().filter_map(sql).collect()
    }

    #[test]
    fn an_owner_gives_every_statement_and_ends_with_what_brings_the_session_back() {
        let mut seen = BTreeSet::new();
        for seed in 0..100 {
            let plan = resolve(&owned(), seed);
            assert_eq!(validate::check(&plan), []);
            assert!(
                plan.timeline.iter().any(|s| s.at == Some(Time::secs(40)) && s.action == Action::HealAll)
            );
            for (at, on, statement) in said(&plan) {
                let text = statement.to_string();
                let option = text.split("SET ").nth(1).unwrap_or_default().replace("PARTNER ", "");
                let word = option.split([' ', '=']).next().unwrap_or_default().to_owned();
                let harmless = ["RESUME", "SAFETY FULL", "TIMEOUT 10", "WITNESS"];
                assert!(at < Time::secs(40) || harmless.iter().any(|h| option.starts_with(h)), "{text}");
                seen.insert((word, on));
            }
        }
        for word in
            ["FAILOVER", "FORCE_SERVICE_ALLOW_DATA_LOSS", "SUSPEND", "RESUME", "SAFETY", "TIMEOUT", "WITNESS"]
        {
            for on in ["A", "B"] {
                assert!(seen.contains(&(word.into(), on.into())), "{word} on {on}");
            }
        }
        assert!(
            !seen.iter().any(|(word, _)| word == "OFF"),
            "a session was removed although its weight is 0"
        );
    }

    #[test]
    fn an_owner_draws_from_a_stream_of_its_own() {
        let mut other = owned();
        if let Some(Chaos { statements: Some(statements), .. }) = &mut other.chaos {
            statements.weights = StatementWeights { resume: 0, remove: 7, ..statements.weights };
            statements.weights.force_service = 0;
            statements.weights.failover = 0;
        }
        let without = Scenario { timeline: Vec::new(), ..chaotic() };
        for seed in 0..20 {
            let faults = |plan: Scenario| -> Vec<Step> {
                let sql = |s: &Step| matches!(s.action, Action::Sql { .. });
                plan.timeline.into_iter().filter(|s| !sql(s)).collect()
            };
            assert_eq!(faults(resolve(&other, seed)), faults(resolve(&without, seed)));
        }
    }

    #[test]
    fn faults_of_chaos_overlap() {
        let mut overlapping = 0;
        for seed in 0..100 {
            let mut open = 0_i32;
            let mut most = 0;
            for s in resolve(&Scenario { timeline: Vec::new(), ..chaotic() }, seed).timeline {
                open += match s.action {
                    Action::Crash(_)
                    | Action::HostDown(_)
                    | Action::Pause(_)
                    | Action::Cut(_)
                    | Action::Stall(_)
                    | Action::Slow { .. }
                    | Action::Refuse(_)
                    | Action::Throttle { .. }
                    | Action::Corrupt { .. }
                    | Action::SlowStart { .. }
                    | Action::DiskStall(_)
                    | Action::DiskSlow { .. }
                    | Action::DiskFail(_)
                    | Action::DiskFull(_)
                    | Action::DiskLie(_)
                    | Action::SlowCpu { .. } => 1,
                    Action::Restart(_)
                    | Action::HostUp(_)
                    | Action::Unpause(_)
                    | Action::Heal(_)
                    | Action::DiskHeal(_)
                    | Action::FastCpu(_) => -1,
                    Action::Reset(_)
                    | Action::DiskError { .. }
                    | Action::Misdirect { .. }
                    | Action::Rot { .. }
                    | Action::RestartLoop { .. }
                    | Action::ClockRate { .. }
                    | Action::ClockStep { .. }
                    | Action::ClockFreeze { .. }
                    | Action::HealAll
                    | Action::Sql { .. }
                    | Action::Inject { .. } => 0,
                };
                most = most.max(open);
            }
            overlapping += u32::from(most >= 2);
        }
        assert!(overlapping > 90, "{overlapping} of 100");
    }
}
