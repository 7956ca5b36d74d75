use quorate_ledger::{Page, PageRequest, Row};
use quorate_protocol::{
    AdmissionToken, Answer, Authentication, NetworkDescriptor, Operation, OperationMessage, Owner,
    Permissions, Revocation, Setup, SignedRequest, Statement,
};

const CHALLENGE: &str = "9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f";

const OPERATIONS: [Operation; 5] =
    [Operation::Keygen, Operation::Sign, Operation::AddEphemeralKey, Operation::Revoke, Operation::List];

/// A setup of any operation, with what its owner would sign and the admission token in it; or such a token alone. No text is a
/// setup of two operations.
pub fn setup(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let setups: Vec<_> =
        OPERATIONS.into_iter().filter_map(|operation| Setup::parse(operation, text).ok()).collect();
    assert!(setups.len() <= 1, "a setup is of one operation");
    for setup in &setups {
        let digest = |challenge| setup.typed_data(challenge).map(|data| data.digest());
        assert_eq!(digest(CHALLENGE), digest(CHALLENGE));
        let is_challenged = matches!(setup, Setup::Keygen(_) | Setup::AddEphemeralKey(_));
        assert_eq!(is_challenged, digest(CHALLENGE) != digest(""), "the challenge is signed");
        if let Setup::Keygen(setup) = setup
            && let Some(token) = &setup.admission_token
        {
            is_read_again(token);
        }
    }
    let token = AdmissionToken::from_json(text).ok();
    if let Some(token) = &token {
        is_read_again(token);
        assert!(setups.is_empty(), "a token alone asks for nothing");
    }
    token.is_some() || !setups.is_empty()
}

/// A token is written and read again as the same one, and admits nobody where there is no issuer.
fn is_read_again(token: &AdmissionToken) {
    assert_eq!(AdmissionToken::from_json(&token.to_json()).ok().as_ref(), Some(token));
    assert!(token.verify(Default::default(), Owner::Eoa(Default::default()), &[], 0).is_err());
}

/// An authentication verifies nothing that it was not made for.
pub fn authentication(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let request = SignedRequest {
        operation: Operation::Revoke,
        setup: r#"{"network":"0x0000000000000000000000000000000000000000000000000000000000000000","keyId":"ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12"}"#.to_owned(),
        nonces: Default::default(),
        authentication: text.to_owned(),
    };
    let _ = Statement::read(&request, Default::default());
    let Ok(authentication) = Authentication::parse(text) else { return false };
    assert!(authentication.verify_ephemeral("{}", CHALLENGE).is_err(), "it signed something else");
    true
}

/// An operation's message that is read is written and read again as the same one.
pub fn operation_message(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(message) = OperationMessage::from_json(text) else { return false };
    assert_eq!(OperationMessage::from_json(&message.to_json()).ok(), Some(message));
    true
}

/// So are permissions.
pub fn permissions(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(permissions) = Permissions::from_json(text) else { return false };
    assert_eq!(Permissions::from_json(&permissions.to_json()).ok(), Some(permissions));
    true
}

/// So are the network's answers, its descriptor and a stored revocation.
pub fn answer(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let answer = Answer::from_json(text).ok();
    if let Some(answer) = &answer {
        assert_eq!(Answer::from_json(&answer.to_json()).ok().as_ref(), Some(answer));
        if let Answer::Refused(refusal) = answer {
            assert!(refusal.close_reason().len() <= 123, "a close has no room for more");
        }
    }
    let descriptor = NetworkDescriptor::from_json(text).ok();
    if let Some(descriptor) = &descriptor {
        let again = NetworkDescriptor::from_json(&descriptor.to_json());
        assert_eq!(again.ok().map(|again| again.id()), Some(descriptor.id()));
    }
    let revocation = Revocation::from_json(text).ok();
    if let Some(revocation) = &revocation {
        assert_eq!(Revocation::from_json(&revocation.to_json()).ok().as_ref(), Some(revocation));
    }
    answer.is_some() || descriptor.is_some() || revocation.is_some()
}

/// What nodes tell each other of a ledger, and what they store.
pub fn ledger(bytes: &[u8]) -> bool {
    let page = Page::decode(bytes).ok();
    if let Some(page) = &page {
        assert!(page.entries().is_sorted_by(|earlier, later| earlier.place < later.place));
        assert_eq!(Page::decode(&page.encode()).as_ref(), Ok(page));
    }
    let request = PageRequest::decode(bytes).ok();
    if let Some(request) = &request {
        assert_eq!(PageRequest::decode(&request.encode()).as_ref(), Ok(request));
    }
    let row = Row::decode(bytes).ok();
    if let Some(row) = &row {
        assert_eq!(Row::decode(&row.encode()).as_ref(), Ok(row));
    }
    page.is_some() || request.is_some() || row.is_some()
}
