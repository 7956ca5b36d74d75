//! What is legal, and more than most owners want to allow.

use core::fmt;

use alloy_primitives::Address;

use crate::{
    abi::{selector::FunctionSelector, signature_text},
    policy::{Policy, Rule, condition::Condition},
};

/// Something in a policy that does what it says, and is dangerous.
///
/// [`Display`](fmt::Display) says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Danger {
    /// A session that never ends.
    NoEnd,
    /// A session that ends more than a year from now.
    LongerThanAYear {
        /// The end, in seconds since 1970.
        valid_until: u64,
    },
    /// A function that moves tokens, with any arguments.
    MovesTokensFreely {
        /// The function.
        selector: FunctionSelector,
    },
    /// An allowance of any size.
    UncappedApproval,
    /// Native value to be sent with any arguments.
    ValueWithoutRule {
        /// What one call may carry, in wei.
        value_limit: u128,
    },
    /// A call to the account or to one of its modules: who may make it may change who controls the account.
    ControlsAccount {
        /// The contract.
        contract: Address,
    },
    /// A rule on a word that the function's arguments do not reach: the function takes any, and only calls with
    /// something appended satisfy the rule.
    OffsetPastArguments {
        /// Which rule, counted from 0.
        rule: usize,
        /// Its offset in bytes.
        offset: u16,
        /// The length of the arguments in bytes.
        arguments: usize,
    },
    /// An address that is compared as a number: whoever looks for one finds one above or below.
    AddressByOrder {
        /// Which rule, counted from 0.
        rule: usize,
    },
}

/// What dangers depend on besides the policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The account that the session is for.
    pub account: Address,
    /// The account's modules.
    pub modules: &'a [Address],
    /// Signatures of functions, from which the types of arguments are known.
    pub functions: &'a [&'a str],
}

impl<const RULES: usize> Policy<RULES> {
    /// What the policy allows and most owners would not.
    ///
    /// ```
    /// use quorate_core::{Address, Danger, Policy, Surroundings};
    ///
    /// let policy = Policy::new(Address::repeat_byte(1), "approve(address,uint256)".parse()?);
    /// let dangers: Vec<_> = policy.dangers(Surroundings::default()).collect();
    /// assert!(dangers.contains(&Danger::NoEnd) && dangers.contains(&Danger::UncappedApproval));
    /// # Ok::<(), quorate_core::SelectorError>(())
    /// ```
    pub fn dangers<'a>(&'a self, surroundings: Surroundings<'a>) -> impl Iterator<Item = Danger> + 'a {
        let Surroundings { now, account, modules, functions } = surroundings;
        let selector = self.selector();
        let signature = functions.iter().copied().find(|text| FunctionSelector::parse(text) == Ok(selector));
        let (valid_until, value_limit, contract) =
            (self.epoch().valid_until(), self.value_limit(), self.contract());
        let unruled = self.rules().is_empty();
        let approves = APPROVALS.contains(selector.as_bytes());

        let end = match valid_until {
            0 => Some(Danger::NoEnd),
            _ if valid_until > now.saturating_add(YEAR) => Some(Danger::LongerThanAYear { valid_until }),
            _ => None,
        };
        let whole = [
            end,
            (unruled && MOVES_TOKENS.contains(selector.as_bytes()))
                .then_some(Danger::MovesTokensFreely { selector }),
            (approves && !self.rules().iter().any(caps_amount)).then_some(Danger::UncappedApproval),
            (unruled && value_limit > 0).then_some(Danger::ValueWithoutRule { value_limit }),
            (contract == account || modules.contains(&contract))
                .then_some(Danger::ControlsAccount { contract }),
        ];
        let rules = self.rules().iter().enumerate();
        let rules = rules.filter_map(move |(rule, it)| Danger::of_rule(rule, it, signature?));
        whole.into_iter().flatten().chain(rules)
    }
}

impl Danger {
    fn of_rule(rule: usize, it: &Rule, signature: &str) -> Option<Self> {
        let offset = it.offset();
        if let Some(words) = signature_text::words(signature)
            && usize::from(offset) + 32 > words * 32
        {
            return Some(Self::OffsetPastArguments { rule, offset, arguments: words * 32 });
        }
        let argument = signature_text::argument(signature, usize::from(offset) / 32)?;
        let by_order = !matches!(it.condition(), Condition::Equal | Condition::NotEqual);
        (by_order && argument.kind == Some("address")).then_some(Self::AddressByOrder { rule })
    }
}

/// The second argument of an approval is its amount.
fn caps_amount(rule: &Rule) -> bool {
    let caps =
        matches!(rule.condition(), Condition::Equal | Condition::LessThan | Condition::LessThanOrEqual);
    rule.offset() == 32 && caps
}

const YEAR: u64 = 365 * 24 * 60 * 60;

/// `approve(address,uint256)` and `increaseAllowance(address,uint256)`.
const APPROVALS: [[u8; 4]; 2] = [[0x09, 0x5e, 0xa7, 0xb3], [0x39, 0x50, 0x93, 0x51]];

/// Functions of ERC-20, ERC-721 and ERC-1155 that move tokens or let somebody else move them.
const MOVES_TOKENS: [[u8; 4]; 9] = [
    [0xa9, 0x05, 0x9c, 0xbb], // transfer(address,uint256)
    [0x23, 0xb8, 0x72, 0xdd], // transferFrom(address,address,uint256)
    [0x09, 0x5e, 0xa7, 0xb3], // approve(address,uint256)
    [0x39, 0x50, 0x93, 0x51], // increaseAllowance(address,uint256)
    [0xa2, 0x2c, 0xb4, 0x65], // setApprovalForAll(address,bool)
    [0x42, 0x84, 0x2e, 0x0e], // safeTransferFrom(address,address,uint256)
    [0xb8, 0x8d, 0x4f, 0xde], // safeTransferFrom(address,address,uint256,bytes)
    [0xf2, 0x42, 0x43, 0x2a], // safeTransferFrom(address,address,uint256,uint256,bytes)
    [0x2e, 0xb2, 0xc2, 0xd6], // safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)
];

impl fmt::Display for Danger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEnd => f.write_str("the session never ends; set validUntil"),
            Self::LongerThanAYear { valid_until } => {
                write!(f, "the session ends at {valid_until}, more than a year from now")
            }
            Self::MovesTokensFreely { selector } => {
                write!(f, "{selector} moves tokens, and no rule says to whom or how many")
            }
            Self::UncappedApproval => f.write_str("no rule caps the amount that may be approved"),
            Self::ValueWithoutRule { value_limit } => {
                write!(f, "each call may carry {value_limit} wei, and no rule says to whose benefit")
            }
            Self::ControlsAccount { contract } => write!(
                f,
                "{contract} is the account or one of its modules, so the session may change who controls the account"
            ),
            Self::OffsetPastArguments { rule, offset, arguments } => write!(
                f,
                "rule {rule} looks at offset {offset}, but the function's arguments end at {arguments}"
            ),
            Self::AddressByOrder { rule } => write!(
                f,
                "rule {rule} compares an address by its order, which anybody can satisfy by looking for a fitting one"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString as _, vec::Vec};

    use super::*;
    use crate::policy::epoch::SessionEpoch;

    const ACCOUNT: Address = Address::repeat_byte(0xac);
    const MODULE: Address = Address::repeat_byte(0x0d);
    const FUNCTIONS: &[&str] =
        &["transfer(address to, uint256 amount)", "approve(address,uint256)", "f(uint8[2] a, address b)"];

    fn policy(contract: Address, function: &str, rules: &[(u16, Condition)]) -> Policy {
        let policy = Policy::new(contract, function.parse().unwrap())
            .with_epoch(SessionEpoch::new(0, 1_000_000).unwrap());
        let rule = |(offset, condition)| Rule::new(offset, condition, 5_u64);
        rules.iter().try_fold(policy, |policy, it| policy.with_rule(rule(*it))).unwrap()
    }

    fn dangers(policy: &Policy) -> Vec<Danger> {
        let surroundings =
            Surroundings { now: 500_000, account: ACCOUNT, modules: &[MODULE], functions: FUNCTIONS };
        policy.dangers(surroundings).collect()
    }

    const TOKEN: Address = Address::repeat_byte(1);

    #[test]
    fn none_in_a_narrow_policy() {
        let narrow = [(0, Condition::Equal), (32, Condition::LessThanOrEqual)];
        for function in ["transfer(address,uint256)", "approve(address,uint256)", "mint(address)"] {
            assert_eq!(dangers(&policy(TOKEN, function, &narrow)), []);
        }
    }

    #[test]
    fn each_of_them() {
        let selector = "transfer(address,uint256)".parse().unwrap();
        let approve = "approve(address,uint256)";
        let transfer = "transfer(address,uint256)";
        let narrow = [(0, Condition::Equal)];
        for (policy, expected) in [
            (policy(TOKEN, transfer, &narrow).with_epoch(SessionEpoch::UNLIMITED), Danger::NoEnd),
            (
                policy(TOKEN, transfer, &narrow).with_epoch(SessionEpoch::new(0, 500_001 + YEAR).unwrap()),
                Danger::LongerThanAYear { valid_until: 500_001 + YEAR },
            ),
            (policy(TOKEN, transfer, &[]), Danger::MovesTokensFreely { selector }),
            (policy(TOKEN, approve, &narrow), Danger::UncappedApproval),
            (policy(TOKEN, approve, &[(32, Condition::GreaterThan)]), Danger::UncappedApproval),
            (policy(TOKEN, "f()", &[]).with_value_limit(7), Danger::ValueWithoutRule { value_limit: 7 }),
            (policy(ACCOUNT, "f()", &narrow), Danger::ControlsAccount { contract: ACCOUNT }),
            (policy(MODULE, "f()", &narrow), Danger::ControlsAccount { contract: MODULE }),
            (
                policy(TOKEN, transfer, &[(0, Condition::Equal), (64, Condition::Equal)]),
                Danger::OffsetPastArguments { rule: 1, offset: 64, arguments: 64 },
            ),
            (policy(TOKEN, transfer, &[(0, Condition::LessThan)]), Danger::AddressByOrder { rule: 0 }),
        ] {
            assert_eq!(dangers(&policy), [expected]);
            assert!(expected.to_string().len() > 20);
        }
    }

    #[test]
    fn arguments_of_several_words_are_not_guessed_at() {
        assert_eq!(dangers(&policy(TOKEN, "f(uint8[2],address)", &[(64, Condition::LessThan)])), []);
    }
}
