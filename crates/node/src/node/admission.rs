//! Whom a node makes keys for: decided by each node for itself, from what the owner signed.

use alloy_primitives::B256;
use quorate_protocol::{AdmissionTokenError, KeygenSetup, Owner, Refusal, ShortText};

use crate::config::Admission;

impl Admission {
    /// How many keys the owner of a request may have; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// An owner whom the operator does not serve, or a key that the operator does not want.
    pub(crate) fn admit(
        &self,
        network: B256,
        owner: Owner,
        setup: &KeygenSetup,
        now: u64,
    ) -> Result<u64, Refusal> {
        let (by_token, refused_token) = match self.keys_by_token(network, owner, setup, now) {
            Ok(keys) => (keys, None),
            Err(reason) => (None, Some(ShortText::from(reason.to_string()))),
        };
        let keys = self.keys_by_list(owner).max(by_token);
        let keys = keys.ok_or(Refusal::NotAdmitted { owner, token: refused_token })?;
        if self.refuse_unsigned_permissions && setup.permissions.is_some() && setup.claim.is_none() {
            return Err(Refusal::UnsignedPermissions);
        }
        Ok(keys)
    }

    /// How many keys the owner may have without a token; none at all if they are not admitted.
    fn keys_by_list(&self, owner: Owner) -> Option<u64> {
        let is_admitted = match &self.owners {
            Some(owners) => owners.contains(&owner),
            None => self.token_issuers.is_none(),
        };
        is_admitted.then_some(self.keys_per_owner)
    }

    /// How many keys the owner may have by a token; none where none was sent, or none is taken.
    fn keys_by_token(
        &self,
        network: B256,
        owner: Owner,
        setup: &KeygenSetup,
        now: u64,
    ) -> Result<Option<u64>, AdmissionTokenError> {
        let token = self.token_issuers.as_ref().zip(setup.admission_token.as_ref());
        token.map(|(issuers, token)| token.verify(network, owner, issuers, now)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, hex};
    use ed25519_dalek::SigningKey;
    use quorate_protocol::{AdmissionToken, Operation, Setup, TokenIssuer};
    use serde_json::json;

    use super::*;

    const NETWORK: B256 = B256::repeat_byte(1);
    const LISTED: Owner = Owner::Eoa(Address::repeat_byte(2));
    const STRANGER: Owner = Owner::Eoa(Address::repeat_byte(3));
    const EXPIRES: u64 = 1_800_000_000;

    fn issuer() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn token(owner: Owner, keys: u64) -> AdmissionToken {
        AdmissionToken::issue(&issuer(), NETWORK, owner, EXPIRES, keys)
    }

    fn setup(token: Option<&AdmissionToken>) -> KeygenSetup {
        let ephemeral = hex::encode_prefixed(issuer().verifying_key().as_bytes());
        let mut metadata = vec![json!({ "tag": 2, "value": ephemeral })];
        metadata.extend(token.map(|token| json!({ "tag": 5, "value": token.to_json() })));
        let text = json!({ "t": 3, "n": 5, "metadata": metadata }).to_string();
        let Setup::Keygen(setup) = Setup::parse(Operation::Keygen, &text).unwrap() else { panic!() };
        setup
    }

    fn admission(owners: Option<&[Owner]>, issuers: Option<&[SigningKey]>) -> Admission {
        Admission {
            owners: owners.map(<[_]>::to_vec),
            token_issuers: issuers.map(|issuers| issuers.iter().map(TokenIssuer::from).collect()),
            keys_per_owner: 10,
            ..Admission::default()
        }
    }

    fn admit(admission: &Admission, owner: Owner, token: Option<&AdmissionToken>) -> Result<u64, Refusal> {
        admission.admit(NETWORK, owner, &setup(token), EXPIRES - 1)
    }

    #[test]
    fn everybody_is_admitted_where_there_is_neither_a_list_nor_an_issuer() {
        let open = admission(None, None);
        assert_eq!(admit(&open, STRANGER, None), Ok(10));
        assert_eq!(admit(&open, STRANGER, Some(&token(STRANGER, 99))), Ok(10), "no token is taken");
    }

    #[test]
    fn a_list_or_issuers_admit_nobody_else_even_if_they_are_empty() {
        for closed in [
            admission(Some(&[LISTED]), None),
            admission(Some(&[]), None),
            admission(None, Some(&[issuer()])),
            admission(None, Some(&[])),
            admission(Some(&[LISTED]), Some(&[issuer()])),
        ] {
            let refused = Refusal::NotAdmitted { owner: STRANGER, token: None };
            assert_eq!(admit(&closed, STRANGER, None), Err(refused));
        }
        let listed_only = admission(Some(&[LISTED]), None);
        let refused = Refusal::NotAdmitted { owner: STRANGER, token: None };
        assert_eq!(admit(&listed_only, STRANGER, Some(&token(STRANGER, 3))), Err(refused));
    }

    #[test]
    fn a_token_admits_an_owner_whom_no_list_names_and_says_how_many_keys() {
        for with_issuers in
            [admission(None, Some(&[issuer()])), admission(Some(&[LISTED]), Some(&[issuer()]))]
        {
            assert_eq!(admit(&with_issuers, STRANGER, Some(&token(STRANGER, 3))), Ok(3));
            assert_eq!(admit(&with_issuers, STRANGER, Some(&token(STRANGER, 30))), Ok(30));
        }
    }

    #[test]
    fn an_owner_with_both_has_the_greater_quota_and_a_bad_token_takes_nothing_away() {
        let both = admission(Some(&[LISTED]), Some(&[issuer()]));
        assert_eq!(admit(&both, LISTED, None), Ok(10));
        assert_eq!(admit(&both, LISTED, Some(&token(LISTED, 3))), Ok(10));
        assert_eq!(admit(&both, LISTED, Some(&token(LISTED, 30))), Ok(30));
        assert_eq!(admit(&both, LISTED, Some(&token(STRANGER, 30))), Ok(10));
        assert_eq!(both.admit(NETWORK, LISTED, &setup(Some(&token(LISTED, 30))), EXPIRES), Ok(10));
    }

    #[test]
    fn a_refused_token_is_named_with_the_reason() {
        let issuers = [issuer()];
        let closed = admission(None, Some(&issuers));
        let reason = |network, owner, token: &AdmissionToken, now| match closed
            .admit(network, owner, &setup(Some(token)), now)
            .unwrap_err()
        {
            Refusal::NotAdmitted { owner: refused, token: Some(reason) } if refused == owner => reason,
            other => panic!("{other}"),
        };
        let good = token(STRANGER, 3);
        let stranger = SigningKey::from_bytes(&[8; 32]);
        let unknown = AdmissionToken::issue(&stranger, NETWORK, STRANGER, EXPIRES, 3);
        let altered = good.to_json().replace(r#""keys":3"#, r#""keys":4"#);
        let altered = AdmissionToken::from_json(&altered).unwrap();
        for (found, expected) in [
            (reason(B256::ZERO, STRANGER, &good, 0), "is for network 0x0101"),
            (reason(NETWORK, LISTED, &good, 0), "is for 0x0303"),
            (reason(NETWORK, STRANGER, &unknown, 0), "whose tokens are not taken"),
            (reason(NETWORK, STRANGER, &altered, 0), "not signed by the issuer"),
            (reason(NETWORK, STRANGER, &good, EXPIRES), "expired at 1800000000"),
        ] {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn unsigned_permissions_are_refused_also_to_those_who_are_admitted() {
        let strict = Admission { refuse_unsigned_permissions: true, ..admission(None, Some(&[issuer()])) };
        let without = setup(Some(&token(STRANGER, 3)));
        let mut unsigned = without.clone();
        unsigned.permissions = Some("{}".to_owned());
        let admitted = |setup| strict.admit(NETWORK, STRANGER, setup, EXPIRES - 1);
        assert_eq!(admitted(&unsigned), Err(Refusal::UnsignedPermissions));
        assert_eq!(admitted(&without), Ok(3), "those that are registered later are always signed");
    }
}
