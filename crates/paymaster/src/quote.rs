use alloy_primitives::{Address, U256};

use crate::PaymasterError;

/// Which tokens quotes are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenList {
    /// The tokens; empty for all that the paymaster takes.
    pub tokens: Vec<Address>,
    /// The token that is rather used, where the paymaster takes it.
    pub preferred: Option<Address>,
}

/// What a paymaster would take for an operation.
///
/// A quote is no token and a token is no quote: the two are different types, and each names the other's contract.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeeQuote {
    /// The token.
    pub token: Address,
    /// Its short name.
    pub symbol: String,
    /// Its decimals.
    pub decimals: u8,
    /// The most that would be taken, in the token's smallest unit, rounded up.
    pub max_fee: U256,
    /// The same in US dollars as the service writes it.
    pub max_fee_usd: Option<String>,
    /// Smallest units of the token for 10^18 wei, as the service writes it.
    pub exchange_rate: Option<String>,
    /// What the service takes on top, in percent, as it writes it.
    pub premium_percentage: Option<String>,
    /// Until when the quote stands, in seconds since 1970, where the service says so.
    pub valid_until: Option<u64>,
    /// A picture of the token.
    pub logo_url: Option<String>,
    /// The contract that would take it, which needs the allowance.
    pub paymaster: Address,
}

/// Quotes for one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeQuotes {
    /// The quotes, the preferred token's first.
    pub quotes: Vec<FeeQuote>,
    /// Tokens asked for that the paymaster does not take.
    pub unsupported: Vec<Address>,
}

impl FeeQuotes {
    /// The quote for a token, by its address.
    ///
    /// # Errors
    /// [`PaymasterError::UnsupportedToken`].
    pub fn for_token(&self, token: Address) -> Result<&FeeQuote, PaymasterError> {
        self.quotes.iter().find(|quote| quote.token == token).ok_or_else(|| {
            let supported = self.quotes.iter().map(|quote| quote.token).collect();
            PaymasterError::UnsupportedToken { token, supported }
        })
    }
}
