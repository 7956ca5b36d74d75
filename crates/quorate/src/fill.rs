//! Filling an operation in: fees, gas and a paymaster's data, in the order that signatures over them ask for.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use quorate_bundler::{FeeAdvice, Fees, GasEstimate};
use quorate_core::UserOperation;
use quorate_paymaster::{GasLimits, Paymaster, PaymasterRequest, Payment, Stub};
use tokio::time::Instant;

use crate::cost::{self, ExpectedCost, Price, Shape};
use crate::payment::{TokenTerms, check_terms};
use crate::{Error, Options, Quorate};

/// An operation that has its nonce and calls, and what else decides what it costs.
#[derive(Clone, Debug)]
pub(crate) struct Unfilled {
    pub(crate) operation: UserOperation<Vec<u8>>,
    /// A signature of the right form and length.
    pub(crate) dummy_signature: Vec<u8>,
    /// Gas that the real signature's validation takes more than the dummy's.
    pub(crate) gas_beyond_dummy: U256,
    /// What it offers, which stands, and what its cost is compared by.
    pub(crate) prices: Prices,
    /// Sessions that the batched router proves.
    pub(crate) router_entries: usize,
    /// What the operation may be charged in a token, where it is paid in one.
    pub(crate) tokens: Option<TokenTerms>,
    /// The newest block's time, in seconds since 1970.
    pub(crate) now: u64,
}

/// An operation that lacks its signature alone.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    pub(crate) operation: UserOperation<Vec<u8>>,
    pub(crate) expected: ExpectedCost,
}

/// What gas costs: to offer, and to compare by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    pub(crate) offered: Fees,
    pub(crate) price: Price,
}

impl Quorate {
    /// Fills in everything but the signature: fees, the stub of a paymaster, gas, offsets, and when all of these stand
    /// and are within the limits, the paymaster's data.
    ///
    /// # Errors
    /// What the bundler, the node or the paymaster says; [`Error::TooExpensive`], [`Error::NoPaymaster`].
    #[tracing::instrument(level = "debug", skip_all, err(level = "debug"), fields(account = %unfilled.operation.sender))]
    pub(crate) async fn fill(&self, unfilled: Unfilled, options: &Options) -> Result<Filled, Error> {
        let payer = self.payer(options)?;
        let (estimated, expected) = tokio::try_join!(
            self.estimate(&unfilled, options, payer),
            self.expected_cost(&unfilled, payer.is_some()),
        )?;
        let mut gas = gas_of(&estimated.operation);
        gas.verification_gas_limit = gas.verification_gas_limit.saturating_add(unfilled.gas_beyond_dummy);
        let mut operation = options.offset_gas(with_gas(estimated.operation, gas));
        cost::check(&operation, &expected, options.max_cost_factor(), options.max_cost())?;
        if let Some(((paymaster, payment), stub)) = payer.zip(estimated.stub) {
            let is_as_signed = stub.is_final && complete(stub.gas) == Some(gas_of(&operation));
            let data = if is_as_signed {
                stub.data
            } else {
                operation.paymaster_and_data.clear();
                let request = self.request(&operation, &unfilled.dummy_signature, payment, options);
                let data = paymaster.data(&request).await?;
                stub.check(&data)?;
                data
            };
            check_terms(&data, unfilled.tokens, unfilled.now)?;
            operation.paymaster_and_data = data.into();
        }
        Ok(Filled { operation, expected })
    }

    /// Gas by the bundler, or by the paymaster's service where that names all of it.
    async fn estimate(
        &self,
        unfilled: &Unfilled,
        options: &Options,
        payer: Option<Payer<'_>>,
    ) -> Result<Estimated, Error> {
        let mut operation = with_fees(unfilled.operation.clone(), unfilled.prices.offered);
        let Some((paymaster, payment)) = payer else {
            let gas = self.estimate_gas(&operation, unfilled, options).await?;
            return Ok(Estimated { operation: with_gas(operation, gas), stub: None });
        };
        let request = self.request(&operation, &unfilled.dummy_signature, payment, options);
        let stub = paymaster.stub(&request).await?;
        operation.paymaster_and_data = stub.data.as_bytes().to_vec();
        let gas = match complete(stub.gas) {
            Some(gas) => gas,
            None => {
                let mut gas = self.estimate_gas(&operation, unfilled, options).await?;
                // An estimate that ends at the dummy signature does not see what the paymaster does after the call.
                gas.verification_gas_limit = gas.verification_gas_limit.saturating_add(stub.post_op_gas);
                gas
            }
        };
        Ok(Estimated { operation: with_gas(operation, gas), stub: Some(stub) })
    }

    async fn estimate_gas(
        &self,
        operation: &UserOperation<Vec<u8>>,
        unfilled: &Unfilled,
        options: &Options,
    ) -> Result<GasEstimate, Error> {
        let dummy = operation.clone().sign(unfilled.dummy_signature.clone());
        let entry_point = self.deployment.entry_point;
        let state = options.state_override();
        Ok(self.bundler.estimate_user_operation_gas(&dummy, entry_point, state).await?)
    }

    /// What a paymaster is asked about an operation.
    pub(crate) fn request<'a>(
        &self,
        operation: &'a UserOperation<Vec<u8>>,
        dummy_signature: &'a [u8],
        payment: Payment,
        options: &Options,
    ) -> PaymasterRequest<'a> {
        PaymasterRequest {
            operation,
            dummy_signature,
            entry_point: self.deployment.entry_point,
            chain_id: self.chain_id(),
            payment,
            caller_estimates: options.state_override().is_some(),
        }
    }

    /// The paymaster of the options, or the client's.
    pub(crate) fn paymaster<'a>(&'a self, options: &'a Options) -> Result<&'a Arc<dyn Paymaster>, Error> {
        options.paymaster().or(self.paymaster.as_ref()).ok_or(Error::NoPaymaster)
    }

    /// The payer that the options name; none where the account pays.
    fn payer<'a>(&'a self, options: &'a Options) -> Result<Option<Payer<'a>>, Error> {
        options.payment().map(|payment| Ok((self.paymaster(options)?, payment))).transpose()
    }

    /// What the operation should cost, without a word of the bundler's or the paymaster's.
    async fn expected_cost(&self, unfilled: &Unfilled, has_paymaster: bool) -> Result<ExpectedCost, Error> {
        let operation = &unfilled.operation;
        let signature_len = unfilled.dummy_signature.len();
        let shape = Shape::of(operation, signature_len, unfilled.router_entries, has_paymaster);
        let (call_gas, data_fee) = tokio::try_join!(
            self.chain.call_gas(operation.sender, &operation.call_data, !operation.init_code.is_empty()),
            self.chain.data_fee(operation.sender, &operation.call_data, shape.encoded_len),
        )?;
        Ok(ExpectedCost {
            call_gas,
            verification_gas: shape.verification_gas(),
            pre_verification_gas: shape.pre_verification_gas(),
            fee_per_gas: unfilled.prices.price.expected(),
            data_fee,
        })
    }

    /// The fees to offer, by the options, the bundler's dialect or the node, and the node's price to compare by: one round
    /// trip.
    pub(crate) async fn prices(&self, options: &Options) -> Result<Prices, Error> {
        let advice = async {
            match options.fees() {
                Some(fees) => Ok(Some(FeeAdvice::Fees(fees))),
                None => Ok::<_, Error>(self.bundler.fees().await?),
            }
        };
        let (advice, price) = tokio::try_join!(advice, self.read_price())?;
        let fees = match advice {
            Some(FeeAdvice::Fees(fees)) => fees,
            Some(FeeAdvice::Priority(tip)) => price.fees_with_tip(tip),
            _ => price.fees(),
        };
        Ok(Prices { offered: options.offset_fees(fees), price })
    }

    /// The price of gas of the last few seconds, so that a draft that is sent at once costs no further round trip.
    pub(crate) async fn recent_price(&self) -> Result<Price, Error> {
        let known = *self.shared.price.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some((read, price)) if read.elapsed() < RECENT => Ok(price),
            _ => self.read_price().await,
        }
    }

    async fn read_price(&self) -> Result<Price, Error> {
        let price = self.chain.price().await?;
        *self.shared.price.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), price));
        Ok(price)
    }
}

/// A base fee doubles in six blocks at the soonest.
const RECENT: Duration = Duration::from_secs(10);

/// Who pays instead of the account, and what is taken for it.
type Payer<'a> = (&'a Arc<dyn Paymaster>, Payment);

struct Estimated {
    operation: UserOperation<Vec<u8>>,
    stub: Option<Stub>,
}

fn complete(gas: GasLimits) -> Option<GasEstimate> {
    Some(GasEstimate {
        pre_verification_gas: gas.pre_verification_gas?,
        verification_gas_limit: gas.verification_gas_limit?,
        call_gas_limit: gas.call_gas_limit?,
    })
}

pub(crate) fn gas_of(operation: &UserOperation<Vec<u8>>) -> GasEstimate {
    GasEstimate {
        pre_verification_gas: operation.pre_verification_gas,
        verification_gas_limit: operation.verification_gas_limit,
        call_gas_limit: operation.call_gas_limit,
    }
}

pub(crate) fn fees_of(operation: &UserOperation<Vec<u8>>) -> Fees {
    Fees {
        max_fee_per_gas: operation.max_fee_per_gas,
        max_priority_fee_per_gas: operation.max_priority_fee_per_gas,
    }
}

pub(crate) fn with_fees(mut operation: UserOperation<Vec<u8>>, fees: Fees) -> UserOperation<Vec<u8>> {
    operation.max_fee_per_gas = fees.max_fee_per_gas;
    operation.max_priority_fee_per_gas = fees.max_priority_fee_per_gas;
    operation
}

pub(crate) fn with_gas(mut operation: UserOperation<Vec<u8>>, gas: GasEstimate) -> UserOperation<Vec<u8>> {
    operation.pre_verification_gas = gas.pre_verification_gas;
    operation.verification_gas_limit = gas.verification_gas_limit;
    operation.call_gas_limit = gas.call_gas_limit;
    operation
}

/// An operation of an account without fees, gas, paymaster and signature.
pub(crate) fn unsigned(sender: Address, nonce: U256, call_data: Vec<u8>) -> UserOperation<Vec<u8>> {
    UserOperation {
        sender,
        nonce,
        init_code: Vec::new(),
        call_data,
        call_gas_limit: U256::ZERO,
        verification_gas_limit: U256::ZERO,
        pre_verification_gas: U256::ZERO,
        max_fee_per_gas: U256::ZERO,
        max_priority_fee_per_gas: U256::ZERO,
        paymaster_and_data: Vec::new(),
    }
}
