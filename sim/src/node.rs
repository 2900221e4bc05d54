//! The processes of the world: who takes part, what hosts one, and how its panic is caught.

use crate::client::{Client, ClientEffect, ClientInput, ClientSetup};
use crate::observe::ClientId;
use crate::rng::Stream;
use crate::scenario::Scenario;
use crate::time::Time;
use dbm_core::config::Config;
use dbm_core::instance::Instance;
use dbm_core::io::{Effects, Input};
use dbm_core::types::{InstanceId, Instant};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// A node of the world: the instances by id, then the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(pub u16);

impl NodeIndex {
    /// As an index into a table of all nodes.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Who takes part in a run, and on which host.
#[derive(Clone, Debug)]
pub struct Roster {
    names: Vec<String>,
    host_names: Vec<String>,
    host_of: Vec<usize>,
    clients: u16,
}

impl Roster {
    /// The roster of a scenario. Hosts are numbered by first mention; each client has a host of its own, not listed.
    pub fn new(plan: &Scenario) -> Self {
        let mut host_names: Vec<String> = Vec::new();
        let host_of = plan
            .instances
            .iter()
            .map(|decl| {
                let host = decl.host.as_ref().unwrap_or(&decl.name);
                host_names.iter().position(|name| name == host).unwrap_or_else(|| {
                    host_names.push(host.clone());
                    host_names.len() - 1
                })
            })
            .collect();
        Roster {
            names: plan.instances.iter().map(|decl| decl.name.clone()).collect(),
            host_names,
            host_of,
            clients: plan.workload.map_or(0, |workload| workload.clients),
        }
    }

    /// Number of instances.
    pub fn instances(&self) -> usize {
        self.names.len()
    }
    /// Number of nodes: instances and clients.
    pub fn nodes(&self) -> usize {
        self.names.len() + usize::from(self.clients)
    }
    /// Number of hosts with instances.
    pub fn hosts(&self) -> usize {
        self.host_names.len()
    }
    /// The host of an instance.
    pub fn host_of(&self, instance: usize) -> usize {
        self.host_of[instance]
    }
    /// The instance of that name.
    pub fn instance(&self, name: &str) -> Option<u8> {
        self.names.iter().position(|n| n == name).map(|i| i as u8)
    }
    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<u8> {
        self.host_names.iter().position(|n| n == name).map(|i| i as u8)
    }
    /// The name of a host.
    pub fn host_name(&self, host: usize) -> &str {
        &self.host_names[host]
    }
    /// The name of an instance.
    pub fn instance_name(&self, instance: usize) -> &str {
        &self.names[instance]
    }
    /// The name of a node: of its instance, or the client's as in traces.
    pub fn node_name(&self, node: NodeIndex) -> String {
        match self.client(node) {
            Some(client) => format!("client{}", client.0),
            None => self.instance_name(node.index()).to_owned(),
        }
    }
    /// The server network address of an instance: port 5022, and the next ones for others on the same host. [NA-1]
    pub fn address(&self, instance: usize) -> String {
        let host = self.host_of[instance];
        let before = self.host_of[..instance].iter().filter(|&&other| other == host).count();
        format!("TCP://{}:{}", self.host_names[host], 5022 + before)
    }
    /// The node of a client.
    pub fn client_node(&self, client: ClientId) -> NodeIndex {
        NodeIndex(self.names.len() as u16 + client.0)
    }
    /// The client on a node, if one is.
    pub fn client(&self, node: NodeIndex) -> Option<ClientId> {
        node.0.checked_sub(self.names.len() as u16).map(ClientId)
    }
    /// A node's number in the names of streams: it does not depend on how many others there are.
    pub fn stream_index(&self, node: NodeIndex) -> u64 {
        self.client(node).map_or(u64::from(node.0), |client| 1 << 16 | u64::from(client.0))
    }
}

/// A server process: what the world needs of [`Instance`], so that tests can put something smaller in its place.
pub trait ServerProcess {
    /// What the host's wall clock shows, in milliseconds since 1970; told before each input. The product has no use for
    /// it [OQ-8]; a naive protocol of a test trusts it.
    fn wall_clock(&mut self, _ms: i64) {}
    /// The only mutation; `now` is the host's monotonic clock.
    fn handle(&mut self, now: Instant, input: Input, out: &mut Effects);
    /// When to be called with `Timeout` at the latest.
    fn next_timeout(&self) -> Option<Instant>;
    /// A number that differs when the state does.
    fn fingerprint(&self) -> u64;
    /// Asserts the invariants of the state.
    fn check(&self);
}

impl ServerProcess for Instance {
    fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        Instance::handle(self, now, input, out);
    }
    fn next_timeout(&self) -> Option<Instant> {
        Instance::next_timeout(self)
    }
    fn fingerprint(&self) -> u64 {
        Instance::fingerprint(self)
    }
    fn check(&self) {
        Instance::check(self);
    }
}

/// A client process. Its clock is true time.
pub trait ClientProcess {
    /// The only mutation.
    fn handle(&mut self, now: Time, input: ClientInput, out: &mut Vec<ClientEffect>);
    /// When to be called with `Timeout` at the latest.
    fn next_timeout(&self) -> Option<Time>;
    /// A number that differs when the state does.
    fn fingerprint(&self) -> u64;
}

/// Who plays the processes of a run.
pub trait Crew: Send + Sync {
    /// A server process before its `Start`.
    fn instance(&self, config: Config) -> Box<dyn ServerProcess>;
    /// A client before its `Start`; its chance comes from `stream`.
    fn client(&self, plan: &Scenario, client: ClientId, stream: Stream) -> Box<dyn ClientProcess>;
}

/// The real instances and clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Product;

impl Crew for Product {
    fn instance(&self, config: Config) -> Box<dyn ServerProcess> {
        Box::new(Instance::new(config))
    }
    fn client(&self, plan: &Scenario, client: ClientId, stream: Stream) -> Box<dyn ClientProcess> {
        let id = |name: &str| {
            plan.instances.iter().position(|decl| decl.name == name).map(|i| InstanceId(i as u8))
        };
        let workload = plan.workload.unwrap_or_default();
        Box::new(Client::new(
            ClientSetup {
                id: client,
                clients: workload.clients,
                database: crate::world::SESSION,
                initial: id(&plan.session.principal).unwrap_or(InstanceId(0)),
                partner: id(&plan.session.mirror),
                workload,
                end: plan.duration,
            },
            stream,
        ))
    }
}

impl ClientProcess for Client {
    fn handle(&mut self, now: Time, input: ClientInput, out: &mut Vec<ClientEffect>) {
        Client::handle(self, now, input, out);
    }
    fn next_timeout(&self) -> Option<Time> {
        Client::next_timeout(self)
    }
    fn fingerprint(&self) -> u64 {
        Client::fingerprint(self)
    }
}

/// A client that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Idle;

impl ClientProcess for Idle {
    fn handle(&mut self, _: Time, _: ClientInput, _: &mut Vec<ClientEffect>) {}
    fn next_timeout(&self) -> Option<Time> {
        None
    }
    fn fingerprint(&self) -> u64 {
        0
    }
}

/// A process and nothing else; drivers own actors, the world owns the rest.
pub enum Actor {
    /// A server.
    Instance(Box<dyn ServerProcess>),
    /// A client.
    Client(Box<dyn ClientProcess>),
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the code of a process; a panic becomes its message and place, and is not printed.
pub fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outer = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.get() {
                MESSAGE.set(info.to_string());
            } else {
                outer(info);
            }
        }));
    });
    GUARDED.set(true);
    // What the code has left half done is thrown away with its process.
    let result = catch_unwind(AssertUnwindSafe(code));
    GUARDED.set(false);
    result.map_err(|_| MESSAGE.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        let message = guarded(|| panic!("log {} is torn", 7)).expect_err("it panics");
        assert!(message.contains("log 7 is torn") && message.contains("node.rs"), "{message}");
        assert_eq!(guarded(|| 3), Ok(3));
    }
}
