//! One key whose limits are exactly what is asked of it, and its operations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use alloy_primitives::{Address, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate_core::{Call, Encode as _, Execute, FunctionSelector, Policy, UserOperation};
use quorate_ledger::Dimension;
use quorate_network::{
    AttestedKey, EphemeralKey, EphemeralKeys, NetworkDescriptor, NetworkError, Revocation, RevocationStatus,
    SigningNetwork,
};
use quorate_protocol::{Limits, OperationMessage, Permissions, PermittedPolicy};

use crate::operations::Counts;
use crate::{ChaosError, Processes, count};

/// A key, and who may ask for its signatures.
#[derive(Debug)]
pub struct Session {
    client: SigningNetwork,
    owner: PrivateKeySigner,
    key: AttestedKey,
    ephemeral: EphemeralKey,
    limits: Vec<(Dimension, U256)>,
}

const CHAIN: u64 = 31337;
const ENTRY_POINT: Address = Address::repeat_byte(0xee);
const ACCOUNT: Address = Address::repeat_byte(0xaa);
const TOKEN: Address = Address::repeat_byte(0x0f);

/// `mint(address)`.
const MINT: FunctionSelector = FunctionSelector::new([0x6a, 0x62, 0x78, 0x42]);

/// In which time each operation has to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long the ephemeral key may ask: longer than any run.
const LIFETIME: u64 = 24 * 3600;

const GAS: u64 = 350_000;

impl Session {
    /// Makes a key that may be used for the first so many operations, and has gas for them.
    ///
    /// # Errors
    /// What the network refuses, or no random bytes.
    pub async fn make(
        descriptor: &NetworkDescriptor,
        operations: u64,
        counts: &Arc<Counts>,
    ) -> Result<Self, ChaosError> {
        let counted = Arc::clone(counts);
        let client = SigningNetwork::new(descriptor.clone())
            .with_signing_deadline(DEADLINE)
            .with_retry_listener(move |error| counted.note(error));
        let gas_cost = total(Dimension::GasCost, 1..=operations);
        let limits = Limits { uses: Some(operations), gas_cost: Some(gas_cost), ..Limits::default() };
        Self::make_with(client, limits).await
    }

    /// Makes a key with these limits by a client.
    ///
    /// # Errors
    /// What the network refuses, or no random bytes.
    pub async fn make_with(client: SigningNetwork, limits: Limits) -> Result<Self, ChaosError> {
        let (owner, ephemeral) = (PrivateKeySigner::random(), EphemeralKey::random()?);
        let uses = limits.uses.map(|uses| (Dimension::Uses, U256::from(uses)));
        let gas_cost = limits.gas_cost.map(|gas_cost| (Dimension::GasCost, gas_cost));
        let permissions = permissions(owner.address(), limits);
        let claim = ephemeral.claim("chaos", now() + LIFETIME);
        let draft = client.prepare_key(&permissions, &claim).await.map_err(ChaosError::Key)?;
        let typed_data = draft.typed_data().map_err(|error| ChaosError::Key(error.into()))?;
        let signature = owner.sign_hash_sync(&typed_data.digest())?;
        let key = client.submit_key(&draft, signature).await.map_err(ChaosError::Key)?;
        let limits = uses.into_iter().chain(gas_cost).collect();
        Ok(Self { client, owner, key, ephemeral, limits })
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.key.key_id
    }

    /// What is limited in all, and to what.
    pub(crate) fn limits(&self) -> &[(Dimension, U256)] {
        &self.limits
    }

    /// Asks for the signature of an operation, by its number from 1, until it has it or is refused for good.
    ///
    /// # Errors
    /// The last of the client's errors.
    pub async fn sign(&self, operation: u64) -> Result<(), NetworkError> {
        self.sign_by(&self.client, &self.ephemeral, operation).await
    }

    /// Asks for it with another ephemeral key.
    ///
    /// # Errors
    /// The last of the client's errors.
    pub async fn sign_as(&self, ephemeral: &EphemeralKey, operation: u64) -> Result<(), NetworkError> {
        self.sign_by(&self.client, ephemeral, operation).await
    }

    /// Asks for it once, whatever the answer.
    ///
    /// # Errors
    /// The client's first error.
    pub async fn sign_once(&self, operation: u64) -> Result<(), NetworkError> {
        self.sign_once_as(&self.ephemeral, operation).await
    }

    /// Asks for it once with another ephemeral key.
    ///
    /// # Errors
    /// The client's first error.
    pub async fn sign_once_as(&self, ephemeral: &EphemeralKey, operation: u64) -> Result<(), NetworkError> {
        self.sign_by(&self.client.clone().without_retries(), ephemeral, operation).await
    }

    async fn sign_by(
        &self,
        client: &SigningNetwork,
        ephemeral: &EphemeralKey,
        operation: u64,
    ) -> Result<(), NetworkError> {
        client.sign(self.key_id(), self.key.address, &message(operation), ephemeral).await.map(drop)
    }

    /// Registers one more ephemeral key.
    ///
    /// # Errors
    /// What the network refuses, or no random bytes.
    pub async fn register(&self) -> Result<EphemeralKey, ChaosError> {
        self.register_until(now() + LIFETIME).await
    }

    /// Registers one more ephemeral key, until a time in seconds since 1970.
    ///
    /// # Errors
    /// What the network refuses, or no random bytes.
    pub async fn register_until(&self, until: u64) -> Result<EphemeralKey, ChaosError> {
        let ephemeral = EphemeralKey::random()?;
        let claim = ephemeral.claim("chaos", until);
        let registering = self.client.prepare_registration(self.owner.address(), self.key_id(), &claim).await;
        let registering = registering.map_err(ChaosError::Registration)?;
        let typed_data = registering.draft().typed_data();
        let typed_data = typed_data.map_err(|error| ChaosError::Registration(error.into()))?;
        let signature = self.owner.sign_hash_sync(&typed_data.digest())?;
        registering.submit(&signature).await.map_err(ChaosError::Registration)?;
        Ok(ephemeral)
    }

    /// Revokes an ephemeral key.
    ///
    /// # Errors
    /// What the network refuses, or a gateway that cannot be reached.
    pub async fn revoke(&self, ephemeral: &EphemeralKey) -> Result<RevocationStatus, ChaosError> {
        let revocation = Revocation::new(
            self.client.descriptor(),
            self.owner.address(),
            self.key_id(),
            Some(ephemeral.public()),
        );
        let typed_data = revocation.typed_data().map_err(|error| ChaosError::Revocation(error.into()))?;
        let signature = self.owner.sign_hash_sync(&typed_data.digest())?;
        self.client.revoke(&revocation, signature).await.map_err(ChaosError::Revocation)
    }

    /// What the nodes hold of the key's ephemeral keys.
    ///
    /// # Errors
    /// The client's error.
    pub async fn ephemeral_keys(&self) -> Result<EphemeralKeys, NetworkError> {
        self.client.ephemeral_keys(self.key_id()).await
    }

    /// Reads the ledgers of a network whose processes have ended: what was signed has to be counted, and no limit exceeded.
    ///
    /// # Errors
    /// A ledger that cannot be read, or the first rule that is broken.
    pub async fn check_ledgers(
        &self,
        processes: &Processes,
        signed: &BTreeSet<u64>,
    ) -> Result<(), ChaosError> {
        count::check_files(processes, self, signed, self.limits()).await
    }
}

/// What an operation comes to: its gas may cost another amount for each, so that no sum stands for two sets of them.
pub(crate) fn amount(dimension: Dimension, operation: u64) -> U256 {
    match dimension {
        Dimension::GasCost => U256::from(GAS) * max_fee_per_gas(operation),
        _ => U256::ONE,
    }
}

/// What operations come to together.
pub(crate) fn total(dimension: Dimension, operations: impl IntoIterator<Item = u64>) -> U256 {
    operations.into_iter().fold(U256::ZERO, |sum, operation| sum + amount(dimension, operation))
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

fn max_fee_per_gas(operation: u64) -> U256 {
    U256::from(1_000_000_000) + U256::from(operation)
}

fn permissions(owner: Address, limits: Limits) -> Permissions {
    let policy: Policy = Policy::new(TOKEN, MINT);
    Permissions {
        owner,
        account: ACCOUNT,
        chain_id: CHAIN,
        entry_point: ENTRY_POINT,
        session_key_manager: Address::repeat_byte(0x5e),
        policies: vec![PermittedPolicy {
            validation_module: Address::repeat_byte(0xab),
            policy: policy.into(),
        }],
        limits,
    }
}

/// The account mints to itself.
fn message(operation: u64) -> OperationMessage {
    let data = [MINT.as_bytes().as_slice(), ACCOUNT.into_word().as_slice()].concat();
    let call_data = Execute(Call { to: TOKEN, value: U256::ZERO, data: &data }).to_vec();
    let operation = UserOperation {
        sender: ACCOUNT,
        nonce: U256::from(operation),
        init_code: Vec::new(),
        call_data,
        call_gas_limit: U256::from(GAS - 250_000),
        verification_gas_limit: U256::from(200_000),
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: max_fee_per_gas(operation),
        max_priority_fee_per_gas: U256::from(1),
        paymaster_and_data: Vec::new(),
    };
    OperationMessage { operation, entry_point: ENTRY_POINT, chain_id: CHAIN }
}
