//! User operations of an account that the key owns, at EntryPoint v0.7.

use alloy_primitives::{Address, B256, U256, hex};
use alloy_sol_types::sol;
use async_trait::async_trait;
use quorate_bundler::{
    Bundler, BundlerError, EntryPointCode, FeeAdvice, SendOutcome, SignedOperation as _,
    SignedPackedOperation,
};
use quorate_core::{EntryPointVersion, Initialization, UnpackedUserOperation};
use quorate_paymaster::Erc7677;
use quorate_protocol::{AccountOperation, Subject};

use super::carrier::{Carrier, Fees, Gas, Quote, Sending};
use super::signed::Signed;
use super::{GAS, RedeemError};
use crate::HybridAccount;
use crate::chain::{Chain, Receipt};

sol! {
    interface EntryPoint {
        function getNonce(address sender, uint192 key) external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
    }
}

/// User operations of a key's account, which hands what it is called with on to its manager.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) chain: Chain,
    pub(super) bundler: Bundler,
    pub(super) paymaster: Option<Erc7677>,
    pub(super) chain_id: u64,
    pub(super) account: HybridAccount,
    pub(super) manager: Address,
}

/// A signature of the right form, for estimates.
const DUMMY_SIGNATURE: [u8; 65] = hex!(
    "fffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c"
);

/// A stream that nothing is sent in.
const UNUSED_STREAM: u64 = u64::MAX;

#[async_trait]
impl Carrier for Operations {
    fn caller(&self) -> Address {
        self.account.address()
    }

    fn subject(&self, sending: &Sending) -> Subject {
        Subject::AccountOperation(self.operation(sending))
    }

    /// A paymaster signs over all that the key signs, with the nonce.
    async fn complete(&self, sending: &Sending) -> Result<Sending, RedeemError> {
        let (Some(service), Some(stub)) = (&self.paymaster, &sending.paymaster) else {
            return Ok(sending.clone());
        };
        let operation = self.operation(sending).operation;
        let paymaster = service.packed_data(&operation, stub, self.chain_id).await?;
        Ok(Sending { paymaster: Some(paymaster), ..sending.clone() })
    }

    async fn quote(&self, data: &[u8]) -> Result<Quote, RedeemError> {
        let account = self.account.address();
        let (chain_price, advice, reverts, balance, deposit, code) = tokio::try_join!(
            async { Ok(self.chain.price().await?) },
            async { Ok(self.bundler.fees().await?) },
            async { Ok(self.chain.gas(account, self.manager, data).await?.err()) },
            async { Ok(self.chain.balance(account).await?) },
            self.chain.read(ENTRY_POINT, EntryPoint::balanceOfCall { account }),
            async { Ok(self.chain.code(account).await?) },
        )?;
        let (price, fees) = match advice {
            Some(FeeAdvice::Fees(fees)) => {
                let fee = fees.max_fee_per_gas.saturating_to();
                (fee, Fees { fee, tip: fees.max_priority_fee_per_gas.saturating_to() })
            }
            Some(FeeAdvice::Priority(tip)) => at(chain_price.base, tip.saturating_to()),
            None => at(chain_price.base, chain_price.tip),
        };
        let deploys = code.is_empty();
        // In a stream that nothing is sent in: the first operation of a stream takes the most gas.
        let nonce = U256::from(UNUSED_STREAM) << 64;
        let mut sending =
            Sending { nonce, data: data.to_vec(), gas: Gas::default(), fees, deploys, paymaster: None };
        let gas = match reverts {
            Some(revert) => Err(revert),
            None => Ok(self.estimate(&mut sending).await?),
        };
        let balance = balance.saturating_add(deposit);
        Ok(Quote { price, fees, gas, balance, deploys, paymaster: sending.paymaster })
    }

    /// Each stream has an order of its own, so that no operation waits for another.
    async fn nonce(&self, preference: u64) -> Result<U256, RedeemError> {
        self.next_in(U256::from(preference)).await
    }

    async fn is_used(&self, nonce: U256) -> Result<bool, RedeemError> {
        Ok(nonce < self.next_in(nonce >> 64).await?)
    }

    fn hash(&self, signed: &Signed) -> B256 {
        sent(signed).map_or(B256::ZERO, |operation| operation.hash(ENTRY_POINT, self.chain_id))
    }

    async fn is_known(&self, signed: &Signed) -> Result<bool, RedeemError> {
        Ok(self.bundler.user_operation_by_hash(self.hash(signed)).await?.is_some())
    }

    async fn send(&self, signed: &Signed) -> Result<(), RedeemError> {
        let Some(operation) = sent(signed) else { return Ok(()) };
        match self.bundler.send_user_operation(&operation, ENTRY_POINT, self.chain_id, None).await {
            Ok(_) => Ok(()),
            Err(error) if error.send_outcome() == SendOutcome::Taken => Ok(()),
            // What a bundler says of an operation that is in a block depends on what that has changed.
            Err(error @ BundlerError::Rejected { .. })
                if !self.is_used(operation.operation.nonce).await? =>
            {
                Err(error.into())
            }
            Err(BundlerError::Rejected { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn receipt(&self, signed: &Signed) -> Result<Option<Receipt>, RedeemError> {
        let receipt = self.bundler.user_operation_receipt(self.hash(signed)).await?;
        Ok(receipt.map(Receipt::from))
    }
}

impl Operations {
    fn operation(&self, sending: &Sending) -> AccountOperation {
        let Sending { nonce, data, gas, fees, deploys, paymaster } = sending.clone();
        let init = match deploys {
            true => {
                Initialization::Factory { factory: self.account.factory(), data: self.account.factory_data() }
            }
            false => Initialization::Deployed,
        };
        let operation = UnpackedUserOperation {
            sender: self.account.address(),
            nonce,
            init,
            call_data: data,
            call_gas_limit: gas.call,
            verification_gas_limit: gas.verification,
            pre_verification_gas: gas.pre_verification,
            max_fee_per_gas: fees.fee,
            max_priority_fee_per_gas: fees.tip,
            paymaster,
        };
        AccountOperation { operation: operation.pack(), entry_point: ENTRY_POINT, chain_id: self.chain_id }
    }

    /// What an operation takes, and the stub of who pays for it.
    async fn estimate(&self, sending: &mut Sending) -> Result<Gas, RedeemError> {
        if let Some(service) = &self.paymaster {
            let stub = service.packed_stub(&self.operation(sending).operation, self.chain_id).await?;
            sending.paymaster = Some(stub.paymaster);
        }
        match self.estimate_of(sending).await {
            // Who cannot pay for it is told so by its price, and not by the bundler.
            Err(error) if is_rejected_by(&error, EntryPointCode::AA21) => {
                sending.fees = Fees::default();
                Ok(self.estimate_of(sending).await?)
            }
            estimated => Ok(estimated?),
        }
    }

    async fn estimate_of(&self, sending: &mut Sending) -> Result<Gas, BundlerError> {
        let operation = SignedPackedOperation {
            operation: self.operation(sending).operation,
            signature: DUMMY_SIGNATURE.to_vec(),
        };
        let estimate = self.bundler.estimate_user_operation_gas(&operation, ENTRY_POINT, None).await?;
        let with_reserve = |gas: U256| gas.saturating_to::<u128>().saturating_mul(GAS) / 100;
        if let Some(paymaster) = &mut sending.paymaster {
            // What the service names stands.
            let or_estimate = |named: &mut u128, estimated: Option<U256>| {
                if *named == 0 {
                    *named = with_reserve(estimated.unwrap_or_default());
                }
            };
            or_estimate(&mut paymaster.verification_gas_limit, estimate.paymaster_verification_gas_limit);
            or_estimate(&mut paymaster.post_op_gas_limit, estimate.paymaster_post_op_gas_limit);
        }
        Ok(Gas {
            call: with_reserve(estimate.gas.call_gas_limit),
            verification: with_reserve(estimate.gas.verification_gas_limit),
            pre_verification: U256::from(with_reserve(estimate.gas.pre_verification_gas)),
        })
    }

    async fn next_in(&self, stream: U256) -> Result<U256, RedeemError> {
        let call = EntryPoint::getNonceCall { sender: self.account.address(), key: stream.saturating_to() };
        self.chain.read(ENTRY_POINT, call).await
    }
}

const ENTRY_POINT: Address = EntryPointVersion::V0_7.address();

/// What one gas costs now, and the fees that are good for some rising blocks.
const fn at(base: u128, tip: u128) -> (u128, Fees) {
    let fee = base.saturating_mul(2).saturating_add(tip);
    (base.saturating_add(tip), Fees { fee, tip })
}

/// As it is sent; none for what is no operation, which this carrier has none of.
fn sent(signed: &Signed) -> Option<SignedPackedOperation> {
    let Subject::AccountOperation(message) = &signed.subject else { return None };
    let signature = signed.signature.as_bytes().to_vec();
    Some(SignedPackedOperation { operation: message.operation.clone(), signature })
}

fn is_rejected_by(error: &BundlerError, code: EntryPointCode) -> bool {
    matches!(error, BundlerError::Rejected { entry_point_code, .. } if *entry_point_code == Some(code))
}
