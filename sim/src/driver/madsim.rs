//! The world on madsim.
//!
//! The world is a madsim plugin. Each instance and client is a madsim node with one task, which owns its actor. One
//! event at a time passes from task to task: whoever has finished a step asks the world for the next one, moves
//! madsim's clock to it and wakes the task it is for. Kills and restarts go through madsim's handle, from the
//! supervisor (the future in `block_on`); madsim's `reset_node` is the power failure.
//!
//! *Boot barrier.* A restarted node's task starts when madsim's scheduler likes. The supervisor therefore keeps the
//! turn until the new task has booted; so the order of events never depends on the scheduler.
//!
//! *Time.* Everything that waits stands in the world's agenda, never in a madsim timer. The world's clock is the
//! authority; madsim's follows it (and runs ahead by the nanoseconds that madsim adds for each poll).

use super::Outcome;
use crate::node::{Actor, NodeIndex};
use crate::world::{NodeEvent, Step, World};
use madsim::plugin::{Simulator, simulator};
use madsim::rand::GlobalRng;
use madsim::runtime::{Handle, Runtime};
use madsim::task::NodeId;
use madsim::time::{Duration, TimeHandle, sleep};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Runs the world to its end.
pub(super) fn run(world: World, seed: u64) -> Outcome {
    let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
    runtime.add_simulator::<Stage>();
    runtime.block_on(supervise(world))
}

/// Whose turn it is.
enum Turn {
    /// Nobody's yet, or a node's that boots.
    Nobody,
    Node(NodeIndex, NodeEvent),
    /// The supervisor's: to kill, boot or end.
    Supervisor(Step),
}

/// The plugin's state: the world and the turn.
struct Scene {
    world: Option<World>,
    turn: Turn,
    supervisor: Option<Waker>,
    wakers: Vec<Option<Waker>>,
    nodes: Vec<Option<NodeId>>,
    time: TimeHandle,
    /// madsim's time at the start of the run.
    base: Duration,
    over: bool,
}

/// The plugin.
struct Stage(Mutex<Scene>);

impl Simulator for Stage {
    fn new(_: &GlobalRng, time: &TimeHandle, _: &madsim::Config) -> Self {
        Stage(Mutex::new(Scene {
            world: None,
            turn: Turn::Nobody,
            supervisor: None,
            wakers: Vec::new(),
            nodes: Vec::new(),
            time: time.clone(),
            base: Duration::ZERO,
            over: false,
        }))
    }

    /// Power failure. The kills that clean up after the run are none.
    fn reset_node(&self, id: NodeId) {
        let mut scene = self.scene();
        if scene.over {
            return;
        }
        if let Some(index) = scene.nodes.iter().position(|node| *node == Some(id)) {
            scene.wakers[index] = None;
            scene.world().power_failure(NodeIndex(index as u16));
        }
    }
}

impl Stage {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        // A panic in here ends the run anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scene {
    fn world(&mut self) -> &mut World {
        self.world.as_mut().expect("the world is there from the first boot to the end")
    }

    /// Asks the world what comes and gives the turn to whom it is for; `me` is running already.
    fn pass(&mut self, me: Option<NodeIndex>) {
        let step = self.world().next();
        let now = self.base + Duration::from_micros(self.world().now().0);
        if let Some(ahead) = now.checked_sub(self.time.elapsed())
            && !ahead.is_zero()
        {
            self.time.advance(ahead);
        }
        self.turn = match step {
            Step::Actor(node, event) => {
                if me != Some(node)
                    && let Some(waker) = &self.wakers[node.index()]
                {
                    waker.wake_by_ref();
                }
                Turn::Node(node, event)
            }
            Step::Kill(_) | Step::Boot(_) | Step::End => {
                if me.is_some() {
                    self.wake_supervisor();
                }
                Turn::Supervisor(step)
            }
        };
    }

    fn wake_supervisor(&self) {
        if let Some(waker) = &self.supervisor {
            waker.wake_by_ref();
        }
    }
}

async fn supervise(world: World) -> Outcome {
    let handle = Handle::current();
    let stage = simulator::<Stage>();
    {
        let mut scene = stage.scene();
        let nodes = world.roster().nodes();
        scene.base = scene.time.elapsed();
        scene.world = Some(world);
        scene.wakers = vec![None; nodes];
        scene.nodes = vec![None; nodes];
        scene.pass(None);
    }
    loop {
        match poll_fn(|cx| supervisor_turn(&stage, cx)).await {
            Step::Kill(node) => {
                // The lock is free again: madsim calls `reset_node` from in here.
                let id = stage.scene().nodes[node.index()];
                handle.kill(id.expect("only a booted node is killed"));
            }
            Step::Boot(node) => {
                let id = stage.scene().nodes[node.index()];
                match id {
                    Some(id) => handle.restart(id),
                    None => {
                        let id = create(&handle, &stage, node);
                        stage.scene().nodes[node.index()] = Some(id);
                    }
                }
                poll_fn(|cx| booted(&stage, node, cx)).await;
            }
            Step::End => break,
            Step::Actor(..) => unreachable!("an event is a node's turn"),
        }
        stage.scene().pass(None);
    }
    let world = end(&handle, &stage).await;
    world.finish()
}

/// Waits for a turn of the supervisor.
fn supervisor_turn(stage: &Stage, cx: &mut Context<'_>) -> Poll<Step> {
    let mut scene = stage.scene();
    match std::mem::replace(&mut scene.turn, Turn::Nobody) {
        Turn::Supervisor(step) => Poll::Ready(step),
        turn @ (Turn::Nobody | Turn::Node(..)) => {
            scene.turn = turn;
            scene.supervisor = Some(cx.waker().clone());
            Poll::Pending
        }
    }
}

/// The boot barrier: waits until the node's new task has booted. A kill or restart has taken the old task's waker.
fn booted(stage: &Stage, node: NodeIndex, cx: &mut Context<'_>) -> Poll<()> {
    let mut scene = stage.scene();
    match scene.wakers[node.index()] {
        Some(_) => Poll::Ready(()),
        None => {
            scene.supervisor = Some(cx.waker().clone());
            Poll::Pending
        }
    }
}

/// Creates the node of an instance or client; its task boots now and at every restart.
fn create(handle: &Handle, stage: &Stage, node: NodeIndex) -> NodeId {
    let name = {
        let mut scene = stage.scene();
        let roster = scene.world().roster();
        match roster.client(node) {
            Some(client) => format!("client{}", client.0),
            None => roster.instance_name(node.index()).to_owned(),
        }
    };
    // The closure may run outside madsim's context: everything that needs it is inside the async block.
    let task = move || async move {
        let stage = simulator::<Stage>();
        let mut actor = None;
        poll_fn(move |cx| node_turn(&stage, node, &mut actor, cx)).await
    };
    handle.create_node().name(name).init(task).build().id()
}

/// One poll of a node's task: boots first, then handles events as long as they are its own.
fn node_turn(stage: &Stage, node: NodeIndex, actor: &mut Option<Actor>, cx: &mut Context<'_>) -> Poll<()> {
    let mut scene = stage.scene();
    let Some(actor) = actor else {
        *actor = Some(scene.world().boot(node));
        scene.wakers[node.index()] = Some(cx.waker().clone());
        scene.wake_supervisor();
        return Poll::Pending;
    };
    loop {
        match std::mem::replace(&mut scene.turn, Turn::Nobody) {
            Turn::Node(to, event) if to == node => {
                scene.world().deliver(actor, node, event);
                scene.pass(Some(node));
            }
            turn @ (Turn::Nobody | Turn::Node(..) | Turn::Supervisor(_)) => {
                scene.turn = turn;
                return Poll::Pending;
            }
        }
    }
}

/// Kills every node and drops every waker: tasks and wakers hold each other, and would stay for ever.
async fn end(handle: &Handle, stage: &Arc<Stage>) -> World {
    let nodes = {
        let mut scene = stage.scene();
        scene.over = true;
        std::mem::take(&mut scene.nodes)
    };
    nodes.into_iter().flatten().for_each(|id| handle.kill(id));
    let world = {
        let mut scene = stage.scene();
        scene.wakers.clear();
        scene.supervisor = None;
        scene.world.take().expect("the world is there to the end")
    };
    // A moment for madsim to drop the futures.
    sleep(Duration::from_millis(1)).await;
    world
}
