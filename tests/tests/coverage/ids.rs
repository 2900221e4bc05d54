//! Ids of rules, such as `FO-37a`, `QT-A7`, `OQ-4.3` and `F7`, and ranges of them.

use std::fmt;

/// The id of a rule. The order within a prefix is that of letter, number and suffix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    prefix: String,
    letter: Option<char>,
    number: u32,
    suffix: Option<char>,
    part: Option<u32>,
}

/// Every prefix in use; an error such as E1418 is no rule.
const PREFIXES: [&str; 21] = [
    "C", "CL", "CV", "CX", "EP", "EV", "F", "FL", "FO", "INV", "MN", "NA", "OQ", "P", "PR", "Q", "QR", "QS",
    "QT", "S", "ST",
];

impl Id {
    /// The id that this text is, and nothing else.
    pub fn parse(text: &str) -> Option<Id> {
        let (prefix, rest) = match text.split_once('-') {
            Some(halves) => halves,
            // The flaws that the model check found are written without a hyphen.
            None => ("F", text.strip_prefix('F')?),
        };
        if !PREFIXES.contains(&prefix) && prefix != "TR" || (prefix == "F") == text.contains('-') {
            return None;
        }
        let letter = rest.chars().next().filter(|c| prefix == "QT" && c.is_ascii_uppercase());
        let rest = &rest[letter.map_or(0, char::len_utf8)..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest[..digits].parse().ok()?;
        let (suffix, part) = match &rest[digits..] {
            "" => (None, None),
            end => match end.strip_prefix('.') {
                Some(part) => (None, Some(part.parse().ok()?)),
                None => {
                    (Some(end.chars().next().filter(|c| end.len() == 1 && c.is_ascii_lowercase())?), None)
                }
            },
        };
        Some(Id { prefix: prefix.into(), letter, number, suffix, part })
    }

    /// The rule of which this is a numbered part: of `OQ-4.3` it is `OQ-4`.
    pub fn whole(&self) -> Option<Id> {
        self.part.map(|_| Id { part: None, ..self.clone() })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hyphen = if self.prefix == "F" { "" } else { "-" };
        write!(f, "{}{hyphen}", self.prefix)?;
        self.letter.iter().try_for_each(|c| write!(f, "{c}"))?;
        write!(f, "{}", self.number)?;
        self.suffix.iter().try_for_each(|c| write!(f, "{c}"))?;
        self.part.iter().try_for_each(|n| write!(f, ".{n}"))
    }
}

/// One rule, or all from one to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cited {
    One(Id),
    Range(Id, Id),
}

impl Cited {
    /// The rules named by a list such as `FO-31, QT-A1 … QT-A8, OQ-4.3 c`; what is none is passed over.
    pub fn list(text: &str) -> Vec<Cited> {
        let id = |text: &str| text.split_whitespace().next().and_then(Id::parse);
        text.split(',')
            .filter_map(|item| match item.split_once('…') {
                Some((from, to)) => Some(Cited::Range(id(from)?, id(to)?)),
                None => id(item).map(Cited::One),
            })
            .collect()
    }

    /// Is this rule among them?
    pub fn names(&self, id: &Id) -> bool {
        match self {
            Cited::One(one) => one == id,
            Cited::Range(from, to) => {
                id.prefix == from.prefix && from.prefix == to.prefix && (from..=to).contains(&id)
            }
        }
    }

    /// Every id that stands in it.
    pub fn ids(&self) -> Vec<&Id> {
        match self {
            Cited::One(id) => vec![id],
            Cited::Range(from, to) => vec![from, to],
        }
    }
}
