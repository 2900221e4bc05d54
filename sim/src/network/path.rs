//! Between the hosts: latencies, bandwidth, and the faults laid over each direction of a pair.

use crate::felt::{Feeling, Felt};
use crate::node::{NodeIndex, Roster};
use crate::rng::Stream;
use crate::scenario::{NetworkProfile, Spread};
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// Up to so many microseconds more, drawn for each frame.
    pub jitter: u64,
    /// Bytes that pass in a second, 0 for the profile's.
    pub bytes_s: u64,
    /// One frame in so many is changed, 0 for none.
    pub corrupt_one_in: u32,
    /// Added to each dial, in microseconds.
    pub slow_start: u64,
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
    /// The same for each direction between two ends that is narrowed.
    narrow_free_at: Vec<u64>,
    /// Jitter and corruption of pairs that have met them.
    jitters: BTreeMap<usize, Stream>,
    corruptions: BTreeMap<usize, Stream>,
    seed: u64,
    stream_indices: Vec<u64>,
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
            narrow_free_at: vec![0; ends * ends],
            jitters: BTreeMap::new(),
            corruptions: BTreeMap::new(),
            seed,
            stream_indices: (0..nodes).map(|i| roster.stream_index(node(i))).collect(),
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
        let Overlay { slow, jitter, .. } = self.overlay(from, to);
        if slow > 0 {
            felt.count(Feeling::Slow);
        }
        let mut late = 0;
        if jitter > 0 {
            felt.count(Feeling::Jitter);
            late = self.own_stream("jitter", from, to).range(0, jitter + 1);
        }
        let wire = self.departure(now, from, to, bytes);
        wire.max(self.narrow_departure(now, from, to, bytes, felt)) + latency + slow + late
    }

    /// The stream of a fault on a pair, made when the pair meets it first: most runs need none.
    fn own_stream(&mut self, name: &'static str, from: NodeIndex, to: NodeIndex) -> &mut Stream {
        let pair = self.pair(from, to);
        let indices = [from, to].map(|node| self.stream_indices[node.index()]);
        let streams = if name == "jitter" { &mut self.jitters } else { &mut self.corruptions };
        streams.entry(pair).or_insert_with(|| Stream::new(self.seed, name, &indices))
    }

    /// When the last byte has passed the narrow place, if there is one.
    fn narrow_departure(
        &mut self,
        now: u64,
        from: NodeIndex,
        to: NodeIndex,
        bytes: usize,
        felt: &mut Felt,
    ) -> u64 {
        let Overlay { bytes_s, .. } = self.overlay(from, to);
        if bytes_s == 0 || bytes == 0 {
            return now;
        }
        felt.count(Feeling::Throttle);
        let (from, to) = (self.endpoint(from), self.endpoint(to));
        let free_at =
            &mut self.narrow_free_at[usize::from(from.0) * (self.host_of.len() + 1) + usize::from(to.0)];
        *free_at = now.max(*free_at) + (bytes as u64 * 1_000_000).div_ceil(bytes_s);
        *free_at
    }

    /// Narrows a direction, or widens it again with 0; says whether it was narrow.
    pub fn narrow(&mut self, from: Endpoint, to: Endpoint, bytes_s: u64) -> bool {
        let index = usize::from(from.0) * self.ends() + usize::from(to.0);
        self.narrow_free_at[index] = 0;
        std::mem::replace(&mut self.overlays[index].bytes_s, bytes_s) > 0
    }

    /// The frame as it arrives: now and then with a flipped byte.
    pub fn received(
        &mut self,
        from: NodeIndex,
        to: NodeIndex,
        bytes: Arc<[u8]>,
        felt: &mut Felt,
    ) -> Arc<[u8]> {
        let one_in = u64::from(self.overlay(from, to).corrupt_one_in);
        if one_in == 0 || bytes.is_empty() {
            return bytes;
        }
        let chance = self.own_stream("corrupt", from, to);
        if !chance.chance(1, one_in) {
            return bytes;
        }
        felt.count(Feeling::Corrupt);
        let at = chance.range(0, bytes.len() as u64) as usize;
        let flip = chance.range(1, 256) as u8;
        bytes.iter().enumerate().map(|(i, byte)| if i == at { byte ^ flip } else { *byte }).collect()
    }

    /// When the last byte is on the wire. Clients send little: their wires are never busy.
    pub fn departure(&mut self, now: u64, from: NodeIndex, to: NodeIndex, bytes: usize) -> u64 {
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
