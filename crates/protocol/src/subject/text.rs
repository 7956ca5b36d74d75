//! The JSON of subjects.

use alloy_primitives::{Address, B256, Bytes, U256};
use quorate_core::{PackedUserOperation, Transaction};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::{AccountOperation, Redelegation, RedelegationCaveat, SubjectError};
use crate::json::{self, JsonError};
use crate::{Forbidden, ForbiddenTransaction};

pub(super) enum Kind {
    Operation,
    Transaction,
    AccountOperation,
    Redelegation,
}

/// The names that tell what a text holds; what else stands in it is for that one's reader.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindText {
    transaction: Option<IgnoredAny>,
    account_operation: Option<IgnoredAny>,
    delegation: Option<IgnoredAny>,
}

pub(super) fn kind(text: &str) -> Result<Kind, JsonError> {
    Ok(match json::read(text)? {
        KindText { transaction: Some(_), .. } => Kind::Transaction,
        KindText { account_operation: Some(_), .. } => Kind::AccountOperation,
        KindText { delegation: Some(_), .. } => Kind::Redelegation,
        _ => Kind::Operation,
    })
}

fn to_json(text: &impl Serialize) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    json::read(text)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfTransaction {
    transaction: TransactionText,
}

/// What a transaction of any type may have is read, so that what is not signed is refused by its name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TransactionText {
    #[serde(rename = "type", default, deserialize_with = "json::present", skip_serializing)]
    kind: Option<u64>,
    chain_id: u64,
    nonce: u64,
    #[serde(deserialize_with = "json::bounded_number")]
    max_priority_fee_per_gas: Decimal,
    #[serde(deserialize_with = "json::bounded_number")]
    max_fee_per_gas: Decimal,
    gas_limit: u64,
    to: Option<Checked>,
    #[serde(deserialize_with = "json::number")]
    value: U256,
    #[serde(deserialize_with = "json::bytes")]
    data: Bytes,
    #[serde(default, skip_serializing)]
    access_list: Vec<IgnoredAny>,
    #[serde(default, skip_serializing)]
    authorization_list: Vec<IgnoredAny>,
}

/// A number of up to 128 bits, as a decimal string.
#[derive(Clone, Copy)]
struct Decimal(u128);

impl TryFrom<U256> for Decimal {
    type Error = <u128 as TryFrom<U256>>::Error;

    fn try_from(number: U256) -> Result<Self, Self::Error> {
        number.try_into().map(Self)
    }
}

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.collect_str(&self.0)
    }
}

/// An address that is read as others are.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Checked(#[serde(deserialize_with = "json::address")] Address);

pub(super) fn transaction(text: &str) -> Result<Transaction<Vec<u8>>, SubjectError> {
    let OfTransaction { transaction } = read(text)?;
    Ok(transaction.signable().map_err(Forbidden::from)?)
}

impl TransactionText {
    fn signable(self) -> Result<Transaction<Vec<u8>>, ForbiddenTransaction> {
        if !self.authorization_list.is_empty() {
            return Err(ForbiddenTransaction::Authorizations { count: self.authorization_list.len() });
        }
        if let Some(found) = self.kind.filter(|kind| *kind != 2) {
            return Err(ForbiddenTransaction::Type { found });
        }
        if !self.access_list.is_empty() {
            return Err(ForbiddenTransaction::AccessList { entries: self.access_list.len() });
        }
        let Checked(to) = self.to.ok_or(ForbiddenTransaction::Creation)?;
        Ok(Transaction {
            chain_id: self.chain_id,
            nonce: self.nonce,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas.0,
            max_fee_per_gas: self.max_fee_per_gas.0,
            gas_limit: self.gas_limit,
            to,
            value: self.value,
            data: self.data.into(),
        })
    }
}

pub(super) fn of_transaction(transaction: &Transaction<Vec<u8>>) -> String {
    to_json(&OfTransaction {
        transaction: TransactionText {
            kind: None,
            chain_id: transaction.chain_id,
            nonce: transaction.nonce,
            max_priority_fee_per_gas: Decimal(transaction.max_priority_fee_per_gas),
            max_fee_per_gas: Decimal(transaction.max_fee_per_gas),
            gas_limit: transaction.gas_limit,
            to: Some(Checked(transaction.to)),
            value: transaction.value,
            data: transaction.data.clone().into(),
            access_list: Vec::new(),
            authorization_list: Vec::new(),
        },
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OfAccountOperation {
    account_operation: AccountOperationText,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountOperationText {
    chain_id: u64,
    #[serde(deserialize_with = "json::address")]
    entry_point: Address,
    #[serde(deserialize_with = "json::address")]
    sender: Address,
    #[serde(deserialize_with = "json::number")]
    nonce: U256,
    #[serde(deserialize_with = "json::bytes")]
    init_code: Bytes,
    #[serde(deserialize_with = "json::bytes")]
    call_data: Bytes,
    #[serde(deserialize_with = "json::fixed_bytes")]
    account_gas_limits: B256,
    #[serde(deserialize_with = "json::number")]
    pre_verification_gas: U256,
    #[serde(deserialize_with = "json::fixed_bytes")]
    gas_fees: B256,
    #[serde(deserialize_with = "json::bytes")]
    paymaster_and_data: Bytes,
}

pub(super) fn account_operation(text: &str) -> Result<AccountOperation, JsonError> {
    let OfAccountOperation { account_operation: text } = read(text)?;
    let operation = PackedUserOperation {
        sender: text.sender,
        nonce: text.nonce,
        init_code: text.init_code.into(),
        call_data: text.call_data.into(),
        account_gas_limits: text.account_gas_limits,
        pre_verification_gas: text.pre_verification_gas,
        gas_fees: text.gas_fees,
        paymaster_and_data: text.paymaster_and_data.into(),
    };
    Ok(AccountOperation { operation, entry_point: text.entry_point, chain_id: text.chain_id })
}

pub(super) fn of_account_operation(message: &AccountOperation) -> String {
    let operation = message.operation.clone();
    to_json(&OfAccountOperation {
        account_operation: AccountOperationText {
            chain_id: message.chain_id,
            entry_point: message.entry_point,
            sender: operation.sender,
            nonce: operation.nonce,
            init_code: operation.init_code.into(),
            call_data: operation.call_data.into(),
            account_gas_limits: operation.account_gas_limits,
            pre_verification_gas: operation.pre_verification_gas,
            gas_fees: operation.gas_fees,
            paymaster_and_data: operation.paymaster_and_data.into(),
        },
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRedelegation {
    delegation: RedelegationText,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedelegationText {
    chain_id: u64,
    #[serde(deserialize_with = "json::address")]
    manager: Address,
    #[serde(deserialize_with = "json::address")]
    delegate: Address,
    #[serde(deserialize_with = "json::address")]
    delegator: Address,
    #[serde(deserialize_with = "json::fixed_bytes")]
    authority: B256,
    caveats: Vec<CaveatText>,
    #[serde(deserialize_with = "json::number")]
    salt: U256,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaveatText {
    #[serde(deserialize_with = "json::address")]
    enforcer: Address,
    #[serde(deserialize_with = "json::bytes")]
    terms: Bytes,
}

pub(super) fn redelegation(text: &str) -> Result<Redelegation, JsonError> {
    let OfRedelegation { delegation: text } = read(text)?;
    let caveat = |CaveatText { enforcer, terms }| RedelegationCaveat { enforcer, terms: terms.into() };
    Ok(Redelegation {
        chain_id: text.chain_id,
        manager: text.manager,
        delegate: text.delegate,
        delegator: text.delegator,
        authority: text.authority,
        caveats: text.caveats.into_iter().map(caveat).collect(),
        salt: text.salt,
    })
}

pub(super) fn of_redelegation(redelegation: &Redelegation) -> String {
    let caveat = |caveat: &RedelegationCaveat| CaveatText {
        enforcer: caveat.enforcer,
        terms: caveat.terms.clone().into(),
    };
    to_json(&OfRedelegation {
        delegation: RedelegationText {
            chain_id: redelegation.chain_id,
            manager: redelegation.manager,
            delegate: redelegation.delegate,
            delegator: redelegation.delegator,
            authority: redelegation.authority,
            caveats: redelegation.caveats.iter().map(caveat).collect(),
            salt: redelegation.salt,
        },
    })
}
