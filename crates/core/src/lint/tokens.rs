//! The functions by which tokens are moved, or somebody else is let move them.

use crate::abi::selector::FunctionSelector;

/// What a call of such a function gives, and which words say to whom and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenFunction {
    pub(super) effect: Effect,
    /// The word of the recipient, spender or operator.
    pub(super) recipient: u8,
    /// The word of the amount, of the one token's id, or of whether all is allowed.
    pub(super) amount: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// An amount is moved.
    Transfer,
    /// Somebody else may move an amount.
    Approval,
    /// Somebody else may move all.
    ApprovalForAll,
}

impl TokenFunction {
    /// What calls of a function give, if it is one of these.
    pub(super) fn of(selector: FunctionSelector) -> Option<Self> {
        let row = FUNCTIONS.iter().find(|row| row.0 == *selector.as_bytes())?;
        Some(Self { effect: row.1, recipient: row.2, amount: row.3 })
    }
}

/// Selector, effect, word of the recipient, word of the amount.
///
/// Sources: ERC-20, ERC-721, ERC-777, ERC-1155, ERC-1363 and ERC-2612, and the contracts of OpenZeppelin (increaseAllowance,
/// increaseApproval), Dai (its own permit) and Uniswap's Permit2 (amounts of 160 bits).
const FUNCTIONS: &[([u8; 4], Effect, u8, u8)] = &[
    // transfer(address,uint256)
    ([0xa9, 0x05, 0x9c, 0xbb], Effect::Transfer, 0, 1),
    // transferFrom(address,address,uint256)
    ([0x23, 0xb8, 0x72, 0xdd], Effect::Transfer, 1, 2),
    // safeTransferFrom(address,address,uint256)
    ([0x42, 0x84, 0x2e, 0x0e], Effect::Transfer, 1, 2),
    // safeTransferFrom(address,address,uint256,bytes)
    ([0xb8, 0x8d, 0x4f, 0xde], Effect::Transfer, 1, 2),
    // safeTransferFrom(address,address,uint256,uint256,bytes)
    ([0xf2, 0x42, 0x43, 0x2a], Effect::Transfer, 1, 3),
    // safeBatchTransferFrom(address,address,uint256[],uint256[],bytes): the amounts have no word of their own
    ([0x2e, 0xb2, 0xc2, 0xd6], Effect::Transfer, 1, 3),
    // send(address,uint256,bytes)
    ([0x9b, 0xd9, 0xbb, 0xc6], Effect::Transfer, 0, 1),
    // transferAndCall(address,uint256)
    ([0x12, 0x96, 0xee, 0x62], Effect::Transfer, 0, 1),
    // transferAndCall(address,uint256,bytes)
    ([0x40, 0x00, 0xae, 0xa0], Effect::Transfer, 0, 1),
    // transferFrom(address,address,uint160,address) of Permit2
    ([0x36, 0xc7, 0x85, 0x16], Effect::Transfer, 1, 2),
    // approve(address,uint256)
    ([0x09, 0x5e, 0xa7, 0xb3], Effect::Approval, 0, 1),
    // increaseAllowance(address,uint256)
    ([0x39, 0x50, 0x93, 0x51], Effect::Approval, 0, 1),
    // increaseApproval(address,uint256)
    ([0xd7, 0x3d, 0xd6, 0x23], Effect::Approval, 0, 1),
    // approveAndCall(address,uint256)
    ([0x31, 0x77, 0x02, 0x9f], Effect::Approval, 0, 1),
    // approveAndCall(address,uint256,bytes)
    ([0xca, 0xe9, 0xca, 0x51], Effect::Approval, 0, 1),
    // permit(address,address,uint256,uint256,uint8,bytes32,bytes32)
    ([0xd5, 0x05, 0xac, 0xcf], Effect::Approval, 1, 2),
    // approve(address,address,uint160,uint48) of Permit2
    ([0x87, 0x51, 0x7c, 0x45], Effect::Approval, 1, 2),
    // permit(address,((address,uint160,uint48,uint48),address,uint256),bytes) of Permit2
    ([0x2b, 0x67, 0xb5, 0x70], Effect::Approval, 5, 2),
    // permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32) of Dai
    ([0x8f, 0xcb, 0xaf, 0x0c], Effect::ApprovalForAll, 1, 4),
    // setApprovalForAll(address,bool)
    ([0xa2, 0x2c, 0xb4, 0x65], Effect::ApprovalForAll, 0, 1),
    // authorizeOperator(address): there is no word that says whether
    ([0x95, 0x9b, 0x8c, 0x3f], Effect::ApprovalForAll, 0, 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The comments beside the selectors are signatures of them.
    #[test]
    fn selectors_are_those_of_the_signatures() {
        let source = include_str!("tokens.rs");
        let (table, _) = source.split_once("\n];").unwrap();
        let signatures: std::vec::Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("    // "))
            .map(|line| line.split(" of ").next().unwrap().split(':').next().unwrap())
            .collect();
        assert_eq!(signatures.len(), FUNCTIONS.len());
        for (signature, row) in signatures.iter().zip(FUNCTIONS) {
            assert_eq!(
                signature.parse::<FunctionSelector>(),
                Ok(FunctionSelector::new(row.0)),
                "{signature}"
            );
        }
    }
}
