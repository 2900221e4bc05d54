//! How a seed ends: everything heals, or some survive and the rest is gone for good. Either way the run goes on for as
//! long as the oracle needs to judge what is left.

use crate::fault::{Action, Path};
use crate::oracle;
use crate::plan::draw::Draw;
use crate::plan::owner::TAIL;
use crate::promise;
use crate::scenario::Scenario;
use crate::time::Time;
use crate::validate;

/// A little more than the oracle needs, so that no rounding decides.
const MARGIN: Time = Time::secs(2);

/// The end of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is lifted.
    Healed,
    /// Everything is lifted, and in the same moment one instance is gone for good: whoever is left has to cope with what
    /// it knows.
    Survivors(Gone),
    /// Everything is lifted, the session becomes whole, and only then one instance is gone for good.
    Majority(Gone),
}

/// Who is gone for good, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Who.
    pub instance: String,
    /// How.
    pub way: Way,
}

/// Ways to be gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The process is dead.
    Crash,
    /// Its host has no power.
    Host,
    /// Cut off from the other instances, but not from clients.
    Cut,
    /// It stands still.
    Pause,
}

impl End {
    /// The name of the kind of end, for notes and counts.
    pub fn name(&self) -> &'static str {
        match self {
            End::Healed => "healed",
            End::Survivors(_) => "survivors",
            End::Majority(_) => "majority",
        }
    }

    pub(super) fn draw(plan: &Scenario, owner: bool, draw: &mut Draw) -> End {
        let session = &plan.session;
        let mut members = vec![session.principal.clone(), session.mirror.clone()];
        members.extend(session.witness.clone());
        let kind = draw.between(0, 9);
        let instance = draw.pick(&members).cloned().unwrap_or_default();
        let way = draw.pick(&[Way::Crash, Way::Crash, Way::Host, Way::Cut, Way::Pause]).copied();
        let gone = Gone { instance, way: way.unwrap_or(Way::Crash) };
        match kind {
            // An owner may have taken the witness away, or paused the session, and must be able to mend that.
            0 | 1 if !owner => End::Survivors(gone),
            0..=2 => End::Majority(gone),
            _ => End::Healed,
        }
    }

    /// Adds the end to `plan`, whose faults stop at `until`, and makes it as long as it has to be.
    pub(super) fn finish(
        &self,
        plan: &mut Scenario,
        steps: &mut Vec<(Time, Action)>,
        until: Time,
        owner: bool,
    ) {
        steps.push((until, Action::HealAll));
        let last_statement = if owner { until + TAIL } else { until };
        let settled = |plan: &Scenario| oracle::judged_after(plan, until, last_statement) + MARGIN;
        let quiet = settled(&with(plan, steps));
        let (lost, end) = match self {
            End::Healed => (quiet, quiet),
            End::Survivors(gone) => {
                gone.steps(plan, until, steps);
                (until, quiet)
            }
            End::Majority(gone) => {
                gone.steps(plan, quiet, steps);
                (quiet, oracle::judged_after(&with(plan, steps), quiet, last_statement) + MARGIN)
            }
        };
        plan.duration = end;
        // Who is left must not end with a full log.
        let most = promise::commits_per_s_max(Time(end.0 - lost.0));
        if let Some(workload) = &mut plan.workload {
            workload.commits_per_s = workload.commits_per_s.min(most);
        }
    }
}

/// The plan as it stands, for what depends on its statements and clocks.
fn with(plan: &Scenario, steps: &[(Time, Action)]) -> Scenario {
    let mut whole = plan.clone();
    whole.timeline.extend(steps.iter().map(|(at, action)| super::timed(*at, action.clone())));
    whole
}

impl Gone {
    fn steps(&self, plan: &Scenario, at: Time, steps: &mut Vec<(Time, Action)>) {
        let name = &self.instance;
        match self.way {
            Way::Crash => steps.push((at, Action::Crash(name.clone()))),
            Way::Pause => steps.push((at, Action::Pause(name.clone()))),
            Way::Host => {
                let hosts = validate::hosts(plan);
                let host =
                    plan.instances.iter().position(|i| i.name == *name).map_or(name.as_str(), |i| hosts[i]);
                steps.push((at, Action::HostDown(host.into())));
            }
            Way::Cut => {
                for other in plan.instances.iter().filter(|i| i.name != *name) {
                    let path = Path { from: name.clone(), to: other.name.clone(), both: true };
                    steps.push((at, Action::Cut(path)));
                }
            }
        }
    }
}
