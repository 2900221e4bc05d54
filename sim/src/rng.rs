//! Chance: one named stream per source, all derived from the run's seed. (The part of it that clients need.)

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of chance with a name of its own.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream called `name` with `indices` in the run of `seed`.
    pub fn new(seed: u64, name: &str, indices: &[u64]) -> Self {
        let words = name.bytes().map(u64::from).chain(indices.iter().copied());
        Stream(ChaCha8Rng::seed_from_u64(words.fold(mix(seed), |state, word| mix(state ^ word))))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// One round of SplitMix64: a bijection in which every input bit moves half of the output bits.
pub fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
