//! Trees and proofs, and the signature that carries a proof, against the session key manager.

use std::cell::RefCell;

use alloy_primitives::{Address, B256, U256};
use alloy_signer::SignerSync;
use proptest::prelude::*;
use proptest::sample::Index;
use quorate_contracts::SessionKeyManager::setMerkleRootCall;
use quorate_core::{
    Call, Encode, Execute, ModuleSignature, Policy, SessionEpoch, SessionKeyData, SessionLeaf,
    SessionSignature, merkle, signing_hash,
};

use crate::abi::{UserOperation, ValidationModule::validateUserOpCall};
use crate::machine::{Machine, Refused};
use crate::{contracts, for_all, session_signer};

const MANAGER: Address = Address::repeat_byte(0x7a);
const MODULE: Address = Address::repeat_byte(0x7b);
const ACCOUNT: Address = Address::repeat_byte(0x7c);
const NFT: Address = Address::repeat_byte(0x7d);
const USER_OP_HASH: B256 = B256::repeat_byte(0x7e);
const SELECTOR: [u8; 4] = [0x40, 0xd0, 0x97, 0xc3];

#[test]
fn every_session_of_a_tree_is_approved() {
    let mut chain = Chain::new();
    for size in (1..=33).chain([63, 64, 65, 100, 257]) {
        let sessions = sessions(size);
        let leaves = leaves(&sessions);
        chain.set_root(merkle::root(&leaves).unwrap());
        for (session, leaf) in sessions.iter().zip(&leaves) {
            let proof = merkle::Proof::of(&leaves, *leaf).unwrap();
            let validation_data = chain.validate(session, proof.siblings()).unwrap();
            // A failed signature would be the lowest bit.
            let expected = U256::from(session.epoch.valid_until()) << 160
                | U256::from(session.epoch.valid_after()) << 208;
            assert_eq!(validation_data, expected, "{size} sessions, {session:?}");
        }
    }
}

#[test]
fn what_the_core_does_not_verify_is_not_approved() {
    let chain = RefCell::new(Chain::new());
    let (approved, refused) = (RefCell::new(0), RefCell::new(0));
    let sizes = prop_oneof![1..34_usize, 34..400_usize];
    for_all(4_000, &(sizes, any::<Index>(), alteration()), |(size, which, alteration)| {
        let sessions = sessions(size);
        let leaves = leaves(&sessions);
        let which = which.index(size);
        let proof = merkle::Proof::of(&leaves, leaves[which]).unwrap();
        let mut session = sessions[which].clone();
        let mut siblings = proof.siblings().to_vec();
        alteration.apply(&mut session, &mut siblings);

        let mut chain = chain.borrow_mut();
        chain.set_root(proof.root());
        let answer = chain.validate(&session, &siblings);
        if merkle::verify(proof.root(), session.leaf(), &siblings) {
            prop_assert!(answer.is_ok(), "{answer:?}");
            *approved.borrow_mut() += 1;
        } else {
            prop_assert_eq!(answer, Err(Refused::Because("SessionNotApproved".to_owned())));
            *refused.borrow_mut() += 1;
        }
        Ok(())
    });
    let (approved, refused) = (approved.into_inner(), refused.into_inner());
    assert!(approved >= 300 && refused >= 3_000, "{approved} approved, {refused} refused");
}

#[test]
fn a_replaced_root_ends_the_session() {
    let mut chain = Chain::new();
    let session = &sessions(1)[0];
    chain.set_root(session.leaf());
    assert!(chain.validate(session, &[]).is_ok());
    chain.set_root(B256::ZERO);
    assert_eq!(chain.validate(session, &[]), Err(Refused::Because("SessionNotApproved".to_owned())));
}

/// The contracts, and an account that is only an address.
struct Chain {
    machine: Machine,
    signature: [u8; 65],
}

impl Chain {
    fn new() -> Self {
        let contracts = contracts();
        let mut machine = Machine::new();
        machine.place(MANAGER, &contracts.session_key_manager, &[]);
        machine.place(MODULE, &contracts.abi_module, &[]);
        let signature = session_signer().sign_hash_sync(&signing_hash(USER_OP_HASH)).unwrap();
        Self { machine, signature: signature.as_bytes() }
    }

    fn set_root(&mut self, root: B256) {
        self.machine.transact(ACCOUNT, MANAGER, &setMerkleRootCall { _merkleRoot: root });
    }

    fn validate(&mut self, session: &Session, proof: &[B256]) -> Result<U256, Refused> {
        let module_signature = SessionSignature {
            epoch: session.epoch,
            validation_module: session.module,
            session_key_data: &session.data,
            proof,
            signature: &self.signature,
        };
        let operation = UserOperation {
            sender: ACCOUNT,
            callData: Execute(Call { to: NFT, value: U256::ZERO, data: &SELECTOR }).to_vec().into(),
            signature: ModuleSignature { module_signature, module: MANAGER }.to_vec().into(),
            ..UserOperation::default()
        };
        self.machine.ask(MANAGER, &validateUserOpCall { userOp: operation, userOpHash: USER_OP_HASH })
    }
}

#[derive(Debug, Clone)]
struct Session {
    epoch: SessionEpoch,
    module: Address,
    data: Vec<u8>,
}

impl Session {
    fn leaf(&self) -> B256 {
        SessionLeaf { epoch: self.epoch, validation_module: self.module, session_key_data: &self.data }.hash()
    }
}

/// Sessions of one key that differ in when and up to which value they allow the call.
fn sessions(count: usize) -> Vec<Session> {
    let key = session_signer().address();
    (0_u64..)
        .take(count)
        .map(|number| {
            let policy = Policy::new(NFT, SELECTOR.into()).with_value_limit(number.into());
            let epoch = SessionEpoch::new(number, SessionEpoch::MAX_TIME - number).unwrap();
            Session { epoch, module: MODULE, data: SessionKeyData::new(key, &policy).to_vec() }
        })
        .collect()
}

fn leaves(sessions: &[Session]) -> Vec<B256> {
    sessions.iter().map(Session::leaf).collect()
}

/// What is done to a session or to its proof.
#[derive(Debug, Clone)]
enum Alteration {
    None,
    ValidUntil(u32),
    ValidAfter(u32),
    Module(Index),
    Data(Index),
    Sibling(Index, Index),
    Drop(Index),
    Swap(Index),
    Append([u8; 32]),
}

impl Alteration {
    fn apply(&self, session: &mut Session, siblings: &mut Vec<B256>) {
        let (valid_after, valid_until) = (session.epoch.valid_after(), session.epoch.valid_until());
        match self {
            Self::ValidUntil(bit) => {
                session.epoch = SessionEpoch::new(valid_after, valid_until ^ (1 << bit)).unwrap();
            }
            Self::ValidAfter(bit) => {
                session.epoch = SessionEpoch::new(valid_after ^ (1 << bit), valid_until).unwrap();
            }
            Self::Module(at) => session.module.0[at.index(20)] ^= 1,
            Self::Data(at) => *at.get_mut(&mut session.data) ^= 1,
            Self::Sibling(which, at) if !siblings.is_empty() => which.get_mut(siblings)[at.index(32)] ^= 1,
            Self::Drop(which) if !siblings.is_empty() => {
                siblings.remove(which.index(siblings.len()));
            }
            Self::Swap(which) if siblings.len() > 1 => {
                let which = which.index(siblings.len() - 1);
                siblings.swap(which, which + 1);
            }
            Self::Append(sibling) => siblings.push(sibling.into()),
            Self::None | Self::Sibling(..) | Self::Drop(_) | Self::Swap(_) => {}
        }
    }
}

fn alteration() -> impl Strategy<Value = Alteration> {
    let index = any::<Index>;
    prop_oneof![
        Just(Alteration::None),
        (0..48_u32).prop_map(Alteration::ValidUntil),
        (0..48_u32).prop_map(Alteration::ValidAfter),
        index().prop_map(Alteration::Module),
        index().prop_map(Alteration::Data),
        (index(), index()).prop_map(|(which, at)| Alteration::Sibling(which, at)),
        index().prop_map(Alteration::Drop),
        index().prop_map(Alteration::Swap),
        any::<[u8; 32]>().prop_map(Alteration::Append),
    ]
}
