//! Which policies are permissions that a wallet grants by itself.

use std::num::NonZeroU64;

use alloy_primitives::Address;
use quorate_core::{Condition, FunctionSelector, Policy};
use quorate_protocol::{ArgumentLimit, Limits};

use crate::{Asset, PermissionRequest, Spending};

/// Why a wallet cannot be asked for policies: no type of permission (ERC-7715) is like them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "wallets grant one allowance, period or stream of coin or of a token, and {reason}; the owner's own key can delegate it"
)]
pub struct NotOfWallets {
    /// What is different.
    pub reason: String,
}

impl NotOfWallets {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl PermissionRequest {
    /// The request whose grant allows what policies allow, and the limits that are left to the network's nodes: for one policy of
    /// a token's `transfer(address,uint256)`, of which an amount in all or in each period is limited.
    ///
    /// The wallet may grant less.
    ///
    /// ```
    /// use std::num::NonZeroU64;
    ///
    /// use quorate_core::{Address, Policy, U256};
    /// use quorate_delegation::PermissionRequest;
    /// use quorate_protocol::{ArgumentLimit, Limits};
    ///
    /// let [owner, key, usdc] = [1, 2, 3].map(Address::repeat_byte);
    /// let pay = Policy::new(usdc, "transfer(address,uint256)".parse()?);
    /// let daily = ArgumentLimit {
    ///     contract: usdc,
    ///     selector: pay.selector().as_bytes().into(),
    ///     offset: 32,
    ///     total: U256::from(5_000_000),
    ///     seconds: NonZeroU64::new(86_400),
    /// };
    /// let limits = Limits { uses: Some(9), arguments: vec![daily], ..Limits::default() };
    /// let chain = NonZeroU64::new(8453).unwrap();
    /// let (request, left) = PermissionRequest::of_policies(chain, owner, key, &[pay], &limits)?;
    /// assert_eq!(request.type_name(), "erc20-token-periodic");
    /// assert_eq!(left, Limits { uses: Some(9), ..Limits::default() });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NotOfWallets`] says what no wallet could grant.
    pub fn of_policies(
        chain_id: NonZeroU64,
        from: Address,
        to: Address,
        policies: &[Policy],
        limits: &Limits,
    ) -> Result<(Self, Limits), NotOfWallets> {
        let [policy] = policies else {
            return Err(NotOfWallets::new(format!("these are {} policies", policies.len())));
        };
        if policy.selector() != TRANSFER {
            return Err(NotOfWallets::new(format!("this calls {}", policy.selector())));
        }
        if policy.value_limit() != 0 {
            return Err(NotOfWallets::new("these transfers of a token send coin along"));
        }
        let (spending, limits) = spending(policy, limits)?;
        let epoch = policy.epoch();
        // Both ends of an epoch belong to it; that of an expiry does not.
        let until = Some(epoch.valid_until()).filter(|until| *until != 0).map(|until| until + 1);
        let payees = payee(policy)?.into_iter().collect();
        let from = Some(from);
        let request = Self::new(chain_id, to, Asset::Erc20(policy.contract()), spending);
        Ok((Self { from, until, payees, ..request }, limits))
    }
}

/// The only payee, where a rule says that it is.
fn payee(policy: &Policy) -> Result<Option<Address>, NotOfWallets> {
    match policy.rules() {
        [] => Ok(None),
        [rule] if rule.offset() == TO && rule.condition() == Condition::Equal => {
            let (word, payee) = (rule.reference().word(), Address::from_word(rule.reference().word()));
            match payee.into_word() == word {
                true => Ok(Some(payee)),
                false => Err(NotOfWallets::new("its recipient is no address")),
            }
        }
        [rule, ..] if rule.offset() == AMOUNT => {
            Err(NotOfWallets::new("this bounds the amount of each transfer instead of all of them"))
        }
        _ => Err(NotOfWallets::new("these rules are more than one payee")),
    }
}

/// The one amount that is limited.
fn spending(policy: &Policy, limits: &Limits) -> Result<(Spending, Limits), NotOfWallets> {
    let is_amount = |limit: &ArgumentLimit| limit.is_of_transfers(policy.contract());
    let (amounts, arguments): (Vec<_>, Vec<_>) = limits.arguments.iter().copied().partition(is_amount);
    let start = Some(policy.epoch().valid_after()).filter(|start| *start != 0);
    let spending = match amounts[..] {
        [ArgumentLimit { total, seconds: None, .. }] => Spending::Allowance { amount: total, start },
        [ArgumentLimit { total, seconds: Some(seconds), .. }] => {
            Spending::Periodic { amount: total, duration: seconds, start }
        }
        [] => return Err(NotOfWallets::new("this limits no amount, in all or in each period")),
        _ => return Err(NotOfWallets::new("this limits several amounts")),
    };
    Ok((spending, Limits { arguments, ..limits.clone() }))
}

/// `transfer(address,uint256)`, and where its arguments stand.
const TRANSFER: FunctionSelector = FunctionSelector::new([0xa9, 0x05, 0x9c, 0xbb]);
const TO: u16 = 0;
const AMOUNT: u16 = 32;

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use quorate_core::Rule;

    use super::*;

    const USDC: Address = Address::repeat_byte(3);

    fn pay() -> Policy {
        Policy::new(USDC, TRANSFER)
    }

    fn limit(total: u64, seconds: Option<NonZeroU64>) -> ArgumentLimit {
        let (selector, total) = (TRANSFER.as_bytes().into(), U256::from(total));
        ArgumentLimit { contract: USDC, selector, offset: AMOUNT, total, seconds }
    }

    fn ask(policies: &[Policy], arguments: Vec<ArgumentLimit>) -> Result<PermissionRequest, NotOfWallets> {
        let limits = Limits { arguments, ..Limits::default() };
        let [owner, key] = [1, 2].map(Address::repeat_byte);
        let (request, left) = PermissionRequest::of_policies(NonZeroU64::MIN, owner, key, policies, &limits)?;
        assert_eq!(left, Limits::default());
        Ok(request)
    }

    #[test]
    fn totals_are_allowances_and_an_equal_recipient_is_the_payee() {
        let to = Rule::new(TO, Condition::Equal, Address::repeat_byte(9));
        let epoch = quorate_core::SessionEpoch::new(0, 1_900_000_000).unwrap();
        let policy = pay().with_rule(to).unwrap().with_epoch(epoch);
        let request = ask(&[policy], vec![limit(25, None)]).unwrap();
        assert_eq!(request.spending, Spending::Allowance { amount: U256::from(25), start: None });
        assert_eq!((request.payees, request.until), (vec![Address::repeat_byte(9)], Some(1_900_000_001)));
    }

    #[test]
    fn what_no_wallet_grants_is_named() {
        let reason = |policies: &[Policy], arguments| ask(policies, arguments).unwrap_err().reason;
        let all = || vec![limit(25, None)];
        assert_eq!(reason(&[pay(), pay()], all()), "these are 2 policies");
        let mint = Policy::new(USDC, FunctionSelector::new([0x40, 0xd0, 0x97, 0xc3]));
        assert_eq!(reason(&[mint], all()), "this calls 0x40d097c3");
        assert_eq!(reason(&[pay()], vec![]), "this limits no amount, in all or in each period");
        let two = vec![limit(25, None), limit(5, NonZeroU64::new(60))];
        assert_eq!(reason(&[pay()], two), "this limits several amounts");
        let each = pay().with_rule(Rule::new(AMOUNT, Condition::LessThanOrEqual, U256::from(1))).unwrap();
        assert_eq!(reason(&[each], all()), "this bounds the amount of each transfer instead of all of them");
        let not = pay().with_rule(Rule::new(TO, Condition::NotEqual, USDC)).unwrap();
        assert_eq!(reason(&[not], all()), "these rules are more than one payee");
        assert_eq!(reason(&[pay().with_value_limit(1)], all()), "these transfers of a token send coin along");
    }
}
