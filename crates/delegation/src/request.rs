//! What a wallet is asked for.

use std::num::NonZeroU64;

use alloy_primitives::{Address, U64, U256};
use serde_json::{Map, Value, json};

/// A permission that a wallet can put into caveats by itself: to spend (ERC-7715).
///
/// No type of permission carries calls of functions; who signs a delegation directly can allow those.
///
/// ```
/// # use std::num::NonZeroU64;
/// # use quorate_core::{Address, U256};
/// use quorate_delegation::{Asset, PermissionRequest, Spending};
///
/// let (key, usdc) = (Address::repeat_byte(0x4b), Address::repeat_byte(0x70));
/// let spending = Spending::Allowance { amount: U256::from(25_000_000), start: None };
/// let request = PermissionRequest {
///     until: Some(1_900_000_000),
///     justification: Some("pays for your mints".to_owned()),
///     ..PermissionRequest::new(NonZeroU64::new(1).unwrap(), key, Asset::Erc20(usdc), spending)
/// };
/// let params = request.params();
/// assert_eq!(params[0]["permission"]["type"], "erc20-token-allowance");
/// assert_eq!(params[0]["permission"]["data"]["allowanceAmount"], "0x17d7840");
/// assert_eq!(params[0]["rules"][0]["data"]["timestamp"], 1_900_000_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionRequest {
    /// The chain.
    pub chain_id: NonZeroU64,
    /// The account that is to grant it; none leaves the choice to the wallet.
    pub from: Option<Address>,
    /// Whom it is for.
    pub to: Address,
    /// What may be spent.
    pub asset: Asset,
    /// How much, and when.
    pub spending: Spending,
    /// Whether the wallet may grant less.
    pub is_adjustable: bool,
    /// Until when, in seconds since 1970, exclusive; none for no end.
    pub until: Option<u64>,
    /// Who may receive it; anybody where it is empty. Of a token, one at most.
    pub payees: Vec<Address>,
    /// What the wallet shows its user as the reason.
    pub justification: Option<String>,
}

/// What is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asset {
    /// The chain's coin, in wei.
    Native,
    /// A token, in its smallest unit.
    Erc20(Address),
}

/// How much may be spent, and when. A start is in seconds since 1970; none is when it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// So much in all.
    Allowance {
        /// The most.
        amount: U256,
        /// From when on.
        start: Option<u64>,
    },
    /// So much in each period. What is left of one is not there in the next.
    Periodic {
        /// The most in a period.
        amount: U256,
        /// The length of a period, in seconds.
        duration: NonZeroU64,
        /// When the first one starts.
        start: Option<u64>,
    },
    /// So much more with each second.
    Stream {
        /// What is there at the start.
        initial: U256,
        /// The most in all; none for no bound.
        max: Option<U256>,
        /// What each second adds.
        per_second: U256,
        /// The start.
        start: Option<u64>,
    },
}

impl PermissionRequest {
    /// The method that wallets answer.
    pub const METHOD: &'static str = "wallet_requestExecutionPermissions";

    /// A request that the wallet may grant less of, without an end, for any payee.
    pub const fn new(chain_id: NonZeroU64, to: Address, asset: Asset, spending: Spending) -> Self {
        Self {
            chain_id,
            from: None,
            to,
            asset,
            spending,
            is_adjustable: true,
            until: None,
            payees: Vec::new(),
            justification: None,
        }
    }

    /// The parameters of [`METHOD`](Self::METHOD): a list with this request alone.
    pub fn params(&self) -> Value {
        let mut request = json!({
            "chainId": U64::from(self.chain_id.get()),
            "to": self.to,
            "permission": {
                "type": self.type_name(),
                "isAdjustmentAllowed": self.is_adjustable,
                "data": self.data(),
            },
            "rules": self.rules(),
        });
        if let Some(from) = self.from {
            request["from"] = json!(from);
        }
        json!([request])
    }

    /// What is asked for, as labels and values.
    pub fn in_words(&self) -> Vec<(&'static str, String)> {
        let unit = match self.asset {
            Asset::Native => "wei".to_owned(),
            Asset::Erc20(token) => format!("of the smallest unit of the token {token}"),
        };
        let amount = match self.spending {
            Spending::Allowance { amount, .. } => format!("{amount} {unit}, in all"),
            Spending::Periodic { amount, duration, .. } => format!("{amount} {unit}, in each {duration} s"),
            Spending::Stream { initial, max, per_second, .. } => {
                let most = max.map_or_else(String::new, |max| format!(", {max} in all"));
                format!("{initial} {unit} at once, {per_second} more in each second{most}")
            }
        };
        let payees: Vec<_> = self.payees.iter().map(Address::to_string).collect();
        let payees = if payees.is_empty() { "anybody".to_owned() } else { payees.join(", ") };
        let until = self.until.map_or_else(|| "no end".to_owned(), |until| format!("{until} s since 1970"));
        vec![
            ("Permission", self.type_name().to_owned()),
            ("For the key", self.to.to_string()),
            ("At most", amount),
            ("To", payees),
            ("Until", until),
        ]
    }

    /// The type's name, such as `erc20-token-periodic`.
    pub const fn type_name(&self) -> &'static str {
        match (self.asset, self.spending) {
            (Asset::Native, Spending::Allowance { .. }) => "native-token-allowance",
            (Asset::Native, Spending::Periodic { .. }) => "native-token-periodic",
            (Asset::Native, Spending::Stream { .. }) => "native-token-stream",
            (Asset::Erc20(_), Spending::Allowance { .. }) => "erc20-token-allowance",
            (Asset::Erc20(_), Spending::Periodic { .. }) => "erc20-token-periodic",
            (Asset::Erc20(_), Spending::Stream { .. }) => "erc20-token-stream",
        }
    }

    /// Amounts in hex, times as numbers.
    fn data(&self) -> Value {
        let mut data = Map::new();
        let mut put = |name: &str, value: Value| _ = data.insert(name.to_owned(), value);
        let start = match self.spending {
            Spending::Allowance { amount, start } => {
                put("allowanceAmount", json!(amount));
                start
            }
            Spending::Periodic { amount, duration, start } => {
                put("periodAmount", json!(amount));
                put("periodDuration", json!(duration));
                start
            }
            Spending::Stream { initial, max, per_second, start } => {
                put("initialAmount", json!(initial));
                put("amountPerSecond", json!(per_second));
                if let Some(max) = max {
                    put("maxAmount", json!(max));
                }
                start
            }
        };
        if let Asset::Erc20(token) = self.asset {
            put("tokenAddress", json!(token));
        }
        if let Some(start) = start {
            put("startTime", json!(start));
        }
        if let Some(justification) = &self.justification {
            put("justification", json!(justification));
        }
        data.into()
    }

    fn rules(&self) -> Vec<Value> {
        let expiry = self.until.map(|until| json!({ "type": "expiry", "data": { "timestamp": until } }));
        let payees = &self.payees;
        let payees =
            (!payees.is_empty()).then(|| json!({ "type": "payee", "data": { "addresses": payees } }));
        expiry.into_iter().chain(payees).collect()
    }
}
