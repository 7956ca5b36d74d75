//! The functions of the delegation framework that are called.

alloy_sol_types::sol! {
    #[derive(Debug)]
    struct Caveat {
        address enforcer;
        bytes terms;
        bytes args;
    }

    #[derive(Debug)]
    struct Delegation {
        address delegate;
        address delegator;
        bytes32 authority;
        Caveat[] caveats;
        uint256 salt;
        bytes signature;
    }

    interface Enforcer {
        function beforeHook(
            bytes terms,
            bytes args,
            bytes32 mode,
            bytes execution,
            bytes32 delegationHash,
            address delegator,
            address redeemer
        );
        function callCounts(address manager, bytes32 delegationHash) returns (uint256);
        function spentMap(address manager, bytes32 delegationHash) returns (uint256);
        function periodicAllowances(address manager, bytes32 delegationHash)
            returns (uint256 amount, uint256 duration, uint256 start, uint256 period, uint256 transferred);
        function streamingAllowances(address manager, bytes32 delegationHash)
            returns (uint256 initial, uint256 max, uint256 perSecond, uint256 start, uint256 spent);
        function getIsUsed(address manager, address delegator, uint256 id) returns (bool);
        function currentNonce(address manager, address delegator) returns (uint256);
        function incrementNonce(address manager);
    }

    interface Manager {
        error InvalidDelegate();
        error InvalidAuthority();
        error InvalidEOASignature();
        error CannotUseADisabledDelegation();

        function redeemDelegations(bytes[] contexts, bytes32[] modes, bytes[] executions);
        function disableDelegation(Delegation delegation);
        function getDelegationHash(Delegation delegation) returns (bytes32);
        function getDomainHash() returns (bytes32);
        function disabledDelegations(bytes32 delegationHash) returns (bool);
    }
}
