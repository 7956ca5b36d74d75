//! Paying in a token: what it will take, and the allowance for it.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use quorate_contracts::Erc20;
use quorate_core::{AccountCall, Encode as _, Execute, ExecuteBatch};
use quorate_paymaster::{FeeQuotes, Paymaster as _, PaymasterData, PaymasterError, Payment, TokenList};

use crate::fill::{Unfilled, with_fees};
use crate::options::Allowance;
use crate::{Call, Error, Options, Quorate};

/// Calls of one operation of an owner's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnerCalls {
    pub(crate) calls: Vec<Call>,
    /// Whether a single one is a batch, too.
    pub(crate) is_batch: bool,
}

impl OwnerCalls {
    /// One call as `execute`, several as `executeBatch`, and none as nothing.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let calls: Vec<_> = self.calls.iter().map(Call::as_core).collect();
        match calls.as_slice() {
            [] => Vec::new(),
            [call] if !self.is_batch => Execute(*call).to_vec(),
            calls => ExecuteBatch(calls).to_vec(),
        }
    }

    /// The calls in an operation, without the approvals that pay its paymaster.
    pub(crate) fn decode(call_data: &[u8], paymaster: Option<Address>) -> Result<Self, Error> {
        if call_data.is_empty() {
            return Ok(Self::default());
        }
        let decoded = AccountCall::decode(call_data).map_err(Error::Decode)?;
        let is_batch = matches!(decoded, AccountCall::Batch(_));
        let mut calls: Vec<Call> = decoded.calls().map(Call::from).collect();
        let payments = calls.iter().take_while(|call| approves(call, paymaster)).count();
        calls.drain(..payments);
        Ok(Self { calls, is_batch: is_batch && payments == 0 })
    }

    fn with_approvals(&self, by: TokenPayment, amounts: &[U256]) -> Self {
        let TokenPayment { token, spender } = by;
        let approve = |amount: &U256| Call::new(token, Erc20::approveCall { spender, amount: *amount });
        let calls = amounts.iter().map(approve).chain(self.calls.iter().cloned()).collect();
        Self { calls, is_batch: self.is_batch }
    }
}

fn approves(call: &Call, spender: Option<Address>) -> bool {
    let decoded = Erc20::approveCall::abi_decode(&call.data);
    spender.is_some() && decoded.is_ok_and(|approve| Some(approve.spender) == spender)
}

/// The paymaster of an operation that is not the account itself.
pub(crate) fn paymaster_of(paymaster_and_data: &[u8]) -> Option<Address> {
    paymaster_and_data.get(..20).map(Address::from_slice)
}

/// A token, and the paymaster's contract that takes it.
#[derive(Clone, Copy, Debug)]
struct TokenPayment {
    token: Address,
    spender: Address,
}

/// What an operation may be charged in a token, in its smallest unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenTerms {
    /// What the paymaster is allowed when it is paid.
    pub(crate) allowed: U256,
    /// What it said that it would take at most; none where it gives no quotes.
    pub(crate) quoted: Option<U256>,
}

/// What an account has of a token, and what it allows the paymaster of it, in the token's smallest unit.
#[derive(Clone, Copy, Debug)]
struct TokenAccount {
    balance: U256,
    allowance: U256,
}

impl Quorate {
    /// Adds the approval that a token's paymaster needs to an owner's calls, and gives what it will be allowed then.
    ///
    /// `unfilled` is the operation whose call data are these calls.
    ///
    /// # Errors
    /// [`Error::AllowanceTooLow`], [`Error::TokenBalanceTooLow`]; what the paymaster or the node says.
    pub(crate) async fn with_allowance(
        &self,
        mut unfilled: Unfilled,
        calls: &OwnerCalls,
        options: &Options,
    ) -> Result<Unfilled, Error> {
        let Some(by) = self.token_payment(options)? else { return Ok(unfilled) };
        let account = unfilled.operation.sender;
        let there = self.token_account(by, account).await?;
        // The approval makes the operation dearer, so that it is part of what is quoted.
        let quoted = match options.allowance() {
            Some(Allowance::Existing) => Vec::new(),
            Some(Allowance::UpTo(amount)) if amount <= there.allowance => Vec::new(),
            Some(Allowance::UpTo(amount)) => self.approvals(by, account, there.allowance, amount).await?,
            None => self.approvals(by, account, there.allowance, U256::MAX).await?,
        };
        unfilled.operation.call_data = calls.with_approvals(by, &quoted).encode();
        let needed = self.needed_tokens(&unfilled, by.token, options).await?;
        let given = approval(options.allowance(), by, there, needed)?;
        let amounts = given.map_or_else(Vec::new, |amount| {
            quoted.iter().map(|quoted| if quoted.is_zero() { U256::ZERO } else { amount }).collect()
        });
        unfilled.operation.call_data = calls.with_approvals(by, &amounts).encode();
        unfilled.tokens = Some(TokenTerms { allowed: given.unwrap_or(there.allowance), quoted: needed });
        Ok(unfilled)
    }

    /// Checks that a session's call can be paid for in a token, and gives what the paymaster is allowed. A session's call
    /// carries no approval.
    ///
    /// # Errors
    /// [`Error::AllowanceTooLow`], [`Error::TokenBalanceTooLow`]; what the paymaster or the node says.
    pub(crate) async fn check_allowance(
        &self,
        mut unfilled: Unfilled,
        options: &Options,
    ) -> Result<Unfilled, Error> {
        let Some(by) = self.token_payment(options)? else { return Ok(unfilled) };
        let (needed, there) = tokio::try_join!(
            self.needed_tokens(&unfilled, by.token, options),
            self.token_account(by, unfilled.operation.sender)
        )?;
        approval(Some(Allowance::Existing), by, there, needed)?;
        unfilled.tokens = Some(TokenTerms { allowed: there.allowance, quoted: needed });
        Ok(unfilled)
    }

    /// How the options have an operation paid for in a token; none where they do not.
    fn token_payment(&self, options: &Options) -> Result<Option<TokenPayment>, Error> {
        let Some(Payment::Token(token)) = options.payment() else { return Ok(None) };
        let spender = self.paymaster(options)?.token_paymaster().ok_or(PaymasterError::NoQuotes)?;
        Ok(Some(TokenPayment { token, spender }))
    }

    /// The allowances to set one after another: some tokens change one only from and to zero.
    async fn approvals(
        &self,
        by: TokenPayment,
        account: Address,
        there: U256,
        amount: U256,
    ) -> Result<Vec<U256>, Error> {
        let is_taken =
            there.is_zero() || self.chain.takes_approval(by.token, account, by.spender, amount).await?;
        Ok(if is_taken { vec![amount] } else { vec![U256::ZERO, amount] })
    }

    async fn token_account(&self, by: TokenPayment, account: Address) -> Result<TokenAccount, Error> {
        let (balance, allowance) = tokio::try_join!(
            self.chain.token_balance(by.token, account),
            self.chain.allowance(by.token, account, by.spender)
        )?;
        Ok(TokenAccount { balance, allowance })
    }

    /// What the paymaster quotes for an operation; none where it gives no quotes.
    async fn needed_tokens(
        &self,
        unfilled: &Unfilled,
        token: Address,
        options: &Options,
    ) -> Result<Option<U256>, Error> {
        let tokens = TokenList { tokens: vec![token], preferred: Some(token) };
        match self.quotes(unfilled, &tokens, options).await {
            Ok(quotes) => Ok(Some(quotes.for_token(token)?.max_fee)),
            Err(Error::Paymaster(error)) if matches!(*error, PaymasterError::NoQuotes) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the paymaster would take for an operation, in tokens.
    pub(crate) async fn quotes(
        &self,
        unfilled: &Unfilled,
        tokens: &TokenList,
        options: &Options,
    ) -> Result<FeeQuotes, Error> {
        let paymaster = self.paymaster(options)?;
        let payment = Payment::Token(tokens.preferred.unwrap_or_default());
        let operation = with_fees(unfilled.operation.clone(), unfilled.prices.offered);
        let request = self.request(&operation, &unfilled.dummy_signature, payment, options);
        Ok(paymaster.quotes(&request, tokens).await?)
    }
}

/// The allowance to give, where the one that is there does not do.
///
/// # Errors
/// [`Error::TokenBalanceTooLow`], [`Error::AllowanceTooLow`]; that there is no quote where nothing else says how much.
fn approval(
    wanted: Option<Allowance>,
    by: TokenPayment,
    there: TokenAccount,
    needed: Option<U256>,
) -> Result<Option<U256>, Error> {
    let TokenPayment { token, spender } = by;
    let TokenAccount { balance, allowance: given } = there;
    if let Some(needed) = needed.filter(|needed| balance < *needed) {
        return Err(Error::TokenBalanceTooLow { token, balance, needed });
    }
    let least = needed.unwrap_or(U256::from(1));
    let too_low = |allowance| Err(Error::AllowanceTooLow { token, spender, allowance, needed: least });
    match wanted {
        Some(Allowance::Existing) if given < least => too_low(given),
        Some(Allowance::UpTo(amount)) if amount < least => too_low(amount),
        Some(Allowance::UpTo(amount)) => Ok((given < amount).then_some(amount)),
        None if needed.is_none() => Err(PaymasterError::NoQuotes.into()),
        Some(Allowance::Existing) | None => Ok((given < least).then_some(least)),
    }
}

/// Refuses data that the chain will not take any more; that charges far more than its quote; and that charges more than
/// the account allows, for which the call would be reverted after it was paid for.
pub(crate) fn check_terms(data: &PaymasterData, tokens: Option<TokenTerms>, now: u64) -> Result<(), Error> {
    let Some(terms) = data.terms() else { return Ok(()) };
    check_time(terms.valid_until, now)?;
    let Some((TokenTerms { allowed, quoted }, (token, charged))) = tokens.zip(terms.charge) else {
        return Ok(());
    };
    if let Some(quoted) = quoted
        && charged > quoted.saturating_mul(MOST_QUOTES)
    {
        return Err(PaymasterError::Overcharged { token, quoted, charged }.into());
    }
    if charged > allowed {
        let spender = data.paymaster();
        return Err(Error::AllowanceTooLow { token, spender, allowance: allowed, needed: charged });
    }
    Ok(())
}

/// Refuses what a paymaster signed until a time that is over; both in seconds since 1970, where 0 is no end.
pub(crate) fn check_time(valid_until: u64, now: u64) -> Result<(), Error> {
    if valid_until != 0 && valid_until < now {
        return Err(PaymasterError::Over { valid_until, now }.into());
    }
    Ok(())
}

/// So many times its quote may be charged: it was made before gas was estimated, and before offsets were added.
const MOST_QUOTES: U256 = U256::from_limbs([2, 0, 0, 0]);

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Address = Address::repeat_byte(1);
    const SPENDER: Address = Address::repeat_byte(2);
    const BY: TokenPayment = TokenPayment { token: TOKEN, spender: SPENDER };

    #[test]
    fn an_allowance_is_given_where_the_one_that_is_there_does_not_do() {
        let amount = |value: u64| U256::from(value);
        let up_to = |value| Some(Allowance::UpTo(amount(value)));
        for (wanted, there, needed, expected) in [
            (None, 0, Some(5), Ok(Some(5))),
            (None, 5, Some(5), Ok(None)),
            (None, 4, Some(5), Ok(Some(5))),
            (None, 9, None, Err(())),
            (up_to(50), 0, Some(5), Ok(Some(50))),
            (up_to(50), 20, Some(5), Ok(Some(50))),
            (up_to(50), 60, Some(5), Ok(None)),
            (up_to(4), 60, Some(5), Err(())),
            (up_to(50), 0, None, Ok(Some(50))),
            (Some(Allowance::Existing), 5, Some(5), Ok(None)),
            (Some(Allowance::Existing), 4, Some(5), Err(())),
            (Some(Allowance::Existing), 0, None, Err(())),
        ] {
            let account = TokenAccount { balance: U256::MAX, allowance: amount(there) };
            let given = approval(wanted, BY, account, needed.map(amount));
            assert_eq!(given.map_err(drop), expected.map(|given| given.map(amount)), "{wanted:?} {there}");
        }
    }

    #[test]
    fn the_approval_is_no_part_of_what_the_owner_meant() {
        let transfer = Call::transfer(Address::repeat_byte(9), U256::from(1));
        let one = OwnerCalls { calls: vec![transfer], is_batch: false };
        let paid = one.with_approvals(BY, &[U256::ZERO, U256::from(7)]);
        assert_eq!(OwnerCalls::decode(&paid.encode(), Some(SPENDER)).unwrap(), one);
        let others = OwnerCalls::decode(&paid.encode(), Some(TOKEN)).unwrap();
        assert_eq!(others.calls.len(), 3, "an approval of somebody else is a call like any other");
        let batch = OwnerCalls { is_batch: true, ..one };
        assert_eq!(OwnerCalls::decode(&batch.encode(), Some(SPENDER)).unwrap(), batch);
    }
}
