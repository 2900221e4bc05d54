//! The tables of `docs/spec/quorum.md`, read as they stand there: what a row says is what is expected.

use std::collections::BTreeMap;
use std::path::Path;

/// A row of a table: its id, and its cells by the heads of their columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Such as "QT-A7".
    pub id: String,
    cells: BTreeMap<String, String>,
}

impl Row {
    /// The text below this head, without emphasis; an error names the row.
    pub fn cell(&self, head: &str) -> Result<&str, String> {
        self.cells.get(head).map(String::as_str).ok_or_else(|| format!("{}: has no column {head}", self.id))
    }

    /// The text that tells how it ends, under whichever head that stands.
    pub fn result(&self) -> Result<String, String> {
        if self.id.starts_with("QS-") {
            return Ok(format!("{}; {}", self.cell("Who owns the principal role")?, self.cell("Served")?));
        }
        self.cell("Result").map(str::to_owned)
    }
}

/// Every row that is a rule of connectivity, in the order of the file.
pub fn rows() -> Vec<Row> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/quorum.md");
    let text = std::fs::read_to_string(file).expect("docs/spec/quorum.md can be read");
    rows_of(&text)
}

fn rows_of(text: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut heads: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some(inner) = line.strip_prefix('|').and_then(|l| l.trim_end().strip_suffix('|')) else {
            heads.clear();
            continue;
        };
        let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().replace("**", "")).collect();
        if heads.is_empty() {
            heads = cells;
        } else if is_row(&cells[0]) {
            assert_eq!(cells.len(), heads.len(), "{}: as many cells as heads", cells[0]);
            let id = cells[0].clone();
            rows.push(Row { id, cells: heads.iter().cloned().zip(cells).collect() });
        }
    }
    rows
}

/// QT-, QR- and QS-rows, and the restarts Q-30 and later.
fn is_row(id: &str) -> bool {
    let restart = |n: &str| n.parse::<u32>().is_ok_and(|n| n >= 30);
    ["QT-", "QR-", "QS-"].iter().any(|prefix| id.starts_with(prefix))
        || id.strip_prefix("Q-").is_some_and(restart)
}

/// What a row says about who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    A,
    /// The mirror, after an automatic failover.
    B,
    Nobody,
    /// Nobody, but A again when it comes back.
    NobodyUntilReturn,
}

/// The column "Served by".
pub fn server(row: &Row) -> Result<Server, String> {
    match row.cell("Served by")? {
        "A" | "A, exposed" => Ok(Server::A),
        "B after failover, exposed" => Ok(Server::B),
        "nobody" => Ok(Server::Nobody),
        "nobody, until forced or A rejoins" | "nobody, until forced or A restarts" => {
            Ok(Server::NobodyUntilReturn)
        }
        other => Err(format!("{}: does not say who serves: {other}", row.id)),
    }
}

/// The answer to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// Refused with this error.
    No(i32),
    /// The instance is down.
    Untold,
}

/// The column "Manual" or "Manual failover": what FAILOVER answers on A. A bare "no" stands where A is down: then it is
/// asked on B, which is no principal. [FO-31]
pub fn manual(row: &Row) -> Result<Answer, String> {
    let text = row.cell("Manual").or_else(|_| row.cell("Manual failover"))?;
    match text {
        "no" => Ok(Answer::Untold),
        text => answer(row, text),
    }
}

/// The column "Forced": what FORCE_SERVICE_ALLOW_DATA_LOSS answers on B. Where it is "not needed" B has the role
/// already. [FO-50]
pub fn forced(row: &Row) -> Result<Answer, String> {
    match row.cell("Forced")? {
        "not needed" => Ok(Answer::No(1455)),
        "–" => Ok(Answer::Untold),
        text => answer(row, text),
    }
}

fn answer(row: &Row, text: &str) -> Result<Answer, String> {
    let number = text.strip_prefix("no (E").and_then(|t| t.strip_suffix(')')).and_then(|t| t.parse().ok());
    match number {
        Some(number) => Ok(Answer::No(number)),
        None if text == "yes" || text.starts_with("yes,") || text.starts_with("yes;") => Ok(Answer::Yes),
        None => Err(format!("{}: is no answer to a statement: {text}", row.id)),
    }
}

/// Where a forced service is granted: do both partners serve from then on?
pub fn both_serve(row: &Row) -> Result<bool, String> {
    Ok(row.cell("Forced")?.contains("both serve"))
}

/// The column "Automatic" or "Automatic failover": does B take over when A is lost next? `None` where it has done so.
pub fn armed(row: &Row) -> Result<Option<bool>, String> {
    let text = row.cell("Automatic").or_else(|_| row.cell("Automatic failover"))?;
    let begins = |word: &str| {
        text == word || text.strip_prefix(word).is_some_and(|t| t.starts_with([' ', ',', ':', ';']))
    };
    match () {
        () if begins("armed") => Ok(Some(true)),
        () if begins("no") || begins("not possible") => Ok(Some(false)),
        () if begins("occurs") => Ok(None),
        () => Err(format!("{}: does not tell whether a failover happens: {text}", row.id)),
    }
}

/// A state as the tables write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// That of the session before the change: "S", "…" or "X".
    Before,
    Disconnected,
    /// The instance is down.
    Nothing,
}

/// What a partner shows: state, and the witness: connected, disconnected, or no witness set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub state: Shown,
    pub witness: Option<bool>,
}

/// The column of a partner: "S / C", "stops serving, D / d", "… or X / C", "same", "D", "–".
pub fn view(row: &Row, partner: &str) -> Result<View, String> {
    let text = row.cell(&format!("{partner}: state / witness")).or_else(|_| row.cell(partner))?;
    let unclear = || format!("{}: does not tell what {partner} shows: {text}", row.id);
    let (state, witness) = match text.split_once(" / ") {
        Some((state, "C")) => (state, Some(true)),
        Some((state, "d")) => (state, Some(false)),
        Some(_) => return Err(unclear()),
        None => (text, None),
    };
    let state = state.strip_prefix("stops serving, ").unwrap_or(state);
    let state = state.strip_prefix("becomes principal, ").unwrap_or(state);
    let state = match state {
        "S" | "same" | "… or X" | "S, … or X" => Shown::Before,
        "D" | "D (warm standby)" => Shown::Disconnected,
        "–" => Shown::Nothing,
        _ => return Err(unclear()),
    };
    Ok(View { state, witness })
}

/// The states of the session before the change for which the row stands.
pub fn before(row: &Row) -> Result<&'static [&'static str], String> {
    let off = row.id.starts_with("QT-C") || row.id.starts_with("QT-E");
    let any = ["S", "…", "X"].as_slice();
    let named = match row.cell("Session before").or_else(|_| row.cell("A: state / witness")) {
        Ok(text) => text.split([',', '/']).next().unwrap_or_default().trim(),
        Err(_) => "any",
    };
    match named {
        _ if off => Ok(any),
        "S" | "SYNCHRONIZED" => Ok(&["S"]),
        "… or X" | "SYNCHRONIZING or SUSPENDED" | "not SYNCHRONIZED" => Ok(&["…", "X"]),
        "any" => Ok(any),
        // The tables of modes A and B say it in their headings.
        "D" | "stops serving" if row.id.starts_with("QT-A") => Ok(&["S"]),
        "D" | "stops serving" if row.id.starts_with("QT-B") => Ok(&["…", "X"]),
        other => Err(format!("{}: names no session before the change: {other}", row.id)),
    }
}

/// Is a link of the row there: "PM", "PW" or "MW"? `None` where the table has no such column.
pub fn link(row: &Row, name: &str) -> Result<Option<bool>, String> {
    match row.cells.get(name).map(String::as_str) {
        None => Ok(None),
        Some("1") => Ok(Some(true)),
        Some("0") => Ok(Some(false)),
        Some(other) => Err(format!("{}: {name} is neither 0 nor 1: {other}", row.id)),
    }
}

/// The instance that is down in the rows without a witness: "A down", "B down".
pub fn down(row: &Row) -> Option<&'static str> {
    let text = row.cell("Session before").or_else(|_| row.cell("Situation")).unwrap_or_default();
    ["A", "B"].into_iter().find(|name| text.contains(&format!("{name} down")))
}
