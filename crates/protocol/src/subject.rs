//! What a key is asked to sign.

use alloy_primitives::{Address, B256, U256};
use quorate_core::delegation::{Caveat, Caveats, Delegation};
use quorate_core::{AccountCall, PackedUserOperation, Transaction, routed_hash, signing_hash};

use crate::json::JsonError;
use crate::{Forbidden, MessageError, OperationMessage};

mod text;

use text::Kind;

/// What a key is asked to sign: the message of a [`SignSetup`](crate::SignSetup).
///
/// The text is strict JSON: a user operation of EntryPoint v0.6 in the form that it always had, everything else under its
/// name.
///
/// ```
/// # use quorate_protocol::{Forbidden, ForbiddenTransaction, Subject, SubjectError};
/// let text = r#"{"transaction":{"chainId":1,"nonce":0,"maxPriorityFeePerGas":"1","maxFeePerGas":"30","gasLimit":99000,
///     "to":"0xdb9b1e94b5b69df7e401ddbede43491141047db3","value":"0","data":"0xcef6d209"}}"#;
/// assert!(matches!(Subject::from_json(text)?, Subject::Transaction(transaction) if transaction.max_fee_per_gas == 30));
///
/// // What no key signs is not even read.
/// let legacy = text.replace("\"nonce\"", "\"type\":0,\"nonce\"");
/// let Err(SubjectError::Forbidden(Forbidden::Transaction(why))) = Subject::from_json(&legacy) else { panic!() };
/// assert_eq!(why, ForbiddenTransaction::Type { found: 0 });
/// # Ok::<(), SubjectError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A user operation of EntryPoint v0.6.
    Operation(OperationMessage),
    /// A transaction of the key's own address: of type 2, to a contract, with an empty access list and no authorisation.
    Transaction(Transaction<Vec<u8>>),
    /// A user operation of an account that the key owns.
    AccountOperation(AccountOperation),
    /// A delegation of what was delegated to the key.
    Redelegation(Redelegation),
}

/// A user operation of EntryPoint v0.7, of a Hybrid account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountOperation {
    /// The operation.
    pub operation: PackedUserOperation<Vec<u8>>,
    /// Its entry point.
    pub entry_point: Address,
    /// Its chain.
    pub chain_id: u64,
}

/// A delegation to be signed, with its domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Redelegation {
    /// The chain.
    pub chain_id: u64,
    /// The manager.
    pub manager: Address,
    /// Whom it is for.
    pub delegate: Address,
    /// Who signs it.
    pub delegator: Address,
    /// The hash of the delegation that it rests on.
    pub authority: B256,
    /// Its bounds.
    pub caveats: Vec<RedelegationCaveat>,
    /// What tells it from others with the same fields.
    pub salt: U256,
}

/// A caveat that holds its terms.
#[derive(Clone, Debug, PartialEq)]
pub struct RedelegationCaveat {
    /// The contract that enforces it.
    pub enforcer: Address,
    /// What it reads.
    pub terms: Vec<u8>,
}

/// Why a text is not taken for a subject.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// A user operation of EntryPoint v0.6 that cannot be read, or a text that names no subject at all.
    #[error(transparent)]
    Operation(#[from] MessageError),
    /// Not the JSON of a subject.
    #[error("what is to be signed cannot be read")]
    Json(#[from] JsonError),
    /// Something that no key signs.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

impl Subject {
    /// Reads the strict JSON text.
    ///
    /// # Errors
    /// Text that is no subject, and one that no key signs: transactions of other types, with an access list or
    /// authorisations, or that create a contract.
    pub fn from_json(text: &str) -> Result<Self, SubjectError> {
        match text::kind(text)? {
            Kind::Operation => Ok(Self::Operation(OperationMessage::from_json(text)?)),
            Kind::Transaction => Ok(Self::Transaction(text::transaction(text)?)),
            Kind::AccountOperation => Ok(Self::AccountOperation(text::account_operation(text)?)),
            Kind::Redelegation => Ok(Self::Redelegation(text::redelegation(text)?)),
        }
    }

    /// The text that [`from_json`](Self::from_json) reads.
    pub fn to_json(&self) -> String {
        match self {
            Self::Operation(message) => message.to_json(),
            Self::Transaction(transaction) => text::of_transaction(transaction),
            Self::AccountOperation(operation) => text::of_account_operation(operation),
            Self::Redelegation(redelegation) => text::of_redelegation(redelegation),
        }
    }

    /// Its nonce: the operation's, the transaction's; a delegation's salt.
    pub fn nonce(&self) -> U256 {
        match self {
            Self::Operation(message) => message.operation.nonce,
            Self::Transaction(transaction) => U256::from(transaction.nonce),
            Self::AccountOperation(message) => message.operation.nonce,
            Self::Redelegation(redelegation) => redelegation.salt,
        }
    }

    /// What names it: the hash of a user operation at its entry point, and of everything else the 32 bytes that are signed.
    pub fn hash(&self) -> B256 {
        match self {
            Self::Operation(OperationMessage { operation, entry_point, chain_id }) => {
                operation.hash(*entry_point, *chain_id)
            }
            Self::Transaction(transaction) => transaction.signing_hash(),
            Self::AccountOperation(AccountOperation { operation, entry_point, chain_id }) => {
                operation.hybrid_digest(*entry_point, *chain_id)
            }
            Self::Redelegation(redelegation) => {
                let caveats = redelegation.caveats();
                let delegation = redelegation.delegation(&caveats);
                delegation.signing_digest(redelegation.chain_id, redelegation.manager)
            }
        }
    }

    /// The 32 bytes that a key signs of it.
    ///
    /// Of a user operation they are those of an EIP-191 message: of its hash, or of a batch, of what the batched session router
    /// routes to the key's session key manager.
    pub fn digest(&self, session_key_manager: Option<Address>) -> B256 {
        let hash = self.hash();
        match (self, session_key_manager) {
            (Self::Operation(message), manager) => {
                match (AccountCall::decode(&message.operation.call_data), manager) {
                    (Ok(AccountCall::Batch(_)), Some(manager)) => signing_hash(routed_hash(hash, manager)),
                    _ => signing_hash(hash),
                }
            }
            _ => hash,
        }
    }

    /// What it is, in words.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Operation(_) => "a user operation of EntryPoint v0.6",
            Self::Transaction(_) => "a transaction",
            Self::AccountOperation(_) => "a user operation of a session account",
            Self::Redelegation(_) => "a delegation",
        }
    }
}

impl Redelegation {
    /// Its caveats, to be put into a [`delegation`](Self::delegation).
    pub fn caveats(&self) -> Vec<Caveat<'_>> {
        let items = self.caveats.iter();
        items.map(|caveat| Caveat { enforcer: caveat.enforcer, terms: &caveat.terms }).collect()
    }

    /// The delegation with these caveats, and without a signature.
    pub fn delegation<'a>(&self, caveats: &'a [Caveat<'a>]) -> Delegation<'a> {
        Delegation {
            delegate: self.delegate,
            delegator: self.delegator,
            authority: self.authority,
            caveats: Caveats::from(caveats),
            salt: self.salt,
            signature: &[],
        }
    }
}
