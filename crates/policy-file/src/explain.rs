//! What a policy file allows, in words, and who holds each part of it.

use std::fmt;
use std::num::NonZeroU64;

use alloy_dyn_abi::DynSolType;
use alloy_primitives::{Address, B256, I256, U256, hex};
use quorate_core::{Condition, SessionEpoch};
use quorate_protocol::{ArgumentLimit, Coin, Limits, PaymasterRule};

use crate::amount::Amount;
use crate::compile::Compiled;
use crate::file::{Allow, Rule, Total};
use crate::time;

/// Who has the session key, and so what holds a policy besides the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A key that one program has: only the chain's module holds the policy.
    ChainAlone,
    /// A key that a signing network has: its nodes hold the policy, too, and they count.
    Network,
    /// Such a key to which the owner's account delegates (ERC-7710): the chain's enforcers count, too.
    Delegation,
}

/// Whether the chain's session validation module holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnChain {
    /// It does.
    Held,
    /// It does not.
    NotHeld,
    /// Its published versions differ, and nobody has asked this chain's.
    NotProbed,
}

/// Who holds one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeldBy {
    /// Whether the chain does.
    pub chain: OnChain,
    /// Whether the network's nodes do before they sign.
    pub nodes: bool,
}

/// One thing that a policy file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The entry that it is about, from 0; `None` for what is of all of them.
    pub entry: Option<usize>,
    /// What it says.
    pub text: String,
    /// Who holds it.
    pub held_by: HeldBy,
}

/// What a policy file allows, in words. [`Display`](fmt::Display) writes it as lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    target: Target,
    statements: Vec<Statement>,
    /// Whether something is counted in windows.
    has_windows: bool,
}

impl Explanation {
    /// Everything that it says: what is of all entries, then the entries in their order, each with its function first.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// What the chain does not hold, or perhaps not.
    pub fn not_on_chain(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(|statement| statement.held_by.chain != OnChain::Held)
    }
}

impl Compiled<'_> {
    /// Says in words what is allowed, and who holds it for a key of `target`.
    ///
    /// `unenforced` are the conditions that a probe found this chain's module not to enforce; `None` without a probe: then
    /// `!=` is not certain, which a published version of the module lets always pass.
    pub fn explain(&self, target: Target, unenforced: Option<&[Condition]>) -> Explanation {
        self.explained(target, unenforced, self.limits())
    }

    /// Says the same for a key to which the owner's account delegates: `left` are the limits that no caveat of the delegation
    /// holds ([`PolicyCaveats`](quorate_protocol::PolicyCaveats)).
    pub fn explain_delegation(&self, left: &Limits) -> Explanation {
        self.explained(Target::Delegation, Some(&[]), left)
    }

    fn explained(&self, target: Target, unenforced: Option<&[Condition]>, left: &Limits) -> Explanation {
        let mut writer = Writer { target, unenforced, left, statements: Vec::new() };
        writer.on_chain(None, validity(self.epoch()));
        let mut totals = self.limits().arguments.iter();
        for (place, (allow, policy)) in self.entries().enumerate() {
            let words = policy.rules().iter().map(|rule| rule.reference().word());
            let totals = totals.by_ref().take(allow.totals.len());
            writer.entry(place, self.name_of(allow.contract.value), allow, words, totals);
        }
        writer.limits(self);
        let has_windows = self.limits().counters().iter().any(|counter| counter.dimension.seconds.is_some());
        Explanation { target, statements: writer.statements, has_windows }
    }

    /// A contract with its name in the file, if it has one.
    fn name_of(&self, contract: Address) -> String {
        match self.file.tokens().find(|token| token.address == contract) {
            Some(token) => format!("{contract} ({})", token.name),
            None => contract.to_string(),
        }
    }
}

struct Writer<'a> {
    target: Target,
    unenforced: Option<&'a [Condition]>,
    /// What the chain does not count.
    left: &'a Limits,
    statements: Vec<Statement>,
}

impl<'a> Writer<'a> {
    /// Says what an entry allows; `words` and `totals` are what its rules and totals were compiled to.
    fn entry(
        &mut self,
        place: usize,
        contract: String,
        allow: &Allow,
        words: impl Iterator<Item = B256>,
        totals: impl Iterator<Item = &'a ArgumentLimit>,
    ) {
        let entry = Some(place);
        self.on_chain(entry, format!("{} on {contract}", allow.function.value));
        for (rule, word) in allow.rules.iter().zip(words) {
            let chain = self.chain_holds(rule.condition);
            self.push(entry, format!("only if {} is {}", argument(rule), compared(rule, word)), chain);
        }
        let value = match &allow.value {
            Some(value) if !is_zero(&value.value) => {
                format!("each call sends at most {}", coin(&value.value))
            }
            _ => "no call sends any of the chain's coin".to_owned(),
        };
        self.on_chain(entry, value);
        for (Total { rule, seconds }, limit) in allow.totals.iter().zip(totals) {
            let (when, compared) = (in_each(*seconds), compared(rule, limit.total.into()));
            let text =
                format!("{} of all calls of this function{when} together is {compared}", argument(rule));
            self.counted(entry, text, self.left.arguments.contains(limit));
        }
    }

    fn limits(&mut self, compiled: &Compiled<'_>) {
        let written = &compiled.file.limits;
        let limits = compiled.limits();
        if let Some(uses) = limits.uses {
            self.counted(None, format!("at most {uses} operations in all"), self.left.uses.is_some());
        }
        if let Some((rate, window)) = written.rate.as_ref().zip(limits.window) {
            let text =
                format!("at most {}, in windows of {} s that begin at 1970", rate.value, window.seconds);
            self.counted(None, text, true);
        }
        if let Some(value) = &written.value {
            let is_left = self.left.native_value.is_some();
            self.counted(None, format!("all operations together send at most {}", coin(value)), is_left);
        }
        if let Some(gas) = &written.gas {
            let text = format!("the gas of all operations together costs at most {}", coin(gas));
            self.counted(None, text, true);
        }
        for (window, amount) in limits.coin_windows.iter().zip(&written.windows) {
            let (when, amount) = (in_each(Some(window.seconds)), coin(&amount.value));
            self.counted(
                None,
                match window.of {
                    Coin::NativeValue => format!("all operations{when} together send at most {amount}"),
                    Coin::GasCost => {
                        format!("the gas of all operations{when} together costs at most {amount}")
                    }
                },
                self.left.coin_windows.contains(window),
            );
        }
        match written.paymaster() {
            PaymasterRule::Any => {}
            PaymasterRule::Required => self.counted(None, "a paymaster has to pay".to_owned(), true),
            PaymasterRule::Forbidden => self.counted(None, "no paymaster may pay".to_owned(), true),
        }
    }

    fn chain_holds(&self, condition: Condition) -> OnChain {
        match self.unenforced {
            Some(unenforced) if unenforced.contains(&condition) => OnChain::NotHeld,
            None if condition == Condition::NotEqual => OnChain::NotProbed,
            _ => OnChain::Held,
        }
    }

    fn on_chain(&mut self, entry: Option<usize>, text: String) {
        self.push(entry, text, OnChain::Held);
    }

    fn counted(&mut self, entry: Option<usize>, text: String, is_left: bool) {
        self.push(entry, text, if is_left { OnChain::NotHeld } else { OnChain::Held });
    }

    fn push(&mut self, entry: Option<usize>, text: String, chain: OnChain) {
        let held_by = HeldBy { chain, nodes: self.target != Target::ChainAlone };
        self.statements.push(Statement { entry, text, held_by });
    }
}

/// ` in each day`; nothing for what is counted in all.
fn in_each(seconds: Option<NonZeroU64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!(" in each {}", time::window_in_words(seconds)))
}

fn validity(epoch: SessionEpoch) -> String {
    match (epoch.valid_after(), epoch.valid_until()) {
        (0, 0) => "from now on, without an end".to_owned(),
        (0, until) => format!("from now on until {}", time::shown(until)),
        (from, 0) => format!("from {} on, without an end", time::shown(from)),
        (from, until) => format!("from {} until {}", time::shown(from), time::shown(until)),
    }
}

fn argument(rule: &Rule) -> String {
    match rule.argument.starts_with(|first: char| first.is_ascii_digit()) {
        true => format!("argument {}", rule.argument),
        false => rule.argument.clone(),
    }
}

/// `at most 25 USDC (25000000)`: as it is written, and what the chain compares with where that is something else.
fn compared(rule: &Rule, word: B256) -> String {
    let written = &rule.value.value;
    let shown = shown_word(word, &rule.ty);
    match shown.eq_ignore_ascii_case(written) {
        true => format!("{} {written}", rule.condition),
        false => format!("{} {written} ({shown})", rule.condition),
    }
}

/// A word as a value of its argument's type; what is none is shown as it is.
pub(crate) fn shown_word(word: B256, ty: &DynSolType) -> String {
    let number = U256::from_be_bytes(word.0);
    match *ty {
        DynSolType::Address if number.bit_len() <= 160 => Address::from_word(word).to_string(),
        DynSolType::Bool if number <= U256::ONE => (!number.is_zero()).to_string(),
        DynSolType::Uint(_) => number.to_string(),
        DynSolType::Int(_) => I256::from_raw(number).to_string(),
        DynSolType::FixedBytes(len) if word.iter().skip(len).all(|byte| *byte == 0) => {
            hex::encode_prefixed(word.get(..len).unwrap_or_default())
        }
        _ => word.to_string(),
    }
}

fn is_zero(amount: &Amount) -> bool {
    amount.wei() == Ok(U256::ZERO)
}

/// An amount of coin with its unit.
fn coin(amount: &Amount) -> String {
    match amount.text.ends_with(|last: char| last.is_ascii_alphabetic()) && !amount.text.starts_with("0x") {
        true => amount.text.clone(),
        false => format!("{} wei", amount.text),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of_all, of_entries): (Vec<_>, Vec<_>) =
            self.statements.iter().partition(|statement| statement.entry.is_none());
        let [validity, limits @ ..] = of_all.as_slice() else { return Ok(()) };
        write!(f, "Allowed {}, each call by one of:", validity.text)?;
        let mut entry = None;
        for statement in of_entries {
            if statement.entry != entry {
                entry = statement.entry;
                write!(f, "\n\n{}. {}", entry.unwrap_or_default() + 1, statement.text)?;
            } else {
                write!(f, "\n   - {}{}", statement.text, note(statement.held_by))?;
            }
        }
        if !limits.is_empty() {
            f.write_str("\n\nOver all of them:")?;
        }
        limits.iter().try_for_each(|limit| write!(f, "\n   - {}{}", limit.text, note(limit.held_by)))?;
        let marks = self.statements.iter().map(|statement| note(statement.held_by));
        let mut marks: Vec<_> = marks.filter(|mark| !mark.is_empty()).collect();
        marks.sort_unstable();
        marks.dedup();
        if !marks.is_empty() {
            f.write_str("\n")?;
        }
        marks.into_iter().try_for_each(|mark| write!(f, "\n{} {}", mark.trim(), legend(mark)))?;
        if self.has_windows && self.target != Target::ChainAlone {
            f.write_str(
                "\n\nThe nodes count in fixed windows from 1970 UTC on, so that hours and days are UTC's and weeks begin on \
                 Thursdays: around the end of a window up to twice its amount may pass.",
            )?;
        }
        f.write_str("\n\n")?;
        f.write_str(match self.target {
            Target::ChainAlone => {
                "The key is in one program. The chain checks each call by itself and counts nothing: whoever has the key can \
                 make every call that is allowed again and again until the end."
            }
            Target::Network => {
                "The key is in a signing network. Its nodes check each call as the chain does, and count before they sign; \
                 the chain checks each call again and counts nothing."
            }
            Target::Delegation => {
                "The key is in a signing network, and pays for its own transactions. Its nodes check each call as the \
                 delegation's enforcers do, and count before they sign; the chain checks each call again, and counts what is not marked."
            }
        })
    }
}

/// The mark of who does not hold a statement.
const fn note(held_by: HeldBy) -> &'static str {
    match (held_by.chain, held_by.nodes) {
        (OnChain::Held, _) => "",
        (OnChain::NotHeld, true) => " [nodes alone]",
        (OnChain::NotHeld, false) => " [not held]",
        (OnChain::NotProbed, true) => " [nodes, and perhaps the chain]",
        (OnChain::NotProbed, false) => " [perhaps not held]",
    }
}

fn legend(mark: &str) -> &'static str {
    match mark {
        " [nodes alone]" => "The network's nodes hold this; the chain does not.",
        " [not held]" => "Nothing holds this: neither the chain nor a network.",
        _ => {
            "One published version of the chain's module lets every call pass a rule with !=, so ask the chain's own \
             module before you rely on it."
        }
    }
}
