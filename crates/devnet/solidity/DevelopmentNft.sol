// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.17;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// @title A token that anyone may mint, to try a session on
contract DevelopmentNft is ERC721 {
    uint256 private _nextTokenId;

    constructor() ERC721("Quorate development NFT", "QDN") {}

    /// @notice Mints the next token, 0 first.
    /// @param to Its owner; a contract must accept ERC-721 tokens.
    function safeMint(address to) external {
        _safeMint(to, _nextTokenId++);
    }
}
