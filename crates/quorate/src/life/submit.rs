//! Sending operations: written down first, and never a second time under another nonce.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use quorate_bundler::{BundlerError, SendOutcome, Simulation};
use quorate_core::{SignedUserOperation, UserOperation};
use quorate_protocol::OperationMessage;
use quorate_store::{AccountId, Answer, Change, Operation, RootChange, SessionId};

use tokio::time::Instant;

use crate::client::Shared;
use crate::cost;
use crate::draft::SignedOperation;
use crate::fill::fees_of;
use crate::life::facts::Query;
use crate::life::settle::{self, Fate, Nonce};
use crate::payment::check_time;
use crate::{Draft, Error, Options, PendingOperation, Quorate};

/// A signed operation that is about to be sent for the first time.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: OperationMessage,
    pub(crate) signature: Vec<u8>,
    pub(crate) session: Option<SessionId>,
    pub(crate) root_change: Option<RootChange>,
    /// The root that the signature proves a session against.
    pub(crate) root: Option<B256>,
    /// When the chain will refuse it, in seconds since 1970; 0 for never.
    pub(crate) valid_until: u64,
    /// How a Biconomy bundler simulates.
    pub(crate) simulation: Option<Simulation>,
    pub(crate) block: u64,
    /// What the store has to know before the operation leaves.
    pub(crate) with: Vec<Change>,
    /// What is taken back where nothing left.
    pub(crate) undo: Vec<Change>,
    /// Whether whoever made it is told by what the sending gives.
    pub(crate) tells: bool,
}

impl Quorate {
    /// Writes an operation down and sends it.
    ///
    /// # Errors
    /// [`Error::NotSent`] where nothing left this machine, and nothing is left in the store; [`Error::Unsettled`] in
    /// every other case.
    #[tracing::instrument(skip_all, err(level = "debug"), fields(
        chain_id = outgoing.message.chain_id,
        account = %outgoing.message.operation.sender,
        nonce = %outgoing.message.operation.nonce,
    ))]
    pub(crate) async fn dispatch(&self, outgoing: Outgoing) -> Result<PendingOperation, Error> {
        let Outgoing {
            message,
            signature,
            session,
            root_change,
            root,
            valid_until,
            simulation,
            block,
            with,
            undo,
            tells,
        } = outgoing;
        let account = AccountId { chain_id: message.chain_id, address: message.operation.sender };
        let nonce = message.operation.nonce;
        let signed = SignedOperation { message, signature, root, valid_until, simulation };
        let operation = Operation {
            user_op_hash: signed.user_op_hash(),
            nonce,
            session,
            root_change,
            answer: Answer::Open,
            told: false,
            signed_at_block: block,
            closed_at_block: None,
            message: signed.to_json(),
        };
        tracing::debug!(user_op_hash = %operation.user_op_hash, "written down, about to be sent");
        let in_flight = InFlight::begin(&self.shared, operation.user_op_hash);
        let mut changes = with;
        changes.push(Change::AddOperation(Box::new(operation.clone())));
        self.store.apply(account, changes).await?;

        let sent = self.give(account, &operation, &signed, tells).await;
        drop(in_flight);
        match sent {
            Err(Error::NotSent { user_op_hash, source }) => {
                let mut changes = vec![Change::RemoveOperation(user_op_hash)];
                changes.extend(undo);
                self.store.apply(account, changes).await?;
                Err(Error::NotSent { user_op_hash, source })
            }
            sent => sent,
        }
    }

    /// Whether a draft that waited is still paid for, and within what it may cost at today's price.
    ///
    /// # Errors
    /// [`Error::TooExpensive`]; [`PaymasterError::Over`](quorate_paymaster::PaymasterError::Over); the node gives no
    /// answer.
    pub(crate) async fn check_payment_again<T>(
        &self,
        draft: &Draft<T>,
        options: &Options,
    ) -> Result<(), Error> {
        if let Some(valid_until) = draft.valid_until() {
            check_time(valid_until, self.chain.latest_block().await?.timestamp)?;
        }
        let Some(expected) = draft.expected else { return Ok(()) };
        let expected = expected.at(self.recent_price().await?.expected());
        let operation = &draft.operation.operation;
        cost::check(operation, &expected, options.max_cost_factor(), options.max_cost())
    }

    /// What a paymaster paid for is not made anew at the account's cost without a word.
    pub(crate) const fn check_payer(
        &self,
        user_op_hash: B256,
        paymaster: Option<Address>,
        options: &Options,
    ) -> Result<(), Error> {
        match (paymaster, options.payment()) {
            (Some(paymaster), None) => Err(Error::PaymasterNeeded { user_op_hash, paymaster }),
            _ => Ok(()),
        }
    }

    /// Goes on with an operation that is stored: it is sent again where that can still be right. `tells` says whether
    /// whoever made it is told by what this gives.
    #[tracing::instrument(skip_all, err(level = "debug"), fields(%account, user_op_hash = %stored.user_op_hash))]
    pub(crate) async fn resend(
        &self,
        account: AccountId,
        stored: &Operation,
        tells: bool,
    ) -> Result<PendingOperation, Error> {
        let user_op_hash = stored.user_op_hash;
        let signed = SignedOperation::read(&stored.message, user_op_hash)?;
        let query = Query { streams: vec![Nonce::from(stored.nonce).stream], modules: Vec::new() };
        let unsettled = |source| Error::unsettled(user_op_hash, source);
        let facts = self.facts(account.address, &query).await.map_err(unsettled)?;
        let fate = settle::fate(stored, &signed, &facts);
        if fate == Fate::Dead {
            return Err(unsettled(Error::Dead { user_op_hash }));
        }
        if fate == Fate::Consumed || self.is_known(user_op_hash).await {
            return self.known(account, stored, tells).await;
        }
        match (fate, stored.root_change) {
            (Fate::Conflicting, Some(RootChange { replaces: expected, .. })) => {
                Err(unsettled(Error::RootChanged { expected, found: facts.root }))
            }
            _ if !settle::pays_enough(fees_of(&signed.message.operation), &facts) => {
                Err(unsettled(Error::FeesTooLow { user_op_hash }))
            }
            _ => self.give_again(account, stored, &signed, tells).await,
        }
    }

    /// An operation that is under way or over.
    pub(crate) async fn known(
        &self,
        account: AccountId,
        stored: &Operation,
        tells: bool,
    ) -> Result<PendingOperation, Error> {
        if tells {
            self.told(account, stored.nonce).await?;
        }
        Ok(PendingOperation::new(self.clone(), account, stored))
    }

    /// Notes that whoever made what has this nonce knows of it: the same call made after this is another.
    pub(crate) async fn told(&self, account: AccountId, nonce: U256) -> Result<(), Error> {
        let operations = self.store.operations(account).await?;
        let untold = operations.iter().filter(|operation| operation.nonce == nonce && !operation.told);
        let told =
            |operation: &Operation| Change::SetTold { user_op_hash: operation.user_op_hash, told: true };
        let changes: Vec<Change> = untold.map(told).collect();
        if !changes.is_empty() {
            self.store.apply(account, changes).await?;
        }
        Ok(())
    }

    /// Gives the bundler the same bytes again. That they do not leave this time says nothing of the last.
    pub(crate) async fn give_again(
        &self,
        account: AccountId,
        stored: &Operation,
        signed: &SignedOperation,
        tells: bool,
    ) -> Result<PendingOperation, Error> {
        let _in_flight = InFlight::begin(&self.shared, stored.user_op_hash);
        match self.give(account, stored, signed, tells).await {
            Err(Error::NotSent { user_op_hash, source }) => Err(Error::Unsettled { user_op_hash, source }),
            given => given,
        }
    }

    /// Gives the bundler an operation that is stored, and stores what it says.
    async fn give(
        &self,
        account: AccountId,
        operation: &Operation,
        signed: &SignedOperation,
        tells: bool,
    ) -> Result<PendingOperation, Error> {
        let user_op_hash = operation.user_op_hash;
        let unsettled = |source| Error::Unsettled { user_op_hash, source: Box::new(source) };
        let OperationMessage { operation: unsigned, entry_point, chain_id } = signed.message.clone();
        let sending = unsigned.sign(signed.signature.clone());
        let sent = self.send_when_there_is_room(&sending, entry_point, chain_id, signed.simulation).await;
        let (answer, error) = match sent {
            Ok(_) => (Answer::Taken, None),
            Err(error) => match error.send_outcome() {
                SendOutcome::Taken => (Answer::Taken, None),
                SendOutcome::NotSent => {
                    return Err(Error::NotSent { user_op_hash, source: Box::new(error.into()) });
                }
                SendOutcome::Conflict => (Answer::Conflict, Some(error)),
                SendOutcome::Refused => (Answer::Refused, Some(error)),
                _ => (Answer::Open, Some(error)),
            },
        };
        // Some bundlers say of the very operation that another one has its nonce.
        let answer = match answer {
            Answer::Conflict if self.is_known(user_op_hash).await => Answer::Taken,
            answer => answer,
        };
        // It may have landed since it was looked for, and then it is refused for that (AA10, AA25).
        if matches!(answer, Answer::Conflict | Answer::Refused)
            && self.is_used(account, operation.nonce).await
        {
            return self.known(account, operation, tells).await;
        }
        let mut changes = Vec::new();
        if answer != operation.answer {
            changes.push(Change::SetAnswer { user_op_hash, answer });
        }
        if answer == Answer::Taken && tells && !operation.told {
            changes.push(Change::SetTold { user_op_hash, told: true });
        }
        if !changes.is_empty() {
            self.store.apply(account, changes).await.map_err(|error| unsettled(error.into()))?;
        }
        match error {
            Some(error) if answer != Answer::Taken => Err(unsettled(error.into())),
            _ => Ok(PendingOperation::new(self.clone(), account, operation)),
        }
    }

    /// Bundlers take so many operations of one account at a time; the next one waits for its turn.
    async fn send_when_there_is_room(
        &self,
        sending: &SignedUserOperation<Vec<u8>>,
        entry_point: Address,
        chain_id: u64,
        simulation: Option<Simulation>,
    ) -> Result<B256, BundlerError> {
        let start = Instant::now();
        loop {
            let sent = self.bundler.send_user_operation(sending, entry_point, chain_id, simulation).await;
            match sent {
                Err(error) if error.is_full_pool() && start.elapsed() < PATIENCE => {
                    tokio::time::sleep(self.pace.pause(start.elapsed())).await;
                }
                sent => return sent,
            }
        }
    }

    /// Whether the bundler says that it has the operation. Silence says nothing.
    pub(crate) async fn is_known(&self, user_op_hash: B256) -> bool {
        let found = self.bundler.user_operation_by_hash(user_op_hash).await;
        matches!(found, Ok(Some(_)))
    }

    /// Whether the chain says that an operation with this nonce is on it. Silence says nothing.
    async fn is_used(&self, account: AccountId, nonce: U256) -> bool {
        let own = Nonce::from(nonce);
        let next = self.chain.nonce(account.address, own.stream).await;
        next.is_ok_and(|next| Nonce::from(next).sequence > own.sequence)
    }

    /// The operation that made the same call before and whose fate the caller does not know. One that a task of this
    /// process is sending at this moment is another call.
    pub(crate) async fn unsettled_call(
        &self,
        account: AccountId,
        session: Option<&SessionId>,
        is_same: impl Fn(&UserOperation<Vec<u8>>) -> bool,
    ) -> Result<Option<Operation>, Error> {
        let mut operations = self.store.operations(account).await?;
        operations.retain(|operation| !self.is_in_flight(operation.user_op_hash));
        Ok(settle::unsettled_call(&operations, session, is_same).cloned())
    }

    /// Whether a task of this process is sending the operation at this moment.
    pub(crate) fn is_in_flight(&self, user_op_hash: B256) -> bool {
        let in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.contains(&user_op_hash)
    }
}

/// How long an operation waits for its turn at the bundler.
const PATIENCE: Duration = Duration::from_secs(30);

/// Marks an operation as being sent, until dropped.
struct InFlight {
    shared: Arc<Shared>,
    user_op_hash: B256,
}

impl InFlight {
    fn begin(shared: &Arc<Shared>, user_op_hash: B256) -> Self {
        shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(user_op_hash);
        Self { shared: Arc::clone(shared), user_op_hash }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.remove(&self.user_op_hash);
    }
}
