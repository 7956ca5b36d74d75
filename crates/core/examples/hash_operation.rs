//! The hash of an operation at each entry point, with call data that is never in memory as a whole.

use std::error::Error;

use quorate_core::{
    Address, Digest, EntryPointVersion, Keccak256, PackedUserOperation, U256, UserOperation, signing_hash,
};

const CHAIN_ID: u64 = 137;

fn main() -> Result<(), Box<dyn Error>> {
    // 100 kB in pieces of 64 bytes, as they come over a wire.
    let mut hasher = Keccak256::new();
    for piece in std::iter::repeat_n([0x40_u8; 64], 1600) {
        hasher.update(piece);
    }
    let call_data = Digest(hasher.finalize());
    let sender = Address::repeat_byte(0xaa);

    let operation = UserOperation::<&[u8], Digest> {
        sender,
        nonce: U256::from(7),
        init_code: &[],
        call_data,
        call_gas_limit: U256::from(100_000),
        verification_gas_limit: U256::from(200_000),
        pre_verification_gas: U256::from(50_000),
        max_fee_per_gas: U256::from(30_000_000_000_u64),
        max_priority_fee_per_gas: U256::from(1_000_000_000),
        paymaster_and_data: &[],
    };
    let hash = operation.hash(EntryPointVersion::V0_6.address(), CHAIN_ID);
    println!("v0.6  {hash}, to be signed as the message {}", signing_hash(hash));

    // From v0.7 on as the contract takes it; `UnpackedUserOperation` is what bundlers take.
    let packed = PackedUserOperation::<&[u8], Digest> {
        sender,
        nonce: U256::from(7),
        // An EIP-7702 account: the marker stands for the delegate, whose address is hashed in its place.
        init_code: &[0x77, 0x02],
        call_data,
        pre_verification_gas: U256::from(50_000),
        ..PackedUserOperation::default()
    };
    let delegate = Some(Address::repeat_byte(0xde));
    let [v0_7, v0_8, v0_9] = [EntryPointVersion::V0_7, EntryPointVersion::V0_8, EntryPointVersion::V0_9];
    // v0.7 hashes the marker as any bytes, and would take it for a factory that is cut off.
    println!("v0.7  {}", packed.hash_v0_7(v0_7.address(), CHAIN_ID));
    assert!(packed.unpack(v0_7, delegate).is_err());
    println!("v0.8  {}", packed.hash_v0_8(v0_8.address(), CHAIN_ID, delegate)?);
    println!("v0.9  {}", packed.hash_v0_9(v0_9.address(), CHAIN_ID, delegate)?);

    // Unpacked, it has the same hash.
    let unpacked = packed.unpack(v0_8, delegate)?;
    assert_eq!(
        unpacked.with_call_data(call_data).hash_v0_8(v0_8.address(), CHAIN_ID),
        packed.hash_v0_8(v0_8.address(), CHAIN_ID, delegate)?
    );
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
