//! What has to hold once everything is over.

use std::collections::HashSet;

use alloy_primitives::B256;
use alloy_sol_types::SolCall as _;
use quorate::quorate_store::{Answer, Operation, Store as _};
use quorate::{Options, Status};
use quorate_contracts::SessionKeyManager;
use quorate_signer::sign_as_owner;

use super::recorder::lock;
use super::steps::On;
use super::world::World;

const ROUNDS: usize = 16;
const BOTH: [On; 2] = [0, 1];

/// Ends everything that is under way, and says what does not hold.
pub(crate) async fn settle(world: &mut World) -> Result<(), String> {
    world.calm();
    let mut is_settled = false;
    for round in 0..ROUNDS {
        for on in BOTH {
            learn_tree(world, on).await?;
            go_on(world, on, round).await?;
            world.chain.mine();
        }
        is_settled = is_quiet(world).await?;
        if is_settled {
            break;
        }
    }
    let mut repeated = world.repeated();
    repeated.append(&mut lock(&world.shared).violations);
    if let Some(first) = repeated.into_iter().next() {
        return Err(first);
    }
    no_leaf_was_lost(world)?;
    if !is_settled {
        return Err(format!(
            "not settled: {:#?} {:#?}",
            world.operations(0).await,
            world.operations(1).await
        ));
    }
    for on in BOTH {
        learn_tree(world, on).await?;
        statuses_are_the_chain_s(world, on).await?;
    }
    usable_sessions_work(world).await?;
    for on in BOTH {
        live_sessions_are_revoked(world, on).await?;
    }
    nothing_stays(world).await
}

/// What the device's own operation set it knows, and what the other one knows it takes in.
async fn learn_tree(world: &mut World, on: On) -> Result<(), String> {
    if knows_tree(world, on).await {
        return Ok(());
    }
    let root = world.root();
    let setter = history(world).last().and_then(|(hash, _)| *hash);
    {
        let recorder = lock(&world.shared);
        let made = setter.and_then(|hash| Some((hash, recorder.updates.get(&hash)?)));
        if let Some((hash, (maker, _))) = made
            && *maker == on
        {
            return Err(format!("device {on} set {root} by {hash}, and forgot its leaves"));
        }
    }
    if world.import(on).await.is_some_and(|imported| imported.is_ok()) {
        return Ok(());
    }
    let leaves = lock(&world.shared).trees.get(&root).cloned();
    if let Some(leaves) = leaves.filter(|leaves| !leaves.contains(&B256::repeat_byte(0x5a))) {
        let account = world.account(on);
        let imported = world.call(on, async move { account.import_leaves(leaves).await }).await;
        if !matches!(imported, Some(Ok(()))) {
            return Err(format!("device {on} does not take the leaves of {root} in: {imported:?}"));
        }
    }
    Ok(())
}

async fn knows_tree(world: &World, on: On) -> bool {
    let (device, root) = (&world.devices[on], world.root());
    root == B256::ZERO || device.store.tree(device.account.id(), root).await.unwrap().is_some()
}

/// Resumes, and makes anew or cancels what needs its owner, in turn.
async fn go_on(world: &mut World, on: On, round: usize) -> Result<(), String> {
    let resumed = match world.resume(on).await {
        Some(Ok(resumed)) => resumed,
        other => return Err(format!("device {on} cannot resume: {other:?}")),
    };
    for (hash, _) in resumed.into_iter().filter(|(_, is_over)| !is_over) {
        let is_rebuilt = round.is_multiple_of(2) && matches!(world.rebuild(on, hash).await, Some(Ok(())));
        if !is_rebuilt {
            // It may be over by now, or another one may have to be over first.
            world.cancel(on, hash).await;
        }
    }
    // What was given up waits for its nonce to be used.
    let operations = world.operations(on).await;
    let given_up =
        |operation: &Operation| operation.answer == Answer::Abandoned && operation.closed_at_block.is_none();
    for operation in operations.into_iter().filter(given_up) {
        world.cancel(on, operation.user_op_hash).await;
    }
    fill_gap(world, on).await;
    Ok(())
}

/// After a reorganisation an operation may wait for one that is gone: its owner puts another one there.
async fn fill_gap(world: &mut World, on: On) {
    let (account, owner) = (world.account(on), world.owner.clone());
    let next = world.chain.nonce(account.address(), Default::default());
    let operations = world.operations(on).await;
    let mut own = operations.iter().map(|operation| operation.nonce).filter(|nonce| nonce.bit_len() <= 64);
    if own.clone().any(|nonce| nonce > next) && own.all(|nonce| nonce != next) {
        world
            .call(on, async move {
                let call = quorate::Call::raw(account.address(), Vec::new());
                let draft = account
                    .clone()
                    .with_options(Options::new().with_nonce(next))
                    .prepare_calls(&[call])
                    .await?;
                let signature = sign_as_owner(&owner, draft.user_op_hash()).await?;
                account.submit(draft, &signature).await
            })
            .await;
    }
}

async fn is_quiet(world: &mut World) -> Result<bool, String> {
    let mut is_quiet = true;
    for on in BOTH {
        statuses(world, on).await?;
        is_quiet &= world.operations(on).await.iter().all(|operation| operation.closed_at_block.is_some());
    }
    Ok(is_quiet)
}

async fn statuses(world: &mut World, on: On) -> Result<Vec<(quorate::SessionId, Vec<B256>, Status)>, String> {
    let account = world.account(on);
    match world.call(on, async move { account.sessions().await }).await {
        Some(Ok(sessions)) => Ok(sessions
            .into_iter()
            .map(|session| (session.id().clone(), session.record.leaves().collect(), session.status))
            .collect()),
        other => Err(format!("device {on} cannot list: {other:?}")),
    }
}

/// The roots of the canonical chain, each with the operation that set it.
fn history(world: &World) -> Vec<(Option<B256>, B256)> {
    let manager = world.chain.deployment().session_key_manager;
    let executions = world.chain.executions();
    let set = executions.iter().filter(|execution| execution.to == manager).filter_map(|execution| {
        let call = SessionKeyManager::setMerkleRootCall::abi_decode(&execution.data).ok()?;
        Some((execution.user_op_hash, call._merkleRoot))
    });
    set.collect()
}

/// Only what was to end, or had ended, was taken out of a tree by an update that was made for it.
fn no_leaf_was_lost(world: &World) -> Result<(), String> {
    let recorder = lock(&world.shared);
    let leaves = |root: &B256| {
        recorder.trees.get(root).map(|leaves| leaves.iter().copied().collect::<HashSet<B256>>())
    };
    let mut before = B256::ZERO;
    for (hash, root) in history(world) {
        let (Some(old), Some(new)) = (leaves(&before), leaves(&root)) else {
            return Err(format!("nobody knows the leaves of {before} or {root}"));
        };
        let made_for = hash.and_then(|hash| recorder.updates.get(&hash)).map(|(_, change)| change.replaces);
        let has_ended =
            |leaf: &B256| recorder.ends.get(leaf).is_some_and(|ends| *ends != 0 && *ends < world.chain.now());
        let mut lost =
            old.difference(&new).filter(|leaf| !recorder.asked_to_end.contains(*leaf) && !has_ended(leaf));
        if made_for == Some(before)
            && let Some(leaf) = lost.next()
        {
            return Err(format!(
                "leaf {leaf} was lost by {hash:?}, which set {root} in the place of {before}"
            ));
        }
        before = root;
    }
    Ok(())
}

async fn statuses_are_the_chain_s(world: &mut World, on: On) -> Result<(), String> {
    let root = world.root();
    let knows = knows_tree(world, on).await;
    let live: HashSet<B256> = lock(&world.shared).trees.get(&root).into_iter().flatten().copied().collect();
    for (id, leaves, status) in statuses(world, on).await? {
        let is_live = leaves.iter().any(|leaf| live.contains(leaf));
        let is_right = match status {
            Status::Active => leaves.iter().all(|leaf| live.contains(leaf)),
            Status::Partial | Status::Expired => is_live,
            Status::Revoked | Status::Inactive => !is_live,
            Status::Unknown => !knows,
            _ => false,
        };
        if !is_right || !knows && status != Status::Unknown {
            return Err(format!(
                "device {on} says that session {id} is {status}, of whose leaves {leaves:?} {live:?} are live under {root}"
            ));
        }
    }
    Ok(())
}

async fn usable_sessions_work(world: &mut World) -> Result<(), String> {
    world.chain.set_automine(true);
    let manager = world.chain.deployment().session_key_manager;
    // The operation that enables it may be cancelled after a reorganisation, and one that was made behind it land.
    if !world.chain.is_module_enabled(world.account(0).address(), manager) {
        return Ok(());
    }
    let live = lock(&world.shared).trees.get(&world.root()).cloned().unwrap_or_default();
    for on in BOTH {
        for (id, leaves, status) in statuses(world, on).await? {
            let policy = leaves.iter().position(|leaf| live.contains(leaf));
            if let Some(policy) = policy.filter(|_| status.is_usable()) {
                world.works(on, id, policy).await?;
            }
        }
    }
    Ok(())
}

/// What is live can be revoked, and all the rest forgotten.
async fn live_sessions_are_revoked(world: &mut World, on: On) -> Result<(), String> {
    learn_tree(world, on).await?;
    let (account, owner) = (world.account(on), world.owner.clone());
    let is_strange = !knows_tree(world, on).await;
    let stand = statuses(world, on).await?;
    let live = stand.iter().filter(|(.., status)| !status.is_over()).map(|(id, ..)| id.clone());
    let live: Vec<_> = live.collect();
    if is_strange || !live.is_empty() {
        let revoked = world.call(on, async move {
            let pending = if is_strange {
                account.revoke_all(&owner).await?
            } else {
                account.revoke(live, &owner).await?
            };
            pending.wait().await
        });
        let revoked = revoked.await;
        if !matches!(revoked, Some(Ok(_))) {
            return Err(format!("device {on} cannot revoke what is live: {revoked:?}"));
        }
    }
    let account = world.account(on);
    for (id, ..) in stand {
        let account = account.clone();
        let shown = id.clone();
        let forgotten = world.call(on, async move { account.forget(&id).await }).await;
        if !matches!(forgotten, Some(Ok(()))) {
            return Err(format!("device {on} cannot forget {shown}: {forgotten:?}"));
        }
    }
    Ok(())
}

/// After as many blocks as count the store is empty.
async fn nothing_stays(world: &mut World) -> Result<(), String> {
    for on in BOTH {
        learn_tree(world, on).await?;
        // What nobody was told of stays until somebody is.
        if !matches!(world.acknowledge(on).await, Some(Ok(()))) {
            return Err(format!("device {on} cannot resume"));
        }
    }
    for _ in 0..70 {
        world.chain.mine();
    }
    for on in BOTH {
        statuses(world, on).await?;
        let operations = world.operations(on).await;
        if knows_tree(world, on).await && !operations.is_empty() {
            return Err(format!("device {on} keeps operations for ever: {operations:#?}"));
        }
    }
    Ok(())
}
