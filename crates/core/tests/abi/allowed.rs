//! The calls that a policy allows, and their neighbours.

use alloy_primitives::aliases::U96;
use alloy_sol_types::{JsonAbiExt as _, SolCall as _};
use quorate_core::{Address, B256, Condition::*, Policy, U256};

use crate::*;

/// Builds the policy by position, by name and from text, and asserts that all three are one.
macro_rules! policy {
    ($call:ty, $(($position:expr, $name:expr, $condition:expr, $value:expr)),+) => {{
        let by_position = Policy::on(CONTRACT).allow::<$call>()$(.arg($position, $condition, $value))+.build();
        let by_name = Policy::on(CONTRACT).allow_abi::<$call>()$(.arg($name, $condition, $value))+.build();
        let text = <$call>::abi().full_signature();
        let by_text = Policy::on(CONTRACT).allow_fn(text.as_str()).unwrap()$(.arg($name, $condition, $value))+;
        let policy = by_position.unwrap();
        assert_eq!(policy, by_name.unwrap());
        assert_eq!(policy, by_text.try_into().unwrap());
        assert_eq!(policy.selector(), <$call>::SELECTOR.into());
        policy
    }};
}

fn number(number: u64) -> U256 {
    U256::from(number)
}

#[test]
fn one_address() {
    let policy = policy!(safeMintCall, (0, "to", Equal, ALICE));
    assert_allows(&policy, &[safeMintCall { to: ALICE }], &[safeMintCall { to: BOB }]);
}

#[test]
fn an_address_and_an_amount() {
    let policy = policy!(transferCall, (0, "to", Equal, &ALICE), (1, "amount", LessThanOrEqual, number(10)));
    let call = |to, amount| transferCall { to, amount: number(amount) };
    assert_allows(&policy, &[call(ALICE, 0), call(ALICE, 10)], &[call(BOB, 10), call(ALICE, 11)]);
}

#[test]
fn anything_but_an_address() {
    let policy = policy!(safeMintCall, (0, "to", NotEqual, ALICE));
    assert_allows(&policy, &[safeMintCall { to: BOB }], &[safeMintCall { to: ALICE }]);
}

#[test]
fn a_static_tuple() {
    let policy = policy!(
        fillCall,
        ("0.0", "order.maker", Equal, ALICE),
        ("0.1", "order.amount", LessThan, number(10)),
        (1, "nonce", Equal, number(7))
    );
    let call = |maker, amount, nonce| fillCall {
        order: Order { maker, amount: number(amount) },
        nonce: number(nonce),
    };
    let refused = [call(BOB, 9, 7), call(ALICE, 10, 7), call(ALICE, 9, 8), call(ALICE, 9, 6)];
    assert_allows(&policy, &[call(ALICE, 9, 7), call(ALICE, 0, 7)], &refused);
}

#[test]
fn a_static_array() {
    let policy = policy!(
        setIdsCall,
        ("0[0]", "ids[0]", Equal, number(1)),
        ("0[2]", "ids[2]", GreaterThan, number(2)),
        (1, "level", LessThanOrEqual, U256::from(3))
    );
    let call = |ids: [u64; 3], level| setIdsCall { ids: ids.map(number), level };
    let refused = [call([2, 9, 3], 3), call([1, 9, 2], 3), call([1, 9, 3], 4), call([9, 1, 3], 0)];
    assert_allows(&policy, &[call([1, 9, 3], 3), call([1, 0, 9], 0)], &refused);
}

#[test]
fn dynamic_arguments_before_a_static_one() {
    let policy = policy!(postCall, (2, "until", GreaterThanOrEqual, 100_u64));
    let call = |len, until| postCall { data: vec![0xff; len].into(), memo: "x".repeat(len), until };
    assert_allows(&policy, &[call(0, 100), call(70, u64::MAX)], &[call(0, 99), call(70, 0)]);
}

#[test]
fn bytes_stand_left_in_their_word() {
    let id = B256::repeat_byte(0x77);
    let policy = policy!(tagCall, (0, "kind", Equal, [0x12, 0x34, 0x56, 0x78_u8]), (1, "id", Equal, id));
    let mut word = B256::ZERO;
    word[..4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    assert_eq!(policy.rules()[0].reference().word(), word);
    let call = |kind: [u8; 4], id| tagCall { kind: kind.into(), id };
    assert_allows(
        &policy,
        &[call([0x12, 0x34, 0x56, 0x78], id)],
        &[call([0x12, 0x34, 0x56, 0x79], id), call([0; 4], id), call([0x12, 0x34, 0x56, 0x78], B256::ZERO)],
    );
}

#[test]
fn negative_numbers() {
    let policy = policy!(adjustCall, (0, "delta", Equal, -5_i64));
    let call = |delta| adjustCall { delta };
    assert_allows(&policy, &[call(-5)], &[call(5), call(-4), call(-6), call(0)]);
}

#[test]
fn booleans() {
    let policy = policy!(setApprovalForAllCall, (1, "approved", Equal, false), (0, "operator", Equal, ALICE));
    let call = |operator, approved| setApprovalForAllCall { operator, approved };
    assert_allows(&policy, &[call(ALICE, false)], &[call(ALICE, true), call(BOB, false)]);
}

#[test]
fn tuples_in_arrays_in_tuples() {
    let policy = policy!(
        swapCall,
        ("0.0[1].1", "route.legs[1].kind", Equal, U256::from(2)),
        ("0.0[0].0", "route.legs[0].token", Equal, ALICE),
        ("0.1", "route.exact", Equal, true),
        (2, "limit", LessThan, 1_000_u128)
    );
    let call = |token, kind, exact, limit| swapCall {
        route: Route { legs: [Leg { token, kind: 9 }, Leg { token: BOB, kind }], exact },
        note: vec![1; 40].into(),
        limit,
    };
    let refused = [
        call(BOB, 2, true, 999),
        call(ALICE, 1, true, 999),
        call(ALICE, 2, false, 999),
        call(ALICE, 2, true, 1_000),
    ];
    assert_allows(&policy, &[call(ALICE, 2, true, 999)], &refused);
}

#[test]
fn arrays_of_arrays() {
    let policy = policy!(
        paintCall,
        ("0[2][1]", "grid[2][1]", Equal, number(21)),
        ("0[0][1]", "grid[0][1]", Equal, number(1)),
        ("1[1]", "colours[1]", Equal, *b"blue")
    );
    let call = |last: u64, first: u64, colour: [u8; 4]| paintCall {
        grid: [[0, first], [10, 11], [20, last]].map(|row| row.map(number)),
        colours: [(*b"pink").into(), colour.into()],
    };
    let refused = [call(20, 1, *b"blue"), call(21, 2, *b"blue"), call(21, 1, *b"pink")];
    assert_allows(&policy, &[call(21, 1, *b"blue")], &refused);
}

#[test]
fn a_dynamic_tuple_before_a_static_argument() {
    let policy = policy!(writeCall, (1, "to", Equal, ALICE));
    let call = |to| writeCall { note: Note { text: "t".repeat(50), number: number(1) }, to };
    assert_allows(&policy, &[call(ALICE)], &[call(BOB)]);
}

#[test]
fn dynamic_arrays_before_a_static_tuple() {
    let policy = policy!(
        writeAllCall,
        ("3.1", "order.amount", GreaterThan, number(5)),
        ("3.0", "order.maker", Equal, ALICE)
    );
    let call = |maker: Address, amount| writeAllCall {
        notes: vec![Note { text: "text".into(), number: number(1) }; 2],
        orders: vec![Order { maker: BOB, amount: number(0) }; 3],
        titles: ["a".into(), "b".repeat(33)],
        order: Order { maker, amount: number(amount) },
    };
    assert_allows(&policy, &[call(ALICE, 6)], &[call(ALICE, 5), call(BOB, 6)]);
}

#[test]
fn contracts_enums_and_types_of_the_users() {
    let price = number(50);
    let policy = policy!(
        tradeCall,
        (0, "token", Equal, ALICE),
        (1, "side", Equal, Side::Sell),
        (2, "price", GreaterThanOrEqual, price)
    );
    let call = |token, side, price: u64| tradeCall { token, side, price: U96::from(price) };
    let refused = [call(BOB, Side::Sell, 50), call(ALICE, Side::Buy, 50), call(ALICE, Side::Sell, 49)];
    assert_allows(&policy, &[call(ALICE, Side::Sell, 50), call(ALICE, Side::Sell, 51)], &refused);
}

#[test]
fn unsigned_words_up_to_their_last_value() {
    for (text, bits) in [("f(uint8 n)", 8), ("f(uint96 n)", 96), ("f(uint n)", 256)] {
        let most = U256::MAX >> (256 - bits);
        let builder = Policy::on(CONTRACT).allow_fn(text).unwrap();
        let policy = builder.arg("n", LessThan, most).build().unwrap();
        assert_eq!(policy.rules()[0].reference().to_uint(), most);
    }
}

#[test]
fn functions_of_an_abi_and_texts_of_all_kinds() {
    let expected = Policy::on(CONTRACT).allow::<fillCall>().arg("0.1", Equal, number(1)).build().unwrap();
    for text in [
        "fill((address,uint256),uint256)",
        "function fill(tuple(address maker, uint amount) order, uint nonce)",
        " function fill((address maker, uint256 amount) calldata order, uint256) external payable returns (bool);",
    ] {
        let builder = Policy::on(CONTRACT).allow_fn(text).unwrap();
        assert_eq!(builder.arg("0.1", Equal, number(1)).build().unwrap(), expected, "{text}");
    }
    let function = fillCall::abi();
    for builder in [Policy::on(CONTRACT).allow_fn(&function), Policy::on(CONTRACT).allow_fn(function.clone())]
    {
        assert_eq!(builder.unwrap().arg("order.amount", Equal, number(1)).build().unwrap(), expected);
    }
}

#[test]
fn limits_and_times_as_in_a_policy() {
    let policy = policy!(safeMintCall, (0, "to", Equal, ALICE));
    let built = Policy::on(CONTRACT)
        .allow::<safeMintCall>()
        .arg(0, Equal, ALICE)
        .with_value_limit(9)
        .valid_after(10)
        .valid_until(20)
        .build();
    let epoch = quorate_core::SessionEpoch::new(10, 20).unwrap();
    assert_eq!(built.unwrap(), policy.with_value_limit(9).with_epoch(epoch));
}
