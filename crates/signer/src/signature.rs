use alloy_dyn_abi::TypedData;
use alloy_primitives::{Address, B256, Signature, U256, uint};
use alloy_signer::Signer;
use quorate_core::signing_hash;

/// The length of a module's ECDSA signature: r ‖ s ‖ v.
pub const SIGNATURE_LEN: usize = 65;

const SECP256K1N_ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// An alloy signer says no.
    #[error("the signer of {address} gave no signature")]
    Signer {
        /// Who was to sign.
        address: Address,
        /// What it says.
        source: alloy_signer::Error,
    },
    /// Another kind of signer says no: a signing network, a device.
    #[error("the session key {address} gave no signature")]
    Session {
        /// Who was to sign.
        address: Address,
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A kind of signer that signs single calls only.
    #[error("the signer of the session key {address} signs no batches; send the calls one by one")]
    NoBatches {
        /// Who was to sign.
        address: Address,
    },
    /// A signature of somebody else, or not in the form that the modules accept.
    #[error("the signature is not a low-s signature of {address} over what was to be signed; it is not used")]
    Unverified {
        /// Who was to sign.
        address: Address,
    },
}

/// Has an account's owner sign a user operation's hash (EIP-191), as the ECDSA ownership module takes it.
///
/// # Errors
/// The signer's own, or a signature that is not the signer's.
pub async fn sign_as_owner<S: Signer + Sync + ?Sized>(
    owner: &S,
    user_op_hash: B256,
) -> Result<[u8; SIGNATURE_LEN], SignerError> {
    let address = owner.address();
    let signature = owner.sign_message(user_op_hash.as_slice()).await;
    let signature = signature.map_err(|source| SignerError::Signer { address, source })?;
    let bytes = signature.normalize_s().unwrap_or(signature).as_bytes();
    verify_signature(address, user_op_hash, &bytes)?;
    Ok(bytes)
}

/// Has an account's owner sign typed data (EIP-712, `eth_signTypedData_v4`), whose digest is known.
///
/// The signer is shown the whole document: hardware wallets sign no bare digest.
///
/// # Errors
/// The signer's own, or a signature that is not the signer's over `digest`.
pub async fn sign_typed_data<S: Signer + Sync + ?Sized>(
    owner: &S,
    typed_data: &TypedData,
    digest: B256,
) -> Result<Signature, SignerError> {
    let address = owner.address();
    let signature = owner.sign_dynamic_typed_data(typed_data).await;
    let signature = signature.map_err(|source| SignerError::Signer { address, source })?;
    let signature = signature.normalize_s().unwrap_or(signature);
    match signature.recover_address_from_prehash(&digest) {
        Ok(signer) if signer == address => Ok(signature),
        _ => Err(SignerError::Unverified { address }),
    }
}

/// A wallet's signature in the form that the modules accept, checked to be `address`'s over the EIP-191 digest of a
/// user operation's hash.
///
/// Wallets also give v as 0 or 1, or a high s; both are rewritten as [`normalized`] does. The signature stays of the
/// same key over the same hash.
///
/// # Errors
/// [`SignerError::Unverified`] where the signature is not `address`'s over this hash in any form.
pub fn normalize_signature(
    address: Address,
    user_op_hash: B256,
    signature: &[u8; SIGNATURE_LEN],
) -> Result<[u8; SIGNATURE_LEN], SignerError> {
    let normalized = normalized(signature);
    verify_signature(address, user_op_hash, &normalized)?;
    Ok(normalized)
}

/// The same signature with v 27 or 28 and a low s: v 0 and 1 become 27 and 28, and a high s becomes n − s with the
/// other v (n is the order of secp256k1; EIP-2).
///
/// What is no signature, with another v, an r or s of 0, or one not below n, is given back as it is: it is refused when
/// it is verified. This function verifies nothing; [`normalize_signature`] does.
pub fn normalized(signature: &[u8; SIGNATURE_LEN]) -> [u8; SIGNATURE_LEN] {
    let [.., v] = *signature;
    let parsed = Signature::from_raw_array(signature).ok().filter(|_| matches!(v, 0 | 1 | 27 | 28));
    let in_range = |scalar: U256| !scalar.is_zero() && scalar < SECP256K1N_ORDER;
    match parsed.filter(|parsed| in_range(parsed.r()) && in_range(parsed.s())) {
        Some(parsed) => parsed.normalized_s().as_bytes(),
        None => *signature,
    }
}

/// Checks that `signature` is `address`'s over the EIP-191 digest of a user operation's hash, with v 27 or 28 and a
/// low s.
///
/// Nothing else is accepted, as on chain: a signature that a wallet gave goes through [`normalize_signature`] first.
///
/// # Errors
/// [`SignerError::Unverified`] for any other signature.
pub fn verify_signature(
    address: Address,
    user_op_hash: B256,
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), SignerError> {
    let [.., v] = *signature;
    let parsed = Signature::from_raw_array(signature).ok().filter(|_| matches!(v, 27 | 28));
    let genuine = parsed.is_some_and(|parsed| {
        let signer = parsed.recover_address_from_prehash(&signing_hash(user_op_hash));
        parsed.normalize_s().is_none() && signer.is_ok_and(|signer| signer == address)
    });
    if genuine { Ok(()) } else { Err(SignerError::Unverified { address }) }
}
