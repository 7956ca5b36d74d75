//! A session that nobody here can read is kept only against the last root that this device signed itself.

use quorate_core::{B256, merkle};
use quorate_device::host::{GrantedSession, OperationRequest};
use quorate_device::{Decision, LastRoot, Memory, NotRecorded, RootOwner};

use crate::rig::{
    Answer, Button, MANAGER, OLD_MANAGER, Rig, grant_of, key, operation, session, session_for, set_root,
};
use quorate_core::Address;

fn leaves() -> [B256; 2] {
    [session().hash(), other().hash()]
}

fn other() -> quorate_core::Leaf {
    session_for(Address::repeat_byte(0xa1), Address::repeat_byte(0xa2))
}

/// The grant of two sessions, which can be shown.
fn both() -> OperationRequest {
    let root = merkle::Proof::of(&leaves(), leaves()[0]).unwrap().root();
    let mut request = operation(&[(MANAGER, &set_root(root))]);
    request.sessions = vec![session().into(), other().into()];
    request
}

/// The same root again, with one of the sessions kept by its leaf, as if its module were unknown here.
fn kept(manager: Address) -> OperationRequest {
    let mut request = both();
    let proof = merkle::Proof::of(&leaves(), leaves()[1]).unwrap();
    request.sessions[1] =
        GrantedSession::Kept { leaf: leaves()[1], manager, proof: proof.siblings().to_vec() };
    request
}

fn rig<M: Memory>(memory: M) -> Rig<quorate_device::SoftwareKey, M> {
    Rig::with(key(), memory, Button::that(Decision::Approve))
}

const NO_RECORD: &str = "a session is to be kept, but this device has no record of granting it";

fn refusal(answer: &Answer) -> &str {
    match answer {
        Answer::Refused(reason) => reason,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn a_session_is_kept_as_this_device_signed_it() {
    let mut rig = rig(LastRoot::default());
    assert_eq!(refusal(&rig.sign(&kept(MANAGER))), NO_RECORD, "nothing was signed yet");
    assert_eq!(rig.screen.text(), format!("REFUSED: {NO_RECORD}"));

    assert!(matches!(rig.sign(&both()), Answer::Signature(_)));
    assert_eq!(rig.screen.dangers(), 0);
    assert!(matches!(rig.sign(&kept(MANAGER)), Answer::Signature(_)), "{:?}", rig.screen.lines());
    assert_eq!(rig.screen.dangers(), 1);
    let leaf = leaves()[1];
    let line = format!("DANGER: unknown session, kept as signed on this device {leaf}");
    assert!(rig.screen.lines().iter().any(|shown| shown.contains(&line)), "{:?}", rig.screen.lines());
}

#[test]
fn a_root_of_something_else_proves_nothing() {
    let mut rig = rig(LastRoot::default());
    rig.sign(&both());
    assert_eq!(refusal(&rig.sign(&kept(OLD_MANAGER))), NO_RECORD);
    let mut other_chain = kept(MANAGER);
    other_chain.domain.chain_id += 1;
    assert_eq!(refusal(&rig.sign(&other_chain)), NO_RECORD);

    let mut long = kept(MANAGER);
    if let GrantedSession::Kept { proof, .. } = &mut long.sessions[1] {
        proof.resize(33, B256::ZERO);
    }
    assert!(matches!(rig.sign(&long), Answer::Refused(_)));
    let mut wrong = kept(MANAGER);
    if let GrantedSession::Kept { leaf, .. } = &mut wrong.sessions[1] {
        leaf.0[0] ^= 1;
    }
    assert!(refusal(&rig.sign(&wrong)).contains("was not granted by what was last signed here"));
}

#[test]
fn what_was_rejected_or_ended_or_replaced_is_not_kept() {
    let memory = Memorized::default();
    let mut rejecting = Rig::with(key(), memory.clone(), Button::that(Decision::Reject));
    rejecting.sign(&both());
    assert_eq!(refusal(&rejecting.sign(&kept(MANAGER))), NO_RECORD);

    let mut rig = rig(memory);
    rig.sign(&both());
    rig.sign(&grant_of(vec![]));
    assert_eq!(refusal(&rig.sign(&kept(MANAGER))), NO_RECORD, "all sessions were ended");
    rig.sign(&both());
    rig.sign(&grant_of(vec![session()]));
    assert!(refusal(&rig.sign(&kept(MANAGER))).contains("last signed here"), "another root was signed");
    // What sets no root changes no record.
    rig.sign(&both());
    rig.sign(&operation(&[(Address::repeat_byte(1), &[])]));
    assert!(matches!(rig.sign(&kept(MANAGER)), Answer::Signature(_)));
}

#[test]
fn without_a_memory_unknown_sessions_are_refused() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    rig.sign(&both());
    assert_eq!(refusal(&rig.sign(&kept(MANAGER))), NO_RECORD);
}

#[test]
fn a_root_that_cannot_be_recorded_is_not_signed() {
    let mut rig = rig(Full);
    let reason = "the device could not keep the root it signed";
    assert_eq!(refusal(&rig.sign(&both())), reason);
    assert_eq!(rig.screen.text(), format!("REFUSED: {reason}"));
    assert!(matches!(rig.sign(&operation(&[(Address::repeat_byte(1), &[])])), Answer::Signature(_)));
}

/// One memory of two devices, as one device's over a restart.
#[derive(Clone, Debug, Default)]
struct Memorized(std::rc::Rc<std::cell::RefCell<LastRoot>>);

impl Memory for Memorized {
    fn last_root(&self, owner: &RootOwner) -> Option<B256> {
        self.0.borrow().last_root(owner)
    }

    fn record(&mut self, owner: &RootOwner, root: B256) -> Result<(), NotRecorded> {
        self.0.borrow_mut().record(owner, root)
    }
}

struct Full;

impl Memory for Full {
    fn last_root(&self, _: &RootOwner) -> Option<B256> {
        None
    }

    fn record(&mut self, _: &RootOwner, _: B256) -> Result<(), NotRecorded> {
        Err(NotRecorded)
    }
}
