//! The frames of real clients, as `tests/vectors/wallet-provider.json` records them.

#![allow(clippy::unwrap_used, reason = "a vector that cannot be read has failed")]

use alloy_primitives::{Address, B256, Signature, U256, hex};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use quorate_protocol::{
    AdmissionToken, Answer, Authentication, AuthenticationError, EphemeralClaim, EphemeralError, KeyText,
    Operation, OperationMessage, Owner, Permissions, PermissionsClaim, Setup, SetupError, SignatureRequest,
    SignatureText, Signed, TypedData, ephemeral_message,
};
use serde::Deserialize;
use serde_json::{Value, json};

const CHALLENGE: &str = "9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f07";
const KEY_ID: &str = "ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    meta: Meta,
    exchanges: Vec<Exchange>,
    bound_permissions: Bound,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    owner: Address,
    ephemeral_key: B256,
}

/// One operation of an unmodified client, frame by frame.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exchange {
    client: String,
    path: String,
    setup: String,
    challenge: String,
    typed_data: Option<Value>,
    digest: Option<B256>,
    authentication: String,
    answer: String,
    result: Value,
}

#[derive(Deserialize)]
struct Bound {
    setup: String,
    challenge: String,
    digest: B256,
    signature: String,
}

#[derive(Deserialize)]
struct Message {
    name: String,
    message: String,
    hash: B256,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/wallet-provider.json")).unwrap()
}

impl Exchange {
    fn operation(&self) -> Operation {
        match self.path.as_str() {
            "keygen" => Operation::Keygen,
            "signgen" => Operation::Sign,
            "addEphemeralKey" => Operation::AddEphemeralKey,
            other => panic!("no operation {other}"),
        }
    }

    fn setup(&self) -> Setup {
        Setup::parse(self.operation(), &self.setup).unwrap()
    }

    fn typed_data(&self) -> Option<TypedData> {
        self.setup().typed_data(&self.challenge)
    }

    fn authentication(&self) -> Authentication {
        Authentication::parse(&self.authentication).unwrap()
    }
}

fn exchanges(operation: Operation) -> Vec<Exchange> {
    let all = vectors().exchanges;
    let chosen: Vec<_> = all.into_iter().filter(|exchange| exchange.operation() == operation).collect();
    assert!(!chosen.is_empty());
    chosen
}

#[test]
fn both_clients_ask_for_keys() {
    let Vectors { meta, .. } = vectors();
    for exchange in exchanges(Operation::Keygen) {
        let Setup::Keygen(setup) = exchange.setup() else { panic!() };
        assert_eq!((setup.threshold, setup.parties), (3, 5));
        assert_eq!(setup.ephemeral.key.as_bytes(), &meta.ephemeral_key);
        let registered = (setup.ephemeral.id.as_deref(), setup.ephemeral.expiry);
        // A node that refuses unsigned permissions refuses these clients.
        assert_eq!(setup.claim, None);
        match exchange.client.as_str() {
            "0.1.0" => assert_eq!(registered, (None, None)),
            _ => assert_eq!(registered, (Some(r#"naïve "id" \ 1"#), Some(1_735_693_200))),
        }
        if let Some(permissions) = &setup.permissions {
            assert!(permissions.starts_with(r#"{"note":"any text – "#), "{permissions}");
        }
    }
}

#[test]
fn both_clients_ask_for_signatures() {
    for exchange in exchanges(Operation::Sign) {
        let Setup::Sign(setup) = exchange.setup() else { panic!() };
        let read = (setup.threshold, setup.key_id.as_str(), setup.message.as_str());
        assert_eq!(read, (3, KEY_ID, "a message – ✓"));
        // Our own client's frame, byte for byte.
        assert_eq!(setup.text(), exchange.setup);
    }
}

#[test]
fn a_setup_tells_whether_its_owner_signed_the_permissions() {
    let Setup::Keygen(setup) = Setup::parse(Operation::Keygen, &vectors().bound_permissions.setup).unwrap()
    else {
        panic!()
    };
    assert_eq!(
        setup.claim.map(|claim| claim.permissions),
        setup.permissions.as_deref().map(Permissions::hash_of)
    );
}

#[test]
fn a_client_adds_an_ephemeral_key() {
    let Vectors { meta, .. } = vectors();
    for exchange in exchanges(Operation::AddEphemeralKey) {
        let Setup::AddEphemeralKey(setup) = exchange.setup() else { panic!() };
        assert_eq!((setup.parties, setup.key_id.as_str()), (5, KEY_ID));
        assert_eq!(setup.ephemeral.key.as_bytes(), &meta.ephemeral_key);
        assert_eq!(setup.ephemeral.expiry, Some(1_735_693_200));
    }
}

#[test]
fn owners_sign_the_digest_that_viem_computes() {
    let mut signed = 0;
    for exchange in vectors().exchanges {
        let typed_data = exchange.typed_data();
        assert_eq!(typed_data.as_ref().map(TypedData::digest), exchange.digest, "{}", exchange.setup);
        signed += u32::from(typed_data.is_some());
    }
    assert_eq!(signed, 5);
    let bound = vectors().bound_permissions;
    let typed_data = Setup::parse(Operation::Keygen, &bound.setup).unwrap().typed_data(&bound.challenge);
    assert_eq!(typed_data.unwrap().digest(), bound.digest);
}

#[test]
fn wallets_are_shown_the_document_that_the_clients_show() {
    for exchange in vectors().exchanges {
        let Some(mut shown) = exchange.typed_data.clone() else { continue };
        // 0.3.0 leaves the key's id beside the metadata, though no type has it.
        shown["message"]["setup"].as_object_mut().unwrap().remove("key_id");
        assert_eq!(*exchange.typed_data().unwrap().document(), shown, "{}", exchange.setup);
    }
}

fn verified(signed: Result<Signed<()>, AuthenticationError>) -> Owner {
    let Signed::Verified(verified) = signed.unwrap() else { panic!("an account's signature shows itself") };
    verified.owner()
}

#[test]
fn the_owners_signature_covers_challenge_and_metadata_but_no_bare_permissions() {
    let Vectors { meta, bound_permissions: bound, .. } = vectors();
    let authentication = bound.signature.parse::<Signature>().unwrap();
    let authentication = Authentication::owner_text(meta.owner, "{}", authentication).unwrap();
    let authentication = Authentication::parse(&authentication).unwrap();
    let verify = |setup: &str, challenge: &str| {
        let setup = Setup::parse(Operation::Keygen, setup).unwrap();
        authentication.verify_owner(&setup.typed_data(challenge).unwrap())
    };
    assert_eq!(verified(verify(&bound.setup, CHALLENGE)), meta.owner.into());
    for (setup, challenge) in [
        (bound.setup.clone(), CHALLENGE.replace("07", "08")),
        (bound.setup.replace("80002", "80003"), CHALLENGE.to_owned()),
        (bound.setup.replace("1735693200", "1735693201"), CHALLENGE.to_owned()),
        (bound.setup.replace("\"t\":3", "\"t\":2"), CHALLENGE.to_owned()),
    ] {
        let refused = verify(&setup, &challenge).unwrap_err();
        assert!(matches!(refused, AuthenticationError::Signature { .. }), "{setup}");
    }
    // Clients that bind nothing sign the same with and without permissions.
    let digests = |client| {
        let made = exchanges(Operation::Keygen).into_iter().filter(move |made| made.client == client);
        made.map(|made| made.typed_data().unwrap().digest()).collect::<Vec<_>>()
    };
    for client in ["0.1.0", "0.3.0"] {
        assert!(matches!(digests(client)[..], [with, without] if with == without), "{client}");
    }
}

#[test]
fn the_owners_signature_covers_each_metadata_entry_but_the_permissions() {
    let bound = vectors().bound_permissions.setup;
    let with_token = |token: &AdmissionToken| {
        let mut setup: Value = serde_json::from_str(&bound).unwrap();
        setup["metadata"].as_array_mut().unwrap().push(json!({ "tag": 5, "value": token.to_json() }));
        setup.to_string()
    };
    let digest =
        |setup: &str| Setup::parse(Operation::Keygen, setup).unwrap().typed_data(CHALLENGE).unwrap().digest();
    let issuer = SigningKey::from_bytes(&[7; 32]);
    let token = |keys| AdmissionToken::issue(&issuer, B256::ZERO, Address::ZERO, 1_735_693_200, keys);
    let signed = with_token(&token(3));
    let Setup::Keygen(setup) = Setup::parse(Operation::Keygen, &signed).unwrap() else { panic!() };
    assert_eq!(setup.admission_token.as_deref(), Some(&token(3)));
    let altered = [
        ("without the token", bound.clone()),
        ("another token", with_token(&token(4))),
        ("another ephemeral key's end", signed.replace("1735693200}", "1735693201}")),
        ("a claim of another chain", signed.replace("80002", "80003")),
    ];
    for (what, setup) in altered {
        assert_ne!(setup, signed, "{what}");
        assert_ne!(digest(&setup), digest(&signed), "{what}");
    }
}

#[test]
fn real_owners_and_ephemeral_keys_authenticate() {
    let Vectors { meta, exchanges, .. } = vectors();
    let ephemeral = VerifyingKey::from_bytes(&meta.ephemeral_key).unwrap();
    for exchange in exchanges {
        let authentication = exchange.authentication();
        let by_key = authentication.verify_ephemeral(&exchange.setup, &exchange.challenge);
        match exchange.typed_data() {
            Some(typed_data) => {
                assert_eq!(verified(authentication.verify_owner(&typed_data)), meta.owner.into());
                assert!(matches!(by_key, Err(AuthenticationError::WrongMethod { .. })));
            }
            None => assert_eq!(by_key.unwrap(), ephemeral),
        }
    }
}

#[test]
fn one_altered_bit_ends_an_ephemeral_authentication() {
    for exchange in exchanges(Operation::Sign) {
        let Authentication::Ephemeral { key, signature } = exchange.authentication() else { panic!() };
        let verify = |setup: &str, challenge: &str, signature: [u8; 64]| {
            let signature = ed25519_dalek::Signature::from_bytes(&signature);
            Authentication::Ephemeral { key, signature }.verify_ephemeral(setup, challenge)
        };
        verify(&exchange.setup, &exchange.challenge, signature.to_bytes()).unwrap();
        for bit in 0..512 {
            let mut altered = signature.to_bytes();
            altered[bit / 8] ^= 1 << (bit % 8);
            verify(&exchange.setup, &exchange.challenge, altered).unwrap_err();
        }
        for altered in altered_texts(&exchange.setup) {
            verify(&altered, &exchange.challenge, signature.to_bytes()).unwrap_err();
        }
        for altered in altered_texts(&exchange.challenge) {
            verify(&exchange.setup, &altered, signature.to_bytes()).unwrap_err();
        }
    }
}

/// The text with the lowest bit of one character altered, for each character.
fn altered_texts(text: &str) -> impl Iterator<Item = String> {
    (0..text.len()).map(|place| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[place] ^= 1;
        String::from_utf8(bytes).unwrap()
    })
}

#[test]
fn the_clients_read_the_networks_answers() {
    for exchange in vectors().exchanges {
        let (answer, read) = match exchange.operation() {
            Operation::Keygen => {
                let public_key = exchange.result["publicKey"].as_str().unwrap();
                let key_id = exchange.result["keyId"].as_str().unwrap().to_owned();
                let key = KeyText { key_id, public_key: hex::decode_to_array(public_key).unwrap() };
                let read = (key.key_id.clone(), hex::encode(key.public_key));
                (
                    Answer::Key { key, attestations: Vec::new() },
                    json!({ "keyId": read.0, "publicKey": read.1 }),
                )
            }
            Operation::Sign => {
                let [r, s] = [[0x0a; 32], [0x0b; 32]].map(U256::from_be_bytes);
                let signature = SignatureText { signature: Signature::new(r, s, true) };
                let digits = format!("{}{}", "0a".repeat(32), "0b".repeat(32));
                (Answer::Signature(signature), json!({ "sign": digits, "recid": 1 }))
            }
            Operation::AddEphemeralKey => (Answer::Registered, json!({ "status": "registered" })),
            other => panic!("not one of theirs: {other:?}"),
        };
        // What the client was answered in the recording, and what it made of it.
        assert_eq!(answer.plain().as_ref(), Some(&exchange.answer));
        assert_eq!(exchange.result, read);
    }
}

#[test]
fn operations_are_read_as_the_account_sdk_writes_them() {
    for Message { name, message, hash } in vectors().messages {
        let OperationMessage { operation, entry_point, chain_id } =
            OperationMessage::from_json(&message).unwrap();
        assert_eq!(operation.hash(entry_point, chain_id), hash, "{name}");
        // Our own client's text is one that the reader reads to the same.
        let again = OperationMessage { operation, entry_point, chain_id };
        assert_eq!(OperationMessage::from_json(&again.to_json()).unwrap(), again, "{name}");
    }
}

#[test]
fn a_request_of_our_own_client_authenticates_as_the_clients_do() {
    let message = OperationMessage::from_json(&vectors().messages[0].message).unwrap();
    let nodes = (1..=3).map(|seed| SigningKey::from_bytes(&[seed; 32]).verifying_key()).collect();
    let gateway = "ws://gateway.example".parse().unwrap();
    let network = quorate_protocol::NetworkDescriptor::new(2, nodes, vec![gateway]).unwrap();
    let request = SignatureRequest::new(&network, KEY_ID, Address::repeat_byte(1), &message);
    let Setup::Sign(setup) = Setup::parse(Operation::Sign, request.setup()).unwrap() else { panic!() };
    assert_eq!(OperationMessage::from_json(&setup.message).unwrap(), message);

    let ephemeral = SigningKey::from_bytes(&[7; 32]);
    let authentication = request.authentication(CHALLENGE, &ephemeral).unwrap();
    let authentication = Authentication::parse(&authentication).unwrap();
    assert_eq!(
        authentication.verify_ephemeral(request.setup(), CHALLENGE).unwrap(),
        ephemeral.verifying_key()
    );
    // A gateway cannot have the key sign text of its choice for a challenge.
    for forged in ["", "9F", &CHALLENGE.to_uppercase(), &format!("0x{}", &CHALLENGE[2..]), "hello"] {
        assert!(request.authentication(forged, &ephemeral).is_err(), "{forged}");
    }
}

#[test]
fn setups_that_are_refused_say_why() {
    let key = hex::encode_prefixed(vectors().meta.ephemeral_key);
    let keygen = |metadata: Value| json!({ "t": 3, "n": 5, "metadata": metadata });
    let add = |key_id: &str, metadata: Value| json!({ "n": 5, "key_id": key_id, "metadata": metadata });
    let tag = |tag: u16, value: &str| json!({ "tag": tag, "value": value });
    let other = PermissionsClaim {
        network: B256::ZERO,
        chain_id: 1,
        permissions: Permissions::hash_of("others than the ones given"),
    };
    let other = serde_json::to_string(&other).unwrap();
    // What the account SDK 4.6.0 registers: an address, under which no Ed25519 signature can ever verify.
    let address = vectors().meta.owner.to_string();
    let token = AdmissionToken::issue(&SigningKey::from_bytes(&[7; 32]), B256::ZERO, Address::ZERO, 1, 1);
    let token = tag(5, &token.to_json());
    let cases = [
        (
            Operation::Keygen,
            keygen(json!([tag(2, &key), tag(5, "{}")])),
            "(tag 5) cannot be read: not valid at",
        ),
        (Operation::Keygen, keygen(json!([tag(2, &key), token, token])), "two metadata entries of tag 5"),
        (
            Operation::AddEphemeralKey,
            add(KEY_ID, json!([tag(3, KEY_ID), tag(2, &key), token])),
            "unknown tag 5",
        ),
        (Operation::Keygen, keygen(json!([tag(2, &address)])), "not an Ed25519 public key of 32 bytes"),
        (Operation::Keygen, keygen(json!([tag(2, "soon")])), "neither 0x and 64 hex digits nor"),
        (Operation::Keygen, keygen(json!([])), "no metadata entry of tag 2 (the ephemeral key)"),
        (Operation::Keygen, keygen(json!([tag(2, &key), tag(9, "")])), "unknown tag 9"),
        (Operation::Keygen, keygen(json!([tag(2, &key), tag(2, &key)])), "two metadata entries of tag 2"),
        (Operation::Keygen, keygen(json!([tag(2, &key), tag(3, KEY_ID)])), "unknown tag 3"),
        (
            Operation::Keygen,
            keygen(json!([tag(1, "{}"), tag(2, &key), tag(4, &other)])),
            "the ones given have hash",
        ),
        (Operation::Keygen, keygen(json!([tag(2, &key), tag(4, &other)])), "the ones given have hash 0x0000"),
        (
            Operation::Keygen,
            json!({ "t": 3, "n": -5, "metadata": [] }),
            "the setup cannot be read: not valid at `n`",
        ),
        (
            Operation::Keygen,
            keygen(json!([{ "tag": 2, "value": key, "note": "" }])),
            "not valid at `metadata[0].note`: unknown field",
        ),
        (Operation::AddEphemeralKey, add(KEY_ID, json!([tag(2, &key)])), "no metadata entry of tag 3"),
        (
            Operation::AddEphemeralKey,
            add(KEY_ID, json!([tag(3, &"0f".repeat(32)), tag(2, &key)])),
            "its signed entry names key 0f0f",
        ),
        (
            Operation::AddEphemeralKey,
            add(KEY_ID, json!([tag(3, KEY_ID), tag(2, &key), tag(1, "{}")])),
            "unknown tag 1",
        ),
        (
            Operation::Sign,
            json!({ "t": 3, "key_id": KEY_ID, "message": "not base64!" }),
            "not the base64 of UTF-8 text",
        ),
        (Operation::Sign, json!({ "t": 3, "key_id": KEY_ID, "message": "/w==" }), "not the base64 of UTF-8"),
    ];
    for (operation, setup, reason) in cases {
        let message = chain(&Setup::parse(operation, &setup.to_string()).unwrap_err());
        assert!(message.contains(reason), "{setup}: {message}");
    }
}

#[test]
fn a_keys_id_is_64_lower_case_hex_digits_wherever_a_setup_names_one() {
    let key = hex::encode_prefixed(vectors().meta.ephemeral_key);
    let setups = |id: &str| {
        let tagged = [json!({ "tag": 3, "value": id }), json!({ "tag": 2, "value": key })];
        [
            (Operation::Sign, json!({ "t": 3, "key_id": id, "message": "e30=" })),
            (Operation::AddEphemeralKey, json!({ "n": 5, "key_id": id, "metadata": tagged })),
            (Operation::Revoke, json!({ "network": B256::ZERO, "keyId": id })),
        ]
    };
    for (operation, setup) in setups(KEY_ID) {
        Setup::parse(operation, &setup.to_string()).unwrap();
    }
    let odd = [
        "",
        "key-1",
        &KEY_ID[1..],
        &KEY_ID.to_uppercase(),
        &KEY_ID.replace('b', "g"),
        &format!("0x{}", &KEY_ID[2..]),
        &format!("{KEY_ID}ab"),
        &"é".repeat(32),
    ];
    for id in odd {
        for (operation, setup) in setups(id) {
            let refused = Setup::parse(operation, &setup.to_string()).unwrap_err();
            assert!(matches!(&refused, SetupError::KeyId { found } if **found == *id), "{id}: {refused}");
        }
    }
}

#[test]
fn what_nodes_keep_of_a_setup_is_short() {
    let padded = |text: &str, len: usize| format!("{text}{}", " ".repeat(len - text.len()));
    let revoke = json!({ "network": B256::ZERO, "keyId": KEY_ID }).to_string();
    let add = exchanges(Operation::AddEphemeralKey).remove(0).setup;
    for (operation, setup) in [(Operation::Revoke, revoke), (Operation::AddEphemeralKey, add)] {
        Setup::parse(operation, &padded(&setup, Setup::MAX_STATEMENT)).unwrap();
        let refused = Setup::parse(operation, &padded(&setup, Setup::MAX_STATEMENT + 1)).unwrap_err();
        assert!(matches!(refused, SetupError::TooLong { len: 4097, limit: 4096, .. }), "{refused}");
    }
    let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
    let claim = |id: usize| EphemeralClaim { key, id: Some("i".repeat(id)), expiry: Some(1_735_693_200) };
    let fixed = claim(0).to_json().len();
    EphemeralClaim::parse(&claim(EphemeralClaim::MAX_LEN - fixed).to_json()).unwrap();
    let refused = EphemeralClaim::parse(&claim(EphemeralClaim::MAX_LEN - fixed + 1).to_json()).unwrap_err();
    assert!(matches!(refused, EphemeralError::TooLong { len: 513, limit: 512 }), "{refused}");
}

#[test]
fn a_key_label_changes_nothing_that_is_signed() {
    for exchange in exchanges(Operation::Keygen) {
        let labelled = exchange.setup.replacen("{\"t\":3", "{\"key_label\":\"mine\",\"t\":3", 1);
        let setup = Setup::parse(Operation::Keygen, &labelled).unwrap();
        assert_eq!(setup.typed_data(&exchange.challenge).unwrap().digest(), exchange.digest.unwrap());
    }
}

#[test]
fn authentications_that_are_refused_say_why() {
    let frame = |credentials: &str, method: &str, id: &str, signature: &str| {
        let credentials = json!({ "credentials": credentials, "method": method, "id": id });
        json!({ "credentials": credentials, "signature": signature }).to_string()
    };
    let owner = vectors().meta.owner.to_string();
    let claim = json!({ "ephPK": hex::encode_prefixed(vectors().meta.ephemeral_key) }).to_string();
    let cases = [
        (
            frame("", "passkey", "id", "{}"),
            "the method `passkey` is not supported; sign with `eoa`, `erc1271` or `ephemeral`",
        ),
        (frame("", "eoa", "somebody", "0x"), "the id `somebody` is not an account address"),
        (frame("", "eoa", &owner, "0x1234"), "the signature is not 65 bytes of hex"),
        (frame(&claim, "ephemeral", "", &"ab".repeat(63)), "the signature is not 64 bytes of hex"),
        (
            frame(r#"{"ephPK":"0x12"}"#, "ephemeral", "", &"ab".repeat(64)),
            "not an Ed25519 public key of 32 bytes",
        ),
        (frame("{}", "ephemeral", "", &"ab".repeat(64)), "missing field `ephPK`"),
        ("{}".to_owned(), "missing field `credentials`"),
    ];
    for (frame, reason) in cases {
        let message = chain(&Authentication::parse(&frame).unwrap_err());
        assert!(message.contains(reason), "{frame}: {message}");
    }
}

#[test]
fn ephemeral_keys_sign_the_setup_as_it_was_sent() {
    let key = SigningKey::from_bytes(&[7; 32]);
    // White space and the order of fields are the client's own.
    let setup = format!("{{ \"message\": \"e30=\", \"t\": 3, \"key_id\": \"{KEY_ID}\" }}");
    let signature = key.sign(ephemeral_message(&setup, CHALLENGE).as_bytes());
    let text = Authentication::ephemeral_text(&key.verifying_key(), &signature);
    let authentication = Authentication::parse(&text).unwrap();
    authentication.verify_ephemeral(&setup, CHALLENGE).unwrap();
    let Setup::Sign(parsed) = Setup::parse(Operation::Sign, &setup).unwrap() else { panic!() };
    authentication.verify_ephemeral(&parsed.text(), CHALLENGE).unwrap_err();
}

/// An error's message with those of its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
