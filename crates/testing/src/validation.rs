//! Whether an operation is valid: EntryPoint v0.6 and the validation modules.

use alloy_primitives::{Address, B256, Bytes, Keccak256, Signature, U256};
use alloy_sol_types::{SolType, SolValue, sol, sol_data};
use quorate_core::{
    AccountCall, Encode, Execute, SessionEpoch, SessionLeaf, evaluate, evaluate_erc20, merkle, routed_hash,
    signing_hash,
};

use crate::{
    factory::{deploy, read_init_code},
    operation::{Operation, paymaster},
    paymaster::contract::{self, Accepted, Charge},
    world::{Rules, World, split_nonce},
};

/// What is asked of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything, as in a block.
    Whole,
    /// Everything but that its turn has come, as a mempool that queues.
    Queued,
    /// Neither payment, time, nor whose the signature is, as for an estimate.
    Estimate,
}

/// Why an operation is not valid: the entry point's text, `AA` and two digits first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid(pub(crate) String);

impl From<&str> for Invalid {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Invalid {
    /// What a module reverted with, where it gave a text.
    pub(crate) fn module_reason(&self) -> Option<&str> {
        self.0.strip_prefix("AA23 reverted: ")
    }
}

/// A valid operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Valid {
    /// Whether the operation deployed its account.
    pub(crate) deployed: bool,
    /// Who pays: the account or a paymaster.
    pub(crate) payer: Address,
    /// What was taken from the payer's deposit, in wei.
    pub(crate) prefund: U256,
    /// What the paymaster takes in tokens after the call.
    pub(crate) charge: Option<Charge>,
    /// When the operation is valid.
    pub(crate) epoch: SessionEpoch,
}

/// Validates, and does what validation does: deploys, takes the prefund, counts the nonce.
pub(crate) fn validate(
    rules: &Rules,
    world: &mut World,
    signed: &Operation,
    user_op_hash: B256,
    now: u64,
    mode: Mode,
) -> Result<Valid, Invalid> {
    let op = &signed.operation;
    let deployed = deploy_if_needed(rules, world, signed)?;

    let checked = check_signature(rules, world, signed, user_op_hash)?;

    let paymaster = paymaster(signed);
    let sponsored = !op.paymaster_and_data.is_empty();
    let payer = if sponsored { paymaster } else { op.sender };
    let prefund = prefund(signed, sponsored).ok_or("AA94 gas values overflow")?;
    if mode != Mode::Estimate && !sponsored {
        let holder = world.entry(op.sender);
        let missing = prefund.saturating_sub(holder.deposit);
        holder.balance = holder.balance.checked_sub(missing).ok_or("AA21 didn't pay prefund")?;
        holder.deposit = holder.deposit + missing - prefund;
    }

    let (key, sequence) = split_nonce(op.nonce);
    let next = world.sequence(op.sender, key);
    if sequence < next || sequence > next && mode != Mode::Queued {
        return Err("AA25 invalid account nonce".into());
    }
    world.entry(op.sender).nonces.insert(key, sequence.saturating_add(1));

    let mut accepted = None;
    if sponsored {
        if op.paymaster_and_data.len() < 20 {
            return Err("AA93 invalid paymasterAndData".into());
        }
        if !rules.has_code(world, paymaster) {
            return Err("AA30 paymaster not deployed".into());
        }
        if mode != Mode::Estimate {
            let holder = world.entry(paymaster);
            holder.deposit = holder.deposit.checked_sub(prefund).ok_or("AA31 paymaster deposit too low")?;
        }
        accepted = ask_paymaster(rules, world, signed, paymaster)?;
    }

    if mode != Mode::Estimate {
        if !checked.genuine {
            return Err("AA24 signature error".into());
        }
        if !checked.epoch.contains(now) {
            return Err("AA22 expired or not due".into());
        }
        if accepted.is_some_and(|accepted| !accepted.genuine) {
            return Err("AA34 signature error".into());
        }
        if accepted.is_some_and(|accepted| !accepted.is_due(now)) {
            return Err("AA32 paymaster expired or not due".into());
        }
    }
    let charge = accepted.and_then(|accepted| accepted.charge);
    let epoch = accepted.map_or(checked.epoch, |accepted| both(checked.epoch, &accepted));
    Ok(Valid { deployed, payer, prefund, charge, epoch })
}

/// What a paymaster answers; none from one that takes every operation.
fn ask_paymaster(
    rules: &Rules,
    world: &World,
    signed: &Operation,
    paymaster: Address,
) -> Result<Option<Accepted>, Invalid> {
    if rules.reverting.contains(&paymaster) {
        return Err("AA33 reverted: scripted to revert".into());
    }
    if !rules.signing_paymasters || ![contract::VERIFYING, contract::TOKEN].contains(&paymaster) {
        return Ok(None);
    }
    let owes = world.get(signed.operation.sender).is_some_and(|holder| !holder.owed.is_empty());
    contract::validate(signed, rules.chain_id, owes).map(Some)
}

/// When account and paymaster are both valid; the account's time where that is never.
fn both(account: SessionEpoch, paymaster: &Accepted) -> SessionEpoch {
    let after = account.valid_after().max(paymaster.after);
    let ends = [account.valid_until(), paymaster.until].into_iter().filter(|end| *end != 0);
    SessionEpoch::new(after, ends.min().unwrap_or_default()).unwrap_or(account)
}

/// The most that an operation may cost, in wei.
pub(crate) fn prefund(signed: &Operation, sponsored: bool) -> Option<U256> {
    let op = &signed.operation;
    let times = U256::from(if sponsored { 3 } else { 1 });
    let gas = op.verification_gas_limit.checked_mul(times)?;
    let gas = gas.checked_add(op.call_gas_limit)?.checked_add(op.pre_verification_gas)?;
    gas.checked_mul(op.max_fee_per_gas)
}

fn deploy_if_needed(rules: &Rules, world: &mut World, signed: &Operation) -> Result<bool, Invalid> {
    let op = &signed.operation;
    let exists = rules.has_code(world, op.sender);
    match (op.init_code.is_empty(), exists) {
        (true, true) => Ok(false),
        (true, false) => Err("AA20 account not deployed".into()),
        (false, true) => Err("AA10 sender already constructed".into()),
        (false, false) => {
            let account = read_init_code(rules, &op.init_code).ok_or("AA13 initCode failed or OOG")?;
            if account.address != op.sender {
                return Err("AA14 initCode must return sender".into());
            }
            deploy(world, &account);
            Ok(true)
        }
    }
}

/// What a validation module says.
struct Checked {
    /// Whether the signature is of who has to sign.
    genuine: bool,
    /// When the operation is valid.
    epoch: SessionEpoch,
}

sol! {
    struct RoutedEntry {
        uint48 validUntil;
        uint48 validAfter;
        address sessionValidationModule;
        bytes sessionKeyData;
        bytes32[] merkleProof;
        bytes callSpecificData;
    }
}

type Signed = (sol_data::Bytes, sol_data::Address);
type SessionSigned = (
    sol_data::Uint<48>,
    sol_data::Uint<48>,
    sol_data::Address,
    sol_data::Bytes,
    sol_data::Array<sol_data::FixedBytes<32>>,
    sol_data::Bytes,
);
type MultichainSigned = (
    sol_data::Uint<48>,
    sol_data::Uint<48>,
    sol_data::FixedBytes<32>,
    sol_data::Array<sol_data::FixedBytes<32>>,
    sol_data::Bytes,
);
type RoutedSigned = (sol_data::Address, sol_data::Array<RoutedEntry>, sol_data::Bytes);

/// A revert without a text, or with a custom error.
const NO_REASON: &str = "AA23 reverted (or OOG)";

fn reverted(reason: &str) -> Invalid {
    Invalid(format!("AA23 reverted: {reason}"))
}

fn check_signature(
    rules: &Rules,
    world: &World,
    signed: &Operation,
    user_op_hash: B256,
) -> Result<Checked, Invalid> {
    let (module_signature, module) = Signed::abi_decode_params(&signed.signature).map_err(|_| NO_REASON)?;
    // The modules read at fixed places.
    if (module_signature.clone(), module).abi_encode_params() != signed.signature {
        return Err(NO_REASON.into());
    }
    let holder = world.get(signed.operation.sender).ok_or(NO_REASON)?;
    if !holder.modules.contains(&module) {
        return Err(NO_REASON.into());
    }
    let deployment = &rules.deployment;
    if module == deployment.ecdsa_ownership_module {
        let owner = *holder.owners.get(&module).ok_or(NO_REASON)?;
        check_owner(rules, owner, user_op_hash, &module_signature)
    } else if module == deployment.multichain_ecdsa_module {
        let owner = *holder.owners.get(&module).ok_or(NO_REASON)?;
        if module_signature.len() == 65 {
            return check_owner(rules, owner, user_op_hash, &module_signature);
        }
        check_multichain(rules, owner, user_op_hash, &module_signature)
    } else if module == deployment.session_key_manager {
        check_session(rules, holder.root, &signed.operation.call_data, user_op_hash, &module_signature)
    } else if module == deployment.batched_session_router {
        let enabled = holder.modules.contains(&deployment.session_key_manager);
        let call_data = &signed.operation.call_data;
        check_routed(rules, enabled, holder.root, call_data, user_op_hash, &module_signature)
    } else {
        Err(NO_REASON.into())
    }
}

fn check_owner(
    rules: &Rules,
    owner: Address,
    user_op_hash: B256,
    signature: &[u8],
) -> Result<Checked, Invalid> {
    let epoch = SessionEpoch::UNLIMITED;
    if signature.len() < 65 {
        return Ok(Checked { genuine: false, epoch });
    }
    // The module takes a signature over the bare hash as well.
    let genuine = recover(rules, signing_hash(user_op_hash), signature)? == owner
        || recover(rules, user_op_hash, signature)? == owner;
    Ok(Checked { genuine, epoch })
}

/// One signature of the owner's over the root of a tree with operations of several chains.
fn check_multichain(
    rules: &Rules,
    owner: Address,
    user_op_hash: B256,
    module_signature: &[u8],
) -> Result<Checked, Invalid> {
    let (until, after, root, proof, signature) =
        MultichainSigned::abi_decode_params(module_signature).map_err(|_| NO_REASON)?;
    let mut leaf = Keccak256::new();
    leaf.update(until.to_be_bytes::<6>());
    leaf.update(after.to_be_bytes::<6>());
    leaf.update(user_op_hash);
    if !merkle::verify(root, leaf.finalize(), &proof) {
        return Err(reverted("Invalid UserOp"));
    }
    let checked = check_owner(rules, owner, root, &signature)?;
    let epoch = SessionEpoch::new(after.to(), until.to()).map_err(|_| NO_REASON)?;
    Ok(Checked { epoch, ..checked })
}

/// As OpenZeppelin's `ECDSA.recover`, which reverts on a malformed signature.
fn recover(rules: &Rules, digest: B256, signature: &[u8]) -> Result<Address, Invalid> {
    let invalid_length = || reverted("ECDSA: invalid signature length");
    let bytes = <[u8; 65]>::try_from(signature).map_err(|_| invalid_length())?;
    let invalid = || reverted("ECDSA: invalid signature");
    if !matches!(bytes[64], 27 | 28) {
        return Err(invalid());
    }
    let parsed = Signature::from_raw_array(&bytes).map_err(|_| invalid())?;
    if parsed.normalize_s().is_some() {
        return Err(reverted("ECDSA: invalid signature 's' value"));
    }
    let mut recovered = rules.recovered.borrow_mut();
    if recovered.len() > 10_000 {
        recovered.clear();
    }
    let signer =
        recovered.entry((digest, bytes)).or_insert_with(|| parsed.recover_address_from_prehash(&digest).ok());
    signer.ok_or_else(invalid)
}

fn check_session(
    rules: &Rules,
    root: B256,
    call_data: &[u8],
    user_op_hash: B256,
    module_signature: &[u8],
) -> Result<Checked, Invalid> {
    let (until, after, module, data, proof, signature) =
        SessionSigned::abi_decode_params(module_signature).map_err(|_| NO_REASON)?;
    let epoch = check_leaf(root, after.to(), until.to(), module, &data, &proof)?;
    let session_key = evaluate_by(rules, module, &data, call_data)?;
    let genuine = recover(rules, signing_hash(user_op_hash), &signature)? == session_key;
    Ok(Checked { genuine, epoch })
}

fn check_routed(
    rules: &Rules,
    manager_enabled: bool,
    root: B256,
    call_data: &[u8],
    user_op_hash: B256,
    module_signature: &[u8],
) -> Result<Checked, Invalid> {
    let calls = match AccountCall::decode(call_data) {
        Ok(AccountCall::Batch(calls)) => calls.collect::<Vec<_>>(),
        Ok(AccountCall::Single(_)) => return Err(reverted("SR Invalid Selector")),
        Err(_) => return Err(reverted("SR Invalid Selector")),
    };
    let (manager, entries, signature) =
        RoutedSigned::abi_decode_params(module_signature).map_err(|_| NO_REASON)?;
    if manager != rules.deployment.session_key_manager || !manager_enabled {
        return Err(reverted("SR Invalid SKM"));
    }
    if entries.is_empty() || entries.len() != calls.len() {
        return Err(reverted("Lengths mismatch"));
    }
    let signer = recover(rules, signing_hash(routed_hash(user_op_hash, manager)), &signature)?;
    let mut genuine = true;
    let (mut after, mut until) = (0, SessionEpoch::MAX_TIME);
    for (entry, call) in entries.iter().zip(calls) {
        let epoch = check_leaf(
            root,
            entry.validAfter.to(),
            entry.validUntil.to(),
            entry.sessionValidationModule,
            &entry.sessionKeyData,
            &entry.merkleProof,
        )?;
        after = after.max(epoch.valid_after());
        if epoch.valid_until() != 0 {
            until = until.min(epoch.valid_until());
        }
        let call_data = Execute(call).to_vec();
        genuine &=
            evaluate_by(rules, entry.sessionValidationModule, &entry.sessionKeyData, &call_data)? == signer;
    }
    let epoch = SessionEpoch::new(after, until).map_err(|_| NO_REASON)?;
    Ok(Checked { genuine, epoch })
}

fn check_leaf(
    root: B256,
    after: u64,
    until: u64,
    validation_module: Address,
    session_key_data: &Bytes,
    proof: &[B256],
) -> Result<SessionEpoch, Invalid> {
    let not_approved = || reverted("SessionNotApproved");
    let epoch = SessionEpoch::new(after, until).map_err(|_| not_approved())?;
    let leaf = SessionLeaf { epoch, validation_module, session_key_data }.hash();
    if root == B256::ZERO || !merkle::verify(root, leaf, proof) {
        return Err(not_approved());
    }
    Ok(epoch)
}

/// Asks the session validation module for the key that has to have signed.
pub(crate) fn evaluate_by(
    rules: &Rules,
    module: Address,
    data: &[u8],
    call_data: &[u8],
) -> Result<Address, Invalid> {
    let reason = |reason: Option<&str>| reason.map_or_else(|| NO_REASON.into(), reverted);
    if module == rules.deployment.abi_session_validation_module {
        evaluate(data, call_data).map_err(|refusal| reason(refusal.revert_reason()))
    } else if module == rules.deployment.erc20_session_validation_module {
        evaluate_erc20(data, call_data).map_err(|refusal| reason(refusal.revert_reason()))
    } else {
        Err(NO_REASON.into())
    }
}
