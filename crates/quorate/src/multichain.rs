//! One signature of an owner's for operations on several chains.

use alloy_primitives::{Address, B256};
use alloy_signer::Signer;
#[cfg(doc)]
use quorate_core::EncodeError;
use quorate_core::{SessionEpoch, merkle, multichain};
use quorate_protocol::OperationMessage;
use quorate_signer::{SIGNATURE_LEN, normalize_signature, sign_as_owner};
use serde::{Deserialize, Serialize};

use crate::client::now;
use crate::draft::MessageText;
use crate::{Draft, Error, OwnerModule, OwnerSignature};

/// Operations of one owner, on one chain or several, that wait for one signature together.
///
/// Each is prepared by an account that has the multichain module as its owner's, with
/// [`SmartAccount::with_shared_signature`](crate::SmartAccount::with_shared_signature). The owner signs the root of the tree
/// of their hashes, and each is submitted by its own account with its own part of that.
///
/// The signature is for an hour unless [`valid_until`](Self::valid_until) says otherwise. Without an end the operation of a
/// chain that was forgotten could get on chain years later.
///
/// Source: Biconomy's `MultichainECDSAValidator`.
///
/// ```no_run
/// # use quorate::{LocalSessionKey, MultichainDraft, Policy, SmartAccount};
/// # async fn example(
/// #     here: SmartAccount, there: SmartAccount, policy: Policy, owner: alloy_signer_local::PrivateKeySigner,
/// # ) -> Result<(), quorate::Error> {
/// let (here, there) = (here.with_shared_signature(2), there.with_shared_signature(2));
/// let key = LocalSessionKey::random();
/// let one = here.prepare(here.grant([policy.clone()])?, &key).await?;
/// let other = there.prepare(there.grant([policy])?, &key).await?;
///
/// let signed = MultichainDraft::of(&one)?.and(&other)?.sign(&owner).await?;
/// let (one_s, other_s) = (signed.signature_of(&one)?, signed.signature_of(&other)?);
/// here.submit(one, one_s).await?.wait().await?;
/// there.submit(other, other_s).await?.wait().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MultichainDraft {
    owner: Address,
    epoch: SessionEpoch,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    operation: OperationMessage,
    /// How many operations the signature may be for.
    prepared_for: u16,
}

/// Why operations cannot be signed together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultichainError {
    /// The operation's account obeys another module.
    #[error(
        "user operation {user_op_hash} is not for the multichain module; prepare it by an account with that owner module"
    )]
    OtherModule {
        /// The operation.
        user_op_hash: B256,
    },
    /// Operations of two owners.
    #[error(
        "user operation {user_op_hash} is for the signature of {other}, and the ones before it for that of {owner}"
    )]
    OtherOwner {
        /// The operation.
        user_op_hash: B256,
        /// Its owner.
        other: Address,
        /// The owner of the ones before it.
        owner: Address,
    },
    /// The gas of an operation does not do for a proof of this length.
    #[error(
        "user operation {user_op_hash} was prepared for a signature of {prepared_for}, and there are {operations}; prepare it \
         by an account `with_shared_signature({operations})`"
    )]
    TooMany {
        /// The operation.
        user_op_hash: B256,
        /// How many operations its signature may be for.
        prepared_for: u16,
        /// How many there are.
        operations: usize,
    },
    /// An operation that is there already.
    #[error("user operation {user_op_hash} is given twice")]
    Twice {
        /// The operation.
        user_op_hash: B256,
    },
    /// The signature is not for this operation.
    #[error("user operation {user_op_hash} is none of those that were signed together")]
    NotAmong {
        /// The operation.
        user_op_hash: B256,
    },
}

impl MultichainDraft {
    /// The first operation.
    ///
    /// # Errors
    /// [`MultichainError::OtherModule`]; [`MultichainError::TooMany`] for a draft that has a signature to itself.
    pub fn of<T>(draft: &Draft<T>) -> Result<Self, Error> {
        let epoch = SessionEpoch::new(0, now().as_secs() + VALIDITY).map_err(Error::Encode)?;
        Self { owner: draft.signer, epoch, parts: Vec::new() }.and(draft)
    }

    /// One operation more.
    ///
    /// # Errors
    /// As [`of`](Self::of); [`MultichainError::OtherOwner`], [`MultichainError::Twice`].
    pub fn and<T>(mut self, draft: &Draft<T>) -> Result<Self, Error> {
        let user_op_hash = draft.user_op_hash();
        let form = draft.owner_form.filter(|form| form.module == OwnerModule::Multichain);
        let form = form.ok_or(MultichainError::OtherModule { user_op_hash })?;
        if draft.signer != self.owner {
            let (owner, other) = (self.owner, draft.signer);
            return Err(MultichainError::OtherOwner { user_op_hash, other, owner }.into());
        }
        if self.parts.iter().any(|part| part.user_op_hash() == user_op_hash) {
            return Err(MultichainError::Twice { user_op_hash }.into());
        }
        self.parts.push(Part { operation: draft.operation.clone(), prepared_for: form.operations });
        let operations = self.parts.len();
        let too_small = self.parts.iter().find(|part| usize::from(part.prepared_for) < operations.max(2));
        if let Some(part) = too_small {
            let (user_op_hash, prepared_for) = (part.user_op_hash(), part.prepared_for);
            return Err(MultichainError::TooMany { user_op_hash, prepared_for, operations }.into());
        }
        Ok(self)
    }

    /// Lets the signature hold until another time, in seconds since 1970; 0 for no end.
    ///
    /// # Errors
    /// [`EncodeError::TimeTooLarge`] for a time of 2^48 or more.
    pub fn valid_until(mut self, time: u64) -> Result<Self, Error> {
        self.epoch = SessionEpoch::new(self.epoch.valid_after(), time).map_err(Error::Encode)?;
        Ok(self)
    }

    /// When the signature holds.
    pub const fn epoch(&self) -> SessionEpoch {
        self.epoch
    }

    /// The whole operations in order, for a device that reviews each of them and makes the root itself
    /// ([`quorate_core::MultichainReview`]).
    pub fn operations(&self) -> impl ExactSizeIterator<Item = &OperationMessage> {
        self.parts.iter().map(|part| &part.operation)
    }

    /// The root of the operations' tree: what the owner signs as a message (EIP-191, `personal_sign` of these 32 bytes).
    ///
    /// A signer that is shown nothing but a root cannot tell it from an operation's hash. Give one that can review the
    /// [`operations`](Self::operations).
    pub fn root(&self) -> B256 {
        merkle::root(&self.leaves()).unwrap_or_default()
    }

    /// The same with the EIP-191 prefix hashed in, for signers that take a digest.
    pub fn digest(&self) -> B256 {
        quorate_core::signing_hash(self.root())
    }

    /// Has the owner sign.
    ///
    /// # Errors
    /// The signer's own.
    pub async fn sign<S: Signer + Sync + ?Sized>(self, owner: &S) -> Result<MultichainSignatures, Error> {
        let signature = sign_as_owner(owner, self.root()).await?;
        self.signed(&signature)
    }

    /// Takes the owner's signature over the root: 65 bytes r ‖ s ‖ v as a wallet's `personal_sign` gives them.
    ///
    /// # Errors
    /// A signature that is not the owner's over the root.
    pub fn signed(self, signature: &[u8; SIGNATURE_LEN]) -> Result<MultichainSignatures, Error> {
        let tree = merkle::Tree::new(self.leaves()).map_err(Error::Tree)?;
        let signature = normalize_signature(self.owner, tree.root(), signature)?;
        Ok(MultichainSignatures { epoch: self.epoch, tree, signature })
    }

    fn leaves(&self) -> Vec<B256> {
        self.parts.iter().map(|part| multichain::leaf(self.epoch, part.user_op_hash())).collect()
    }

    /// The draft as JSON.
    pub fn to_json(&self) -> String {
        let parts = self.parts.iter().map(|part| PartText {
            operation: MessageText::from(&part.operation),
            prepared_for: part.prepared_for,
        });
        let text = DraftText {
            owner: self.owner,
            valid_after: self.epoch.valid_after(),
            valid_until: self.epoch.valid_until(),
            parts: parts.collect(),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads a stored draft.
    ///
    /// # Errors
    /// Text that is no such draft.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let text: DraftText = serde_json::from_str(text)
            .map_err(|source| Error::Stored { what: "draft of several operations", source })?;
        let DraftText { owner, valid_after, valid_until, parts } = text;
        let epoch = SessionEpoch::new(valid_after, valid_until).map_err(Error::Encode)?;
        let parts = parts
            .into_iter()
            .map(|PartText { operation, prepared_for }| Part { operation: operation.into(), prepared_for });
        Ok(Self { owner, epoch, parts: parts.collect() })
    }
}

impl Part {
    fn user_op_hash(&self) -> B256 {
        let OperationMessage { operation, entry_point, chain_id } = &self.operation;
        operation.hash(*entry_point, *chain_id)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DraftText {
    owner: Address,
    valid_after: u64,
    valid_until: u64,
    parts: Vec<PartText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PartText {
    operation: MessageText,
    prepared_for: u16,
}

/// An hour, in seconds.
const VALIDITY: u64 = 3600;

/// One signature of an owner's for several operations.
#[derive(Clone, Debug, PartialEq)]
pub struct MultichainSignatures {
    epoch: SessionEpoch,
    tree: merkle::Tree,
    signature: [u8; SIGNATURE_LEN],
}

impl MultichainSignatures {
    /// What [`SmartAccount::submit`](crate::SmartAccount::submit) takes for one of the operations.
    ///
    /// # Errors
    /// [`MultichainError::NotAmong`] for a draft of another operation.
    pub fn signature_of<T>(&self, draft: &Draft<T>) -> Result<OwnerSignature, Error> {
        let Self { epoch, tree, signature } = self;
        let user_op_hash = draft.user_op_hash();
        let proof = tree.proof(multichain::leaf(*epoch, user_op_hash));
        let proof = proof.map_err(|_| MultichainError::NotAmong { user_op_hash })?;
        Ok(OwnerSignature::multichain(*epoch, proof.root(), proof.siblings().to_vec(), *signature))
    }
}
