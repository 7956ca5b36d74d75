//! The functions that make calls which their arguments hold.

use crate::abi::{known_function::KnownFunction, selector::FunctionSelector, signature_text};

/// The words before the calls in the arguments of a function that makes calls which its arguments hold, if it is one:
/// where its signature is known, by its name and an argument of bytes or tuples that is pointed at.
pub(super) fn words_before_calls(
    selector: FunctionSelector,
    function: Option<&KnownFunction<'_>>,
) -> Option<usize> {
    if let Some((_, words)) = FUNCTIONS.iter().find(|row| row.0 == *selector.as_bytes()) {
        return Some(usize::from(*words));
    }
    let signature = signature_text::read(function?.signature()).ok()?;
    let holds_calls =
        signature.parameters().any(|parameter| parameter.dynamic && matches!(parameter.kind, "bytes" | ""));
    let makes_calls = NAMES.iter().any(|name| signature.name.starts_with(name));
    (holds_calls && makes_calls).then_some(signature.head_words)
}

/// How the names of such functions begin.
const NAMES: &[&str] = &[
    "multicall",
    "multiCall",
    "multiSend",
    "exec",
    "aggregate",
    "tryAggregate",
    "batch",
    "delegatecall",
    "delegateCall",
    "functionCall",
    "forward",
    "relay",
    "invoke",
];

/// Selector and words before the calls, for functions whose signatures need not be known.
const FUNCTIONS: &[([u8; 4], u8)] = &[
    // multicall(bytes[])
    ([0xac, 0x96, 0x50, 0xd8], 1),
    // multicall(uint256,bytes[])
    ([0x5a, 0xe4, 0x01, 0xdc], 2),
    // multicall(bytes32,bytes[])
    ([0x1f, 0x04, 0x64, 0xd1], 2),
    // execute(address,uint256,bytes)
    ([0xb6, 0x1d, 0x27, 0xf6], 3),
    // executeBatch(address[],uint256[],bytes[])
    ([0x47, 0xe1, 0xda, 0x2a], 3),
    // executeBatch(address[],bytes[])
    ([0x18, 0xdf, 0xb3, 0xc7], 2),
    // execute(bytes32,bytes)
    ([0xe9, 0xae, 0x5c, 0x53], 2),
    // execute(bytes,bytes[])
    ([0x24, 0x85, 0x6b, 0xc3], 2),
    // execute(bytes,bytes[],uint256)
    ([0x35, 0x93, 0x56, 0x4c], 3),
    // aggregate((address,bytes)[])
    ([0x25, 0x2d, 0xba, 0x42], 1),
    // aggregate3((address,bool,bytes)[])
    ([0x82, 0xad, 0x56, 0xcb], 1),
    // multiSend(bytes)
    ([0x8d, 0x80, 0xff, 0x0a], 1),
    // execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)
    ([0x6a, 0x76, 0x12, 0x02], 10),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The comments beside the selectors are signatures of them.
    #[test]
    fn selectors_and_words_are_those_of_the_signatures() {
        let source = include_str!("calls.rs");
        let (table, _) = source.split_once("#[cfg(test)]").unwrap();
        let signatures = table.lines().filter_map(|line| line.strip_prefix("    // "));
        let mut rows = 0;
        for (signature, row) in signatures.zip(FUNCTIONS) {
            let read = signature_text::read(signature).unwrap();
            assert_eq!((read.selector, read.head_words), (row.0, usize::from(row.1)), "{signature}");
            assert_eq!(words_before_calls(row.0.into(), None), Some(read.head_words));
            rows += 1;
        }
        assert_eq!(rows, FUNCTIONS.len());
    }

    #[test]
    fn others_are_known_by_their_names() {
        for (signature, words) in [
            ("executeMany(uint256 nonce, (address to, bytes data)[] calls)", Some(2)),
            ("forward(address to, bytes data)", Some(2)),
            ("multicallAll(string note)", None),
            ("execute(uint256 proposal)", None),
            ("mint(address to, bytes data)", None),
        ] {
            let selector = signature.parse().unwrap();
            let function = KnownFunction::parse(signature).unwrap();
            assert_eq!(words_before_calls(selector, Some(&function)), words, "{signature}");
            assert_eq!(words_before_calls(selector, None), None);
        }
    }
}
