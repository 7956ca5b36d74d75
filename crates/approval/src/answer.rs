//! Whether what a wallet gave is what was asked for.

use alloy_primitives::{Address, B256, Signature};

use crate::error::AnswerError;

/// A wallet's signature, which has to be the owner's over the digest.
pub(crate) fn verify(owner: Address, digest: B256, bytes: &[u8]) -> Result<Signature, AnswerError> {
    let none = || AnswerError::NoSignature { len: bytes.len() };
    let signature = Signature::from_raw(bytes).map_err(|_| none())?;
    match signature.recover_address_from_prehash(&digest) {
        Ok(signer) if signer == owner => Ok(signature),
        Ok(signer) => Err(AnswerError::OtherSigner { signer, owner }),
        Err(_) => Err(none()),
    }
}

#[cfg(test)]
mod tests {
    use alloy_signer::SignerSync as _;
    use alloy_signer_local::PrivateKeySigner;

    use super::*;

    #[test]
    fn only_the_owner_s_signature_over_the_digest_is_taken() {
        let [owner, other] = [(); 2].map(|()| PrivateKeySigner::random());
        let [digest, another] = [1, 2].map(B256::repeat_byte);
        let mut bytes = owner.sign_hash_sync(&digest).unwrap().as_bytes();
        assert!(verify(owner.address(), digest, &bytes).is_ok());
        assert!(matches!(verify(owner.address(), another, &bytes), Err(AnswerError::OtherSigner { .. })));
        assert_eq!(
            verify(other.address(), digest, &bytes),
            Err(AnswerError::OtherSigner { signer: owner.address(), owner: other.address() })
        );
        // Some wallets count the parity from 0.
        bytes[64] -= 27;
        assert!(verify(owner.address(), digest, &bytes).is_ok());
    }

    #[test]
    fn what_is_no_signature_of_a_key_is_told_by_its_length() {
        for bytes in [&[][..], &[0; 64], &[0; 65], &[0xff; 65], &[27; 97]] {
            let error = verify(Address::ZERO, B256::ZERO, bytes).unwrap_err();
            assert_eq!(error, AnswerError::NoSignature { len: bytes.len() });
        }
    }
}
