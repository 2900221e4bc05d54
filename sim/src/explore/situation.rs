//! Where an exploration starts: situations that are worth one, each reached by a fixed path from a prepared session.

use super::action::{Action, BreakKind};
use super::judge::Finding;
use super::links::pair;
use super::model::{Budget, Done, Model, Setup};
use super::moves;
use super::transcript::Taken;
use dbm_core::types::MirroringState;
use std::sync::Arc;

/// Steps on the way to a situation; a situation that takes longer does not exist.
const STEPS_MAX: usize = 20_000;

/// A situation.
pub struct Situation {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Does it need a witness?
    pub witness: bool,
    way: fn(&mut Way) -> Result<(), Lost>,
}

/// All situations.
pub const SITUATIONS: &[Situation] = &[
    Situation {
        name: "quorum",
        about: "all connected, SYNCHRONIZED, the mirror armed (without a witness: SYNCHRONIZED)",
        witness: false,
        way: quorum,
    },
    Situation {
        name: "synchronising",
        about: "all connected, the mirror is being brought to SYNCHRONIZED",
        witness: false,
        way: |way| way.start()?.until("A", "synced.begin"),
    },
    Situation {
        name: "exposed",
        about: "the pair A-B is broken, A runs exposed",
        witness: true,
        way: |way| {
            quorum(way)?;
            way.act(Action::Break(pair(0, 1), BreakKind::Drop))?;
            way.until("A", "exposed")?;
            way.quiet()
        },
    },
    Situation {
        name: "claim",
        about: "A is cut off, B's claim is durable and on its way to W",
        witness: true,
        way: |way| {
            isolate(way)?;
            way.until("B", "claim.durable")
        },
    },
    Situation {
        name: "undo",
        about: "B has taken over from A, which returned with log of its own and begins to undo it",
        witness: true,
        way: |way| {
            quorum(way)?;
            for other in [1, 2] {
                way.act(Action::Break(pair(0, other), BreakKind::Cut))?;
            }
            way.act(Action::Commit(0))?;
            way.while_not(|m| m.ghost.serves(1))?;
            way.quiet()?;
            for other in [1, 2] {
                way.act(Action::Heal(pair(0, other)))?;
            }
            way.until("A", "undo.begin")
        },
    },
    Situation {
        name: "failover",
        about: "all connected, FAILOVER was given to A",
        witness: false,
        way: |way| {
            quorum(way)?;
            way.state(0, "FAILOVER")
        },
    },
    Situation {
        name: "handover",
        about: "the same, and A's hand-over is on its way to its disk",
        witness: false,
        way: |way| {
            quorum(way)?;
            way.state(0, "FAILOVER")?;
            way.until("A", "handover.bound")
        },
    },
    Situation {
        name: "suspended",
        about: "all connected, SUSPENDED",
        witness: false,
        way: |way| {
            quorum(way)?;
            way.state(0, "SUSPEND")?;
            way.quiet()?;
            way.while_not(|m| m.shown[0].is_some_and(|(_, s)| s == MirroringState::Suspended))?;
            way.quiet()
        },
    },
    Situation {
        name: "last",
        about: "A ran exposed, confirmed a transaction, and is cut off now; only FORCE on B would bring service back \
                (without a witness, A still serves)",
        witness: false,
        way: last,
    },
    Situation {
        name: "force",
        about: "the same, FORCE was given to B and its claim is durable (without a witness: its record is on its way)",
        witness: false,
        way: force,
    },
    Situation {
        name: "forced",
        about: "the same, B serves, A is connected again and off the fork; RESUME is awaited",
        witness: false,
        way: |way| {
            force(way)?;
            way.while_not(|m| m.ghost.serves(1))?;
            way.heal()?;
            way.while_not(|m| m.quiet() && m.shown[0].is_some_and(|(_, s)| s == MirroringState::Suspended))
        },
    },
];

fn last(way: &mut Way) -> Result<(), Lost> {
    quorum(way)?;
    way.act(Action::Break(pair(0, 1), BreakKind::Drop))?;
    if way.model.setup.witness {
        way.until("A", "exposed")?;
    }
    way.quiet()?;
    way.act(Action::Commit(0))?;
    way.quiet()?;
    if way.model.setup.witness {
        way.act(Action::Break(pair(0, 2), BreakKind::Drop))?;
        way.while_not(|m| m.ghost.servers() == 0)?;
    }
    // Long enough for everybody to declare everybody lost.
    for _ in 0..10 {
        way.act(Action::Advance)?;
        way.quiet()?;
    }
    Ok(())
}

fn force(way: &mut Way) -> Result<(), Lost> {
    last(way)?;
    way.state(1, "FORCE")?;
    way.until("B", if way.model.setup.witness { "force.claim" } else { "force.recorded" })
}

fn quorum(way: &mut Way) -> Result<(), Lost> {
    way.start()?;
    if way.model.setup.witness {
        way.until("B", "armed")?;
    }
    way.while_not(moves::arrived)?;
    // What still changed in the last moments has been said and heard.
    for _ in 0..4 {
        way.act(Action::Advance)?;
        way.quiet()?;
    }
    Ok(())
}

fn isolate(way: &mut Way) -> Result<(), Lost> {
    quorum(way)?;
    way.act(Action::Break(pair(0, 1), BreakKind::Drop))?;
    way.act(Action::Break(pair(0, 2), BreakKind::Drop))
}

/// Why a situation was not reached.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Lost {
    /// It needs a witness.
    #[error("this situation needs a witness")]
    Witness,
    /// The way does not lead there.
    #[error("the situation was not reached: {0}")]
    Never(String),
    /// A rule was broken on the way.
    #[error("on the way to the situation: {}: {}", .0.rule, .0.text)]
    Finding(Finding),
}

impl From<Finding> for Lost {
    fn from(finding: Finding) -> Self {
        Lost::Finding(finding)
    }
}

/// A way to a situation: the world goes on kindly, and nothing is repaired by itself.
struct Way {
    model: Model,
    taken: Vec<Taken>,
}

impl Way {
    fn start(&mut self) -> Result<&mut Self, Lost> {
        for instance in self.model.instances() {
            self.act(Action::Restart(instance))?;
        }
        Ok(self)
    }

    fn act(&mut self, action: Action) -> Result<(), Lost> {
        let mut taken = Taken::begin(&self.model, action);
        let done = super::search::apply(&mut self.model, action)?;
        taken.end(&self.model);
        self.taken.push(taken);
        match done {
            Done::Yes => Ok(()),
            Done::No => Err(Lost::Never(format!("`{action}` cannot be done"))),
        }
    }

    /// A statement, before those that the exploration has to give.
    fn state(&mut self, instance: u8, statement: &str) -> Result<(), Lost> {
        let setup = self.model.setup.clone();
        let stated = std::mem::take(&mut self.model.stated);
        self.model.setup = Arc::new(Setup { statements: vec![statement.to_owned()], ..Setup::clone(&setup) });
        self.act(Action::Statement(instance))?;
        self.model.setup = setup;
        self.model.stated = stated;
        Ok(())
    }

    fn heal(&mut self) -> Result<(), Lost> {
        for pair in 0..self.model.links.cut.len() {
            if self.model.links.cut[pair] {
                self.act(Action::Heal(pair as u8))?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Lost> {
        let event = moves::events(&self.model).next();
        self.act(event.unwrap_or(Action::Advance))
    }

    fn while_not(&mut self, there: impl Fn(&Model) -> bool) -> Result<(), Lost> {
        for _ in 0..STEPS_MAX {
            if there(&self.model) {
                return Ok(());
            }
            self.step()?;
        }
        Err(Lost::Never("it never comes".into()))
    }

    /// Until an instance tells a step of the protocol.
    fn until(&mut self, who: &str, step: &str) -> Result<(), Lost> {
        let told = |m: &Model| {
            m.told.iter().any(|(i, name)| super::links::NAMES[usize::from(*i)] == who && name == step)
        };
        self.while_not(told).map_err(|e| match e {
            Lost::Never(_) => Lost::Never(format!("{who} never tells `{step}`")),
            other => other,
        })
    }

    /// Until the moment is over.
    fn quiet(&mut self) -> Result<(), Lost> {
        self.while_not(Model::quiet)
    }
}

impl Situation {
    /// The situation of that name.
    pub fn by_name(name: &str) -> Option<&'static Situation> {
        SITUATIONS.iter().find(|s| s.name == name)
    }

    /// A world in this situation, with `left` to happen, and the way there.
    pub fn reach(&self, setup: Setup, left: Budget) -> Result<(Model, Vec<Taken>), Lost> {
        if self.witness && !setup.witness {
            return Err(Lost::Witness);
        }
        let mut way = Way { model: Model::new(setup), taken: Vec::new() };
        way.model.left = Budget { breaks: 8, crashes: 8, commits: 8, stalls: 0, overtakes: u8::MAX };
        (self.way)(&mut way)?;
        let mut model = way.model;
        model.left = left;
        model.told.clear();
        Ok((model, way.taken))
    }
}
