//! Chance: one named stream per source, all derived from the run's seed.
//!
//! Streams are independent of each other: a new draw in one moves no other. Decisions use integers only, so that a
//! seed means the same on every machine.

use crate::scenario::Spread;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of chance with a name of its own.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream called `name` with `indices` in the run of `seed`: `("link", [from, to])`, `("disk", [instance])`.
    pub fn new(seed: u64, name: &str, indices: &[u64]) -> Self {
        let mut state = mix(seed ^ 0x6462_6d73_696d_0001);
        for chunk in name.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state = mix(state ^ u64::from_le_bytes(word));
        }
        // Lengths keep ("a", [1]) apart from ("a\u{1}", []).
        state = mix(state ^ (name.len() as u64) << 32 ^ indices.len() as u64);
        for &index in indices {
            state = mix(state ^ index);
        }
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            state = mix(state);
            part.copy_from_slice(&state.to_le_bytes());
        }
        Stream(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `low..high`; `low` when the range is empty. The bias is below 2^-64 times the range's length.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        let length = high.saturating_sub(low);
        low + ((u128::from(self.bits()) * u128::from(length)) >> 64) as u64
    }

    /// True `numerator` times out of `denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.range(0, denominator) < numerator
    }

    /// A number in `low..=high`, skewed towards the small end: the mean lies at a quarter of the range.
    pub fn skewed(&mut self, low: u64, high: u64) -> u64 {
        let bits = self.bits();
        // The product of two uniform 32-bit fractions is a fraction whose mean is a quarter.
        let fraction = ((bits >> 32) * (bits & 0xffff_ffff)) >> 32;
        let length = high.saturating_sub(low).saturating_add(1);
        low + ((u128::from(length) * u128::from(fraction)) >> 32) as u64
    }

    /// A duration of the spread, in microseconds.
    pub fn spread(&mut self, spread: &Spread) -> u64 {
        self.skewed(spread.min.0, spread.max.0)
    }
}

/// One round of SplitMix64: a bijection in which every input bit moves half of the output bits.
pub fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use std::collections::BTreeSet;

    #[test]
    fn streams_of_different_names_and_indices_differ() {
        let mut seen = BTreeSet::new();
        for seed in 0..20 {
            for name in ["link", "disk", "crash", "a", "a\u{1}", ""] {
                for indices in [&[][..], &[0], &[1], &[0, 1], &[1, 0]] {
                    assert!(
                        seen.insert(Stream::new(seed, name, indices).bits()),
                        "{seed} {name} {indices:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_draw_in_one_stream_moves_no_other() {
        let mut link = Stream::new(7, "link", &[0, 1]);
        let expected: Vec<u64> = (0..100).map(|_| link.bits()).collect();
        let mut link = Stream::new(7, "link", &[0, 1]);
        let mut disk = Stream::new(7, "disk", &[0]);
        let interleaved: Vec<u64> = (0..100)
            .map(|i| {
                (0..i % 5).for_each(|_| assert_ne!(disk.bits(), 0));
                link.bits()
            })
            .collect();
        assert_eq!(expected, interleaved);
    }

    #[test]
    fn a_stream_never_changes_between_builds() {
        // Every saved plan depends on these bits.
        assert_eq!(Stream::new(1, "link", &[0, 1]).bits(), PINNED);
    }
    const PINNED: u64 = 13_561_457_558_778_567_514;

    #[test]
    fn draws_stay_in_their_range_and_reach_both_ends() {
        let mut stream = Stream::new(3, "test", &[]);
        let draws: BTreeSet<u64> = (0..1000).map(|_| stream.range(5, 9)).collect();
        assert_eq!(draws, BTreeSet::from([5, 6, 7, 8]));
        assert_eq!(stream.range(5, 5), 5);
        let spread = Spread { min: Time(10), max: Time(13) };
        let draws: BTreeSet<u64> = (0..1000).map(|_| stream.spread(&spread)).collect();
        assert_eq!(draws, BTreeSet::from([10, 11, 12, 13]));
        assert_eq!(stream.skewed(0, u64::MAX).leading_zeros() / 65, 0);
    }

    #[test]
    fn skewed_draws_crowd_at_the_small_end() {
        let mut stream = Stream::new(3, "test", &[]);
        let sum: u64 = (0..10_000).map(|_| stream.skewed(0, 1000)).sum();
        assert!((230..270).contains(&(sum / 10_000)), "mean {}", sum / 10_000);
    }

    #[test]
    fn chances_are_ratios() {
        let mut stream = Stream::new(3, "test", &[]);
        let hits = (0..10_000).filter(|_| stream.chance(1, 4)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
        assert!(!stream.chance(0, 4) && stream.chance(4, 4));
    }
}
