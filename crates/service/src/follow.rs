//! Operations that were sent, followed to their end.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use quorate::{Error, PendingOperation, Resumed, SmartAccount, UserOperationReceipt};
use serde_json::{Value, json};

use crate::call_ids::{CallIdsError, CallsStatus, SentCalls};
use crate::events::{EndedOperation, Event};
use crate::service::Shared;

/// How an operation ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    status: CallsStatus,
    receipt: Option<UserOperationReceipt>,
}

/// How long one wait goes on before the operation is looked after.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks where a wait ended at once.
const PAUSE: Duration = Duration::from_secs(2);

/// Takes up all calls whose end is not known, as after a restart.
pub(crate) async fn resume(service: &Arc<Shared>) -> Result<(), CallIdsError> {
    for calls in service.ids.pending().await? {
        let Some(account) = service.account_of(&calls) else { continue };
        match account.pending(calls.user_op_hash).await {
            Ok(operation) => follow_calls(service, account, calls, operation),
            // The process ended between the note and the sending, which was never made.
            Err(Error::UnknownOperation { .. }) => {
                service.ids.close(&calls, CallsStatus::NotIncluded, None).await?;
            }
            Err(error) => tracing::error!(%error, id = calls.id, "calls cannot be followed"),
        }
    }
    Ok(())
}

/// Follows the operation of calls that were sent under an id, and notes its end.
pub(crate) fn follow_calls(
    service: &Arc<Shared>,
    account: SmartAccount,
    calls: SentCalls,
    operation: PendingOperation,
) {
    let shared = Arc::clone(service);
    service.beside_requests(async move {
        let end = end_of(&account, operation).await;
        let receipts = end.receipt.as_ref().map(|receipt| json!([written(receipt)]).to_string());
        if let Err(error) = shared.ids.close(&calls, end.status, receipts.as_deref()).await {
            // The row stays open, and is followed again by the next process.
            tracing::error!(%error, id = calls.id, "the end of calls cannot be noted");
        }
        let SentCalls { token, id, session, user_op_hash, .. } = calls;
        let (session, id, token) = (Some(session), Some(id), Some(token));
        shared.tell(
            end.event(&account, EndedOperation { session, id, token, ..ended(&account, user_op_hash) }),
        );
    });
}

/// Follows an operation of the owner's, and tells its end.
pub(crate) fn follow_owner(service: &Arc<Shared>, account: SmartAccount, operation: PendingOperation) {
    let shared = Arc::clone(service);
    service.look_at_sessions.notify_waiters();
    service.beside_requests(async move {
        let user_op_hash = operation.user_op_hash();
        let end = end_of(&account, operation).await;
        shared.tell(end.event(&account, ended(&account, user_op_hash)));
        shared.look_at_sessions.notify_waiters();
    });
}

/// Waits until the chain has decided what becomes of an operation. What a wait cannot ride out, such as a bundler that let the
/// operation go, is gone on with at the same nonce.
async fn end_of(account: &SmartAccount, mut operation: PendingOperation) -> End {
    let user_op_hash = operation.user_op_hash();
    loop {
        operation = operation.with_deadline(PATIENCE);
        match operation.wait_for_receipt().await {
            Ok(receipt) => {
                let status = if receipt.success { CallsStatus::Confirmed } else { CallsStatus::Reverted };
                return End { status, receipt: Some(receipt) };
            }
            Err(Error::Replaced { .. } | Error::NonceUsed { .. }) => return End::not_included(),
            Err(error) => tracing::warn!(%error, %user_op_hash, "an operation is not at its end"),
        }
        operation = match gone_on_with(account, user_op_hash).await {
            Some(Resumed::Dead) => return End::not_included(),
            Some(Resumed::Pending(operation) | Resumed::Settled(operation)) => *operation,
            _ => operation,
        };
        tokio::time::sleep(PAUSE).await;
    }
}

async fn gone_on_with(account: &SmartAccount, user_op_hash: B256) -> Option<Resumed> {
    match account.resume().await {
        Ok(interrupted) => {
            let own = interrupted.into_iter().find(|interrupted| interrupted.user_op_hash == user_op_hash);
            own.map(|own| own.outcome)
        }
        Err(error) => {
            tracing::warn!(%error, %user_op_hash, "operations cannot be gone on with");
            None
        }
    }
}

impl End {
    const fn not_included() -> Self {
        Self { status: CallsStatus::NotIncluded, receipt: None }
    }

    fn event(&self, account: &SmartAccount, of: EndedOperation) -> Event {
        let transaction_hash = self.receipt.as_ref().map(|receipt| receipt.receipt.transaction_hash);
        Event::Operation(EndedOperation {
            account: account.address(),
            status: self.status,
            transaction_hash,
            ..of
        })
    }
}

fn ended(account: &SmartAccount, user_op_hash: B256) -> EndedOperation {
    EndedOperation {
        account: account.address(),
        user_op_hash,
        status: CallsStatus::Pending,
        transaction_hash: None,
        session: None,
        id: None,
        token: None,
    }
}

/// A receipt as EIP-5792 has it: of the operation, not of the bundle that carried it.
fn written(receipt: &UserOperationReceipt) -> Value {
    let logs = receipt
        .logs
        .iter()
        .map(|log| json!({ "address": log.address, "data": log.data, "topics": log.topics }));
    let quantity = |number: Option<U256>| format!("{:#x}", number.unwrap_or_default());
    json!({
        "logs": logs.collect::<Vec<_>>(),
        "status": if receipt.success { "0x1" } else { "0x0" },
        "blockHash": receipt.receipt.block_hash.unwrap_or_default(),
        "blockNumber": quantity(receipt.receipt.block_number),
        "gasUsed": quantity(receipt.actual_gas_used),
        "transactionHash": receipt.receipt.transaction_hash,
    })
}

impl Shared {
    fn account_of(&self, calls: &SentCalls) -> Option<SmartAccount> {
        let is_of = |account: &&SmartAccount| {
            (account.id().chain_id, account.address()) == (calls.chain_id, calls.account)
        };
        self.config.accounts.iter().find(is_of).cloned()
    }
}
