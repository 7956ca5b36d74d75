use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use quorate_bundler::{OperationStatus, TransactionReceipt, UserOperationReceipt};
use quorate_store::{AccountId, Answer, Change, Operation};
use tokio::time::Instant;

use crate::draft::SignedOperation;
use crate::life::settle::Nonce;
use crate::{Error, Quorate};
use quorate_bundler::OperationEvent;

/// A user operation on its way into a block.
///
/// It is known by its hash, so waiting can stop at any time and go on later, or elsewhere.
#[derive(Clone, Debug)]
pub struct PendingOperation {
    client: Quorate,
    user_op_hash: B256,
    /// What tells its end where no bundler does; none for an operation of which only the hash is known.
    place: Option<Place>,
    deadline: Duration,
    confirmations: u64,
}

/// Where an operation will be found on chain.
#[derive(Clone, Copy, Debug)]
struct Place {
    account: AccountId,
    nonce: U256,
    /// It is in no earlier block.
    from_block: u64,
}

/// An operation that is in a block.
#[derive(Clone, Debug)]
struct Landed {
    event: OperationEvent,
    receipt: Option<UserOperationReceipt>,
}

impl PendingOperation {
    pub(crate) fn new(client: Quorate, account: AccountId, operation: &Operation) -> Self {
        let place = Place { account, nonce: operation.nonce, from_block: operation.signed_at_block };
        let confirmations = client.confirmations;
        Self {
            client,
            user_op_hash: operation.user_op_hash,
            place: Some(place),
            deadline: DEADLINE,
            confirmations,
        }
    }

    pub(crate) const fn by_hash(client: Quorate, user_op_hash: B256) -> Self {
        let confirmations = client.confirmations;
        Self { client, user_op_hash, place: None, deadline: DEADLINE, confirmations }
    }

    /// The operation's hash.
    pub const fn user_op_hash(&self) -> B256 {
        self.user_op_hash
    }

    /// The same with another patience; 120 seconds if nothing else is said.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same, waiting until there are so many blocks on top of the operation's; the client's if nothing else is said.
    #[must_use]
    pub const fn with_confirmations(mut self, blocks: u64) -> Self {
        self.confirmations = blocks;
        self
    }

    /// Waits until the operation is in a block that the node knows, with the confirmations asked for, and its call has
    /// gone through. A replacement of it that makes the same call ends the wait as well: the receipt says which.
    ///
    /// What fails and may pass (a timeout, a busy endpoint, a node that is behind) is ridden out until the deadline.
    ///
    /// # Errors
    /// [`Error::Reverted`] if its call reverted; and as [`wait_for_receipt`](Self::wait_for_receipt).
    pub async fn wait(&self) -> Result<UserOperationReceipt, Error> {
        // The wait's state is large, and callers' states would hold it a second time.
        let receipt = Box::pin(self.wait_for_receipt()).await?;
        if receipt.success {
            Ok(receipt)
        } else {
            Err(Error::Reverted { user_op_hash: receipt.user_op_hash, reason: receipt.reason })
        }
    }

    /// Waits like [`wait`](Self::wait), and gives the receipt of a call that reverted as well.
    ///
    /// # Errors
    /// [`Error::Replaced`] and [`Error::NonceUsed`] if it cannot get on chain any more; [`Error::Dropped`] if the bundler
    /// says that it let it go, after which the same call goes on at the same nonce; [`Error::Timeout`] if it is not in a
    /// block in time. Each has the hash.
    #[tracing::instrument(skip_all, err(level = "debug"), fields(user_op_hash = %self.user_op_hash))]
    pub async fn wait_for_receipt(&self) -> Result<UserOperationReceipt, Error> {
        let start = Instant::now();
        let mut last_error = None;
        let mut looks = Looks::default();
        let landed = loop {
            let look = self.look(&mut looks);
            let remaining = self.deadline.saturating_sub(start.elapsed());
            match tokio::time::timeout(remaining, look).await {
                Ok(Ok(Some(landed))) => break landed,
                Ok(Ok(None)) => {}
                Ok(Err(error)) if error.is_transient() => last_error = Some(Box::new(error)),
                Ok(Err(error)) => {
                    match (&error, self.place) {
                        // Its nonce is used: whoever waited knows the end.
                        (Error::Replaced { .. } | Error::NonceUsed { .. }, Some(place)) => {
                            self.tell_store(place.account.address, place.nonce).await?;
                        }
                        (Error::Dropped { .. }, Some(place)) => self.note_dropped(place.account).await?,
                        _ => {}
                    }
                    return Err(error);
                }
                Err(_) => {}
            }
            let pause = self.client.pace.pause(start.elapsed());
            if start.elapsed() + pause >= self.deadline {
                let (user_op_hash, after) = (self.user_op_hash, self.deadline);
                return Err(Error::Timeout { user_op_hash, after, source: last_error });
            }
            tokio::time::sleep(pause).await;
        };
        let user_op_hash = landed.event.user_op_hash;
        self.tell_store(landed.event.sender, landed.event.nonce).await?;
        self.client.shared.see(user_op_hash);
        Ok(landed.into_receipt())
    }

    /// Waits like [`wait`](Self::wait), and gives the hash of the transaction that carried the operation.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn wait_for_tx_hash(&self) -> Result<B256, Error> {
        Ok(self.wait().await?.receipt.transaction_hash)
    }

    /// One look: by the bundler's receipt, which the node has to know; and now and then by the operation's own nonce.
    async fn look(&self, looks: &mut Looks) -> Result<Option<Landed>, Error> {
        if self.client.pace.wants_block_time() {
            self.client.learn_block_time().await?;
        }
        let turn = self.client.pace.turn(1).await;
        let receipt = self.client.bundler.user_operation_receipt(self.user_op_hash).await;
        drop(turn);
        if let Ok(Some(receipt)) = receipt {
            let _turn = self.client.pace.turn(1).await;
            let landed = self.known_to_the_node(receipt).await?;
            return self.confirmed(landed).await;
        }
        looks.count += 1;
        if looks.count.is_multiple_of(LOOKS_WITHOUT_NONCE) || receipt.is_err() {
            let landed = self.look_at_nonce(looks).await?;
            if landed.is_some() {
                return self.confirmed(landed).await;
            }
            if looks.consumed == 0 && looks.count.is_multiple_of(2 * LOOKS_WITHOUT_NONCE) {
                self.look_at_status(looks).await?;
            }
        }
        receipt.map(|_| None).map_err(Error::from)
    }

    /// The bundler may be ahead of the node, remember a block that was taken back, or not tell the truth.
    async fn known_to_the_node(&self, receipt: UserOperationReceipt) -> Result<Option<Landed>, Error> {
        let events = self.client.chain.logs().events_of(receipt.receipt.transaction_hash).await?;
        let event = events.into_iter().find(|event| event.user_op_hash == self.user_op_hash);
        Ok(event.map(|event| Landed { event, receipt: Some(receipt) }))
    }

    /// Passes on what has the confirmations asked for.
    async fn confirmed(&self, landed: Option<Landed>) -> Result<Option<Landed>, Error> {
        let Some(landed) = landed else { return Ok(None) };
        if self.confirmations == 0 {
            return Ok(Some(landed));
        }
        let latest = self.client.latest_block().await?;
        let confirmed = latest.number >= landed.event.block.saturating_add(self.confirmations);
        Ok(confirmed.then_some(landed))
    }

    /// Asks the chain what became of the operation's nonce.
    async fn look_at_nonce(&self, looks: &mut Looks) -> Result<Option<Landed>, Error> {
        let Some(Place { account, nonce, from_block }) = self.place else { return Ok(None) };
        let chain = &self.client.chain;
        let _turn = self.client.pace.turn(2).await;
        let own = Nonce::from(nonce);
        let block = self.client.latest_block().await?;
        if Nonce::from(chain.nonce_at(account.address, own.stream, &block).await?).sequence <= own.sequence {
            looks.consumed = 0;
            return Ok(None);
        }
        let events = chain.logs().events_in(account.address, None, from_block, block.number).await?;
        let Some(events) = events else { return Ok(None) };
        let Some(event) = events.into_iter().find(|event| event.nonce == nonce) else {
            // A load balancer's other node may not have the log yet.
            looks.consumed += 1;
            let is_certain = looks.consumed >= LOOKS_WITHOUT_EVENT;
            return if is_certain {
                Err(Error::NonceUsed { user_op_hash: self.user_op_hash, nonce })
            } else {
                Ok(None)
            };
        };
        // The event came alone; its transaction has the rest.
        let whole = chain.logs().events_of(event.transaction_hash).await?;
        let whole = whole.into_iter().find(|whole| whole.user_op_hash == event.user_op_hash);
        let landed = Landed { event: whole.unwrap_or(event), receipt: None };
        if landed.event.user_op_hash == self.user_op_hash || self.same_call(account, &landed.event).await? {
            return Ok(Some(landed));
        }
        match self.confirmed(Some(landed)).await? {
            Some(Landed { event, .. }) => Err(Error::Replaced {
                user_op_hash: self.user_op_hash,
                by: event.user_op_hash,
                transaction: event.transaction_hash,
            }),
            None => Ok(None),
        }
    }

    /// Asks the bundler whether it still has the operation, whose nonce is not used as far as is known. That it does not
    /// know it says nothing, and that it dropped it counts when it says so again.
    async fn look_at_status(&self, looks: &mut Looks) -> Result<(), Error> {
        let _turn = self.client.pace.turn(1).await;
        match self.client.bundler.user_operation_status(self.user_op_hash).await {
            Ok(OperationStatus::Refused { reason }) if looks.was_dropped => {
                Err(Error::Dropped { user_op_hash: self.user_op_hash, reason })
            }
            status => {
                looks.was_dropped = matches!(status, Ok(OperationStatus::Refused { .. }));
                Ok(())
            }
        }
    }

    /// Lets the same call go on with this operation: nobody knows any more that it is under way.
    async fn note_dropped(&self, account: AccountId) -> Result<(), Error> {
        let user_op_hash = self.user_op_hash;
        let changes = vec![
            Change::SetAnswer { user_op_hash, answer: Answer::Refused },
            Change::SetTold { user_op_hash, told: false },
        ];
        Ok(self.client.store.apply(account, changes).await?)
    }

    /// Whoever waited knows the end: the same call made after this is another.
    async fn tell_store(&self, sender: Address, nonce: U256) -> Result<(), Error> {
        let account = AccountId { chain_id: self.client.chain_id(), address: sender };
        self.client.shared.see(self.user_op_hash);
        self.client.told(account, nonce).await
    }

    /// Whether the operation that took the nonce is a replacement made here, of the same call.
    async fn same_call(&self, account: AccountId, event: &OperationEvent) -> Result<bool, Error> {
        let operations = self.client.store.operations(account).await?;
        let call_data = |hash: B256| {
            let stored = operations.iter().find(|operation| operation.user_op_hash == hash)?;
            let signed = SignedOperation::read(&stored.message, hash).ok()?;
            Some(signed.message.operation.call_data)
        };
        let own = call_data(self.user_op_hash);
        Ok(own.is_some() && own == call_data(event.user_op_hash))
    }
}

/// What a wait remembers between its looks.
#[derive(Debug, Default)]
struct Looks {
    count: u32,
    /// How often in a row the nonce was used and no event was found.
    consumed: u32,
    /// Whether the bundler said at the last look that it dropped the operation.
    was_dropped: bool,
}

const DEADLINE: Duration = Duration::from_secs(120);

/// The bundler's word is one request, the nonce's two or three.
const LOOKS_WITHOUT_NONCE: u32 = 8;

const LOOKS_WITHOUT_EVENT: u32 = 3;

impl Landed {
    /// The receipt, in which the node's log counts for more than the bundler's word.
    fn into_receipt(self) -> UserOperationReceipt {
        let OperationEvent {
            user_op_hash,
            sender,
            paymaster,
            success,
            actual_gas_cost,
            actual_gas_used,
            transaction_hash,
            block,
            block_hash,
            logs: own_logs,
            ..
        } = self.event;
        let (reason, logs, receipt) = match self.receipt {
            Some(UserOperationReceipt { reason, logs, receipt, .. }) => (reason, logs, receipt),
            None => {
                let receipt = TransactionReceipt { transaction_hash, ..TransactionReceipt::default() };
                (None, Vec::new(), receipt)
            }
        };
        let receipt = TransactionReceipt {
            block_number: Some(U256::from(block)),
            block_hash: block_hash.or(receipt.block_hash),
            ..receipt
        };
        UserOperationReceipt {
            user_op_hash,
            sender: Some(sender),
            success,
            reason,
            actual_gas_cost: Some(actual_gas_cost),
            actual_gas_used: Some(actual_gas_used),
            paymaster: Some(paymaster).filter(|paymaster| *paymaster != Address::ZERO),
            logs: if own_logs.is_empty() { logs } else { own_logs },
            receipt,
        }
    }
}

impl Quorate {
    /// Reads how far apart blocks are, from two heads.
    async fn learn_block_time(&self) -> Result<(), Error> {
        const APART: u64 = 32;
        let latest = self.chain.latest_block().await?;
        let blocks = latest.number.min(APART);
        if blocks == 0 {
            self.pace.learn_block_time(Duration::ZERO);
            return Ok(());
        }
        let earlier = self.chain.block(latest.number - blocks).await?;
        let seconds = latest.timestamp.saturating_sub(earlier.timestamp);
        let apart = Duration::from_secs(seconds).checked_div(u32::try_from(blocks).unwrap_or(u32::MAX));
        self.pace.learn_block_time(apart.unwrap_or_default());
        Ok(())
    }
}
