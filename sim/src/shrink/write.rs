//! The file of a shrunk plan: named, noted, and laid out to be read. A step is a line; what is as usual is left out.

use super::Size;
use crate::read;
use crate::report::count;
use crate::scenario::Scenario;
use dbm_core::bugs::Bug;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// How the note of a shrunk plan begins; such a file may be replaced by a newer one.
const SHRUNK_FROM: &str = "Shrunk from ";

/// The plan with a name and a note of its own.
pub(super) fn named_after(plan: Scenario, origin: &Scenario, signature: &str, bug: Option<Bug>) -> Scenario {
    // Shrunk once more, it still comes from where it came from.
    if let Some((source, _)) =
        origin.note.strip_prefix(SHRUNK_FROM).and_then(|rest| rest.split_once("; fails with "))
    {
        let named = named(plan, source, signature, bug);
        return Scenario { name: origin.name.clone(), ..named };
    }
    let Size { steps, duration, clients, .. } = Size::of(origin);
    let seed = plan.seed.unwrap_or_default();
    let (steps, clients) = (count(steps as u64, "step"), count(clients.into(), "client"));
    let source = format!("{}, seed {seed} ({steps}, {duration}, {clients})", origin.name);
    named(plan, &source, signature, bug)
}

/// The plan with a name made of its own, its seed and what fails, and a note that says so. Only files with such a note
/// are ever replaced by [`save`].
pub fn named(plan: Scenario, source: &str, signature: &str, bug: Option<Bug>) -> Scenario {
    let planted = bug.map(|bug| format!(" while the bug {} is planted", bug.name())).unwrap_or_default();
    let note = format!("{SHRUNK_FROM}{source}; fails with {signature}{planted}.");
    let name = file_name(&plan.name, plan.seed.unwrap_or_default(), signature);
    Scenario { name, note, rules: Vec::new(), ..plan }
}

/// `chaos-7-roles-inv-1`: within what a name may be.
fn file_name(scenario: &str, seed: u64, signature: &str) -> String {
    let mut name = scenario.chars().take(24).collect::<String>();
    let _ = write!(name, "-{seed}-");
    for c in signature.to_lowercase().chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    // All of it is ASCII but for a scenario's name, which has been checked.
    name.chars().take(64).collect::<String>().trim_end_matches('-').to_owned()
}

/// The file's text. It reads back as the same plan.
pub fn text(plan: &Scenario) -> String {
    let full = serde_json::to_value(plan).expect("a scenario has only text keys");
    let short = layout(&without_the_usual(full.clone(), plan));
    match read::text(Path::new(&plan.name), &short) {
        Ok(back) if back == *plan => short,
        Ok(_) | Err(_) => layout(&full),
    }
}

/// Leaves out what reading puts in again.
fn without_the_usual(mut value: Value, plan: &Scenario) -> Value {
    // What a file with nothing but the necessary means, field by field.
    let bare = json!({
        "dbmsim": plan.dbmsim, "name": plan.name, "duration": plan.duration, "instances": plan.instances,
        "session": { "principal": plan.session.principal, "mirror": plan.session.mirror },
        "workload": {},
    });
    let usual = serde_json::from_value::<Scenario>(bare.clone())
        .ok()
        .and_then(|usual| serde_json::to_value(usual).ok())
        .unwrap_or_default();
    let Value::Object(fields) = &mut value else { return value };
    for (field, usual) in usual.as_object().into_iter().flatten() {
        let necessary = bare.get(field);
        if let (Some(Value::Object(inner)), Value::Object(usual)) = (fields.get_mut(field), usual) {
            let needed = necessary.and_then(Value::as_object);
            inner.retain(|key, value| {
                needed.is_some_and(|needed| needed.contains_key(key)) || usual.get(key) != Some(value)
            });
            // No workload is none at all; an empty one is the usual one.
            if inner.is_empty() && necessary.is_none() {
                fields.shift_remove(field);
            }
        } else if necessary.is_none() && fields.get(field) == Some(usual) {
            fields.shift_remove(field);
        }
    }
    for list in ["timeline", "expect"] {
        fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(without_defaults);
    }
    value
}

/// `"both": false` and `"error": null` are what their absence means.
fn without_defaults(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    fields.retain(|key, value| match key.as_str() {
        "both" => *value != json!(false),
        "error" => !value.is_null(),
        _ => true,
    });
    fields.values_mut().for_each(without_defaults);
}

/// A line for each field; a line for each entry of a list of objects.
fn layout(value: &Value) -> String {
    let empty = Map::new();
    let fields: Vec<String> = value
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .map(|(key, value)| {
            let list = value.as_array().filter(|list| list.iter().any(Value::is_object));
            let text = match list {
                Some(list) => {
                    let lines: Vec<String> =
                        list.iter().map(|entry| format!("    {}", line(entry))).collect();
                    format!("[\n{}\n  ]", lines.join(",\n"))
                }
                None => line(value),
            };
            format!("  {}: {text}", json!(key))
        })
        .collect();
    format!("{{\n{}\n}}\n", fields.join(",\n"))
}

/// A value on one line, spaced like the other scenario files.
fn line(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|(k, v)| format!("{}: {}", json!(k), line(v))).collect();
            format!("{{ {} }}", parts.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(line).collect::<Vec<_>>().join(", ")),
        plain => plain.to_string(),
    }
}

/// Where shrunk plans go when nothing else is said.
pub const FOLDER: &str = "target/shrunk";

/// What became of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It was not there.
    New,
    /// It was there with the same content.
    Unchanged,
    /// It was there, an older result of shrinking.
    Replaced,
}

impl Saved {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Saved::New => "written",
            Saved::Unchanged => "was there already, the same",
            Saved::Replaced => "replaced an older result of shrinking",
        }
    }
}

/// May `file` be written: is it absent, or an earlier result? The error says what it is instead.
pub fn may_write(file: &Path) -> io::Result<()> {
    if !file.try_exists()? {
        return Ok(());
    }
    match read::file(file) {
        Ok(old) if old.note.starts_with(SHRUNK_FROM) => Ok(()),
        Ok(_) | Err(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something else there that shrinking has not written; choose another file with --out",
        )),
    }
}

/// Writes `plan` to `file`. Replaces nothing but older results of shrinking.
pub fn save(file: &Path, plan: &Scenario) -> io::Result<Saved> {
    may_write(file)?;
    let text = text(plan);
    let saved = match std::fs::read_to_string(file) {
        Ok(old) if old == text => return Ok(Saved::Unchanged),
        Ok(_) => Saved::Replaced,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Saved::New,
        Err(e) => return Err(e),
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, text)?;
    Ok(saved)
}
