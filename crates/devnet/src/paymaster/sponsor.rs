use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use quorate_core::PackedUserOperation;
use quorate_transport::{HttpTransport, TransportExt};
use serde::Deserialize;
use serde_json::json;

use super::PaymasterFault;
use super::contracts::PaymasterContracts;
use super::error::RequestError;
use super::operation::Operation;
use super::signing::{self, SIGNATURE_LENGTH, Terms, Validity};
use super::tokens::{Token, UNITS_PER_ETHER, max_charge};
use crate::place::ENTRY_POINT;

/// For how long a signature is good unless the client says.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// The end of what the contracts take for a time.
const LAST_SECOND: u64 = (1 << 48) - 1;
/// How long ago data has expired that should have: the newest block of a chain on which nothing happens is old.
const EXPIRED_FOR: u64 = 3600;
/// The paymaster that is none of this devnet's.
const OTHER_PAYMASTER: Address = Address::repeat_byte(0xfe);

/// Gas of `postOp`, which the verification gas limit bounds as well, and which an estimate does not see, since it is
/// made with a signature that is not the service's.
const SPONSORED_POST_OP_GAS: U256 = U256::from_limbs([40_000, 0, 0, 0]);
const TOKEN_POST_OP_GAS: U256 = U256::from_limbs([80_000, 0, 0, 0]);

alloy_sol_types::sol! {
    function tokensOwed(address account) external view returns (uint256);
}

/// How an operation is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payment {
    Sponsored,
    Token(Token),
}

/// What the service does, apart from how it is asked to.
pub(crate) struct Sponsor {
    chain: HttpTransport,
    bundler: HttpTransport,
    chain_id: u64,
    contracts: PaymasterContracts,
    signer: PrivateKeySigner,
    /// A key that the paymasters do not know.
    stranger: PrivateKeySigner,
    stub_signature: [u8; SIGNATURE_LENGTH],
    fault: Mutex<Option<PaymasterFault>>,
}

impl Sponsor {
    /// The transports must not be in use elsewhere, as their connections belong to the service's runtime.
    pub(crate) fn new(
        chain: HttpTransport,
        bundler: HttpTransport,
        chain_id: u64,
        contracts: PaymasterContracts,
        signer: PrivateKeySigner,
    ) -> Self {
        let stranger = PrivateKeySigner::random();
        let stub_signature = stub_signature(&stranger);
        let fault = Mutex::new(None);
        Self { chain, bundler, chain_id, contracts, signer, stranger, stub_signature, fault }
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub(crate) fn contracts(&self) -> &PaymasterContracts {
        &self.contracts
    }

    pub(crate) fn fault(&self) -> Option<PaymasterFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_fault(&self, fault: Option<PaymasterFault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(crate) fn tokens(&self) -> [Token; 2] {
        Token::all(&self.contracts)
    }

    pub(crate) fn token(&self, address: Address) -> Result<Token, RequestError> {
        let found = self.tokens().into_iter().find(|token| token.address == address);
        found.ok_or(RequestError::UnsupportedToken(address))
    }

    /// The time by which a signature made now ends, in seconds since 1970.
    pub(crate) async fn end(&self, lifetime: Duration) -> Result<u64, RequestError> {
        Ok(self.now().await?.saturating_add(lifetime.as_secs()).min(LAST_SECOND))
    }

    /// Signs over the operation as it is.
    pub(crate) async fn sign(
        &self,
        operation: &Operation,
        payment: Payment,
        lifetime: Duration,
    ) -> Result<Bytes, RequestError> {
        if let Payment::Token(_) = payment {
            self.refuse_debtor(operation.sender).await?;
        }
        let fault = self.fault();
        if fault == Some(PaymasterFault::Empty) {
            return Ok(Bytes::new());
        }
        let until = self.valid_until(lifetime).await?;
        let validity = Validity { until, after: 0 };
        let payment = match (fault, payment) {
            (Some(PaymasterFault::OtherToken), Payment::Token(token)) => Payment::Token(self.other(token)),
            (_, payment) => payment,
        };
        let terms = match payment {
            Payment::Sponsored => Terms::Sponsored { paymaster_id: self.contracts.paymaster_id },
            Payment::Token(token) => Terms::Token {
                token: token.address,
                tokens_per_ether: U256::from(UNITS_PER_ETHER),
                max_charge: max_charge(operation),
            },
        };
        let paymaster = self.paymaster(payment);
        let hash = signing::hash(operation, self.chain_id, paymaster, &terms, validity);
        let signature = self.signer_now().sign_message_sync(hash.as_slice())?.as_bytes();
        let named = match fault {
            Some(PaymasterFault::OtherPaymaster) => OTHER_PAYMASTER,
            _ => paymaster,
        };
        Ok(signing::paymaster_and_data(named, &terms, validity, &signature))
    }

    /// Signs over an operation of EntryPoint v0.7 as it is, and gives the paymaster and its data.
    pub(crate) async fn sign_v0_7(
        &self,
        operation: &PackedUserOperation<Vec<u8>>,
    ) -> Result<(Address, Bytes), RequestError> {
        let fault = self.fault();
        let paymaster = self.contracts.verifying_paymaster_v0_7;
        if fault == Some(PaymasterFault::Empty) {
            return Ok((paymaster, Bytes::new()));
        }
        let until = self.valid_until(DEFAULT_LIFETIME).await?;
        let validity = Validity { until, after: 0 };
        let hash = signing::hash_v0_7(operation, self.chain_id, paymaster, validity);
        let signature = self.signer_now().sign_message_sync(hash.as_slice())?.as_bytes();
        let named = if fault == Some(PaymasterFault::OtherPaymaster) { OTHER_PAYMASTER } else { paymaster };
        Ok((named, signing::paymaster_data_v0_7(validity, &signature)))
    }

    /// What is as long as [`Sponsor::sign_v0_7`] gives, with no more zero bytes.
    pub(crate) fn stub_v0_7(&self) -> Bytes {
        let validity = Validity { until: LAST_SECOND, after: 0 };
        signing::paymaster_data_v0_7(validity, &self.stub_signature)
    }

    /// What is as long as [`Sponsor::sign`] gives, with no more zero bytes, and passes a simulation up to the
    /// signature.
    pub(crate) fn stub(&self, payment: Payment) -> Bytes {
        let terms = match payment {
            Payment::Sponsored => Terms::Sponsored { paymaster_id: self.contracts.paymaster_id },
            Payment::Token(token) => Terms::Token {
                token: token.address,
                tokens_per_ether: U256::from(UNITS_PER_ETHER),
                max_charge: U256::MAX,
            },
        };
        let validity = Validity { until: LAST_SECOND, after: 0 };
        signing::paymaster_and_data(self.paymaster(payment), &terms, validity, &self.stub_signature)
    }

    /// The operation with the gas limits that the bundler estimates, and with what `postOp` needs besides.
    pub(crate) async fn with_estimated_gas(
        &self,
        operation: Operation,
        payment: Payment,
    ) -> Result<Operation, RequestError> {
        let stubbed = Operation { paymaster_and_data: self.stub(payment), ..operation.clone() };
        let estimate: Estimate = self
            .bundler
            .call("eth_estimateUserOperationGas", (stubbed, ENTRY_POINT))
            .await
            .map_err(RequestError::Estimate)?;
        let post_op_gas = match payment {
            Payment::Sponsored => SPONSORED_POST_OP_GAS,
            Payment::Token(_) => TOKEN_POST_OP_GAS,
        };
        Ok(Operation {
            call_gas_limit: estimate.call_gas_limit,
            verification_gas_limit: estimate.verification_gas_limit.saturating_add(post_op_gas),
            pre_verification_gas: estimate.pre_verification_gas,
            ..operation
        })
    }

    /// Until when a signature made now is good, unless it should be over.
    async fn valid_until(&self, lifetime: Duration) -> Result<u64, RequestError> {
        match self.fault() {
            Some(PaymasterFault::Expired) => Ok(self.now().await?.saturating_sub(EXPIRED_FOR)),
            _ => self.end(lifetime).await,
        }
    }

    fn signer_now(&self) -> &PrivateKeySigner {
        match self.fault() {
            Some(PaymasterFault::WrongSigner) => &self.stranger,
            _ => &self.signer,
        }
    }

    fn paymaster(&self, payment: Payment) -> Address {
        match payment {
            Payment::Sponsored => self.contracts.verifying_paymaster,
            Payment::Token(_) => self.contracts.token_paymaster,
        }
    }

    fn other(&self, token: Token) -> Token {
        self.tokens().into_iter().find(|other| *other != token).unwrap_or(token)
    }

    async fn refuse_debtor(&self, account: Address) -> Result<(), RequestError> {
        let data = Bytes::from(tokensOwedCall { account }.abi_encode());
        let call = json!({ "to": self.contracts.token_paymaster, "data": data });
        let owed: B256 = self.chain.call("eth_call", (call, "latest")).await?;
        if owed.is_zero() { Ok(()) } else { Err(RequestError::Debt(account)) }
    }

    /// The time by the clock or by the chain, whichever is later: tests move the chain's.
    async fn now(&self) -> Result<u64, RequestError> {
        let block: Block = self.chain.call("eth_getBlockByNumber", ("latest", false)).await?;
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
        Ok(block.timestamp.saturating_to::<u64>().max(clock))
    }
}

impl fmt::Debug for Sponsor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sponsor")
            .field("chain_id", &self.chain_id)
            .field("contracts", &self.contracts)
            .field("signer", &self.signer.address())
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

/// A signature from which some key can be recovered, without a zero byte.
fn stub_signature(signer: &PrivateKeySigner) -> [u8; SIGNATURE_LENGTH] {
    let signatures = (0_u64..).filter_map(|number| signer.sign_message_sync(&number.to_be_bytes()).ok());
    let mut bytes = signatures.map(|signature| signature.as_bytes()).filter(|bytes| !bytes.contains(&0));
    // One in five signatures has a zero byte, so the second or third attempt ends this.
    bytes.next().unwrap_or([1; SIGNATURE_LENGTH])
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Estimate {
    call_gas_limit: U256,
    verification_gas_limit: U256,
    pre_verification_gas: U256,
}

#[derive(Deserialize)]
struct Block {
    timestamp: U256,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_signature_has_no_zero_byte() {
        let signature = stub_signature(&PrivateKeySigner::random());
        assert!(!signature.contains(&0));
        assert!(matches!(signature[SIGNATURE_LENGTH - 1], 27 | 28));
    }

    #[test]
    fn no_key_is_shown() {
        let transport = || HttpTransport::builder(crate::port::local_url(1)).build().unwrap();
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x5e)).unwrap();
        let contracts = PaymasterContracts {
            verifying_paymaster: Address::ZERO,
            verifying_paymaster_v0_7: Address::ZERO,
            token_paymaster: Address::ZERO,
            token: Address::ZERO,
            picky_token: Address::ZERO,
            paymaster_id: Address::ZERO,
        };
        let sponsor = Sponsor::new(transport(), transport(), 1, contracts, signer);
        assert!(!format!("{sponsor:?}").contains("5e5e5e5e"));
    }
}
