//! What is wrong with a policy file, and where.

mod kind;

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

pub use self::kind::MistakeKind;
pub(crate) use self::kind::similar;
use crate::read::Span;

/// The file's name and text.
pub(crate) type Source = Arc<NamedSource<String>>;

/// All that is wrong with a policy file, at least one mistake, in the order of their places.
#[derive(Clone, Debug)]
pub struct Mistakes {
    source: Source,
    mistakes: Vec<Mistake>,
}

impl Mistakes {
    /// The mistakes.
    pub fn as_slice(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => write!(f, "{} has a mistake", self.source.name()),
            count => write!(f, "{} has {count} mistakes", self.source.name()),
        }
    }
}

impl std::error::Error for Mistakes {}

impl Diagnostic for Mistakes {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.mistakes.iter().map(|mistake| mistake as &dyn Diagnostic)))
    }
}

/// One mistake, with the places that it is about: first the one to change.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Mistake {
    kind: MistakeKind,
    source_code: Source,
    places: Vec<Place>,
}

/// A place in a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bytes before it.
    pub offset: usize,
    /// Its bytes.
    pub len: usize,
    /// What stands there, in a few words; empty where the message says all.
    pub label: &'static str,
}

impl Place {
    pub(crate) fn new(span: &Span, label: &'static str) -> Self {
        Self { offset: span.start, len: span.end.saturating_sub(span.start), label }
    }

    pub(crate) fn labeled(&self) -> LabeledSpan {
        let label = (!self.label.is_empty()).then(|| self.label.to_owned());
        LabeledSpan::new(label, self.offset, self.len)
    }
}

impl Mistake {
    /// What is wrong.
    pub const fn kind(&self) -> &MistakeKind {
        &self.kind
    }

    /// Where it is wrong; first the place to change, then those that it is at odds with.
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

impl Diagnostic for Mistake {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.kind.name()))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.kind.help().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source_code)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.places.iter().map(Place::labeled)))
    }
}

/// The mistakes found so far.
#[derive(Debug)]
pub(crate) struct Found {
    source: Source,
    mistakes: Vec<Mistake>,
}

impl Found {
    pub(crate) const fn new(source: Source) -> Self {
        Self { source, mistakes: Vec::new() }
    }

    /// All of them, of which there is one at least.
    pub(crate) fn into_mistakes(self) -> Mistakes {
        Mistakes { source: self.source, mistakes: self.mistakes }
    }

    pub(crate) fn report(&mut self, kind: impl Into<MistakeKind>, span: Span) {
        let kind = kind.into();
        let places = vec![Place::new(&span, kind.label())];
        self.push(kind, places);
    }

    /// Reports what is at odds with something else, which is labelled as well.
    pub(crate) fn report_both(&mut self, kind: MistakeKind, span: Span, other: Span, label: &'static str) {
        let places = vec![Place::new(&span, kind.label()), Place::new(&other, label)];
        self.push(kind, places);
    }

    fn push(&mut self, kind: MistakeKind, places: Vec<Place>) {
        self.mistakes.push(Mistake { kind, source_code: self.source.clone(), places });
    }

    /// The value, or the error's report.
    pub(crate) fn ok<T, E: Into<MistakeKind>>(&mut self, result: Result<T, E>, span: Span) -> Option<T> {
        result.map_err(|error| self.report(error, span)).ok()
    }

    /// The value if nothing was wrong.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Mistakes> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => {
                self.mistakes.sort_by_key(|mistake| mistake.places.first().map(|place| place.offset));
                Err(Mistakes { source: self.source, mistakes: self.mistakes })
            }
        }
    }
}
