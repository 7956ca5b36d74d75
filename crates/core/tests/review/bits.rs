//! No bit of what is signed changes unseen: whatever is flipped, the lines change, without the line of the hash, or the review
//! refuses.

use super::*;

/// The bytes of everything that is reviewed, by the names of its parts.
type Fields = Vec<(&'static str, Vec<u8>)>;

fn fields(init_code: &[u8], paymaster_and_data: &[u8], gas_limits: &[u8], gas_fees: &[u8]) -> Fields {
    let mut fields = vec![
        ("entryPoint", ENTRY_POINT.to_vec()),
        ("chainId", 137_u64.to_be_bytes().to_vec()),
        ("sender", ACCOUNT.to_vec()),
        ("nonce", B256::with_last_byte(3).to_vec()),
        ("initCode", init_code.to_vec()),
        ("callData", grant().to_vec()),
        ("gasLimits", gas_limits.to_vec()),
        ("preVerificationGas", B256::with_last_byte(50).to_vec()),
        ("gasFees", gas_fees.to_vec()),
        ("paymasterAndData", paymaster_and_data.to_vec()),
    ];
    for (number, session) in sessions().iter().enumerate() {
        let names = [
            ["1: epoch", "1: module", "1: data"],
            ["2: epoch", "2: module", "2: data"],
            ["3: epoch", "3: module", "3: data"],
        ];
        let [epoch, module, data] = names[number];
        let times = [session.epoch.valid_until(), session.epoch.valid_after()];
        fields.push((epoch, times.map(|time| time.to_be_bytes()[2..].to_vec()).concat()));
        fields.push((module, session.module.to_vec()));
        fields.push((data, session.data.to_vec()));
    }
    fields
}

fn number(bytes: &[u8]) -> U256 {
    U256::from_be_slice(bytes)
}

fn time(bytes: &[u8]) -> u64 {
    number(bytes).to()
}

/// The review of what such bytes are; none where they are no operation.
fn review_fields(version: EntryPointVersion, fields: &Fields) -> Option<Reviewed> {
    let of = |name: &str| fields.iter().find(|(other, _)| *other == name).unwrap().1.as_slice();
    let sessions = ["1", "2", "3"].map(|session| {
        let of = |part: &str| of(&format!("{session}: {part}"));
        let (until, after) = of("epoch").split_at(6);
        let epoch = SessionEpoch::new(time(after), time(until)).unwrap();
        Session {
            epoch,
            module: Address::from_slice(of("module")),
            data: Bytes::from_slice(of("data")).unwrap(),
        }
    });
    let (limits, fees) = (of("gasLimits"), of("gasFees"));
    let head = if version == EntryPointVersion::V0_6 {
        OperationHead::V0_6(UserOperation {
            sender: Address::from_slice(of("sender")),
            nonce: number(of("nonce")),
            init_code: of("initCode"),
            call_data: (),
            call_gas_limit: number(&limits[..32]),
            verification_gas_limit: number(&limits[32..]),
            pre_verification_gas: number(of("preVerificationGas")),
            max_fee_per_gas: number(&fees[..32]),
            max_priority_fee_per_gas: number(&fees[32..]),
            paymaster_and_data: of("paymasterAndData"),
        })
    } else {
        let packed = PackedUserOperation {
            sender: Address::from_slice(of("sender")),
            nonce: number(of("nonce")),
            init_code: of("initCode"),
            call_data: (),
            account_gas_limits: B256::from_slice(limits),
            pre_verification_gas: number(of("preVerificationGas")),
            gas_fees: B256::from_slice(fees),
            paymaster_and_data: of("paymasterAndData"),
        };
        OperationHead::unpack(version, &packed, Some(TOKEN)).ok()?
    };
    let domain = Domain { entry_point: Address::from_slice(of("entryPoint")), chain_id: time(of("chainId")) };
    Some(review_at(domain, &head, of("callData"), &sessions))
}

/// Flips each bit. What is not signed is listed by name; all else is seen or refused.
#[track_caller]
fn assert_all_seen(version: EntryPointVersion, fields: &Fields, is_unsigned: impl Fn(&str, usize) -> bool) {
    let original = review_fields(version, fields).unwrap();
    original.hash.as_ref().unwrap();
    for (field, (name, bytes)) in fields.iter().enumerate() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = fields.clone();
            flipped[field].1[bit / 8] ^= 1 << (bit % 8);
            let Some(changed) = review_fields(version, &flipped) else { continue };
            if is_unsigned(name, bit / 8) {
                assert_eq!(changed.hash, original.hash, "byte {} of {name} is signed", bit / 8);
            } else if changed.hash.is_ok() {
                assert_ne!(changed.hash, original.hash, "bit {bit} of {name} is not signed");
                assert_ne!(changed.lines, original.lines, "bit {bit} of {name} changes unseen");
            }
        }
    }
}

/// Nothing is unsigned before v0.9.
const NOTHING: fn(&str, usize) -> bool = |_, _| false;

fn words(numbers: [u64; 2]) -> Vec<u8> {
    numbers.map(|number| U256::from(number).to_be_bytes::<32>()).concat()
}

fn halves(numbers: [u128; 2]) -> Vec<u8> {
    numbers.map(u128::to_be_bytes).concat()
}

/// A paymaster from v0.7 on.
fn paymaster(data: &[u8]) -> Vec<u8> {
    [&[0xad; 20], halves([5, 6]).as_slice(), data].concat()
}

#[test]
fn of_v0_6() {
    let gas = words([100_000, 200_000]);
    for (init_code, paymaster, fees) in [
        (&[0xfa; 24][..], &[0xad; 24][..], [7, 1]),
        // The account pays, and nothing at all.
        (&[], &[0; 24], [0, 0]),
        (&[], &[], [7, 1]),
    ] {
        assert_all_seen(EntryPointVersion::V0_6, &fields(init_code, paymaster, &gas, &words(fees)), NOTHING);
    }
}

#[test]
fn of_the_later_entry_points() {
    let (gas, fees) = (halves([100_000, 200_000]), halves([1, 7]));
    let marker = [&[0x77, 0x02][..], &[0; 18], &[4, 5]].concat();
    for version in [EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        for (init_code, paymaster) in
            [(&[0xfa; 24][..], &paymaster(&[1, 2, 3, 4])[..]), (&[], &[]), (&marker[..], &paymaster(&[])[..])]
        {
            assert_all_seen(version, &fields(init_code, paymaster, &gas, &fees), NOTHING);
        }
    }
}

/// The entry point takes the paymaster's own signature out of the hash: the bytes before its length and the magic.
#[test]
fn of_v0_9_but_for_the_paymaster_s_signature() {
    let mut paymaster = paymaster(&[1, 2, 3, 4]);
    paymaster.extend(encode(&PaymasterSignature::new(&[5; 8]).unwrap()));
    let fields = fields(&[], &paymaster, &halves([1, 2]), &halves([3, 4]));
    let unsigned = |name: &str, byte: usize| name == "paymasterAndData" && (56..64).contains(&byte);
    assert_all_seen(EntryPointVersion::V0_9, &fields, unsigned);
}
