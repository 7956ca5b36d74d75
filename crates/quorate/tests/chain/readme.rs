//! The README's example, which runs.

use std::path::Path;

use alloy_signer_local::PrivateKeySigner;

use crate::local::LocalNetwork;
use crate::payments::biconomy;
use crate::player::{balance_of, block_on, connect, devnet};

use alloy_signer::Signer;
use alloy_sol_types::sol;
use quorate::{Address, B256, Biconomy, Call, Condition, Options, Policy, Quorate, SigningNetwork};

sol! { function safeMint(address to); }

async fn mint_without_asking(
    client: Quorate,
    network: &SigningNetwork,
    paymaster: &Biconomy,
    owner: &(impl Signer + Sync), // any alloy signer: a Ledger, a KMS, a key in memory
    nft: Address,
) -> Result<B256, Box<dyn std::error::Error>> {
    let account = client.with_network(network.clone()).account(owner.address(), 0);
    let account = account.with_options(Options::new().sponsored_by(paymaster));

    // This key may call `safeMint` with the account's own address, and send no value.
    let policy = Policy::on(nft).allow::<safeMintCall>().arg(0, Condition::Equal, account.address());

    // Five nodes make the key, and no one of them ever has it. The owner signs once for the network, once for the chain.
    let grant = account.grant([policy])?;
    let key = grant.distributed_key(network, owner).await?;
    let session = account.send(grant, &key, owner).await?.wait().await?.session().await?;

    // From now on nobody is asked. What the policy forbids is refused here, by each node, and by the chain.
    let minted = session.send(Call::new(nft, safeMintCall { to: account.address() })).await?;
    Ok(minted.wait_for_tx_hash().await?)
}

#[test]
fn the_readme_s_example_mints_on_a_real_chain_by_a_real_network() {
    block_on(async {
        let network = LocalNetwork::start_small().await;
        let owner = PrivateKeySigner::random();
        let account = connect().await.account(owner.address(), 0).address();
        let (client, network) = (connect().await, network.client());
        mint_without_asking(client, &network, &biconomy(), &owner, devnet().nft()).await.unwrap();
        assert_eq!(balance_of(account).await, 1);
    });
}

/// What stands there is what is run here.
#[test]
fn the_readme_has_this_example() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let example = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(include_str!("readme.rs").contains(example.trim()), "the README's example is another");
}
