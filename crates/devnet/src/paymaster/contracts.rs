use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolValue};
use quorate_core::EntryPointVersion;

use crate::contracts::Contracts;
use crate::place::{ENTRY_POINT, PlaceError, create2};
use crate::transact::Transactor;

/// What each paymaster can spend, in wei: 100 ether.
const DEPOSIT: U256 = U256::from_limbs([7_766_279_631_452_241_920, 5, 0, 0]);
/// What each paymaster has staked, in wei: 1 ether.
const STAKE: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
/// One day.
const UNSTAKE_DELAY_SECONDS: u32 = 86_400;

pub(crate) const TOKEN_SYMBOL: &str = "QDT";
pub(crate) const PICKY_TOKEN_SYMBOL: &str = "QPT";

alloy_sol_types::sol! {
    #[allow(missing_docs, reason = "as in the contracts")]
    interface Calls {
        function depositFor(address paymasterId) external payable;
        function depositTo(address account) external payable;
        function addStake(uint32 unstakeDelaySec) external payable;
        function mint(address to, uint256 amount) external;
    }
}

/// Where the paymasters and the tokens are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PaymasterContracts {
    pub(crate) verifying_paymaster: Address,
    /// For operations of EntryPoint v0.7.
    pub(crate) verifying_paymaster_v0_7: Address,
    pub(crate) token_paymaster: Address,
    pub(crate) token: Address,
    pub(crate) picky_token: Address,
    /// Who pays for what the verifying paymaster sponsors.
    pub(crate) paymaster_id: Address,
}

impl PaymasterContracts {
    /// Creates the contracts and funds the paymasters, which accept the signatures of `signer`.
    pub(crate) async fn place(
        transactor: &Transactor<'_>,
        contracts: &Contracts,
        signer: Address,
    ) -> Result<Self, PlaceError> {
        let owner = transactor.from();
        let arguments = (owner, ENTRY_POINT, signer).abi_encode_params();
        let v0_7 = EntryPointVersion::V0_7.address();
        let arguments_v0_7 = (v0_7, signer).abi_encode_params();
        let plain = ("Development token", TOKEN_SYMBOL, false).abi_encode_params();
        let picky = ("Picky development token", PICKY_TOKEN_SYMBOL, true).abi_encode_params();
        let creations = [
            (&contracts.verifying_paymaster, &arguments),
            (&contracts.verifying_paymaster_v0_7, &arguments_v0_7),
            (&contracts.token_paymaster, &arguments),
            (&contracts.token, &plain),
            (&contracts.token, &picky),
        ];
        let mut sent = Vec::new();
        let mut placed = [Address::ZERO; 5];
        for (place, (code, arguments)) in placed.iter_mut().zip(creations) {
            let (address, creation) =
                create2(transactor, &[code, arguments.as_slice()].concat(), B256::ZERO).await?;
            *place = address;
            sent.push(creation);
        }
        let [verifying_paymaster, verifying_paymaster_v0_7, token_paymaster, token, picky_token] = placed;

        let fund_verifying = Calls::depositForCall { paymasterId: owner }.abi_encode();
        let fund = |account| Calls::depositToCall { account }.abi_encode();
        let add_stake = Calls::addStakeCall { unstakeDelaySec: UNSTAKE_DELAY_SECONDS }.abi_encode();
        let calls = [
            (verifying_paymaster, fund_verifying, DEPOSIT),
            (ENTRY_POINT, fund(token_paymaster), DEPOSIT),
            (v0_7, fund(verifying_paymaster_v0_7), DEPOSIT),
            (verifying_paymaster, add_stake.clone(), STAKE),
            (token_paymaster, add_stake, STAKE),
        ];
        for (to, data, wei) in calls {
            sent.push(transactor.send(to, &data.into(), wei).await?);
        }
        for transaction in sent {
            transactor.confirm(transaction).await?;
        }
        Ok(Self {
            verifying_paymaster,
            verifying_paymaster_v0_7,
            token_paymaster,
            token,
            picky_token,
            paymaster_id: owner,
        })
    }
}

/// Gives `amount` units of a development token to `to`.
pub(crate) async fn mint(
    transactor: &Transactor<'_>,
    token: Address,
    to: Address,
    amount: U256,
) -> Result<(), PlaceError> {
    let data: Bytes = Calls::mintCall { to, amount }.abi_encode().into();
    transactor.transact(token, &data).await
}
