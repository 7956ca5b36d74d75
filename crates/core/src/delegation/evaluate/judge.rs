//! One caveat: what its enforcer is given, and which check that comes to.

use alloy_primitives::U256;

use super::{Judgement, Judgements, amounts, calls, revocation};
use crate::{
    abi::WORD,
    delegation::{
        enforcer::Enforcer,
        execution::{CallType, ExecutionType, SingleExecution},
        reason::{Forbidden, Missing, NotJudged, Reason},
        state::{Charge, Counter, CounterKey, Counters},
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

    #[inline(never)]
    fn enforce(&self, subject: &Subject<'_>) -> Result<Option<Charge>, Stop> {
        let terms = subject.caveat.terms;
        match subject.enforcer {
            Enforcer::AllowedTargets
            | Enforcer::AllowedMethods
            | Enforcer::AllowedCalldata
            | Enforcer::ExactCalldata
            | Enforcer::ValueLte => calls::compare(subject.enforcer, terms, &self.call()?)?,
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
        let demanded = calls::only_number(subject.caveat.terms)?;
        let current = self.state.counters.nonce(subject.delegation.delegator).ok_or(Missing::Nonce)?;
        if current == demanded { Ok(()) } else { Err(Reason::Nonce.into()) }
    }

    #[inline(never)]
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

    #[inline(never)]
    fn use_id(&self, subject: &Subject<'_>) -> Result<Charge, Stop> {
        let id = calls::only_number(subject.caveat.terms)?;
        let delegator = subject.delegation.delegator;
        let is_used_before = self.is_before(subject);
        if is_used_before || self.state.counters.is_id_used(delegator, id).ok_or(Missing::Id)? {
            return Err(Reason::IdUsed.into());
        }
        Ok(Charge::Id { delegator, id })
    }

    /// Whether the same caveat of the same delegator was enforced before.
    fn is_before(&self, subject: &Subject<'_>) -> bool {
        for (index, delegation) in self.redemption.context.delegations().enumerate() {
            for (caveat_index, caveat) in delegation.caveats.iter().enumerate() {
                if (CaveatPlace { delegation: index, caveat: caveat_index }) == subject.place {
                    return false;
                }
                if caveat == subject.caveat && delegation.delegator == subject.delegation.delegator {
                    return true;
                }
            }
        }
        false
    }

    /// What a counter comes to, which every caveat of the enforcer in the delegation has counted up to this one.
    ///
    /// Where it is unknown, it is taken for unused, which forbids nothing that another one would allow.
    #[inline(never)]
    fn charge(&self, subject: &Subject<'_>) -> Result<Charge, Stop> {
        let key = CounterKey {
            delegation: self.redemption.hashes.get(subject.place.delegation).copied().unwrap_or_default(),
            address: subject.caveat.enforcer,
            enforcer: subject.enforcer,
        };
        let (mut counter, is_known) = self.stored(&key);
        let caveats = subject.delegation.caveats.iter().take(subject.place.caveat + 1);
        for caveat in caveats.filter(|caveat| caveat.enforcer == key.address) {
            self.count(subject.enforcer, caveat.terms, &mut counter)?;
        }
        if is_known { Ok(Charge::Counter { key, counter }) } else { Err(Missing::Counter.into()) }
    }

    /// What a counter was, and whether that is known.
    fn stored(&self, key: &CounterKey) -> (Counter, bool) {
        let counters = self.state.counters;
        match key.enforcer {
            Enforcer::NativeTokenPeriodTransfer | Enforcer::ERC20PeriodTransfer => {
                let stored = counters.period(key);
                (Counter::Period(stored.unwrap_or_default()), stored.is_some())
            }
            Enforcer::NativeTokenStreaming | Enforcer::ERC20Streaming => {
                let stored = counters.stream(key);
                (Counter::Stream(stored.unwrap_or_default()), stored.is_some())
            }
            _ => {
                let stored = counters.count(key);
                (Counter::Count(stored.unwrap_or_default()), stored.is_some())
            }
        }
    }

    #[inline(never)]
    fn count(&self, enforcer: Enforcer, terms: &[u8], counter: &mut Counter) -> Result<(), Reason> {
        let time = self.state.time;
        match counter {
            Counter::Count(total) if enforcer == Enforcer::LimitedCalls => {
                amounts::add(total, U256::from(1), calls::only_number(terms)?, Reason::Calls)
            }
            Counter::Count(total) => {
                let (amount, terms) = self.transfer(enforcer, terms, 1)?;
                amounts::add(total, amount, calls::number(terms, 0), Reason::Allowance)
            }
            Counter::Period(allowance) => {
                let (amount, terms) = self.transfer(enforcer, terms, 3)?;
                amounts::transfer_in_period(terms, amount, allowance, time)
            }
            Counter::Stream(allowance) => {
                let (amount, terms) = self.transfer(enforcer, terms, 4)?;
                amounts::take_from_stream(terms, amount, allowance, time)
            }
        }
    }

    /// The amount that is transferred, and the numbers of the terms for it, of which there are so many.
    fn transfer<'t>(
        &self,
        enforcer: Enforcer,
        terms: &'t [u8],
        numbers: usize,
    ) -> Result<(U256, &'t [u8]), Reason> {
        let call = self.call()?;
        let (token, amount) = match enforcer {
            Enforcer::NativeTokenTransferAmount if terms.len() >= WORD => return Ok((call.value, terms)),
            Enforcer::NativeTokenTransferAmount => return Err(Reason::TooShort),
            Enforcer::NativeTokenPeriodTransfer | Enforcer::NativeTokenStreaming => (None, call.value),
            _ => {
                let amount = amounts::transferred(&call)?;
                (Some(terms.first_chunk::<20>().ok_or(Reason::TermsLength)?), amount)
            }
        };
        let terms = terms.get(token.map_or(0, |token| token.len())..).unwrap_or_default();
        if terms.len() != numbers * WORD {
            return Err(Reason::TermsLength);
        }
        if matches!(enforcer, Enforcer::NativeTokenStreaming | Enforcer::ERC20Streaming) {
            amounts::check_stream(terms)?;
        }
        if let Some(token) = token {
            amounts::check_transfer(&call, token)?;
        }
        Ok((amount, terms))
    }

    /// The one call that is executed.
    fn call(&self) -> Result<Call<'_>, Reason> {
        let SingleExecution(call) =
            SingleExecution::parse(self.redemption.execution).ok_or(Reason::TooShort)?;
        Ok(call)
    }
}
