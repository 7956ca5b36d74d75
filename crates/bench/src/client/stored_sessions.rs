use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::PrivateKeySigner;
use anyhow::Context as _;
use quorate::quorate_store::{Change, Key, NewSession, Secret};
use quorate::testing::ScriptedChain;
use quorate::{
    Call, Leaf, LocalSessionKey, Quorate, SealingKey, SessionEpoch, SessionId, SessionSigner as _,
    SmartAccount, SqliteStore, Store,
};
use quorate_contracts::calls::{enable_module, set_merkle_root};
use quorate_core::{Encode as _, SessionKeyData, merkle};

use super::local_chain::{mint, mint_policy};

const NFT: Address = Address::repeat_byte(0x4e);

/// Every folder's sessions are of the same account.
const OWNER: B256 = B256::repeat_byte(0x42);

/// An account on a scripted chain, whose sessions are in a SQLite database of a folder.
#[derive(Debug)]
pub(super) struct StoredSessions {
    client: Quorate,
    pub(super) account: SmartAccount,
}

impl StoredSessions {
    /// Fills a folder with so many sessions, all of which are on chain, and gives one in the middle.
    pub(super) async fn create(folder: &Path, sessions: u32) -> anyhow::Result<(Self, SessionId)> {
        SealingKey::create_file(folder.join("sealing.key"))?;
        let (chain, stored) = Self::connect(folder).await?;
        let account = &stored.account;
        let mut changes = Vec::new();
        let mut leaves = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..sessions {
            let session = new_session(account)?;
            leaves.extend(session.leaves.iter().map(Leaf::hash));
            ids.push(session.id.clone());
            changes.push(Change::AddSession(Box::new(session)));
        }
        let root = merkle::root(&leaves)?;
        changes.push(Change::AddTree(leaves));
        store(folder).await?.apply(account.id(), changes).await?;
        set_root(&chain, account, root);
        // The first list stores that all have landed.
        account.sessions().await?;
        let id = ids.get(ids.len() / 2).context("no sessions")?.clone();
        Ok((stored, id))
    }

    /// Opens a folder in another process, on a chain that has the same sessions.
    pub(super) async fn open(folder: &Path) -> anyhow::Result<Self> {
        let (chain, stored) = Self::connect(folder).await?;
        let roots = store(folder).await?.roots(stored.account.id()).await?;
        set_root(&chain, &stored.account, *roots.last().context("no tree")?);
        Ok(stored)
    }

    /// A client whose account is on a new chain, without sessions.
    async fn connect(folder: &Path) -> anyhow::Result<(ScriptedChain, Self)> {
        let chain = ScriptedChain::new();
        let client = Quorate::connect_by(chain.deployment(), chain.node(), chain.bundler()).await?;
        let client = client.with_store(Arc::new(store(folder).await?)).with_unlimited_requests();
        let owner = PrivateKeySigner::from_bytes(&OWNER)?.address();
        let account = client.account(owner, 0);
        chain.deploy_directly(owner, U256::ZERO);
        chain.fund(account.address(), U256::from(10).pow(U256::from(20)));
        Ok((chain, Self { client, account }))
    }

    pub(super) fn store(&self) -> &dyn Store {
        &**self.client.store()
    }

    /// Uses a stored session once; the operation is mined at once.
    pub(super) async fn use_session(&self, id: &SessionId) -> anyhow::Result<()> {
        let data = mint(self.account.address());
        let session = self.account.session(id).await?;
        let draft = session.prepare(Call::raw(NFT, data)).await?;
        session.submit(draft).await?;
        Ok(())
    }
}

async fn store(folder: &Path) -> anyhow::Result<SqliteStore> {
    let key = SealingKey::read_file(folder.join("sealing.key"))?;
    Ok(SqliteStore::open(folder.join("sessions.db"), key).await?)
}

fn new_session(account: &SmartAccount) -> anyhow::Result<NewSession> {
    let key = LocalSessionKey::random();
    let leaf = Leaf {
        epoch: SessionEpoch::UNLIMITED,
        validation_module: quorate_contracts::Deployment::canonical().abi_session_validation_module,
        session_key_data: SessionKeyData::new(key.address(), &mint_policy(NFT, account.address())?).to_vec(),
    };
    Ok(NewSession {
        id: SessionId::random()?,
        account: account.id(),
        session_key: key.address(),
        key: Key::Local(Secret::from(*key.to_bytes())),
        leaves: vec![leaf],
        created: ScriptedChain::GENESIS_TIME,
        user_op_hash: None,
        landed: None,
    })
}

fn set_root(chain: &ScriptedChain, account: &SmartAccount, root: B256) {
    let manager = chain.deployment().session_key_manager;
    let calls = [enable_module(account.address(), manager), set_merkle_root(manager, root)];
    chain.execute_directly(account.address(), &calls.each_ref().map(|call| call.as_call()));
}
