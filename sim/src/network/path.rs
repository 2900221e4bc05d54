//! Between the hosts: latencies, bandwidth, and the faults laid over each direction of a pair.

use crate::felt::{Feeling, Felt};
use crate::node::{NodeIndex, Roster};
use crate::rng::Stream;
use crate::scenario::{NetworkProfile, Spread};
use crate::time::Time;

/// An end of a path: an instance by its id, or the number of instances for all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint(pub u8);

/// Faults on one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overlay {
    /// Everything vanishes.
    pub cut: bool,
    /// Everything waits.
    pub stalled: bool,
    /// Dials are reset.
    pub refused: bool,
    /// Added latency in microseconds, 0 for none.
    pub slow: u64,
}

/// How patient the sender of something lost is before it gives the connection up.
const PATIENCE: Spread = Spread { min: Time::secs(5), max: Time::secs(30) };
/// How long after the end of a cut a lost frame is sent again.
const RETRANSMISSION: Spread = Spread { min: Time(500), max: Time::millis(200) };
/// How long after the end of a stall what was held arrives.
const RELEASE: Spread = Spread { min: Time(0), max: Time::millis(2) };

/// Every direction between two nodes.
#[derive(Debug)]
pub struct Paths {
    profile: NetworkProfile,
    nodes: usize,
    hosts: usize,
    endpoints: Vec<Endpoint>,
    host_of: Vec<usize>,
    overlays: Vec<Overlay>,
    latencies: Vec<Stream>,
    retransmissions: Vec<Stream>,
    /// When each direction between two hosts of instances has sent everything it was given.
    free_at: Vec<u64>,
}

impl Paths {
    /// Undisturbed paths between the nodes of a roster.
    pub fn new(seed: u64, profile: NetworkProfile, roster: &Roster) -> Self {
        let nodes = roster.nodes();
        let ends = roster.instances() + 1;
        let streams = |name| {
            (0..nodes * nodes)
                .map(|i| {
                    let indices =
                        [roster.stream_index(node(i / nodes)), roster.stream_index(node(i % nodes))];
                    Stream::new(seed, name, &indices)
                })
                .collect()
        };
        Paths {
            profile,
            nodes,
            hosts: roster.hosts(),
            endpoints: (0..nodes).map(|i| Endpoint(i.min(roster.instances()) as u8)).collect(),
            host_of: (0..roster.instances()).map(|i| roster.host_of(i)).collect(),
            overlays: vec![Overlay::default(); ends * ends],
            latencies: streams("link"),
            retransmissions: streams("retransmission"),
            free_at: vec![0; roster.hosts() * roster.hosts()],
        }
    }

    fn pair(&self, from: NodeIndex, to: NodeIndex) -> usize {
        from.index() * self.nodes + to.index()
    }

    /// The endpoint a node belongs to.
    pub fn endpoint(&self, node: NodeIndex) -> Endpoint {
        self.endpoints[node.index()]
    }

    fn ends(&self) -> usize {
        self.host_of.len() + 1
    }

    /// The faults on one direction.
    pub fn overlay_mut(&mut self, from: Endpoint, to: Endpoint) -> &mut Overlay {
        let index = usize::from(from.0) * self.ends() + usize::from(to.0);
        &mut self.overlays[index]
    }

    /// The faults between two nodes, in the direction given.
    pub fn overlay(&self, from: NodeIndex, to: NodeIndex) -> Overlay {
        let (from, to) = (self.endpoint(from), self.endpoint(to));
        self.overlays[usize::from(from.0) * self.ends() + usize::from(to.0)]
    }

    /// When something of this size that leaves now arrives.
    pub fn arrival(
        &mut self,
        now: u64,
        from: NodeIndex,
        to: NodeIndex,
        bytes: usize,
        felt: &mut Felt,
    ) -> u64 {
        let pair = self.pair(from, to);
        let latency = self.latencies[pair].spread(&self.profile.latency);
        let slow = self.overlay(from, to).slow;
        if slow > 0 {
            felt.count(Feeling::Slow);
        }
        self.departure(now, from, to, bytes) + latency + slow
    }

    /// When the last byte is on the wire. Clients send little: their wires are never busy.
    fn departure(&mut self, now: u64, from: NodeIndex, to: NodeIndex, bytes: usize) -> u64 {
        let (Some(&from), Some(&to)) = (self.host_of.get(from.index()), self.host_of.get(to.index())) else {
            return now;
        };
        if from == to {
            return now;
        }
        let free_at = &mut self.free_at[from * self.hosts + to];
        let rate = self.profile.bandwidth_bytes_s.max(1);
        *free_at = now.max(*free_at) + (bytes as u64 * 1_000_000).div_ceil(rate);
        *free_at
    }

    /// The patience of a sender that has just lost something.
    pub fn patience(&mut self, from: NodeIndex, to: NodeIndex) -> u64 {
        let pair = self.pair(from, to);
        self.retransmissions[pair].spread(&PATIENCE)
    }

    /// The time from the end of a cut to the arrival of what it took.
    pub fn retransmission(&mut self, from: NodeIndex, to: NodeIndex) -> u64 {
        let pair = self.pair(from, to);
        self.retransmissions[pair].spread(&RETRANSMISSION)
    }

    /// The time from the end of a stall to the arrival of what it held.
    pub fn release(&mut self, from: NodeIndex, to: NodeIndex) -> u64 {
        let pair = self.pair(from, to);
        self.retransmissions[pair].spread(&RELEASE)
    }
}

fn node(index: usize) -> NodeIndex {
    NodeIndex(index as u16)
}
