//! A session's key that a network makes and holds.

use alloy_signer::Signer;
use quorate_network::{AttestedKey, DistributedSigner, EphemeralKey, KeyDraft, NetworkError, SigningNetwork};
use quorate_signer::sign_typed_data;
use quorate_store::Key;

use crate::client::now;
use crate::key;
use crate::life::sessions::Choice;
use crate::{Error, Grant, SmartAccount};

impl Grant {
    /// Has a network make the session's key; the owner signs the request.
    ///
    /// Who asks for signatures is known by a fresh [`EphemeralKey`], which lasts as long as the longest policy, and a
    /// year at most. An owner whose wallet is elsewhere is given [`prepare_key`](Self::prepare_key)'s request to sign; for an
    /// ephemeral key of one's own there is [`SigningNetwork::prepare_key`] with these [`permissions`](Self::permissions). A network
    /// that makes keys by token takes the owner's from [`SigningNetwork::with_admission_token`].
    ///
    /// # Errors
    /// The network's refusal, a key that too few nodes attest to, or the signer's own error.
    pub async fn distributed_key<S: Signer + Sync + ?Sized>(
        &self,
        network: &SigningNetwork,
        owner: &S,
    ) -> Result<DistributedSigner, Error> {
        let (draft, ephemeral) = self.prepare_key(network).await?;
        let signature = sign_key_draft(&draft, owner).await?;
        let key = network.submit_key(&draft, signature).await?;
        Ok(DistributedSigner::new(network.clone(), key, ephemeral))
    }

    /// The request that [`distributed_key`](Self::distributed_key) has the owner sign, and the ephemeral key that it names: for
    /// who shows an owner the request first, and goes on with [`SigningNetwork::submit_key`] and [`DistributedSigner::new`].
    ///
    /// # Errors
    /// The network's refusal, or no answer.
    pub async fn prepare_key(&self, network: &SigningNetwork) -> Result<(KeyDraft, EphemeralKey), Error> {
        let ephemeral = EphemeralKey::random()?;
        let claim = ephemeral.longest_claim("quorate", self.longest_policy_ends(), now().as_secs());
        let draft = network.prepare_key(&self.permissions, &claim).await?;
        Ok((draft, ephemeral))
    }

    /// Seconds since 1970, 0 for no end.
    fn longest_policy_ends(&self) -> u64 {
        let ends = self.permissions.policies.iter().map(|permitted| permitted.policy.epoch().valid_until());
        let is_endless = ends.clone().any(|end| end == 0);
        if is_endless { 0 } else { ends.max().unwrap_or_default() }
    }
}

impl SmartAccount {
    /// What a network attests of a stored session's key, checked against the client's network: its public key, its owner
    /// and its id. How many nodes sign together stands in the network's descriptor.
    ///
    /// # Errors
    /// [`Error::NotDistributed`] for a session whose key is another kind; [`Error::NoNetwork`] where the client has none;
    /// as [`session`](Self::session) for a session that is not there, and a key of another network.
    pub async fn attested_key(&self, choice: impl Into<Choice>) -> Result<AttestedKey, Error> {
        let session = self.choose(choice.into()).await?;
        match self.client.store.key(self.id(), &session.id).await? {
            Key::Distributed { key_id, attested_key, ephemeral } => {
                Ok(key::restored(&self.client, key_id, &attested_key, &ephemeral)?.key().clone())
            }
            Key::Local(_) | Key::External => Err(Error::NotDistributed { session: session.id }),
        }
    }
}

async fn sign_key_draft<S: Signer + Sync + ?Sized>(
    draft: &KeyDraft,
    owner: &S,
) -> Result<alloy_primitives::Signature, Error> {
    let typed_data = draft.typed_data().map_err(NetworkError::from)?;
    let document = serde_json::from_value(typed_data.document().clone())
        .map_err(|source| Error::Stored { what: "key draft", source })?;
    Ok(sign_typed_data(owner, &document, typed_data.digest()).await?)
}
