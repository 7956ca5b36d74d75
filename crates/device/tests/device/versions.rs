//! Operations of all entry points go from the host to the device and back.

use alloy_signer::Signer as _;
use quorate_core::{
    Address, EntryPointVersion, Initialization, Paymaster, U256, UnpackedUserOperation, signing_hash,
};
use quorate_device::Decision;
use quorate_device::host::{DeviceSigner, Operation, OperationRequest, SigningRequest};
use quorate_signer::sign_as_owner;

use crate::rig::{ACCOUNT, Button, Rig, domain, grant, hash};

/// The grant at each entry point, with everything that the versions have of their own.
pub(crate) fn grants() -> Vec<OperationRequest> {
    let call_data = grant().operation.call_data().to_vec();
    let operation = |init| UnpackedUserOperation {
        sender: ACCOUNT,
        nonce: U256::from(5) << 64,
        init,
        call_data: call_data.clone(),
        call_gas_limit: 1,
        verification_gas_limit: 2,
        pre_verification_gas: U256::from(3),
        max_fee_per_gas: 4,
        max_priority_fee_per_gas: 5,
        paymaster: Some(Paymaster {
            paymaster: Address::repeat_byte(0x9a),
            verification_gas_limit: 6,
            post_op_gas_limit: 7,
            data: vec![8; 40],
        }),
    };
    let factory = Initialization::Factory { factory: Address::repeat_byte(0xfa), data: vec![9; 50] };
    let delegated = Initialization::Delegated { delegate: Address::repeat_byte(0xde), data: vec![10; 10] };
    let operations = [
        (EntryPointVersion::V0_7, Operation::V0_7(operation(factory.clone()))),
        (EntryPointVersion::V0_7, Operation::V0_7(operation(Initialization::Deployed))),
        (EntryPointVersion::V0_8, Operation::V0_8(operation(factory.clone()))),
        (EntryPointVersion::V0_8, Operation::V0_8(operation(delegated.clone()))),
        (EntryPointVersion::V0_9, Operation::V0_9(operation(factory))),
        (EntryPointVersion::V0_9, Operation::V0_9(operation(delegated))),
    ];
    let unpacked = operations.into_iter().map(|(version, operation)| OperationRequest {
        domain: domain(version),
        operation,
        sessions: grant().sessions,
    });
    [grant()].into_iter().chain(unpacked).collect()
}

#[tokio::test]
async fn a_grant_at_each_entry_point_is_shown_and_signed() {
    let (stream, screen, _) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    for request in grants() {
        let hash = hash(&request);
        let signer = device.signer(SigningRequest::Operation(request.clone()));
        assert_eq!(signer.chain_id(), Some(137));
        let signature = sign_as_owner(&signer, hash).await.unwrap();
        let signature = alloy_primitives::Signature::from_raw(&signature).unwrap();
        assert_eq!(signature.recover_address_from_prehash(&signing_hash(hash)).unwrap(), device.address());
        let lines = screen.lines();
        let version = request.operation.head().version();
        assert!(lines.contains(&format!("  entry point {version} {}", version.address())), "{lines:?}");
        assert!(lines.contains(&format!("Hash of all this {hash}")), "{lines:?}");
    }
}
