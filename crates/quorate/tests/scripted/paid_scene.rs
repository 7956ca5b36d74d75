//! An account with tokens on a scripted chain, and a paymaster's service that errs on demand.

use std::sync::Arc;

use alloy_primitives::Address;
use quorate::testing::ScriptedPaymaster;
use quorate::{Biconomy, Erc7677, Error, LocalSessionKey, Options, Paymaster, SmartAccount};

use crate::scene::{Scene, ether};

pub(crate) const VERIFYING: Address = ScriptedPaymaster::VERIFYING_PAYMASTER;
pub(crate) const COLLECTOR: Address = ScriptedPaymaster::TOKEN_PAYMASTER;
pub(crate) const GOLD: Address = Address::repeat_byte(0x70);
pub(crate) const IRON: Address = Address::repeat_byte(0x71);

/// An account with tokens, and a paymaster's service.
pub(crate) struct PaidScene {
    pub(crate) scene: Scene,
    pub(crate) service: Arc<ScriptedPaymaster>,
}

impl PaidScene {
    pub(crate) async fn new() -> Self {
        let scene = Scene::new().await;
        let service = scene.chain.paymaster();
        for token in [GOLD, IRON] {
            scene.chain.fund_token(token, scene.account.address(), ether() * ether());
        }
        Self { scene, service }
    }

    pub(crate) fn biconomy(&self) -> Biconomy {
        Biconomy::new(self.service.clone())
    }

    pub(crate) fn erc7677(&self) -> Erc7677 {
        Erc7677::new(self.service.clone(), VERIFYING).with_token_paymaster(COLLECTOR)
    }

    /// Each way to be asked, the service's own estimates and the bundler's among them.
    pub(crate) fn paymasters(&self) -> [Arc<dyn Paymaster>; 3] {
        let of_bundler = self.biconomy().with_calculated_gas(false);
        [Arc::new(self.biconomy()), Arc::new(of_bundler), Arc::new(self.erc7677())]
    }

    pub(crate) fn account(&self, options: Options) -> SmartAccount {
        self.scene.account.clone().with_options(options)
    }

    pub(crate) async fn grant(&self, options: Options) -> Result<(), Error> {
        let account = self.account(options);
        let grant = account.grant([self.scene.policy()])?;
        let pending = account.send(grant, &LocalSessionKey::random(), &self.scene.owner).await?;
        pending.wait().await.map(drop)
    }
}
