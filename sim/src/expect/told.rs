//! What instances tell in numbers, compared with what a file asks for: state-change events and messages.

use crate::time::Time;
use dbm_core::types::InstanceId;

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// State-change events.
    Event,
    /// Messages.
    Message,
}

/// Numbers in a window.
#[derive(Clone, Debug)]
pub struct Told {
    kind: Kind,
    /// No others than those wanted.
    exact: bool,
    tellers: Vec<Teller>,
    /// An event that does not name the one before it.
    broken: Option<(Time, InstanceId, u32, u8, u8)>,
}

#[derive(Clone, Debug)]
struct Teller {
    instance: InstanceId,
    wanted: Vec<u32>,
    /// So many of them have come, in order.
    found: usize,
    heard: Vec<u32>,
}

/// Numbers that a complaint repeats for one instance.
const REPEATED_MAX: usize = 40;

impl Told {
    /// For these instances and numbers.
    pub fn new(kind: Kind, wanted: impl Iterator<Item = (InstanceId, Vec<u32>)>, exact: bool) -> Self {
        let teller = |(instance, wanted)| Teller { instance, wanted, found: 0, heard: Vec::new() };
        Told { kind, exact, tellers: wanted.map(teller).collect(), broken: None }
    }

    /// An instance tells a number inside the window; `gap` is what an event names as the one before it and what that was.
    pub fn hear(&mut self, at: Time, kind: Kind, from: InstanceId, number: u32, gap: Option<(u8, u8)>) {
        if kind != self.kind {
            return;
        }
        let Some(teller) = self.tellers.iter_mut().find(|t| t.instance == from) else { return };
        teller.heard.push(number);
        if teller.wanted.get(teller.found) == Some(&number) {
            teller.found += 1;
        }
        if let Some((named, was)) = gap {
            self.broken.get_or_insert((at, from, number, named, was));
        }
    }

    /// Was everything told as wanted? If not, what was.
    pub fn verdict(&self, names: &[String]) -> Result<(), String> {
        let name = |id: InstanceId| &names[usize::from(id.0)];
        if let Some((at, who, number, named, was)) = self.broken {
            let who = name(who);
            return Err(format!("event {number} of {who} at {at} comes after {was} and names {named}"));
        }
        let met = |t: &Teller| t.found == t.wanted.len() && !(self.exact && t.heard.len() > t.found);
        if self.tellers.iter().all(met) {
            return Ok(());
        }
        let told: Vec<String> = self
            .tellers
            .iter()
            .map(|t| {
                let numbers: Vec<String> =
                    t.heard.iter().take(REPEATED_MAX).map(ToString::to_string).collect();
                let more = if t.heard.len() > REPEATED_MAX { ", …" } else { "" };
                let numbers = if numbers.is_empty() { "nothing".to_owned() } else { numbers.join(", ") };
                format!("{} told {numbers}{more}", name(t.instance))
            })
            .collect();
        Err(told.join("; "))
    }
}
