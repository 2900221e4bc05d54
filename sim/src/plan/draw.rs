//! The plan's stream of chance, named within a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream that depends on the seed and a name, and on nothing else.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream `name` of `seed`.
    pub fn named(seed: u64, name: &str) -> Self {
        // FNV-1a, once forwards and once backwards: two names that collide in both are out of reach.
        let hash = |bytes: &mut dyn Iterator<Item = u8>| {
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        };
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&hash(&mut name.bytes()).to_le_bytes());
        key[16..24].copy_from_slice(&hash(&mut name.bytes().rev()).to_le_bytes());
        Draw(ChaCha8Rng::from_seed(key))
    }

    /// A number from `low` to `high`, both included, all equally likely.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range");
        let width = u128::from(high - low) + 1;
        low + ((u128::from(self.0.next_u64()) * width) >> 64) as u64
    }

    /// True in `of` out of `all` cases.
    pub fn chance(&mut self, of: u64, all: u64) -> bool {
        self.between(1, all) <= of
    }

    /// One of `items`; `None` of none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let last = items.len().checked_sub(1)?;
        items.get(self.between(0, last as u64) as usize)
    }
}
