//! What a device shows of a request for a key is what the nodes will hold the key to.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, FixedBytes, U256, keccak256};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use quorate_core::{
    Condition, Erc20Policy, FunctionSelector, Item, KeyRequest, KeyRequestError, KeyRequestReview, NotShown,
    Policy, Rule, SessionEpoch, Severity, Show, TaggedValue, TrustedContext,
};
use quorate_protocol::{
    ArgumentLimit, Coin, CoinWindow, Limits, PaymasterRule, Permissions, PermittedPolicy, WindowLimit,
};

const CHAIN: u64 = 137;

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::from)
}

fn number() -> impl Strategy<Value = U256> {
    prop_oneof![any::<[u8; 32]>().prop_map(U256::from_be_bytes), any::<u8>().prop_map(U256::from)]
}

fn epoch() -> impl Strategy<Value = SessionEpoch> {
    let time = || prop_oneof![Just(0), 1..=SessionEpoch::MAX_TIME];
    (time(), time()).prop_map(|(after, until)| SessionEpoch::new(after, until).unwrap())
}

fn policy() -> impl Strategy<Value = PermittedPolicy> {
    let rule = (any::<u16>(), 0_u8..6, any::<[u8; 32]>()).prop_map(|(offset, condition, reference)| {
        Rule::new(offset, Condition::try_from(condition).unwrap(), B256::from(reference))
    });
    let abi = (address(), any::<[u8; 4]>(), any::<u128>(), vec(rule, 0..5), epoch()).prop_map(
        |(contract, selector, value, rules, epoch)| {
            let policy = Policy::new(contract, FunctionSelector::new(selector)).with_value_limit(value);
            rules.into_iter().try_fold(policy.with_epoch(epoch), Policy::with_rule).unwrap().into()
        },
    );
    let erc20 =
        (address(), address(), number(), epoch()).prop_map(|(token, recipient, max_amount, epoch)| {
            Erc20Policy { token, recipient, max_amount, epoch }.into()
        });
    let module = prop_oneof![address(), Just(TrustedContext::CANONICAL.contracts[0].address)];
    (module, prop_oneof![abi, erc20])
        .prop_map(|(validation_module, policy)| PermittedPolicy { validation_module, policy })
}

fn limits() -> impl Strategy<Value = Limits> {
    let seconds = any::<NonZeroU64>;
    let window = (any::<u64>(), seconds()).prop_map(|(uses, seconds)| WindowLimit { uses, seconds });
    let argument = (address(), any::<[u8; 4]>(), any::<u16>(), number(), option::of(seconds())).prop_map(
        |(contract, selector, offset, total, seconds)| ArgumentLimit {
            contract,
            selector: FixedBytes(selector),
            offset,
            total,
            seconds,
        },
    );
    let coin = prop_oneof![Just(Coin::NativeValue), Just(Coin::GasCost)];
    let coin_window =
        (coin, number(), seconds()).prop_map(|(of, total, seconds)| CoinWindow { of, total, seconds });
    let paymaster =
        prop_oneof![Just(PaymasterRule::Any), Just(PaymasterRule::Required), Just(PaymasterRule::Forbidden)];
    (
        option::of(any::<u64>()),
        option::of(window),
        option::of(number()),
        option::of(number()),
        vec(argument, 0..3),
        paymaster,
        vec(coin_window, 0..3),
    )
        .prop_map(|(uses, window, native_value, gas_cost, arguments, paymaster, coin_windows)| Limits {
            uses,
            window,
            native_value,
            gas_cost,
            arguments,
            paymaster,
            coin_windows,
        })
}

fn permissions() -> impl Strategy<Value = Permissions> {
    (address(), address(), address(), address(), vec(policy(), 1..4), limits()).prop_map(
        |(owner, account, entry_point, session_key_manager, policies, limits)| Permissions {
            owner,
            account,
            chain_id: CHAIN,
            entry_point,
            session_key_manager,
            policies,
            limits,
        },
    )
}

/// Keeps what is shown, without the hash; a refusal takes the place of what was shown before.
#[derive(Default)]
struct Screen(Vec<String>);

impl Show for Screen {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        if item.severity == Severity::Refused {
            self.0.clear();
        }
        if item.label != quorate_core::Label::Hash {
            self.0.push(item.to_string());
        }
        Ok(())
    }
}

/// Reviews the request of a key with these permissions, of which the request claims a hash.
fn review(claimed: B256, text: &str, piece: usize) -> (Vec<String>, Result<B256, KeyRequestError>) {
    let hex = |byte: u8| B256::repeat_byte(byte);
    let ephemeral = format!(r#"{{"ephId":"app","ephPK":"{}","expiry":1900000000}}"#, hex(1));
    let claim = format!(r#"{{"network":"{}","chainId":{CHAIN},"permissions":"{claimed}"}}"#, hex(2));
    let metadata = [(TaggedValue::EPHEMERAL_KEY, &ephemeral), (TaggedValue::PERMISSIONS_CLAIM, &claim)];
    let metadata = metadata.map(|(tag, value)| TaggedValue { tag, value });
    let request = KeyRequest { threshold: 3, nodes: 5, metadata: &metadata, challenge: "9f" };
    let mut review = KeyRequestReview::new(TrustedContext::CANONICAL, Screen::default());
    let digest = (|| {
        review.begin(&request)?;
        text.as_bytes().chunks(piece).try_for_each(|piece| review.permissions(piece))?;
        review.finish()
    })();
    (std::mem::take(&mut review.display().0), digest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// All that clients write is read, and shown to the last value.
    #[test]
    fn permissions_are_shown_as_clients_write_them(permissions in permissions(), piece in 1_usize..200) {
        let text = permissions.to_json();
        let (lines, digest) = review(keccak256(&text), &text, piece);
        prop_assert!(digest.is_ok(), "{digest:?} of {text}");
        let shown = lines.join("\n");
        prop_assert!(!shown.contains("is not shown"));
        let mut values = vec![permissions.account.to_string(), permissions.owner.to_string()];
        for PermittedPolicy { validation_module, policy } in &permissions.policies {
            values.push(validation_module.to_string());
            match policy {
                quorate_protocol::CallPolicy::Abi(policy) => {
                    values.push(policy.contract().to_string());
                    values.extend(policy.rules().iter().map(|rule| format!("{:#x}", rule.reference().word())));
                }
                quorate_protocol::CallPolicy::Erc20(policy) => {
                    values.extend([policy.token.to_string(), policy.max_amount.to_string()]);
                }
            }
        }
        values.extend(permissions.limits.arguments.iter().map(|limit| limit.total.to_string()));
        values.extend(permissions.limits.uses.map(|uses| uses.to_string()));
        let of_arguments = permissions.limits.arguments.iter().filter_map(|limit| limit.seconds);
        let of_coin = permissions.limits.coin_windows.iter().map(|window| window.seconds);
        values.extend(of_arguments.chain(of_coin).map(|seconds| seconds.to_string()));
        for value in values {
            prop_assert!(shown.contains(&value), "{value} is not in {shown}");
        }
    }

    /// Where a byte is another one, other things are shown, or nothing is signed: also if the claim is the altered text's.
    #[test]
    fn no_byte_of_permissions_changes_unseen(permissions in permissions(), place in any::<prop::sample::Index>(), bit in 0_u32..7) {
        let text = permissions.to_json();
        let mut altered = text.clone().into_bytes();
        let place = place.index(altered.len());
        altered[place] ^= 1_u8 << bit;
        let altered = String::from_utf8(altered).unwrap();
        prop_assert!(review(keccak256(&text), &altered, 50).1.is_err());
        let (lines, digest) = review(keccak256(&altered), &altered, 50);
        if digest.is_ok() {
            // What the device reads, the nodes read, and as something else than before.
            if let Ok(read) = Permissions::from_json(&altered) {
                prop_assert_ne!(&read, &permissions);
            }
            let without_hash = |lines: &[String]| lines.iter().filter(|line| !line.contains("under the permissions")).cloned().collect::<Vec<_>>();
            prop_assert_ne!(without_hash(&lines), without_hash(&review(keccak256(&text), &text, 50).0));
        }
    }
}

#[test]
fn permissions_that_are_cut_or_followed_by_more_are_refused() {
    let permissions = Permissions {
        owner: Address::repeat_byte(1),
        account: Address::repeat_byte(2),
        chain_id: CHAIN,
        entry_point: Address::repeat_byte(3),
        session_key_manager: Address::repeat_byte(4),
        policies: vec![PermittedPolicy {
            validation_module: Address::repeat_byte(5),
            policy: Policy::new(Address::repeat_byte(2), FunctionSelector::new([1; 4])).into(),
        }],
        limits: Limits::default(),
    };
    let text = permissions.to_json();
    let (lines, digest) = review(keccak256(&text), &text, 7);
    digest.unwrap();
    let account = permissions.account;
    for line in [
        format!("  DANGER: checked by a module that is not known here {}", Address::repeat_byte(5)),
        format!("  DANGER: may change who controls the account, or what it has deposited {account}"),
        "  WARNING: with any arguments".to_owned(),
        "  WARNING: WITHOUT END".to_owned(),
    ] {
        assert!(lines.contains(&line), "{line} is not in {lines:#?}");
    }
    for cut in 1..text.len() {
        let cut = text.get(..cut).unwrap();
        assert_eq!(review(keccak256(cut), cut, 50).1, Err(KeyRequestError::PermissionsEnd));
    }
    let more = format!("{text} ");
    let at = text.len();
    assert_eq!(review(keccak256(&more), &more, 50).1, Err(KeyRequestError::Permissions { at }));
    let other = text.replace("\"chainId\":137", "\"chainId\":1");
    let refused = KeyRequestError::OtherChain { claimed: CHAIN, found: 1 };
    let (lines, digest) = review(keccak256(&other), &other, 50);
    assert_eq!(lines, [format!("REFUSED: {refused}")]);
    assert_eq!(digest, Err(refused));
}
