//! What deceives somebody who looks at the screen is refused there, or stands there as a danger.

use quorate_core::{
    Address, B256, EntryPointVersion, Leaf, Paymaster, SessionEpoch, UnpackedUserOperation, UserOperation,
};
use quorate_device::Decision;
use quorate_device::host::{Operation, OperationRequest};

use crate::rig::{
    ACCOUNT, Answer, Button, FRIEND, MANAGER, OLD_MANAGER, OWNERSHIP, Rig, domain, grant, grant_of, hash,
    operation, session, session_for, set_root,
};

/// Attacks by their name, with what the refusal on the screen says.
pub(crate) fn refused() -> Vec<(&'static str, OperationRequest, &'static str)> {
    let root = session().hash();
    let with_sessions = |mut request: OperationRequest| {
        request.sessions = vec![session().into()];
        request
    };
    let long = [set_root(B256::repeat_byte(0xe1)), vec![0]].concat();
    let mut altered = session();
    *altered.session_key_data.last_mut().unwrap() ^= 1;
    let altered = OperationRequest { sessions: vec![altered.into()], ..grant() };
    let later = Leaf { epoch: SessionEpoch::new(0, 1_900_000_001).unwrap(), ..session() };
    vec![
        (
            "a second root with a byte more",
            with_sessions(operation(&[(MANAGER, &set_root(root)), (MANAGER, &long)])),
            "is none that is known here",
        ),
        (
            "a root with a byte more, without sessions",
            operation(&[(MANAGER, &long)]),
            "is none that is known here",
        ),
        (
            "two roots",
            with_sessions(operation(&[(MANAGER, &set_root(root)), (MANAGER, &set_root(root))])),
            "sets 2 session roots",
        ),
        (
            "another root at the old manager",
            with_sessions(operation(&[
                (MANAGER, &set_root(root)),
                (OLD_MANAGER, &set_root(B256::repeat_byte(0xe1))),
            ])),
            "other sessions would be granted",
        ),
        ("a root whose sessions are not given", operation(&[(MANAGER, &set_root(root))]), "were not given"),
        ("an altered session", altered, "other sessions would be granted"),
        (
            "an altered session's end",
            OperationRequest { sessions: vec![later.into()], ..grant() },
            "other sessions would be granted",
        ),
        ("a zero paymaster at v0.8", zero_paymaster(), "paymaster"),
        ("a short init code", short_init_code(), "init"),
        ("call data with a byte more", padded(), "is not calls of the account"),
    ]
}

/// Attacks by their name, with what the danger on the screen says.
pub(crate) fn dangerous() -> Vec<(&'static str, OperationRequest, &'static str)> {
    let transfer = [&[0xf2, 0xfd, 0xe3, 0x8b], Address::repeat_byte(0xe1).into_word().as_slice()].concat();
    vec![
        (
            "the account is given away",
            operation(&[(OWNERSHIP, &transfer)]),
            "DANGER: MAKES THE OWNER OF THE ACCOUNT",
        ),
        (
            "a session over the account",
            grant_of(vec![session_for(ACCOUNT, FRIEND)]),
            "DANGER: may change who controls the account",
        ),
        (
            "a session over the session key manager",
            grant_of(vec![session_for(MANAGER, FRIEND)]),
            "DANGER: may change who controls the account",
        ),
    ]
}

fn zero_paymaster() -> OperationRequest {
    let operation = UnpackedUserOperation {
        sender: ACCOUNT,
        paymaster: Some(Paymaster::default()),
        call_data: operation(&[(FRIEND, &[])]).operation.call_data().to_vec(),
        ..UnpackedUserOperation::default()
    };
    OperationRequest {
        domain: domain(EntryPointVersion::V0_8),
        operation: Operation::V0_8(operation),
        sessions: vec![],
    }
}

fn short_init_code() -> OperationRequest {
    alter(|operation| operation.init_code = vec![1; 19])
}

fn padded() -> OperationRequest {
    alter(|operation| operation.call_data.push(0))
}

fn alter(alter: impl FnOnce(&mut UserOperation<Vec<u8>>)) -> OperationRequest {
    let mut request = grant();
    if let Operation::V0_6(operation) = &mut request.operation {
        alter(operation);
    }
    request
}

#[test]
fn each_attack_is_refused_on_the_screen_and_nothing_is_asked() {
    for (name, request, reason) in refused() {
        let mut rig = Rig::new(Button::that(Decision::Approve));
        let Answer::Refused(told) = rig.sign(&request) else { panic!("{name} is signed") };
        let screen = rig.screen.text();
        assert!(screen.starts_with("REFUSED: ") && screen.contains(reason), "{name}: {screen}");
        assert!(screen.contains(&told), "{name}: {told}");
        assert_eq!(screen.lines().count(), 1, "{name}: what was shown before is still there: {screen}");
        assert!(rig.button.asked().is_empty(), "{name}");
        // After all that it signs what is right.
        assert!(matches!(rig.sign(&grant()), Answer::Signature(_)), "{name}");
    }
}

#[test]
fn what_gives_control_away_stands_on_the_screen_as_a_danger() {
    for (name, request, danger) in dangerous() {
        let mut rig = Rig::new(Button::default());
        assert_eq!(rig.sign(&request), Answer::Waiting(hash(&request)), "{name}");
        assert!(rig.screen.text().contains(danger), "{name}: {}", rig.screen.text());
        assert!(rig.screen.dangers() > 0, "{name}");
    }
    let mut rig = Rig::new(Button::default());
    rig.sign(&grant());
    assert_eq!(rig.screen.dangers(), 0, "{}", rig.screen.text());
}

#[test]
fn the_end_of_all_sessions_is_signed() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    assert!(matches!(rig.sign(&grant_of(vec![])), Answer::Signature(_)), "{:?}", rig.screen.lines());
    assert!(rig.screen.lines().iter().any(|line| line.contains("ends all sessions")));
}

#[test]
fn nothing_is_signed_that_the_display_did_not_show() {
    let mut whole = Rig::new(Button::default());
    whole.sign(&grant());
    let items = whole.screen.lines().iter().filter(|line| !line.is_empty()).count();
    for shown in 0..items {
        let mut rig = Rig::new(Button::that(Decision::Approve));
        rig.screen.break_after(shown);
        let Answer::Refused(reason) = rig.sign(&grant()) else { panic!("signed after {shown} items") };
        assert!(reason.contains("the display did not show an item"), "{reason}");
        assert!(rig.button.asked().is_empty());
    }
    let mut rig = Rig::new(Button::that(Decision::Approve));
    rig.screen.break_after(items);
    assert!(matches!(rig.sign(&grant()), Answer::Signature(_)));
}

#[test]
fn the_button_is_asked_about_the_hash_that_was_shown_last() {
    let mut rig = Rig::new(Button::that(Decision::Reject));
    assert_eq!(rig.sign(&grant()), Answer::Refused("rejected on the device".to_owned()));
    assert_eq!(rig.button.asked(), [hash(&grant())]);
    let lines = rig.screen.lines();
    assert!(lines.contains(&format!("Hash of all this {}", hash(&grant()))), "{lines:?}");
    assert_eq!(rig.screen.text(), "", "a rejected operation is still on the screen");
}
