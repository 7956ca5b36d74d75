//! Operations and their signatures, made without the client.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate_contracts::{SessionKeyManager, account, calls};
use quorate_core::*;
use quorate_testing::ScriptedChain;
use quorate_transport::{RpcError, Transport, TransportError, TransportExt as _};
use serde_json::{Value, json};

pub(crate) type Signed = SignedUserOperation<Vec<u8>>;

pub(crate) const NFT: Address = Address::repeat_byte(0x77);

pub(crate) fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(number)).unwrap()
}

/// A funded account of the owner with key 1, not deployed.
pub(crate) fn fresh(chain: &ScriptedChain) -> Address {
    let address = account::address(&chain.deployment(), key(1).address(), U256::ZERO);
    chain.fund(address, U256::from(10).pow(U256::from(18)));
    address
}

/// The same, deployed.
pub(crate) fn deployed(chain: &ScriptedChain) -> Address {
    fresh(chain);
    chain.deploy_directly(key(1).address(), U256::ZERO)
}

/// The same, with session key manager and router enabled.
pub(crate) fn ready(chain: &ScriptedChain) -> Address {
    let account = deployed(chain);
    let deployment = chain.deployment();
    for module in [deployment.session_key_manager, deployment.batched_session_router] {
        chain.execute_directly(account, &[calls::enable_module(account, module).as_call()]);
    }
    account
}

pub(crate) fn call(to: Address, data: &[u8]) -> Call<'_> {
    Call { to, value: U256::ZERO, data }
}

/// An operation with the next nonce of stream 0.
pub(crate) fn operation(
    chain: &ScriptedChain,
    sender: Address,
    calls: &[Call<'_>],
) -> UserOperation<Vec<u8>> {
    let call_data = match calls {
        [single] => Execute(*single).to_vec(),
        several => ExecuteBatch(several).to_vec(),
    };
    let init_code = if chain.is_deployed(sender) {
        Vec::new()
    } else {
        account::init_code(&chain.deployment(), key(1).address(), U256::ZERO).to_vec()
    };
    UserOperation {
        sender,
        nonce: chain.nonce(sender, Default::default()),
        init_code,
        call_data,
        call_gas_limit: U256::from(300_000),
        verification_gas_limit: U256::from(500_000),
        pre_verification_gas: U256::from(60_000),
        max_fee_per_gas: U256::from(3_000_000_000_u64),
        max_priority_fee_per_gas: U256::from(1_000_000_000),
        paymaster_and_data: Vec::new(),
    }
}

pub(crate) fn hash(chain: &ScriptedChain, operation: &UserOperation<Vec<u8>>) -> B256 {
    operation.hash(chain.deployment().entry_point, chain.chain_id())
}

pub(crate) fn sign(
    chain: &ScriptedChain,
    operation: UserOperation<Vec<u8>>,
    signer: &PrivateKeySigner,
) -> Signed {
    let signature = signer.sign_message_sync(hash(chain, &operation).as_slice()).unwrap().as_bytes();
    let module = chain.deployment().ecdsa_ownership_module;
    let signature = ModuleSignature { module_signature: &signature[..], module }.to_vec();
    operation.sign(signature)
}

/// An operation of the owner's with the next nonce.
pub(crate) fn by_owner(chain: &ScriptedChain, sender: Address, calls: &[Call<'_>]) -> Signed {
    sign(chain, operation(chain, sender, calls), &key(1))
}

/// A session of the key with number 2.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) epoch: SessionEpoch,
    pub(crate) module: Address,
    pub(crate) data: Vec<u8>,
}

impl Session {
    /// May mint on [`NFT`] to address 0xcc…
    pub(crate) fn minting(chain: &ScriptedChain, epoch: SessionEpoch) -> Self {
        let policy = Policy::<16>::new(NFT, "safeMint(address)".parse().unwrap())
            .with_rule(Rule::new(0, Condition::Equal, Address::repeat_byte(0xcc)))
            .unwrap();
        let data = SessionKeyData::new(key(2).address(), &policy).to_vec();
        Self { epoch, module: chain.deployment().abi_session_validation_module, data }
    }

    pub(crate) fn leaf(&self) -> B256 {
        let (epoch, validation_module) = (self.epoch, self.module);
        SessionLeaf { epoch, validation_module, session_key_data: &self.data }.hash()
    }

    pub(crate) fn sign(
        &self,
        chain: &ScriptedChain,
        operation: UserOperation<Vec<u8>>,
        proof: &[B256],
        signer: &PrivateKeySigner,
    ) -> Signed {
        let signature = signer.sign_message_sync(hash(chain, &operation).as_slice()).unwrap().as_bytes();
        let signature = SessionSignature {
            epoch: self.epoch,
            validation_module: self.module,
            session_key_data: &self.data,
            proof,
            signature: &signature,
        };
        let module = chain.deployment().session_key_manager;
        operation.sign(ModuleSignature { module_signature: signature, module }.to_vec())
    }
}

pub(crate) fn mint(to: Address) -> Vec<u8> {
    let selector: FunctionSelector = "safeMint(address)".parse().unwrap();
    [selector.as_bytes(), to.into_word().as_slice()].concat()
}

pub(crate) fn set_root(chain: &ScriptedChain, account: Address, root: B256) {
    let data = SessionKeyManager::setMerkleRootCall { _merkleRoot: root }.abi_encode();
    chain.execute_directly(account, &[call(chain.deployment().session_key_manager, &data)]);
}

pub(crate) fn wire(signed: &Signed) -> Value {
    let bytes = |bytes: &Vec<u8>| Bytes::copy_from_slice(bytes);
    let op = &signed.operation;
    json!({
        "sender": op.sender,
        "nonce": op.nonce,
        "initCode": bytes(&op.init_code),
        "callData": bytes(&op.call_data),
        "callGasLimit": op.call_gas_limit,
        "verificationGasLimit": op.verification_gas_limit,
        "preVerificationGas": op.pre_verification_gas,
        "maxFeePerGas": op.max_fee_per_gas,
        "maxPriorityFeePerGas": op.max_priority_fee_per_gas,
        "paymasterAndData": bytes(&op.paymaster_and_data),
        "signature": bytes(&signed.signature),
    })
}

pub(crate) async fn send(
    chain: &ScriptedChain,
    bundler: &impl Transport,
    signed: &Signed,
) -> Result<B256, TransportError> {
    bundler.call_once("eth_sendUserOperation", (wire(signed), chain.deployment().entry_point)).await
}

/// The bundler's error.
pub(crate) async fn refused(chain: &ScriptedChain, bundler: &impl Transport, signed: &Signed) -> RpcError {
    match send(chain, bundler, signed).await {
        Err(TransportError::Rpc { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn receipt(bundler: &impl Transport, hash: B256) -> Value {
    bundler.call("eth_getUserOperationReceipt", (hash,)).await.unwrap()
}
