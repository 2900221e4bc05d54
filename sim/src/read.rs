//! From a file to a scenario, or to a message that says where and why not. Nothing is run on half of a file.

use crate::scenario::{FORMAT, Scenario};
use crate::validate::{self, Problem};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a file is no scenario. Every message names the file, and the place in it where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system said no.
    #[error("{}: cannot read: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A directory where a file is needed.
    #[error("{}: is a directory; expected a scenario file", file.display())]
    Directory {
        /// The directory.
        file: PathBuf,
    },
    /// A directory without any scenario in it.
    #[error("{}: no *.json file in this directory or below it", file.display())]
    NothingFound {
        /// The directory.
        file: PathBuf,
    },
    /// Larger than [`FILE_BYTES_MAX`].
    #[error("{}: larger than {} MiB; that is no scenario file", file.display(), FILE_BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// Nothing but white space.
    #[error("{}: is empty; expected a JSON object, see `dbmsim schema`", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// Not UTF-8.
    #[error("{}:{line}:{column}: is not UTF-8 text; expected JSON in UTF-8", file.display())]
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// Not JSON, or not the types the format asks for.
    #[error("{}:{line}:{column}: {}{what}", file.display(), at_path(path))]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Path to the value, such as `timeline[3].on`; empty at the top.
        path: String,
        /// What is wrong and what was expected.
        what: String,
    },
    /// Well formed, but it makes no sense; every problem is listed.
    #[error("{}", .problems.iter().map(|p| format!("{}: {p}", file.display())).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

fn at_path(path: &str) -> String {
    // "?" and "." stand for a place that could not be told, and for the whole file.
    if path.is_empty() || path == "." || path == "?" { String::new() } else { format!("{path}: ") }
}

/// Reads and checks the scenario in `file`.
pub fn file(file: &Path) -> Result<Scenario, ReadError> {
    let failed = |source| ReadError::Io { file: file.into(), source };
    if file.is_dir() {
        return Err(ReadError::Directory { file: file.into() });
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge { file: file.into() });
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        ReadError::NotUtf8 {
            file: file.into(),
            line: 1 + before.iter().filter(|b| **b == b'\n').count(),
            column: 1 + before.len() - line_start,
        }
    })?;
    self::text(file, text)
}

/// Reads and checks the scenario in `text`, which came from `file`.
pub fn text(file: &Path, text: &str) -> Result<Scenario, ReadError> {
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Err(ReadError::Empty { file: file.into() });
    }
    parse::<NoDuplicates>(file, text)?;
    version(file, text)?;
    let scenario: Scenario = parse(file, text)?;
    let problems = validate::check(&scenario);
    if problems.is_empty() { Ok(scenario) } else { Err(ReadError::Invalid { file: file.into(), problems }) }
}

/// A file of another version is told so, and not that its new fields are unknown.
fn version(file: &Path, text: &str) -> Result<(), ReadError> {
    #[derive(Deserialize)]
    struct Header {
        dbmsim: Option<serde_json::Value>,
    }
    let Ok(Header { dbmsim: Some(found) }) = serde_json::from_str(text) else {
        return Ok(()); // The strict reading that follows has the better message.
    };
    if found == serde_json::json!(FORMAT) {
        return Ok(());
    }
    let what = format!("this is format version {found}; expected {FORMAT}, the only one this build reads");
    Err(ReadError::Invalid { file: file.into(), problems: vec![Problem { path: "dbmsim".into(), what }] })
}

fn parse<'a, T: Deserialize<'a>>(file: &Path, text: &'a str) -> Result<T, ReadError> {
    let syntax = |path: String, e: serde_json::Error| {
        let full = e.to_string();
        let place = format!(" at line {} column {}", e.line(), e.column());
        ReadError::Syntax {
            file: file.into(),
            line: e.line(),
            column: e.column().max(1), // 0 behind the last line break
            path,
            what: full.strip_suffix(&place).unwrap_or(&full).to_owned(),
        }
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        syntax(path, e.into_inner())
    })?;
    json.end().map_err(|e| syntax(String::new(), e))?;
    Ok(value)
}

/// Any JSON in which no object names a key twice. A reader that keeps the last of two would run half of the file.
struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        NoDuplicates.deserialize(d)
    }
}

impl<'de> DeserializeSeed<'de> for NoDuplicates {
    type Value = NoDuplicates;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = NoDuplicates;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<NoDuplicates>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(serde::de::Error::custom(format!("`{key}` appears twice in this object")));
            }
            seen.insert(key);
            entries.next_value::<NoDuplicates>()?;
        }
        Ok(self)
    }
}

/// The scenario files that `paths` name: files as they are, directories with every `*.json` below them, sorted.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ReadError> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            walk(path, &mut found)?;
            if found.len() == before {
                return Err(ReadError::NothingFound { file: path.clone() });
            }
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), ReadError> {
    let failed = |source| ReadError::Io { file: directory.into(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        entries.push((entry.path(), entry.file_type().map_err(failed)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in entries {
        // A symbolic link to a directory is not followed: it may lead back here.
        if kind.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "json") && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The smallest scenario.
    pub(crate) const SMALL: &str = r#"{
  "dbmsim": 1,
  "name": "small",
  "duration": "30s",
  "instances": [{"name": "A"}, {"name": "B"}, {"name": "W"}],
  "session": {"principal": "A", "mirror": "B", "witness": "W"}
}"#;

    pub(crate) fn small() -> Scenario {
        text(Path::new("small.json"), SMALL).expect("SMALL is a scenario")
    }

    fn message(text: &str) -> String {
        self::text(Path::new("x.json"), text).expect_err("bad input").to_string()
    }

    #[test]
    fn the_smallest_scenario_reads() {
        assert_eq!(small().session.timeout_s, 10);
    }

    #[test]
    fn malformed_json_carries_line_and_column() {
        let broken = SMALL.replace("\"name\": \"small\",", "\"name\": \"small\"");
        assert!(message(&broken).starts_with("x.json:4:3: "), "{}", message(&broken));
        assert!(message("{").starts_with("x.json:1:1: "));
        assert!(message(&format!("{SMALL} x")).contains("x.json:7:3: trailing"));
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place_and_what_was_expected() {
        let m = message(&SMALL.replace("\"mirror\": \"B\"", "\"mirror\": \"B\", \"witnes\": \"W\""));
        assert!(m.starts_with("x.json:6:"), "{m}");
        assert!(m.contains("session.witnes: unknown field `witnes`, expected one of"), "{m}");
    }

    #[test]
    fn a_wrong_type_says_what_was_expected() {
        let m = message(&SMALL.replace("\"30s\"", "30"));
        assert!(m.contains("x.json:4:16: duration: invalid type: integer `30`, expected"), "{m}");
        let m = message(&SMALL.replace("30s", "30 parsecs"));
        assert!(m.contains("duration") && m.contains("is not a time") && m.contains("250ms"), "{m}");
    }

    #[test]
    fn another_version_is_named_even_when_its_fields_are_unknown() {
        let m = message(&SMALL.replace("\"dbmsim\": 1", "\"dbmsim\": 2, \"colour\": 1"));
        assert_eq!(m, "x.json: dbmsim: this is format version 2; expected 1, the only one this build reads");
    }

    #[test]
    fn a_key_that_appears_twice_is_refused() {
        let m = message(&SMALL.replace("\"mirror\": \"B\"", "\"mirror\": \"B\", \"mirror\": \"W\""));
        assert!(m.contains("session") && m.contains("`mirror` appears twice"), "{m}");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_stack_overflow() {
        assert!(message(&"[".repeat(100_000)).contains("recursion limit"));
    }

    #[test]
    fn empty_missing_directory_binary_and_huge_files_are_told_apart() {
        let dir = std::env::temp_dir().join(format!("dbmsim-read-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("temporary directory");
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            std::fs::write(&path, bytes).expect("temporary file");
            file(&path).expect_err("bad file").to_string()
        };
        assert!(put("empty.json", b" \n").contains("is empty"));
        assert!(put("bin.json", b"{\n \xff").contains("bin.json:2:2: is not UTF-8"));
        assert!(put("huge.json", &vec![b' '; FILE_BYTES_MAX as usize + 1]).contains("larger than 4 MiB"));
        assert!(file(&dir).expect_err("directory").to_string().contains("is a directory"));
        assert!(file(&dir.join("none.json")).expect_err("missing").to_string().contains("cannot read"));
        let empty = dir.join("sub");
        std::fs::create_dir_all(&empty).expect("temporary directory");
        assert!(find(&[empty]).expect_err("nothing").to_string().contains("no *.json"));
        assert_eq!(find(std::slice::from_ref(&dir)).expect("walk").len(), 3);
        std::fs::remove_dir_all(&dir).expect("clean up");
    }
}
