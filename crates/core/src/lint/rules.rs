//! What is odd about rules, one by one and together.

use alloy_primitives::U256;

use super::{context::LintContext, finding::Lint, range::Range, tokens::TokenFunction};
use crate::{
    abi::{
        WORD,
        elementary::ElementaryType,
        known_function::KnownFunction,
        selector::FunctionSelector,
        signature_text::{self, ArgumentKind},
    },
    policy::{Rule, condition::Condition},
    session::session_key_data::ParsedSessionKeyData,
};

/// Where rules come from: a policy, or session key data that holds no malformed rule.
pub(super) trait RuleSource: Copy {
    fn rules(self) -> impl Iterator<Item = Rule> + Clone;
}

impl RuleSource for &[Rule] {
    fn rules(self) -> impl Iterator<Item = Rule> + Clone {
        self.iter().copied()
    }
}

impl RuleSource for ParsedSessionKeyData<'_> {
    fn rules(self) -> impl Iterator<Item = Rule> + Clone {
        self.strict_rules().map_while(Result::ok)
    }
}

/// A session's rules, and what is known of the function that they are about.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a, S> {
    pub(super) source: S,
    pub(super) selector: FunctionSelector,
    /// The function, where it is known.
    pub(super) function: Option<&'a KnownFunction<'a>>,
    pub(super) unenforced: &'a [Condition],
}

/// What the word is that a rule looks at.
enum Subject {
    /// It is not known.
    Unknown,
    /// A value of this type.
    Value(ElementaryType),
    /// A pointer to a dynamic argument.
    Pointer,
    /// Something that a pointer points at.
    Content,
    /// Nothing: the arguments end before it does, after so many bytes.
    Nothing { arguments: usize },
}

impl<'a, S: RuleSource> Rules<'a, S> {
    pub(super) fn new(source: S, selector: FunctionSelector, context: &LintContext<'a>) -> Self {
        let function = context.trusted.function(selector);
        Self { source, selector, function, unenforced: context.unenforced }
    }

    /// Passes on what is odd about each rule.
    pub(super) fn lint(self, found: &mut dyn FnMut(Lint)) {
        for (index, rule) in self.source.rules().enumerate() {
            if self.unenforced.contains(&rule.condition()) {
                found(Lint::Unenforced { rule: index, condition: rule.condition() });
                continue;
            }
            self.lint_word(index, &rule, found);
            self.lint_range(index, &rule, found);
            self.lint_together(index, &rule, found);
        }
    }

    /// The rules that are enforced, each with its number.
    fn enforced(self) -> impl Iterator<Item = (usize, Rule)> + Clone {
        let numbered = self.source.rules().enumerate();
        numbered.filter(move |(_, rule)| !self.unenforced.contains(&rule.condition()))
    }

    /// The enforced rules on one word.
    fn on(self, offset: u16) -> impl Iterator<Item = (usize, Rule)> + Clone {
        self.enforced().filter(move |(_, rule)| rule.offset() == offset)
    }

    /// What all rules leave to the word at `offset`; `None` where they leave nothing.
    pub(super) fn range(self, offset: u16) -> Option<Range> {
        Range::ALL.under(self.on(offset).map(|(_, rule)| rule))
    }

    /// The one value that the rules leave to the word at `offset`.
    fn pinned(self, offset: u16) -> Option<U256> {
        self.range(offset).filter(|range| range.low == range.high).map(|range| range.low)
    }

    /// Whether the rules leave one value at most to the word at `offset`.
    pub(super) fn is_pinned(self, offset: u16) -> bool {
        self.range(offset).is_none_or(|range| range.low == range.high)
    }

    /// Whether some rule leaves a call out.
    pub(super) fn limits_calls(self) -> bool {
        self.enforced().any(|(_, rule)| !self.values(&self.subject(&rule)).is_within(&rule))
    }

    /// Whether some rule demands one value from `offset` on.
    pub(super) fn pins_from(self, offset: usize) -> bool {
        self.enforced()
            .any(|(_, rule)| usize::from(rule.offset()) >= offset && rule.condition() == Condition::Equal)
    }

    fn subject(self, rule: &Rule) -> Subject {
        let offset = usize::from(rule.offset());
        let aligned = offset.is_multiple_of(WORD);
        let Some(function) = self.function else {
            let recipient = TokenFunction::of(self.selector).map(|function| usize::from(function.recipient));
            return match recipient {
                Some(word) if offset == word * WORD => Subject::Value(ElementaryType::Address),
                _ => Subject::Unknown,
            };
        };
        let Ok(signature) = signature_text::read(function.signature()) else {
            return Subject::Unknown;
        };
        let arguments = signature.head_words.saturating_mul(WORD);
        if offset + WORD > arguments && !signature.dynamic {
            return Subject::Nothing { arguments };
        }
        if !aligned {
            return Subject::Unknown;
        }
        match function.argument(offset / WORD).map(|argument| argument.kind) {
            Some(ArgumentKind::Value(kind)) => Subject::Value(kind),
            Some(ArgumentKind::Other) => Subject::Unknown,
            Some(ArgumentKind::Pointer) => Subject::Pointer,
            None => Subject::Content,
        }
    }

    /// The words that a subject may be.
    fn values(self, subject: &Subject) -> Range {
        match subject {
            Subject::Value(kind) => kind.max().map_or(Range::ALL, Range::up_to),
            _ => Range::ALL,
        }
    }

    fn lint_word(self, index: usize, rule: &Rule, found: &mut dyn FnMut(Lint)) {
        let offset = rule.offset();
        if !usize::from(offset).is_multiple_of(WORD) {
            found(Lint::OffsetNotWord { rule: index, offset });
        }
        match self.subject(rule) {
            Subject::Nothing { arguments } => {
                found(Lint::OffsetPastArguments { rule: index, offset, arguments });
            }
            // A demand on the content stands on the pointer's.
            Subject::Pointer if !(self.is_pinned(offset) && self.has_content_rule()) => {
                found(Lint::Pointer { rule: index, offset });
            }
            Subject::Content => {
                if let Some(pointer) = self.free_pointer(offset) {
                    found(Lint::FreePointer { rule: index, offset, pointer });
                }
            }
            Subject::Value(kind) => {
                // What pins a value by `at least` and `at most` compares no order.
                let by_order = !is_equality(rule) && !self.is_pinned(offset);
                lint_value(index, rule, kind, by_order, found);
            }
            Subject::Pointer | Subject::Unknown => {}
        }
    }

    /// Whether the rule holds for all values of its word, or for none.
    fn lint_range(self, index: usize, rule: &Rule, found: &mut dyn FnMut(Lint)) {
        let subject = self.subject(rule);
        let no_value = matches!(subject, Subject::Value(kind) if !kind.has_value(rule.reference().to_uint()));
        if no_value && is_equality(rule) {
            return;
        }
        let values = self.values(&subject);
        if values.under([*rule].into_iter()).is_none() {
            found(Lint::NeverHolds { rule: index });
        } else if values.is_within(rule) {
            found(Lint::AlwaysHolds { rule: index });
        }
    }

    /// Whether it is by this rule that no word satisfies all rules so far.
    fn lint_together(self, index: usize, rule: &Rule, found: &mut dyn FnMut(Lint)) {
        let earlier = self.on(rule.offset()).take_while(move |(at, _)| *at < index);
        let before = earlier.clone().map(|(_, rule)| rule);
        let this = core::iter::once(*rule);
        let becomes_so = Range::ALL.under(before.clone()).is_some()
            && Range::ALL.under(this.clone()).is_some()
            && Range::ALL.under(before.chain(this)).is_none();
        if !becomes_so {
            return;
        }
        let excludes = |it: &(usize, Rule)| Range::ALL.under([it.1, *rule].into_iter()).is_none();
        let other = earlier.clone().find(excludes).or_else(|| earlier.clone().next());
        if let Some((other, _)) = other {
            found(Lint::Contradiction { rule: index, other });
        }
    }

    /// Whether some rule is on what a pointer points at.
    fn has_content_rule(self) -> bool {
        self.enforced().any(|(_, rule)| matches!(self.subject(&rule), Subject::Content))
    }

    /// The offset of the first pointer, where no rule demands of one that it points before `offset`.
    fn free_pointer(self, offset: u16) -> Option<usize> {
        let (mut words, mut first, mut held) = (0_usize, None, false);
        let signature = signature_text::read(self.function?.signature()).ok()?;
        for parameter in signature.parameters() {
            if parameter.dynamic {
                let at = words.saturating_mul(WORD);
                first = first.or(Some(at));
                let pinned = u16::try_from(at).ok().and_then(|at| self.pinned(at));
                held |= pinned.is_some_and(|place| place <= U256::from(offset));
            }
            words = words.saturating_add(parameter.words);
        }
        first.filter(|_| !held)
    }
}

fn is_equality(rule: &Rule) -> bool {
    matches!(rule.condition(), Condition::Equal | Condition::NotEqual)
}

/// What is odd about a rule on a value of this type.
fn lint_value(index: usize, rule: &Rule, kind: ElementaryType, by_order: bool, found: &mut dyn FnMut(Lint)) {
    let reference = rule.reference().to_uint();
    match kind {
        ElementaryType::Address if by_order => found(Lint::AddressByOrder { rule: index }),
        ElementaryType::Int { .. } if by_order => found(Lint::SignedByOrder { rule: index, kind }),
        ElementaryType::Address if rule.condition() == Condition::Equal && reference == U256::ZERO => {
            found(Lint::ZeroAddress { rule: index });
        }
        _ => {}
    }
    // A bound beyond an unsigned type's values is one that always or never holds.
    if !kind.has_value(reference) && (is_equality(rule) || kind.max().is_none()) {
        found(Lint::NotAValue { rule: index, kind });
    }
}
