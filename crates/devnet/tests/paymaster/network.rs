//! A devnet with what asks it: accounts that do not exist yet, their operations, and JSON-RPC clients.

use std::path::Path;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolError, SolValue};
use quorate_contracts::{Deployment, EntryPoint, account};
use quorate_core::{UserOperation, signing_hash};
use quorate_devnet::Devnet;
use quorate_transport::{HttpTransport, RpcError, TransportError, TransportExt};
use serde::Deserialize;
use serde_json::{Value, json};

alloy_sol_types::sol! {
    interface Contracts {
        function executeBatch(address[] dest, uint256[] value, bytes[] func) external;
        function safeMint(address to) external;
        function approve(address spender, uint256 amount) external returns (bool);
        function allowance(address owner, address spender) external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function getBalance(address paymasterId) external view returns (uint256);
        function tokensOwed(address account) external view returns (uint256);
        function debts(address account, address token) external view returns (uint256);
        function payDebt(address account, address token) external;
    }
}

pub(crate) use Contracts::*;

const RECEIPT_DEADLINE: Duration = Duration::from_secs(120);
const RECEIPT_POLL_INTERVAL: Duration = Duration::from_millis(10);

pub(crate) struct Network {
    pub(crate) devnet: Devnet,
    pub(crate) service: HttpTransport,
    pub(crate) deployment: Deployment,
    chain: HttpTransport,
    bundler: HttpTransport,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fees {
    max_fee_per_gas: U256,
    max_priority_fee_per_gas: U256,
}

#[derive(Deserialize)]
struct FeesBySpeed {
    fast: Fees,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Estimate {
    call_gas_limit: U256,
    verification_gas_limit: U256,
    pre_verification_gas: U256,
}

/// What became of an operation.
#[derive(Deserialize)]
pub(crate) struct Receipt {
    pub(crate) success: bool,
    pub(crate) paymaster: Address,
}

/// An account that its owner's first operation deploys.
pub(crate) struct Owner {
    key: PrivateKeySigner,
    pub(crate) account: Address,
}

impl Network {
    pub(crate) async fn start() -> Self {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("devnet");
        let devnet = Devnet::builder(cache).start().await.unwrap();
        let client = |url: &url::Url| HttpTransport::builder(url.clone()).retries(0).build().unwrap();
        Self {
            chain: client(devnet.rpc_url()),
            bundler: client(devnet.bundler_url()),
            service: client(devnet.paymaster_url()),
            deployment: Deployment::canonical(),
            devnet,
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        let key = PrivateKeySigner::random();
        let account = account::address(&self.deployment, key.address(), U256::ZERO);
        Owner { key, account }
    }

    /// The account's first operation, which deploys it and makes the calls, with a signature of the real length.
    pub(crate) async fn first_operation(&self, owner: &Owner, calls: Vec<(Address, Vec<u8>)>) -> Value {
        let init_code = account::init_code(&self.deployment, owner.key.address(), U256::ZERO);
        self.operation(owner, U256::ZERO, Bytes::from(init_code), calls).await
    }

    pub(crate) async fn operation(
        &self,
        owner: &Owner,
        nonce: U256,
        init_code: Bytes,
        calls: Vec<(Address, Vec<u8>)>,
    ) -> Value {
        let fees: FeesBySpeed = self.bundler.call("pimlico_getUserOperationGasPrice", ()).await.unwrap();
        let value = vec![U256::ZERO; calls.len()];
        let (dest, func) = calls.into_iter().map(|(to, data)| (to, Bytes::from(data))).unzip();
        let call_data = Bytes::from(executeBatchCall { dest, value, func }.abi_encode());
        json!({
            "sender": owner.account,
            "nonce": nonce,
            "initCode": init_code,
            "callData": call_data,
            "callGasLimit": "0x0",
            "verificationGasLimit": "0x0",
            "preVerificationGas": "0x0",
            "maxFeePerGas": fees.fast.max_fee_per_gas,
            "maxPriorityFeePerGas": fees.fast.max_priority_fee_per_gas,
            "paymasterAndData": "0x",
            "signature": self.signature(&PrivateKeySigner::random(), B256::ZERO),
        })
    }

    /// What mints an NFT to the account.
    pub(crate) fn mint(&self, account: Address) -> (Address, Vec<u8>) {
        (self.devnet.nft(), safeMintCall { to: account }.abi_encode())
    }

    /// What lets the token paymaster take tokens.
    pub(crate) fn approve(&self, token: Address, amount: U256) -> (Address, Vec<u8>) {
        (token, approveCall { spender: self.devnet.token_paymaster(), amount }.abi_encode())
    }

    /// Puts the bundler's estimate into the operation, with `extra` gas for `postOp`.
    pub(crate) async fn estimate(&self, operation: &mut Value, extra: u64) {
        let entry_point = self.deployment.entry_point;
        let estimate: Estimate =
            self.bundler.call("eth_estimateUserOperationGas", (&operation, entry_point)).await.unwrap();
        operation["callGasLimit"] = json!(estimate.call_gas_limit);
        operation["verificationGasLimit"] = json!(estimate.verification_gas_limit + U256::from(extra));
        operation["preVerificationGas"] = json!(estimate.pre_verification_gas);
    }

    /// Signs as the owner and sends.
    pub(crate) async fn send(&self, owner: &Owner, operation: Value) -> Result<B256, TransportError> {
        let operation = self.signed(owner, operation);
        self.bundler.call_once("eth_sendUserOperation", (operation, self.deployment.entry_point)).await
    }

    /// Why the entry point itself refuses the operation.
    pub(crate) async fn reason(&self, owner: &Owner, operation: Value) -> String {
        let operation = self.signed(owner, operation);
        let operation = EntryPoint::UserOperation {
            sender: owner.account,
            nonce: number(&operation["nonce"]),
            initCode: bytes(&operation["initCode"]).into(),
            callData: bytes(&operation["callData"]).into(),
            callGasLimit: number(&operation["callGasLimit"]),
            verificationGasLimit: number(&operation["verificationGasLimit"]),
            preVerificationGas: number(&operation["preVerificationGas"]),
            maxFeePerGas: number(&operation["maxFeePerGas"]),
            maxPriorityFeePerGas: number(&operation["maxPriorityFeePerGas"]),
            paymasterAndData: bytes(&operation["paymasterAndData"]).into(),
            signature: bytes(&operation["signature"]).into(),
        };
        let call = EntryPoint::handleOpsCall { ops: vec![operation], beneficiary: owner.key.address() };
        let call = json!({ "to": self.deployment.entry_point, "data": Bytes::from(call.abi_encode()) });
        let error = self.chain.call::<Bytes>("eth_call", (call, "latest")).await.unwrap_err();
        let data = error.rpc().unwrap().data.clone().unwrap();
        EntryPoint::FailedOp::abi_decode(&bytes(&data)).unwrap().reason
    }

    fn signed(&self, owner: &Owner, mut operation: Value) -> Value {
        let typed = UserOperation {
            sender: owner.account,
            nonce: number(&operation["nonce"]),
            init_code: bytes(&operation["initCode"]),
            call_data: bytes(&operation["callData"]),
            call_gas_limit: number(&operation["callGasLimit"]),
            verification_gas_limit: number(&operation["verificationGasLimit"]),
            pre_verification_gas: number(&operation["preVerificationGas"]),
            max_fee_per_gas: number(&operation["maxFeePerGas"]),
            max_priority_fee_per_gas: number(&operation["maxPriorityFeePerGas"]),
            paymaster_and_data: bytes(&operation["paymasterAndData"]),
        };
        let hash = typed.hash(self.deployment.entry_point, self.devnet.chain_id());
        operation["signature"] = json!(self.signature(&owner.key, signing_hash(hash)));
        operation
    }

    /// Sends, and waits for the receipt.
    pub(crate) async fn execute(&self, owner: &Owner, operation: Value) -> Receipt {
        let hash = self.send(owner, operation).await.unwrap();
        let start = Instant::now();
        while start.elapsed() < RECEIPT_DEADLINE {
            let receipt = self.bundler.call("eth_getUserOperationReceipt", (hash,)).await.unwrap();
            if let Some(receipt) = receipt {
                return receipt;
            }
            tokio::time::sleep(RECEIPT_POLL_INTERVAL).await;
        }
        panic!("no receipt of {hash}");
    }

    /// Asks the paymaster service.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        self.service.call(method, params).await.unwrap()
    }

    /// Asks the paymaster service for what it refuses.
    pub(crate) async fn ask_in_vain(&self, method: &str, params: Value) -> RpcError {
        let error = self.service.call::<Value>(method, params).await.unwrap_err();
        error.rpc().unwrap().clone()
    }

    pub(crate) async fn read(&self, to: Address, call: impl SolCall) -> U256 {
        let call = json!({ "to": to, "data": Bytes::from(call.abi_encode()) });
        let answer: Bytes = self.chain.call("eth_call", (call, "latest")).await.unwrap();
        U256::from_be_slice(&answer)
    }

    pub(crate) async fn native_balance(&self, account: Address) -> U256 {
        self.chain.call("eth_getBalance", (account, "latest")).await.unwrap()
    }

    /// Calls a contract from one of the chain's own accounts.
    pub(crate) async fn transact(&self, from: Address, to: Address, call: impl SolCall) {
        let data = Bytes::from(call.abi_encode());
        let transaction = json!({ "from": from, "to": to, "data": data, "gas": "0x100000" });
        let hash: B256 = self.chain.call_once("eth_sendTransaction", (transaction,)).await.unwrap();
        let receipt = loop {
            let receipt: Option<Value> = self.chain.call("eth_getTransactionReceipt", (hash,)).await.unwrap();
            if let Some(receipt) = receipt {
                break receipt;
            }
            tokio::time::sleep(RECEIPT_POLL_INTERVAL).await;
        };
        assert_eq!(receipt["status"], "0x1");
    }

    fn signature(&self, key: &PrivateKeySigner, digest: B256) -> Bytes {
        let signature = Bytes::from(key.sign_hash_sync(&digest).unwrap().as_bytes());
        (signature, self.deployment.ecdsa_ownership_module).abi_encode_params().into()
    }
}

/// Takes over what a paymaster service answered: the data, and the limits that are in it, text or numbers.
pub(crate) fn adopt(operation: &mut Value, answer: &Value) {
    operation["paymasterAndData"] = answer["paymasterAndData"].clone();
    for limit in ["callGasLimit", "verificationGasLimit", "preVerificationGas"] {
        if answer.get(limit).is_some() {
            operation[limit] = json!(number(&answer[limit]));
        }
    }
}

pub(crate) fn number(value: &Value) -> U256 {
    serde_json::from_value(value.clone()).unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    serde_json::from_value::<Bytes>(value.clone()).unwrap().to_vec()
}

/// A word of `paymasterAndData`, after the paymaster.
pub(crate) fn word(data: &Value, index: usize) -> U256 {
    U256::from_be_slice(&bytes(data)[20 + 32 * index..][..32])
}
