//! One caveat: what its enforcer is given, and which check that comes to.

use alloy_primitives::U256;

use super::{Judgement, Judgements, amounts, calls, revocation};
use crate::{
    delegation::{
        enforcer::Enforcer,
        execution::{CallType, ExecutionType, SingleExecution},
        reason::{Forbidden, Missing, NotJudged, Reason},
        state::{Charge, CounterKey, Counters},
        typed::{Caveat, CaveatPlace, Delegation},
    },
    operation::call::Call,
};

/// Why a caveat does not allow an execution.
enum Stop {
    Forbids(Reason),
    Lacks(Missing),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Forbids(reason)
    }
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Self {
        Self::Lacks(missing)
    }
}

/// A caveat with what it stands in.
struct Subject<'a> {
    delegation: &'a Delegation<'a>,
    caveat: Caveat<'a>,
    enforcer: Enforcer,
    place: CaveatPlace,
}

impl<C: Counters + ?Sized> Judgements<'_, C> {
    pub(super) fn judge(
        &self,
        delegation: &Delegation<'_>,
        caveat: Caveat<'_>,
        place: CaveatPlace,
    ) -> Judgement {
        let address = caveat.enforcer;
        let Some(enforcer) = self.enforcers.at(address) else {
            return Judgement::NotJudged(NotJudged { place, missing: Missing::Enforcer { address } });
        };
        let subject = Subject { delegation, caveat, enforcer, place };
        match self.check_mode(enforcer).map_err(Stop::from).and_then(|()| self.enforce(&subject)) {
            Ok(charge) => Judgement::Allowed(charge),
            Err(Stop::Forbids(reason)) => Judgement::Forbidden(Forbidden { place, enforcer, reason }),
            Err(Stop::Lacks(missing)) => Judgement::NotJudged(NotJudged { place, missing }),
        }
    }

    fn check_mode(&self, enforcer: Enforcer) -> Result<(), Reason> {
        if self.redemption.mode.call == CallType::Batch && !enforcer.takes_batches() {
            return Err(Reason::CallType);
        }
        match self.redemption.mode.execution {
            ExecutionType::Default => Ok(()),
            ExecutionType::Try => Err(Reason::ExecutionType),
        }
    }

    fn enforce(&self, subject: &Subject<'_>) -> Result<Option<Charge>, Stop> {
        let terms = subject.caveat.terms;
        match subject.enforcer {
            Enforcer::AllowedTargets => calls::allowed_targets(terms, &self.call()?)?,
            Enforcer::AllowedMethods => calls::allowed_methods(terms, &self.call()?)?,
            Enforcer::AllowedCalldata => calls::allowed_call_data(terms, &self.call()?)?,
            Enforcer::ExactCalldata => calls::exact_call_data(terms, &self.call()?)?,
            Enforcer::ValueLte => calls::value_lte(terms, &self.call()?)?,
            Enforcer::Redeemer => calls::redeemer(terms, self.redemption.redeemer)?,
            Enforcer::Timestamp => calls::within(calls::bounds(terms)?, self.state.time)?,
            Enforcer::BlockNumber => {
                let bounds = calls::bounds(terms)?;
                if bounds != calls::UNBOUNDED {
                    calls::within(bounds, self.state.block.ok_or(Missing::Block)?)?;
                }
            }
            Enforcer::Nonce => self.check_nonce(subject)?,
            Enforcer::ApprovalRevocation => self.check_approval(subject)?,
            Enforcer::Id => return self.use_id(subject).map(Some),
            Enforcer::LimitedCalls
            | Enforcer::NativeTokenTransferAmount
            | Enforcer::ERC20TransferAmount
            | Enforcer::NativeTokenPeriodTransfer
            | Enforcer::ERC20PeriodTransfer
            | Enforcer::NativeTokenStreaming
            | Enforcer::ERC20Streaming => return self.charge(subject).map(Some),
        }
        Ok(None)
    }

    fn check_nonce(&self, subject: &Subject<'_>) -> Result<(), Stop> {
        let [demanded] = calls::words(subject.caveat.terms)?;
        let current = self.state.counters.nonce(subject.delegation.delegator).ok_or(Missing::Nonce)?;
        if current == demanded { Ok(()) } else { Err(Reason::Nonce { current, demanded }.into()) }
    }

    fn check_approval(&self, subject: &Subject<'_>) -> Result<(), Stop> {
        let flags = revocation::flags(subject.caveat.terms)?;
        let delegator = subject.delegation.delegator;
        let Some(approval) = revocation::revoked(flags, &self.call()?, delegator)? else { return Ok(()) };
        if self.state.counters.is_approved(&approval).ok_or(Missing::Approval)? {
            Ok(())
        } else {
            Err(Reason::NothingApproved.into())
        }
    }

    fn use_id(&self, subject: &Subject<'_>) -> Result<Charge, Stop> {
        let [id] = calls::words(subject.caveat.terms)?;
        let delegator = subject.delegation.delegator;
        let is_used_before = self
            .before(subject.place)
            .any(|(other, caveat)| caveat == subject.caveat && other.delegator == delegator);
        if is_used_before || self.state.counters.is_id_used(delegator, id).ok_or(Missing::Id)? {
            return Err(Reason::IdUsed { id }.into());
        }
        Ok(Charge::Id { delegator, id })
    }

    /// The caveats that are enforced before that one, with their delegations.
    fn before(&self, place: CaveatPlace) -> impl Iterator<Item = (Delegation<'_>, Caveat<'_>)> {
        let delegations = self.redemption.context.delegations().enumerate().take(place.delegation + 1);
        delegations.flat_map(move |(index, delegation)| {
            let all = if index < place.delegation { usize::MAX } else { place.caveat };
            delegation.caveats.iter().take(all).map(move |caveat| (delegation, caveat))
        })
    }

    fn charge(&self, subject: &Subject<'_>) -> Result<Charge, Stop> {
        let key = CounterKey {
            delegation: self.redemption.hashes.get(subject.place.delegation).copied().unwrap_or_default(),
            address: subject.caveat.enforcer,
            enforcer: subject.enforcer,
        };
        let (counters, time) = (self.state.counters, self.state.time);
        match subject.enforcer {
            Enforcer::NativeTokenPeriodTransfer | Enforcer::ERC20PeriodTransfer => {
                let allowance = counted(subject, counters.period(&key), |terms, allowance| {
                    let (amount, terms) = self.asked(subject.enforcer, terms)?;
                    amounts::transfer_in_period(terms, amount, allowance, time)
                })?;
                Ok(Charge::Period { key, allowance })
            }
            Enforcer::NativeTokenStreaming => {
                let allowance = counted(subject, counters.stream(&key), |terms, allowance| {
                    let value = self.call()?.value;
                    let terms = calls::words(terms)?;
                    amounts::check_stream(&terms)?;
                    amounts::take_from_stream(terms, value, allowance, time)
                })?;
                Ok(Charge::Stream { key, allowance })
            }
            Enforcer::ERC20Streaming => {
                let allowance = counted(subject, counters.stream(&key), |terms, allowance| {
                    let call = self.call()?;
                    let amount = amounts::transferred(&call)?;
                    let (token, terms) = calls::address_and_words(terms)?;
                    amounts::check_stream(&terms)?;
                    amounts::check_transfer(&call, token)?;
                    amounts::take_from_stream(terms, amount, allowance, time)
                })?;
                Ok(Charge::Stream { key, allowance })
            }
            _ => {
                let total = counted(subject, counters.count(&key), |terms, total| match subject.enforcer {
                    Enforcer::LimitedCalls => amounts::count_call(calls::words(terms)?, total),
                    Enforcer::NativeTokenTransferAmount => {
                        let most = calls::first_word(terms)?;
                        amounts::add_amount(most, self.call()?.value, total)
                    }
                    enforcer => {
                        let (amount, [most]) = self.asked(enforcer, terms)?;
                        amounts::add_amount(most, amount, total)
                    }
                })?;
                Ok(Charge::Count { key, total })
            }
        }
    }

    /// The amount of a transfer that is executed, and the numbers of the terms for it.
    fn asked<const N: usize>(&self, enforcer: Enforcer, terms: &[u8]) -> Result<(U256, [U256; N]), Reason> {
        let call = self.call()?;
        if enforcer == Enforcer::NativeTokenPeriodTransfer {
            return Ok((call.value, calls::words(terms)?));
        }
        let amount = amounts::transferred(&call)?;
        let (token, terms) = calls::address_and_words(terms)?;
        amounts::check_transfer(&call, token)?;
        Ok((amount, terms))
    }

    /// The one call that is executed.
    fn call(&self) -> Result<Call<'_>, Reason> {
        let execution = self.redemption.execution;
        let SingleExecution(call) =
            SingleExecution::parse(execution).ok_or(Reason::TooShort { len: execution.len() })?;
        Ok(call)
    }
}

/// What a counter comes to, which every caveat of the enforcer in the delegation has counted up to this one.
///
/// Where it is unknown, it is taken for unused, which forbids nothing that another one would allow.
fn counted<T: Default>(
    subject: &Subject<'_>,
    stored: Option<T>,
    count: impl Fn(&[u8], T) -> Result<T, Reason>,
) -> Result<T, Stop> {
    let is_known = stored.is_some();
    let caveats = subject.delegation.caveats.iter().take(subject.place.caveat + 1);
    let counting = caveats.filter(|caveat| caveat.enforcer == subject.caveat.enforcer);
    let counter = counting
        .into_iter()
        .try_fold(stored.unwrap_or_default(), |counter, caveat| count(caveat.terms, counter))?;
    if is_known { Ok(counter) } else { Err(Missing::Counter.into()) }
}
