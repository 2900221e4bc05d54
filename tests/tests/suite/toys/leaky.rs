//! The product, with a leak: something that is not in the plan decides when its timers fire, or what it remembers.

use dbm_core::config::Config;
use dbm_core::instance::Instance;
use dbm_core::io::{Effects, Input};
use dbm_core::types::{Instant, Micros};
use dbm_sim::node::{ClientProcess, Crew, Product, ServerProcess};
use dbm_sim::observe::ClientId;
use dbm_sim::rng::Stream;
use dbm_sim::scenario::Scenario;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where the number comes from that should not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// From nowhere: a node like any other.
    None,
    /// The order of a hash map.
    HashOrder,
    /// The system's randomness.
    AmbientRandom,
    /// The system's clock.
    WallClock,
    /// Which of two threads is faster.
    ThreadRace,
    /// What an earlier run has left in a static.
    Static,
}

/// What the number changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// When a timer fires.
    Timers,
    /// Only what the node remembers.
    State,
}

/// A crew of product instances of which B leaks, from its 200th input on.
#[derive(Clone, Copy, Debug)]
pub struct LeakyCrew(pub Leak, pub Into);

impl Crew for LeakyCrew {
    fn instance(&self, config: Config) -> Box<dyn ServerProcess> {
        let leak = if config.id.0 == 1 { self.0 } else { Leak::None };
        Box::new(Leaky { inner: Instance::new(config), leak, into: self.1, inputs: 0, leaked: 0 })
    }
    fn client(&self, plan: &Scenario, client: ClientId, stream: Stream) -> Box<dyn ClientProcess> {
        Product.client(plan, client, stream)
    }
}

struct Leaky {
    inner: Instance,
    leak: Leak,
    into: Into,
    inputs: u32,
    leaked: u64,
}

impl ServerProcess for Leaky {
    fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        self.inner.handle(now, input, out);
        self.inputs += 1;
        if self.inputs.is_multiple_of(200) {
            self.leaked = self.leak.number();
        }
    }
    fn next_timeout(&self) -> Option<Instant> {
        let late = if self.into == Into::Timers { self.leaked % 1000 } else { 0 };
        self.inner.next_timeout().map(|at| at + Micros(late))
    }
    fn fingerprint(&self) -> u64 {
        let memory = if self.into == Into::State { self.leaked } else { 0 };
        self.inner.fingerprint() ^ memory
    }
    fn check(&self) {
        self.inner.check();
    }
}

impl Leak {
    fn number(self) -> u64 {
        match self {
            Leak::None => 0,
            Leak::HashOrder => hash_order(),
            Leak::AmbientRandom => ambient_random(),
            Leak::WallClock => wall_clock(),
            Leak::ThreadRace => thread_race(),
            Leak::Static => kept_between_runs(),
        }
    }
}

#[expect(clippy::disallowed_types, reason = "the leak")]
fn hash_order() -> u64 {
    let map: std::collections::HashMap<u64, ()> = (0..40).map(|key| (key, ())).collect();
    map.keys().fold(0, |sum, key| sum * 31 % 65_521 + key)
}

#[expect(clippy::disallowed_types, reason = "the leak")]
fn ambient_random() -> u64 {
    std::hash::RandomState::new().hash_one(0)
}

#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "the leak")]
fn wall_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| u64::from(since.subsec_nanos()))
}

/// How far a thread counts before another tells it to stop.
fn thread_race() -> u64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let mut count = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
            }
            count
        });
        (0..100).for_each(|_| std::thread::yield_now());
        stop.store(true, Ordering::Relaxed);
        counter.join().unwrap_or_default()
    })
}

fn kept_between_runs() -> u64 {
    static SERVED: AtomicU64 = AtomicU64::new(0);
    SERVED.fetch_add(1, Ordering::Relaxed)
}
