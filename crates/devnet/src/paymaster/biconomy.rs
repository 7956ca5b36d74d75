use std::time::Duration;

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

use super::PaymasterFault;
use super::error::RequestError;
use super::operation::Operation;
use super::sponsor::{DEFAULT_LIFETIME, Payment, Sponsor};
use super::tokens::Token;

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    Sponsored,
    Erc20,
}

/// The second parameter of either method. What else is in it changes nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    mode: Option<Mode>,
    #[serde(default = "yes")]
    calculate_gas_limits: bool,
    /// Seconds.
    expiry_duration: Option<u32>,
    token_info: Option<TokenInfo>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenInfo {
    #[serde(default, deserialize_with = "address_or_empty")]
    fee_token_address: Option<Address>,
    token_list: Option<Vec<Address>>,
    #[serde(default, deserialize_with = "address_or_empty")]
    preferred_token: Option<Address>,
}

impl Options {
    fn lifetime(&self) -> Duration {
        self.expiry_duration.map_or(DEFAULT_LIFETIME, |seconds| Duration::from_secs(seconds.into()))
    }
}

/// Answers `pm_sponsorUserOperation`.
pub(crate) async fn sponsor_user_operation(sponsor: &Sponsor, params: Value) -> Result<Value, RequestError> {
    let (operation, options) = read("pm_sponsorUserOperation", params)?;
    let payment = match options.mode {
        Some(Mode::Erc20) => {
            let token = options.token_info.as_ref().and_then(|info| info.fee_token_address);
            Payment::Token(sponsor.token(token.ok_or(RequestError::NoToken)?)?)
        }
        _ => Payment::Sponsored,
    };
    signed(sponsor, operation, payment, &options).await
}

/// Answers `pm_getFeeQuoteOrData`.
pub(crate) async fn fee_quote_or_data(sponsor: &Sponsor, params: Value) -> Result<Value, RequestError> {
    let (operation, options) = read("pm_getFeeQuoteOrData", params)?;
    if options.mode != Some(Mode::Erc20) {
        let mut data = signed(sponsor, operation, Payment::Sponsored, &options).await?;
        data["mode"] = json!("SPONSORED");
        return Ok(data);
    }

    let wanted = options.token_info.as_ref();
    let list = wanted.and_then(|info| info.token_list.as_deref()).unwrap_or_default();
    let preferred = wanted.and_then(|info| info.preferred_token);
    let all = sponsor.tokens();
    let tokens = choose(&all, list, preferred);
    let unsupported: Vec<Address> =
        list.iter().copied().filter(|address| all.iter().all(|token| token.address != *address)).collect();
    let mut quotes = Vec::new();
    if let Some(first) = tokens.first() {
        let operation = if options.calculate_gas_limits {
            sponsor.with_estimated_gas(operation, Payment::Token(*first)).await?
        } else {
            operation
        };
        let valid_until = sponsor.end(options.lifetime()).await?;
        quotes.extend(tokens.iter().map(|token| token.quote(&operation, valid_until)));
    }
    Ok(json!({
        "mode": "ERC20",
        "paymasterAddress": sponsor.contracts().token_paymaster,
        "feeQuotes": quotes,
        "unsupportedTokens": unsupported,
    }))
}

/// The tokens of the list, all of them if it is empty, with the preferred one first.
fn choose(all: &[Token], list: &[Address], preferred: Option<Address>) -> Vec<Token> {
    let wanted =
        |token: &&Token| list.is_empty() || list.contains(&token.address) || preferred == Some(token.address);
    let mut tokens: Vec<Token> = all.iter().filter(wanted).copied().collect();
    tokens.sort_by_key(|token| preferred != Some(token.address));
    tokens
}

/// Signs, after an estimate if that is wanted, and answers with the gas limits.
async fn signed(
    sponsor: &Sponsor,
    operation: Operation,
    payment: Payment,
    options: &Options,
) -> Result<Value, RequestError> {
    let operation = if options.calculate_gas_limits {
        sponsor.with_estimated_gas(operation, payment).await?
    } else {
        operation
    };
    let data = sponsor.sign(&operation, payment, options.lifetime()).await?;
    let factor = match sponsor.fault() {
        Some(PaymasterFault::HigherGas) => U256::from(2),
        _ => U256::ONE,
    };
    let limit = |gas: U256| gas.saturating_mul(factor);
    let verification_gas_limit = limit(operation.verification_gas_limit);
    // The original mixes text and numbers as well.
    Ok(json!({
        "paymasterAndData": data,
        "preVerificationGas": limit(operation.pre_verification_gas).to_string(),
        "verificationGasLimit": u64::try_from(verification_gas_limit)
            .map_or_else(|_| json!(verification_gas_limit.to_string()), |gas| json!(gas)),
        "callGasLimit": limit(operation.call_gas_limit).to_string(),
    }))
}

fn read(method: &'static str, params: Value) -> Result<(Operation, Options), RequestError> {
    serde_json::from_value(params).map_err(|source| RequestError::Params { method, source })
}

fn yes() -> bool {
    true
}

/// An address, or none where the text is empty, as some clients have it in sponsored mode.
fn address_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::super::contracts::PaymasterContracts;
    use super::*;

    const TOKEN: Address = Address::repeat_byte(3);
    const PICKY: Address = Address::repeat_byte(4);

    fn chosen(list: &[Address], preferred: Option<Address>) -> Vec<Address> {
        let all = Token::all(&PaymasterContracts {
            verifying_paymaster: Address::repeat_byte(1),
            verifying_paymaster_v0_7: Address::repeat_byte(6),
            token_paymaster: Address::repeat_byte(2),
            token: TOKEN,
            picky_token: PICKY,
            paymaster_id: Address::repeat_byte(5),
        });
        choose(&all, list, preferred).iter().map(|token| token.address).collect()
    }

    #[test]
    fn the_preferred_token_is_first() {
        assert_eq!(chosen(&[], None), [TOKEN, PICKY]);
        assert_eq!(chosen(&[], Some(PICKY)), [PICKY, TOKEN]);
        assert_eq!(chosen(&[TOKEN], Some(PICKY)), [PICKY, TOKEN]);
        assert_eq!(chosen(&[TOKEN], Some(Address::ZERO)), [TOKEN]);
        assert_eq!(chosen(&[Address::ZERO], None), [] as [Address; 0]);
    }

    #[test]
    fn options_may_be_few_and_unknown_ones_do_no_harm() {
        let options: Options = serde_json::from_value(json!({
            "mode": "ERC20",
            "tokenInfo": { "feeTokenAddress": "" },
            "sponsorshipInfo": { "smartAccountInfo": { "name": "BICONOMY", "version": "2.0.0" } },
        }))
        .unwrap();
        assert!(options.mode == Some(Mode::Erc20) && options.calculate_gas_limits);
        assert_eq!(options.lifetime(), DEFAULT_LIFETIME);
        assert_eq!(options.token_info.unwrap().fee_token_address, None);
    }
}
