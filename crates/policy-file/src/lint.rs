//! What is legal and not meant, or dangerous, with the line of the file that it is about.

use std::fmt;
use std::num::NonZeroU64;

use miette::{Diagnostic, LabeledSpan, SourceCode};
use quorate_core::{KnownFunction, Lint, LintContext, Severity, TrustedContext};
use quorate_protocol::{Counter, Dimension};

use crate::compile::Compiled;
use crate::file::{Allow, End};
use crate::mistake::{Place, Source};
use crate::read::Span;
use crate::time;

/// Something that a policy file allows and most owners would not want.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct Finding {
    /// The entry that it is about, from 0; `None` for what is of all of them.
    pub entry: Option<usize>,
    /// What is found.
    pub what: FoundLint,
    /// Where.
    pub place: Place,
    source_code: Source,
}

/// What is found: in a policy, which the chain holds, or in the limits, which the nodes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoundLint {
    /// In a policy.
    #[error("{0}")]
    Policy(Lint),
    /// A window's limit that is never reached, since another one is before.
    #[error(
        "this is no less than the limit {}, which is reached first; give less, or leave it out",
        match outer { Some(seconds) => format!("of each {}", time::window_in_words(*seconds)), None => "in all".to_owned() }
    )]
    WindowWithoutEffect {
        /// The window's length, in seconds.
        seconds: NonZeroU64,
        /// The length of the longer windows whose limit it does not stay below; none for the limit in all.
        outer: Option<NonZeroU64>,
    },
}

impl FoundLint {
    /// Its name for other programs: lower case, with hyphens.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Policy(lint) => lint.name(),
            Self::WindowWithoutEffect { .. } => "window-without-effect",
        }
    }

    /// How bad it is.
    pub const fn level(&self) -> Severity {
        match self {
            Self::Policy(lint) => lint.level(),
            Self::WindowWithoutEffect { .. } => Severity::Warning,
        }
    }
}

impl Diagnostic for Finding {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.what.name()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.what.level() {
            Severity::Info => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Danger | Severity::Refused => miette::Severity::Error,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source_code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.place.labeled())))
    }
}

impl Compiled<'_> {
    /// What is found in its policies and limits. The functions of the file are known besides those of the context. What is found of the
    /// times stands once, though it is true of each entry.
    pub fn lint(&self, context: &LintContext<'_>) -> Vec<Finding> {
        let own = self.file.functions().filter_map(|signature| KnownFunction::parse(signature).ok());
        let functions: Vec<_> = context.trusted.functions.iter().copied().chain(own).collect();
        let context =
            LintContext { trusted: TrustedContext { functions: &functions, ..context.trusted }, ..*context };
        let mut findings = Vec::new();
        for (entry, (allow, policy)) in self.entries().enumerate() {
            policy.lint(&context, &mut |lint| {
                if entry == 0 || !is_of_times(&lint) {
                    let place = Place::new(&self.place(allow, &lint), "");
                    findings.push(self.finding(Some(entry), FoundLint::Policy(lint), place));
                }
            });
        }
        findings.extend(self.lint_windows());
        findings
    }

    /// Limits of windows that are never reached.
    fn lint_windows(&self) -> impl Iterator<Item = Finding> {
        let counters = self.limits().counters();
        let windows: Vec<_> =
            counters.iter().filter(|counter| counter.dimension.seconds.is_some()).copied().collect();
        windows.into_iter().zip(self.windows()).filter_map(move |(window, (entry, span))| {
            let what = without_effect(window, &counters)?;
            Some(self.finding(entry, what, Place::new(span, "")))
        })
    }

    /// The limits of windows in the order in which they are counted: their entries and places.
    fn windows(&self) -> impl Iterator<Item = (Option<usize>, &Span)> {
        let limits = &self.file.limits;
        let rate = limits.rate.iter().map(|rate| (None, &rate.span));
        let totals = self.file.allow.iter().enumerate().flat_map(|(entry, allow)| {
            let windowed = allow.totals.iter().filter(|total| total.seconds.is_some());
            windowed.map(move |total| (Some(entry), &total.rule.span))
        });
        rate.chain(totals).chain(limits.windows.iter().map(|amount| (None, &amount.span)))
    }

    fn finding(&self, entry: Option<usize>, what: FoundLint, place: Place) -> Finding {
        Finding { entry, what, place, source_code: self.file.source.clone() }
    }

    fn place(&self, allow: &Allow, lint: &Lint) -> Span {
        let validity = &self.file.validity;
        let time = || validity.end.as_ref().map(End::span).or(validity.from.as_ref().map(|from| &from.span));
        let rule = |rule: usize| allow.rules.get(rule).map(|rule| &rule.span);
        let span = match *lint {
            Lint::NoEnd => None,
            _ if is_of_times(lint) => time(),
            Lint::ZeroContract | Lint::ControlsAccount { .. } => Some(&allow.contract.span),
            Lint::ValueWithoutRule { .. } => allow.value.as_ref().map(|value| &value.span),
            Lint::Unenforced { rule: place, .. }
            | Lint::OffsetNotWord { rule: place, .. }
            | Lint::OffsetPastArguments { rule: place, .. }
            | Lint::AlwaysHolds { rule: place }
            | Lint::NeverHolds { rule: place }
            | Lint::Contradiction { rule: place, .. }
            | Lint::NotAValue { rule: place, .. }
            | Lint::AddressByOrder { rule: place }
            | Lint::SignedByOrder { rule: place, .. }
            | Lint::ZeroAddress { rule: place }
            | Lint::Pointer { rule: place, .. }
            | Lint::FreePointer { rule: place, .. } => rule(place),
            _ => Some(&allow.function.span),
        };
        span.unwrap_or(&allow.function.span).clone()
    }
}

/// Whether a window's limit is never reached: longer windows, of which it is a whole part, or all of them together may have
/// no more.
fn without_effect(window: Counter, counters: &[Counter]) -> Option<FoundLint> {
    let Dimension { quantity, seconds } = window.dimension;
    let seconds = seconds?;
    let holds_it = |outer: &&Counter| {
        let is_outer = match outer.dimension.seconds {
            None => true,
            Some(length) => length > seconds && length.get() % seconds.get() == 0,
        };
        is_outer && outer.dimension.quantity == quantity && outer.limit <= window.limit
    };
    let outer = counters.iter().find(holds_it)?.dimension.seconds;
    Some(FoundLint::WindowWithoutEffect { seconds, outer })
}

const fn is_of_times(lint: &Lint) -> bool {
    matches!(
        lint,
        Lint::NoEnd
            | Lint::LongerThanAYear { .. }
            | Lint::Over { .. }
            | Lint::NeverValid { .. }
            | Lint::TimeInMilliseconds { .. }
    )
}
