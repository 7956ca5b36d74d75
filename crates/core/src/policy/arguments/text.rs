//! Reads a function's signature with the names of its arguments.
//!
//! alloy's parser keeps no names of tuples' components. The text has passed [`FunctionSelector::parse`], which says
//! where text is wrong, so this one only takes it apart.
//!
//! [`FunctionSelector::parse`]: crate::FunctionSelector::parse

use alloc::{string::String, vec::Vec};

use alloy_json_abi::{Function, Param, StateMutability, parser::is_valid_identifier};

use super::function::FunctionError;

/// The function that `text` describes, without its results.
pub(super) fn read(text: &str) -> Result<Function, FunctionError> {
    let (head, mut rest) = text.split_once('(').unwrap_or_default();
    let inputs = parameters(&mut rest)?;
    let name = head.split_whitespace().last().unwrap_or_default();
    let state_mutability = StateMutability::NonPayable;
    Ok(Function { name: name.into(), inputs, outputs: Vec::new(), state_mutability })
}

/// Reads what follows an opening parenthesis, and the closing one.
fn parameters(rest: &mut &str) -> Result<Vec<Param>, FunctionError> {
    let mut params = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(')') {
            *rest = after;
            return Ok(params);
        }
        params.push(parameter(rest)?);
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            // The text is at an end where no parenthesis follows.
            None if rest.is_empty() => return Ok(params),
            None => {}
        }
    }
}

/// Reads up to the comma or parenthesis after it.
fn parameter(rest: &mut &str) -> Result<Param, FunctionError> {
    let tuple = rest.strip_prefix("tuple").unwrap_or(rest).trim_start().strip_prefix('(');
    let mut components = Vec::new();
    let mut ty = String::new();
    if let Some(inside) = tuple {
        *rest = inside;
        components = parameters(rest)?;
        ty.push_str("tuple");
    }
    let (text, after) = rest.split_at(rest.find([',', ')']).unwrap_or(rest.len()));
    *rest = after;

    let mut words = Vec::new();
    let mut lengths = String::new();
    for part in text.split_inclusive(']') {
        let (before, length) = part.split_once('[').map_or((part, None), |(before, it)| (before, Some(it)));
        words.extend(before.split_whitespace());
        if let Some(length) = length {
            lengths.push('[');
            lengths.extend(length.split_whitespace());
        }
    }
    let mut words = words.into_iter();
    if tuple.is_none() {
        ty.push_str(words.next().unwrap_or_default());
    }
    ty.push_str(&lengths);
    let name = words.rfind(|word| !matches!(*word, "memory" | "calldata" | "storage" | "payable"));
    match name.unwrap_or_default() {
        name if name.is_empty() || is_valid_identifier(name) => {
            Param::new(name, &ty, components, None).map_err(|_| FunctionError::UnknownType { ty })
        }
        name => Err(FunctionError::NotAName { name: name.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    /// Each argument as `type name`, with its components in parentheses.
    fn written(params: &[Param]) -> Vec<String> {
        let all = params.iter().map(|param| match param.components.as_slice() {
            [] => format!("{} {}", param.ty, param.name),
            inner => format!("{} {}({})", param.ty, param.name, written(inner).join(", ")),
        });
        all.collect()
    }

    #[test]
    fn takes_apart_what_the_selector_is_read_from() {
        for (text, name, arguments) in [
            ("f()", "f", &[][..]),
            (
                " function mint ( address to ) external returns (uint256[] ids, (bool ok) x);",
                "mint",
                &["address to"],
            ),
            ("f(uint,bytes)", "f", &["uint ", "bytes "]),
            (
                "f(tuple(uint a, (bool b)[2] c)[ 3 ][] calldata d)",
                "f",
                &["tuple[3][] d(uint a, tuple[2] c(bool b))"],
            ),
            ("f(address payable[2] to, string memory)", "f", &["address[2] to", "string "]),
            ("f(bytes calldata, uint[] storage, address payable)", "f", &["bytes ", "uint[] ", "address "]),
            ("f( ( uint a ) x,tuplet y)", "f", &["tuple x(uint a)", "tuplet y"]),
        ] {
            let function = read(text).unwrap();
            assert_eq!(
                (function.name.as_str(), written(&function.inputs).as_slice()),
                (name, &*arguments.iter().map(|it| String::from(*it)).collect::<Vec<_>>()),
                "{text}"
            );
        }
    }

    #[test]
    fn names_are_identifiers() {
        assert_eq!(read("f(uint 1a)"), Err(FunctionError::NotAName { name: "1a".into() }));
        let ty = String::from("uint[99999999999999999999]");
        assert_eq!(read("f(uint[99999999999999999999] a)"), Err(FunctionError::UnknownType { ty }));
    }

    #[test]
    fn ends_with_any_text() {
        for text in ["", "f", "f(", "f((", "f(uint", "f(uint[", "f(uint[2", "f]x(", "f((uint a"] {
            let _ = read(text);
        }
    }
}
