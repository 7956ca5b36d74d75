//! What a use computes, without network and store: the same as `computation` in `scripts/original.mjs`.

use std::hint::black_box;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use quorate::{LocalSessionKey, SessionSigner as _};
use quorate_contracts::Deployment;
use quorate_contracts::calls::set_merkle_root;
use quorate_core::{
    Call, Encode as _, Execute, ModuleSignature, SessionEpoch, SessionKeyData, SessionLeaf, SessionSignature,
    UserOperation, merkle,
};

use super::local_chain::{mint, mint_policy};

/// What a session key's signature is where none is made.
pub(super) const GIVEN_SIGNATURE: [u8; 65] = [0x1b; 65];

/// Whether the session key signs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signing {
    /// It does.
    Made,
    /// [`GIVEN_SIGNATURE`] stands for what it would sign.
    Given,
}

/// An account, its only session's key, and what that may mint.
#[derive(Debug)]
pub(super) struct Computation {
    pub(super) account: Address,
    pub(super) session_key: B256,
    pub(super) nft: Address,
    pub(super) chain_id: u64,
}

impl Computation {
    /// Microseconds of this process's CPU time for one of so many runs, after as many that are not measured.
    pub(super) async fn microseconds(&self, signing: Signing, iterations: u32) -> anyhow::Result<f64> {
        let key = self.key()?;
        for _ in 0..iterations {
            black_box(self.run(&key, signing).await?);
        }
        let start = cpu_time()?;
        for _ in 0..iterations {
            black_box(black_box(self).run(&key, signing).await?);
        }
        Ok((cpu_time()? - start).as_secs_f64() * 1e6 / f64::from(iterations))
    }

    /// The whole signature of the operation.
    pub(super) async fn signature(&self, signing: Signing) -> anyhow::Result<Vec<u8>> {
        self.run(&self.key()?, signing).await
    }

    /// From the policy to the signature: the session key data, its leaf and the tree with root and proof, and the call
    /// that sets the root; the mint's call data and the account's around it; the user operation hash; the session key's
    /// signature, and its encoding with the leaf and the proof.
    async fn run(&self, key: &LocalSessionKey, signing: Signing) -> anyhow::Result<Vec<u8>> {
        let deployment = Deployment::canonical();
        let policy = mint_policy(self.nft, self.account)?;
        let data = SessionKeyData::new(key.address(), &policy).to_vec();
        let leaf = SessionLeaf {
            epoch: SessionEpoch::UNLIMITED,
            validation_module: deployment.abi_session_validation_module,
            session_key_data: &data,
        };
        let leaf_hash = leaf.hash();
        let tree = merkle::Tree::new(vec![leaf_hash])?;
        black_box(set_merkle_root(deployment.session_key_manager, tree.root()));
        let call = Call { to: self.nft, value: U256::ZERO, data: &mint(self.account) };
        let operation = UserOperation {
            sender: self.account,
            nonce: U256::from(1) << 64,
            init_code: Vec::new(),
            call_data: Execute(call).to_vec(),
            call_gas_limit: U256::from(100_000),
            verification_gas_limit: U256::from(200_000),
            pre_verification_gas: U256::from(50_000),
            max_fee_per_gas: U256::from(1_000_000_000),
            max_priority_fee_per_gas: U256::from(1),
            paymaster_and_data: Vec::new(),
        };
        let signature = match signing {
            Signing::Made => {
                key.sign_user_operation(&operation, deployment.entry_point, self.chain_id).await?
            }
            Signing::Given => {
                black_box(operation.hash(deployment.entry_point, self.chain_id));
                GIVEN_SIGNATURE
            }
        };
        let proof = tree.proof(leaf_hash)?;
        let module_signature = SessionSignature {
            epoch: leaf.epoch,
            validation_module: leaf.validation_module,
            session_key_data: leaf.session_key_data,
            proof: proof.siblings(),
            signature: &signature,
        };
        Ok(ModuleSignature { module_signature, module: deployment.session_key_manager }.to_vec())
    }

    fn key(&self) -> anyhow::Result<LocalSessionKey> {
        LocalSessionKey::from_bytes(&self.session_key.0).context("no private key")
    }
}

/// What this process has computed so far, as `process.cpuUsage` of Node.js tells it of the other side.
fn cpu_time() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let times = [usage.user_time(), usage.system_time()];
    let microseconds: i64 = times.iter().map(|time| time.num_microseconds()).sum();
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}
