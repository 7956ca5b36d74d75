use alloy_primitives::{Address, U256};
use serde::Serialize;

use super::contracts::{PICKY_TOKEN_SYMBOL, PaymasterContracts, TOKEN_SYMBOL};
use super::operation::Operation;

const DECIMALS: u8 = 6;
/// One token, in its units.
const ONE_TOKEN: u64 = 1_000_000;
const WEI_PER_ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
/// A token is a dollar.
const TOKENS_PER_ETHER: u64 = 2_000;
/// Units of either token for 10^18 wei.
pub(crate) const UNITS_PER_ETHER: u64 = TOKENS_PER_ETHER * ONE_TOKEN;

/// What the token paymaster adds to the gas that the entry point measured.
const POST_OP_GAS: U256 = U256::from_limbs([60_000, 0, 0, 0]);
/// A quote in percent of what the operation costs as it is, since the approval may not be in it yet.
const QUOTE_PERCENT: U256 = U256::from_limbs([120, 0, 0, 0]);

/// A token that the service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) address: Address,
    symbol: &'static str,
}

impl Token {
    /// All tokens.
    pub(crate) fn all(contracts: &PaymasterContracts) -> [Self; 2] {
        [
            Self { address: contracts.token, symbol: TOKEN_SYMBOL },
            Self { address: contracts.picky_token, symbol: PICKY_TOKEN_SYMBOL },
        ]
    }

    /// What the operation would cost once it approves the payment as well.
    pub(crate) fn quote(&self, operation: &Operation, valid_until: u64) -> Quote {
        let units = max_charge(operation).saturating_mul(QUOTE_PERCENT).div_ceil(U256::from(100));
        let max_gas_fee = whole_tokens(units);
        Quote {
            symbol: self.symbol,
            decimal: DECIMALS,
            token_address: self.address,
            max_gas_fee,
            max_gas_fee_usd: max_gas_fee,
            exchange_rate: UNITS_PER_ETHER,
            premium_percentage: "0",
            valid_until,
            logo_url: "",
        }
    }
}

/// The most that the operation can cost, in units of a token, rounded up.
pub(crate) fn max_charge(operation: &Operation) -> U256 {
    let gas = operation
        .verification_gas_limit
        .saturating_mul(U256::from(3))
        .saturating_add(operation.call_gas_limit)
        .saturating_add(operation.pre_verification_gas)
        .saturating_add(POST_OP_GAS);
    let wei = gas.saturating_mul(operation.max_fee_per_gas);
    wei.saturating_mul(U256::from(UNITS_PER_ETHER)).div_ceil(WEI_PER_ETHER)
}

/// A fee quote under the names of Biconomy's service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quote {
    symbol: &'static str,
    decimal: u8,
    token_address: Address,
    /// Whole tokens. A JSON number as the service writes it, which is no exact amount.
    max_gas_fee: f64,
    #[serde(rename = "maxGasFeeUSD")]
    max_gas_fee_usd: f64,
    /// Units of the token for one ether.
    exchange_rate: u64,
    premium_percentage: &'static str,
    /// Seconds since 1970.
    valid_until: u64,
    logo_url: &'static str,
}

fn whole_tokens(units: U256) -> f64 {
    f64::from(units) / ONE_TOKEN as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u64 = 1_000_000_000;

    fn operation() -> Operation {
        Operation {
            call_gas_limit: U256::from(100_000),
            verification_gas_limit: U256::from(200_000),
            pre_verification_gas: U256::from(50_000),
            max_fee_per_gas: U256::from(2 * GWEI),
            ..Operation::default()
        }
    }

    #[test]
    fn the_charge_is_the_worst_case() {
        // 810 000 gas at 2 gwei are 0.00162 ether, and that 3.24 tokens.
        assert_eq!(max_charge(&operation()), U256::from(3_240_000));
    }

    #[test]
    fn the_charge_is_rounded_up() {
        let cheap = Operation { max_fee_per_gas: U256::ONE, ..operation() };
        assert_eq!(max_charge(&cheap), U256::ONE);
    }

    #[test]
    fn absurd_gas_does_not_overflow() {
        let absurd = Operation { call_gas_limit: U256::MAX, ..operation() };
        assert!(max_charge(&absurd) > U256::from(u128::MAX));
    }

    #[test]
    fn a_quote_has_room_for_the_approval() {
        let token = Token { address: Address::ZERO, symbol: "T" };
        let quote = token.quote(&operation(), 17);
        assert_eq!(quote.max_gas_fee, 3.888);
        assert_eq!(serde_json::json!(quote)["exchangeRate"], 2_000_000_000_u64);
        assert_eq!(serde_json::json!(quote)["maxGasFeeUSD"], 3.888);
    }
}
