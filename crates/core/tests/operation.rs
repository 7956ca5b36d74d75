//! What the entry points refuse by the operation alone has no typed form, and what has one has the same hash in it.

use quorate_core::{
    Address, EntryPointVersion, HashError, Initialization, PackedUserOperation, UnpackError,
    UnpackedUserOperation, UserOperation,
};

const ENTRY_POINT: Address = Address::repeat_byte(0xee);
const DELEGATE: Address = Address::repeat_byte(0xde);
/// The EIP-7702 marker where it has no zeros, some, all, and what the account is called with.
const MARKERS: [&[u8]; 4] = {
    const WHOLE: [u8; 22] = {
        let mut bytes = [0; 22];
        (bytes[0], bytes[1], bytes[21]) = (0x77, 0x02, 1);
        bytes
    };
    let [short, some, all] = [WHOLE.split_at(2).0, WHOLE.split_at(19).0, WHOLE.split_at(20).0];
    [short, some, all, &WHOLE]
};

fn with_init_code(init_code: &[u8]) -> PackedUserOperation<&[u8]> {
    PackedUserOperation { init_code, ..Default::default() }
}

#[test]
fn an_unpacked_operation_has_the_hash_of_the_packed_one() {
    let factory = [0x33; 24];
    for init_code in MARKERS.into_iter().chain([&[][..], &factory]) {
        let packed = with_init_code(init_code);
        let unpack = |version| packed.unpack(version, Some(DELEGATE));
        if let Ok(unpacked) = unpack(EntryPointVersion::V0_7) {
            assert_eq!(unpacked.hash_v0_7(ENTRY_POINT, 1), Ok(packed.hash_v0_7(ENTRY_POINT, 1)));
        }
        let unpacked = unpack(EntryPointVersion::V0_8).unwrap();
        let hash = packed.hash_v0_8(ENTRY_POINT, 1, Some(DELEGATE));
        assert_eq!(Ok(unpacked.hash_v0_8(ENTRY_POINT, 1)), hash);
        let unpacked = unpack(EntryPointVersion::V0_9).unwrap();
        assert_eq!(unpacked.hash_v0_9(ENTRY_POINT, 1), packed.hash_v0_9(ENTRY_POINT, 1, Some(DELEGATE)));
    }
}

#[test]
fn the_marker_of_a_delegated_account_is_a_factory_before_v0_8() {
    let init = |init_code| {
        let head = PackedUserOperation::<&[u8], ()> { init_code, ..Default::default() };
        head.unpack_head(EntryPointVersion::V0_7, Some(DELEGATE)).map(|it| it.init)
    };
    let [short, some, all, with_data] = MARKERS;
    assert_eq!(init(short), Err(UnpackError::InitCode { len: 2 }));
    assert_eq!(init(some), Err(UnpackError::InitCode { len: 19 }));
    let factory = Address::from_slice(all);
    assert_eq!(init(all), Ok(Initialization::Factory { factory, data: &[][..] }));
    assert_eq!(init(with_data), Ok(Initialization::Factory { factory, data: &[0, 1][..] }));

    for version in [EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        for marker in MARKERS {
            let packed = with_init_code(marker);
            let data = marker.get(20..).unwrap_or_default();
            let unpacked = packed.unpack(version, Some(DELEGATE)).unwrap();
            assert_eq!(unpacked.init, Initialization::Delegated { delegate: DELEGATE, data });
            assert_eq!(packed.unpack(version, None), Err(UnpackError::NoHash(HashError::NoDelegate)));
        }
    }
}

#[test]
fn v0_7_has_no_hash_for_a_delegated_account() {
    let init = Initialization::Delegated { delegate: DELEGATE, data: &[][..] };
    let operation = UnpackedUserOperation::<&[u8]> { init, ..Default::default() };
    assert_eq!(operation.hash_v0_7(ENTRY_POINT, 1), Err(HashError::DelegatedAtV0_7));
}

#[test]
fn a_paymaster_that_is_cut_or_zero() {
    let unpack = |bytes: &[u8], version| {
        let operation = PackedUserOperation::<&[u8]> { paymaster_and_data: bytes, ..Default::default() };
        operation.unpack(version, None).map(|it| it.paymaster.map(|it| (it.paymaster, it.account_pays())))
    };
    let (named, zero) = ([0xaa; 60], [0; 60]);
    for version in [EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        assert_eq!(unpack(&[], version), Ok(None));
        for len in 1..52 {
            let expected = Err(UnpackError::Paymaster { len, least: 52 });
            assert_eq!(unpack(&named[..len], version), expected);
            assert_eq!(unpack(&zero[..len], version), expected);
        }
        assert_eq!(unpack(&named, version), Ok(Some((Address::repeat_byte(0xaa), false))));
    }
    assert_eq!(unpack(&zero, EntryPointVersion::V0_7), Ok(Some((Address::ZERO, true))));
    for version in [EntryPointVersion::V0_8, EntryPointVersion::V0_9] {
        assert_eq!(unpack(&zero, version), Err(UnpackError::ZeroPaymaster));
    }
    assert_eq!(unpack(&named, EntryPointVersion::V0_6), Err(UnpackError::PackedAtV0_6));
}

#[test]
fn v0_6_in_typed_views() {
    let bytes = [0x55; 24];
    for len in 0..=bytes.len() {
        let part = &bytes[..len];
        let operation =
            UserOperation::<&[u8]> { init_code: part, paymaster_and_data: part, ..Default::default() };
        let (factory, data) = (Address::repeat_byte(0x55), part.get(20..).unwrap_or_default());
        match len {
            0 => {
                assert_eq!(operation.initialization(), Ok(Initialization::Deployed));
                assert_eq!(operation.paymaster(), Ok(None));
            }
            1..20 => {
                assert_eq!(operation.initialization(), Err(UnpackError::InitCode { len }));
                assert_eq!(operation.paymaster(), Err(UnpackError::Paymaster { len, least: 20 }));
            }
            _ => {
                assert_eq!(operation.initialization(), Ok(Initialization::Factory { factory, data }));
                let paymaster = operation.paymaster().unwrap().unwrap();
                assert_eq!((paymaster.paymaster, paymaster.data), (factory, data));
                assert!(!paymaster.account_pays());
            }
        }
    }
    let [.., all, _] = MARKERS;
    let operation =
        UserOperation::<&[u8]> { init_code: all, paymaster_and_data: &[0; 21], ..Default::default() };
    let factory = Address::from_slice(all);
    assert_eq!(operation.initialization(), Ok(Initialization::Factory { factory, data: &[][..] }));
    assert!(operation.paymaster().unwrap().unwrap().account_pays());
}
