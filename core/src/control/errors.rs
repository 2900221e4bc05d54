//! The error catalogue: number, severity and a short text of every error that a statement, a client or the log can
//! name. Numbers and severities are those of `docs/spec/control.md` section 7; the texts are our own words.

use crate::io::SqlError;
use std::fmt;

/// The number of every syntax error.
pub const SYNTAX_ERROR: u32 = 102;

/// A row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// Error number.
    pub number: u32,
    /// Severity; 10 is information.
    pub severity: u8,
    /// What it means, in a few words.
    pub message: &'static str,
}

/// The row of an error, for numbers that come from outside, such as a frame.
pub fn catalogued(error: u32) -> Option<&'static CatalogueEntry> {
    let found = CATALOGUE.binary_search_by_key(&error, |entry| entry.number);
    found.ok().map(|index| &CATALOGUE[index])
}

/// Severity of an error. Panics when the catalogue lacks it: an error that we raise has a row.
pub fn severity(error: u32) -> u8 {
    entry(error).severity
}

/// A short text for an error. Panics when the catalogue lacks it: an error that we raise has a row.
pub fn message(error: u32) -> &'static str {
    entry(error).message
}

/// The error of that number, with its severity and no position. Panics like [`severity`].
pub fn sql_error(number: u32) -> SqlError {
    SqlError { number, severity: severity(number), position: None }
}

fn entry(error: u32) -> &'static CatalogueEntry {
    catalogued(error).unwrap_or_else(|| panic!("error {error} has no row in the catalogue"))
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}, severity {}", self.number, self.severity)?;
        if let Some(position) = self.position {
            write!(f, ", at byte {position}")?;
        }
        match catalogued(self.number) {
            Some(entry) => write!(f, ": {}", entry.message),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlError {}

/// Shortens the rows below.
const fn row(number: u32, severity: u8, message: &'static str) -> CatalogueEntry {
    CatalogueEntry { number, severity, message }
}

/// In the order of numbers.
#[rustfmt::skip]
const CATALOGUE: &[CatalogueEntry] = &[
    row(102, 15, "incorrect syntax"),
    row(226, 16, "statement not allowed inside a transaction"),
    row(823, 24, "input/output error of a file"),
    row(824, 24, "logical error of a page: checksum, torn page or wrong page id"),
    row(825, 10, "read succeeded only after a retry"),
    row(829, 21, "page awaits its restore"),
    row(833, 10, "input/output request takes unusually long"),
    row(921, 14, "database is not recovered yet"),
    row(922, 14, "database is being recovered"),
    row(927, 14, "database is in the middle of a restore"),
    row(941, 16, "database is not started"),
    row(942, 14, "database is offline"),
    row(945, 16, "database cannot be opened: files inaccessible, or memory or disk short"),
    row(946, 14, "database version needs an upgrade"),
    row(948, 20, "database version is newer than this instance"),
    row(952, 16, "database is in transition; try later"),
    row(954, 14, "database is a mirror database"),
    row(955, 14, "mirrored database lacks quorum"),
    row(956, 14, "mirrored database has not yet synchronized with its partner"),
    row(957, 17, "mirrored database cannot be renamed"),
    row(1205, 13, "transaction was chosen as deadlock victim and rolled back"),
    row(1401, 21, "mirroring control thread could not start"),
    row(1402, 20, "witness holds no entry for the session"),
    row(1403, 16, "witness received an error answer from a partner"),
    row(1404, 16, "mirror is busy; try later"),
    row(1405, 16, "database is already mirrored"),
    row(1406, 16, "service cannot be forced safely"),
    row(1407, 16, "remote copy is not related to the local database"),
    row(1408, 16, "remote copy is not recovered far enough"),
    row(1409, 16, "log backups must be restored on the future mirror first"),
    row(1410, 16, "remote copy is already mirrored"),
    row(1411, 16, "files of the remote copy are not at a common point"),
    row(1412, 16, "point in time of the remote copy is not covered by the local log"),
    row(1413, 16, "communication failed before mirroring had started"),
    row(1414, 16, "database is being closed before mirroring is initialised"),
    row(1415, 16, "mirroring operation could not be performed"),
    row(1416, 16, "database is not configured for mirroring"),
    row(1417, 16, "mirroring is disabled by the administrator"),
    row(1418, 16, "server network address cannot be reached or does not exist"),
    row(1419, 16, "remote copy cannot be opened"),
    row(1420, 16, "host name could not be determined"),
    row(1421, 16, "no completion from the remote side in time"),
    row(1422, 16, "mirror is not caught up; cannot fail over"),
    row(1423, 16, "mirroring property is not supported"),
    row(1424, 16, "remote side has a newer value of the property"),
    row(1425, 16, "value of the mirroring property is invalid"),
    row(1426, 16, "SET WITNESS needs all three instances connected and the mirror caught up"),
    row(1427, 16, "named instance could not act as witness"),
    row(1428, 16, "responding instance is in no state to serve the request"),
    row(1429, 16, "witness must differ from both partners"),
    row(1430, 16, "unstable state while removing mirroring; recovery may fail"),
    row(1431, 16, "neither partner nor witness is available for the statement"),
    row(1432, 10, "attempting to repair a page from the partner"),
    row(1433, 16, "the three instances did not stay connected during SET WITNESS"),
    row(1434, 16, "invalid or unexpected mirroring message"),
    row(1435, 16, "unexpected error response"),
    row(1436, 16, "broker id of the remote copy differs"),
    row(1437, 16, "message not posted: out of memory"),
    row(1438, 16, "configuration request rejected; retry"),
    row(1439, 16, "no witness is set"),
    row(1440, 10, "mirroring is active as principal"),
    row(1441, 10, "mirroring is active as mirror"),
    row(1442, 10, "mirroring is inactive"),
    row(1443, 10, "mirroring is terminated"),
    row(1444, 10, "recovery bypassed: mirror database"),
    row(1445, 10, "recovery bypassed: inaccessible mirrored database"),
    row(1446, 10, "instance is already the witness"),
    row(1447, 16, "both partners must be up and connected"),
    row(1448, 16, "remote copy does not exist"),
    row(1449, 16, "invalid server network address"),
    row(1450, 16, "worker thread could not be created"),
    row(1451, 16, "mirroring information is missing from the system table"),
    row(1452, 16, "partner must differ from this instance"),
    row(1453, 17, "the remote partner met an error; session suspended"),
    row(1454, 17, "this partner met an error; session will be suspended"),
    row(1455, 16, "service cannot be forced: wrong state to become principal"),
    row(1456, 16, "statement could not be sent to the remote instance; nothing changed"),
    row(1457, 23, "synchronization was interrupted and the mirror copy is inconsistent"),
    row(1458, 17, "principal failed while sending a page; session suspended"),
    row(1459, 24, "mirroring metadata is inaccessible"),
    row(1460, 16, "database is already configured for mirroring on the remote server"),
    row(1461, 10, "page repaired with the copy of the partner"),
    row(1462, 16, "mirroring is disabled by a failed redo; cannot resume"),
    row(1463, 16, "mirroring is not available in this edition"),
    row(1464, 16, "copy is not restoring"),
    row(1465, 16, "full recovery model is required"),
    row(1466, 16, "read-only database cannot be mirrored"),
    row(1467, 16, "emergency or suspect database cannot be mirrored"),
    row(1468, 16, "operation is not allowed on a database in a session"),
    row(1469, 16, "auto-close database cannot be mirrored"),
    row(1470, 16, "statement may only be issued on the current principal"),
    row(1471, 16, "connection ended: out of memory while sending"),
    row(1472, 16, "connection ended: communication error while sending"),
    row(1473, 16, "edition does not allow changing the safety level"),
    row(1474, 16, "mirroring connection error"),
    row(1475, 16, "bulk-logged changes are not backed up"),
    row(1476, 16, "time-out above 32767 seconds"),
    row(1477, 16, "safety must be FULL for manual failover"),
    row(1478, 16, "mirror lacks log needed to keep the log-backup chain"),
    row(1479, 16, "connection timed out without response"),
    row(1480, 10, "database changes roles"),
    row(1481, 10, "page could not be repaired"),
    row(1482, 10, "snapshot synchronization lock not obtained"),
    row(1483, 10, "mirroring state information"),
    row(1485, 10, "mirroring is enabled on the instance"),
    row(1486, 10, "mirroring transport is disabled in the endpoint configuration"),
    row(1487, 10, "starting parallel redo"),
    row(1488, 16, "single-user database cannot be mirrored"),
    row(1489, 10, "mirroring is disabled on this server because of an error"),
    row(1490, 16, "remote copy lacks a log backup with all FILESTREAM files"),
    row(1491, 16, "database with remote data archive cannot be mirrored"),
    row(1499, 16, "mirroring error"),
    row(1822, 16, "snapshot needs an online database"),
    row(1823, 16, "snapshot failed to start"),
    row(3021, 16, "backup or restore is not allowed inside a transaction"),
    row(3048, 16, "log truncation without backup is refused on a mirrored database"),
    row(3051, 16, "log backup cannot keep mirroring consistent; session suspended"),
    row(3059, 16, "mirror copy can be neither backed up nor restored"),
    row(3101, 16, "no exclusive access to the database for the restore"),
    row(3104, 16, "restore over a database in a session is refused"),
    row(3117, 16, "no log can be applied: the copy is not restoring"),
    row(3121, 16, "log backup is of another recovery fork"),
    row(3135, 16, "wrong kind of backup set"),
    row(3136, 16, "differential backup lacks its base"),
    row(3147, 16, "backup and restore are not allowed on tempdb"),
    row(3154, 16, "backup is of another database"),
    row(3159, 16, "log tail is not backed up"),
    row(3169, 16, "backup was made by a newer version"),
    row(4208, 16, "log backup needs another recovery model"),
    row(4214, 16, "log backup needs a current database backup"),
    row(4305, 16, "log backup is too recent"),
    row(4326, 16, "log backup is too old"),
    row(4330, 16, "log backup is of another recovery fork"),
    row(5001, 16, "the master database must be current"),
    row(5003, 16, "offline files prevent mirroring"),
    row(5008, 16, "unsupported ALTER DATABASE"),
    row(5011, 14, "no permission to alter the database, or it does not exist"),
    row(5058, 16, "option cannot be set in this database"),
    row(5069, 16, "ALTER DATABASE failed"),
    row(5130, 10, "log cannot be rebuilt while the database is mirrored"),
    row(7860, 15, "transport or content of an endpoint cannot be changed"),
    row(7862, 16, "an endpoint of this kind exists"),
    row(7863, 16, "endpoint statement changes nothing"),
    row(9001, 21, "log of the database is not available"),
    row(9002, 17, "log of the database is full"),
    row(9004, 21, "error while processing the log"),
    row(9666, 10, "endpoint is disabled or stopped"),
    row(9690, 10, "endpoint is listening"),
    row(9691, 10, "endpoint stopped listening"),
    row(9692, 16, "port of the endpoint is in use"),
    row(9693, 16, "endpoint cannot listen"),
    row(9722, 10, "transport: connect failed"),
    row(9751, 10, "transport: authentication failed"),
    row(9752, 10, "transport: account refused"),
    row(9754, 10, "transport: connect error"),
    row(9755, 10, "transport: receive error"),
    row(9757, 10, "transport: protocol error"),
    row(9758, 10, "transport: login negotiation error"),
    row(9759, 10, "transport: send error"),
    row(9760, 10, "transport: idle connection closed"),
    row(9778, 16, "no new broker in a mirrored database"),
    row(9799, 10, "transport: closed by the remote end"),
    row(15025, 16, "login exists"),
    row(15151, 16, "object does not exist, or no permission"),
    row(15232, 16, "certificate exists"),
    row(15581, 16, "a master key is needed"),
    row(26023, 16, "TCP port is already in use"),
    row(28018, 16, "database is a replica of a mirrored database"),
    row(28022, 10, "own certificate is not yet valid"),
    row(28023, 10, "own certificate is expired"),
    row(28027, 10, "handshake: no compatible authentication or encryption"),
    row(28028, 10, "handshake: closed by the peer"),
    row(28030, 10, "handshake: network interface error"),
    row(28031, 10, "handshake: system error"),
    row(28032, 10, "duplicate connection lost the arbitration: older kept"),
    row(28033, 10, "duplicate connection lost the arbitration: newer kept"),
    row(28034, 10, "handshake: login lacks CONNECT on the endpoint"),
    row(28035, 10, "handshake: certificate of the peer is invalid"),
    row(28036, 10, "handshake: own certificate is missing"),
    row(28037, 10, "handshake: private key error"),
    row(28038, 10, "handshake: verification failed"),
    row(28045, 10, "handshake: certificate mismatch in master"),
    row(28046, 10, "transport login succeeded"),
    row(28047, 10, "transport login failed"),
    row(28048, 10, "transport login failed for a user"),
    row(28055, 16, "certificate is not usable for endpoint authentication"),
    row(28080, 10, "endpoint is not configured"),
    row(28091, 10, "endpoint without authentication is not supported"),
    row(28098, 10, "duplicate connection lost the arbitration: found after name lookup"),
    row(33123, 16, "encryption key is in use on the mirror"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn rows_are_in_the_order_of_numbers() {
        assert!(CATALOGUE.is_sorted_by(|a, b| a.number < b.number));
    }

    /// Every severity of section 7 of the specification, read from its tables, is the one here.
    #[test]
    fn severities_are_those_of_the_specification() {
        let specified = specified();
        assert!(specified.len() > 150, "tables of section 7 not understood");
        let ours: BTreeMap<u32, u8> = CATALOGUE.iter().map(|entry| (entry.number, entry.severity)).collect();
        for (number, severity) in &specified {
            assert_eq!(ours.get(number), Some(severity), "E{number}");
        }
        let only_ours: Vec<_> = ours.keys().filter(|number| !specified.contains_key(number)).collect();
        assert_eq!(only_ours, [&102, &1205, &15151]);
    }

    /// Rows `| E1 / E2 | 16 / 14 | … |`: one severity for all numbers of a row, or one each.
    fn specified() -> BTreeMap<u32, u8> {
        let text = include_str!("../../../docs/spec/control.md");
        let section = text.split("## 7. Error catalogue").nth(1).unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| E") && !line.contains('…'));
        let cells = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let numbered = cells.filter(|cells| cells[1] != "Error").flat_map(|cells| {
            let numbers =
                cells[1].split(['/', ',']).map(|n| n.trim().trim_start_matches('E').parse::<u32>().unwrap());
            let severities: Vec<u8> = cells[2].split('/').map(|s| s.trim().parse().unwrap()).collect();
            let last = *severities.last().unwrap();
            let severities = severities.into_iter().chain(std::iter::repeat(last));
            numbers.zip(severities).collect::<Vec<_>>()
        });
        numbered.collect()
    }

    #[test]
    fn errors_print_their_number_and_text() {
        assert_eq!(sql_error(955).to_string(), "error 955, severity 14: mirrored database lacks quorum");
        let at = SqlError { position: Some(7), ..sql_error(SYNTAX_ERROR) };
        assert_eq!(at.to_string(), "error 102, severity 15, at byte 7: incorrect syntax");
        assert_eq!(catalogued(1), None);
    }

    #[test]
    #[should_panic(expected = "error 1 has no row in the catalogue")]
    fn an_error_without_row_is_a_bug() {
        sql_error(1);
    }
}
