//! Reads a function's signature as people write it and hashes its canonical form as it goes.

use alloy_primitives::Keccak256;

use crate::abi::selector::{FunctionSelector, SelectorError};

/// The selector of the function that `text` describes.
pub(crate) fn selector(text: &str) -> Result<FunctionSelector, SelectorError> {
    let mut reader = Reader { text, at: 0, canonical: Keccak256::new() };
    reader.function()?;
    let [a, b, c, d, ..] = reader.canonical.finalize().0;
    Ok(FunctionSelector::new([a, b, c, d]))
}

/// An argument of a function, as the function's signature names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argument<'a> {
    /// Its type; `None` for a type that is not one word of its own.
    pub(crate) kind: Option<&'a str>,
    /// Its name, if it has one.
    pub(crate) name: Option<&'a str>,
}

/// The argument whose word is the `index`th, in a signature that [`selector`] reads. `None` where there is none, and
/// behind arrays and tuples, which take more words than one or are elsewhere.
pub(crate) fn argument(text: &str, index: usize) -> Option<Argument<'_>> {
    let (_, inside) = text.split_once('(')?;
    let mut parameters = inside.get(..inside.find([')', '(', '['])?)?.split(',');
    // What an array or tuple starts with is not told from the parameter before it, so the last one counts only where
    // the list ends with it.
    let whole = inside.find(')') < inside.find(['(', '[']).or(Some(usize::MAX));
    let parameter = parameters.nth(index)?;
    if !whole && parameters.next().is_none() {
        return None;
    }
    let mut words = parameter.split_ascii_whitespace();
    let kind = words.next()?;
    let name = words.rfind(|word| !matches!(*word, "memory" | "calldata" | "storage" | "payable"));
    Some(Argument { kind: (!matches!(kind, "bytes" | "string")).then_some(kind), name })
}

/// The number of words that the arguments take, in a signature that [`selector`] reads. `None` where some argument
/// takes more words than one, or data behind them.
pub(crate) fn words(text: &str) -> Option<usize> {
    let (_, inside) = text.split_once('(')?;
    let inside = inside
        .get(..inside.find([')', '(', '['])?)
        .filter(|all| inside.get(all.len()..).is_some_and(|rest| rest.starts_with(')')))?;
    if inside.trim_ascii().is_empty() {
        return Some(0);
    }
    let count = inside.split(',').count();
    (0..count)
        .all(|index| argument(text, index).is_some_and(|argument| argument.kind.is_some()))
        .then_some(count)
}

/// How deep tuples may be nested; each level is a call on the stack.
const MAX_DEPTH: usize = 16;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    canonical: Keccak256,
}

impl<'a> Reader<'a> {
    fn function(&mut self) -> Result<(), SelectorError> {
        self.skip_spaces();
        let mut name = self.word();
        if name == "function" && !self.rest().trim_start().starts_with('(') {
            self.skip_spaces();
            name = self.word();
        }
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(self.expected("the function's name"));
        }
        self.canonical.update(name);
        self.skip_spaces();
        if !self.eat('(') {
            return Err(self.expected("an opening parenthesis"));
        }
        self.parameters(0)?;
        self.tail()
    }

    /// Reads what follows an opening parenthesis, and the closing one.
    fn parameters(&mut self, depth: usize) -> Result<(), SelectorError> {
        if depth > MAX_DEPTH {
            return Err(SelectorError::TooDeep { limit: MAX_DEPTH });
        }
        self.canonical.update("(");
        self.skip_spaces();
        if !self.eat(')') {
            loop {
                self.parameter(depth)?;
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.expected("a comma or a closing parenthesis"));
                }
                self.canonical.update(",");
            }
        }
        self.canonical.update(")");
        Ok(())
    }

    /// Reads one type with its array suffixes, data location and name, up to the comma or parenthesis after it.
    fn parameter(&mut self, depth: usize) -> Result<(), SelectorError> {
        self.skip_spaces();
        let start = self.at;
        let kind = self.word();
        let mut payable_may_follow = false;
        if kind.is_empty() || kind == "tuple" {
            self.skip_spaces();
            if !self.eat('(') {
                return Err(self.expected("a type"));
            }
            self.parameters(depth + 1)?;
        } else {
            let (canonical, suffix) = elementary(kind).ok_or(SelectorError::UnknownType { at: start })?;
            self.canonical.update(canonical);
            self.canonical.update(suffix);
            payable_may_follow = kind == "address";
        }
        self.arrays()?;

        self.skip_spaces();
        let mut name = self.word();
        if payable_may_follow && name == "payable" {
            self.arrays()?;
            self.skip_spaces();
            name = self.word();
        }
        if matches!(name, "memory" | "calldata" | "storage") {
            self.skip_spaces();
            self.word();
        }
        self.skip_spaces();
        Ok(())
    }

    /// Reads `[]` and `[n]`, as many as there are.
    fn arrays(&mut self) -> Result<(), SelectorError> {
        loop {
            self.skip_spaces();
            if !self.eat('[') {
                return Ok(());
            }
            self.skip_spaces();
            let start = self.at;
            let length = self.word();
            if !length.bytes().all(|digit| digit.is_ascii_digit()) || length.starts_with('0') {
                self.at = start;
                return Err(self.expected("the array's length, a decimal number from 1"));
            }
            self.skip_spaces();
            if !self.eat(']') {
                return Err(self.expected("a closing bracket"));
            }
            self.canonical.update("[");
            self.canonical.update(length);
            self.canonical.update("]");
        }
    }

    /// Reads modifiers and `returns (...)`, which do not belong to the canonical form.
    fn tail(&mut self) -> Result<(), SelectorError> {
        loop {
            self.skip_spaces();
            let start = self.at;
            match self.word() {
                "external" | "public" | "internal" | "private" | "view" | "pure" | "payable"
                | "nonpayable" | "virtual" | "override" => {}
                "returns" => {
                    self.skip_spaces();
                    if !self.eat('(') {
                        return Err(self.expected("an opening parenthesis"));
                    }
                    // Types of results may be anything, so only their parentheses are read.
                    let mut depth = 1_usize;
                    while depth > 0 {
                        match self.rest().chars().next() {
                            Some('(') => depth += 1,
                            Some(')') => depth -= 1,
                            Some(_) => {}
                            None => return Err(self.expected("a closing parenthesis")),
                        }
                        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
                    }
                }
                "" => {
                    self.eat(';');
                    self.skip_spaces();
                    return if self.rest().is_empty() {
                        Ok(())
                    } else {
                        Err(self.expected("the end of the text, a modifier or `returns`"))
                    };
                }
                _ => {
                    self.at = start;
                    return Err(self.expected("the end of the text, a modifier or `returns`"));
                }
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Reads letters, digits, `_` and `$`; possibly none.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|next: char| !(next.is_ascii_alphanumeric() || next == '_' || next == '$'))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    const fn expected(&self, expected: &'static str) -> SelectorError {
        SelectorError::Expected { at: self.at, expected }
    }
}

/// The canonical form of an elementary type, in two parts, if it is one.
///
/// Source: the Solidity documentation, "Contract ABI Specification", section "Types".
fn elementary(kind: &str) -> Option<(&str, &'static str)> {
    match kind {
        "address" | "bool" | "string" | "bytes" | "function" => return Some((kind, "")),
        "uint" | "int" => return Some((kind, "256")),
        "fixed" | "ufixed" => return Some((kind, "128x18")),
        _ => {}
    }
    let width_in = |digits: &str, range: core::ops::RangeInclusive<u16>| {
        let plain = !digits.starts_with(['0', '+']);
        digits.parse::<u16>().ok().filter(|width| plain && range.contains(width))
    };
    let known = if let Some(digits) = kind.strip_prefix("bytes") {
        width_in(digits, 1..=32).is_some()
    } else if let Some(digits) = kind.strip_prefix("uint").or_else(|| kind.strip_prefix("int")) {
        width_in(digits, 8..=256).is_some_and(|width| width.is_multiple_of(8))
    } else if let Some(digits) = kind.strip_prefix("ufixed").or_else(|| kind.strip_prefix("fixed")) {
        let (width, decimals) = digits.split_once('x')?;
        width_in(width, 8..=256).is_some_and(|width| width.is_multiple_of(8))
            && width_in(decimals, 1..=80).is_some()
    } else {
        false
    };
    known.then_some((kind, ""))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    fn canonical(signature: &str) -> FunctionSelector {
        let [a, b, c, d, ..] = keccak256(signature).0;
        FunctionSelector::new([a, b, c, d])
    }

    #[test]
    fn the_same_function_written_differently() {
        for (text, signature) in [
            ("f()", "f()"),
            (" function  f ( ) ", "f()"),
            ("function f() external view returns (uint256, (bool b) memory);", "f()"),
            ("function(uint a)", "function(uint256)"),
            ("transfer(address to, uint amount)", "transfer(address,uint256)"),
            ("g(bytes calldata data, string memory)", "g(bytes,string)"),
            ("g(address payable to)", "g(address)"),
            ("g(address payable[] memory to)", "g(address[])"),
            ("h((uint8,bool)[2][] calldata pairs, int)", "h((uint8,bool)[2][],int256)"),
            ("h(tuple(address a, (bytes32) b) t)", "h((address,(bytes32)))"),
            ("i(fixed, ufixed128x18)", "i(fixed128x18,ufixed128x18)"),
            ("$_1(function callback)", "$_1(function)"),
        ] {
            assert_eq!(FunctionSelector::parse(text), Ok(canonical(signature)), "{text}");
        }
    }

    #[test]
    fn what_is_no_signature() {
        let expected = |at, expected| Err(SelectorError::Expected { at, expected });
        for (text, error) in [
            ("", expected(0, "the function's name")),
            ("f", expected(1, "an opening parenthesis")),
            ("f(", expected(2, "a type")),
            ("f(uint256", expected(9, "a comma or a closing parenthesis")),
            ("f(uint256,)", expected(10, "a type")),
            ("f(uint256[x])", expected(10, "the array's length, a decimal number from 1")),
            ("f(uint256[1)", expected(11, "a closing bracket")),
            ("f() else", expected(4, "the end of the text, a modifier or `returns`")),
            ("f(Order)", Err(SelectorError::UnknownType { at: 2 })),
            ("f(uint7)", Err(SelectorError::UnknownType { at: 2 })),
            ("f(bytes33)", Err(SelectorError::UnknownType { at: 2 })),
            ("f(bytes01)", Err(SelectorError::UnknownType { at: 2 })),
            ("0x1234567", Err(SelectorError::WrongLength { digits: 7 })),
            ("0x1234567g", Err(SelectorError::NotHex { at: 9 })),
            ("0x", Err(SelectorError::WrongLength { digits: 0 })),
        ] {
            assert_eq!(FunctionSelector::parse(text), error, "{text}");
        }
        let deep = std::format!("f{}{}", "(".repeat(100), ")".repeat(100));
        assert_eq!(FunctionSelector::parse(&deep), Err(SelectorError::TooDeep { limit: 16 }));
    }
}
