//! Whether a call is allowed, and otherwise which line of the file refuses it.

use std::fmt;

use alloy_primitives::Address;
use miette::{Diagnostic, LabeledSpan, SourceCode};
use quorate_core::{Call, Encode as _, Execute, Refusal, SessionKeyData, evaluate};

use crate::compile::Compiled;
use crate::explain::shown_word;
use crate::file::{Allow, End};
use crate::mistake::{Place, Source};
use crate::time;

/// Whether a call is allowed.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of them at a time")]
pub enum Verdict {
    /// It is.
    Allowed {
        /// By which entry, from 0.
        entry: usize,
    },
    /// It is not.
    Refused(Refused),
}

/// Why a call is not allowed: the reason of the entry that comes nearest to allowing it, with its place in the file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{because}")]
pub struct Refused {
    /// The entry that comes nearest, from 0.
    pub entry: usize,
    /// The reason.
    pub because: RefusedBecause,
    /// Where the file demands it, if anywhere.
    pub place: Option<Place>,
    source_code: Source,
}

/// Why an entry does not allow a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedBecause {
    /// The session validation module would refuse it.
    Module {
        /// Its reason.
        refusal: Refusal,
        /// What is demanded, in words.
        expected: String,
        /// What the call has.
        actual: String,
    },
    /// The session has not begun.
    NotYetValid {
        /// The first second, since 1970.
        from: u64,
        /// The time asked about.
        now: u64,
    },
    /// The session is over.
    Over {
        /// The last second, since 1970.
        until: u64,
        /// The time asked about.
        now: u64,
    },
}

impl RefusedBecause {
    /// What would be allowed.
    pub fn expected(&self) -> String {
        match self {
            Self::Module { expected, .. } => expected.clone(),
            Self::NotYetValid { from, .. } => format!("{} or later", time::shown(*from)),
            Self::Over { until, .. } => format!("{} or earlier", time::shown(*until)),
        }
    }

    /// What there is instead.
    pub fn actual(&self) -> String {
        match self {
            Self::Module { actual, .. } => actual.clone(),
            Self::NotYetValid { now, .. } | Self::Over { now, .. } => time::shown(*now),
        }
    }
}

impl fmt::Display for RefusedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Module { refusal, .. } => match refusal {
                Refusal::DestinationForbidden { .. } => "another contract is called",
                Refusal::SelectorForbidden { .. } | Refusal::InnerCallDataTooShort { .. } => {
                    "another function is called"
                }
                Refusal::ValueExceeded { .. } => "too much of the chain's coin is sent",
                Refusal::WordOutOfBounds { .. } => "the call ends before an argument",
                _ => "an argument is not as a rule demands",
            },
            Self::NotYetValid { .. } => "it is not yet valid",
            Self::Over { .. } => "it is over",
        };
        write!(f, "{what}: expected {}, found {}", self.expected(), self.actual())
    }
}

impl Diagnostic for Refused {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new("refused"))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source_code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.place.iter().map(Place::labeled)))
    }
}

impl Compiled<'_> {
    /// Whether one of the entries allows a call, as the chain's module would say it; with `now`, in seconds since 1970, whether
    /// the session is valid then as well. Limits are another question: they depend on earlier operations.
    pub fn check(&self, call: &Call<'_>, now: Option<u64>) -> Verdict {
        let mut nearest: Option<(usize, Refusal)> = None;
        // The router gives the module each call of a batch in this form as well.
        let call_data = Execute(*call).to_vec();
        for (entry, policy) in self.policies().iter().enumerate() {
            // Who has signed is not in question.
            let data = SessionKeyData::new(Address::ZERO, policy).to_vec();
            match evaluate(&data, &call_data) {
                Ok(_) => return self.check_time(entry, now),
                Err(refusal) => {
                    if nearest.is_none_or(|(_, earlier)| progress(&earlier) < progress(&refusal)) {
                        nearest = Some((entry, refusal));
                    }
                }
            }
        }
        match nearest {
            Some((entry, refusal)) => Verdict::Refused(self.refused(entry, refusal)),
            // A file without entries does not compile.
            None => Verdict::Allowed { entry: 0 },
        }
    }

    fn check_time(&self, entry: usize, now: Option<u64>) -> Verdict {
        let epoch = self.epoch();
        let Some(now) = now.filter(|now| !epoch.contains(*now)) else { return Verdict::Allowed { entry } };
        let validity = &self.file.validity;
        let (because, span) = match now < epoch.valid_after() {
            true => {
                let because = RefusedBecause::NotYetValid { from: epoch.valid_after(), now };
                (because, validity.from.as_ref().map(|from| &from.span))
            }
            false => {
                let because = RefusedBecause::Over { until: epoch.valid_until(), now };
                (because, validity.end.as_ref().map(End::span))
            }
        };
        let place = span.map(|span| Place::new(span, "this refuses it"));
        Verdict::Refused(Refused { entry, because, place, source_code: self.file.source.clone() })
    }

    fn refused(&self, entry: usize, refusal: Refusal) -> Refused {
        let allow = &self.file.allow[entry];
        let rule = |rule: usize| allow.rules.get(rule);
        let span = match refusal {
            Refusal::DestinationForbidden { .. } => Some(&allow.contract.span),
            Refusal::ValueExceeded { .. } => {
                Some(allow.value.as_ref().map_or(&allow.function.span, |value| &value.span))
            }
            Refusal::RuleViolated { rule: place, .. } | Refusal::WordOutOfBounds { rule: place, .. } => {
                rule(place).map(|rule| &rule.span)
            }
            _ => Some(&allow.function.span),
        };
        let place = span.map(|span| Place::new(span, "this refuses it"));
        let (expected, actual) = self.compared(allow, &refusal);
        let because = RefusedBecause::Module { refusal, expected, actual };
        Refused { entry, because, place, source_code: self.file.source.clone() }
    }

    /// What is demanded, and what the call has.
    fn compared(&self, allow: &Allow, refusal: &Refusal) -> (String, String) {
        match *refusal {
            Refusal::DestinationForbidden { called, permitted } => {
                (permitted.to_string(), called.to_string())
            }
            Refusal::SelectorForbidden { called, permitted } => {
                (format!("{} ({permitted})", allow.function.value), called.to_string())
            }
            Refusal::InnerCallDataTooShort { len } => (allow.function.value.clone(), format!("{len} bytes")),
            Refusal::ValueExceeded { value, limit } => {
                (format!("at most {limit} wei"), format!("{value} wei"))
            }
            Refusal::WordOutOfBounds { rule, len, .. } => {
                let argument = allow.rules.get(rule).map_or("", |rule| rule.argument.as_str());
                (format!("all of `{argument}`"), format!("call data of {len} bytes"))
            }
            Refusal::RuleViolated { rule, word, reference, .. } => match allow.rules.get(rule) {
                Some(rule) => {
                    let reference = shown_word(reference, &rule.ty);
                    let expected = match rule.value.value == reference {
                        true => format!("`{}` {} {reference}", rule.argument, rule.condition),
                        false => {
                            format!(
                                "`{}` {} {} ({reference})",
                                rule.argument, rule.condition, rule.value.value
                            )
                        }
                    };
                    (expected, shown_word(word, &rule.ty))
                }
                None => (reference.to_string(), word.to_string()),
            },
            _ => (allow.function.value.clone(), refusal.to_string()),
        }
    }
}

/// How far a call gets in the module's checks, so that the entry that it comes nearest to can be told.
const fn progress(refusal: &Refusal) -> (u8, usize) {
    match refusal {
        Refusal::DestinationForbidden { .. } => (0, 0),
        Refusal::InnerCallDataTooShort { .. } | Refusal::SelectorForbidden { .. } => (1, 0),
        Refusal::ValueExceeded { .. } => (2, 0),
        Refusal::RuleViolated { rule, .. } | Refusal::WordOutOfBounds { rule, .. } => (3, *rule),
        _ => (0, 0),
    }
}
