//! What the key passes on.

use alloy_primitives::B256;
use quorate_core::delegation::{ANY_DELEGATE, CaveatPlace, ContextError, MAX_CAVEATS, MAX_TERMS};
use quorate_protocol::{
    ArgumentLimit, Coin, CoinWindow, ForbiddenRedelegation as Refused, ForbiddenRedemption, NodeLimit,
    Redelegation, RedelegationCaveat, WindowLimit,
};

use super::*;

const TOKEN: Address = Address::repeat_byte(0x70);

fn owned(enforcer: Enforcer, terms: &[u8]) -> RedelegationCaveat {
    RedelegationCaveat { enforcer: enforcer.address_v1_3_0(), terms: terms.to_vec() }
}

/// Three calls until the permissions' end.
fn redelegation() -> Redelegation {
    Redelegation {
        chain_id: CHAIN,
        manager: MANAGER_V1_3_0,
        delegate: FRIEND,
        delegator: KEY,
        authority: permissions().context.hashes()[0],
        caveats: vec![owned(Enforcer::Timestamp, &until(END)), owned(Enforcer::LimitedCalls, &word(3))],
        salt: U256::ONE,
    }
}

fn judge_changed(
    permissions: &DelegationPermissions,
    change: impl FnOnce(&mut Redelegation),
) -> Result<PermittedSubject, Forbidden> {
    let mut redelegation = redelegation();
    change(&mut redelegation);
    judge(permissions, Subject::Redelegation(redelegation))
}

#[test]
fn a_redelegation_is_charged_in_full_and_costs_no_gas() {
    let redelegation = redelegation();
    let permitted = judge(&permissions(), Subject::Redelegation(redelegation.clone())).unwrap();
    let caveats = redelegation.caveats();
    let delegation = redelegation.delegation(&caveats);
    assert_eq!(permitted.digest, delegation.signing_digest(CHAIN, MANAGER_V1_3_0));
    assert_eq!(permitted.amounts, [U256::from(3), U256::ZERO]);
    let again = judge(&permissions(), Subject::Redelegation(redelegation)).unwrap();
    assert_eq!(again.charge, permitted.charge, "the chain counts both under one hash");
    let other = judge_changed(&permissions(), |it| it.salt = U256::ZERO).unwrap();
    assert_ne!(other.charge, permitted.charge);
}

#[test]
fn every_redelegation_that_is_refused_has_its_reason() {
    let leaf = permissions().context.hashes()[0];
    let place = CaveatPlace { delegation: 0, caveat: 1 };
    let many = ContextError::TooManyCaveats { delegation: 0, len: MAX_CAVEATS + 1 };
    let long = ContextError::TermsTooLong { place, len: MAX_TERMS + 1 };
    type Change = fn(&mut Redelegation);
    let cases: [(Change, Forbidden); 11] = [
        (|it| it.authority = ROOT_AUTHORITY, Refused::RootAuthority.into()),
        (|it| it.delegate = ANY_DELEGATE, Refused::Open.into()),
        (|it| it.chain_id = 1, Forbidden::Chain { chain_id: 1, permitted: CHAIN }),
        (|it| it.manager = NFT, Refused::Manager { manager: NFT, permitted: MANAGER_V1_3_0 }.into()),
        (|it| it.delegator = OWNER, Refused::Delegator { delegator: OWNER, redeemer: KEY }.into()),
        (|it| it.authority = B256::ZERO, Refused::Authority { authority: B256::ZERO, leaf }.into()),
        (|it| it.caveats = vec![it.caveats[0].clone(); MAX_CAVEATS + 1], Refused::TooLarge(many).into()),
        (|it| it.caveats[1].terms = vec![0; MAX_TERMS + 1], Refused::TooLarge(long).into()),
        (|it| _ = it.caveats.remove(0), Refused::NoEnd { latest: END }.into()),
        (|it| it.caveats[0].terms = until(0).to_vec(), Refused::NoEnd { latest: END }.into()),
        (
            |it| it.caveats[0].terms = until(END + 1).to_vec(),
            Refused::EndsLate { end: u128::from(END) + 1, latest: END }.into(),
        ),
    ];
    for (change, forbidden) in cases {
        assert_eq!(judge_changed(&permissions(), change), Err(forbidden));
    }
    let late = judge_at(&permissions(), Subject::Redelegation(redelegation()), END + 1);
    let expired = ForbiddenRedemption::Expired { valid_until: END, now: END + 1 };
    assert_eq!(late, Err(Refused::Time(expired).into()));
}

#[test]
fn what_nodes_alone_hold_is_a_caveat_or_given_up_by_name() {
    let seconds = NonZeroU64::new(60).unwrap();
    let argument = |offset, seconds| ArgumentLimit {
        contract: TOKEN,
        selector: [0xa9, 0x05, 0x9c, 0xbb].into(),
        offset,
        total: U256::from(100),
        seconds,
    };
    let of_token = |total| owned(Enforcer::ERC20TransferAmount, &[TOKEN.as_slice(), &word(total)].concat());
    let of_other = owned(Enforcer::ERC20TransferAmount, &[NFT.as_slice(), &word(9)].concat());
    let of_coin = |total| owned(Enforcer::NativeTokenTransferAmount, &word(total));
    let nothing = Limits::default;
    let windowed = CoinWindow { of: Coin::NativeValue, total: U256::from(5), seconds };
    let cases = [
        (
            NodeLimit::Uses,
            Limits { uses: Some(9), ..nothing() },
            vec![owned(Enforcer::LimitedCalls, &word(2))],
            Some(2),
        ),
        (NodeLimit::Uses, Limits { uses: Some(9), ..nothing() }, vec![], None),
        (
            NodeLimit::Window,
            Limits { window: Some(WindowLimit { uses: 9, seconds }), ..nothing() },
            vec![owned(Enforcer::LimitedCalls, &word(2))],
            None,
        ),
        (
            NodeLimit::NativeValue,
            Limits { native_value: Some(U256::from(9)), ..nothing() },
            vec![of_coin(4)],
            Some(4),
        ),
        (
            NodeLimit::NativeValue,
            Limits { native_value: Some(U256::from(9)), ..nothing() },
            vec![owned(Enforcer::ValueLte, &word(0))],
            Some(0),
        ),
        // So much with each call is no total.
        (
            NodeLimit::NativeValue,
            Limits { native_value: Some(U256::from(9)), ..nothing() },
            vec![owned(Enforcer::ValueLte, &word(1))],
            None,
        ),
        (
            NodeLimit::Arguments,
            Limits { arguments: vec![argument(32, None)], ..nothing() },
            vec![of_token(7), of_token(6)],
            Some(6),
        ),
        (
            NodeLimit::Arguments,
            Limits { arguments: vec![argument(32, None)], ..nothing() },
            vec![of_other],
            None,
        ),
        (
            NodeLimit::Arguments,
            Limits { arguments: vec![argument(0, None)], ..nothing() },
            vec![of_token(7)],
            None,
        ),
        (
            NodeLimit::Arguments,
            Limits { arguments: vec![argument(32, Some(seconds))], ..nothing() },
            vec![of_token(7)],
            None,
        ),
        (
            NodeLimit::CoinWindows,
            Limits { coin_windows: vec![windowed], ..nothing() },
            vec![of_coin(4)],
            None,
        ),
    ];
    for (limit, limits, caveats, charged) in cases {
        let mut permissions = DelegationPermissions { limits, ..permissions() };
        let judge = |permissions: &DelegationPermissions| {
            judge_changed(permissions, |it| {
                it.caveats.truncate(1);
                it.caveats.extend(caveats.clone());
            })
        };
        let counted =
            |permitted: PermittedSubject| permitted.amounts.into_iter().fold(U256::ZERO, |a, b| a + b);
        match charged {
            Some(charged) => assert_eq!(counted(judge(&permissions).unwrap()), U256::from(charged)),
            None => assert_eq!(judge(&permissions), Err(Refused::Limit { limit }.into())),
        }
        permissions.given_up.insert(limit);
        assert_eq!(counted(judge(&permissions).unwrap()), U256::ZERO, "{limit}");
    }
}

#[test]
fn a_caveat_of_an_unknown_contract_bounds_nothing() {
    let unknown = judge_changed(&permissions(), |it| it.caveats[1].enforcer = NFT);
    assert_eq!(unknown, Err(Refused::Limit { limit: NodeLimit::Uses }.into()));
}
