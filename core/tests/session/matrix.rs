//! Every control statement in every state that a partner can show, and on every kind of place: is it accepted, and if
//! not, with which error? The expectation is written from the specification, in its order of preconditions, and asks
//! nothing of the code. [control.md sections 5.2 and 5.3, failover.md sections 3, 4 and 7, states.md ST-60 to ST-79]

use crate::table::{A, B, Table, W};
use dbm_core::types::*;
use std::collections::{BTreeMap, BTreeSet};

/// The session before links are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Synchronized,
    /// The mirror has just rejoined and cannot harden.
    Synchronizing,
    Suspended,
}

/// One way to set the table.
#[derive(Clone, Copy, Debug)]
struct World {
    witness: bool,
    safety: Safety,
    before: Before,
    /// Links that stand: A–B, A–W, B–W.
    links: [bool; 3],
}

impl World {
    fn all() -> Vec<World> {
        let mut worlds = Vec::new();
        for witness in [true, false] {
            for safety in [Safety::Full, Safety::Off] {
                for before in [Before::Synchronized, Before::Synchronizing, Before::Suspended] {
                    for bits in 0..8 {
                        let links = [bits & 4 != 0, bits & 2 != 0, bits & 1 != 0];
                        worlds.push(World { witness, safety, before, links });
                    }
                }
            }
        }
        worlds
    }

    /// The table, set, with every loss detected and everything done that follows from it.
    fn set(self) -> Table {
        let mut table = Table::with(self.witness, self.safety);
        table.run_until(5_000);
        match self.before {
            Before::Synchronized => {}
            Before::Synchronizing => {
                table.open(A, 1);
                table.stall_disk(B);
                table.ask_add(A, 1, 1);
                table.run_for(10);
                table.reset(A, B);
                table.run_for(2_000);
            }
            Before::Suspended => {
                assert_eq!(table.sql(A, "ALTER DATABASE sales SET PARTNER SUSPEND"), Ok(()));
            }
        }
        for ((one, other), stands) in [(A, B), (A, W), (B, W)].into_iter().zip(self.links) {
            if !stands {
                table.part(one, other);
            }
        }
        table.run_for(30_000);
        if !self.links[0] {
            table.release_disk(B);
            table.run_for(1_000);
        }
        table
    }

    fn stands(self, one: u8, other: u8) -> bool {
        self.links[usize::from(one + other - 1)]
    }

    /// Who serves: with a witness the principal needs one of the others, and is followed by an armed mirror that has
    /// the witness while A has nobody.
    fn server(self) -> Option<u8> {
        let [partner, witness, others] = self.links;
        let armed = self.safety == Safety::Full && self.before == Before::Synchronized;
        match self.witness {
            false => Some(A),
            true if partner || witness => Some(A),
            true => (armed && others).then_some(B),
        }
    }
}

/// What a partner shows, and what a statement's fate depends on.
type Cell = (Role, MirroringState, Option<WitnessState>, Safety);

fn cell(table: &Table, of: u8) -> Cell {
    let status = table.status[&of];
    (status.role.expect("a partner"), status.state.expect("an open copy"), status.witness, status.safety)
}

/// An address in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    /// A partner.
    Partner,
    /// The instance that is the witness, where there is one.
    Witness,
    /// Well formed, and nobody's.
    Nobody,
    Malformed,
}

impl Address {
    const ALL: [Address; 4] = [Address::Partner, Address::Witness, Address::Nobody, Address::Malformed];

    fn text(self) -> &'static str {
        match self {
            Address::Partner => "TCP://B:5022",
            Address::Witness => "TCP://W:5022",
            Address::Nobody => "TCP://nobody:5022",
            Address::Malformed => "TCP:/W",
        }
    }
}

/// A control statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sql {
    Failover,
    Force,
    Off,
    Resume,
    Suspend,
    Safety(Safety),
    Timeout(&'static str),
    Partner(Address),
    Witness(Address),
    WitnessOff,
}

impl Sql {
    fn all() -> Vec<Sql> {
        let mut all = vec![Sql::Failover, Sql::Force, Sql::Off, Sql::Resume, Sql::Suspend, Sql::WitnessOff];
        all.extend([Safety::Full, Safety::Off].map(Sql::Safety));
        all.extend(["20", "0", "-1", "32767", "32768", "99999999999", "1.5"].map(Sql::Timeout));
        all.extend(Address::ALL.map(Sql::Partner));
        all.extend(Address::ALL.map(Sql::Witness));
        all
    }

    fn text(self, database: &str) -> String {
        let option = match self {
            Sql::Failover => "PARTNER FAILOVER".into(),
            Sql::Force => "PARTNER FORCE_SERVICE_ALLOW_DATA_LOSS".into(),
            Sql::Off => "PARTNER OFF".into(),
            Sql::Resume => "PARTNER RESUME".into(),
            Sql::Suspend => "PARTNER SUSPEND".into(),
            Sql::Safety(Safety::Full) => "PARTNER SAFETY FULL".into(),
            Sql::Safety(Safety::Off) => "PARTNER SAFETY OFF".into(),
            Sql::Timeout(value) => format!("PARTNER TIMEOUT {value}"),
            Sql::Partner(address) => format!("PARTNER = '{}'", address.text()),
            Sql::Witness(address) => format!("WITNESS = '{}'", address.text()),
            Sql::WitnessOff => "WITNESS OFF".into(),
        };
        format!("ALTER DATABASE {database} SET {option}")
    }
}

/// Errors are answers; nothing is success.
type Answer = Result<(), u32>;

fn need(holds: bool, error: u32) -> Answer {
    if holds { Ok(()) } else { Err(error) }
}

/// What a partner of the session answers.
fn expected(sql: Sql, cell: Cell, me: u8, world: World) -> Answer {
    let (role, state, witness, safety) = cell;
    let connected = state != MirroringState::Disconnected;
    let synchronized = state == MirroringState::Synchronized;
    let with_witness = witness == Some(WitnessState::Connected);
    let on_principal = || need(role == Role::Principal, 1470);
    match sql {
        // FO-31, FO-33, FO-34, FO-35
        Sql::Failover => {
            on_principal()?;
            need(safety == Safety::Full, 1477)?;
            need(connected, 1447)?;
            need(synchronized, 1422)
        }
        // FO-50, FO-51, FO-52, FO-53
        Sql::Force => {
            need(role == Role::Mirror, 1455)?;
            need(!connected, 1455)?;
            need(witness.is_none() || with_witness, 1431)?;
            need(witness.is_none() || !world.stands(1 - me, W), 1455)
        }
        // C-62: on either partner, in any state
        Sql::Off => Ok(()),
        // C-63
        Sql::Suspend => need(connected, 1447),
        // C-64
        Sql::Resume => {
            on_principal()?;
            need(connected, 1447)
        }
        // C-65
        Sql::Safety(_) => {
            on_principal()?;
            need(connected, 1447)
        }
        // C-66, OQ-34
        Sql::Timeout(value) => {
            on_principal()?;
            need(!["-1", "99999999999", "1.5"].contains(&value), 1425)?;
            need(value != "32768", 1476)?;
            need(connected, 1447)
        }
        // Section 5.1, order 4: already in a session
        Sql::Partner(_) => Err(1405),
        // C-70, C-71
        Sql::Witness(address) => {
            on_principal()?;
            need(address != Address::Malformed, 1449)?;
            need(address != Address::Partner, 1429)?;
            if address == Address::Witness && witness.is_some() {
                return Ok(());
            }
            need(address != Address::Nobody && world.stands(me, W), 1418)?;
            need(connected && world.stands(1 - me, W) && synchronized, 1426)
        }
        // C-73
        Sql::WitnessOff => {
            on_principal()?;
            need(witness.is_some(), 1439)?;
            need(connected || with_witness, 1431)
        }
    }
}

/// What the statement answers within the time that a statement may take.
fn answer(table: &mut Table, on: u8, text: &str) -> Option<Answer> {
    let before = table.statements.len();
    table.statement(on, text);
    // Whatever stood still goes on: what is asked is the state at this moment.
    table.release_disk(B);
    for _ in 0..150 {
        table.run_for(100);
        if let Some((_, result)) = table.statements.get(before) {
            return Some(result.map_err(|e| e.number));
        }
    }
    None
}

/// Every combination of role, state, witness state and safety that states.md knows, but PENDING_FAILOVER, which lasts no
/// time of its own. [ST-60 … ST-65, ST-68 … ST-78]
fn every_cell() -> BTreeSet<String> {
    let mut cells = BTreeSet::new();
    for role in [Role::Principal, Role::Mirror] {
        for state in [
            MirroringState::Synchronized,
            MirroringState::Synchronizing,
            MirroringState::Suspended,
            MirroringState::Disconnected,
        ] {
            for witness in [None, Some(WitnessState::Connected), Some(WitnessState::Disconnected)] {
                for safety in [Safety::Full, Safety::Off] {
                    cells.insert(format!("{:?}", (role, state, witness, safety)));
                }
            }
        }
    }
    cells
}

/// Asks every statement for which `these` holds, on both partners in every world, and tells what was answered otherwise
/// than expected. Returns the combinations visited.
fn ask_everywhere(these: impl Fn(Sql, Cell) -> bool) -> BTreeSet<String> {
    let mut visited = BTreeSet::new();
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut asked = 0;
    for world in World::all() {
        let table = world.set();
        for on in [A, B] {
            let cell = cell(&table, on);
            visited.insert(format!("{cell:?}"));
            for sql in Sql::all().into_iter().filter(|sql| these(*sql, cell)) {
                let wanted = expected(sql, cell, on, world);
                let got = answer(&mut table.clone(), on, &sql.text("sales"));
                asked += 1;
                if got != Some(wanted) {
                    let what = format!("{sql:?}: expected {wanted:?}, got {got:?}");
                    wrong.entry(what).or_default().push(format!("on {on}, {cell:?}, {world:?}"));
                }
            }
        }
    }
    println!("{asked} statements in {} combinations", visited.len());
    let tell = |(what, places): (&String, &Vec<String>)| {
        format!("{what}, {} times, first {}", places.len(), places[0])
    };
    let told: Vec<String> = wrong.iter().map(tell).collect();
    assert!(told.is_empty(), "of {asked} answers these differ:\n{}", told.join("\n"));
    visited
}

/// Is it the statement that adds a witness to a session without one?
fn adds_a_witness(sql: Sql, (_, _, witness, _): Cell) -> bool {
    sql == Sql::Witness(Address::Witness) && witness.is_none()
}

/// Every statement on every partner in every combination that can be reached, and every such combination is reached.
/// [C-40, C-46, C-60 … C-66, C-70, C-71, C-73, FO-31, FO-33 … FO-35, FO-50 … FO-53, ST-35 … ST-40, OQ-13a, OQ-13b,
/// OQ-13c, OQ-40, OQ-49, OQ-50, S-4]
#[test]
fn every_statement_in_every_state() {
    let visited = ask_everywhere(|sql, cell| !adds_a_witness(sql, cell));
    assert_eq!(visited, every_cell());
}

/// A witness is added only where it can be reached, all three are connected, and the mirror is caught up. [C-70, Q-18]
#[test]
fn adding_a_witness_in_every_state() {
    ask_everywhere(adds_a_witness);
}

/// While a failover is under way the principal is not served and takes no other statement, and none of them disturbs it.
/// [ST-66, C-60, OQ-11]
#[test]
fn every_statement_while_a_failover_is_under_way() {
    for witness in [true, false] {
        let mut table = Table::new(witness);
        table.run_until(5_000);
        table.statement(A, &Sql::Failover.text("sales"));
        table.run_for(1);
        assert_eq!(table.state(A), (Role::Principal, MirroringState::PendingFailover));
        assert!(table.servers().is_empty());
        for sql in Sql::all() {
            let wanted = match sql {
                Sql::Partner(_) => Err(1405),
                Sql::Force => Err(1455),
                // Always possible: FAILOVER ends first, with the session. [OQ-16]
                Sql::Off => Err(1438),
                _ => Err(1404),
            };
            let mut table = table.clone();
            assert_eq!(answer(&mut table, A, &sql.text("sales")), Some(wanted), "{sql:?}, witness {witness}");
            table.run_for(3_000);
            if sql == Sql::Off {
                assert_eq!(table.statements.last().expect("OFF was answered").1, Ok(()));
            }
            let server = if sql == Sql::Off { A } else { B };
            assert_eq!(table.servers(), [server], "{sql:?}, witness {witness}");
        }
    }
}

/// State and witness follow from the links, the flag and the session before; a partner that is cut off keeps its role and
/// shows its own view.
/// [ST-2, ST-3, ST-5 … ST-7, ST-9, ST-30 … ST-32, ST-51 … ST-54, OQ-10, S-8, Q-20]
#[test]
fn what_partners_show_in_every_state() {
    for world in World::all() {
        let table = world.set();
        let state = match world.before {
            _ if !world.stands(A, B) => MirroringState::Disconnected,
            Before::Suspended => MirroringState::Suspended,
            Before::Synchronizing => MirroringState::Synchronizing,
            Before::Synchronized => MirroringState::Synchronized,
        };
        for of in [A, B] {
            let role = if of == A || world.server() == Some(B) { Role::Principal } else { Role::Mirror };
            let witness = match world.stands(of, W) {
                _ if !world.witness => None,
                true => Some(WitnessState::Connected),
                false => Some(WitnessState::Disconnected),
            };
            assert_eq!(cell(&table, of), (role, state, witness, world.safety), "{of} in {world:?}");
        }
    }
}

/// Who serves, and that nothing but the loss of a synchronised principal with FULL, seen by mirror and witness together,
/// makes another one of the mirror.
/// [ST-33, ST-34, ST-60 … ST-65, ST-68 … ST-78, S-60 … S-63, S-80 … S-84, INV-6, INV-7, OQ-12, P-3]
#[test]
fn who_serves_in_every_state() {
    for world in World::all() {
        let table = world.set();
        let servers: Vec<u8> = world.server().into_iter().collect();
        assert_eq!(table.servers(), servers, "{world:?}");
    }
}

/// No settings can be made on the witness, and there is no database of another name. [C-41, C-43, C-48]
#[test]
fn every_statement_where_there_is_no_copy() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    for sql in Sql::all() {
        assert_eq!(answer(&mut table.clone(), W, &sql.text("sales")), Some(Err(1416)), "{sql:?}");
        assert_eq!(answer(&mut table.clone(), A, &sql.text("nobody")), Some(Err(5011)), "{sql:?}");
    }
}

/// After removal there is a database and no session. [C-43, C-80, C-82]
#[test]
fn every_statement_after_removal() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    assert_eq!(answer(&mut table, A, &Sql::Off.text("sales")), Some(Ok(())));
    table.run_for(2_000);
    for on in [A, B] {
        for sql in Sql::all().into_iter().filter(|sql| !matches!(sql, Sql::Partner(_))) {
            assert_eq!(
                answer(&mut table.clone(), on, &sql.text("sales")),
                Some(Err(1416)),
                "{sql:?} on {on}"
            );
        }
    }
}

/// SET PARTNER = on either copy after removal: the checks in their order, and a refused statement leaves no trace.
/// [C-50, C-51, C-53, NA-5, NA-6, OQ-40]
#[test]
fn naming_a_partner_after_removal() {
    let mut table = Table::new(false);
    table.run_until(5_000);
    assert_eq!(answer(&mut table, A, &Sql::Off.text("sales")), Some(Ok(())));
    table.run_for(2_000);
    let own = |on: u8| ["TCP://A:5022", "TCP://B:5022"][usize::from(on)];
    for on in [A, B] {
        for (address, error) in [("TCP:/B", 1449), (own(on), 1452)] {
            let text = format!("ALTER DATABASE sales SET PARTNER = '{address}'");
            assert_eq!(answer(&mut table, on, &text), Some(Err(error)), "{address} on {on}");
        }
    }
    // Nobody is there, or nobody waits.
    for (address, error) in [("TCP://nobody:5022", 1418), ("TCP://B:5022", 1416)] {
        let text = format!("ALTER DATABASE sales SET PARTNER = '{address}'");
        assert_eq!(answer(&mut table, A, &text), Some(Err(error)), "{address} on A");
    }
    assert_eq!((table.status[&A].role, table.status[&B].role), (None, None));
    assert_eq!(table.servers(), [A]);
    assert_eq!(answer(&mut table, B, "ALTER DATABASE sales SET PARTNER = 'TCP://A:5022'"), Some(Ok(())));
    assert_eq!(answer(&mut table, A, &Sql::Partner(Address::Partner).text("sales")), Some(Ok(())));
    table.run_for(3_000);
    assert_eq!(table.state(A), (Role::Principal, MirroringState::Synchronized));
    assert_eq!(table.state(B), (Role::Mirror, MirroringState::Synchronized));
}
