use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256, address};
use async_trait::async_trait;
use quorate_bundler::number;
use quorate_transport::{Transport, TransportExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::decimal::smallest_units;
use crate::{
    FeeQuote, FeeQuotes, GasLimits, Paymaster, PaymasterData, PaymasterError, PaymasterRequest, Payment,
    Stub, TokenList,
};

/// Biconomy's paymaster service: it sponsors operations, or takes a token for them.
///
/// The service estimates gas itself (`calculateGasLimits`), unless [`with_calculated_gas`](Self::with_calculated_gas)
/// says otherwise. What is taken from it are limits and data, never fees.
///
/// ```no_run
/// use std::sync::Arc;
/// use quorate_paymaster::Biconomy;
/// use quorate_transport::HttpTransport;
///
/// let url = "https://paymaster.biconomy.io/api/v1/137/key".parse()?;
/// let paymaster = Biconomy::new(Arc::new(HttpTransport::builder(url).build()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Biconomy's API of `pm_sponsorUserOperation` and `pm_getFeeQuoteOrData`.
#[derive(Clone, Debug)]
pub struct Biconomy {
    transport: Arc<dyn Transport>,
    sponsors: Vec<Address>,
    token_paymaster: Address,
    calculated_gas: bool,
    expiry: Option<Duration>,
    webhook_data: Option<Value>,
    smart_account_info: SmartAccountInfo,
}

/// What the service is told of the account's implementation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmartAccountInfo {
    /// Its name, `BICONOMY` unless set.
    pub name: String,
    /// Its version, `2.0.0` unless set.
    pub version: String,
}

impl Default for SmartAccountInfo {
    fn default() -> Self {
        Self { name: "BICONOMY".to_owned(), version: "2.0.0".to_owned() }
    }
}

/// Versions 1.1.0 and 1.0.0 of the sponsoring contract, at the same addresses on each chain.
const SPONSORS: [Address; 2] = [
    address!("00000f79B7FaF42EEBAdbA19aCc07cD08Af44789"),
    address!("000031DD6D9D3A133E663660b959162870D755D4"),
];
const TOKEN_PAYMASTER: Address = address!("00000f7365cA6C59A2C93719ad53d567ed49c14C");

/// What the contracts do after the call, in gas.
const SPONSOR_POST_OP_GAS: u64 = 40_000;
const TOKEN_POST_OP_GAS: u64 = 80_000;

impl Biconomy {
    /// The service at the other end of a transport, whose contracts are Biconomy's on public chains.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            sponsors: SPONSORS.to_vec(),
            token_paymaster: TOKEN_PAYMASTER,
            calculated_gas: true,
            expiry: None,
            webhook_data: None,
            smart_account_info: SmartAccountInfo::default(),
        }
    }

    /// Takes data of this contract alone for sponsored operations.
    #[must_use]
    pub fn with_sponsor(mut self, contract: Address) -> Self {
        self.sponsors = vec![contract];
        self
    }

    /// Takes data of this contract alone for operations that are paid in tokens.
    #[must_use]
    pub const fn with_token_paymaster(mut self, contract: Address) -> Self {
        self.token_paymaster = contract;
        self
    }

    /// Has the service estimate gas, or the bundler.
    #[must_use]
    pub const fn with_calculated_gas(mut self, calculated: bool) -> Self {
        self.calculated_gas = calculated;
        self
    }

    /// Asks for data that is good for so long; whole seconds count.
    #[must_use]
    pub const fn with_expiry(mut self, expiry: Duration) -> Self {
        self.expiry = Some(expiry);
        self
    }

    /// Hands this on to the webhook that the service asks whether it should pay.
    #[must_use]
    pub fn with_webhook_data(mut self, data: Value) -> Self {
        self.webhook_data = Some(data);
        self
    }

    /// Says what implementation the accounts have.
    #[must_use]
    pub fn with_smart_account_info(mut self, info: SmartAccountInfo) -> Self {
        self.smart_account_info = info;
        self
    }

    async fn sponsor(
        &self,
        request: &PaymasterRequest<'_>,
        calculated_gas: bool,
    ) -> Result<Sponsorship, PaymasterError> {
        let mut context = self.context(calculated_gas);
        match request.payment {
            Payment::Sponsored => {
                context.insert("mode".to_owned(), json!("SPONSORED"));
            }
            Payment::Token(token) => {
                context.insert("mode".to_owned(), json!("ERC20"));
                context.insert("tokenInfo".to_owned(), json!({ "feeTokenAddress": token }));
            }
        }
        let params = (wire_operation(request), context);
        let wire: WireSponsorship = self.transport.call("pm_sponsorUserOperation", params).await?;
        self.read(wire, request.payment)
    }

    fn read(&self, wire: WireSponsorship, payment: Payment) -> Result<Sponsorship, PaymasterError> {
        let data = PaymasterData::new(wire.paymaster_and_data.unwrap_or_default().to_vec())?;
        match payment {
            Payment::Sponsored => data.check(&self.sponsors, payment)?,
            Payment::Token(_) => data.check(&[self.token_paymaster], payment)?,
        }
        Ok(Sponsorship { data, gas: wire.gas })
    }

    fn context(&self, calculated_gas: bool) -> Map<String, Value> {
        let mut sponsorship = Map::new();
        if let Some(data) = &self.webhook_data {
            sponsorship.insert("webhookData".to_owned(), data.clone());
        }
        sponsorship.insert("smartAccountInfo".to_owned(), json!(self.smart_account_info));
        let mut context = Map::new();
        context.insert("calculateGasLimits".to_owned(), json!(calculated_gas));
        context.insert("sponsorshipInfo".to_owned(), Value::Object(sponsorship));
        if let Some(expiry) = self.expiry {
            context.insert("expiryDuration".to_owned(), json!(expiry.as_secs()));
        }
        context
    }
}

struct Sponsorship {
    data: PaymasterData,
    gas: GasLimits,
}

#[async_trait]
impl Paymaster for Biconomy {
    async fn stub(&self, request: &PaymasterRequest<'_>) -> Result<Stub, PaymasterError> {
        let calculated_gas = self.calculated_gas && !request.caller_estimates;
        let Sponsorship { data, gas } = self.sponsor(request, calculated_gas).await?;
        let post_op_gas = match request.payment {
            Payment::Sponsored => SPONSOR_POST_OP_GAS,
            Payment::Token(_) => TOKEN_POST_OP_GAS,
        };
        // Without estimates the service signed over gas that is not known yet.
        let gas = if calculated_gas { gas } else { GasLimits::default() };
        Ok(Stub { data, gas, is_final: calculated_gas, post_op_gas: U256::from(post_op_gas) })
    }

    async fn data(&self, request: &PaymasterRequest<'_>) -> Result<PaymasterData, PaymasterError> {
        let Sponsorship { data, gas } = self.sponsor(request, false).await?;
        let operation = request.operation;
        for (field, sent, answered) in [
            ("preVerificationGas", operation.pre_verification_gas, gas.pre_verification_gas),
            ("verificationGasLimit", operation.verification_gas_limit, gas.verification_gas_limit),
            ("callGasLimit", operation.call_gas_limit, gas.call_gas_limit),
        ] {
            if let Some(answered) = answered.filter(|answered| *answered != sent) {
                return Err(PaymasterError::GasChanged { field, sent, answered });
            }
        }
        Ok(data)
    }

    async fn quotes(
        &self,
        request: &PaymasterRequest<'_>,
        tokens: &TokenList,
    ) -> Result<FeeQuotes, PaymasterError> {
        // The operation has no gas yet, so that the service estimates it, whoever does later.
        let mut context = self.context(true);
        context.insert("mode".to_owned(), json!("ERC20"));
        let mut token_info = json!({ "tokenList": tokens.tokens });
        if let Some(preferred) = tokens.preferred {
            token_info["preferredToken"] = json!(preferred);
        }
        context.insert("tokenInfo".to_owned(), token_info);
        let params = (wire_operation(request), context);
        let wire: WireQuotes = self.transport.call("pm_getFeeQuoteOrData", params).await?;
        let paymaster = wire.paymaster_address.unwrap_or(self.token_paymaster);
        if paymaster != self.token_paymaster {
            let expected = vec![self.token_paymaster];
            return Err(PaymasterError::OtherPaymaster { expected, found: paymaster });
        }
        let quotes = wire.fee_quotes.into_iter().map(|quote| quote.read(paymaster));
        let mut quotes = quotes.collect::<Result<Vec<_>, _>>()?;
        // By its address: the service need not put it first.
        quotes.sort_by_key(|quote| Some(quote.token) != tokens.preferred);
        Ok(FeeQuotes { quotes, unsupported: wire.unsupported_tokens })
    }

    fn token_paymaster(&self) -> Option<Address> {
        Some(self.token_paymaster)
    }
}

/// The operation as this service takes it: gas limits in decimal, all other numbers in hex.
fn wire_operation(request: &PaymasterRequest<'_>) -> Value {
    let operation = request.operation;
    json!({
        "sender": operation.sender,
        "nonce": operation.nonce,
        "initCode": hex(&operation.init_code),
        "callData": hex(&operation.call_data),
        "callGasLimit": operation.call_gas_limit.to_string(),
        "verificationGasLimit": operation.verification_gas_limit.to_string(),
        "preVerificationGas": operation.pre_verification_gas.to_string(),
        "maxFeePerGas": operation.max_fee_per_gas,
        "maxPriorityFeePerGas": operation.max_priority_fee_per_gas,
        "signature": hex(request.dummy_signature),
        "paymasterAndData": hex(&operation.paymaster_and_data),
    })
}

fn hex(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSponsorship {
    paymaster_and_data: Option<Bytes>,
    #[serde(flatten)]
    gas: GasLimits,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireQuotes {
    #[serde(default, alias = "tokenPaymasterAddress")]
    paymaster_address: Option<Address>,
    #[serde(default)]
    fee_quotes: Vec<WireQuote>,
    #[serde(default)]
    unsupported_tokens: Vec<Address>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireQuote {
    #[serde(default)]
    symbol: String,
    token_address: Address,
    #[serde(alias = "decimals", deserialize_with = "number::deserialize")]
    decimal: U256,
    max_gas_fee: Value,
    #[serde(default, rename = "maxGasFeeUSD")]
    max_gas_fee_usd: Value,
    #[serde(default)]
    exchange_rate: Value,
    #[serde(default)]
    premium_percentage: Value,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    valid_until: Option<U256>,
    #[serde(default)]
    logo_url: Option<String>,
}

impl WireQuote {
    fn read(self, paymaster: Address) -> Result<FeeQuote, PaymasterError> {
        let token = self.token_address;
        let unreadable = |source| PaymasterError::Quote { token, source };
        let decimals = u8::try_from(self.decimal).unwrap_or(u8::MAX);
        let max_fee = text(&self.max_gas_fee).unwrap_or_default();
        Ok(FeeQuote {
            token,
            symbol: self.symbol,
            decimals,
            max_fee: smallest_units(&max_fee, decimals).map_err(unreadable)?,
            max_fee_usd: text(&self.max_gas_fee_usd),
            exchange_rate: text(&self.exchange_rate),
            premium_percentage: text(&self.premium_percentage),
            valid_until: self.valid_until.map(|time| time.saturating_to()),
            logo_url: self.logo_url,
            paymaster,
        })
    }
}

/// The digits of a number as the service wrote them, whether as a number or as a string.
fn text(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
