//! Reads a function's signature as people write it, also at compile time, and hashes its canonical form as it goes.

use super::{
    const_keccak::ConstKeccak,
    elementary::{self, ElementaryType},
    error::SelectorError,
};

/// A function, as its signature has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
    text: &'a str,
    /// Where in the text the parameters start.
    parameters: usize,
    /// Its name.
    pub(crate) name: &'a str,
    /// The first four bytes of the hash of its canonical form.
    pub(crate) selector: [u8; 4],
    /// The words that its arguments take before those that are pointed at.
    pub(crate) head_words: usize,
    /// Whether one of them is a pointer.
    pub(crate) dynamic: bool,
}

/// A parameter of a function, or a component of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    /// The elementary type that it is or that its elements are; empty for tuples.
    pub(crate) kind: &'a str,
    pub(crate) name: Option<&'a str>,
    /// Whether it takes one word that points at what it is. A pointer's parameter takes one word.
    pub(crate) dynamic: bool,
    /// The words that it takes where it stands.
    pub(crate) words: usize,
    /// Those that an array's element takes; the same as `words` where it is no array.
    element_words: usize,
    /// Where in the text a tuple's components start.
    components: usize,
}

/// Reads a signature.
pub(crate) const fn read(text: &str) -> Result<Signature<'_>, SelectorError> {
    let mut reader = Reader::new(text, 0);
    let signature = reader.function();
    match reader.error {
        None => Ok(signature),
        Some(error) => Err(error),
    }
}

impl Argument<'_> {
    /// Where something dynamic is.
    pub(super) const POINTER: Self = Self { kind: ArgumentKind::Pointer, name: None };
}

impl<'a> Signature<'a> {
    /// The function's parameters, in their order.
    pub(crate) const fn parameters(&self) -> Parameters<'a> {
        Parameters::new(self.text, self.parameters)
    }
}

/// Parameters of a signature that is known to be one.
pub(crate) struct Parameters<'a> {
    reader: Reader<'a>,
    is_first: bool,
}

impl<'a> Parameters<'a> {
    const fn new(text: &'a str, start: usize) -> Self {
        Self { reader: Reader::new(text, start), is_first: true }
    }

    const fn pass(&mut self) -> Option<Parameter<'a>> {
        let is_first = core::mem::replace(&mut self.is_first, false);
        self.reader.next_parameter(0, is_first)
    }

    /// The parameter in which a word stands, and how many of its words are before that one.
    const fn at(mut self, word: usize) -> Option<(Parameter<'a>, usize)> {
        let mut before = word;
        while let Some(parameter) = self.pass() {
            match before.checked_sub(parameter.words) {
                Some(rest) => before = rest,
                None => return Some((parameter, before)),
            }
        }
        None
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Parameter<'a>;

    fn next(&mut self) -> Option<Parameter<'a>> {
        self.pass()
    }
}

/// What a word of a function's arguments is, as far as the signature says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a> {
    pub(crate) kind: ArgumentKind,
    /// The name of the argument, where it has one and takes no other word; none for a tuple's component.
    pub(crate) name: Option<&'a str>,
}

/// What a word of arguments holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArgumentKind {
    /// Where something dynamic is.
    Pointer,
    /// A value of this type.
    Value(ElementaryType),
    /// A value of a type that contracts hardly have.
    Other,
}

/// What the `word`th word of the arguments is, counted from 0. `None` past them, where what pointers point at may be, and
/// where the text is no signature.
pub(crate) const fn argument(text: &str, word: usize) -> Option<Argument<'_>> {
    let Ok(signature) = read(text) else { return None };
    let Some((outermost, mut before)) = signature.parameters().at(word) else { return None };
    let mut innermost = outermost;
    while innermost.kind.is_empty() && !innermost.dynamic {
        let components = Parameters::new(text, innermost.components);
        // A tuple that takes a word has components that do.
        let Some(found) = components.at(before % innermost.element_words) else { return None };
        (innermost, before) = found;
    }
    let kind = match ElementaryType::parse(innermost.kind) {
        _ if innermost.dynamic => ArgumentKind::Pointer,
        Some(kind) => ArgumentKind::Value(kind),
        None => ArgumentKind::Other,
    };
    let is_whole = outermost.words == 1 && (outermost.dynamic || !outermost.kind.is_empty());
    Some(Argument { kind, name: if is_whole { outermost.name } else { None } })
}

/// How many words something takes where it stands, and whether it is, or has, a pointer.
#[derive(Clone, Copy)]
struct Layout {
    words: usize,
    dynamic: bool,
}

/// How deep tuples may be nested; each level is a call on the stack.
const MAX_DEPTH: usize = 16;

/// Reads on after an error, and finds nothing then.
#[derive(Clone, Copy)]
struct Reader<'a> {
    text: &'a str,
    at: usize,
    canonical: ConstKeccak,
    /// The first one.
    error: Option<SelectorError>,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, canonical: ConstKeccak::new(), error: None }
    }

    const fn function(&mut self) -> Signature<'a> {
        self.skip_spaces();
        let mut start = self.at;
        let mut name = self.word();
        match name.as_bytes() {
            b"function" => {
                self.skip_spaces();
                start = self.at;
                name = self.word();
            }
            b"receive" | b"fallback" | b"constructor" => self.fail(SelectorError::NoFunction { at: start }),
            _ => {}
        }
        if !is_identifier(name) {
            self.fail_at(start, "the function's name");
        }
        self.canonical.update(name);
        self.skip_spaces();
        self.require(b'(', "an opening parenthesis");
        let parameters = self.at;
        let Layout { words, dynamic } = self.parameters(0);
        self.tail();
        let selector = self.canonical.selector();
        Signature { text: self.text, parameters, name, selector, head_words: words, dynamic }
    }

    /// Reads what follows an opening parenthesis, and the closing one.
    const fn parameters(&mut self, depth: usize) -> Layout {
        let mut layout = Layout { words: 0, dynamic: false };
        if depth > MAX_DEPTH {
            self.fail(SelectorError::TooDeep { limit: MAX_DEPTH });
        }
        self.canonical.update("(");
        let mut is_first = true;
        while let Some(parameter) = self.next_parameter(depth, is_first) {
            layout.words = layout.words.saturating_add(parameter.words);
            layout.dynamic |= parameter.dynamic;
            is_first = false;
        }
        self.canonical.update(")");
        layout
    }

    /// Reads a parameter and what is before it, or the closing parenthesis.
    const fn next_parameter(&mut self, depth: usize, is_first: bool) -> Option<Parameter<'a>> {
        if is_first {
            self.skip_spaces();
        }
        if self.error.is_some() || self.eat(b')') {
            return None;
        }
        if !is_first {
            self.require(b',', "a comma or a closing parenthesis");
            self.canonical.update(",");
        }
        let parameter = self.parameter(depth);
        if self.error.is_none() { Some(parameter) } else { None }
    }

    /// Reads one type with its array suffixes, data location and name, up to the comma or parenthesis after it.
    const fn parameter(&mut self, depth: usize) -> Parameter<'a> {
        self.skip_spaces();
        let start = self.at;
        let mut kind = self.word();
        let mut components = start;
        let mut layout = Layout { words: 1, dynamic: matches!(kind.as_bytes(), b"bytes" | b"string") };
        if matches!(kind.as_bytes(), b"" | b"tuple") {
            self.skip_spaces();
            self.require(b'(', "a type");
            kind = "";
            components = self.at;
            layout = self.parameters(depth + 1);
        } else if let Some(suffix) = elementary::canonical_suffix(kind) {
            self.canonical.update(kind);
            self.canonical.update(suffix);
        } else {
            self.fail(SelectorError::UnknownType { at: start });
        }
        let element_words = layout.words;
        self.arrays(&mut layout);
        let name = self.name(matches!(kind.as_bytes(), b"address"), &mut layout);
        let words = if layout.dynamic { 1 } else { layout.words };
        Parameter { kind, name, dynamic: layout.dynamic, words, element_words, components }
    }

    /// Reads `[]` and `[n]`, as many as there are.
    const fn arrays(&mut self, layout: &mut Layout) {
        loop {
            self.skip_spaces();
            if !self.eat(b'[') {
                return;
            }
            self.skip_spaces();
            let start = self.at;
            let length = self.word();
            match elementary::decimal(length.as_bytes()) {
                Some(words) => layout.words = layout.words.saturating_mul(words),
                None if length.is_empty() => layout.dynamic = true,
                None => self.fail_at(start, "the array's length, a decimal number from 1"),
            }
            self.skip_spaces();
            self.require(b']', "a closing bracket");
            self.canonical.update("[");
            self.canonical.update(length);
            self.canonical.update("]");
        }
    }

    /// Reads what stands between a type and what follows it: `payable`, a data location, a name.
    const fn name(&mut self, is_address: bool, layout: &mut Layout) -> Option<&'a str> {
        let mut start = self.at;
        let mut name = self.word();
        if is_address && matches!(name.as_bytes(), b"payable") {
            self.arrays(layout);
            start = self.at;
            name = self.word();
        }
        if matches!(name.as_bytes(), b"memory" | b"calldata" | b"storage") {
            self.skip_spaces();
            start = self.at;
            name = self.word();
        }
        if !name.is_empty() && !is_identifier(name) {
            self.fail_at(start, "a name, which starts with a letter, `_` or `$`");
        }
        self.skip_spaces();
        if name.is_empty() { None } else { Some(name) }
    }

    /// Reads modifiers and `returns (...)`, which do not belong to the canonical form.
    const fn tail(&mut self) {
        loop {
            self.skip_spaces();
            let start = self.at;
            match self.word().as_bytes() {
                b"external" | b"public" | b"internal" | b"private" | b"view" | b"pure" | b"payable"
                | b"nonpayable" | b"virtual" | b"override" => {}
                b"returns" => self.results(),
                word => {
                    if word.is_empty() {
                        self.eat(b';');
                        self.skip_spaces();
                    }
                    if !word.is_empty() || self.next().is_some() {
                        self.fail_at(start, "the end of the text, a modifier or `returns`");
                    }
                    return;
                }
            }
        }
    }

    /// Reads the parentheses after `returns`. Types of results may be anything.
    const fn results(&mut self) {
        self.skip_spaces();
        self.require(b'(', "an opening parenthesis");
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Some(b'(') => depth += 1,
                Some(b')') => depth -= 1,
                Some(_) => {}
                None => return self.fail_at(self.at, "a closing parenthesis"),
            }
            self.at += 1;
        }
    }

    #[allow(clippy::indexing_slicing, reason = "`get` is not const yet")]
    const fn next(&self) -> Option<u8> {
        if self.at < self.text.len() { Some(self.text.as_bytes()[self.at]) } else { None }
    }

    const fn skip_spaces(&mut self) {
        while matches!(self.next(), Some(next) if next.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Letters, digits, `_` and `$`.
    const fn word(&mut self) -> &'a str {
        let start = self.at;
        while matches!(self.next(), Some(next) if next.is_ascii_alphanumeric() || matches!(next, b'_' | b'$'))
        {
            self.at += 1;
        }
        // Where there are such letters, both ends are between two letters of the text.
        if self.at == start {
            return "";
        }
        let (_, rest) = self.text.split_at(start);
        let (word, _) = rest.split_at(self.at - start);
        word
    }

    const fn eat(&mut self, wanted: u8) -> bool {
        let found = matches!(self.next(), Some(next) if next == wanted);
        if found {
            self.at += 1;
        }
        found
    }

    const fn require(&mut self, wanted: u8, expected: &'static str) {
        if !self.eat(wanted) {
            self.fail_at(self.at, expected);
        }
    }

    const fn fail_at(&mut self, at: usize, expected: &'static str) {
        self.fail(SelectorError::Expected { at, expected });
    }

    const fn fail(&mut self, error: SelectorError) {
        if self.error.is_none() {
            self.error = Some(error);
        }
    }
}

/// Whether a word of letters, digits, `_` and `$` may name something.
const fn is_identifier(word: &str) -> bool {
    matches!(word.as_bytes(), [first, ..] if !first.is_ascii_digit())
}

#[cfg(test)]
mod tests;
