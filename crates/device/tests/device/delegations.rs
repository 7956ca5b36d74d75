//! A delegation is shown caveat by caveat, and its digest signed without a prefix.

use alloy_dyn_abi::TypedData;
use alloy_primitives::Signature;
use alloy_signer::Signer as _;
use quorate_core::delegation::{
    Caveat, Caveats, Delegation, Delegations, Enforcer, MANAGER_V1_3_0, MAX_CAVEATS, MAX_TERMS,
    ROOT_AUTHORITY,
};
use quorate_core::{Address, DelegationDomain, Encode as _, U256};
use quorate_device::host::{DelegationRequest, DeviceError, DeviceSigner, SigningRequest};
use quorate_device::{Decision, MAX_DELEGATION, ToDevice};
use serde_json::{Value, json};

use crate::key_requests;
use crate::rig::{Answer, Button, FRIEND, NFT, Rig, begin, grant};

const OWNER: Address = Address::repeat_byte(0x0e);
const DOMAIN: DelegationDomain = DelegationDomain { chain_id: 8453, manager: MANAGER_V1_3_0 };
const MINT: [u8; 4] = [0x40, 0xd0, 0x97, 0xc3];

fn delegation<'a>(caveats: &'a [Caveat<'a>]) -> Delegation<'a> {
    Delegation {
        delegate: FRIEND,
        delegator: OWNER,
        authority: ROOT_AUTHORITY,
        caveats: Caveats::from(caveats),
        salt: U256::from(9),
        signature: &[],
    }
}

/// A delegation that may mint, as its owner's program asks for it.
fn mint() -> DelegationRequest {
    let at = |enforcer: Enforcer, terms| Caveat { enforcer: enforcer.address_v1_3_0(), terms };
    let caveats = [at(Enforcer::AllowedTargets, NFT.as_slice()), at(Enforcer::AllowedMethods, &MINT)];
    DelegationRequest::new(DOMAIN, &delegation(&caveats))
}

/// A delegation whose encoding has so many bytes, which are more than three times 1 KiB and whole words.
fn of_bytes(len: usize) -> DelegationRequest {
    let terms = [vec![1; MAX_TERMS], vec![2; len - MAX_TERMS - 736]];
    let caveats = terms.each_ref().map(|terms| Caveat { enforcer: FRIEND, terms });
    let request = DelegationRequest::new(DOMAIN, &delegation(&caveats));
    assert_eq!(request.encoded.len(), len);
    request
}

fn start(domain: DelegationDomain) -> ToDevice<'static> {
    ToDevice::Delegation { chain_id: domain.chain_id, manager: domain.manager.into_array() }
}

fn sign(rig: &mut Rig, domain: DelegationDomain, encoded: &[u8]) -> Answer {
    let pieces = encoded.chunks(100).map(ToDevice::Permissions);
    rig.send_all([start(domain)].into_iter().chain(pieces).chain([ToDevice::End]))
}

#[test]
fn a_delegation_is_shown_and_its_digest_signed_without_a_prefix() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    let wanted = mint();
    let digest = wanted.digest().unwrap();
    let Answer::Signature(bytes) = sign(&mut rig, DOMAIN, &wanted.encoded) else {
        panic!("{:?}", rig.screen.lines())
    };
    let signature = Signature::from_raw(&bytes).unwrap();
    assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), rig.device.address());
    assert_eq!(rig.button.asked(), [digest]);
    let lines = rig.screen.lines();
    for line in [
        format!("Delegation of the account {OWNER}"),
        format!("  lets act for it {FRIEND}"),
        format!("  may call {NFT}"),
        "  function safeMint(address to) (0x40d097c3)".to_owned(),
        format!("Hash of all this {digest}"),
    ] {
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
}

#[test]
fn what_is_not_approved_or_given_up_is_not_signed() {
    let mut rig = Rig::new(Button::that(Decision::Reject));
    let rejected = Answer::Refused("rejected on the device".to_owned());
    assert_eq!(sign(&mut rig, DOMAIN, &mint().encoded), rejected);
    assert_eq!(rig.screen.text(), "");

    let mut rig = Rig::new(Button::default());
    assert!(matches!(sign(&mut rig, DOMAIN, &mint().encoded), Answer::Waiting(_)));
    assert!(matches!(rig.send_all([ToDevice::Cancel]), Answer::Refused(_)));
    rig.button.press(Decision::Approve);
    assert!(rig.send_bytes(&[]).is_empty());
    assert_eq!(rig.screen.text(), "");
}

/// Each byte of the encoding, and of what it is signed for: refused, or another digest is asked about.
#[test]
fn nothing_altered_is_signed_under_the_same_digest() {
    let wanted = mint();
    let mut refused = 0;
    for at in 0..wanted.encoded.len() {
        let mut rig = Rig::new(Button::default());
        let mut altered = wanted.encoded.clone();
        altered[at] ^= 1;
        match sign(&mut rig, DOMAIN, &altered) {
            Answer::Refused(_) => {
                assert!(rig.screen.text().starts_with("REFUSED: "), "{}", rig.screen.text());
                assert!(rig.button.asked().is_empty());
                refused += 1;
            }
            answer => {
                let Answer::Waiting(digest) = answer else { panic!("byte {at}: {answer:?}") };
                assert_ne!(digest, wanted.digest().unwrap(), "byte {at}");
            }
        }
    }
    // Delegate, delegator, authority, salt, two enforcers and their terms are signed, all else is the encoding's.
    assert_eq!(refused, wanted.encoded.len() - (20 + 20 + 32 + 32 + 2 * 20 + 20 + 4));
    for domain in [DelegationDomain { chain_id: 1, ..DOMAIN }, DelegationDomain { manager: FRIEND, ..DOMAIN }]
    {
        let mut rig = Rig::new(Button::default());
        let Answer::Waiting(digest) = sign(&mut rig, domain, &wanted.encoded) else { panic!("{domain:?}") };
        assert_ne!(digest, wanted.digest().unwrap());
        assert_eq!(rig.screen.text().contains("not known here"), domain.manager == FRIEND);
    }
}

#[test]
fn what_is_not_one_delegation_or_cannot_be_shown_is_refused() {
    let one = delegation(&[]);
    let encoded = |delegations: &[Delegation<'_>]| Delegations(delegations).to_vec();
    let unreadable = Caveat { enforcer: Enforcer::LimitedCalls.address_v1_3_0(), terms: &[1] };
    let cases = [
        (vec![], "malformed"),
        (encoded(&[]), "zero delegations"),
        (encoded(&[one, one]), "more than one delegation"),
        ([encoded(&[one]), vec![0; 32]].concat(), "malformed"),
        (encoded(&[delegation(&[unreadable])]), "nothing could ever be redeemed"),
        (of_bytes(MAX_DELEGATION + 32).encoded, "longer than what this device can show, 4096 bytes"),
    ];
    for (bytes, reason) in cases {
        let mut rig = Rig::new(Button::that(Decision::Approve));
        let Answer::Refused(told) = sign(&mut rig, DOMAIN, &bytes) else { panic!("{reason}: signed") };
        assert!(told.contains(reason), "{told}");
        assert_eq!(rig.screen.text(), format!("REFUSED: {told}"));
        assert!(rig.button.asked().is_empty());
        // Nothing of it is left for the next one.
        assert!(matches!(sign(&mut rig, DOMAIN, &encoded(&[one])), Answer::Signature(_)));
    }
    let mut rig = Rig::new(Button::that(Decision::Approve));
    assert!(matches!(sign(&mut rig, DOMAIN, &of_bytes(MAX_DELEGATION).encoded), Answer::Signature(_)));
}

#[test]
fn frames_of_other_requests_are_refused() {
    let wanted = mint();
    let refused = |answers: Vec<(u32, Answer)>, number, reason: &str| {
        let [(of, Answer::Refused(told))] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((*of, told.as_str()), (number, reason));
    };
    let (other, unexpected) =
        ("the frame is not one of the request before it", "the frame is not expected here");
    let mut rig = Rig::new(Button::that(Decision::Approve));
    rig.send(1, start(DOMAIN));
    refused(rig.send(2, ToDevice::Permissions(&wanted.encoded)), 2, other);
    rig.send(1, start(DOMAIN));
    rig.send(1, ToDevice::Permissions(&wanted.encoded));
    refused(rig.send(2, ToDevice::End), 2, other);
    refused(rig.send(1, ToDevice::End), 1, unexpected);
    for message in [ToDevice::CallData(&wanted.encoded), ToDevice::session(&crate::rig::session().borrow())] {
        rig.send(1, start(DOMAIN));
        refused(rig.send(1, message), 1, unexpected);
    }
    assert!(rig.button.asked().is_empty());
}

#[test]
fn delegations_and_the_other_requests_follow_each_other() {
    let mut rig = Rig::new(Button::that(Decision::Approve));
    let key = key_requests::request("");
    for _ in 0..2 {
        assert!(matches!(key_requests::sign(&mut rig, &key), Answer::Signature(_)));
        assert!(matches!(sign(&mut rig, DOMAIN, &mint().encoded), Answer::Signature(_)));
        // One that is not ended.
        rig.send_all([start(DOMAIN), ToDevice::Permissions(&mint().encoded)]);
        assert!(matches!(rig.sign(&grant()), Answer::Signature(_)));
        rig.send_all([begin(&grant())]);
        assert!(matches!(sign(&mut rig, DOMAIN, &mint().encoded), Answer::Signature(_)));
    }
}

/// The document that wallets are given.
fn document(message: &Value) -> TypedData {
    serde_json::from_value(json!({
        "types": {
            "EIP712Domain": [
                { "name": "name", "type": "string" },
                { "name": "version", "type": "string" },
                { "name": "chainId", "type": "uint256" },
                { "name": "verifyingContract", "type": "address" },
            ],
            "Caveat": [{ "name": "enforcer", "type": "address" }, { "name": "terms", "type": "bytes" }],
            "Delegation": [
                { "name": "delegate", "type": "address" },
                { "name": "delegator", "type": "address" },
                { "name": "authority", "type": "bytes32" },
                { "name": "caveats", "type": "Caveat[]" },
                { "name": "salt", "type": "uint256" },
            ],
        },
        "domain": {
            "name": "DelegationManager",
            "version": "1",
            "chainId": DOMAIN.chain_id,
            "verifyingContract": DOMAIN.manager.to_string(),
        },
        "primaryType": "Delegation",
        "message": message,
    }))
    .unwrap()
}

fn message() -> Value {
    let enforcer = |enforcer: Enforcer| enforcer.address_v1_3_0().to_string();
    json!({
        "delegate": FRIEND.to_string(),
        "delegator": OWNER.to_string(),
        "authority": ROOT_AUTHORITY.to_string(),
        "caveats": [
            { "enforcer": enforcer(Enforcer::AllowedTargets), "terms": NFT.to_string() },
            { "enforcer": enforcer(Enforcer::AllowedMethods), "terms": "0x40d097c3" },
        ],
        "salt": "0x9",
    })
}

#[tokio::test]
async fn a_delegation_is_signed_as_typed_data() {
    let (stream, screen, _) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let digest = mint().digest().unwrap();
    let signature = device.sign_dynamic_typed_data(&document(&message())).await.unwrap();
    assert_eq!(signature.recover_address_from_prehash(&digest).unwrap(), device.address());
    assert!(screen.lines().contains(&format!("  may call {NFT}")), "{:?}", screen.lines());

    // The same by its digest alone, where the delegation is known.
    let signer = device.signer(SigningRequest::Delegation(mint()));
    assert_eq!(signer.chain_id(), Some(8453));
    assert_eq!(signer.sign_hash(&digest).await.unwrap(), signature);
    assert!(signer.sign_hash(&mint().domain.manager.into_word()).await.is_err());
    assert!(signer.sign_message(digest.as_slice()).await.is_err());
}

#[tokio::test]
async fn no_document_is_signed_but_one_of_the_delegation_s_own_digest() {
    let (stream, _, button) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let with = |change: fn(&mut TypedData)| {
        let mut document = document(&message());
        change(&mut document);
        document
    };
    let documents = [
        with(|document| document.domain.version = Some("2".into())),
        with(|document| document.domain.salt = Some(ROOT_AUTHORITY)),
        with(|document| document.domain.verifying_contract = None),
        with(|document| document.domain.chain_id = Some(U256::MAX)),
        with(|document| document.domain.name = Some("DelegationManagers".into())),
        with(|document| document.message["caveats"] = json!("0x")),
        with(|document| document.message["salt"] = Value::Null),
    ];
    for document in documents {
        let error = device.sign_dynamic_typed_data(&document).await.unwrap_err().to_string();
        assert!(error.contains("signs no typed data but"), "{error}");
    }
    let many = Caveat { enforcer: FRIEND, terms: &[] };
    let mut long = message();
    long["caveats"] = vec![json!({ "enforcer": FRIEND.to_string(), "terms": "0x" }); MAX_CAVEATS + 1].into();
    assert!(device.sign_dynamic_typed_data(&document(&long)).await.is_err());
    let request = |encoded| SigningRequest::Delegation(DelegationRequest { domain: DOMAIN, encoded });
    let two = request(Delegations(&[delegation(&[]), delegation(&[])]).to_vec());
    assert!(matches!(device.sign(&two).await, Err(DeviceError::NotOneDelegation { found: 2 })));
    let over = request(Delegations(&[delegation(&[many; MAX_CAVEATS + 1])]).to_vec());
    assert!(matches!(device.sign(&over).await, Err(DeviceError::Delegation(_))));
    assert!(button.asked().is_empty());
}
