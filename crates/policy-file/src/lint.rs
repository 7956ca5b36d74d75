//! What is legal and not meant, or dangerous, with the line of the file that it is about.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, SourceCode};
use quorate_core::{KnownFunction, Lint, LintContext, Severity, TrustedContext};

use crate::compile::Compiled;
use crate::file::{Allow, End};
use crate::mistake::{Place, Source};
use crate::read::Span;

/// Something that a policy file allows and most owners would not want.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{lint}")]
pub struct Finding {
    /// The entry that it is about, from 0.
    pub entry: usize,
    /// What is found.
    pub lint: Lint,
    /// Where.
    pub place: Place,
    source_code: Source,
}

impl Diagnostic for Finding {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.lint.name()))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.lint.level() {
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
    /// What is found in its policies. The functions of the file are known besides those of the context. What is found of the
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
                    findings.push(Finding { entry, lint, place, source_code: self.file.source.clone() });
                }
            });
        }
        findings
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
