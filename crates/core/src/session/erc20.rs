//! Sessions that move a token: what the ERC-20 session validation module is given, and whether it would allow a call.

use alloy_primitives::{Address, U256};

use crate::{
    abi::{WORD, length_at, selector::FunctionSelector, word_at},
    operation::call::selectors,
    policy::epoch::SessionEpoch,
    sink::{BufferFull, Encode, Sink},
    texts,
};

/// What a session key may do with one token.
///
/// The module does not look at the function: whatever takes an address and an amount is allowed, `approve` as well as
/// `transfer`. The amount bounds each call, not their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Erc20Policy {
    /// The token's contract.
    pub token: Address,
    /// The first argument of the call.
    pub recipient: Address,
    /// The most that its second argument may be, in the token's smallest unit.
    pub max_amount: U256,
    /// When the session is valid.
    pub epoch: SessionEpoch,
}

/// A session key and what it may do, as the ERC-20 session validation module reads it: `abi.encode(session key, token,
/// recipient, maximal amount)`.
///
/// ```
/// use quorate_core::{Address, Encode, Erc20Policy, Erc20SessionKeyData, SessionEpoch, U256};
///
/// let policy = Erc20Policy {
///     token: Address::repeat_byte(1),
///     recipient: Address::repeat_byte(2),
///     max_amount: U256::from(1_000),
///     epoch: SessionEpoch::UNLIMITED,
/// };
/// let data = Erc20SessionKeyData::new(Address::repeat_byte(3), policy);
/// assert_eq!(data.encoded_len(), 128);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erc20SessionKeyData {
    session_key: Address,
    policy: Erc20Policy,
}

impl Erc20SessionKeyData {
    /// Gives `session_key` what `policy` permits. The policy's epoch is no part of the data.
    pub const fn new(session_key: Address, policy: Erc20Policy) -> Self {
        Self { session_key, policy }
    }

    /// Reads what the module reads. What follows is ignored, as on chain.
    ///
    /// # Errors
    /// [`Erc20Refusal::MalformedSessionKeyData`] for fewer than 128 bytes, and where an address is none.
    pub fn parse(bytes: &[u8], epoch: SessionEpoch) -> Result<Self, Erc20Refusal> {
        Self::read(bytes, epoch).ok_or(Erc20Refusal::MalformedSessionKeyData { len: bytes.len() })
    }

    fn read(bytes: &[u8], epoch: SessionEpoch) -> Option<Self> {
        let [session_key, token, recipient] = [0, 1, 2].map(|word| address_at(bytes, word * WORD));
        let max_amount = U256::from_be_bytes(*word_at(bytes, 3 * WORD)?);
        let policy = Erc20Policy { token: token?, recipient: recipient?, max_amount, epoch };
        Some(Self { session_key: session_key?, policy })
    }

    /// As [`parse`](Self::parse), of bytes that are all read.
    ///
    /// # Errors
    /// [`Erc20Refusal::MalformedSessionKeyData`] also for more than 128 bytes.
    pub fn parse_whole(bytes: &[u8], epoch: SessionEpoch) -> Result<Self, Erc20Refusal> {
        Self::read_whole(bytes, epoch).ok_or(Erc20Refusal::MalformedSessionKeyData { len: bytes.len() })
    }

    pub(crate) fn read_whole(bytes: &[u8], epoch: SessionEpoch) -> Option<Self> {
        if bytes.len() > 4 * WORD { None } else { Self::read(bytes, epoch) }
    }

    /// The key that may act.
    pub const fn session_key(&self) -> Address {
        self.session_key
    }

    /// What it may do.
    pub const fn policy(&self) -> Erc20Policy {
        self.policy
    }
}

impl Encode for Erc20SessionKeyData {
    fn encoded_len(&self) -> usize {
        4 * WORD
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        for address in [self.session_key, self.policy.token, self.policy.recipient] {
            sink.put(address.into_word().as_slice())?;
        }
        sink.put(&self.policy.max_amount.to_be_bytes::<32>())
    }
}

/// Checks the account's call data against session key data as the ERC-20 session validation module does, in its order,
/// all but the signature. Gives the session key that has to have signed.
///
/// # Errors
/// [`Erc20Refusal`] says which check failed, and with which values.
pub fn evaluate_erc20(session_key_data: &[u8], account_call_data: &[u8]) -> Result<Address, Erc20Refusal> {
    let too_short = Erc20Refusal::MalformedCallData { len: account_call_data.len() };
    let (selector, arguments) = account_call_data.split_first_chunk::<4>().ok_or(too_short)?;
    if !matches!(*selector, selectors::EXECUTE | selectors::EXECUTE_NCC) {
        return Err(Erc20Refusal::NotExecute { selector: (*selector).into() });
    }
    let permitted = Erc20SessionKeyData::parse(session_key_data, SessionEpoch::UNLIMITED)?;
    let Erc20Policy { token, recipient, max_amount, .. } = permitted.policy;

    let called = address_at(arguments, 0).ok_or(too_short)?;
    let value = U256::from_be_bytes(*word_at(arguments, WORD).ok_or(too_short)?);
    let inner = inner_call(arguments).ok_or(too_short)?;
    if called != token {
        return Err(Erc20Refusal::TokenForbidden { called, permitted: token });
    }
    if value != U256::ZERO {
        return Err(Erc20Refusal::ValueForbidden { value });
    }

    let malformed = Erc20Refusal::MalformedTransfer { len: inner.len() };
    let transfer = inner.get(4..).ok_or(malformed)?;
    let amount = U256::from_be_bytes(*word_at(transfer, WORD).ok_or(malformed)?);
    let called = address_at(transfer, 0).ok_or(malformed)?;
    if called != recipient {
        return Err(Erc20Refusal::RecipientForbidden { called, permitted: recipient });
    }
    if amount > max_amount {
        return Err(Erc20Refusal::AmountExceeded { amount, limit: max_amount });
    }
    Ok(permitted.session_key)
}

/// The third argument of `(address,uint256,bytes)`, if all of it is there.
fn inner_call(arguments: &[u8]) -> Option<&[u8]> {
    let at = length_at(arguments, 2 * WORD)?;
    arguments.get(at..)?.get(WORD..)?.get(..length_at(arguments, at)?)
}

/// The address in the word at byte `at`, if the word is one.
fn address_at(bytes: &[u8], at: usize) -> Option<Address> {
    let (zeros, address) = word_at(bytes, at)?.split_first_chunk::<12>()?;
    (*zeros == [0; 12]).then(|| Address::from_slice(address))
}

/// Why a call is not allowed to move a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Erc20Refusal {
    /// The session key data is none.
    MalformedSessionKeyData {
        /// The number of bytes found.
        len: usize,
    },
    /// The account's call data is cut, or an address in it is none.
    MalformedCallData {
        /// The number of bytes of the account's call data.
        len: usize,
    },
    /// The account is asked for something other than one call.
    NotExecute {
        /// The function called.
        selector: FunctionSelector,
    },
    /// Another contract is called.
    TokenForbidden {
        /// The contract called.
        called: Address,
        /// The token permitted.
        permitted: Address,
    },
    /// Value is sent.
    ValueForbidden {
        /// The value sent, in wei.
        value: U256,
    },
    /// The token is called with something else than an address and an amount.
    MalformedTransfer {
        /// The number of bytes.
        len: usize,
    },
    /// Somebody else would receive.
    RecipientForbidden {
        /// The recipient in the call.
        called: Address,
        /// The recipient permitted.
        permitted: Address,
    },
    /// More is moved than permitted.
    AmountExceeded {
        /// The amount in the call.
        amount: U256,
        /// The amount permitted.
        limit: U256,
    },
}

texts!(Erc20Refusal {
    MalformedSessionKeyData { len } =>
        "the session key data of {} bytes is not that of a token's session: three addresses and an amount",
    MalformedCallData { len } => "the account's call data of {} bytes does not decode",
    NotExecute { selector } => "the account's function {} is called, permitted are execute and execute_ncC",
    TokenForbidden { called, permitted } => "contract {} is called, permitted is the token {}",
    ValueForbidden { value } => "{} wei are sent, permitted are none",
    MalformedTransfer { len } =>
        "the token is called with {} bytes, which are not a selector, an address and an amount",
    RecipientForbidden { called, permitted } => "the recipient is {}, permitted is {}",
    AmountExceeded { amount, limit } => "the amount is {}, permitted are at most {}",
});

impl Erc20Refusal {
    /// The reason that the module reverts with on chain, if it gives one.
    pub const fn revert_reason(&self) -> Option<&'static str> {
        match self {
            Self::NotExecute { .. } => Some("ERC20SV Invalid Selector"),
            Self::TokenForbidden { .. } => Some("ERC20SV Wrong Token"),
            Self::ValueForbidden { .. } => Some("ERC20SV Non Zero Value"),
            Self::RecipientForbidden { .. } => Some("ERC20SV Wrong Recipient"),
            Self::AmountExceeded { .. } => Some("ERC20SV Max Amount Exceeded"),
            Self::MalformedSessionKeyData { .. }
            | Self::MalformedCallData { .. }
            | Self::MalformedTransfer { .. } => None,
        }
    }
}
