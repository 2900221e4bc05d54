//! Who may serve, by leases. Pure, so that it can be held against every row of `docs/spec/quorum.md`.

use crate::message::WitnessSetting;

/// May the principal serve? `partner` and `witness` tell whether the lease through that instance is valid now.
///
/// With a witness set one valid lease is enough, and without any the service stops [Q-1, Q-4, Q-5, OQ-3.1]. While SET
/// WITNESS OFF is under way the rule binds but the witness no longer counts [OQ-16]. Without a witness there is no
/// quorum rule.
pub fn may_serve(setting: WitnessSetting, partner: bool, witness: bool) -> bool {
    match setting {
        WitnessSetting::Off => true,
        WitnessSetting::Set(_) => partner || witness,
        WitnessSetting::Leaving(_) => partner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::InstanceId;

    /// A principal with a witness serves while it has either of the others, in every combination. [QT-A1 … QT-A8]
    #[test]
    fn principal_serves_with_either_of_the_others() {
        let set = WitnessSetting::Set(InstanceId(2));
        let rows = [(true, true, true), (true, false, true), (false, true, true), (false, false, false)];
        for (partner, witness, serves) in rows {
            assert_eq!(may_serve(set, partner, witness), serves, "PM {partner}, PW {witness}");
        }
    }

    /// Without a witness nobody is needed. [QT-D3, QT-E2]
    #[test]
    fn principal_without_a_witness_needs_nobody() {
        for (partner, witness) in [(true, true), (true, false), (false, true), (false, false)] {
            assert!(may_serve(WitnessSetting::Off, partner, witness));
        }
    }

    /// A leaving witness no longer helps, but its rule still binds. [OQ-16]
    #[test]
    fn leaving_witness_binds_without_counting() {
        let leaving = WitnessSetting::Leaving(InstanceId(2));
        assert!(may_serve(leaving, true, false));
        assert!(!may_serve(leaving, false, true));
    }
}
