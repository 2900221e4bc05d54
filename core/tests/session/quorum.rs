//! Who serves, row by row. [QT-A1 … QT-A8, ST-9]

use crate::table::{A, B, Table, W};
use dbm_core::types::MirroringState::{Disconnected as D, Synchronized as S};
use dbm_core::types::WitnessState::{Connected as C, Disconnected as G};
use dbm_core::types::*;

/// What one partner shows.
type Shown = (MirroringState, WitnessState);

/// A row of the table: which links stand, who serves, what A and B show.
type Row = ([bool; 3], &'static [u8], Shown, Shown);

/// The rows QT-A1 to QT-A8: links A-B, A-W, B-W; server; A and B.
const ROWS: [Row; 8] = [
    ([true, true, true], &[A], (S, C), (S, C)),
    ([true, true, false], &[A], (S, C), (S, G)),
    ([true, false, true], &[A], (S, G), (S, C)),
    ([true, false, false], &[A], (S, G), (S, G)),
    ([false, true, true], &[A], (D, C), (D, C)),
    ([false, true, false], &[A], (D, C), (D, G)),
    ([false, false, true], &[B], (D, G), (D, C)),
    ([false, false, false], &[], (D, G), (D, G)),
];

fn cut(table: &mut Table, links: [bool; 3]) {
    for ((one, other), stands) in [(A, B), (A, W), (B, W)].into_iter().zip(links) {
        if !stands {
            table.part(one, other);
        }
    }
}

/// Every row of the table for high safety with a witness, entered from full quorum. [QT-A1 … QT-A8]
#[test]
fn every_row_of_the_table() {
    for (links, servers, a, b) in ROWS {
        let mut table = Table::new(true);
        table.run_until(5_000);
        cut(&mut table, links);
        table.run_for(30_000);
        assert_eq!(table.servers(), servers, "{links:?}");
        assert_eq!((table.shown(A), table.shown(B)), (a, b), "{links:?}");
    }
}

/// From every row the return of all links leads back to full operation, with whoever is principal by then. [QR-15, QR-17]
#[test]
fn every_row_recovers_when_all_links_return() {
    for (links, servers, ..) in ROWS {
        let mut table = Table::new(true);
        table.run_until(5_000);
        cut(&mut table, links);
        table.run_for(30_000);
        table.cut.clear();
        table.run_for(15_000);
        let server = if servers == [B] { B } else { A };
        assert_eq!(table.servers(), [server], "{links:?}");
        assert_eq!((table.shown(A), table.shown(B)), ((S, C), (S, C)), "{links:?}");
        // Armed again.
        table.crash(server);
        table.run_for(3_000);
        assert_eq!(table.servers(), [1 - server], "{links:?}");
    }
}

/// Between any two rows of connectivity never two serve, and only a grant changes the principal. [INV-1, QT-A1 … QT-A8]
#[test]
fn never_two_serve_between_any_two_rows() {
    for (first, ..) in ROWS {
        for (second, ..) in ROWS {
            let mut table = Table::new(true);
            table.run_until(5_000);
            cut(&mut table, first);
            for step in 0..60 {
                if step == 30 {
                    table.cut.clear();
                    cut(&mut table, second);
                }
                table.run_for(1_000);
                assert!(table.servers().len() < 2, "{first:?} {second:?} after {step} s");
            }
        }
    }
}

/// The witness is lost first, then the mirror: an armed mirror takes over. [QR-1]
#[test]
fn witness_lost_by_the_principal_then_mirror() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(A, W);
    table.run_for(20_000);
    assert_eq!(table.servers(), [A]);
    table.part(A, B);
    table.run_for(30_000);
    assert_eq!(table.servers(), [B]);
}

/// The mirror has no witness when it loses the principal: A goes on, exposed. [QR-2]
#[test]
fn witness_lost_by_the_mirror_then_principal() {
    let mut table = Table::new(true);
    table.run_until(5_000);
    table.part(B, W);
    table.run_for(20_000);
    table.part(A, B);
    table.run_for(30_000);
    assert_eq!(table.servers(), [A]);
}

/// All apart: the witness is enough for A, the mirror too; mirror and witness alone are not. [QR-12, QR-13, QR-14]
#[test]
fn which_links_end_the_loss_of_quorum() {
    for (link, servers) in [((A, W), &[A][..]), ((A, B), &[A]), ((B, W), &[])] {
        let mut table = Table::new(true);
        table.run_until(5_000);
        cut(&mut table, [false, false, false]);
        table.run_for(30_000);
        table.join(link.0, link.1);
        table.run_for(30_000);
        assert_eq!(table.servers(), servers, "{link:?}");
    }
}
