//! A device without feature `delegation` says that it signs none.

use quorate_core::delegation::{Caveats, Delegation, MANAGER_V1_3_0, ROOT_AUTHORITY};
use quorate_core::{Address, DelegationDomain, U256};
use quorate_device::Decision;
use quorate_device::host::{DelegationRequest, DeviceSigner, SigningRequest};

use crate::rig::{Button, Rig, grant};

#[tokio::test]
async fn a_delegation_is_refused_and_the_device_goes_on() {
    let (stream, screen, button) = Rig::new(Button::that(Decision::Approve)).plug_in();
    let device = DeviceSigner::connect(stream).await.unwrap();
    let delegation = Delegation {
        delegate: Address::repeat_byte(2),
        delegator: Address::repeat_byte(1),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::default(),
        salt: U256::ZERO,
        signature: &[],
    };
    let domain = DelegationDomain { chain_id: 8453, manager: MANAGER_V1_3_0 };
    let request = SigningRequest::Delegation(DelegationRequest::new(domain, &delegation));
    let error = device.sign(&request).await.unwrap_err().to_string();
    assert_eq!(error, "the device refuses: this device signs no delegations");
    assert!(screen.lines().is_empty() && button.asked().is_empty());
    device.sign(&SigningRequest::Operation(grant())).await.unwrap();
}
