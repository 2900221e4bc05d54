//! Two copies: log is shipped, either side crashes at any point, roles switch, logs diverge and are reconciled.

use super::node::{Node, SMALL, assert_same_pages, branch};
use super::single::{Action, Clients, action};
use crate::io::Effects;
use crate::storage::*;
use crate::types::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Client(Action),
    Ship { blocks: u8 },
    Redo { bytes: u16 },
    MirrorDisk { file: u8 },
    MirrorCrash { seed: u64 },
    Disconnect,
    Connect { patience: u8 },
    Failover { crash: Option<u64> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => action().prop_map(Step::Client),
        8 => (1..6u8).prop_map(|blocks| Step::Ship { blocks }),
        5 => (1..5000u16).prop_map(|bytes| Step::Redo { bytes }),
        10 => (0..4u8).prop_map(|file| Step::MirrorDisk { file }),
        1 => any::<u64>().prop_map(|seed| Step::MirrorCrash { seed }),
        1 => Just(Step::Disconnect),
        4 => (0..20u8).prop_map(|patience| Step::Connect { patience }),
        1 => any::<Option<u64>>().prop_map(|crash| Step::Failover { crash }),
    ]
}

struct Pair {
    principal: Node,
    mirror: Node,
    clients: Clients,
    branch: Branch,
    connected: bool,
    /// Page LSN that the mirror's redo has to pass before its undo is over.
    consistent_at: Lsn,
}

impl Pair {
    fn new() -> Pair {
        let mut mirror = Node::new(SMALL);
        let principal = Node::principal(SMALL);
        mirror.branches = principal.branches.clone();
        mirror.copy.set_branches(principal.branches.clone());
        Pair {
            principal,
            mirror,
            clients: Clients::default(),
            branch: branch(1, 1),
            connected: true,
            consistent_at: Lsn::ZERO,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Client(Action::Crash { seed }) => self.restart_principal(seed),
            Step::Client(action) => self.client(action),
            Step::Ship { blocks } if self.connected => self.ship(blocks.into()),
            Step::Redo { bytes } => {
                self.mirror.act(|copy, _| copy.redo(bytes.into()));
            }
            Step::MirrorDisk { file } => self.mirror.complete(file.into()),
            Step::MirrorCrash { seed } => self.restart_mirror(seed),
            Step::Disconnect => self.connected = false,
            Step::Connect { patience } if !self.connected => self.connect(patience),
            Step::Failover { crash } if self.connected && self.mirror.refetch.is_empty() => {
                self.failover(crash)
            }
            Step::Ship { .. } | Step::Connect { .. } | Step::Failover { .. } => {}
        }
        self.principal.copy.check();
        self.mirror.copy.check();
        self.end_of_undo();
        let mirror_hardened = self.connected.then(|| self.mirror.copy.hardened());
        self.principal.copy.set_mirror_hardened(mirror_hardened);
        if let Some(mirror_hardened) = mirror_hardened {
            let hardened = self.principal.copy.hardened().min(mirror_hardened);
            self.clients.confirm(&mut self.principal, hardened);
        }
    }

    fn client(&mut self, action: Action) {
        let (clients, node) = (&mut self.clients, &mut self.principal);
        match action {
            Action::Execute { client, key, length } => clients.execute(node, client, key, length),
            Action::Commit { client } => clients.commit(node, client),
            Action::Rollback { client } => clients.roll_back(node, client),
            Action::Complete { file } => node.complete(file.into()),
            Action::Checkpoint => node.act(|copy, _| copy.checkpoint_now()),
            Action::Flush | Action::Crash { .. } => node.act(|copy, _| copy.want_flush()),
        }
    }

    /// Sends sealed log, hardened at the sender or not. [S-40]
    fn ship(&mut self, blocks: usize) {
        let from = self.mirror.copy.next_block_lsn();
        let bytes: Vec<u8> =
            self.principal.copy.blocks_after(from).take(blocks).flat_map(|b| b.bytes.to_vec()).collect();
        self.mirror.act(|copy, out| copy.receive(&bytes, out)).unwrap();
    }

    /// Both logs that are hardened stay, but the principal may lose log that the mirror has. [OQ-68]
    fn restart_principal(&mut self, seed: u64) {
        let report = self.principal.crash(seed);
        self.clients.end_at(report.end);
        self.branch.r += 1;
        self.principal.open_branch(self.branch);
        self.connected = false;
        self.undo_principal();
    }

    fn restart_mirror(&mut self, seed: u64) {
        let acknowledged = self.mirror.copy.hardened();
        let report = self.mirror.crash(seed);
        assert!(report.end >= acknowledged, "hardened log is lost");
        self.connected = false;
    }

    fn undo_principal(&mut self) {
        self.principal.undo();
        assert_eq!(self.principal.rows(), self.clients.rows());
    }

    /// START: reconciliation if the logs have diverged, or if an earlier one was interrupted. `patience`: so many disk
    /// operations of the mirror complete before the link breaks again.
    fn connect(&mut self, patience: u8) {
        let (p, m) = (&mut self.principal, &mut self.mirror);
        let prefix = BranchTable::common_prefix(
            p.copy.branches(),
            p.copy.end_of_log(),
            m.copy.branches(),
            m.copy.end_of_log(),
        );
        let prefix = prefix.expect("the copies have a common branch");
        let mut list = m.copy.pages_touched_from(prefix);
        list.append(&mut m.refetch);
        m.refetch = list;
        // The sender flushes before it sends images.
        p.settle();
        self.consistent_at = Lsn::ZERO;
        for page in &m.refetch {
            let (_, bytes) = p.copy.page_image(*page);
            let lsn = m.copy.install_page(*page, &bytes).unwrap();
            self.consistent_at = self.consistent_at.max(lsn);
        }
        let mut out = Effects::new();
        m.events.clear();
        m.copy.cut(prefix, p.copy.branches().clone(), &mut out);
        m.disk.take(&mut out);
        for i in 0..patience {
            m.complete((i % 4).into());
        }
        if m.events.contains(&CopyEvent::CutDone) {
            m.branches = m.copy.branches().clone();
            self.connected = true;
        } else {
            // The process ends before the cut is known to be durable.
            self.restart_mirror(patience.into());
        }
    }

    /// The undo is over when redo has passed the images, and they are durable. [OQ-21]
    fn end_of_undo(&mut self) {
        let m = &mut self.mirror;
        if self.connected && !m.refetch.is_empty() && m.copy.redone() > self.consistent_at {
            if m.copy.installs_durable() {
                m.refetch.clear();
            } else {
                m.act(|copy, _| copy.checkpoint_now());
            }
        }
    }

    fn redo_all(&mut self) {
        let m = &mut self.mirror;
        m.settle();
        for _ in 0..1000 {
            let more = m.act(|copy, _| copy.redo(10_000)).more;
            m.settle();
            if !more {
                return;
            }
        }
        panic!("redo waits for ever");
    }

    /// The mirror takes over with what it has; the old principal is demoted or dead.
    fn failover(&mut self, crash: Option<u64>) {
        self.redo_all();
        let m = &mut self.mirror;
        m.copy.promote();
        self.branch = Branch { n: self.branch.n.next(), r: 0 };
        m.open_branch(self.branch);
        self.clients.end_at(m.copy.end_of_log());
        match crash {
            Some(seed) => {
                self.principal.crash(seed);
            }
            None => self.principal.act(|copy, _| copy.demote()),
        }
        std::mem::swap(&mut self.principal, &mut self.mirror);
        self.connected = false;
        self.undo_principal();
    }

    /// Everything is shipped and redone: the copies are equal.
    fn finish(&mut self) {
        while !self.connected {
            self.run(Step::Connect { patience: 200 });
        }
        for _ in 0..3 {
            self.run(Step::Client(Action::Checkpoint));
            for _ in 0..20 {
                self.principal.settle();
                self.run(Step::Ship { blocks: 255 });
                self.redo_all();
                self.run(Step::Redo { bytes: 1 });
            }
        }
        assert_eq!(self.mirror.copy.redone(), self.principal.copy.end_of_log());
        assert_same_pages(&self.principal.copy, &self.mirror.copy);
        assert!(self.mirror.refetch.is_empty(), "the undo has an end");
        self.failover(None);
        self.principal.settle();
        self.restart_principal(2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever crashes, the mirror is a prefix of its principal, what both have hardened is never lost, and pages are
    /// equal at equal LSN. [P-10, P-11, P-12, P-16, INV-10, OQ-21, OQ-68]
    #[test]
    fn copies_agree_after_any_history(steps in prop::collection::vec(step(), 1..900)) {
        let mut pair = Pair::new();
        steps.into_iter().for_each(|step| pair.run(step));
        pair.finish();
    }
}
