//! The functions that are called, as far as no crate of the workspace calls them.

alloy_sol_types::sol! {
    #[derive(Default)]
    struct UserOperation {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        uint256 callGasLimit;
        uint256 verificationGasLimit;
        uint256 preVerificationGas;
        uint256 maxFeePerGas;
        uint256 maxPriorityFeePerGas;
        bytes paymasterAndData;
        bytes signature;
    }

    interface SessionValidationModule {
        function validateSessionUserOp(
            UserOperation userOp,
            bytes32 userOpHash,
            bytes sessionKeyData,
            bytes sessionKeySignature
        ) returns (bool);

        function validateSessionParams(
            address destination,
            uint256 value,
            bytes data,
            bytes sessionKeyData,
            bytes callSpecificData
        ) returns (address);
    }

    interface ValidationModule {
        function validateUserOp(UserOperation userOp, bytes32 userOpHash) returns (uint256);
    }

    struct PackedUserOperation {
        address sender;
        uint256 nonce;
        bytes initCode;
        bytes callData;
        bytes32 accountGasLimits;
        uint256 preVerificationGas;
        bytes32 gasFees;
        bytes paymasterAndData;
        bytes signature;
    }

    interface EntryPointFromV07 {
        function getUserOpHash(PackedUserOperation userOp) returns (bytes32);
    }
}
