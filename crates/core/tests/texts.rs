//! What is written on a screen, letter by letter.

use core::fmt::Display;

use quorate_core::*;

const A: Address = Address::repeat_byte(0xac);
const B: Address = Address::repeat_byte(0x5b);
const WORD: B256 = B256::repeat_byte(0x0e);
const OTHER: B256 = B256::repeat_byte(0xf1);
const SELECTOR: FunctionSelector = FunctionSelector::new([0x0a, 0xb0, 0, 0xff]);

/// `A` and `B` with the case of their letters as EIP-55 has it, and the others.
const NAMES: [(&str, &str); 5] = [
    ("[A]", "0xacACAcacAcACaCaCACACacACACacacaCACacaCAc"),
    ("[B]", "0x5B5B5b5B5b5B5B5b5B5B5b5b5B5B5B5b5B5B5b5b"),
    ("[word]", "0x0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e"),
    ("[other]", "0xf1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1"),
    ("[most]", "115792089237316195423570985008687907853269984665640564039457584007913129639935"),
];

fn check(written: &dyn Display, expected: &str) {
    let expected = NAMES.iter().fold(expected.to_owned(), |text, (name, value)| text.replace(name, value));
    assert_eq!(written.to_string(), expected);
    // What stands before it and after it is left alone.
    assert_eq!(format!("<{written}>"), format!("<{expected}>"));
}

#[test]
fn reviews() {
    use ReviewError::*;
    let version = EntryPointVersion::V0_7;
    for (error, text) in [
        (ReviewError::NotShown(quorate_core::NotShown), "the display did not show an item"),
        (OutOfOrder { given: "a", expected: "b" }, "a does not come now; b does"),
        (
            Unpack(UnpackError::InitCode { len: 19 }),
            "initCode: it starts with a factory of 20 bytes or is empty, this has 19 bytes",
        ),
        (
            Hash(HashError::NoDelegate),
            "initCode: the EIP-7702 marker 0x7702 has the hash cover the account's delegate; give its address",
        ),
        (GasOverflow, "a gas limit or fee has more than 120 bits, which entry points refuse"),
        (
            OtherEntryPoint { given: version, known: EntryPointVersion::V0_9 },
            "the operation is one of EntryPoint v0.7, but the entry point is v0.9",
        ),
        (
            Unreadable { at: 0 },
            "from byte 0 on, the call data is not calls of the account in canonical encoding",
        ),
        (Ends { at: 70_000 }, "the call data ends at byte 70000, within a call"),
        (
            TooManyCalls { calls: u64::MAX, limit: 8 },
            "the operation makes 18446744073709551615 calls, at most 8 can be reviewed",
        ),
        (
            UnknownControl { call: 2, to: A },
            "call 2 goes to [A], which can change who controls the account, and is none that is known here",
        ),
        (
            OtherRoot { shown: WORD, set: OTHER },
            "the sessions shown make the root [word], but the operation sets [other]: other sessions would be granted",
        ),
        (
            SessionsMissing { set: OTHER },
            "the operation sets the session root [other], but its sessions were not given",
        ),
        (
            NotOneRoot { times: 3 },
            "sessions were given, but the operation sets 3 session roots instead of one",
        ),
        (
            UnknownModule { session: 4, module: B },
            "session 4 is checked by [B], which is unknown here: what it allows cannot be shown",
        ),
        (
            NotKept { session: 10 },
            "session 10 is to be kept, but was not granted by what was last signed here",
        ),
        (
            KeptElsewhere { from: A, to: B },
            "sessions of [A] are kept, but the operation sets the root of [B]",
        ),
        (
            Session { session: 1, reason: MalformedSessionKeyData::TooShort { len: 61 } },
            "session 1: session key data has at least 62 bytes, this has 61",
        ),
        (
            Erc20Session { session: 1, reason: Erc20Refusal::MalformedSessionKeyData { len: 61 } },
            "session 1: the session key data of 61 bytes is not that of a token's session: three addresses and an amount",
        ),
        (TooManySessions(merkle::TreeError::Empty), "there are more sessions than a tree can hold"),
    ] {
        check(&error, text);
    }
}

#[test]
fn refusals_of_a_session_s_use() {
    use SessionUseError::*;
    for (error, text) in [
        (Review(ReviewError::Ends { at: 5 }), "the call data ends at byte 5, within a call"),
        (
            Forbidden(Refusal::InnerCallDataTooShort { len: 3 }),
            "the session forbids the call: the contract is called with 3 bytes, a selector has 4",
        ),
        (
            Erc20Forbidden(Erc20Refusal::MalformedCallData { len: 3 }),
            "the session forbids the call: the account's call data of 3 bytes does not decode",
        ),
    ] {
        check(&error, text);
    }
}

#[test]
fn reviews_of_several_operations() {
    use MultichainReviewError::*;
    for (error, text) in [
        (MultichainReviewError::NotShown(quorate_core::NotShown), "the display did not show an item"),
        (
            Operation { operation: 2, source: ReviewError::Ends { at: 5 } },
            "operation 2 of the signature: the call data ends at byte 5, within a call",
        ),
        (NotBegun, "no operation was begun that this belongs to"),
        (Over, "an operation was refused, and a signature is for all or none"),
        (Duplicate { operation: 3, earlier: 1 }, "operation 3 is operation 1 again"),
        (TooManyOperations { limit: 8 }, "one signature can be reviewed for at most 8 operations"),
        (
            Unfinished { operation: 1 },
            "operation 1 was not reviewed to its end; a signature is for all or none",
        ),
        (Empty, "there is no operation to sign"),
    ] {
        check(&error, text);
    }
}

#[test]
fn operations() {
    use UnpackError::*;
    for (error, text) in [
        (
            Paymaster { len: 51, least: 52 },
            "paymasterAndData: it starts with 52 bytes of paymaster and gas limits or is empty, this has 51 bytes",
        ),
        (
            ZeroPaymaster,
            "paymasterAndData: the paymaster is the zero address, which EntryPoint v0.8 and later refuse",
        ),
        (PackedAtV0_6, "EntryPoint v0.6 takes no packed user operation"),
        (
            NoHash(HashError::DelegatedAtV0_7),
            "factory: the EIP-7702 marker 0x7702 means something from EntryPoint v0.8 on; this is v0.7",
        ),
        (
            NoHash(HashError::PaymasterSignature { announced: u16::MAX, room: 9 }),
            "paymasterAndData: its end announces a signature of 65535 bytes, but its data has room for 9",
        ),
    ] {
        check(&error, text);
    }
}

#[test]
fn key_requests() {
    use KeyRequestError::*;
    for (error, text) in [
        (KeyRequestError::NotShown(quorate_core::NotShown), "the display did not show an item"),
        (Threshold { threshold: 4, nodes: 3 }, "4 of 3 nodes cannot sign"),
        (
            KeyRequestError::Text { what: "the key's id", limit: 64 },
            "the key's id is not shown: it has more than 64 bytes, or other than printable ASCII and single blanks",
        ),
        (
            Unreadable { entry: 3, tag: 40_000 },
            "entry 3 of the request's metadata, with tag 40000, cannot be read",
        ),
        (Twice { tag: 7 }, "the request's metadata has tag 7 twice"),
        (Permissions { at: 77 }, "the permissions cannot be read from byte 77 on"),
        (PermissionsValue, "a value of the permissions has not the form of its place"),
        (PermissionsEnd, "the permissions are not whole"),
        (
            OtherPermissions { shown: WORD, claimed: OTHER },
            "the permissions shown have keccak [word], but the request is for [other]",
        ),
        (
            OtherChain { claimed: u64::MAX, found: 10 },
            "the permissions are for chain 10, the request for 18446744073709551615",
        ),
        (Unclaimed, "permissions were given, but the request names none"),
        (NotBegun, "a request for a key comes first"),
        (NoEphemeralKey, "the request names no ephemeral key: nobody could ask for signatures"),
    ] {
        check(&error, text);
    }
}

#[test]
fn session_uses() {
    use Refusal::*;
    for (error, text) in [
        (
            Refusal::MalformedSessionKeyData(quorate_core::MalformedSessionKeyData::RuleMissing { rule: 6 }),
            "the session key data is malformed: rule 6 is announced, but the data ends before it does",
        ),
        (
            CallDataTooShort { len: 3 },
            "the account's call data, 3 bytes long, ends before what it says it holds",
        ),
        (
            NotExecute { selector: SELECTOR },
            "the account's function 0x0ab000ff is called, permitted are execute and execute_ncC",
        ),
        (DestinationForbidden { called: A, permitted: B }, "contract [A] is called, permitted is [B]"),
        (
            SelectorForbidden { called: SELECTOR, permitted: FunctionSelector::new([0; 4]) },
            "function 0x0ab000ff is called, permitted is 0x00000000",
        ),
        (
            ValueExceeded { value: U256::MAX, limit: u128::MAX },
            "[most] wei are sent, permitted are at most 340282366920938463463374607431768211455",
        ),
        (
            WordOutOfBounds { rule: 1, offset: 65_535, len: 36 },
            "rule 1 reads 32 bytes at offset 65535 after the selector, the call data has 36 bytes in all",
        ),
        (UnknownCondition { rule: 1, number: 255 }, "rule 1 has condition 255; conditions are 0 to 5"),
        (
            RuleViolated {
                rule: 1,
                offset: 32,
                condition: Condition::LessThan,
                word: WORD,
                reference: OTHER,
            },
            "rule 1: the word at offset 32 is [word], permitted is less than [other]",
        ),
    ] {
        check(&error, text);
    }
}

#[test]
fn uses_of_sessions_of_a_token() {
    use Erc20Refusal::*;
    for (error, text) in [
        (
            NotExecute { selector: SELECTOR },
            "the account's function 0x0ab000ff is called, permitted are execute and execute_ncC",
        ),
        (TokenForbidden { called: A, permitted: B }, "contract [A] is called, permitted is the token [B]"),
        (ValueForbidden { value: U256::from(10) }, "10 wei are sent, permitted are none"),
        (
            MalformedTransfer { len: 67 },
            "the token is called with 67 bytes, which are not a selector, an address and an amount",
        ),
        (RecipientForbidden { called: A, permitted: B }, "the recipient is [A], permitted is [B]"),
        (
            AmountExceeded { amount: U256::MAX, limit: U256::ZERO },
            "the amount is [most], permitted are at most 0",
        ),
    ] {
        check(&error, text);
    }
}

#[test]
fn session_key_data() {
    use MalformedSessionKeyData::*;
    let unknown = quorate_core::UnknownCondition { number: 6 };
    check(&unknown, "condition 6 is unknown; conditions are 0 to 5");
    for (error, text) in [
        (UnknownCondition { rule: 2, source: unknown }, "rule 2"),
        (BytesAfterRules { len: 5 }, "5 bytes follow the last rule"),
        (DoesNotFit(EncodeError::TooManyRules { limit: 2 }), "the session key data does not fit"),
    ] {
        check(&error, text);
    }
}

#[test]
fn sources_are_told_once() {
    use core::error::Error as _;
    assert!(ReviewError::NotShown(NotShown).source().is_none());
    assert!(ReviewError::Unpack(UnpackError::NoHash(HashError::NoDelegate)).source().is_none());
    let source = ReviewError::TooManySessions(merkle::TreeError::Empty);
    assert_eq!(source.source().unwrap().to_string(), "a tree has at least one leaf");
    let unknown = UnknownCondition { number: 6 };
    let source = MalformedSessionKeyData::UnknownCondition { rule: 2, source: unknown };
    assert_eq!(source.source().unwrap().to_string(), unknown.to_string());
}

#[test]
fn conditions_and_versions() {
    for (number, text) in
        (0..).zip(["equal to", "at most", "less than", "at least", "greater than", "other than"])
    {
        check(&Condition::try_from(number).unwrap(), text);
    }
    for (version, text) in [
        (EntryPointVersion::V0_6, "v0.6"),
        (EntryPointVersion::V0_7, "v0.7"),
        (EntryPointVersion::V0_8, "v0.8"),
        (EntryPointVersion::V0_9, "v0.9"),
    ] {
        check(&version, text);
    }
}

/// Each label with its number and its depth.
#[test]
fn labels() {
    let line = |label: &Label| format!("{} {}{}\n", *label as u8, "  ".repeat(label.depth()), label.text());
    let (of_delegations, others): (Vec<_>, Vec<_>) =
        Label::ALL.iter().partition(|label| **label as u8 >= 192);
    let lines = |labels: Vec<&Label>| labels.into_iter().map(line).collect::<String>();
    assert_eq!(lines(others), include_str!("vectors/labels.txt"), "new labels are added at the end");
    if cfg!(feature = "delegation") {
        assert_eq!(lines(of_delegations), include_str!("vectors/delegation-labels.txt"), "these as well");
    }
}

#[test]
fn items() {
    let version = EntryPointVersion::V0_8;
    let signature = Some("mint(address  to)\u{202e}\n");
    for (severity, label, value, text) in [
        (Severity::Info, Label::NoCalls, Value::None, "Makes no calls"),
        (Severity::Info, Label::To, Value::Address(&A), "  to [A]"),
        (Severity::Danger, Label::Root, Value::Hash(&WORD), "    DANGER: root [word]"),
        (Severity::Warning, Label::Chain, Value::Number(&U256::MAX), "  WARNING: chain [most]"),
        (Severity::Info, Label::Chain, Value::Number(&U256::ZERO), "  chain 0"),
        (Severity::Info, Label::Nonce, Value::Hex(&U256::ZERO), "  nonce 0x0"),
        (Severity::Info, Label::Nonce, Value::Hex(&U256::from(0xabc)), "  nonce 0xabc"),
        (
            Severity::Info,
            Label::Nonce,
            Value::Hex(&U256::from_be_bytes(WORD.0)),
            &format!("  nonce 0x{}", &NAMES[2].1[3..]),
        ),
        (Severity::Info, Label::Sends, Value::Coin(&U256::ZERO), "  sends 0 of the chain's coin"),
        (Severity::Info, Label::Until, Value::Time(1_900_000_000), "  until 2030-03-17 17:46:40 UTC"),
        (Severity::Refused, Label::Refused, Value::Text("a\t b   c\u{e9}"), "REFUSED: \"a? b c?\""),
        (Severity::Info, Label::Call, Value::Place { number: 3, of: None }, "Call 3"),
        (Severity::Info, Label::Call, Value::Place { number: 3, of: Some(12) }, "Call 3 of 12"),
        (
            Severity::Info,
            Label::ShortData,
            Value::Bytes { len: u64::MAX, digest: &OTHER },
            "  data 18446744073709551615 bytes, keccak [other]",
        ),
        (
            Severity::Info,
            Label::EntryPoint,
            Value::EntryPoint { version, address: &B },
            "  entry point v0.8 [B]",
        ),
        (
            Severity::Info,
            Label::Function,
            Value::Function { selector: SELECTOR, signature: None },
            "  function 0x0ab000ff, whose name is not known here",
        ),
        (
            Severity::Info,
            Label::Function,
            Value::Function { selector: SELECTOR, signature },
            "  function mint(address to)?? (0x0ab000ff)",
        ),
        (
            Severity::Warning,
            Label::Lint,
            Value::Reason(&NotShown),
            "  WARNING: the display did not show an item",
        ),
    ] {
        let item = Item { severity, label, value };
        check(&item, text);
        assert!(item.to_string().ends_with(&value.to_string()));
        let mut line = String::new();
        Text(&mut line).show(&item).unwrap();
        assert_eq!(line, format!("{item}\n"));
    }
}
