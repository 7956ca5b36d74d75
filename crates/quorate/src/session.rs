use std::sync::Arc;

use quorate_bundler::GasEstimate;
use quorate_core::{
    Call, DUMMY_SESSION_SIGNATURE, Encode as _, Execute, ModuleSignature, Refusal, SessionSignature,
    UserOperation, evaluate, merkle,
};
use quorate_protocol::PermittedPolicy;
use quorate_signer::SessionSigner;

use crate::client::draft;
use crate::{Error, PendingOperation, Quorate, SessionRecord};

/// A granted session, ready to act for its account.
#[derive(Clone, Debug)]
pub struct Session {
    client: Quorate,
    record: SessionRecord,
    signer: Arc<dyn SessionSigner>,
}

impl Session {
    pub(crate) fn new(client: Quorate, record: SessionRecord, signer: Arc<dyn SessionSigner>) -> Self {
        Self { client, record, signer }
    }

    /// What the session is.
    pub const fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// Has the account make a call that the session allows. The policy is checked before anything is sent or paid.
    ///
    /// # Errors
    /// [`Error::Forbidden`], which names the rule and both values; the signer's refusal; the bundler's.
    pub async fn send(&self, call: Call<'_>) -> Result<PendingOperation, Error> {
        let call_data = Execute(call).to_vec();
        let permitted = self.permitting(&call_data)?;
        let operation = self.draft(call_data).await?;
        let dummy = self.module_signature(permitted, &DUMMY_SESSION_SIGNATURE)?;
        let operation = self.client.size(operation, dummy).await?;
        self.sign_and_send(permitted, operation).await
    }

    /// The same without this side's own check and without an estimate, which would fail where the chain forbids the
    /// call: it goes to the signer and on to the bundler under the session's first policy, whatever that says.
    ///
    /// # Errors
    /// The signer's refusal; the bundler's.
    pub async fn send_unchecked(&self, call: Call<'_>, gas: GasEstimate) -> Result<PendingOperation, Error> {
        let permitted = self.record.permissions().policies.first().ok_or(Error::NoPolicy)?;
        let operation = self.draft(Execute(call).to_vec()).await?;
        let operation = self.client.size_as(operation, gas).await?;
        self.sign_and_send(permitted, operation).await
    }

    /// The policy that allows a call; else the refusal of the last one asked.
    fn permitting(&self, call_data: &[u8]) -> Result<&PermittedPolicy, Error> {
        let mut refused: Option<Refusal> = None;
        for permitted in &self.record.permissions().policies {
            match evaluate(&self.record.session_key_data(permitted), call_data) {
                Ok(_) => return Ok(permitted),
                Err(refusal) => refused = Some(refusal),
            }
        }
        Err(refused.map_or(Error::NoPolicy, |refusal| Error::Forbidden { refusal }))
    }

    async fn draft(&self, call_data: Vec<u8>) -> Result<UserOperation<Vec<u8>>, Error> {
        let account = self.record.account();
        let nonce = self.client.chain.nonce(account, self.client.new_nonce_stream()).await?;
        Ok(draft(account, nonce, call_data))
    }

    async fn sign_and_send(
        &self,
        permitted: &PermittedPolicy,
        operation: UserOperation<Vec<u8>>,
    ) -> Result<PendingOperation, Error> {
        let entry_point = self.client.deployment().entry_point;
        let signature =
            self.signer.sign_user_operation(&operation, entry_point, self.client.chain_id()).await?;
        let signature = self.module_signature(permitted, &signature)?;
        self.client.send(operation, signature).await
    }

    fn module_signature(&self, permitted: &PermittedPolicy, signature: &[u8]) -> Result<Vec<u8>, Error> {
        let leaves = self.record.leaves();
        let proof = merkle::Proof::of(&leaves, self.record.leaf(permitted)).map_err(|_| Error::NoPolicy)?;
        let session_key_data = self.record.session_key_data(permitted);
        let session = SessionSignature {
            epoch: permitted.policy.epoch(),
            validation_module: permitted.validation_module,
            session_key_data: &session_key_data,
            proof: proof.siblings(),
            signature,
        };
        let module = self.client.deployment().session_key_manager;
        Ok(ModuleSignature { module_signature: session, module }.to_vec())
    }
}
