//! A transport that answers each method as a test says, and notes what it was asked.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use quorate_bundler::Bundler;
use quorate_core::{SignedUserOperation, UserOperation};
use quorate_transport::{
    ConnectionFailure, Endpoint, InvalidResponse, Repeat, RpcError, Transport, TransportError,
};
use serde_json::{Value, json};

pub(crate) const SEND: &str = "eth_sendUserOperation";
pub(crate) const ESTIMATE: &str = "eth_estimateUserOperationGas";
pub(crate) const RECEIPT: &str = "eth_getUserOperationReceipt";
pub(crate) const BY_HASH: &str = "eth_getUserOperationByHash";
pub(crate) const CHAIN_ID: &str = "eth_chainId";
pub(crate) const ENTRY_POINTS: &str = "eth_supportedEntryPoints";
pub(crate) const PIMLICO_FEES: &str = "pimlico_getUserOperationGasPrice";
pub(crate) const RUNDLER_FEES: &str = "rundler_maxPriorityFeePerGas";
pub(crate) const BICONOMY_FEES: &str = "biconomy_getGasFeeValues";
pub(crate) const PIMLICO_STATUS: &str = "pimlico_getUserOperationStatus";
pub(crate) const BICONOMY_STATUS: &str = "biconomy_getUserOperationStatus";

pub(crate) const ENTRY_POINT: Address = Address::repeat_byte(9);
pub(crate) const CHAIN: u64 = 1;
pub(crate) const TRANSACTION: B256 = B256::repeat_byte(1);

/// Why a method gives no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Rpc(i64, &'static str),
    Http(u16),
    RateLimited,
    Timeout,
    Unreachable,
    Interrupted,
    NotJson,
    Empty,
}

impl Failure {
    fn error(self, method: &str) -> TransportError {
        let method = method.to_owned();
        let endpoint = Endpoint::new(&"http://127.0.0.1/".parse().unwrap());
        let source = || ConnectionFailure::new(io::Error::from(io::ErrorKind::ConnectionReset));
        match self {
            Self::Rpc(code, message) => TransportError::Rpc {
                method,
                error: RpcError { code, message: message.to_owned(), data: None },
            },
            Self::Http(status) => TransportError::Http { method, endpoint, status },
            Self::RateLimited => {
                let answer = Some(RpcError { code: -32601, message: "over capacity".to_owned(), data: None });
                TransportError::RateLimited { method, endpoint, status: 429, retry_after: None, answer }
            }
            Self::Timeout => TransportError::Timeout { method, endpoint, after: Duration::from_secs(1) },
            Self::Unreachable => TransportError::Unreachable { method, endpoint, source: source() },
            Self::Interrupted => TransportError::Interrupted { method, endpoint, source: source() },
            Self::NotJson => {
                let reason = InvalidResponse::NotJson(serde_json::from_str::<Value>("<html>").unwrap_err());
                TransportError::InvalidResponse { method, reason }
            }
            Self::Empty => TransportError::InvalidResponse { method, reason: InvalidResponse::Empty },
        }
    }
}

pub(crate) type Answer = Result<Value, Failure>;

/// A bundler that has the methods that it was given, and no others.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    answers: Mutex<HashMap<&'static str, Answer>>,
    asked: Mutex<Vec<(String, Value)>>,
}

impl Scripted {
    pub(crate) fn new(answers: impl IntoIterator<Item = (&'static str, Answer)>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() })
    }

    pub(crate) fn bundler(self: &Arc<Self>) -> Bundler {
        Bundler::new(self.clone())
    }

    pub(crate) fn answer(&self, method: &'static str, answer: Answer) {
        self.answers.lock().unwrap().insert(method, answer);
    }

    /// The methods that were asked for since the last call of this.
    pub(crate) fn take_methods(&self) -> Vec<String> {
        self.asked.lock().unwrap().drain(..).map(|(method, _)| method).collect()
    }

    /// The parameters of the last request.
    pub(crate) fn last_params(&self) -> Value {
        self.asked.lock().unwrap().last().unwrap().1.clone()
    }

    pub(crate) fn was_asked(&self, wanted: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|(method, _)| method == wanted)
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn request(&self, method: &str, params: Value, _: Repeat) -> Result<Value, TransportError> {
        self.asked.lock().unwrap().push((method.to_owned(), params));
        // What is asked at the same time is all asked before the first answer.
        tokio::task::yield_now().await;
        let answer = self.answers.lock().unwrap().get(method).cloned();
        let answer = answer.unwrap_or(Err(Failure::Rpc(-32601, "Method not found")));
        answer.map_err(|failure| failure.error(method))
    }
}

pub(crate) fn operation() -> SignedUserOperation<Vec<u8>> {
    let operation = UserOperation {
        sender: Address::repeat_byte(1),
        nonce: U256::from(16),
        init_code: Vec::new(),
        call_data: vec![1, 2],
        call_gas_limit: U256::ZERO,
        verification_gas_limit: U256::from(2),
        pre_verification_gas: U256::from(3),
        max_fee_per_gas: U256::from(4),
        max_priority_fee_per_gas: U256::from(5),
        paymaster_and_data: Vec::new(),
    };
    operation.sign(vec![0xff])
}

pub(crate) fn hash() -> B256 {
    operation().operation.hash(ENTRY_POINT, CHAIN)
}

pub(crate) fn gas(pre_verification_gas: u64) -> Value {
    json!({ "preVerificationGas": pre_verification_gas, "verificationGasLimit": 2, "callGasLimit": 3 })
}

pub(crate) fn waiting() -> Value {
    json!({ "userOperation": {}, "entryPoint": ENTRY_POINT, "transactionHash": null, "blockNumber": null })
}

pub(crate) fn mined() -> Value {
    json!({ "userOperation": {}, "entryPoint": ENTRY_POINT, "transactionHash": TRANSACTION, "blockNumber": 7 })
}
