//! The two paymaster contracts: the layout of their data, what they check, and what they take after the calls.

use alloy_primitives::{Address, B256, Bytes, U256, address, aliases::U48, keccak256};
use alloy_sol_types::SolValue as _;

use crate::{operation::Operation, validation::Invalid};

/// Biconomy's `VerifyingSingletonPaymaster` 1.1.0, which sponsors.
pub(crate) const VERIFYING: Address = address!("00000f79B7FaF42EEBAdbA19aCc07cD08Af44789");
/// Biconomy's paymaster for payment in tokens, with the data and the rules of the devnet's `DevelopmentTokenPaymaster`.
pub(crate) const TOKEN: Address = address!("00000f7365cA6C59A2C93719ad53d567ed49c14C");

/// Whose balance in the verifying paymaster pays.
pub(crate) const PAYMASTER_ID: Address = Address::repeat_byte(0x1d);

/// What the token paymaster adds to the gas that the entry point measured.
pub(crate) const POST_OP_GAS: u64 = 60_000;

const WEI_PER_ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);

/// What follows the paymaster's address in `paymasterAndData`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) terms: Terms,
    /// The last second, since 1970; 0 for no end.
    pub(crate) until: u64,
    pub(crate) after: u64,
    pub(crate) signature: Bytes,
}

/// Who pays, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terms {
    /// The balance of an id in the verifying paymaster.
    Sponsored(Address),
    /// The sender, to the token paymaster.
    Token(Charge),
}

/// What is taken in tokens, in their smallest units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) token: Address,
    /// For 10^18 wei.
    pub(crate) tokens_per_ether: U256,
    pub(crate) most: U256,
}

/// Whose signature it is. Signatures are no ECDSA ones: a hash of signer and signed takes their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// The one that the contracts know.
    Service,
    Stranger,
}

impl Signer {
    /// As long as an ECDSA signature, and without a zero byte, so that a stub costs no less than what follows it.
    pub(crate) fn sign(self, digest: B256) -> Bytes {
        let part = |place: u8| keccak256([digest.as_slice(), &[self as u8, place]].concat());
        let parts = [part(0).as_slice(), part(1).as_slice(), &[27]].concat();
        parts.into_iter().map(|byte| byte.max(1)).collect()
    }
}

impl Terms {
    pub(crate) const fn paymaster(&self) -> Address {
        match self {
            Self::Sponsored(_) => VERIFYING,
            Self::Token(_) => TOKEN,
        }
    }

    /// What the contract's `getHash` gives: it covers all of an operation but its signature and `paymasterAndData`.
    pub(crate) fn digest(&self, operation: &Operation, chain_id: u64, until: u64, after: u64) -> B256 {
        let op = &operation.operation;
        let mut words: Vec<B256> = vec![
            op.sender.into_word(),
            op.nonce.into(),
            keccak256(&op.init_code),
            keccak256(&op.call_data),
            op.call_gas_limit.into(),
            op.verification_gas_limit.into(),
            op.pre_verification_gas.into(),
            op.max_fee_per_gas.into(),
            op.max_priority_fee_per_gas.into(),
            U256::from(chain_id).into(),
            self.paymaster().into_word(),
        ];
        match self {
            Self::Sponsored(id) => words.push(id.into_word()),
            Self::Token(Charge { token, tokens_per_ether, most }) => {
                words.extend([token.into_word(), (*tokens_per_ether).into(), (*most).into()]);
            }
        }
        words.extend([until, after].map(|time| B256::from(U256::from(time))));
        keccak256(words.concat())
    }
}

type Sponsored = (Address, U48, U48, Bytes);
type Paid = (U48, U48, Address, U256, U256, Bytes);

impl Data {
    /// `paymasterAndData`: 276 bytes for a sponsored operation, 340 for one that is paid in tokens.
    pub(crate) fn encode(&self, paymaster: Address) -> Bytes {
        let (until, after) = (U48::from(self.until), U48::from(self.after));
        let signature = self.signature.clone();
        let data = match self.terms {
            Terms::Sponsored(id) => (id, until, after, signature).abi_encode_params(),
            Terms::Token(Charge { token, tokens_per_ether, most }) => {
                (until, after, token, tokens_per_ether, most, signature).abi_encode_params()
            }
        };
        [paymaster.as_slice(), &data].concat().into()
    }

    fn decode(paymaster: Address, data: &[u8]) -> Option<Self> {
        if paymaster == TOKEN {
            let (until, after, token, tokens_per_ether, most, signature) =
                Paid::abi_decode_params(data).ok()?;
            let terms = Terms::Token(Charge { token, tokens_per_ether, most });
            Some(Self { terms, until: until.to(), after: after.to(), signature })
        } else {
            let (id, until, after, signature) = Sponsored::abi_decode_params(data).ok()?;
            Some(Self { terms: Terms::Sponsored(id), until: until.to(), after: after.to(), signature })
        }
    }
}

/// What a paymaster answers to the entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Whether the service signed this operation and these terms.
    pub(crate) genuine: bool,
    pub(crate) until: u64,
    pub(crate) after: u64,
    pub(crate) charge: Option<Charge>,
}

impl Accepted {
    pub(crate) const fn is_due(&self, now: u64) -> bool {
        self.after <= now && (self.until == 0 || now <= self.until)
    }
}

/// A revert with a custom error or without data.
const REVERTED: &str = "AA33 reverted (or OOG)";

/// `validatePaymasterUserOp` of either contract; `owes` says whether the sender owes tokens.
pub(crate) fn validate(operation: &Operation, chain_id: u64, owes: bool) -> Result<Accepted, Invalid> {
    let paymaster = crate::operation::paymaster(operation);
    let data = operation.operation.paymaster_and_data.get(20..).unwrap_or_default();
    let Data { terms, until, after, signature } = Data::decode(paymaster, data).ok_or(REVERTED)?;
    let charge = match terms {
        // `InvalidPaymasterSignatureLength`.
        Terms::Sponsored(_) if signature.len() != 65 => return Err(REVERTED.into()),
        Terms::Sponsored(_) => None,
        Terms::Token(charge) => Some(charge),
    };
    let genuine = signature == Signer::Service.sign(terms.digest(operation, chain_id, until, after));
    if genuine && owes && charge.is_some() {
        // `OwesTokens`.
        return Err(REVERTED.into());
    }
    Ok(Accepted { genuine, until, after, charge })
}

impl Charge {
    /// What is taken for an operation that cost so much, in wei, at a price of gas.
    pub(crate) fn for_cost(&self, cost: U256, price: U256) -> U256 {
        let wei = cost.saturating_add(U256::from(POST_OP_GAS).saturating_mul(price));
        tokens(wei, self.tokens_per_ether).min(self.most)
    }
}

/// Wei in the smallest units of a token, rounded up.
pub(crate) fn tokens(wei: U256, tokens_per_ether: U256) -> U256 {
    wei.saturating_mul(tokens_per_ether).div_ceil(WEI_PER_ETHER)
}

#[cfg(test)]
mod tests {
    use quorate_core::UserOperation;

    use super::*;

    fn operation() -> Operation {
        UserOperation {
            sender: Address::repeat_byte(1),
            nonce: U256::ZERO,
            init_code: Bytes::new(),
            call_data: Bytes::new(),
            call_gas_limit: U256::from(1),
            verification_gas_limit: U256::from(2),
            pre_verification_gas: U256::from(3),
            max_fee_per_gas: U256::from(4),
            max_priority_fee_per_gas: U256::from(5),
            paymaster_and_data: Bytes::new(),
        }
        .sign(Bytes::new())
    }

    fn paid_by(terms: Terms, signature: impl Fn(B256) -> Bytes) -> Operation {
        let mut operation = operation();
        let signature = signature(terms.digest(&operation, 1, 9, 0));
        let data = Data { terms, until: 9, after: 0, signature };
        operation.operation.paymaster_and_data = data.encode(terms.paymaster());
        operation
    }

    #[test]
    fn data_has_the_contracts_lengths_and_is_read_back() {
        let charge = Charge { token: TOKEN, tokens_per_ether: U256::from(7), most: U256::from(8) };
        for (terms, len, charge) in
            [(Terms::Sponsored(PAYMASTER_ID), 276, None), (Terms::Token(charge), 340, Some(charge))]
        {
            let operation = paid_by(terms, |digest| Signer::Service.sign(digest));
            assert_eq!(operation.operation.paymaster_and_data.len(), len);
            let accepted = Accepted { genuine: true, until: 9, after: 0, charge };
            assert_eq!(validate(&operation, 1, false), Ok(accepted));
            assert_eq!(validate(&operation, 2, false), Ok(Accepted { genuine: false, ..accepted }));
            let stranger = paid_by(terms, |digest| Signer::Stranger.sign(digest));
            assert_eq!(validate(&stranger, 1, false), Ok(Accepted { genuine: false, ..accepted }));
            assert_eq!(validate(&operation, 1, true).is_ok(), charge.is_none(), "a debtor pays no more");
        }
    }

    #[test]
    fn what_cannot_be_read_reverts() {
        let short = paid_by(Terms::Sponsored(PAYMASTER_ID), |_| Bytes::from_static(&[1; 64]));
        assert_eq!(validate(&short, 1, false), Err(REVERTED.into()));
        let mut bare = operation();
        bare.operation.paymaster_and_data = VERIFYING.to_vec().into();
        assert_eq!(validate(&bare, 1, false), Err(REVERTED.into()));
    }

    #[test]
    fn the_charge_is_rounded_up_and_bounded() {
        let charge = |most: u64| Charge {
            token: TOKEN,
            tokens_per_ether: U256::from(2_000_000_000_u64),
            most: U256::from(most),
        };
        // 100 000 gas and the 60 000 of postOp, at 1 gwei, are 0.00016 ether.
        let cost = U256::from(100_000_000_000_000_u64);
        let gwei = U256::from(1_000_000_000);
        assert_eq!(charge(u64::MAX).for_cost(cost, gwei), U256::from(320_000));
        assert_eq!(charge(u64::MAX).for_cost(cost + U256::ONE, gwei), U256::from(320_001));
        assert_eq!(charge(5).for_cost(cost, gwei), U256::from(5));
    }
}
