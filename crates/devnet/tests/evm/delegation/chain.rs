//! Whole chains of delegations, redeemed through the manager: what it checks before the caveats, in its order, and that
//! what one reverts on undoes what the others have counted.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolError, SolValue};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use quorate_core::delegation::{
    ANY_DELEGATE, Caveat, Caveats, ChainError, Context, Delegation, DelegationCall, Delegations, Enforcer,
    Enforcers, Judgement, Mode, ROOT_AUTHORITY, Redeem, Redemption, State, Verdict,
};
use quorate_core::{Call, Encode, delegation::SingleExecution};
use revm::bytecode::Bytecode;

use super::abi::Manager;
use super::cases::{Bound, Dice};
use super::ledger::Ledger;
use super::{Framework, MANAGER, foretold, number_of_cases, said};
use crate::machine::{Hex, Refused};
use crate::{contracts, for_all};

const CASES: u32 = 2_000;
pub(super) const CHAIN_ID: u64 = 137;
const TIME: u64 = 1_900_000_000;
const BLOCK: u64 = 20_000_000;

/// What has to be seen, each often enough.
const KINDS: [&str; 7] = [
    "executed, 1 delegation",
    "executed, 2 delegations",
    "executed, 3 delegations",
    "forbidden by a caveat",
    "invalid delegate",
    "invalid authority",
    "undone",
];

#[test]
fn chains_are_redeemed_as_foretold() {
    let cases = number_of_cases(CASES);
    let test = RefCell::new(Test::new());
    let chains = Just(()).prop_perturb(|(), rng| Dice::new(rng).chain());
    for_all(cases, &chains, |chain| test.borrow_mut().run(&chain));

    let tally = test.into_inner().tally;
    println!("{tally:#?}");
    for kind in KINDS {
        assert!(tally.get(kind).is_some_and(|seen| *seen >= cases / 100), "too few of: {kind}");
    }
}

/// Delegations, leaf first, and what may be wrong with them.
#[derive(Debug)]
struct Chain {
    links: Vec<Link>,
    redeemer: Who,
    execution: Vec<u8>,
}

#[derive(Debug)]
struct Link {
    delegator: Who,
    delegate: Who,
    /// Whether it rests on the next one, or the last one on nothing.
    has_authority: bool,
    caveats: Vec<Bound>,
    salt: U256,
}

/// Who is who: the first ones have code, the last two have keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Account(u8),
    Key(u8),
    Anybody,
}

const ACCOUNTS: u8 = 3;

impl Who {
    pub(super) fn address(self) -> Address {
        match self {
            Self::Account(number) => Address::repeat_byte(0xc1 + number),
            Self::Key(_) => self.key().address(),
            Self::Anybody => ANY_DELEGATE,
        }
    }

    pub(super) fn key(self) -> PrivateKeySigner {
        let Self::Key(number) = self else { panic!("{self:?} has no key") };
        PrivateKeySigner::from_bytes(&B256::repeat_byte(0x21 + number)).unwrap()
    }
}

impl Dice {
    fn who(&mut self) -> Who {
        let number = u8::try_from(self.below(u32::from(ACCOUNTS))).unwrap();
        if self.percent(40) { Who::Key(number % 2) } else { Who::Account(number) }
    }

    fn chain(mut self) -> Chain {
        let len = 1 + self.below(3);
        let execution = self.call();
        let mut delegate = self.who();
        let redeemer = delegate;
        let mut links = Vec::new();
        for index in 0..len {
            // Who delegates at the root has to have code that executes.
            let delegator = if index + 1 == len { Who::Account(0) } else { self.who() };
            let named = match self.below(20) {
                0 => self.who(),
                1..4 => Who::Anybody,
                _ => delegate,
            };
            let caveats = (0..self.below(3)).map(|_| self.simple_caveat(&execution)).collect();
            let has_authority = !self.percent(5);
            let salt = U256::from(self.below(u32::MAX));
            links.push(Link { delegator, delegate: named, has_authority, caveats, salt });
            delegate = delegator;
        }
        Chain { links, redeemer, execution }
    }

    fn call(&mut self) -> Vec<u8> {
        let to = Address::repeat_byte(if self.percent(85) { 0xa1 } else { 0xa2 });
        let mut data = [0xa9, 0x05, 0x9c, 0xbb].to_vec();
        data.extend((Address::repeat_byte(9), U256::from(self.below(5))).abi_encode());
        SingleExecution(Call { to, value: U256::from(self.below(2)), data: &data }).to_vec()
    }

    fn simple_caveat(&mut self, execution: &[u8]) -> Bound {
        let kinds = [
            Enforcer::AllowedTargets,
            Enforcer::LimitedCalls,
            Enforcer::LimitedCalls,
            Enforcer::Timestamp,
            Enforcer::ERC20TransferAmount,
            Enforcer::Id,
            Enforcer::ValueLte,
        ];
        let enforcer = self.pick(&kinds);
        match enforcer {
            Enforcer::Timestamp => {
                let bounds = [0, u128::from(TIME) + u128::from(self.below(20))];
                let terms = bounds.iter().flat_map(|bound| bound.to_be_bytes()).collect();
                Bound { enforcer, terms: Hex(terms) }
            }
            Enforcer::Id => {
                let id = U256::from(self.below(20_000));
                Bound { enforcer, terms: Hex(id.to_be_bytes_vec()) }
            }
            _ => self.caveat(enforcer, execution),
        }
    }
}

struct Test {
    framework: Framework,
    ledger: Ledger,
    tally: BTreeMap<String, u32>,
}

impl Test {
    fn new() -> Self {
        let framework = chain_of_accounts();
        Self { framework, ledger: Ledger::default(), tally: BTreeMap::new() }
    }

    fn run(&mut self, chain: &Chain) -> TestCaseResult {
        let (bytes, hashes) = self.sign(chain);
        let context = Context::parse(&bytes).unwrap();
        let redeem = Redeem { context, mode: Mode::SINGLE, execution: &chain.execution };
        let call_data = redeem.to_vec();
        prop_assert_eq!(DelegationCall::decode(&call_data), Ok(DelegationCall::Redeem(redeem)));
        let encoder = Manager::redeemDelegationsCall {
            contexts: vec![bytes.clone().into()],
            modes: vec![Mode::SINGLE.word()],
            executions: vec![chain.execution.clone().into()],
        };
        prop_assert_eq!(&encoder.abi_encode(), &call_data);

        let machine = &mut self.framework.machine;
        let redeemer = chain.redeemer.address();
        // Twice, so that counters count.
        for _ in 0..2 {
            let answer = machine.commit(redeemer, MANAGER, call_data.clone()).map(drop);
            let found = Redemption::new(context, Mode::SINGLE, &chain.execution, redeemer);
            let kind = match found {
                Err(ChainError::Delegate { .. }) => {
                    prop_assert_eq!(
                        answer,
                        Err(Refused::With(Manager::InvalidDelegate {}.abi_encode().into()))
                    );
                    "invalid delegate".to_owned()
                }
                Err(ChainError::Authority { .. }) => {
                    prop_assert_eq!(
                        answer,
                        Err(Refused::With(Manager::InvalidAuthority {}.abi_encode().into()))
                    );
                    "invalid authority".to_owned()
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
                Ok(redemption) => {
                    prop_assert_eq!(redemption.hashes(), &hashes[..]);
                    let enforcers = Enforcers::new(&self.framework.deployed);
                    let state = State { time: TIME, block: Some(BLOCK), counters: &self.ledger };
                    let mut charges = Vec::new();
                    for (_, judgement) in redemption.judgements(&enforcers, &state) {
                        if let Judgement::Allowed(Some(charge)) = judgement {
                            charges.push(charge);
                        }
                    }
                    match redemption.evaluate(&enforcers, &state) {
                        Verdict::Allowed => {
                            prop_assert_eq!(answer, Ok(()), "{:?}", redemption);
                            charges.iter().for_each(|charge| self.ledger.keep(*charge));
                            let ids =
                                self.framework.deployed.iter().find(|(_, it)| *it == Enforcer::Id).unwrap().0;
                            self.ledger.compare(machine, ids, &charges)?;
                            let s = if chain.links.len() == 1 { "" } else { "s" };
                            format!("executed, {} delegation{s}", chain.links.len())
                        }
                        Verdict::Forbidden(forbidden) => {
                            let answer = answer.map_err(|refused| said(&refused));
                            prop_assert_eq!(answer, Err(foretold(&forbidden)));
                            // The next comparison of these counters shows that nothing was kept.
                            if charges.is_empty() { "forbidden by a caveat" } else { "undone" }.to_owned()
                        }
                        Verdict::NotJudged(other) => return Err(TestCaseError::fail(other.to_string())),
                    }
                }
            };
            *self.tally.entry(kind).or_default() += 1;
        }
        Ok(())
    }

    /// The context, with signatures of those who have keys, and the hashes of its delegations.
    fn sign(&mut self, chain: &Chain) -> (Vec<u8>, Vec<B256>) {
        let caveats: Vec<Vec<Caveat<'_>>> = chain
            .links
            .iter()
            .map(|link| {
                let enforcer = |it: &Bound| self.framework.address_of(it.enforcer);
                link.caveats.iter().map(|it| Caveat { enforcer: enforcer(it), terms: &it.terms.0 }).collect()
            })
            .collect();
        let mut authority = ROOT_AUTHORITY;
        let (mut hashes, mut signatures) = (Vec::new(), Vec::new());
        let mut unsigned = Vec::new();
        for (link, caveats) in chain.links.iter().zip(&caveats).rev() {
            let delegation = Delegation {
                delegate: link.delegate.address(),
                delegator: link.delegator.address(),
                authority: if link.has_authority { authority } else { B256::repeat_byte(7) },
                caveats: Caveats::from(&caveats[..]),
                salt: link.salt,
                signature: &[],
            };
            authority = delegation.hash();
            hashes.insert(0, authority);
            signatures.insert(0, signature(link.delegator, &delegation));
            unsigned.insert(0, delegation);
        }
        let signed: Vec<_> = unsigned
            .into_iter()
            .zip(&signatures)
            .map(|(delegation, signature)| Delegation { signature, ..delegation })
            .collect();
        (Delegations(&signed).to_vec(), hashes)
    }
}

fn signature(delegator: Who, delegation: &Delegation<'_>) -> Vec<u8> {
    match delegator {
        Who::Key(_) => {
            let digest = delegation.signing_digest(CHAIN_ID, MANAGER);
            delegator.key().sign_hash_sync(&digest).unwrap().as_bytes().to_vec()
        }
        Who::Account(_) | Who::Anybody => vec![1, 2, 3],
    }
}

/// The framework, with accounts that find every signature valid and execute nothing.
pub(super) fn chain_of_accounts() -> Framework {
    let mut framework = Framework::new(&contracts().delegation_framework);
    framework.machine.set_chain_id(CHAIN_ID);
    framework.machine.set_time(TIME);
    framework.machine.set_block(BLOCK);
    for number in 0..ACCOUNTS {
        framework.machine.set_code(Who::Account(number).address(), Bytecode::new_raw(account()));
    }
    framework
}

/// Answers `isValidSignature` with its own selector, and everything else with an empty array.
fn account() -> Bytes {
    let valid = [0x63, 0x16, 0x26, 0xba, 0x7e];
    let code = [
        &[0x60, 0, 0x35, 0x60, 0xe0, 0x1c][..],              // the selector
        &valid,                                              // isValidSignature
        &[0x14, 0x60, 0x19, 0x57],                           // if they are equal, to the second part
        &[0x60, 32, 0x60, 0, 0x52, 0x60, 64, 0x60, 0, 0xf3], // 32 and 0
        &[0x5b],
        &valid,
        &[0x60, 0xe0, 0x1b, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3],
    ];
    code.concat().into()
}
