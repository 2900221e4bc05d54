//! What happens on a path, step by step: for people, and for the scenario that is made of it.

use super::action::Action;
use super::links::{INSTANCES, NAMES};
use super::model::Model;

/// One step that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// When, in microseconds since the world began.
    pub at: u64,
    /// What.
    pub action: Action,
    /// For a delivery: what, from whom, to whom.
    pub delivered: Option<(&'static str, u8, u8)>,
    /// For a statement: its text.
    pub text: Option<String>,
    /// What instances told meanwhile.
    pub told: Vec<(u8, String)>,
}

impl Taken {
    /// Before the step is taken.
    pub fn begin(model: &Model, action: Action) -> Self {
        let delivered = match action {
            Action::Deliver(serial, side) => {
                let mut items = model.links.deliverable();
                let item = items.find(|(s, d, _)| (*s, *d) == (serial, usize::from(side)));
                let way = model.links.direction(serial, usize::from(side));
                item.zip(way).map(|((.., item), (from, to))| (item.name(), from, to))
            }
            _ => None,
        };
        let text = match action {
            Action::Statement(_) => {
                model.setup.statements.get(usize::from(model.stated)).map(|s| super::model::sql(s))
            }
            Action::Resume(_) => Some(super::model::sql("RESUME")),
            _ => None,
        };
        Taken { at: 0, action, delivered, text, told: Vec::new() }
    }

    /// After it.
    pub fn end(&mut self, model: &Model) {
        self.at = model.now - super::model::BEGIN_US;
        self.told.clone_from(&model.told);
    }

    /// The step in words.
    pub fn what(&self) -> String {
        match (self.delivered, &self.text) {
            (Some((item, from, to)), _) => format!("{item} {} -> {}", name(from), name(to)),
            (None, Some(text)) => format!("{}: {text}", self.action),
            (None, None) => self.action.to_string(),
        }
    }

    /// Lines for people: the step, and below it what instances told.
    pub fn lines(&self, number: usize, begin: u64, lines: &mut Vec<String>) {
        let seconds = self.at.saturating_sub(begin) as f64 / 1e6;
        lines.push(format!("{number:>4}  {seconds:>5.1} s  {}", self.what()));
        // Pings go between everybody all the time.
        for (instance, what) in self.told.iter().filter(|(_, what)| what != "receives ping") {
            lines.push(format!("                 {}: {what}", name(*instance)));
        }
    }
}

fn name(instance: u8) -> &'static str {
    NAMES[usize::from(instance) % INSTANCES]
}
