//! The session record of every instance, from durable bytes: what it knows now, and what it has known. [P-1]
//!
//! Nothing may be said that a crash could still take back: no frame leaves under a role sequence, and no answer to
//! EXPOSE or SYNCED, that the durable record of its sender has not reached.

use super::parse::{Decoders, FrameView, RecordView};
use super::report::{Premise, Report};
use crate::time::Time;
use dbm_core::io::RECORD_SLOT_BYTES;
use dbm_core::types::{InstanceId, RoleSequence};

/// The durable records of all instances.
#[derive(Clone, Debug)]
pub(super) struct Records {
    decoders: Decoders,
    of: Vec<OfInstance>,
}

#[derive(Clone, Debug, Default)]
struct OfInstance {
    image: Vec<u8>,
    current: Option<RecordView>,
    /// The newest one that this life of the process has begun to write: it binds already. [P-1]
    issued: Option<RecordView>,
    owned: Vec<RoleSequence>,
    synchronised: Vec<RoleSequence>,
}

impl Records {
    pub(super) fn new(instances: usize, decoders: Decoders) -> Self {
        Records { decoders, of: vec![OfInstance::default(); instances] }
    }

    /// The newest durable record.
    pub(super) fn current(&self, instance: InstanceId) -> Option<&RecordView> {
        self.of.get(usize::from(instance.0))?.current.as_ref()
    }

    /// The newest record that binds an instance: the one it has begun to write, or the durable one.
    pub(super) fn bound(&self, instance: InstanceId) -> Option<&RecordView> {
        let of = self.of.get(usize::from(instance.0))?;
        of.issued.as_ref().or(of.current.as_ref())
    }

    /// Does `holds` hold for what is durable on an instance and for what binds it? `None`: it has no record.
    pub(super) fn both(&self, instance: InstanceId, holds: impl Fn(&RecordView) -> bool) -> Option<bool> {
        let durable = self.current(instance)?;
        Some(holds(durable) && self.bound(instance).is_none_or(holds))
    }

    /// An instance begins to write a record.
    pub(super) fn issued(&mut self, instance: InstanceId, record: RecordView) {
        if let Some(of) = self.of.get_mut(usize::from(instance.0)) {
            of.issued = Some(record);
        }
    }

    /// A process ends; what it had begun to write binds nobody any more.
    pub(super) fn gone(&mut self, instance: InstanceId) {
        if let Some(of) = self.of.get_mut(usize::from(instance.0)) {
            of.issued = None;
        }
    }

    /// The highest n in any durable record, with its owner.
    pub(super) fn newest(&self) -> Option<&RecordView> {
        self.of.iter().filter_map(|o| o.current.as_ref()).max_by_key(|r| r.n)
    }

    /// Did its durable record ever name it owner of `n`?
    pub(super) fn has_owned(&self, instance: InstanceId, n: RoleSequence) -> bool {
        self.of.get(usize::from(instance.0)).is_some_and(|o| o.owned.contains(&n))
    }

    /// Did its durable record ever say "synchronised" while at `n`?
    pub(super) fn was_synchronised(&self, instance: InstanceId, n: RoleSequence) -> bool {
        self.of.get(usize::from(instance.0)).is_some_and(|o| o.synchronised.contains(&n))
    }

    /// A frame leaves `from` under `n`. [P-1]
    pub(super) fn said(
        &self,
        at: Time,
        from: InstanceId,
        n: RoleSequence,
        frame: &FrameView,
        report: &mut Report,
    ) {
        let Some(record) = self.current(from) else { return };
        report.held(Premise::FrameJudged);
        if n > record.n {
            report.fire("records", "P-1", at, || {
                format!("instance {} spoke under n = {n}; its durable record says n = {}", from.0, record.n)
            });
        }
        if let FrameView::Noted { word } = *frame
            && record.synchronised.is_some_and(|(_, n, sequence)| (n, sequence) < word)
        {
            report.fire("records", "P-1", at, || {
                format!("instance {} answered for {}.{} before it was durable", from.0, word.0, word.1)
            });
        }
    }

    /// A record about to be written at a slot.
    pub(super) fn decode(&self, bytes: &[u8]) -> Option<RecordView> {
        (self.decoders.record)(bytes)
    }

    /// Bytes became durable. Returns the record before and the newer one, if there is a newer one.
    pub(super) fn durable(
        &mut self,
        instance: InstanceId,
        offset: u64,
        bytes: &[u8],
    ) -> Option<(Option<RecordView>, RecordView)> {
        let of = self.of.get_mut(usize::from(instance.0))?;
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        if of.image.len() < to {
            of.image.resize(to, 0);
        }
        of.image[from..to].copy_from_slice(bytes);
        let before = of.current;
        for slot in from / RECORD_SLOT_BYTES..=(to - 1) / RECORD_SLOT_BYTES {
            let end = of.image.len().min((slot + 1) * RECORD_SLOT_BYTES);
            let Some(record) = (self.decoders.record)(&of.image[slot * RECORD_SLOT_BYTES..end]) else {
                continue;
            };
            if of.current.is_none_or(|c| record.serial > c.serial) {
                of.current = Some(record);
                if record.owner == instance && !of.owned.contains(&record.n) {
                    of.owned.push(record.n);
                }
                let synchronised = record.synchronised.is_some_and(|(yes, n, _)| yes && n == record.n);
                if synchronised && !of.synchronised.contains(&record.n) {
                    of.synchronised.push(record.n);
                }
            }
        }
        let now = of.current?;
        (before != Some(now)).then_some((before, now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{B, Bench, W, noted, ping, record};
    use dbm_core::types::InstanceId;

    /// [P-1]
    #[test]
    fn a_frame_under_a_sequence_that_is_not_durable_is_found() {
        let mut bench = Bench::synchronised();
        bench.send(W, B, &ping(1, 5, None));
        assert_eq!(bench.rules(), []);
        bench.send(W, B, &ping(2, 6, None));
        assert_eq!(bench.rules(), [("records", "P-1")]);
    }

    /// [P-1, OQ-4.1]
    #[test]
    fn an_answer_before_its_record_is_found() {
        let mut bench = Bench::synchronised();
        bench.record(W, record(2, 1, InstanceId(0), false, 2, 0));
        bench.send(W, B, &noted(1, 2));
        assert_eq!(bench.rules(), []);
        bench.send(W, B, &noted(1, 3));
        assert_eq!(bench.rules(), [("records", "P-1")]);
    }
}
