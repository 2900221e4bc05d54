//! The wire: a damaged frame ends its link. [P-14]
//!
//! Whether a frame is whole is read off its bytes. Once an instance handles one that is not, it says nothing more on that
//! link: whatever came behind the damage would be a gap.

use super::parse;
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::io::LinkId;
use dbm_core::types::InstanceId;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// Links of each instance on which it was handed a damaged frame in this life.
    damaged: Vec<BTreeSet<LinkId>>,
}

impl Wire {
    pub(super) fn new(instances: usize) -> Self {
        Wire { damaged: vec![BTreeSet::new(); instances] }
    }

    /// A process ends, and its links with it.
    pub(super) fn gone(&mut self, instance: InstanceId) {
        if let Some(damaged) = self.damaged.get_mut(usize::from(instance.0)) {
            damaged.clear();
        }
    }

    /// An instance is about to handle a frame.
    pub(super) fn handles(&mut self, instance: InstanceId, link: LinkId, bytes: &[u8], report: &mut Report) {
        if parse::is_whole(bytes) {
            return;
        }
        report.held(Premise::DamageHandled);
        if let Some(damaged) = self.damaged.get_mut(usize::from(instance.0)) {
            damaged.insert(link);
        }
    }

    /// A frame leaves on a link.
    #[inline]
    pub(super) fn sent(&self, at: Time, from: InstanceId, link: LinkId, report: &mut Report) {
        if self.damaged.get(usize::from(from.0)).is_some_and(|damaged| damaged.contains(&link)) {
            report.fire("wire", "P-14", at, || {
                format!("instance {} goes on with a link on which a frame came damaged", from.0)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench};
    use crate::observe::Fact;
    use dbm_core::io::{Input, LinkId};
    use dbm_core::message::Message;
    use dbm_core::types::{RoleSequence, SessionId};
    use dbm_core::wire::{Header, encode};

    /// [P-14]
    #[test]
    fn a_link_that_goes_on_after_damage_is_found() {
        let header = Header {
            kind: 0,
            session: SessionId(0),
            from: B,
            incarnation: 1,
            n: RoleSequence(1),
            sequence: 0,
        };
        let whole = encode(&header, &Message::NoSession);
        let mut flipped = whole.to_vec();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        let mut bench = Bench::new(true);
        for (bytes, expected) in [(whole.to_vec(), &[][..]), (flipped, &[("wire", "P-14")][..])] {
            let input = Input::Frame { link: LinkId(4), bytes: bytes.into() };
            bench.fact(Fact::Handling { instance: A, input: &input });
            bench.fact(Fact::Sent { from: A, to: B, link: LinkId(6), bytes: b"?" });
            bench.fact(Fact::Sent { from: A, to: B, link: LinkId(4), bytes: b"?" });
            assert_eq!(bench.rules(), expected);
        }
    }
}
