//! Where rules are written down, where tests cite them, and the list of those without a test.

use crate::ids::{Cited, Id};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every file of this kind below a folder, in the order of paths.
fn below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .flat_map(|path| if path.is_dir() { below(&path, extension) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("found below the root").display().to_string()
}

/// Every rule of `docs/spec/` and the file it stands in: first in a row of a table, in a heading, or in a paragraph; and
/// the numbered parts of an open question's resolution, `OQ-4.1`.
pub fn rules() -> BTreeMap<Id, String> {
    let mut rules = BTreeMap::new();
    for path in below(&root().join("docs/spec"), "md") {
        let mut question = None;
        for line in read(&path).lines() {
            let start = line.trim_start_matches(['|', '#', '-', ' ', '*']);
            let word = start.split([' ', '|', '*']).next().unwrap_or_default();
            if line.starts_with("### ") {
                question = Some(word).filter(|w| w.starts_with("OQ-")).map(str::to_owned);
            }
            let part = match (&question, line.split_once(". ")) {
                (Some(question), Some((n, _))) => Id::parse(&format!("{question}.{n}")),
                _ => None,
            };
            if let Some(id) = part.or_else(|| Id::parse(word)) {
                rules.entry(id).or_insert_with(|| shown(&path));
            }
        }
    }
    rules
}

/// Every citation in a test, a scenario or a case of the quorum tables, with the file it stands in.
pub fn citations() -> Vec<(String, Cited)> {
    let mut cited = Vec::new();
    for folder in ["core", "sim", "tests"] {
        for path in below(&root().join(folder), "rs") {
            let place = shown(&path);
            let text = read(&path);
            let test = match place.split_once("/tests/") {
                Some(_) if place.starts_with("tests/tests/coverage/") => continue,
                Some(_) => text.as_str(),
                None if place.ends_with("/tests.rs") => text.as_str(),
                None => unit_tests(&text),
            };
            let listed = comments(test).into_iter().flat_map(|block| bracketed(&block));
            let cases = cases(test).into_iter().filter(|_| place.starts_with("tests/tests/quorum/"));
            for list in listed.chain(cases) {
                cited.extend(Cited::list(&list).into_iter().map(|c| (place.clone(), c)));
            }
        }
    }
    for path in below(&root().join("scenarios"), "json") {
        let scenario: serde_json::Value = serde_json::from_str(&read(&path)).expect("scenarios are JSON");
        let rules = scenario["rules"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = rules.iter().filter_map(|rule| rule.as_str()).collect();
        cited.extend(Cited::list(&names.join(",")).into_iter().map(|c| (shown(&path), c)));
    }
    cited
}

/// The part of a source file that is compiled for tests only: from its module of tests on.
pub fn unit_tests(text: &str) -> &str {
    let is_module = |start: &usize| {
        text[*start..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    let start = text.match_indices("#[cfg(test)]\n").map(|(start, _)| start).find(is_module);
    start.map_or("", |start| &text[start..])
}

/// The comments of a source text, those on neighbouring lines as one. Heads of modules are left out.
pub fn comments(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match line.split_once("//") {
            Some((_, comment)) if !comment.starts_with('!') => {
                let block = blocks.last_mut().expect("there is always one");
                block.push_str(comment.trim_start_matches('/'));
            }
            _ => blocks.push(String::new()),
        }
    }
    blocks
}

/// What stands in square brackets.
pub fn bracketed(text: &str) -> Vec<String> {
    let inner = |part: &str| part.split_once(']').map(|(inner, _)| inner.to_owned());
    text.split('[').skip(1).filter_map(inner).collect()
}

/// The rows that the tables of cases name.
pub fn cases(text: &str) -> Vec<String> {
    let calls = ["case(", "alone("].into_iter().flat_map(|call| text.split(call).skip(1));
    calls
        .filter_map(|rest| rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()))
        .map(str::to_owned)
        .collect()
}

/// The list of rules without a test: the heading under which they stand, and the rules.
pub fn listed() -> Vec<(String, Cited)> {
    let mut topic = String::new();
    let mut listed = Vec::new();
    for line in read(&root().join("docs/spec-coverage.md")).lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            topic = heading.to_owned();
        } else if let Some(row) = line.strip_prefix('|') {
            let first = row.split('|').next().unwrap_or_default();
            listed.extend(Cited::list(first).into_iter().map(|c| (topic.clone(), c)));
        }
    }
    listed
}
