//! Reads a function's signature as people write it, and hashes its canonical form as it goes.

use alloy_primitives::Keccak256;

use super::{elementary, error::SelectorError};
use crate::keccak::digest;

/// A function, as its signature has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
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

/// Reads a signature. `each` is called with each of the function's parameters, in order, before it is known whether the
/// rest can be read.
pub(crate) fn read<'a>(
    text: &'a str,
    each: &mut dyn FnMut(Parameter<'a>),
) -> Result<Signature<'a>, SelectorError> {
    let mut canonical = Keccak256::new();
    let mut reader = Reader { text, at: 0, canonical: Some(&mut canonical) };
    let (name, Layout { words, dynamic }) = reader.function(each)?;
    let [a, b, c, d, ..] = digest(&canonical).0;
    Ok(Signature { name, selector: [a, b, c, d], head_words: words, dynamic })
}

/// What a word of a function's arguments is, as far as the signature says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argument<'a> {
    /// The elementary type of which the word is a value; `None` where it is a pointer.
    pub(crate) kind: Option<&'a str>,
    /// The name of the argument, where it has one and takes no other word; none for a tuple's component.
    pub(crate) name: Option<&'a str>,
}

/// What the `word`th word of the arguments is, counted from 0, in a signature that [`read`] takes. `None` past them, where
/// what pointers point at may be.
pub(crate) fn argument(text: &str, word: usize) -> Option<Argument<'_>> {
    let mut place = Place { before: word, found: None };
    read(text, &mut |parameter| place.pass(parameter)).ok()?;
    let outermost = place.found?;
    let mut innermost = outermost;
    let mut is_whole = outermost.words == 1;
    while innermost.kind.is_empty() && !innermost.dynamic {
        place = Place { before: place.before.checked_rem(innermost.element_words)?, found: None };
        let mut reader = Reader { text, at: innermost.components, canonical: None };
        reader.parameters(0, &mut |component| place.pass(component)).ok()?;
        innermost = place.found?;
        is_whole = false;
    }
    let name = outermost.name.filter(|_| is_whole);
    Some(Argument { kind: (!innermost.dynamic).then_some(innermost.kind), name })
}

/// Looks for the parameter in which a word stands.
struct Place<'a> {
    /// The words before the one that is looked for, from the next parameter on; from the start of the one that is found.
    before: usize,
    found: Option<Parameter<'a>>,
}

impl<'a> Place<'a> {
    fn pass(&mut self, parameter: Parameter<'a>) {
        if self.found.is_some() {
            return;
        }
        match self.before.checked_sub(parameter.words) {
            Some(before) => self.before = before,
            None => self.found = Some(parameter),
        }
    }
}

/// How many words something takes where it stands, and whether it is, or has, a pointer.
#[derive(Clone, Copy)]
struct Layout {
    words: usize,
    dynamic: bool,
}

/// How deep tuples may be nested; each level is a call on the stack.
const MAX_DEPTH: usize = 16;

struct Reader<'a, 'k> {
    text: &'a str,
    at: usize,
    canonical: Option<&'k mut Keccak256>,
}

impl<'a> Reader<'a, '_> {
    fn function(&mut self, each: &mut dyn FnMut(Parameter<'a>)) -> Result<(&'a str, Layout), SelectorError> {
        self.skip_spaces();
        let mut start = self.at;
        let mut name = self.word();
        if name == "function" {
            self.skip_spaces();
            start = self.at;
            name = self.word();
        } else if matches!(name, "receive" | "fallback" | "constructor") {
            return Err(SelectorError::NoFunction { at: start });
        }
        if !is_identifier(name) {
            self.at = start;
            return Err(self.expected("the function's name"));
        }
        self.hash(name);
        self.skip_spaces();
        self.require(b'(', "an opening parenthesis")?;
        let layout = self.parameters(0, each)?;
        self.tail()?;
        Ok((name, layout))
    }

    /// Reads what follows an opening parenthesis, and the closing one.
    fn parameters(
        &mut self,
        depth: usize,
        each: &mut dyn FnMut(Parameter<'a>),
    ) -> Result<Layout, SelectorError> {
        if depth > MAX_DEPTH {
            return Err(SelectorError::TooDeep { limit: MAX_DEPTH });
        }
        let mut layout = Layout { words: 0, dynamic: false };
        self.hash("(");
        self.skip_spaces();
        if !self.eat(b')') {
            loop {
                let parameter = self.parameter(depth)?;
                layout.words = layout.words.saturating_add(parameter.words);
                layout.dynamic |= parameter.dynamic;
                each(parameter);
                if self.eat(b')') {
                    break;
                }
                self.require(b',', "a comma or a closing parenthesis")?;
                self.hash(",");
            }
        }
        self.hash(")");
        Ok(layout)
    }

    /// Reads one type with its array suffixes, data location and name, up to the comma or parenthesis after it.
    fn parameter(&mut self, depth: usize) -> Result<Parameter<'a>, SelectorError> {
        self.skip_spaces();
        let start = self.at;
        let mut kind = self.word();
        let mut components = start;
        let mut layout = Layout { words: 1, dynamic: matches!(kind, "bytes" | "string") };
        if kind.is_empty() || kind == "tuple" {
            self.skip_spaces();
            self.require(b'(', "a type")?;
            kind = "";
            components = self.at;
            layout = self.parameters(depth + 1, &mut |_| {})?;
        } else {
            let (canonical, suffix) =
                elementary::canonical(kind).ok_or(SelectorError::UnknownType { at: start })?;
            self.hash(canonical);
            self.hash(suffix);
        }
        let element_words = layout.words;
        self.arrays(&mut layout)?;
        let name = self.name(kind == "address", &mut layout)?;
        let words = if layout.dynamic { 1 } else { layout.words };
        Ok(Parameter { kind, name, dynamic: layout.dynamic, words, element_words, components })
    }

    /// Reads `[]` and `[n]`, as many as there are.
    fn arrays(&mut self, layout: &mut Layout) -> Result<(), SelectorError> {
        loop {
            self.skip_spaces();
            if !self.eat(b'[') {
                return Ok(());
            }
            self.skip_spaces();
            let start = self.at;
            let length = self.word();
            let words = elementary::decimal(length);
            if words.is_none() && !length.is_empty() {
                self.at = start;
                return Err(self.expected("the array's length, a decimal number from 1"));
            }
            self.skip_spaces();
            self.require(b']', "a closing bracket")?;
            layout.dynamic |= words.is_none();
            layout.words = layout.words.saturating_mul(words.unwrap_or(1));
            self.hash("[");
            self.hash(length);
            self.hash("]");
        }
    }

    /// Reads what stands between a type and what follows it: `payable`, a data location, a name.
    fn name(&mut self, is_address: bool, layout: &mut Layout) -> Result<Option<&'a str>, SelectorError> {
        let mut start = self.at;
        let mut name = self.word();
        if is_address && name == "payable" {
            self.arrays(layout)?;
            start = self.at;
            name = self.word();
        }
        if matches!(name, "memory" | "calldata" | "storage") {
            self.skip_spaces();
            start = self.at;
            name = self.word();
        }
        if !name.is_empty() && !is_identifier(name) {
            self.at = start;
            return Err(self.expected("a name, which starts with a letter, `_` or `$`"));
        }
        self.skip_spaces();
        Ok((!name.is_empty()).then_some(name))
    }

    /// Reads modifiers and `returns (...)`, which do not belong to the canonical form.
    fn tail(&mut self) -> Result<(), SelectorError> {
        loop {
            self.skip_spaces();
            let start = self.at;
            match self.word() {
                "external" | "public" | "internal" | "private" | "view" | "pure" | "payable"
                | "nonpayable" | "virtual" | "override" => {}
                "returns" => self.results()?,
                word => {
                    let ended = word.is_empty() && {
                        self.eat(b';');
                        self.skip_spaces();
                        self.next().is_none()
                    };
                    if ended {
                        return Ok(());
                    }
                    self.at = start;
                    return Err(self.expected("the end of the text, a modifier or `returns`"));
                }
            }
        }
    }

    /// Reads the parentheses after `returns`. Types of results may be anything.
    fn results(&mut self) -> Result<(), SelectorError> {
        self.skip_spaces();
        self.require(b'(', "an opening parenthesis")?;
        let mut depth = 1_usize;
        while depth > 0 {
            match self.next() {
                Some(b'(') => depth += 1,
                Some(b')') => depth -= 1,
                Some(_) => {}
                None => return Err(self.expected("a closing parenthesis")),
            }
            self.at += 1;
        }
        Ok(())
    }

    fn hash(&mut self, part: &str) {
        if let Some(canonical) = &mut self.canonical {
            canonical.update(part);
        }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.next().is_some_and(|next| next.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Letters, digits, `_` and `$`.
    fn word(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_other = |next: u8| !(next.is_ascii_alphanumeric() || next == b'_' || next == b'$');
        let (word, _) = elementary::split_where(rest, is_other);
        self.at += word.len();
        word
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.next() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn require(&mut self, wanted: u8, expected: &'static str) -> Result<(), SelectorError> {
        if self.eat(wanted) { Ok(()) } else { Err(self.expected(expected)) }
    }

    const fn expected(&self, expected: &'static str) -> SelectorError {
        SelectorError::Expected { at: self.at, expected }
    }
}

/// Whether a word of letters, digits, `_` and `$` may name something.
fn is_identifier(word: &str) -> bool {
    word.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests;
