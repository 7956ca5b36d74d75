//! What wallets grant, which may be less than they are asked for, and never more.

#![allow(clippy::unwrap_used, reason = "what should be granted and is not has failed")]

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use alloy_primitives::hex;
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolValue as _, sol};
use quorate_core::delegation::{
    Caveat, CaveatPlace, Caveats, Context, Delegation, Delegations, Enforcer, MANAGER_V1_3_0, Mode,
    ROOT_AUTHORITY, Redeem, SingleExecution,
};
use quorate_core::{Address, Call, Encode as _, Transaction, U256};
use quorate_delegation::{
    Approver, Asset, GrantError, Granted, PermissionRequest, RedeemedBy, Redemptions, Spending, pin_context,
};
use quorate_protocol::{Deployment, FeeCaps, Forbidden, Limits, Subject, Target};
use serde_json::json;

sol! {
    struct Argued { address enforcer; bytes terms; bytes args; }
    struct Signed {
        address delegate; address delegator; bytes32 authority; Argued[] caveats; uint256 salt; bytes signature;
    }
}

const CHAIN: NonZeroU64 = NonZeroU64::new(8453).unwrap();
const KEY: Address = Address::repeat_byte(0x4b);
const USDC: Address = Address::repeat_byte(0x70);
const SHOP: Address = Address::repeat_byte(0x50);
const START: u64 = 1_750_000_000;
const END: u64 = START + 86_400;

fn word(number: impl TryInto<U256, Error: std::fmt::Debug>) -> Vec<u8> {
    number.try_into().unwrap().to_be_bytes::<32>().to_vec()
}

/// A wallet, and what it puts into its next delegation.
struct Wallet {
    user: PrivateKeySigner,
    caveats: Vec<(Enforcer, Vec<u8>)>,
    delegate: Address,
    authority: quorate_core::B256,
    signs_for: u64,
}

impl Wallet {
    fn new(caveats: Vec<(Enforcer, Vec<u8>)>) -> Self {
        let user = PrivateKeySigner::random();
        Self { user, caveats, delegate: KEY, authority: ROOT_AUTHORITY, signs_for: CHAIN.get() }
    }

    /// So much of the token in all, by a day's end, while the user is at nonce 5.
    fn of_allowance(amount: u64) -> Self {
        let spending = [USDC.to_vec(), word(amount), word(U256::MAX), word(START)].concat();
        Self::new(vec![
            (Enforcer::ERC20PeriodTransfer, spending),
            (Enforcer::ValueLte, word(0)),
            (Enforcer::Timestamp, word(END)),
            (Enforcer::Nonce, word(5)),
        ])
    }

    fn with(mut self, caveat: usize, terms: Vec<u8>) -> Self {
        self.caveats[caveat].1 = terms;
        self
    }

    fn without(mut self, caveat: usize) -> Self {
        self.caveats.remove(caveat);
        self
    }

    fn context(&self) -> Vec<u8> {
        let caveat = |(enforcer, terms): &(Enforcer, Vec<u8>)| (enforcer.address_v1_3_0(), terms.clone());
        let caveats: Vec<_> = self.caveats.iter().map(caveat).collect();
        let caveats: Vec<_> =
            caveats.iter().map(|(enforcer, terms)| Caveat { enforcer: *enforcer, terms }).collect();
        let unsigned = Delegation {
            delegate: self.delegate,
            delegator: self.user.address(),
            authority: self.authority,
            caveats: Caveats::from(&caveats[..]),
            salt: U256::from(1),
            signature: &[],
        };
        let digest = unsigned.signing_digest(self.signs_for, MANAGER_V1_3_0);
        let signature = self.user.sign_hash_sync(&digest).unwrap().as_bytes();
        Delegations(&[Delegation { signature: &signature, ..unsigned }]).to_vec()
    }

    /// As wallets answer; what it says of the permission is the request's.
    fn answer(&self, request: &PermissionRequest) -> serde_json::Value {
        let mut answer = request.params();
        answer[0]["context"] = json!(hex::encode_prefixed(self.context()));
        answer[0]["delegationManager"] = json!(MANAGER_V1_3_0);
        answer[0]["dependencies"] = json!([]);
        answer
    }

    fn grant(&self, request: &PermissionRequest) -> Result<Granted, GrantError> {
        Granted::check(request, &self.answer(request).to_string(), &Deployment::V1_3_0)
    }
}

/// 25 of the token in all, until a day's end.
fn allowance() -> PermissionRequest {
    let spending = Spending::Allowance { amount: U256::from(25), start: None };
    PermissionRequest { until: Some(END), ..PermissionRequest::new(CHAIN, KEY, Asset::Erc20(USDC), spending) }
}

fn redemptions() -> Redemptions {
    Redemptions {
        redeemer: RedeemedBy::Key,
        fees: FeeCaps { gas_limit: 500_000, fee_per_gas: U256::from(50), total: U256::from(1_000_000_000) },
        limits: Limits::default(),
        left_to_chain: BTreeSet::new(),
        given_up: BTreeSet::new(),
    }
}

#[test]
fn a_smaller_allowance_is_what_counts_and_what_nodes_hold() {
    let wallet = Wallet::of_allowance(10);
    let granted = wallet.grant(&allowance()).unwrap();
    assert_eq!(granted.delegator, wallet.user.address());
    assert_eq!(granted.approver, Approver::Key);
    assert_eq!(granted.spending, Spending::Allowance { amount: U256::from(10), start: Some(START) });
    assert_eq!((granted.until, granted.nonce), (Some(END), Some(U256::from(5))));

    let permissions = granted.permissions(granted.delegator, redemptions()).unwrap();
    let target = Target::from(permissions);
    let pay = |amount: u64, now| {
        let data = [&[0xa9, 0x05, 0x9c, 0xbb][..], SHOP.into_word().as_slice(), &word(amount)].concat();
        let execution = SingleExecution(Call { to: USDC, value: U256::ZERO, data: &data }).to_vec();
        let context = Context::parse(granted.context.as_bytes()).unwrap();
        let transaction = Transaction {
            chain_id: CHAIN.get(),
            nonce: 0,
            max_priority_fee_per_gas: 1,
            max_fee_per_gas: 30,
            gas_limit: 300_000,
            to: MANAGER_V1_3_0,
            value: U256::ZERO,
            data: Redeem { context, mode: Mode::SINGLE, execution: &execution }.to_vec(),
        };
        target.judge(&Subject::Transaction(transaction), KEY, now)
    };
    let [paid] = pay(10, START + 1).unwrap().caveats[..] else { panic!("one amount is counted") };
    assert_eq!((paid.amount, paid.limit), (U256::from(10), U256::from(10)));
    let forbidden = |result: Result<_, Forbidden>| match result {
        Err(forbidden) => forbidden.enforcer_text().map(|text| text.to_string()),
        Ok::<quorate_protocol::PermittedSubject, _>(_) => panic!("it is paid"),
    };
    let exceeded = "ERC20PeriodTransferEnforcer:transfer-amount-exceeded";
    assert_eq!(forbidden(pay(11, START + 1)).as_deref(), Some(exceeded));
    assert!(pay(1, END).is_err(), "it has ended");
}

#[test]
fn each_grant_that_is_not_what_was_asked_for_is_refused_by_name() {
    let usual = allowance();
    let of = |amount| Wallet::of_allowance(amount);
    let erc20 = |token: Address, amount: u64, duration: U256| {
        [token.to_vec(), word(amount), word(duration), word(START)].concat()
    };
    let exact = PermissionRequest { is_adjustable: false, ..allowance() };
    let to_shop = PermissionRequest { payees: vec![SHOP], ..allowance() };
    let from = PermissionRequest { from: Some(SHOP), ..allowance() };
    let late = PermissionRequest {
        spending: Spending::Allowance { amount: U256::from(25), start: Some(START + 1) },
        ..allowance()
    };
    let payee = |address: Address| {
        let mut wallet = of(25);
        wallet.caveats.push((Enforcer::AllowedCalldata, [word(4), address.into_word().to_vec()].concat()));
        wallet
    };
    let of_other_key = Wallet { delegate: SHOP, ..of(25) };
    let resting = Wallet { authority: [7; 32].into(), ..of(25) };
    let cases: Vec<(&PermissionRequest, Wallet, &str)> = vec![
        (&usual, of(26), "delegation 0, caveat 0: the amount is 26, and was asked for as 25"),
        (&exact, of(24), "the amount is 24, and had to be 25"),
        (&usual, of(25).with(0, erc20(SHOP, 25, U256::MAX)), "the token is 0x5050"),
        (&usual, of(25).with(0, erc20(USDC, 25, U256::from(60))), "the duration in seconds is 60"),
        (&usual, of(25).with(0, USDC.to_vec()), "caveat 0: terms that ERC20PeriodTransfer does not read"),
        (&usual, of(25).without(0), "no caveat of ERC20PeriodTransfer holds the amount"),
        (&usual, of(25).without(1), "no caveat of ValueLte holds the value of 0 beside a token"),
        (&usual, of(25).with(1, word(1)), "caveat 1: the value of 0 beside a token is 1"),
        (&usual, of(25).without(2), "no caveat of Timestamp holds the end"),
        (&usual, of(25).with(2, word(0)), "no caveat of Timestamp holds the end"),
        (&usual, of(25).with(2, word(END + 1)), "caveat 2: the end is 1750086401"),
        (&late, of(25), "caveat 0: the start is 1750000000, and was asked for as 1750000001"),
        (&to_shop, of(25), "no caveat of AllowedCalldata holds the payee"),
        (&to_shop, payee(USDC), "caveat 4: the payee is 0x7070"),
        (&from, of(25), "and was asked of 0x5050"),
        (&usual, of_other_key, "the permission is for 0x5050"),
        (&usual, resting, "the permission's context is not taken"),
    ];
    for (request, wallet, expected) in &cases {
        let refused = wallet.grant(request).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}\nand not: {expected}");
    }
    payee(SHOP).grant(&to_shop).unwrap();
    of(25).grant(&exact).unwrap();
}

#[test]
fn what_stands_beside_the_context_is_held_to_the_request_where_it_matters() {
    let (request, wallet) = (allowance(), Wallet::of_allowance(25));
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut answer = wallet.answer(&request);
        change(&mut answer);
        Granted::check(&request, &answer.to_string(), &Deployment::V1_3_0).unwrap_err()
    };
    assert!(matches!(refused(&|it| it[0]["chainId"] = json!("0x1")), GrantError::Chain { asked: 8453, .. }));
    let other = refused(&|it| it[0]["delegationManager"] = json!(SHOP));
    assert!(matches!(other, GrantError::Manager { found: SHOP, .. }));
    let twice = refused(&|it| *it = json!([it[0], it[0]]));
    assert!(matches!(twice, GrantError::Count { found: 2 }));
    let undeployed = refused(&|it| it[0]["dependencies"] = json!([{ "factory": USDC, "factoryData": "0x" }]));
    assert!(matches!(undeployed, GrantError::Undeployed { factory: USDC }));
    assert!(matches!(refused(&|it| *it = json!("no")), GrantError::Json(_)));

    // What it says of the amount is no matter: the caveat is.
    let mut answer = wallet.answer(&request);
    answer[0]["permission"]["data"]["allowanceAmount"] = json!("0xffff");
    let granted = Granted::check(&request, &answer.to_string(), &Deployment::V1_3_0).unwrap();
    assert_eq!(granted.spending, Spending::Allowance { amount: U256::from(25), start: Some(START) });
}

#[test]
fn a_signature_that_is_not_the_delegators_key_is_for_its_code_to_judge() {
    let elsewhere = Wallet { signs_for: 1, ..Wallet::of_allowance(25) };
    let granted = elsewhere.grant(&allowance()).unwrap();
    let Approver::Code { digest, signature } = granted.approver else { panic!("signed for another chain") };
    assert_eq!(signature.len(), 65);
    let context = elsewhere.context();
    let delegation = Context::parse(&context).unwrap().get(0).unwrap();
    assert_eq!(digest, delegation.signing_digest(CHAIN.get(), MANAGER_V1_3_0));
}

#[test]
fn coin_and_streams_are_held_field_by_field() {
    let stream = |initial: u64, max: U256, per_second: u64| {
        [word(initial), word(max), word(per_second), word(START)].concat()
    };
    let coin = |enforcer, terms| Wallet::new(vec![(enforcer, terms), (Enforcer::ExactCalldata, Vec::new())]);
    let request = |spending| PermissionRequest::new(CHAIN, KEY, Asset::Native, spending);
    let asked = Spending::Stream {
        initial: U256::from(5),
        max: Some(U256::from(90)),
        per_second: U256::from(2),
        start: None,
    };
    let of_stream = |terms| coin(Enforcer::NativeTokenStreaming, terms).grant(&request(asked));
    let granted = of_stream(stream(4, U256::from(80), 1)).unwrap();
    let lesser = Spending::Stream {
        initial: U256::from(4),
        max: Some(U256::from(80)),
        per_second: U256::ONE,
        start: Some(START),
    };
    assert_eq!((granted.spending, granted.until), (lesser, None));
    for (terms, expected) in [
        (stream(6, U256::from(90), 2), "the amount at the start is 6"),
        (stream(5, U256::from(91), 2), "the amount in all is 91"),
        (stream(5, U256::from(90), 3), "the amount of a second is 3"),
    ] {
        let refused = of_stream(terms).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }

    let day = NonZeroU64::new(86_400).unwrap();
    let daily = request(Spending::Periodic { amount: U256::from(7), duration: day, start: None });
    let period = |amount: u64, duration: u64| {
        coin(Enforcer::NativeTokenPeriodTransfer, [word(amount), word(duration), word(START)].concat())
    };
    period(7, 86_400).grant(&daily).unwrap();
    period(7, 90_000).grant(&daily).unwrap();
    let often = period(7, 3_600).grant(&daily).unwrap_err().to_string();
    assert!(often.contains("the duration in seconds is 3600, and was asked for as 86400"), "{often}");
    let with_call = Wallet { caveats: vec![period(7, 86_400).caveats[0].clone()], ..period(7, 86_400) };
    let refused = with_call.grant(&daily).unwrap_err().to_string();
    assert!(refused.contains("no caveat of ExactCalldata holds the absence of call data"), "{refused}");
}

#[test]
fn what_nodes_cannot_judge_is_left_to_the_chain_by_name_or_refused() {
    let mut wallet = Wallet::of_allowance(25);
    wallet.caveats.push((Enforcer::BlockNumber, word(0)));
    let granted = wallet.grant(&allowance()).unwrap();
    let place = CaveatPlace { delegation: 0, caveat: 4 };
    assert_eq!(granted.not_judged().collect::<Vec<_>>(), [place]);
    let refused = granted.permissions(granted.delegator, redemptions()).unwrap_err();
    assert!(matches!(refused, GrantError::NotJudged { place: found } if found == place), "{refused}");
    let left = Redemptions { left_to_chain: [place].into(), ..redemptions() };
    assert_eq!(granted.permissions(granted.delegator, left).unwrap().unjudged, [place].into());
}

#[test]
fn every_type_is_asked_for_as_wallets_read_it() {
    let amount = U256::from(300);
    let spendings = [
        Spending::Allowance { amount, start: Some(START) },
        Spending::Periodic { amount, duration: NonZeroU64::new(60).unwrap(), start: None },
        Spending::Stream { initial: U256::ZERO, max: None, per_second: amount, start: None },
    ];
    let expected = [
        json!({ "allowanceAmount": "0x12c", "startTime": START }),
        json!({ "periodAmount": "0x12c", "periodDuration": 60 }),
        json!({ "initialAmount": "0x0", "amountPerSecond": "0x12c" }),
    ];
    for (spending, data) in spendings.into_iter().zip(expected) {
        let params = PermissionRequest::new(CHAIN, KEY, Asset::Native, spending).params();
        assert_eq!(params[0]["permission"]["data"], data);
        assert_eq!(params[0]["chainId"], "0x2105");
        assert_eq!(params[0]["rules"], json!([]));
        let of_token = PermissionRequest {
            payees: vec![SHOP],
            from: Some(USDC),
            ..PermissionRequest::new(CHAIN, KEY, Asset::Erc20(USDC), spending)
        };
        let params = of_token.params();
        assert_eq!(params[0]["permission"]["data"]["tokenAddress"], json!(USDC));
        assert_eq!(params[0]["rules"], json!([{ "type": "payee", "data": { "addresses": [SHOP] } }]));
        assert_eq!((&params[0]["to"], &params[0]["from"]), (&json!(KEY), &json!(USDC)));
    }
    let names = spendings.map(|spending| {
        [Asset::Native, Asset::Erc20(USDC)]
            .map(|asset| PermissionRequest::new(CHAIN, KEY, asset, spending).type_name())
    });
    assert_eq!(names[0], ["native-token-allowance", "erc20-token-allowance"]);
    assert_eq!(names[1], ["native-token-periodic", "erc20-token-periodic"]);
    assert_eq!(names[2], ["native-token-stream", "erc20-token-stream"]);
}

/// MetaMask's kit writes a zero byte for the arguments of each caveat, which are in no hash.
#[test]
fn arguments_that_nobody_signed_are_left_out() {
    let wallet = Wallet::of_allowance(25);
    let encoded = wallet.context();
    let signed = Context::parse(&encoded).unwrap().get(0).unwrap();
    let caveats = signed.caveats.iter().map(|caveat| Argued {
        enforcer: caveat.enforcer,
        terms: caveat.terms.to_vec().into(),
        args: vec![0].into(),
    });
    let argued = Signed {
        delegate: signed.delegate,
        delegator: signed.delegator,
        authority: signed.authority,
        caveats: caveats.collect(),
        salt: signed.salt,
        signature: signed.signature.to_vec().into(),
    };
    let pinned = pin_context(&vec![argued].abi_encode()).unwrap();
    assert_eq!(pinned.as_bytes(), encoded);
    assert!(matches!(pin_context(&encoded[..64]), Err(GrantError::Encoding(_))));
}
