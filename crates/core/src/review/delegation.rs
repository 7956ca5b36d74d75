//! What an owner signs to let a key act for their account (ERC-7710), from the delegation itself.

use alloy_primitives::{Address, B256, U256};

use super::{
    function::Subject,
    item::{NotShown, Show, Value},
    items::{self, Items},
    label::Label,
    sessions::show_contract,
};
use crate::{
    abi::{WORD, known_function::KnownFunction, selector::FunctionSelector},
    delegation::{
        Caveat, Delegation, DelegationLint, Enforcers, MANAGER_V1_3_0, MAX_CAVEATS, MAX_TERMS, Terms,
    },
    lint::severity::Severity,
    policy::{condition::Condition, epoch::SessionEpoch},
    texts,
    trusted::TrustedContext,
};

/// The manager under which a delegation is signed, and the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegationDomain {
    /// The chain's id.
    pub chain_id: u64,
    /// The manager.
    pub manager: Address,
}

/// The review of delegations: what most owners would not sign, then each caveat, then what is signed.
///
/// It is of the delegation that is signed, to its last bit: nothing of it can change without a change of what is shown.
///
/// ```
/// use quorate_core::delegation::*;
/// use quorate_core::{Address, DelegationDomain, DelegationReview, Text, TrustedContext, U256};
///
/// let [owner, key, nft] = [1, 2, 3].map(Address::repeat_byte);
/// let twice = U256::from(2).to_be_bytes::<32>();
/// let caveat = |enforcer: Enforcer, terms| Caveat { enforcer: enforcer.address_v1_3_0(), terms };
/// let caveats =
///     [caveat(Enforcer::AllowedTargets, nft.as_slice()), caveat(Enforcer::LimitedCalls, &twice)];
/// let delegation = Delegation {
///     delegate: key,
///     delegator: owner,
///     authority: ROOT_AUTHORITY,
///     caveats: Caveats::from(&caveats[..]),
///     salt: U256::ZERO,
///     signature: &[],
/// };
/// let domain = DelegationDomain { chain_id: 8453, manager: MANAGER_V1_3_0 };
/// let mut lines = String::new();
/// let mut review = DelegationReview::new(TrustedContext::CANONICAL, Text(&mut lines));
/// let digest = review.review(domain, &delegation)?;
/// assert_eq!(digest, delegation.signing_digest(8453, MANAGER_V1_3_0));
/// assert!(lines.contains(&format!("may call {nft}")));
/// assert!(lines.contains("used at most so many times: 2"));
/// assert!(lines.contains("DANGER: it may call any function"));
/// # Ok::<(), quorate_core::DelegationReviewError>(())
/// ```
#[derive(Debug)]
pub struct DelegationReview<'a, S> {
    trusted: TrustedContext<'a>,
    manager: Address,
    enforcers: Enforcers<'a>,
    show: S,
}

/// Why a delegation is not signed. Caveats are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationReviewError {
    /// An item was not shown.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// More caveats than a context may have.
    TooManyCaveats {
        /// How many.
        found: usize,
    },
    /// Terms that are longer than those of a context may be, or that their enforcer does not read.
    Terms {
        /// Which caveat.
        caveat: usize,
    },
}

texts!(DelegationReviewError {
    NotShown(error) => "{}",
    TooManyCaveats { found } => "{} caveats are more than are read here",
    Terms { caveat } => "the terms of caveat {} cannot be read: nothing could ever be redeemed",
});

impl<'a, S: Show> DelegationReview<'a, S> {
    /// Reviews by version 1.3.0 of the framework.
    pub const fn new(trusted: TrustedContext<'a>, show: S) -> Self {
        Self { trusted, manager: MANAGER_V1_3_0, enforcers: Enforcers::V1_3_0, show }
    }

    /// Reviews by another deployment: its manager, and which contracts are which enforcers.
    #[must_use]
    pub const fn with_deployment(mut self, manager: Address, enforcers: Enforcers<'a>) -> Self {
        (self.manager, self.enforcers) = (manager, enforcers);
        self
    }

    /// Shows a delegation, and gives the digest to sign if the items are approved. Its signature is not looked at.
    ///
    /// # Errors
    /// Caveats that cannot be read, and an item that was not shown.
    pub fn review(
        &mut self,
        domain: DelegationDomain,
        delegation: &Delegation<'_>,
    ) -> Result<B256, DelegationReviewError> {
        let Self { trusted, manager, enforcers, show } = self;
        let view = View { trusted, manager: *manager, enforcers, domain, delegation };
        items::step(show, &mut |items| view.show(items))?;
        Ok(view.digest())
    }

    /// Where the items go.
    pub const fn display(&mut self) -> &mut S {
        &mut self.show
    }
}

/// One delegation, and who reviews it.
struct View<'v> {
    trusted: &'v TrustedContext<'v>,
    manager: Address,
    enforcers: &'v Enforcers<'v>,
    domain: DelegationDomain,
    delegation: &'v Delegation<'v>,
}

impl View<'_> {
    fn digest(&self) -> B256 {
        self.delegation.signing_digest(self.domain.chain_id, self.domain.manager)
    }

    fn show(&self, items: &mut Items<'_>) -> Result<(), DelegationReviewError> {
        let Delegation { delegate, delegator, authority, caveats, salt, .. } = self.delegation;
        let found = caveats.len();
        if found > MAX_CAVEATS {
            return Err(DelegationReviewError::TooManyCaveats { found });
        }
        items.address(Label::Delegator, delegator);
        items.number(Label::Chain, &U256::from(self.domain.chain_id));
        let manager = &self.domain.manager;
        if *manager == self.manager {
            items.address(Label::DelegationManager, manager);
        } else {
            items.with_severity(Severity::Danger).address(Label::UnknownManager, manager);
        }
        items.address(Label::DelegateKey, delegate);
        if !self.delegation.is_root() {
            items.hash(Label::PassesOn, authority);
        }
        items.put(Label::Salt, Value::Hex(salt));
        self.delegation.lint(self.enforcers, &mut |lint| {
            // It is said where it stands.
            if !matches!(lint, DelegationLint::UnknownEnforcer { .. }) {
                items.with_severity(lint.level()).put(Label::Lint, Value::Reason(&lint));
            }
        });
        for (place, caveat) in caveats.iter().enumerate() {
            items.put(Label::Caveat, Value::Place { number: place + 1, of: Some(found) });
            self.show_caveat(items, place, &caveat)?;
        }
        items.hash(Label::DelegationHash, &self.delegation.hash());
        items.hash(Label::Hash, &self.digest());
        Ok(())
    }

    fn show_caveat(
        &self,
        items: &mut Items<'_>,
        place: usize,
        caveat: &Caveat<'_>,
    ) -> Result<(), DelegationReviewError> {
        let unreadable = DelegationReviewError::Terms { caveat: place };
        if caveat.terms.len() > MAX_TERMS {
            return Err(unreadable);
        }
        if self.enforcers.at(caveat.enforcer).is_none() {
            items.with_severity(Severity::Danger).address(Label::UnknownCaveat, &caveat.enforcer);
            items.bytes(Label::UnknownTerms, caveat.terms);
            return Ok(());
        }
        match Terms::of(caveat, self.enforcers).ok_or(unreadable)? {
            Terms::Targets(contracts) => {
                for contract in contracts {
                    self.show_target(items, contract.into());
                }
            }
            Terms::Methods(functions) => {
                for function in functions {
                    let selector = FunctionSelector::new(*function);
                    items.function(Label::Function, selector, self.trusted.function(selector));
                }
            }
            Terms::CallData { start, bytes } => self.show_call_data(items, start, bytes),
            Terms::ExactCallData([]) => items.label(Label::SendsOnly),
            Terms::ExactCallData(data) => {
                if let Some(selector) = data.first_chunk() {
                    let selector = FunctionSelector::new(*selector);
                    items.function(Label::Function, selector, self.trusted.function(selector));
                }
                items.bytes(Label::ExactData, data);
            }
            Terms::Value { limit } => items.coin(Label::ValueLimit, &limit),
            Terms::Times { after, before } => show_times(items, after, before),
            Terms::Blocks { after, before } => {
                for (label, block) in [(Label::AfterBlock, after), (Label::BeforeBlock, before)] {
                    if block != 0 {
                        items.number(label, &U256::from(block));
                    }
                }
            }
            Terms::Calls { limit } => items.number(Label::RedeemedAtMost, &limit),
            Terms::Total { token: None, limit } => items.coin(Label::CoinInAll, &limit),
            Terms::Total { token: Some(token), limit } => {
                items.address(Label::TransfersToken, &token);
                items.number(Label::TokenInAll, &limit);
            }
            Terms::Period { token, amount, duration, start } => {
                match token {
                    None => items.coin(Label::CoinInPeriod, &amount),
                    Some(token) => {
                        items.address(Label::TransfersToken, &token);
                        items.number(Label::TokenInPeriod, &amount);
                    }
                }
                items.number(Label::PeriodSeconds, &duration);
                show_time(items, Label::CountedFrom, start);
            }
            Terms::Stream { token, initial, max, per_second, start } => {
                match token {
                    None => {
                        items.coin(Label::CoinAtOnce, &initial);
                        items.coin(Label::CoinPerSecond, &per_second);
                        items.coin(Label::CoinOfStream, &max);
                    }
                    Some(token) => {
                        items.address(Label::TransfersToken, &token);
                        items.number(Label::TokenAtOnce, &initial);
                        items.number(Label::TokenPerSecond, &per_second);
                        items.number(Label::TokenInAll, &max);
                    }
                }
                show_time(items, Label::CountedFrom, start);
            }
            Terms::Redeemers(redeemers) => {
                redeemers.iter().for_each(|redeemer| items.address(Label::Redeemer, &redeemer.into()));
            }
            Terms::Nonce(nonce) => items.number(Label::WhileNonce, &nonce),
            Terms::Id(id) => items.number(Label::UsesId, &id),
            Terms::Revocations(kinds) => items.put(Label::Revocations, Value::Hex(&U256::from(kinds))),
        }
        Ok(())
    }

    /// A contract that may be called, and whether that may change who controls the account.
    fn show_target(&self, items: &mut Items<'_>, contract: Address) {
        show_contract(items, self.trusted, self.delegation.delegator, Label::AllowedContract, contract);
        if contract == self.domain.manager || self.enforcers.at(contract).is_some() {
            items.with_severity(Severity::Danger).address(Label::ControlsAccount, &contract);
        }
    }

    /// Bytes of the call data: an argument, where they are a word of the arguments.
    fn show_call_data(&self, items: &mut Items<'_>, start: U256, bytes: &[u8]) {
        let offset = start.checked_sub(U256::from(SELECTOR)).and_then(|offset| usize::try_from(offset).ok());
        if let (Some(offset), Ok(word)) = (offset, <[u8; WORD]>::try_from(bytes)) {
            let subject = Subject::new(self.only_function(), offset);
            let (condition, reference) = (Condition::Equal, B256::from(word));
            return items.put(Label::Rule, Value::Rule { subject, condition, reference: &reference });
        }
        items.number(Label::CallDataAt, &start);
        match bytes.len() {
            len @ ..=WORD => {
                items.number(Label::CallDataLen, &U256::from(len));
                items.put(Label::CallDataWord, Value::Hex(&U256::from_be_slice(bytes)));
            }
            _ => items.bytes(Label::CallDataBytes, bytes),
        }
    }

    /// The function whose arguments a caveat looks at, where only one is allowed.
    fn only_function(&self) -> Option<&KnownFunction<'_>> {
        let mut terms = self.delegation.caveats.iter().map(|caveat| Terms::of(&caveat, self.enforcers));
        terms.find_map(|terms| match terms {
            Some(Terms::Methods([function])) => self.trusted.function(FunctionSelector::new(*function)),
            _ => None,
        })
    }
}

/// Both ends of a caveat are exclusive, those that are shown are not.
fn show_times(items: &mut Items<'_>, after: u128, before: u128) {
    if after != 0 {
        show_time(items, Label::From, U256::from(after) + U256::ONE);
    }
    if before != 0 {
        show_time(items, Label::Until, U256::from(before - 1));
    }
}

/// A time that the chain may reach, or else the number.
fn show_time(items: &mut Items<'_>, label: Label, time: U256) {
    match u64::try_from(time) {
        Ok(seconds @ ..=SessionEpoch::MAX_TIME) => items.put(label, Value::Time(seconds)),
        _ => items.number(label, &time),
    }
}

/// The bytes of a selector.
const SELECTOR: u64 = 4;
