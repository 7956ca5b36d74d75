// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.17;

import {IEntryPoint} from "@account-abstraction/contracts/interfaces/IEntryPoint.sol";
import {UserOperation} from "@account-abstraction/contracts/interfaces/UserOperation.sol";
import {BasePaymaster, _packValidationData} from "@biconomy-devx/account-contracts-v2/contracts/smart-account/paymasters/BasePaymaster.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title A paymaster that an account pays in ERC-20 tokens, at a rate that a service signs
/// @notice It collects after the calls, so an operation may carry the approval that it is paid with. An account
/// whose payment fails owes it, and is refused until the debt is paid.
/// @dev The paymaster's data is
///
///      abi.encode(uint48 validUntil, uint48 validAfter, address token, uint256 tokensPerEther,
///                 uint256 maxCharge, bytes signature)
///
/// `tokensPerEther` and `maxCharge` are in units of the token.
contract DevelopmentTokenPaymaster is BasePaymaster {
    using SafeERC20 for IERC20;

    /// @dev What the charge depends on, from validation to postOp.
    struct Terms {
        address account;
        address token;
        uint256 tokensPerEther;
        uint256 maxCharge;
        uint256 maxFeePerGas;
        uint256 maxPriorityFeePerGas;
    }

    /// @dev Gas of postOp and of what the entry point does after it, which `actualGasCost` does not count.
    uint256 private constant POST_OP_GAS = 60_000;

    address public immutable verifyingSigner;

    /// @notice What an account owes, in units of the token.
    mapping(address => mapping(address => uint256)) public debts;
    /// @notice The number of tokens that an account owes; above zero it is refused.
    mapping(address => uint256) public tokensOwed;

    event Charged(address indexed account, address indexed token, uint256 charge, uint256 actualGasCost);
    event DebtRecorded(address indexed account, address indexed token, uint256 charge);
    event DebtPaid(address indexed account, address indexed token, uint256 amount);

    error OwesTokens(address account);

    constructor(address owner, IEntryPoint entryPoint, address signer) BasePaymaster(owner, entryPoint) {
        verifyingSigner = signer;
    }

    /// @inheritdoc BasePaymaster
    function deposit() external payable override {
        ENTRY_POINT.depositTo{value: msg.value}(address(this));
    }

    /// @inheritdoc BasePaymaster
    function withdrawTo(address payable withdrawAddress, uint256 amount) external override onlyOwner {
        ENTRY_POINT.withdrawTo(withdrawAddress, amount);
    }

    /// @notice Pays what `account` owes in `token`, from the caller's tokens.
    function payDebt(address account, address token) external {
        uint256 amount = debts[account][token];
        if (amount == 0) return;
        delete debts[account][token];
        --tokensOwed[account];
        emit DebtPaid(account, token, amount);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice What the service signs, with the prefix of EIP-191.
    function getHash(
        UserOperation calldata op,
        uint48 validUntil,
        uint48 validAfter,
        address token,
        uint256 tokensPerEther,
        uint256 maxCharge
    ) public view returns (bytes32) {
        bytes memory operation = abi.encode(
            op.sender,
            op.nonce,
            keccak256(op.initCode),
            keccak256(op.callData),
            op.callGasLimit,
            op.verificationGasLimit,
            op.preVerificationGas,
            op.maxFeePerGas,
            op.maxPriorityFeePerGas
        );
        bytes memory terms = abi.encode(
            block.chainid, address(this), token, tokensPerEther, maxCharge, validUntil, validAfter
        );
        return keccak256(bytes.concat(operation, terms));
    }

    /// @dev Reads nothing of the token, as ERC-7562 wants it.
    function _validatePaymasterUserOp(
        UserOperation calldata op,
        bytes32 /* userOpHash */,
        uint256 /* maxCost */
    ) internal view override returns (bytes memory context, uint256 validationData) {
        (
            uint48 validUntil,
            uint48 validAfter,
            address token,
            uint256 tokensPerEther,
            uint256 maxCharge,
            bytes memory signature
        ) = abi.decode(op.paymasterAndData[20:], (uint48, uint48, address, uint256, uint256, bytes));
        bytes32 hash = getHash(op, validUntil, validAfter, token, tokensPerEther, maxCharge);
        (address signer, ) = ECDSA.tryRecover(ECDSA.toEthSignedMessageHash(hash), signature);
        if (signer != verifyingSigner) return ("", _packValidationData(true, validUntil, validAfter));
        if (tokensOwed[op.sender] != 0) revert OwesTokens(op.sender);

        Terms memory terms =
            Terms(op.sender, token, tokensPerEther, maxCharge, op.maxFeePerGas, op.maxPriorityFeePerGas);
        return (abi.encode(terms), _packValidationData(false, validUntil, validAfter));
    }

    /// @dev Where the payment fails the first time, this reverts, and the calls with it. The entry point then comes
    /// again with `postOpReverted`; a second revert would fail the whole bundle.
    function _postOp(PostOpMode mode, bytes calldata context, uint256 actualGasCost) internal override {
        Terms memory terms = abi.decode(context, (Terms));
        uint256 charge = _charge(terms, actualGasCost);
        if (mode == PostOpMode.postOpReverted) {
            if (charge == 0) return;
            if (debts[terms.account][terms.token] == 0) ++tokensOwed[terms.account];
            debts[terms.account][terms.token] += charge;
            emit DebtRecorded(terms.account, terms.token, charge);
        } else {
            IERC20(terms.token).safeTransferFrom(terms.account, address(this), charge);
            emit Charged(terms.account, terms.token, charge, actualGasCost);
        }
    }

    function _charge(Terms memory terms, uint256 actualGasCost) private view returns (uint256 charge) {
        uint256 gasPrice = terms.maxPriorityFeePerGas + block.basefee;
        if (gasPrice > terms.maxFeePerGas) gasPrice = terms.maxFeePerGas;
        uint256 cost = actualGasCost + POST_OP_GAS * gasPrice;
        charge = (cost * terms.tokensPerEther + 1 ether - 1) / 1 ether;
        if (charge > terms.maxCharge) charge = terms.maxCharge;
    }
}
