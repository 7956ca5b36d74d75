//! The functions, events and errors that change or tell who controls an account, as far as no crate of the workspace
//! has them.

alloy_sol_types::sol! {
    #[derive(Debug)]
    interface Account {
        function setFallbackHandler(address handler);
        function updateImplementation(address implementation);
        function addDeposit() payable;
        function execTransactionFromModule(address to, uint256 value, bytes data, uint8 operation, uint256 txGas);
    }

    #[derive(Debug)]
    interface OwnershipModule {
        function renounceOwnership();
    }

    #[derive(Debug, PartialEq, Eq)]
    interface StakeManager {
        struct DepositInfo {
            uint112 deposit;
            bool staked;
            uint112 stake;
            uint32 unstakeDelaySec;
            uint48 withdrawTime;
        }

        event BeforeExecution();
        event Deposited(address indexed account, uint256 totalDeposit);
        event Withdrawn(address indexed account, address withdrawAddress, uint256 amount);
        event StakeWithdrawn(address indexed account, address withdrawAddress, uint256 amount);

        function getDepositInfo(address account) view returns (DepositInfo info);
        function withdrawTo(address withdrawAddress, uint256 withdrawAmount);
        function addStake(uint32 unstakeDelaySec) payable;
        function unlockStake();
        function withdrawStake(address withdrawAddress);
    }

    #[derive(Debug)]
    interface Token {
        event Approval(address indexed owner, address indexed spender, uint256 value);

        function mint(address to, uint256 amount);
        function increaseAllowance(address spender, uint256 addedValue);
    }

    interface Paymaster {
        function depositFor(address paymasterId) payable;
    }
}
