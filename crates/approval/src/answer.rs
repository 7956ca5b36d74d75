//! Whether what a wallet gave is what was asked for.

use std::error::Error;
use std::iter::successors;

use alloy_primitives::{Address, B256, Bytes, Signature};

use crate::error::AnswerError;

/// What a wallet gave, as the page sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Signature(Bytes),
    /// The JSON that the wallet answered a request for permissions with.
    Grant(String),
}

/// A wallet's signature, which has to be the owner's over the digest.
pub(crate) fn verify(owner: Address, digest: B256, answer: &Answer) -> Result<Signature, AnswerError> {
    let Answer::Signature(bytes) = answer else { return Err(AnswerError::NotASignature) };
    let none = || AnswerError::NoSignature { len: bytes.len() };
    let signature = Signature::from_raw(bytes).map_err(|_| none())?;
    match signature.recover_address_from_prehash(&digest) {
        Ok(signer) if signer == owner => Ok(signature),
        Ok(signer) => Err(AnswerError::OtherSigner { signer, owner }),
        Err(_) => Err(none()),
    }
}

/// A wallet's grant, which `check` has to take.
pub(crate) fn grant<T, E>(
    answer: &Answer,
    check: &mut impl FnMut(&str) -> Result<T, E>,
) -> Result<T, AnswerError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let Answer::Grant(json) = answer else { return Err(AnswerError::NotAGrant) };
    check(json).map_err(|error| AnswerError::Refused { reason: with_causes(&*error.into()) })
}

/// An error and its causes in one line, without those that it has told already.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = successors(error.source(), |cause| (*cause).source()).map(ToString::to_string);
    causes.fold(
        error.to_string(),
        |told, cause| {
            if told.contains(&cause) { told } else { format!("{told}: {cause}") }
        },
    )
}

#[cfg(test)]
mod tests {
    use alloy_signer::SignerSync as _;
    use alloy_signer_local::PrivateKeySigner;

    use super::*;
    use crate::StartError;

    fn signature(bytes: &[u8]) -> Answer {
        Answer::Signature(bytes.to_vec().into())
    }

    #[test]
    fn only_the_owner_s_signature_over_the_digest_is_taken() {
        let [owner, other] = [(); 2].map(|()| PrivateKeySigner::random());
        let [digest, another] = [1, 2].map(B256::repeat_byte);
        let mut bytes = owner.sign_hash_sync(&digest).unwrap().as_bytes();
        let given = signature(&bytes);
        assert!(verify(owner.address(), digest, &given).is_ok());
        assert!(matches!(verify(owner.address(), another, &given), Err(AnswerError::OtherSigner { .. })));
        assert_eq!(
            verify(other.address(), digest, &given),
            Err(AnswerError::OtherSigner { signer: owner.address(), owner: other.address() })
        );
        // Some wallets count the parity from 0.
        bytes[64] -= 27;
        assert!(verify(owner.address(), digest, &signature(&bytes)).is_ok());
    }

    #[test]
    fn what_is_no_signature_of_a_key_is_told_by_its_length() {
        for bytes in [&[][..], &[0; 64], &[0; 65], &[0xff; 65], &[27; 97]] {
            let error = verify(Address::ZERO, B256::ZERO, &signature(bytes)).unwrap_err();
            assert_eq!(error, AnswerError::NoSignature { len: bytes.len() });
        }
    }

    #[test]
    fn a_grant_is_what_its_check_makes_of_it() {
        let mut check = |json: &str| json.parse::<u8>();
        assert_eq!(grant(&Answer::Grant("7".into()), &mut check), Ok(7));
        let refused = grant(&Answer::Grant("seven".into()), &mut check);
        assert_eq!(refused, Err(AnswerError::Refused { reason: "invalid digit found in string".into() }));
    }

    #[test]
    fn an_answer_of_the_other_kind_is_none() {
        let granted = Answer::Grant("[]".into());
        assert_eq!(verify(Address::ZERO, B256::ZERO, &granted), Err(AnswerError::NotASignature));
        let mut takes_all = |_: &str| Ok::<_, String>(());
        assert_eq!(grant(&signature(&[0; 65]), &mut takes_all), Err(AnswerError::NotAGrant));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("it says: {0}")]
    struct SaysItsCause(#[source] std::io::Error);

    #[test]
    fn a_refusal_tells_its_causes_once() {
        let cause = || std::io::Error::other("the port is taken");
        let told = "the approval page cannot be served on a port of 127.0.0.1: the port is taken";
        assert_eq!(with_causes(&StartError::Listen(cause())), told);
        assert_eq!(with_causes(&SaysItsCause(cause())), "it says: the port is taken");
    }
}
