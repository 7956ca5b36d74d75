//! What an owner does with an account on a real chain and bundler.

use crate::player::{Player, block_on, call, devnet, ether, mint, nft, token};
use alloy_primitives::aliases::U192;
use alloy_primitives::{Address, U256};
use alloy_signer_local::PrivateKeySigner;
use quorate::{
    Asset, Call, Calls, Draft, Error, LocalSessionKey, Options, Percent, TokenBalance, Withdrawal,
};
use quorate_contracts::Deployment;
use quorate_core::AccountCall;

#[test]
fn an_account_is_deployed_once() {
    block_on(async {
        let player = Player::new().await;
        let account = &player.account;
        let manager = Deployment::canonical().session_key_manager;
        assert!(!account.is_deployed().await.unwrap());
        assert!(!account.is_module_enabled(manager).await.unwrap());
        account.deploy(&player.owner).await.unwrap().wait().await.unwrap();
        assert!(account.is_deployed().await.unwrap());
        assert_eq!(account.owner_on_chain().await.unwrap(), player.owner.address());
        let error = account.deploy(&player.owner).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyDeployed { .. }), "{error}");

        player.granted().await;
        assert!(account.is_module_enabled(manager).await.unwrap());
    });
}

#[test]
fn one_call_is_executed_and_several_are_a_batch() {
    block_on(async {
        let player = Player::new().await;
        let data = player.mint();
        let calls = [call(&data), call(&data), call(&data)];
        let forced = player.account.clone().with_options(Options::new().with_forced_batch(true));
        let draft = async |calls| player.account.prepare_calls(calls).await.unwrap();
        let is_batch = |draft: &Draft<Calls>| {
            matches!(AccountCall::decode(&draft.operation().operation.call_data), Ok(AccountCall::Batch(_)))
        };
        assert!(!is_batch(&draft(&calls[..1]).await));
        assert!(is_batch(&forced.prepare_calls(&calls[..1]).await.unwrap()));
        assert!(is_batch(&draft(&calls).await));
        let error = player.account.prepare_calls(&[]).await.unwrap_err();
        assert!(matches!(error, Error::NoCalls), "{error}");

        let sent = player.account.send_calls(&calls, &player.owner).await.unwrap();
        sent.wait().await.unwrap();
        assert_eq!(player.minted().await, 3);
    });
}

/// Fault 19: a nonce override of 0 is ignored, and an RPC failure becomes nonce 0.
#[test]
fn a_nonce_is_what_it_is_set_to() {
    block_on(async {
        let player = Player::new().await;
        let data = player.mint();
        let send = async |options: Options| {
            let account = player.account.clone().with_options(options);
            account.send_calls(&[call(&data)], &player.owner).await
        };
        send(Options::new()).await.unwrap().wait().await.unwrap();
        assert_eq!(player.account.nonce(U192::ZERO).await.unwrap(), U256::from(1));
        let error = send(Options::new().with_nonce(U256::ZERO)).await.unwrap_err();
        assert!(error.to_string().contains("AA25"), "nonce 0 is used up, and was asked for: {error}");

        let stream = Options::new().with_nonce_key(U192::from(77));
        let sent = send(stream).await.unwrap();
        sent.wait().await.unwrap();
        let expected = (U256::from(77) << 64) + U256::from(1);
        assert_eq!(player.account.nonce(U192::from(77)).await.unwrap(), expected);

        let broken = player.by(unreachable_node().await);
        assert!(matches!(broken.account.nonce(U192::ZERO).await, Err(Error::Chain(_))));
    });
}

/// Faults 11 and 13: offsets go through floating point.
#[test]
fn offsets_raise_what_was_estimated() {
    block_on(async {
        let player = Player::new().await;
        // The first mint of a contract takes more gas, and another test's may come between the two estimates.
        player.mint_with(&player.session().await).await;
        let data = player.mint();
        let raised = Options::new()
            .with_call_gas_offset(Percent::new(100).unwrap())
            .with_verification_gas_offset(Percent::new(50).unwrap());
        let cost = async |options| {
            player.account.clone().with_options(options).estimate(&[call(&data)]).await.unwrap()
        };
        let (plain, more) = (cost(Options::new()).await, cost(raised).await);
        assert_eq!(more.gas.call_gas_limit, plain.gas.call_gas_limit * U256::from(2));
        assert!(more.gas.verification_gas_limit > plain.gas.verification_gas_limit);
        let gas =
            plain.gas.call_gas_limit + plain.gas.verification_gas_limit + plain.gas.pre_verification_gas;
        assert_eq!(plain.wei, gas * plain.fees.max_fee_per_gas);
    });
}

#[test]
fn an_account_passes_to_another_owner_with_its_sessions() {
    block_on(async {
        let player = Player::new().await;
        let granted = player.granted().await;
        let heir = PrivateKeySigner::random();
        let sent = player.account.transfer_ownership(heir.address(), &player.owner).await.unwrap();
        sent.wait().await.unwrap();
        assert_eq!(player.account.owner_on_chain().await.unwrap(), heir.address());

        let account = player.account.clone().with_owner(heir.address());
        assert_eq!(account.address(), player.account.address());
        let data = player.mint();
        account.send_calls(&[call(&data)], &heir).await.unwrap().wait().await.unwrap();
        player.mint_with(&account.session(granted.id()).await.unwrap()).await;
        let error = player.account.send_calls(&[call(&data)], &player.owner).await.unwrap_err();
        assert!(error.to_string().contains("signature"), "the old owner signs in vain: {error}");
    });
}

/// Fault 8: a withdrawal drops per-request recipients when any amount is left out.
#[test]
fn each_withdrawal_goes_to_its_recipient() {
    block_on(async {
        let player = Player::new().await;
        let account = &player.account;
        let supply = U256::from(1_000_000);
        let gold = token(account.address(), supply).await;
        let silver = token(account.address(), supply).await;
        let [default, friend, other] = [0xa1, 0xa2, 0xa3].map(|byte| {
            let unique: [u8; 20] = std::array::from_fn(|at| account.address()[at] ^ byte);
            Address::from(unique)
        });
        let withdrawals = [
            Withdrawal::of(Asset::Token(gold), U256::from(5)).to(friend),
            Withdrawal::all(Asset::Token(silver)),
            Withdrawal::of(Asset::Native, U256::from(7)).to(other),
        ];
        let sent = account.withdraw(&withdrawals, default, &player.owner).await.unwrap();
        sent.wait().await.unwrap();

        let of = async |owner| {
            // Balances are those of an account; anybody's can be asked for by its address.
            let balances = player.balances_of(owner, &[gold, silver]).await;
            (balances.0, balances.1[0], balances.1[1])
        };
        assert_eq!(of(friend).await, (U256::ZERO, U256::from(5), U256::ZERO));
        assert_eq!(of(default).await, (U256::ZERO, U256::ZERO, supply));
        assert_eq!(of(other).await, (U256::from(7), U256::ZERO, U256::ZERO));
        let left = account.balances(&[gold, silver]).await.unwrap();
        let of = |token, amount| TokenBalance { token, amount, decimals: Some(18) };
        assert_eq!(left.tokens, [of(gold, supply - U256::from(5)), of(silver, U256::ZERO)]);
        assert!(left.native < ether());

        let all = [withdrawals[0], Withdrawal::all(Asset::Native)];
        let error = account.withdraw(&all, default, &player.owner).await.unwrap_err();
        assert!(matches!(error, Error::AllOfNative { withdrawal: 1 }), "{error}");
    });
}

#[test]
fn a_draft_of_calls_is_sent_with_its_owner_s_signature_only() {
    block_on(async {
        let player = Player::new().await;
        let data = mint(player.account.address());
        let call = Call::raw(nft(), data);
        let draft = player.account.prepare_calls(&[call]).await.unwrap();
        let thief = PrivateKeySigner::random();
        let stolen = quorate_signer::sign_as_owner(&thief, draft.user_op_hash()).await.unwrap();
        let error = player.account.submit(draft.clone(), &stolen).await.unwrap_err();
        assert!(matches!(error, Error::Signer(_)), "{error}");
        let signature = quorate_signer::sign_as_owner(&player.owner, draft.user_op_hash()).await.unwrap();
        player.account.submit(draft, &signature).await.unwrap().wait().await.unwrap();
        assert_eq!(player.minted().await, 1);
    });
}

/// Fault 23: a session's own nonce stream overrides the caller's.
#[test]
fn a_session_takes_the_caller_s_options() {
    block_on(async {
        let player = Player::new().await;
        let key = LocalSessionKey::random();
        let granted = player.granted_to(&key).await;
        let session = player.account.session(granted.id()).await.unwrap();
        let session = session.with_options(Options::new().with_nonce_key(U192::from(5)));
        player.mint_with(&session).await;
        player.mint_with(&session).await;
        let expected = (U256::from(5) << 64) + U256::from(2);
        assert_eq!(player.account.nonce(U192::from(5)).await.unwrap(), expected);
    });
}

impl Player {
    async fn balances_of(&self, holder: Address, tokens: &[Address]) -> (U256, Vec<U256>) {
        let mut balances = Vec::new();
        for token in tokens {
            balances.push(crate::player::token_balance(*token, holder).await);
        }
        let native = crate::player::rpc("eth_getBalance", serde_json::json!([holder, "latest"])).await;
        (serde_json::from_value(native).unwrap(), balances)
    }
}

/// A client whose node went away.
async fn unreachable_node() -> quorate::Quorate {
    use std::sync::Arc;
    #[derive(Debug)]
    struct Gone(quorate::HttpTransport);
    #[async_trait::async_trait]
    impl quorate::Transport for Gone {
        async fn request(
            &self,
            method: &str,
            params: serde_json::Value,
            repeat: quorate_transport::Repeat,
        ) -> Result<serde_json::Value, quorate_transport::TransportError> {
            if method == "eth_chainId" {
                return self.0.request(method, params, repeat).await;
            }
            let nowhere = quorate::HttpTransport::builder("http://127.0.0.1:1".parse().unwrap());
            nowhere.build().unwrap().request(method, params, repeat).await
        }
    }
    let transport = |url: &url::Url| quorate::HttpTransport::builder(url.clone()).build().unwrap();
    let node = Arc::new(Gone(transport(devnet().rpc_url())));
    let bundler = Arc::new(transport(devnet().bundler_url()));
    quorate::Quorate::connect_by(Deployment::canonical(), node, bundler).await.unwrap()
}
