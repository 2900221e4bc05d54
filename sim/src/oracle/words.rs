//! Words of the owner: who may say "synchronised", and what makes a witness. [OQ-4.1, OQ-16]
//!
//! Only the owner of a role sequence says "synchronised" or "not synchronised" for it. So another instance's record takes
//! such a word only if a frame of the owner has brought it in this life of the process; what somebody else says of it may
//! be out of date. And an instance that holds no seat takes one only when the owner's WITNESS_SET has reached it.

use super::parse::{FrameView, RecordView, SeatView};
use super::records::Records;
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::types::{InstanceId, RoleSequence};
use std::collections::BTreeSet;

/// (n, sequence) of a word.
type Word = (RoleSequence, u64);

#[derive(Clone, Debug)]
pub(super) struct Words {
    partners: [InstanceId; 2],
    /// What the owner has told each instance in this life.
    told: Vec<BTreeSet<(InstanceId, Word)>>,
    /// WITNESS_SET has reached it in this life.
    seated: Vec<bool>,
}

impl Words {
    pub(super) fn new(partners: [InstanceId; 2], instances: usize) -> Self {
        Words { partners, told: vec![BTreeSet::new(); instances], seated: vec![false; instances] }
    }

    /// A process ends.
    pub(super) fn gone(&mut self, instance: InstanceId) {
        let i = usize::from(instance.0);
        if i < self.told.len() {
            self.told[i].clear();
            self.seated[i] = false;
        }
    }

    /// A frame reaches an instance.
    pub(super) fn delivered(&mut self, from: InstanceId, to: InstanceId, frame: &FrameView) {
        let i = usize::from(to.0);
        if i >= self.told.len() {
            return;
        }
        let word = match *frame {
            FrameView::Word { word } => Some(word),
            FrameView::Record { owner, word, .. } if owner == from => word,
            FrameView::Seat { word } => {
                self.seated[i] = true;
                word
            }
            _ => None,
        };
        self.told[i].extend(word.map(|word| (from, word)));
    }

    /// An instance begins to write a record.
    pub(super) fn issued(
        &self,
        at: Time,
        instance: InstanceId,
        new: &RecordView,
        records: &Records,
        report: &mut Report,
    ) {
        let before = records.bound(instance);
        self.judge_seat(at, instance, before, new, report);
        let Some(before) = before else { return };
        let Some((value, n, sequence)) = new.synchronised else { return };
        // Whoever makes a role sequence says "not synchronised" for it.
        let fresh = new.n > before.n && !value;
        if new.synchronised == before.synchronised || new.owner == instance || fresh || n != new.n {
            return;
        }
        report.held(Premise::WordJudged);
        let told = self.told.get(usize::from(instance.0));
        if !told.is_some_and(|told| told.contains(&(new.owner, (n, sequence)))) {
            report.fire("words", "OQ-4.1", at, || {
                format!(
                    "instance {} notes synchronised = {value} of {n}.{sequence}, which its owner {} has not told it",
                    instance.0, new.owner.0
                )
            });
        }
    }

    fn judge_seat(
        &self,
        at: Time,
        instance: InstanceId,
        before: Option<&RecordView>,
        new: &RecordView,
        report: &mut Report,
    ) {
        let seat = !self.partners.contains(&instance) && new.seat == SeatView::Set(instance) && !new.over;
        // A seat that was given up a moment ago still follows its owner.
        if !seat || before.is_some_and(|b| !b.over) {
            return;
        }
        report.held(Premise::SeatJudged);
        if self.seated.get(usize::from(instance.0)) != Some(&true) {
            report.fire("words", "OQ-16", at, || {
                format!("instance {} takes a witness's seat that no WITNESS_SET has given it", instance.0)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{A, B, Bench, W, record, seat, word, written};

    fn of(bench: &Bench) -> Vec<(&'static str, &'static str)> {
        bench.rules().into_iter().filter(|(invariant, _)| *invariant == "words").collect()
    }

    /// [OQ-4.1]
    #[test]
    fn a_word_that_the_owner_has_not_told_is_found() {
        for (from, expected) in [(A, &[][..]), (W, &[("words", "OQ-4.1")][..])] {
            let mut bench = Bench::synchronised();
            bench.deliver(from, B, &word(1, 2));
            bench.untold(B, record(2, 1, A, false, 2, 0));
            assert_eq!(of(&bench), expected);
        }
    }

    /// [OQ-16]
    #[test]
    fn a_seat_that_nobody_has_given_is_found() {
        for (told, expected) in [(true, &[][..]), (false, &[("words", "OQ-16")][..])] {
            let mut bench = Bench::new(true);
            bench.fact(crate::observe::Fact::Started { instance: W, incarnation: 2 });
            if told {
                bench.deliver(A, W, &seat(1, 1));
            }
            bench.record(W, written(1, 1, A).bytes());
            assert_eq!(of(&bench), expected);
        }
    }
}
