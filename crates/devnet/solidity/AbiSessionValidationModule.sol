// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.17;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {UserOperation} from "@account-abstraction/contracts/interfaces/UserOperation.sol";
import {ISessionValidationModule} from "@biconomy-devx/account-contracts-v2/contracts/smart-account/modules/SessionValidationModules/ISessionValidationModule.sol";

/// @title The ABI session validation module
/// @notice Lets a session key make one kind of call: to one contract, to one function, with at most so
/// much value, and with arguments that satisfy every rule.
/// @dev The session key data is packed, big-endian:
///
///      0   20  session key
///      20  20  permitted destination
///      40  4   permitted selector
///      44  16  value limit
///      60  2   number of rules
///      62  35  each rule: 2 bytes of offset, 1 of condition, 32 of reference value
///
/// An offset counts from the end of the selector. Every slice of calldata below is checked against the
/// length of what it is taken from, and reverts without a reason where it does not fit.
contract AbiSessionValidationModule is ISessionValidationModule {
    uint256 private constant RULES_OFFSET = 62;
    uint256 private constant RULE_LENGTH = 35;

    /// @inheritdoc ISessionValidationModule
    function validateSessionUserOp(
        UserOperation calldata userOp,
        bytes32 userOpHash,
        bytes calldata sessionKeyData,
        bytes calldata sessionKeySignature
    ) external pure override returns (bool) {
        sessionKeyData[:RULES_OFFSET];
        bytes4 selector = bytes4(userOp.callData[:4]);
        require(
            selector == EXECUTE_OPTIMIZED_SELECTOR || selector == EXECUTE_SELECTOR,
            "ABISV Not Execute Selector"
        );

        (address destination, uint256 value, bytes calldata data) = _executeArguments(userOp.callData);
        address sessionKey = _checkCall(destination, value, data, sessionKeyData);

        bytes32 digest = ECDSA.toEthSignedMessageHash(userOpHash);
        return ECDSA.recover(digest, sessionKeySignature) == sessionKey;
    }

    /// @inheritdoc ISessionValidationModule
    function validateSessionParams(
        address destination,
        uint256 value,
        bytes calldata data,
        bytes calldata sessionKeyData,
        bytes calldata /* callSpecificData */
    ) external pure override returns (address) {
        return _checkCall(destination, value, data, sessionKeyData);
    }

    function _checkCall(
        address destination,
        uint256 value,
        bytes calldata data,
        bytes calldata sessionKeyData
    ) private pure returns (address sessionKey) {
        uint256 rules = uint16(bytes2(sessionKeyData[60:RULES_OFFSET]));
        require(destination == address(bytes20(sessionKeyData[20:40])), "ABISV Destination Forbidden");
        require(bytes4(data[:4]) == bytes4(sessionKeyData[40:44]), "ABISV Selector Forbidden");
        require(value <= uint128(bytes16(sessionKeyData[44:60])), "ABISV Permitted Value Exceeded");

        for (uint256 i = 0; i < rules; ++i) {
            uint256 start = RULES_OFFSET + RULE_LENGTH * i;
            bytes calldata rule = sessionKeyData[start:start + RULE_LENGTH];
            uint256 offset = 4 + uint256(uint16(bytes2(rule[:2])));
            uint256 word = uint256(bytes32(data[offset:offset + 32]));
            uint256 bound = uint256(bytes32(rule[3:]));
            require(_holds(uint8(rule[2]), word, bound), "ABISV Arg Rule Violated");
        }
        return address(bytes20(sessionKeyData[:20]));
    }

    function _holds(uint8 condition, uint256 word, uint256 bound) private pure returns (bool) {
        if (condition == 0) return word == bound;
        if (condition == 1) return word <= bound;
        if (condition == 2) return word < bound;
        if (condition == 3) return word >= bound;
        if (condition == 4) return word > bound;
        if (condition == 5) return word != bound;
        return false;
    }

    /// @dev Reads where the encoding points and nothing else: the deployed module does not check the inner
    /// call data against the end of the outer, and one that did would refuse what that one allows.
    function _executeArguments(
        bytes calldata callData
    ) private pure returns (address destination, uint256 value, bytes calldata data) {
        assembly {
            let arguments := add(callData.offset, 4)
            destination := and(calldataload(arguments), 0xffffffffffffffffffffffffffffffffffffffff)
            value := calldataload(add(arguments, 0x20))
            let inner := add(arguments, calldataload(add(arguments, 0x40)))
            data.length := calldataload(inner)
            data.offset := add(inner, 0x20)
        }
    }
}
