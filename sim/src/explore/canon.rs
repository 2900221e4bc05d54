//! 128-bit hashes of states under which two states are equal when nothing that can still happen tells them apart.
//!
//! - *Times* count from now, and beyond a horizon one is as good as another.
//! - *Names* (links, channels, versions of a record) are replaced by their order among those that occur.
//!
//! Each part is hashed by itself, with its names replaced by the order of their first appearance ([`Digest`]); the whole
//! is the hash of the parts and of the order of all names ([`combine`]). What the parts leave out is said in
//! `dbm_core::canon`.

use std::hash::Hasher;

/// Times longer ago than this are equal, in microseconds: more than the patience T + i of the explored sessions, which
/// is 6 s.
const PAST_US: i128 = 8_000_000;
/// Times farther ahead than this are equal: more than the longest period, after which a statement ends, 10 s.
const AHEAD_US: i128 = 16_000_000;

const K1: u64 = 0x9E37_79B9_7F4A_7C15;
const K2: u64 = 0xD1B5_4A32_D192_ED03;

/// Multiplies to 128 bits and folds.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// A part of a state: its hash, and its names in the order of their first appearance.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// Hash of everything but the names.
    pub hash: u128,
    /// The names.
    pub names: Vec<u128>,
}

/// The hasher of one part.
pub struct Canon {
    a: u64,
    b: u64,
    now: i128,
    me: u8,
    names: Vec<u128>,
}

impl Canon {
    /// At `now`; names without an owner belong to instance `me`.
    pub fn new(now: u64, me: u8) -> Self {
        Canon { a: K1, b: K2, now: i128::from(now), me, names: Vec::new() }
    }

    fn mix(&mut self, word: u64) {
        self.a = fold(self.a ^ word, K2).wrapping_add(word);
        self.b = fold(self.b.rotate_left(23) ^ word, K1).wrapping_add(K2);
    }

    /// Adds a part that was hashed before.
    pub fn digest(&mut self, digest: &Digest) {
        self.wide(digest.hash);
        for &name in &digest.names {
            self.write_u128(name);
        }
    }

    /// Adds a number as it stands.
    pub fn wide(&mut self, word: u128) {
        self.mix(word as u64);
        self.mix((word >> 64) as u64);
    }

    /// The part.
    pub fn part(self) -> Digest {
        let hash = self.value();
        Digest { hash, names: self.names }
    }

    fn value(&self) -> u128 {
        u128::from(fold(self.a, K1 ^ self.b)) << 64 | u128::from(fold(self.b, K2 ^ self.a))
    }
}

impl Hasher for Canon {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_le_bytes(chunk.try_into().expect("chunks of eight")));
        }
        let mut last = [0; 8];
        last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }
    fn write_u8(&mut self, v: u8) {
        self.mix(u64::from(v));
    }
    fn write_u16(&mut self, v: u16) {
        self.mix(u64::from(v));
    }
    fn write_u32(&mut self, v: u32) {
        self.mix(u64::from(v));
    }
    fn write_u64(&mut self, v: u64) {
        self.mix(v);
    }
    fn write_usize(&mut self, v: usize) {
        self.mix(v as u64);
    }
    fn write_isize(&mut self, v: isize) {
        self.mix(v as u64);
    }
    /// A time.
    fn write_i128(&mut self, at: i128) {
        self.mix((at - self.now).clamp(-PAST_US, AHEAD_US) as u64);
    }
    /// A name.
    fn write_u128(&mut self, name: u128) {
        const OWNER: u128 = 0xff << 112;
        // Channels carry their dialler; everything else belongs to the instance at hand.
        let channel = name >> 120 == dbm_core::canon::Kind::Channel as u128;
        let owned = name & OWNER != 0;
        let name = if channel || owned { name } else { name | u128::from(self.me + 1) << 112 };
        let place = self.names.iter().position(|n| *n == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        self.mix(K1 ^ place as u64);
    }
    fn finish(&self) -> u64 {
        self.value() as u64
    }
}

/// The hash of a whole: its parts, and how all their names are ordered within their kinds and owners.
pub fn combine<'a>(parts: impl Iterator<Item = &'a Digest>) -> u128 {
    let mut canon = Canon::new(0, 0);
    let mut names: Vec<u128> = Vec::with_capacity(32);
    for part in parts {
        canon.wide(part.hash);
        names.extend(&part.names);
    }
    let mut ordered = names.clone();
    ordered.sort_unstable();
    ordered.dedup();
    for name in names {
        let rank = ordered.binary_search(&name).expect("it was put there");
        let first = ordered.partition_point(|n| n >> 112 < name >> 112);
        canon.mix((name >> 112) as u64);
        canon.mix((rank - first) as u64);
    }
    canon.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dbm_core::canon::Kind;
    use dbm_core::types::Instant;
    use std::hash::Hash;

    fn part(now: u64, me: u8, times: &[u64], links: &[u64]) -> Digest {
        let mut canon = Canon::new(now, me);
        for t in times {
            Instant(*t).hash(&mut canon);
        }
        for l in links {
            dbm_core::canon::name(&mut canon, Kind::Link, 0, *l);
        }
        canon.part()
    }

    /// A state that is only later, or whose links have other numbers in the same order, is the same state.
    #[test]
    fn shifted_times_and_renamed_links_are_equal() {
        let one = [part(1_000, 0, &[1_000, 900], &[2, 5]), part(1_000, 1, &[999], &[4])];
        let same = [part(9_000, 0, &[9_000, 8_900], &[6, 9]), part(9_000, 1, &[8_999], &[2])];
        let order = [part(1_000, 0, &[1_000, 900], &[5, 2]), part(1_000, 1, &[999], &[4])];
        let age = [part(1_000, 0, &[1_000, 901], &[2, 5]), part(1_000, 1, &[999], &[4])];
        assert_eq!(combine(one.iter()), combine(same.iter()));
        assert_ne!(combine(one.iter()), combine(order.iter()));
        assert_ne!(combine(one.iter()), combine(age.iter()));
    }

    /// Names of two instances are never compared, and times beyond the horizon are equal.
    #[test]
    fn owners_keep_their_names_and_old_times_are_equal() {
        let one = [part(0, 0, &[], &[2]), part(0, 1, &[], &[2])];
        let same = [part(0, 0, &[], &[8]), part(0, 1, &[], &[4])];
        assert_eq!(combine(one.iter()), combine(same.iter()));
        let old = part(100_000_000, 0, &[5], &[]);
        let older = part(200_000_000, 0, &[5], &[]);
        assert_eq!(old.hash, older.hash);
    }
}
