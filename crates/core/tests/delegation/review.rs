//! What an owner is shown of a delegation before they sign it.

use proptest::prelude::*;
use quorate_core::delegation::{
    ANY_DELEGATE, Caveat, Caveats, Delegation, DelegationLint, Enforcer, Enforcers, MANAGER_V1_3_0,
    MAX_CAVEATS, ROOT_AUTHORITY,
};
use quorate_core::{
    Address, B256, DelegationDomain, DelegationReview, DelegationReviewError, Item, NotShown, Severity, Show,
    Text, TrustedContext, U256, known_functions,
};

const OWNER: Address = Address::repeat_byte(0x01);
const KEY: Address = Address::repeat_byte(0x4b);
const USDC: Address = Address::repeat_byte(0x70);
const FRIEND: Address = Address::repeat_byte(0xf1);
const DOMAIN: DelegationDomain = DelegationDomain { chain_id: 8453, manager: MANAGER_V1_3_0 };

/// An enforcer's terms, owned.
type Bound = (Address, Vec<u8>);

fn bound(enforcer: Enforcer, terms: impl Into<Vec<u8>>) -> Bound {
    (enforcer.address_v1_3_0(), terms.into())
}

fn words<const N: usize>(numbers: [u64; N]) -> Vec<u8> {
    numbers.iter().flat_map(|number| U256::from(*number).to_be_bytes::<32>()).collect()
}

fn of_token(rest: Vec<u8>) -> Vec<u8> {
    [USDC.to_vec(), rest].concat()
}

fn times(after: u128, before: u128) -> Vec<u8> {
    [after.to_be_bytes(), before.to_be_bytes()].concat()
}

#[derive(Clone, Debug)]
struct Signed {
    domain: DelegationDomain,
    delegate: Address,
    delegator: Address,
    authority: B256,
    salt: U256,
    bounds: Vec<Bound>,
}

impl Signed {
    fn of(bounds: Vec<Bound>) -> Self {
        let (authority, salt) = (ROOT_AUTHORITY, U256::from(7));
        Self { domain: DOMAIN, delegate: KEY, delegator: OWNER, authority, salt, bounds }
    }

    fn with<T>(&self, work: impl FnOnce(&Delegation<'_>) -> T) -> T {
        let caveats: Vec<_> =
            self.bounds.iter().map(|(enforcer, terms)| Caveat { enforcer: *enforcer, terms }).collect();
        work(&Delegation {
            delegate: self.delegate,
            delegator: self.delegator,
            authority: self.authority,
            caveats: Caveats::from(&caveats[..]),
            salt: self.salt,
            signature: &[],
        })
    }

    fn review(&self) -> (String, Result<B256, DelegationReviewError>) {
        let functions = known_functions!["transfer(address to, uint256 amount)"];
        let trusted = TrustedContext { functions, ..TrustedContext::CANONICAL };
        let mut lines = String::new();
        let mut review = DelegationReview::new(trusted, Text(&mut lines));
        let digest = self.with(|delegation| review.review(self.domain, delegation));
        (lines, digest)
    }

    /// What is shown but for the hashes at the end.
    fn lines(&self) -> Result<String, DelegationReviewError> {
        let (lines, digest) = self.review();
        digest?;
        Ok(lines
            .lines()
            .filter(|line| !line.starts_with("Known on") && !line.starts_with("Hash of"))
            .collect())
    }

    fn lints(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        self.with(|it| it.lint(&Enforcers::V1_3_0, &mut |lint: DelegationLint| found.push(lint.name())));
        found
    }
}

/// One of each kind.
fn each_kind() -> Vec<Bound> {
    let to_friend = [words([4]), FRIEND.into_word().to_vec()].concat();
    vec![
        bound(Enforcer::AllowedTargets, [USDC.to_vec(), FRIEND.to_vec()].concat()),
        bound(Enforcer::AllowedMethods, [0xa9, 0x05, 0x9c, 0xbb]),
        bound(Enforcer::AllowedCalldata, to_friend),
        bound(Enforcer::AllowedCalldata, [words([5]), vec![0, 9]].concat()),
        bound(Enforcer::ExactCalldata, [0xa9, 0x05, 0x9c, 0xbb, 1]),
        bound(Enforcer::ValueLte, words([10_000_000_000_000_000])),
        bound(Enforcer::Timestamp, times(1_800_000_000, 1_900_000_000)),
        bound(Enforcer::BlockNumber, times(5, 9)),
        bound(Enforcer::LimitedCalls, words([3])),
        bound(Enforcer::NativeTokenTransferAmount, words([7])),
        bound(Enforcer::ERC20TransferAmount, of_token(words([25_000_000]))),
        bound(Enforcer::NativeTokenPeriodTransfer, words([6, 3600, 1_800_000_000])),
        bound(Enforcer::ERC20PeriodTransfer, of_token(words([5_000_000, 86_400, 1_800_000_000]))),
        bound(Enforcer::NativeTokenStreaming, words([1, 100, 2, 1_800_000_000])),
        bound(Enforcer::ERC20Streaming, of_token(words([1, 100, 2, 1_800_000_000]))),
        bound(Enforcer::Redeemer, KEY.to_vec()),
        bound(Enforcer::Nonce, words([11])),
        bound(Enforcer::Id, words([12])),
        bound(Enforcer::ApprovalRevocation, [0b11]),
        (Address::repeat_byte(0xee), vec![1, 2, 3]),
    ]
}

#[test]
fn a_wallet_s_permission_in_words() {
    let signed = Signed::of(vec![
        bound(Enforcer::ERC20PeriodTransfer, of_token(words([5_000_000, 86_400, 1_800_000_000]))),
        bound(Enforcer::ValueLte, words([0])),
        bound(Enforcer::Nonce, words([0])),
        bound(Enforcer::Timestamp, times(0, 1_900_000_001)),
    ]);
    let (lines, digest) = signed.review();
    let (hash, expected) =
        signed.with(|delegation| (delegation.hash(), delegation.signing_digest(8453, MANAGER_V1_3_0)));
    assert_eq!(digest, Ok(expected));
    let expected = format!(
        "\
Delegation of the account {OWNER}
  chain 8453
  redeemed at the manager {MANAGER_V1_3_0}
  lets act for it {KEY}
  salt 0x7
Bound 1 of 4
  transfers only the token {USDC}
    in each period at most 5000000
    of so many seconds: 86400
    counted from 2027-01-15 08:00:00 UTC
Bound 2 of 4
  each call sends at most 0 of the chain's coin
Bound 3 of 4
  as long as the account's nonce for delegations is 0
Bound 4 of 4
  until 2030-03-17 17:46:40 UTC
Known on chain by {hash}
Hash of all this {expected}
"
    );
    assert_eq!(lines, expected);
    assert_eq!(signed.lints(), [""; 0]);
}

#[test]
fn what_is_dangerous_comes_first() {
    let (lines, _) = Signed { delegate: ANY_DELEGATE, ..Signed::of(each_kind()) }.review();
    let at = |text: &str| lines.find(text).unwrap_or_else(|| panic!("{text}: {lines}"));
    assert!(at("DANGER: anybody may use it, and use it up") < at("Bound 1 of 20"));
    assert!(at("Bound 20 of 20") < at("DANGER: within what a contract says that is not known here:"));
}

#[test]
fn what_most_owners_would_not_sign_is_found() {
    let lints = |bounds| Signed::of(bounds).lints();
    assert_eq!(lints(vec![]), ["unbounded"]);
    let targets = |contracts: &[Address]| bound(Enforcer::AllowedTargets, contracts.concat());
    let methods = |functions: &[[u8; 4]]| bound(Enforcer::AllowedMethods, functions.concat());
    let end = || bound(Enforcer::Timestamp, times(0, 9));
    let none = || bound(Enforcer::ValueLte, words([0]));
    assert_eq!(lints(vec![end()]), ["any-contract", "any-function", "any-value"]);
    assert_eq!(lints(vec![targets(&[USDC]), methods(&[[1; 4]]), none()]), ["no-end"]);
    let pairs = vec![targets(&[USDC, FRIEND]), methods(&[[1; 4], [2; 4]]), none(), end()];
    assert_eq!(lints(pairs), ["pairs"]);
    let sends = vec![
        bound(Enforcer::NativeTokenTransferAmount, words([5])),
        bound(Enforcer::ExactCalldata, []),
        end(),
    ];
    assert_eq!(lints(sends), [""; 0]);
    let token = bound(Enforcer::ERC20TransferAmount, of_token(words([5])));
    assert_eq!(lints(vec![token.clone(), end()]), ["any-value"], "value beside a token's transfer passes");
    assert_eq!(lints(vec![token.clone(), token, none(), end()]), ["counts-twice"]);
    assert_eq!(lints(vec![bound(Enforcer::ApprovalRevocation, [1]), end()]), [""; 0]);
    let selector = bound(Enforcer::AllowedCalldata, [words([3]), vec![1]].concat());
    let call = vec![targets(&[USDC]), methods(&[[1; 4]]), selector, none(), end()];
    assert_eq!(lints(call), ["looks-at-selector"]);
    let never = vec![targets(&[USDC]), methods(&[[1; 4]]), none(), bound(Enforcer::Timestamp, times(8, 9))];
    assert_eq!(lints(never), ["never-valid"]);
    let unknown = vec![targets(&[USDC]), methods(&[[1; 4]]), none(), end(), (FRIEND, vec![])];
    assert_eq!(lints(unknown), ["unknown-enforcer"]);
    assert_eq!(Signed { delegate: ANY_DELEGATE, ..Signed::of(vec![]) }.lints(), ["open", "unbounded"]);
}

#[test]
fn contracts_that_control_the_account_are_a_danger() {
    for contract in [OWNER, MANAGER_V1_3_0, Enforcer::Nonce.address_v1_3_0()] {
        let lines = Signed::of(vec![bound(Enforcer::AllowedTargets, contract.to_vec())]).lines().unwrap();
        let danger =
            format!("DANGER: may change who controls the account, or what it has deposited {contract}");
        assert!(lines.contains(&danger), "{lines}");
    }
    let manager = Address::repeat_byte(0x3e);
    let elsewhere = Signed { domain: DelegationDomain { manager, ..DOMAIN }, ..Signed::of(vec![]) };
    assert!(elsewhere.lines().unwrap().contains("DANGER: redeemed at a manager that is not known here:"));
}

#[test]
fn what_cannot_be_read_is_not_signed() {
    for (enforcer, terms) in each_kind().into_iter().take(19) {
        let takes_any = Enforcers::V1_3_0.at(enforcer) == Some(Enforcer::ExactCalldata);
        for len in [0, terms.len() + 1, 2049] {
            let mut changed = terms.clone();
            changed.resize(len, 1);
            let is_list = |item: usize| len > 0 && len % item == 0;
            let taken = match Enforcers::V1_3_0.at(enforcer).unwrap() {
                Enforcer::AllowedTargets | Enforcer::Redeemer => is_list(20),
                Enforcer::AllowedMethods => is_list(4),
                Enforcer::AllowedCalldata => len > 32,
                _ => takes_any,
            };
            let reviewed = Signed::of(vec![(enforcer, changed)]).review().1;
            match taken && len <= 2048 {
                true => assert!(reviewed.is_ok(), "{enforcer} {len}"),
                false => {
                    assert_eq!(reviewed, Err(DelegationReviewError::Terms { caveat: 0 }), "{enforcer} {len}")
                }
            }
        }
    }
    let many = Signed::of(vec![bound(Enforcer::LimitedCalls, words([1])); MAX_CAVEATS + 1]);
    let (lines, refused) = many.review();
    assert_eq!(refused, Err(DelegationReviewError::TooManyCaveats { found: 25 }));
    assert!(lines.ends_with("REFUSED: 25 caveats are more than are read here\n"), "{lines}");
}

/// A display that is gone after some items.
struct Narrow(usize);

impl Show for Narrow {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        if item.severity == Severity::Refused {
            return Ok(());
        }
        self.0 = self.0.checked_sub(1).ok_or(NotShown)?;
        Ok(())
    }
}

#[test]
fn an_item_that_is_not_shown_leaves_no_digest() {
    let signed = Signed::of(each_kind());
    let shown = signed.review().0.lines().count();
    for room in 0..=shown {
        let mut review = DelegationReview::new(TrustedContext::CANONICAL, Narrow(room));
        let digest = signed.with(|delegation| review.review(DOMAIN, delegation));
        assert_eq!(digest.is_ok(), room == shown, "{room} of {shown}");
    }
}

/// A bit of something that is signed.
fn flipped(signed: &Signed, field: usize, bit: usize) -> Signed {
    let mut signed = signed.clone();
    let flip = |bytes: &mut [u8]| {
        let at = (bit / 8) % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
    };
    match field {
        0 => signed.domain.chain_id ^= 1 << (bit % 64),
        1 => flip(signed.domain.manager.as_mut_slice()),
        2 => flip(signed.delegate.as_mut_slice()),
        3 => flip(signed.delegator.as_mut_slice()),
        4 => flip(signed.authority.as_mut_slice()),
        5 => signed.salt ^= U256::ONE << (bit % 256),
        _ => {
            let (enforcer, terms) = signed.bounds.get_mut(field - 6).unwrap();
            match bit % 5 {
                0 => flip(enforcer.as_mut_slice()),
                _ => flip(terms),
            }
        }
    }
    signed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    /// What is shown is what is signed.
    #[test]
    fn every_bit_changes_what_is_shown_or_is_refused(field in 0_usize..26, bit in 0_usize..4096) {
        let signed = Signed::of(each_kind());
        let changed = flipped(&signed, field, bit);
        let hash = |signed: &Signed| signed.with(|it| it.signing_digest(signed.domain.chain_id, signed.domain.manager));
        prop_assert_ne!(hash(&signed), hash(&changed));
        if let Ok(lines) = changed.lines() {
            prop_assert_ne!(lines, signed.lines().unwrap());
        }
    }

    /// Where the bytes of one bound end and those of the next begin is shown as well.
    #[test]
    fn bounds_that_differ_are_shown_differently(
        one in prop::collection::vec(0_usize..20, 0..4),
        other in prop::collection::vec(0_usize..20, 0..4),
    ) {
        let of = |places: &[usize]| Signed::of(places.iter().map(|place| each_kind()[*place].clone()).collect());
        prop_assert_eq!(one == other, of(&one).lines().unwrap() == of(&other).lines().unwrap());
    }
}
