// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.17;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title An ERC-20 token of six decimals that anyone may mint, to pay a paymaster with
contract DevelopmentToken is ERC20 {
    /// @notice Whether an allowance must be set to zero before it is set to another amount, as with USDT.
    bool public immutable isPicky;

    constructor(string memory name_, string memory symbol_, bool isPicky_) ERC20(name_, symbol_) {
        isPicky = isPicky_;
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice Gives `amount` units to `to`.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function approve(address spender, uint256 amount) public override returns (bool) {
        require(
            !isPicky || amount == 0 || allowance(msg.sender, spender) == 0,
            "DevelopmentToken: approve from non-zero to non-zero allowance"
        );
        return super.approve(spender, amount);
    }
}
