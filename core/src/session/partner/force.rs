//! Forced service: the owner orders the mirror to take the role, with possible loss. [FO-50 … FO-64, OQ-6, OQ-7]
//!
//! With a witness it is a claim like the automatic one, without the synchronised conditions: durable here first, then
//! recorded by the witness [OQ-4.6]. Without one the own record is enough. Either way the record of the new role
//! sequence says "suspended", and that is how the old principal learns that its copy is off the session's fork.

use super::*;
use crate::control::sql_error;
use crate::io::SqlError;

impl Partner {
    /// FORCE_SERVICE_ALLOW_DATA_LOSS, on the mirror. [C-61, FO-50 … FO-56, in this order: OQ-40]
    pub fn begin_force(&mut self, cx: &mut Cx<'_>, request: u64) -> Result<(), SqlError> {
        let witness = self.common.shared().witness.value.named();
        let witness = witness.filter(|_| !cx.bug(Bug::ForceWithoutWitness));
        let careful = !cx.bug(Bug::ForceWithoutClaim);
        let patience = self.common.patience(cx.tuning());
        let RoleData::Mirror(m) = &mut self.role else { return Err(sql_error(1455)) };
        let principal = self.common.channel(self.other);
        if principal.is_some_and(|c| c.up().is_some()) {
            return Err(sql_error(1455));
        }
        let mut rests_on = None;
        if let Some(witness) = witness {
            let channel = self.common.channel(witness);
            let Some(channel) = channel.filter(|c| c.up().is_some()) else { return Err(sql_error(1431)) };
            rests_on = channel.up();
            let seen = channel.other.is_some_and(|o| o.peer == self.other && o.up.is_some());
            let lost = principal.is_some_and(|c| c.id.is_none() && c.lost(cx.now, patience));
            if careful && (seen || !lost) {
                return Err(sql_error(1455));
            }
        }
        let record = self.common.keeper.record();
        if record.undo.is_some() {
            return Err(sql_error(1406));
        }
        let off_fork =
            if cx.bug(Bug::ForceBySuspendedFlag) { record.shared.suspended.value } else { record.off_fork };
        if off_fork || m.claiming() || m.elected != Elected::No || self.common.keeper.switching() {
            return Err(sql_error(1455));
        }
        cx.step(self.common.session, "force.begin");
        m.forced = rests_on;
        m.claim = if witness.is_some() {
            let claimed = record.shared.n.next();
            Claim::Recording(self.common.keeper.change(cx.out, |r| r.claim = Some(claimed)))
        } else {
            Claim::Deciding
        };
        self.ongoing = Some(Ongoing::force(request, cx));
        Ok(())
    }

    /// Without a witness: once the log in flight has landed, the own record makes this instance owner. [OQ-4.6]
    pub(super) fn decide_force(&mut self, cx: &mut Cx<'_>) {
        let RoleData::Mirror(m) = &mut self.role else { return };
        if m.claim != Claim::Deciding || self.copy.hardened() != self.copy.end_of_log() {
            return;
        }
        let n = self.common.n().next();
        let mut suspended = self.common.shared().suspended;
        suspended.set(n, true);
        if cx.bug(Bug::StampWithoutRoleSequence) {
            suspended.stamp.sequence -= 1;
        }
        cx.step(self.common.session, "force.recorded");
        self.take_role(cx, n, suspended, Switch::Forced);
    }

    /// The witness does not agree to a forced service. [FO-53]
    pub(super) fn force_refused(&mut self, cx: &mut Cx<'_>) {
        if self.ongoing.as_ref().is_some_and(Ongoing::is_force) {
            self.fail_statement(cx, 1455);
        }
    }

    /// Is this what a forced service under a higher role sequence looks like to the partner it was taken from? [OQ-7]
    pub(super) fn was_forced(mine: &RoleRecord, theirs: &RoleRecord) -> bool {
        theirs.suspended.value && theirs.suspended.stamp.n > mine.n
    }
}
