use alloy_primitives::{Address, B256, Bytes, U256, keccak256};

use quorate_core::PackedUserOperation;

use super::operation::Operation;

/// The length of a signature: r, s and v.
pub(crate) const SIGNATURE_LENGTH: usize = 65;

/// When a signature is good, in seconds since 1970, both below 2^48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// The last second; 0 is no end.
    pub(crate) until: u64,
    pub(crate) after: u64,
}

/// Who pays, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms {
    /// The balance of an id in the VerifyingSingletonPaymaster.
    Sponsored { paymaster_id: Address },
    /// The sender, in tokens, to the DevelopmentTokenPaymaster. Amounts are in units of the token.
    Token { token: Address, tokens_per_ether: U256, max_charge: U256 },
}

/// What a paymaster's signer signs, with the prefix of EIP-191.
///
/// Source: `getHash` of either contract. It covers all of the operation but its signature and `paymasterAndData`, and
/// does not name the entry point.
pub(crate) fn hash(
    operation: &Operation,
    chain_id: u64,
    paymaster: Address,
    terms: &Terms,
    validity: Validity,
) -> B256 {
    let mut words = vec![
        operation.sender.into_word(),
        operation.nonce.into(),
        keccak256(&operation.init_code),
        keccak256(&operation.call_data),
        operation.call_gas_limit.into(),
        operation.verification_gas_limit.into(),
        operation.pre_verification_gas.into(),
        operation.max_fee_per_gas.into(),
        operation.max_priority_fee_per_gas.into(),
        word(chain_id),
        paymaster.into_word(),
    ];
    match *terms {
        Terms::Sponsored { paymaster_id } => words.push(paymaster_id.into_word()),
        Terms::Token { token, tokens_per_ether, max_charge } => {
            words.extend([token.into_word(), tokens_per_ether.into(), max_charge.into()]);
        }
    }
    words.extend([word(validity.until), word(validity.after)]);
    keccak256(words.concat())
}

/// The operation's `paymasterAndData`: 276 bytes for a sponsored operation, 340 for one that is paid in tokens.
pub(crate) fn paymaster_and_data(
    paymaster: Address,
    terms: &Terms,
    validity: Validity,
    signature: &[u8; SIGNATURE_LENGTH],
) -> Bytes {
    let (until, after) = (word(validity.until), word(validity.after));
    let mut words = match *terms {
        Terms::Sponsored { paymaster_id } => vec![paymaster_id.into_word(), until, after],
        Terms::Token { token, tokens_per_ether, max_charge } => {
            vec![until, after, token.into_word(), tokens_per_ether.into(), max_charge.into()]
        }
    };
    // The signature follows the words and its own offset.
    words.push(U256::from(32 * (words.len() + 1)).into());
    words.push(U256::from(SIGNATURE_LENGTH).into());
    let padding = [0; SIGNATURE_LENGTH.next_multiple_of(32) - SIGNATURE_LENGTH];
    [paymaster.as_slice(), &words.concat(), signature, &padding].concat().into()
}

/// The same at EntryPoint v0.7, where it covers the paymaster's gas limits as well.
///
/// Source: `getHash` of `VerifyingPaymaster` in `@account-abstraction/contracts` 0.7.0.
pub(crate) fn hash_v0_7(
    operation: &PackedUserOperation<Vec<u8>>,
    chain_id: u64,
    paymaster: Address,
    validity: Validity,
) -> B256 {
    // After the paymaster's address.
    let gas_limits = operation.paymaster_and_data.get(20..52).map_or(B256::ZERO, B256::from_slice);
    let words = [
        operation.sender.into_word(),
        operation.nonce.into(),
        keccak256(&operation.init_code),
        keccak256(&operation.call_data),
        operation.account_gas_limits,
        gas_limits,
        operation.pre_verification_gas.into(),
        operation.gas_fees,
        word(chain_id),
        paymaster.into_word(),
        word(validity.until),
        word(validity.after),
    ];
    keccak256(words.concat())
}

/// The paymaster's data at EntryPoint v0.7: 129 bytes.
pub(crate) fn paymaster_data_v0_7(validity: Validity, signature: &[u8; SIGNATURE_LENGTH]) -> Bytes {
    [word(validity.until).as_slice(), word(validity.after).as_slice(), signature].concat().into()
}

fn word(number: u64) -> B256 {
    U256::from(number).into()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{b256, bytes};

    use super::*;

    const PAYMASTER: Address = Address::repeat_byte(0x22);
    const VALIDITY: Validity = Validity { until: 1_700_000_300, after: 1_700_000_000 };

    fn operation() -> Operation {
        Operation {
            sender: Address::repeat_byte(0x11),
            nonce: U256::from(7),
            init_code: bytes!("aabb"),
            call_data: bytes!("ccddee"),
            call_gas_limit: U256::from(100),
            verification_gas_limit: U256::from(200),
            pre_verification_gas: U256::from(300),
            max_fee_per_gas: U256::from(400),
            max_priority_fee_per_gas: U256::from(500),
            ..Operation::default()
        }
    }

    fn sponsored() -> Terms {
        Terms::Sponsored { paymaster_id: Address::repeat_byte(0x33) }
    }

    fn token() -> Terms {
        Terms::Token {
            token: Address::repeat_byte(0x44),
            tokens_per_ether: U256::from(2_000_000_000),
            max_charge: U256::from(123_456),
        }
    }

    // The expected hashes are those that viem 2 gives with `encodeAbiParameters` and `keccak256`.

    #[test]
    fn the_hashes_are_those_of_the_contracts() {
        assert_eq!(
            hash(&operation(), 31337, PAYMASTER, &sponsored(), VALIDITY),
            b256!("c724b0bc9a6bad36e807dbdd1725588c7c5e36b8ca73f8d619c342c56835be42")
        );
        assert_eq!(
            hash(&operation(), 31337, PAYMASTER, &token(), VALIDITY),
            b256!("ef85a4ceac53b30e7882e70081c47aba8534f55f89bc22ab46699aeeae77e518")
        );
    }

    #[test]
    fn the_hash_leaves_out_signature_and_paymaster_data() {
        let signed = Operation { signature: bytes!("01"), paymaster_and_data: bytes!("02"), ..operation() };
        assert_eq!(
            hash(&signed, 1, PAYMASTER, &sponsored(), VALIDITY),
            hash(&operation(), 1, PAYMASTER, &sponsored(), VALIDITY)
        );
    }

    #[test]
    fn the_layouts_are_those_of_the_contracts() {
        let data = paymaster_and_data(PAYMASTER, &sponsored(), VALIDITY, &[0x55; 65]);
        assert_eq!(data.len(), 276);
        assert_eq!(
            keccak256(data),
            b256!("b7d7bae98df1097d678840f37d894a5f9eebb14c58703db89e150d322fe65b32")
        );

        let data = paymaster_and_data(PAYMASTER, &token(), VALIDITY, &[0x55; 65]);
        assert_eq!(data.len(), 340);
        assert_eq!(
            keccak256(data),
            b256!("47311760931c7dc633f614953990290f1a0411a04c915896d6a19224614979e3")
        );
    }
}
