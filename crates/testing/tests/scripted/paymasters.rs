//! Operations that somebody else pays for: the service by the client that speaks to it, and the contracts' rules.

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall as _;
use quorate_contracts::Erc20;
use quorate_core::*;
use quorate_paymaster::{Biconomy, Erc7677, Paymaster, PaymasterError, PaymasterRequest, Payment, TokenList};
use quorate_testing::{
    BundlerDialect, Endpoint, Fault, PaymasterFault, ScriptedBundler, ScriptedChain, ScriptedPaymaster,
};
use quorate_transport::{TransportError, TransportExt as _};
use serde_json::{Value, json};

use crate::support::*;

const VERIFYING: Address = ScriptedPaymaster::VERIFYING_PAYMASTER;
const COLLECTOR: Address = ScriptedPaymaster::TOKEN_PAYMASTER;
const TOKEN: Address = Address::repeat_byte(0x70);
const OTHER_TOKEN: Address = Address::repeat_byte(0x71);

type Unsigned = UserOperation<Vec<u8>>;

/// A chain with a paymaster, and a deployed account without a coin that has 1000 tokens.
struct Scene {
    chain: ScriptedChain,
    bundler: Arc<ScriptedBundler>,
    service: Arc<ScriptedPaymaster>,
    account: Address,
}

impl Scene {
    fn new() -> Self {
        let chain = ScriptedChain::new();
        let account = chain.deploy_directly(key(1).address(), U256::ZERO);
        chain.fund_token(TOKEN, account, U256::from(1000) * ether());
        chain.fund_token(OTHER_TOKEN, account, U256::ZERO);
        Self { bundler: chain.bundler(), service: chain.paymaster(), chain, account }
    }

    fn biconomy(&self) -> Biconomy {
        Biconomy::new(self.service.clone())
    }

    fn erc7677(&self) -> Erc7677 {
        Erc7677::new(self.service.clone(), VERIFYING).with_token_paymaster(COLLECTOR)
    }

    /// An operation without gas that calls [`NFT`].
    fn unpriced(&self) -> Unsigned {
        self.without_gas(&[call(NFT, &[1])])
    }

    fn without_gas(&self, calls: &[Call<'_>]) -> Unsigned {
        let [call_gas_limit, verification_gas_limit, pre_verification_gas] = [U256::ZERO; 3];
        let op = operation(&self.chain, self.account, calls);
        UserOperation { call_gas_limit, verification_gas_limit, pre_verification_gas, ..op }
    }

    /// One that approves what the token's paymaster takes, and calls [`NFT`].
    fn approving(&self, amount: U256) -> Unsigned {
        let approval = Erc20::approveCall { spender: COLLECTOR, amount }.abi_encode();
        self.without_gas(&[call(TOKEN, &approval), call(NFT, &[1])])
    }

    fn request<'a>(
        &self,
        operation: &'a Unsigned,
        dummy: &'a [u8],
        payment: Payment,
    ) -> PaymasterRequest<'a> {
        PaymasterRequest {
            operation,
            dummy_signature: dummy,
            entry_point: self.chain.deployment().entry_point,
            chain_id: self.chain.chain_id(),
            payment,
            caller_estimates: false,
        }
    }

    /// A signature of the right form and of another key.
    fn dummy(&self, op: &Unsigned) -> Vec<u8> {
        sign(&self.chain, op.clone(), &key(9)).signature
    }

    /// As a client fills an operation: stub, gas, and data where the stub's is not final.
    async fn fill(
        &self,
        paymaster: &dyn Paymaster,
        mut op: Unsigned,
        payment: Payment,
    ) -> Result<Unsigned, PaymasterError> {
        let dummy = self.dummy(&op);
        let stub = paymaster.stub(&self.request(&op, &dummy, payment)).await?;
        if stub.is_final {
            op.pre_verification_gas = stub.gas.pre_verification_gas.unwrap();
            op.verification_gas_limit = stub.gas.verification_gas_limit.unwrap();
            op.call_gas_limit = stub.gas.call_gas_limit.unwrap();
            op.paymaster_and_data = stub.data.into();
            return Ok(op);
        }
        op.paymaster_and_data = stub.data.as_bytes().to_vec();
        let params = (wire(&op.clone().sign(dummy.clone())), self.chain.deployment().entry_point);
        let gas: Value = self.bundler.call("eth_estimateUserOperationGas", params).await.unwrap();
        let limit = |name: &str| gas[name].as_str().unwrap().parse::<U256>().unwrap();
        op.pre_verification_gas = limit("preVerificationGas");
        op.verification_gas_limit = limit("verificationGasLimit") + stub.post_op_gas;
        op.call_gas_limit = limit("callGasLimit");
        op.paymaster_and_data.clear();
        let data = paymaster.data(&self.request(&op, &dummy, payment)).await?;
        stub.check(&data)?;
        op.paymaster_and_data = data.into();
        Ok(op)
    }

    async fn sponsored(&self) -> Unsigned {
        self.fill(&self.biconomy(), self.unpriced(), Payment::Sponsored).await.unwrap()
    }

    async fn refusal(&self, op: Unsigned) -> String {
        refused(&self.chain, &self.bundler, &sign(&self.chain, op, &key(1))).await.message
    }
}

fn ether() -> U256 {
    U256::from(10).pow(U256::from(18))
}

#[tokio::test]
async fn the_paymaster_pays_for_a_sponsored_operation() {
    let scene = Scene::new();
    let paymasters: [Box<dyn Paymaster>; 3] = [
        Box::new(scene.biconomy()),
        Box::new(scene.biconomy().with_calculated_gas(false)),
        Box::new(scene.erc7677()),
    ];
    for paymaster in paymasters {
        let before = scene.chain.deposit(VERIFYING);
        let op = scene.fill(&*paymaster, scene.unpriced(), Payment::Sponsored).await.unwrap();
        let sent = send(&scene.chain, &scene.bundler, &sign(&scene.chain, op, &key(1))).await.unwrap();
        assert_eq!(scene.chain.outcome(sent), Some(true));
        let receipt = receipt(&scene.bundler, sent).await;
        assert_eq!(receipt["paymaster"], json!(VERIFYING));
        let cost: U256 = receipt["actualGasCost"].as_str().unwrap().parse().unwrap();
        assert!(!cost.is_zero());
        assert_eq!(scene.chain.deposit(VERIFYING), before - cost);
    }
    assert_eq!(scene.chain.balance(scene.account), U256::ZERO);
    assert_eq!(scene.chain.deposit(scene.account), U256::ZERO);
}

#[tokio::test]
async fn a_sponsored_operation_deploys_its_account() {
    let chain = ScriptedChain::new();
    let (bundler, service) = (chain.bundler(), chain.paymaster());
    let account = quorate_contracts::account::address(&chain.deployment(), key(1).address(), U256::ZERO);
    let scene = Scene { chain, bundler, service, account };
    let op = scene.sponsored().await;
    // The service's estimate, deployment and postOp added.
    assert_eq!(op.verification_gas_limit, U256::from(500_000 + 150_000 + 40_000));
    send(&scene.chain, &scene.bundler, &sign(&scene.chain, op, &key(1))).await.unwrap();
    assert!(scene.chain.is_deployed(account));
}

#[tokio::test]
async fn tokens_are_taken_after_the_calls_by_the_allowance() {
    let scene = Scene::new();
    let paymasters: [Box<dyn Paymaster>; 2] = [Box::new(scene.biconomy()), Box::new(scene.erc7677())];
    for paymaster in paymasters {
        let [had, earned] = [scene.account, COLLECTOR].map(|holder| scene.chain.token_balance(TOKEN, holder));
        let op = scene.approving(U256::MAX);
        let op = scene.fill(&*paymaster, op, Payment::Token(TOKEN)).await.unwrap();
        let sent = send(&scene.chain, &scene.bundler, &sign(&scene.chain, op, &key(1))).await.unwrap();
        assert_eq!(scene.chain.outcome(sent), Some(true));

        // 100 000 gas at 2 gwei, 60 000 more for postOp, at 2000 tokens for an ether: 0.64 tokens.
        let charge = U256::from(64) * ether() / U256::from(100);
        assert_eq!(scene.chain.token_balance(TOKEN, scene.account), had - charge);
        assert_eq!(scene.chain.token_balance(TOKEN, COLLECTOR), earned + charge);
        let logs = receipt(&scene.bundler, sent).await["logs"].clone();
        assert_eq!(logs[0]["address"], json!(TOKEN), "a Transfer before the entry point's event");
    }
    assert_eq!(scene.chain.balance(scene.account), U256::ZERO);
}

#[tokio::test]
async fn without_an_allowance_the_calls_are_undone_and_the_account_owes() {
    let scene = Scene::new();
    let fill = async |nonce: u64| {
        let op = UserOperation { nonce: U256::from(nonce) << 64, ..scene.unpriced() };
        scene.fill(&scene.biconomy(), op, Payment::Token(TOKEN)).await
    };
    let (first, second) = (fill(0).await.unwrap(), fill(1).await.unwrap());
    let sent = send(&scene.chain, &scene.bundler, &sign(&scene.chain, first, &key(1))).await.unwrap();
    assert_eq!(scene.chain.outcome(sent), Some(false));
    assert!(scene.chain.executions().is_empty());
    assert_eq!(scene.chain.owed(TOKEN, scene.account), U256::from(64) * ether() / U256::from(100));
    assert_eq!(scene.chain.nonce(scene.account, Default::default()), U256::from(1));

    // The contract refuses what was signed before, and the service signs no more, but still sponsors.
    assert!(scene.refusal(second).await.contains("AA33 reverted"));
    let refused = fill(2).await.unwrap_err();
    assert!(matches!(refused, PaymasterError::Refused { code: -32001, .. }), "{refused}");
    let sponsored = sign(&scene.chain, scene.sponsored().await, &key(1));
    send(&scene.chain, &scene.bundler, &sponsored).await.unwrap();
}

#[tokio::test]
async fn the_paymaster_signs_gas_fees_and_calls() {
    let scene = Scene::new();
    let filled = scene.sponsored().await;
    let changes: [fn(&mut Unsigned); 6] = [
        |op| op.call_gas_limit += U256::from(1),
        |op| op.verification_gas_limit += U256::from(1),
        |op| op.pre_verification_gas += U256::from(1),
        |op| op.max_fee_per_gas += U256::from(1),
        |op| op.max_priority_fee_per_gas -= U256::from(1),
        |op| op.call_data = Execute(call(NFT, &[2])).to_vec(),
    ];
    for change in changes {
        let mut op = filled.clone();
        change(&mut op);
        let refusal = refused(&scene.chain, &scene.bundler, &sign(&scene.chain, op, &key(1))).await;
        assert_eq!(refusal.code, -32507);
        assert!(refusal.message.contains("AA34"), "{refusal}");
    }
    send(&scene.chain, &scene.bundler, &sign(&scene.chain, filled, &key(1))).await.unwrap();
}

#[tokio::test]
async fn the_entry_point_s_words() {
    let scene = Scene::new();
    let filled = scene.sponsored().await;

    scene.chain.set_code(VERIFYING, false);
    assert!(scene.refusal(filled.clone()).await.contains("AA30 paymaster not deployed"));
    scene.chain.set_code(VERIFYING, true);

    let deposit = scene.chain.deposit(VERIFYING);
    scene.chain.set_deposit(VERIFYING, U256::from(1));
    assert!(scene.refusal(filled.clone()).await.contains("AA31 paymaster deposit too low"));
    scene.chain.set_deposit(VERIFYING, deposit);

    scene.chain.reverting(VERIFYING);
    assert!(scene.refusal(filled.clone()).await.contains("AA33 reverted: scripted to revert"));
    scene.chain.not_reverting(VERIFYING);
    let cut = filled.paymaster_and_data[..100].to_vec();
    let malformed = UserOperation { paymaster_and_data: cut, ..filled.clone() };
    assert!(scene.refusal(malformed).await.contains("AA33 reverted (or OOG)"));

    // It is good for 300 seconds, and alto wants some of them.
    scene.chain.advance(298);
    let error = refused(&scene.chain, &scene.bundler, &sign(&scene.chain, filled.clone(), &key(1))).await;
    assert_eq!((error.code, error.message.as_str()), (-32503, "User operation expires too soon"));
    scene.chain.advance(10);
    assert!(scene.refusal(filled).await.contains("AA32 paymaster expired or not due"));
}

#[tokio::test]
async fn what_expires_in_the_mempool_is_dropped_with_the_reason() {
    let scene = Scene::new();
    scene.bundler.set_dialect(BundlerDialect::Biconomy);
    let op = sign(&scene.chain, scene.sponsored().await, &key(1));
    scene.bundler.hold_all(true);
    let sent = send(&scene.chain, &scene.bundler, &op).await.unwrap();
    scene.chain.advance(400);
    scene.bundler.hold_all(false);
    assert_eq!(scene.chain.outcome(sent), None);
    let status: Value = scene.bundler.call("biconomy_getUserOperationStatus", (sent,)).await.unwrap();
    assert_eq!(status["state"], "DROPPED_FROM_BUNDLER_MEMPOOL");
    assert_eq!(status["message"], "AA32 paymaster expired or not due");
}

#[tokio::test]
async fn a_quote_covers_the_charge_and_names_what_is_not_taken() {
    let scene = Scene::new();
    let stranger = Address::repeat_byte(0x72);
    let tokens = TokenList { tokens: vec![TOKEN, stranger], preferred: Some(OTHER_TOKEN) };
    let op = scene.unpriced();
    let dummy = scene.dummy(&op);
    let request = scene.request(&op, &dummy, Payment::Token(TOKEN));
    let quotes = scene.biconomy().quotes(&request, &tokens).await.unwrap();
    assert_eq!(quotes.quotes.iter().map(|quote| quote.token).collect::<Vec<_>>(), [OTHER_TOKEN, TOKEN]);
    assert_eq!(quotes.unsupported, [stranger]);
    let quote = quotes.for_token(TOKEN).unwrap();
    assert_eq!((quote.decimals, quote.paymaster), (18, COLLECTOR));

    // With an approval of no more than the quote, the payment goes through.
    let approving = scene.approving(quote.max_fee);
    let op = scene.fill(&scene.biconomy(), approving, Payment::Token(TOKEN)).await.unwrap();
    let sent = send(&scene.chain, &scene.bundler, &sign(&scene.chain, op, &key(1))).await.unwrap();
    assert_eq!(scene.chain.outcome(sent), Some(true));

    let unsupported = scene.fill(&scene.biconomy(), scene.unpriced(), Payment::Token(stranger)).await;
    assert!(matches!(unsupported, Err(PaymasterError::Refused { code: -32602, .. })), "{unsupported:?}");
}

#[tokio::test]
async fn a_service_that_errs_once_is_found_out() {
    let scene = Scene::new();
    let biconomy = scene.biconomy();
    let erc7677 = scene.erc7677();
    let fill = async |paymaster: &dyn Paymaster, fault, payment| {
        scene.service.fault_next(fault);
        scene.fill(paymaster, scene.approving(U256::MAX), payment).await
    };
    let in_token = Payment::Token(TOKEN);
    for paymaster in [&biconomy as &dyn Paymaster, &erc7677] {
        let refused = fill(paymaster, PaymasterFault::Refuse("over budget".into()), in_token).await;
        assert!(
            matches!(&refused, Err(PaymasterError::Refused { code: -32001, message }) if message == "over budget"),
            "{refused:?}"
        );
        let empty = fill(paymaster, PaymasterFault::Empty, in_token).await;
        assert!(matches!(empty, Err(PaymasterError::NoPaymaster { len: 0 })), "{empty:?}");
        let other = fill(paymaster, PaymasterFault::OtherPaymaster, in_token).await;
        assert!(matches!(other, Err(PaymasterError::OtherPaymaster { .. })), "{other:?}");
        let other = fill(paymaster, PaymasterFault::OtherToken, in_token).await;
        let charged = Payment::Token(OTHER_TOKEN);
        assert!(
            matches!(other, Err(PaymasterError::OtherPayment { found, .. }) if found == charged),
            "{other:?}"
        );
        let expired = fill(paymaster, PaymasterFault::Expired, Payment::Sponsored).await.unwrap();
        assert!(scene.refusal(expired).await.contains("AA32"));
        let forged = fill(paymaster, PaymasterFault::WrongSigner, Payment::Sponsored).await.unwrap();
        assert!(scene.refusal(forged).await.contains("AA34"));
        let honest = scene.fill(paymaster, scene.approving(U256::MAX), in_token).await;
        assert!(honest.is_ok(), "{honest:?}");
    }

    // The limits in the answer are not those that were signed.
    let higher = fill(&biconomy, PaymasterFault::HigherGas, Payment::Sponsored).await.unwrap();
    assert_eq!(higher.call_gas_limit, U256::from(600_000));
    assert!(scene.refusal(higher).await.contains("AA34"));
    scene.service.set_fault(Some(PaymasterFault::HigherGas));
    let late = scene.biconomy().with_calculated_gas(false);
    let changed = scene.fill(&late, scene.unpriced(), Payment::Sponsored).await;
    assert!(matches!(changed, Err(PaymasterError::GasChanged { .. })), "{changed:?}");
    scene.service.clear_faults();

    let most = |op: &Unsigned| {
        let data = quorate_paymaster::PaymasterData::new(op.paymaster_and_data.clone()).unwrap();
        data.terms().unwrap().charge.unwrap().1
    };
    let greedy = fill(&biconomy, PaymasterFault::HigherCharge, in_token).await.unwrap();
    let honest = scene.fill(&biconomy, scene.approving(U256::MAX), in_token).await.unwrap();
    assert_eq!(most(&greedy), most(&honest) * U256::from(10));
}

#[tokio::test]
async fn the_service_is_an_endpoint_like_the_others() {
    let scene = Scene::new();
    scene.service.on_next("pm_sponsorUserOperation", Fault::Timeout);
    let late = scene.fill(&scene.biconomy(), scene.unpriced(), Payment::Sponsored).await;
    assert!(matches!(late, Err(PaymasterError::Transport(TransportError::Timeout { .. }))), "{late:?}");
    scene.chain.clear_requests();
    scene.sponsored().await;
    assert_eq!(scene.service.endpoint(), Endpoint::Paymaster(0));
    let asked = (Endpoint::Paymaster(0), "pm_sponsorUserOperation".to_owned());
    assert_eq!(scene.chain.requests(), [asked]);

    // A second service stands for the same contracts, and the deposit is not doubled.
    let before = scene.chain.deposit(VERIFYING);
    let other = scene.chain.paymaster();
    assert_eq!(scene.chain.deposit(VERIFYING), before);
    other.down(Fault::Unreachable);
    let error = other.call::<Value>("pm_getPaymasterData", ()).await.unwrap_err();
    assert!(error.to_string().contains("paymaster-1"), "{error}");
    let unknown = scene.service.call::<Value>("eth_chainId", ()).await.unwrap_err();
    assert_eq!(unknown.rpc().unwrap().code, -32601);
}

#[tokio::test]
async fn a_request_for_elsewhere_is_refused() {
    let scene = Scene::new();
    let op = wire(&sign(&scene.chain, scene.unpriced(), &key(1)));
    let entry_point = scene.chain.deployment().entry_point;
    let ask = async |entry_point: Address, chain_id: u64| {
        let params = (op.clone(), entry_point, U256::from(chain_id), json!({}));
        scene.service.call::<Value>("pm_getPaymasterStubData", params).await
    };
    assert_eq!(ask(entry_point, ScriptedChain::CHAIN_ID).await.unwrap()["isFinal"], false);
    for error in [ask(NFT, ScriptedChain::CHAIN_ID).await, ask(entry_point, 1).await] {
        assert_eq!(error.unwrap_err().rpc().unwrap().code, -32602);
    }
}
