//! What a paymaster's service decides, apart from how it is asked to.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256, Bytes, U256};
use quorate_transport::RpcError;

use super::{
    PaymasterFault,
    contract::{Charge, Data, PAYMASTER_ID, POST_OP_GAS, Signer, TOKEN, Terms, tokens},
};
use crate::{
    mempool::{self, error, invalid_fields},
    operation::Operation,
    state::State,
};

/// Gas of `postOp`, which the verification gas limit bounds as well.
const SPONSORED_POST_OP_GAS: u64 = 40_000;
const TOKEN_POST_OP_GAS: u64 = 80_000;
/// How long ago data has expired that should have.
const EXPIRED_FOR: u64 = 60;
/// The end of what the contracts take for a time.
const LAST_SECOND: u64 = (1 << 48) - 1;
/// A paymaster and a token that are none.
const OTHER: Address = Address::repeat_byte(0xfe);

/// How an operation is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payment {
    Sponsored,
    Token(Address),
}

/// A service's settings, and the faults that await its requests.
#[derive(Debug)]
pub(crate) struct Service {
    /// Pre-verification, verification and call gas of estimates.
    pub(crate) gas: [u64; 3],
    /// Smallest units of any token for 10^18 wei.
    pub(crate) tokens_per_ether: U256,
    /// For how long data is good, in seconds.
    pub(crate) lifetime: u64,
    pub(crate) fault: Option<PaymasterFault>,
    pub(crate) once: VecDeque<PaymasterFault>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            gas: mempool::GAS,
            tokens_per_ether: U256::from(2_000) * U256::from(10).pow(U256::from(18)),
            lifetime: 300,
            fault: None,
            once: VecDeque::new(),
        }
    }
}

impl Service {
    /// Whether it refuses the request, whatever it is.
    pub(crate) fn refuse(&mut self) -> Result<(), RpcError> {
        let refusal = match (self.once.front(), &self.fault) {
            (Some(PaymasterFault::Refuse(reason)), _) | (_, Some(PaymasterFault::Refuse(reason))) => {
                refused(reason)
            }
            _ => return Ok(()),
        };
        if matches!(self.once.front(), Some(PaymasterFault::Refuse(_))) {
            self.once.pop_front();
        }
        Err(refusal)
    }

    /// The payment in a token of the chain's.
    pub(crate) fn in_token(state: &State, token: Option<Address>) -> Result<Payment, RpcError> {
        match token {
            None => {
                Err(invalid_fields("ERC20 mode needs the address of a token in tokenInfo.feeTokenAddress"))
            }
            Some(token) if state.rules.tokens.contains(&token) => Ok(Payment::Token(token)),
            Some(token) => Err(invalid_fields(&format!("the token {token} is not supported"))),
        }
    }

    /// What is as long as [`Service::sign`] gives, and passes a simulation up to the signature.
    pub(crate) fn stub(&self, payment: Payment) -> Bytes {
        let terms = match payment {
            Payment::Sponsored => Terms::Sponsored(PAYMASTER_ID),
            Payment::Token(token) => {
                let tokens_per_ether = self.tokens_per_ether;
                Terms::Token(Charge { token, tokens_per_ether, most: U256::MAX })
            }
        };
        let signature = Signer::Stranger.sign(B256::ZERO);
        Data { terms, until: LAST_SECOND, after: 0, signature }.encode(terms.paymaster())
    }

    /// Signs over the operation as it is, for so many seconds, or does what a fault says. Gives the factor by which
    /// the answer names too much gas as well.
    pub(crate) fn sign(
        &mut self,
        state: &State,
        operation: &Operation,
        payment: Payment,
        lifetime: u64,
    ) -> Result<(Bytes, u64), RpcError> {
        let sender = operation.operation.sender;
        let owes = state.history.head().world.get(sender).is_some_and(|holder| !holder.owed.is_empty());
        if owes && payment != Payment::Sponsored {
            return Err(refused(&format!(
                "the account {sender} owes the token paymaster {TOKEN} for an operation whose payment failed"
            )));
        }
        let fault = self.once.pop_front().or_else(|| self.fault.clone());
        if fault == Some(PaymasterFault::Empty) {
            return Ok((Bytes::new(), 1));
        }
        let now = state.next_timestamp();
        let until = match fault {
            Some(PaymasterFault::Expired) => now.saturating_sub(EXPIRED_FOR),
            _ => end(now, lifetime),
        };
        let terms = match payment {
            Payment::Sponsored => Terms::Sponsored(PAYMASTER_ID),
            Payment::Token(token) => {
                let most = self.max_charge(operation);
                let (token, most) = match fault {
                    Some(PaymasterFault::OtherToken) => (other_token(state, token), most),
                    Some(PaymasterFault::HigherCharge) => (token, most.saturating_mul(U256::from(10))),
                    _ => (token, most),
                };
                Terms::Token(Charge { token, tokens_per_ether: self.tokens_per_ether, most })
            }
        };
        let signer = match fault {
            Some(PaymasterFault::WrongSigner) => Signer::Stranger,
            _ => Signer::Service,
        };
        let signature = signer.sign(terms.digest(operation, state.rules.chain_id, until, 0));
        let paymaster = match fault {
            Some(PaymasterFault::OtherPaymaster) => OTHER,
            _ => terms.paymaster(),
        };
        let factor = if fault == Some(PaymasterFault::HigherGas) { 2 } else { 1 };
        Ok((Data { terms, until, after: 0, signature }.encode(paymaster), factor))
    }

    /// The operation with the gas limits of an estimate, and with what `postOp` needs besides.
    pub(crate) fn with_estimated_gas(
        &self,
        state: &State,
        mut operation: Operation,
        payment: Payment,
    ) -> Result<Operation, RpcError> {
        let mut stubbed = operation.clone();
        stubbed.operation.paymaster_and_data = self.stub(payment);
        state.simulate(&stubbed)?;
        let [before, verification, call] = mempool::estimate(self.gas, &operation);
        let post_op = match payment {
            Payment::Sponsored => SPONSORED_POST_OP_GAS,
            Payment::Token(_) => TOKEN_POST_OP_GAS,
        };
        let op = &mut operation.operation;
        op.pre_verification_gas = U256::from(before);
        op.verification_gas_limit = U256::from(verification.saturating_add(post_op));
        op.call_gas_limit = U256::from(call);
        Ok(operation)
    }

    /// The most that the operation can cost, in the smallest units of a token.
    pub(crate) fn max_charge(&self, operation: &Operation) -> U256 {
        let op = &operation.operation;
        let gas = op.verification_gas_limit.saturating_mul(U256::from(3));
        let gas = gas.saturating_add(op.call_gas_limit).saturating_add(op.pre_verification_gas);
        let gas = gas.saturating_add(U256::from(POST_OP_GAS));
        tokens(gas.saturating_mul(op.max_fee_per_gas), self.tokens_per_ether)
    }
}

/// When something ends that is good for so many seconds from `now` on.
pub(crate) fn end(now: u64, lifetime: u64) -> u64 {
    now.saturating_add(lifetime).min(LAST_SECOND)
}

fn other_token(state: &State, token: Address) -> Address {
    state.rules.tokens.iter().copied().find(|other| *other != token).unwrap_or(OTHER)
}

fn refused(reason: &str) -> RpcError {
    error(-32001, reason)
}
