//! One step of a path, and how it is written down.

use super::disk::{KINDS, file_name};
use super::links::{NAMES, PAIRS, pair};
use dbm_core::io::FileKind;
use std::fmt;
use std::str::FromStr;

/// How a pair of instances loses its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum BreakKind {
    /// The open links end with a reset at both ends; a new dial succeeds.
    Reset,
    /// Nothing is delivered until the pair is healed; what was under way then arrives.
    Cut,
    /// Both: the ends learn of it, and dials hang until the pair is healed.
    Drop,
}

impl BreakKind {
    /// Every kind.
    pub const ALL: [BreakKind; 3] = [BreakKind::Reset, BreakKind::Cut, BreakKind::Drop];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            BreakKind::Reset => "reset",
            BreakKind::Cut => "cut",
            BreakKind::Drop => "drop",
        }
    }

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        BreakKind::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The next item in a link reaches its end: serial of the link, side.
    Deliver(u32, u8),
    /// The oldest disk operation of an instance's file completes.
    Disk(u8, FileKind),
    /// Time goes on to the next moment at which an instance wants to be called.
    Advance,
    /// A pair loses its links.
    Break(u8, BreakKind),
    /// A cut pair is whole again.
    Heal(u8),
    /// A process dies; of the files given as bits everything written is kept.
    Crash(u8, u8),
    /// It starts again.
    Restart(u8),
    /// A client logs in and asks for a transaction.
    Commit(u8),
    /// The owner gives the next statement of the list to an instance.
    Statement(u8),
    /// The owner resumes a suspended session.
    Resume(u8),
}

impl Action {
    /// Something from outside: a fault, a client's or an owner's wish.
    pub fn is_outside(self) -> bool {
        match self {
            Action::Deliver(..) | Action::Disk(..) | Action::Advance => false,
            Action::Break(..)
            | Action::Heal(_)
            | Action::Crash(..)
            | Action::Restart(_)
            | Action::Commit(_)
            | Action::Statement(_)
            | Action::Resume(_) => true,
        }
    }

    /// In eight bytes, for the table of states.
    pub fn pack(self) -> u64 {
        let (kind, a, b) = match self {
            Action::Deliver(serial, side) => (0, serial, side),
            Action::Disk(instance, file) => (1, u32::from(instance), file as u8),
            Action::Advance => (2, 0, 0),
            Action::Break(pair, kind) => (3, u32::from(pair), kind as u8),
            Action::Heal(pair) => (4, u32::from(pair), 0),
            Action::Crash(instance, kept) => (5, u32::from(instance), kept),
            Action::Restart(instance) => (6, u32::from(instance), 0),
            Action::Commit(instance) => (7, u32::from(instance), 0),
            Action::Statement(instance) => (8, u32::from(instance), 0),
            Action::Resume(instance) => (9, u32::from(instance), 0),
        };
        kind << 40 | u64::from(b) << 32 | u64::from(a)
    }

    /// The inverse of [`Action::pack`].
    pub fn unpack(word: u64) -> Action {
        let a = word as u32;
        let small = a as u8;
        let b = (word >> 32) as u8;
        match word >> 40 {
            0 => Action::Deliver(a, b),
            1 => Action::Disk(small, KINDS[usize::from(b)]),
            2 => Action::Advance,
            3 => Action::Break(small, BreakKind::ALL[usize::from(b)]),
            4 => Action::Heal(small),
            5 => Action::Crash(small, b),
            6 => Action::Restart(small),
            7 => Action::Commit(small),
            8 => Action::Statement(small),
            _ => Action::Resume(small),
        }
    }
}

fn pair_name(pair: u8) -> String {
    let (one, other) = PAIRS[usize::from(pair)];
    format!("{}-{}", NAMES[usize::from(one)], NAMES[usize::from(other)])
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |i: u8| NAMES[usize::from(i)];
        match *self {
            Action::Deliver(serial, side) => write!(f, "deliver link {serial} side {side}"),
            Action::Disk(i, file) => write!(f, "disk {} {}", name(i), file_name(file)),
            Action::Advance => write!(f, "advance"),
            Action::Break(pair, kind) => write!(f, "{} {}", kind.name(), pair_name(pair)),
            Action::Heal(pair) => write!(f, "heal {}", pair_name(pair)),
            Action::Crash(i, kept) => {
                write!(f, "crash {} keeping", name(i))?;
                let mut any = false;
                for kind in KINDS.into_iter().filter(|k| kept >> (*k as u8) & 1 == 1) {
                    any = true;
                    write!(f, " {}", file_name(kind))?;
                }
                if any { Ok(()) } else { write!(f, " nothing") }
            }
            Action::Restart(i) => write!(f, "restart {}", name(i)),
            Action::Commit(i) => write!(f, "commit {}", name(i)),
            Action::Statement(i) => write!(f, "statement {}", name(i)),
            Action::Resume(i) => write!(f, "resume {}", name(i)),
        }
    }
}

/// Why a text is no action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no step of a path")]
pub struct NoAction(String);

impl FromStr for Action {
    type Err = NoAction;
    fn from_str(text: &str) -> Result<Self, NoAction> {
        parse(text).ok_or_else(|| NoAction(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Action> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let instance = |name: &str| NAMES.iter().position(|n| *n == name).map(|i| i as u8);
    let file = |name: &str| KINDS.into_iter().find(|k| file_name(*k) == name);
    let between = |text: &str| {
        let (one, other) = text.split_once('-')?;
        let (one, other) = (instance(one)?, instance(other)?);
        (one != other).then(|| pair(one, other))
    };
    Some(match *words.as_slice() {
        ["deliver", "link", serial, "side", side] => {
            Action::Deliver(serial.parse().ok()?, side.parse().ok().filter(|s| *s < 2)?)
        }
        ["disk", i, kind] => Action::Disk(instance(i)?, file(kind)?),
        ["advance"] => Action::Advance,
        ["heal", p] => Action::Heal(between(p)?),
        ["crash", i, "keeping", "nothing"] => Action::Crash(instance(i)?, 0),
        ["crash", i, "keeping", ref files @ ..] => {
            let bits = files.iter().try_fold(0, |bits, f| file(f).map(|k| bits | 1 << k as u8))?;
            Action::Crash(instance(i)?, bits)
        }
        ["restart", i] => Action::Restart(instance(i)?),
        ["commit", i] => Action::Commit(instance(i)?),
        ["statement", i] => Action::Statement(instance(i)?),
        ["resume", i] => Action::Resume(instance(i)?),
        [kind, p] => Action::Break(between(p)?, BreakKind::by_name(kind)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind of step can be written down and read again, as text and as a number.
    #[test]
    fn steps_survive_being_written_down() {
        let all = [
            Action::Deliver(70_000, 1),
            Action::Disk(2, FileKind::Record),
            Action::Advance,
            Action::Break(1, BreakKind::Drop),
            Action::Break(2, BreakKind::Cut),
            Action::Heal(0),
            Action::Crash(1, 0b101),
            Action::Crash(0, 0),
            Action::Restart(2),
            Action::Commit(1),
            Action::Statement(0),
            Action::Resume(1),
        ];
        for action in all {
            assert_eq!(Action::unpack(action.pack()), action);
            assert_eq!(action.to_string().parse(), Ok(action));
        }
        assert!("cut A-A".parse::<Action>().is_err());
        assert!("deliver link 1 side 2".parse::<Action>().is_err());
    }
}
