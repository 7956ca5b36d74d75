//! Whose signature an account obeys, and in which form.

use std::fmt;

use alloy_primitives::{Address, B256, U256};
use quorate_contracts::Deployment;
use quorate_core::{
    DUMMY_SESSION_SIGNATURE, Encode as _, ModuleSignature, MultichainSignature, SessionEpoch, multichain,
};
use quorate_signer::{SIGNATURE_LEN, normalize_signature};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::multichain::MultichainError;

/// A module that says who owns an account. Each has a registry of its own, so that an account can have an owner in both.
///
/// The module that an account is created with is part of its address. Another one is enabled by
/// [`SmartAccount::enable_owner_module`](crate::SmartAccount::enable_owner_module).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OwnerModule {
    /// The ECDSA ownership module: one signature for one operation.
    #[default]
    Ecdsa,
    /// The multichain ECDSA module, which also takes one signature for operations on several chains.
    Multichain,
}

impl fmt::Display for OwnerModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ECDSA ownership module",
            Self::Multichain => "multichain ECDSA module",
        })
    }
}

impl OwnerModule {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Ecdsa, Self::Multichain];

    /// Where the module is.
    pub const fn address(self, deployment: &Deployment) -> Address {
        match self {
            Self::Ecdsa => deployment.ecdsa_ownership_module,
            Self::Multichain => deployment.multichain_ecdsa_module,
        }
    }
}

/// The signature that an owner's operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OwnerForm {
    pub(crate) module: OwnerModule,
    /// How many operations the signature may be for, this one among them.
    pub(crate) operations: u16,
}

impl OwnerForm {
    /// A signature of nobody's that is as long as the real one.
    ///
    /// The real layout cannot be simulated: its proof leads from the operation's hash, which the estimate changes, and the
    /// multichain module reverts where it does not fit. So it is the form for one operation, which the module takes for a
    /// wrong signature, followed by as many bytes as the real one has more. No decoder looks at them, and the bundler
    /// counts them.
    pub(crate) fn dummy(self, deployment: &Deployment) -> Vec<u8> {
        let module = self.module.address(deployment);
        let wrapped = ModuleSignature { module_signature: DUMMY_SESSION_SIGNATURE.as_slice(), module };
        let mut dummy = wrapped.to_vec();
        if self.is_shared() {
            let real = MultichainSignature::dummy(SessionEpoch::UNLIMITED, self.operations.into());
            let real = ModuleSignature { module_signature: real, module };
            dummy.resize(real.encoded_len(), FILLER);
        }
        dummy
    }

    /// Gas that the real signature's validation takes more than the dummy's.
    pub(crate) fn gas_beyond_dummy(self) -> U256 {
        if self.is_shared() {
            let proof_len = u64::try_from(multichain::proof_len(self.operations.into())).unwrap_or(u64::MAX);
            U256::from(DECODING_GAS) + U256::from(GAS_PER_LEVEL).saturating_mul(U256::from(proof_len))
        } else {
            U256::ZERO
        }
    }

    fn is_shared(self) -> bool {
        self.module == OwnerModule::Multichain && self.operations > 1
    }
}

/// A byte that is not zero, as most of a signature's are not.
const FILLER: u8 = 0xA5;

/// What it takes to decode the multichain form and to hash the leaf; the module took about 1 700.
const DECODING_GAS: u64 = 4_000;
/// What a level of the tree takes: a hash of two words, and a word more to copy; the module took about 320.
const GAS_PER_LEVEL: u64 = 500;

/// An owner's signature: over one operation, or over several at once.
///
/// The 65 bytes r ‖ s ‖ v that a wallet's `personal_sign` gives for an operation's hash are one. Those for several are
/// made by [`MultichainDraft`](crate::MultichainDraft).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerSignature(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Over the operation's hash.
    Single([u8; SIGNATURE_LEN]),
    /// Over the root of a tree of operations.
    Multichain { epoch: SessionEpoch, root: B256, proof: Vec<B256>, signature: [u8; SIGNATURE_LEN] },
}

impl From<[u8; SIGNATURE_LEN]> for OwnerSignature {
    fn from(signature: [u8; SIGNATURE_LEN]) -> Self {
        Self(Form::Single(signature))
    }
}

impl From<&[u8; SIGNATURE_LEN]> for OwnerSignature {
    fn from(signature: &[u8; SIGNATURE_LEN]) -> Self {
        Self(Form::Single(*signature))
    }
}

/// An owner's signature that was verified, in the form that goes into the operation.
#[derive(Debug)]
pub(crate) struct VerifiedSignature {
    pub(crate) encoded: Vec<u8>,
    /// When the chain will refuse it, in seconds since 1970; 0 for never.
    pub(crate) valid_until: u64,
}

impl OwnerSignature {
    pub(crate) const fn multichain(
        epoch: SessionEpoch,
        root: B256,
        proof: Vec<B256>,
        signature: [u8; SIGNATURE_LEN],
    ) -> Self {
        Self(Form::Multichain { epoch, root, proof, signature })
    }

    /// Verifies that it is the owner's over this operation.
    pub(crate) fn verify(
        &self,
        owner: Address,
        module: OwnerModule,
        user_op_hash: B256,
        deployment: &Deployment,
    ) -> Result<VerifiedSignature, Error> {
        let address = module.address(deployment);
        match &self.0 {
            Form::Single(signature) => {
                let signature = normalize_signature(owner, user_op_hash, signature)?;
                let encoded = ModuleSignature { module_signature: signature.as_slice(), module: address };
                Ok(VerifiedSignature { encoded: encoded.to_vec(), valid_until: 0 })
            }
            Form::Multichain { epoch, root, proof, signature } => {
                if module != OwnerModule::Multichain {
                    return Err(MultichainError::OtherModule { user_op_hash }.into());
                }
                let signature = normalize_signature(owner, *root, signature)?;
                let inner = MultichainSignature { epoch: *epoch, root: *root, proof, signature: &signature };
                if !inner.verify(user_op_hash) {
                    return Err(MultichainError::NotAmong { user_op_hash }.into());
                }
                let encoded = ModuleSignature { module_signature: inner, module: address }.to_vec();
                Ok(VerifiedSignature { encoded, valid_until: epoch.valid_until() })
            }
        }
    }
}
