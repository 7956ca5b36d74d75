//! The texts of permissions of either target.

use alloy_primitives::{B256, hex, keccak256};
use quorate_core::delegation::{ANY_DELEGATE, CaveatPlace, ChainError, ContextError};
use quorate_core::{FunctionSelector, Policy};
use quorate_protocol::{
    FactoryPin, NodeLimit, Permissions, PermissionsError, PermittedPolicy, PinnedContextError, SessionAccount,
};
use serde_json::{Value, json};

use super::*;

/// With everything that there is.
fn full() -> DelegationPermissions {
    let caveats = [caveat(Enforcer::AllowedTargets, NFT.as_slice())];
    let account = Address::repeat_byte(0xac);
    DelegationPermissions {
        deployment: Deployment::Other {
            manager: Address::repeat_byte(0xde),
            enforcers: vec![(NFT, Enforcer::AllowedTargets), (FRIEND, Enforcer::ERC20Streaming)],
        },
        redeemer: Redeemer::Account(SessionAccount {
            address: account,
            factory: Some(FactoryPin { address: NFT, data_hash: keccak256(b"deploy") }),
        }),
        unjudged: BTreeSet::from([CaveatPlace { delegation: 0, caveat: 0 }]),
        given_up: BTreeSet::from([NodeLimit::Uses, NodeLimit::CoinWindows]),
        ..permissions_for(&[Delegation { delegate: account, ..delegation(&caveats) }])
    }
}

fn form(permissions: &DelegationPermissions) -> Value {
    serde_json::from_str(&permissions.to_json()).unwrap()
}

/// The full text with another value at `pointer` (RFC 6901).
fn with(pointer: &str, value: Value) -> String {
    let mut text = form(&full());
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match text.pointer_mut(parent).unwrap() {
        Value::Array(items) => items.push(value),
        parent => parent[field] = value,
    }
    text.to_string()
}

fn reason(error: &dyn std::error::Error) -> String {
    let source = error.source().map(reason);
    format!("{error}: {}", source.unwrap_or_default())
}

#[test]
fn permissions_keep_their_form() {
    let permissions = permissions_of(&[]);
    let text = json!({
        "version": 2,
        "owner": OWNER,
        "target": { "delegation": {
            "chainId": CHAIN,
            "deployment": "v1.3.0",
            "context": hex::encode_prefixed(permissions.context.as_bytes()),
            "redeemer": "key",
            "nonces": [{ "delegator": OWNER, "nonce": "0x5" }],
        } },
        "fees": { "gasLimit": 500_000, "feePerGas": "0x32", "total": "0x1c9c380" },
        "validAfter": NOW - 10,
        "validUntil": END,
        "limits": { "uses": 9 },
    });
    assert_eq!(form(&permissions), text);

    let full = full();
    let target = &form(&full)["target"]["delegation"];
    assert_eq!(
        target["deployment"],
        json!({ "other": { "manager": Address::repeat_byte(0xde), "enforcers": [
            { "name": "AllowedTargets", "address": NFT }, { "name": "ERC20Streaming", "address": FRIEND },
        ] } })
    );
    assert_eq!(
        target["redeemer"],
        json!({ "account": {
            "address": Address::repeat_byte(0xac),
            "factory": { "address": NFT, "dataHash": keccak256(b"deploy") },
        } })
    );
    assert_eq!(target["unjudged"], json!([{ "delegation": 0, "caveat": 0 }]));
    assert_eq!(form(&full)["givenUp"], json!(["uses", "coinWindows"]));
    for permissions in [permissions, full] {
        permissions.check().unwrap();
        assert_eq!(Target::from_json(&permissions.to_json()).unwrap(), Target::Delegation(permissions));
    }
}

/// Owners have signed its hash, and nodes have attested to it.
#[test]
fn version_1_is_what_it_was() {
    let policy = Policy::new(NFT, FunctionSelector::new(MINT));
    let permissions = Permissions {
        owner: OWNER,
        account: FRIEND,
        chain_id: CHAIN,
        entry_point: Address::repeat_byte(0xee),
        session_key_manager: Address::repeat_byte(0x5e),
        policies: vec![PermittedPolicy { validation_module: NFT, policy: policy.into() }],
        limits: Limits::default(),
    };
    let text = r#"{"version":1,"owner":"0x0101010101010101010101010101010101010101","account":"0xf1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1","chainId":80002,"entryPoint":"0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","sessionKeyManager":"0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e","policies":[{"validationModule":"0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","contract":"0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","selector":"0x40d097c3","rules":[],"valueLimit":"0x0","validAfter":0,"validUntil":0}]}"#;
    let target = Target::SessionKeyManager(permissions.clone());
    assert_eq!(target.to_json(), text);
    assert_eq!(permissions.to_json(), text);
    assert_eq!(Target::from_json(text).unwrap(), target);
    assert_eq!(target.session_key_manager(), Some(&permissions));
    let of_all = [target.owner(), Target::Delegation(full()).owner()];
    assert_eq!(of_all, [OWNER; 2]);
    assert_eq!(Target::Delegation(full()).session_key_manager(), None);
    assert_eq!(Target::Delegation(full()).chain_id(), CHAIN);
}

#[test]
fn a_node_that_knows_version_1_alone_takes_no_other() {
    assert!(Permissions::from_json(&full().to_json()).is_err());
    for (pointer, version) in [("/version", 1), ("/version", 3)] {
        assert!(Target::from_json(&with(pointer, json!(version))).is_err());
    }
    let error = DelegationPermissions::from_json(&with("/version", json!(1))).unwrap_err();
    assert!(matches!(error, PermissionsError::UnknownVersion { found: 1 }), "{error}");
}

#[test]
fn texts_that_are_refused_say_where() {
    let target = "/target/delegation";
    for (pointer, value, expected) in [
        ("/note".to_owned(), json!(""), "unknown field `note`"),
        ("/account".to_owned(), json!(NFT), "unknown field `account`"),
        ("/target".to_owned(), json!({ "sessionKeyManager": {} }), "unknown variant `sessionKeyManager`"),
        (format!("{target}/note"), json!(""), "unknown field `note`"),
        (format!("{target}/chainId"), json!(0), "target.delegation.chainId"),
        (format!("{target}/deployment"), json!("v1.2.0"), "unknown variant `v1.2.0`"),
        (format!("{target}/deployment/other/manager"), json!("0x12"), "0x and 40 hex digits"),
        (
            format!("{target}/deployment/other/enforcers/-"),
            json!({ "name": "NoSuch", "address": OWNER }),
            "`NoSuch` is no known enforcer",
        ),
        (
            format!("{target}/deployment/other/enforcers/-"),
            json!({ "name": "Nonce", "address": NFT }),
            "item 2 of `enforcers` repeats",
        ),
        (format!("{target}/redeemer"), json!("nobody"), "unknown variant `nobody`"),
        (format!("{target}/redeemer/account/address"), json!(NFT), "would redeem them"),
        (format!("{target}/redeemer/account/note"), json!(""), "unknown field `note`"),
        (
            format!("{target}/nonces/-"),
            json!({ "delegator": OWNER, "nonce": 1 }),
            "item 1 of `nonces` repeats",
        ),
        (
            format!("{target}/unjudged/-"),
            json!({ "delegation": 0, "caveat": 0 }),
            "item 1 of `unjudged` repeats",
        ),
        (format!("{target}/unjudged/-"), json!({ "delegation": 0, "caveat": 1 }), "where no caveat is"),
        (format!("{target}/unjudged/-"), json!({ "delegation": 1, "caveat": 0 }), "where no caveat is"),
        ("/givenUp/-".to_owned(), json!("uses"), "item 2 of `givenUp` repeats"),
        ("/givenUp/-".to_owned(), json!("gasCost"), "unknown variant `gasCost`"),
        ("/fees/note".to_owned(), json!(1), "fees.note"),
        ("/fees/total".to_owned(), json!("01"), "without leading zeros"),
        ("/validUntil".to_owned(), json!(1_u64 << 48), "the times of the permissions"),
        ("/limits/gasCost".to_owned(), json!("1"), "`fees.total`"),
        ("/limits/note".to_owned(), json!("1"), "limits.note"),
    ] {
        let error = reason(&Target::from_json(&with(&pointer, value)).unwrap_err());
        assert!(error.contains(expected), "{pointer}: {error}");
    }
    for field in ["owner", "target", "fees", "validAfter", "validUntil"] {
        let mut text = form(&full());
        text.as_object_mut().unwrap().remove(field).unwrap();
        let error = reason(&Target::from_json(&text.to_string()).unwrap_err());
        assert!(error.contains(&format!("missing field `{field}`")), "{error}");
    }
}

#[test]
fn a_context_that_others_could_redeem_is_not_pinned() {
    let root = delegation(&[]);
    let child = Delegation { delegate: FRIEND, delegator: KEY, authority: root.hash(), ..root };
    PinnedContext::new(context(&[child, root])).unwrap();
    let open = |it| Delegation { delegate: ANY_DELEGATE, ..it };
    let unrelated = Delegation { authority: B256::ZERO, ..child };
    let by_other = Delegation { delegator: NFT, ..child };
    let mut trailing = context(&[root]);
    trailing.extend([0; 32]);
    let malformed = PinnedContext::new(trailing).unwrap_err();
    assert!(matches!(malformed, PinnedContextError::Context(ContextError::Malformed(_))), "{malformed}");
    for (delegations, expected) in [
        (vec![], PinnedContextError::Context(ContextError::NoDelegations)),
        (vec![open(root)], PinnedContextError::Open { delegation: 0 }),
        (vec![child, open(root)], PinnedContextError::Open { delegation: 1 }),
        (vec![unrelated, root], PinnedContextError::Chain(ChainError::Authority { delegation: 0 })),
        (vec![child], PinnedContextError::Chain(ChainError::Authority { delegation: 0 })),
        (
            vec![by_other, root],
            PinnedContextError::Chain(ChainError::Delegate { delegation: 1, delegate: KEY }),
        ),
    ] {
        assert_eq!(PinnedContext::new(context(&delegations)), Err(expected));
    }
}
