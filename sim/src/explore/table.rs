//! The states that were seen: a hash for each, how it was reached first, and where a kind world would go from it.

use super::action::Action;

/// No state.
pub const NONE: u32 = u32::MAX;

/// One state.
#[derive(Clone, Copy, Debug)]
struct Entry {
    parent: u32,
    /// The kind world's next state; `NONE` while unknown.
    next: u32,
    action: u64,
}

/// How a state ends when the world is kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Served and SYNCHRONIZED.
    Arrives,
    /// It never gets there.
    Dead,
    /// Not known: the search was cut off before.
    Open,
}

/// All states seen, numbered in the order of their discovery.
#[derive(Debug)]
pub struct Table {
    /// Open addressing; `NONE` is a free place.
    places: Vec<u32>,
    hashes: Vec<u128>,
    entries: Vec<Entry>,
    arrived: Vec<bool>,
}

impl Table {
    /// Nothing seen.
    pub fn new() -> Self {
        Table { places: vec![NONE; 1 << 16], hashes: Vec::new(), entries: Vec::new(), arrived: Vec::new() }
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn place(places: &[u32], hashes: &[u128], hash: u128) -> usize {
        let mask = places.len() - 1;
        let mut at = hash as usize & mask;
        while places[at] != NONE && hashes[places[at] as usize] != hash {
            at = (at + 1) & mask;
        }
        at
    }

    /// The number of a state.
    pub fn find(&self, hash: u128) -> Option<u32> {
        let id = self.places[Self::place(&self.places, &self.hashes, hash)];
        (id != NONE).then_some(id)
    }

    /// Adds a state; its number, and whether it is new.
    pub fn add(&mut self, hash: u128, parent: u32, action: Action) -> (u32, bool) {
        if self.entries.len() * 2 >= self.places.len() {
            self.grow();
        }
        let at = Self::place(&self.places, &self.hashes, hash);
        if self.places[at] != NONE {
            return (self.places[at], false);
        }
        let id = u32::try_from(self.entries.len()).expect("fewer than 2^32 states fit memory");
        self.places[at] = id;
        self.hashes.push(hash);
        self.entries.push(Entry { parent, next: NONE, action: action.pack() });
        self.arrived.push(false);
        (id, true)
    }

    fn grow(&mut self) {
        let mut places = vec![NONE; self.places.len() * 2];
        for (id, hash) in self.hashes.iter().enumerate() {
            let at = Self::place(&places, &self.hashes, *hash);
            places[at] = id as u32;
        }
        self.places = places;
    }

    /// The kind world goes from `id` to `next`.
    pub fn leads(&mut self, id: u32, next: u32) {
        self.entries[id as usize].next = next;
    }

    /// The kind world stays at `id`.
    pub fn arrives(&mut self, id: u32) {
        self.arrived[id as usize] = true;
    }

    /// The path to a state from the first one.
    pub fn path(&self, id: u32) -> Vec<Action> {
        let mut path = Vec::new();
        let mut at = id;
        while self.entries[at as usize].parent != NONE {
            let entry = self.entries[at as usize];
            path.push(Action::unpack(entry.action));
            at = entry.parent;
        }
        path.reverse();
        path
    }

    /// How every state ends when the world is kind. Each has one way to go, so following it is enough.
    pub fn fates(&self) -> Vec<Fate> {
        let mut fates: Vec<Option<Fate>> = vec![None; self.len()];
        let mut seen = vec![NONE; self.len()];
        for start in 0..self.len() as u32 {
            let mut way = Vec::new();
            let mut at = start;
            let fate = loop {
                let i = at as usize;
                if let Some(fate) = fates[i] {
                    break fate;
                }
                if self.arrived[i] {
                    break Fate::Arrives;
                }
                if seen[i] == start {
                    break Fate::Dead;
                }
                seen[i] = start;
                way.push(at);
                if self.entries[i].next == NONE {
                    break Fate::Open;
                }
                at = self.entries[i].next;
            };
            fates[at as usize] = Some(fate);
            for id in way {
                fates[id as usize] = Some(fate);
            }
        }
        fates.into_iter().map(|f| f.expect("every state was followed")).collect()
    }
}

impl Default for Table {
    fn default() -> Self {
        Table::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state is found again by its hash, and its path leads to it.
    #[test]
    fn states_are_found_with_their_path() {
        let mut table = Table::new();
        let (root, _) = table.add(1, NONE, Action::Advance);
        let (one, new) = table.add(2, root, Action::Heal(1));
        assert!(new);
        let (two, _) = table.add(3, one, Action::Restart(2));
        assert_eq!(table.add(2, two, Action::Advance), (one, false));
        assert_eq!(table.path(two), [Action::Heal(1), Action::Restart(2)]);
        for more in 10..100_000_u128 {
            table.add(more << 64 | more, two, Action::Advance);
        }
        assert_eq!(table.find(3), Some(two));
        assert_eq!(table.find(4), None);
    }

    /// A way that ends where all is well arrives; one that goes round does not.
    #[test]
    fn ways_arrive_go_round_or_stay_open() {
        let mut table = Table::new();
        for hash in 0..5 {
            table.add(hash, NONE, Action::Advance);
        }
        table.leads(0, 1);
        table.arrives(1);
        table.leads(2, 3);
        table.leads(3, 2);
        use Fate::{Arrives, Dead, Open};
        assert_eq!(table.fates(), [Arrives, Arrives, Dead, Dead, Open]);
    }
}
