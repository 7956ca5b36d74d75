//! Whatever a host sends, nothing is signed but a hash that was shown and approved.

use alloy_primitives::Signature;
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_core::delegation::{Caveats, Delegation, Delegations, MANAGER_V1_3_0, ROOT_AUTHORITY};
use quorate_core::{Encode as _, U256, signing_hash};
use quorate_device::{Decision, ToDevice};

use crate::key_requests;
use crate::rig::{ACCOUNT, Answer, Button, FRIEND, Rig, begin, frame, grant, read, session};

/// A thing that a host or a person does.
#[derive(Clone, Debug)]
enum Act {
    /// The next message of an honest request, by its place.
    Honest(usize),
    /// The same with a byte changed.
    Changed(usize, prop::sample::Index, u8),
    Noise(Vec<u8>),
    Press(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..10_usize).prop_map(Act::Honest),
        2 => (0..10_usize, any::<prop::sample::Index>(), 1..=255_u8)
            .prop_map(|(place, at, bits)| Act::Changed(place, at, bits)),
        1 => vec(any::<u8>(), 0..40).prop_map(Act::Noise),
        3 => any::<bool>().prop_map(Act::Press),
    ]
}

fn honest(place: usize) -> Vec<u8> {
    let (request, leaf, key_request) = (grant(), session(), key_requests::request(""));
    let metadata = [Some((2, key_request.metadata[0].1.as_str())), None, None];
    let key_request = quorate_device::KeyRequestFrame { threshold: 3, nodes: 5, metadata, challenge: "9f" };
    let delegation = delegation();
    let message = match place {
        0 => begin(&request),
        1 => ToDevice::session(&leaf.borrow()),
        2 => ToDevice::CallData(request.operation.call_data()),
        3 => ToDevice::End,
        4 => ToDevice::KeyRequest(key_request),
        5 => ToDevice::Cancel,
        6 => ToDevice::Address,
        7 => ToDevice::Delegation { chain_id: 8453, manager: MANAGER_V1_3_0.into_array() },
        8 => ToDevice::Permissions(&delegation),
        _ => ToDevice::End,
    };
    frame(1, message)
}

/// A delegation of everything, as its manager takes it.
fn delegation() -> Vec<u8> {
    let delegation = Delegation {
        delegate: FRIEND,
        delegator: ACCOUNT,
        authority: ROOT_AUTHORITY,
        caveats: Caveats::default(),
        salt: U256::ZERO,
        signature: &[],
    };
    Delegations(&[delegation]).to_vec()
}

/// The order in which an honest host asks, so that long runs come to a signature, of a device that knows delegations, too.
const ORDERS: [&[usize]; 3] = [&[0, 1, 2, 3], &[4, 3], &[7, 8, 3]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_is_signed_but_what_was_shown_and_approved(
        acts in vec(act(), 0..12),
        order in 0..ORDERS.len(),
        end in vec(act(), 0..6),
    ) {
        let mut rig = Rig::new(Button::default());
        let in_order = ORDERS[order].iter().map(|place| Act::Honest(*place));
        let acts = acts.into_iter().chain(in_order).chain(end).chain([Act::Press(true)]);
        let mut approved = false;
        for act in acts {
            let bytes = match act {
                Act::Honest(place) => honest(place),
                Act::Changed(place, at, bits) => {
                    let mut bytes = honest(place);
                    let at = at.index(bytes.len());
                    bytes[at] ^= bits;
                    bytes
                }
                Act::Noise(bytes) => bytes,
                Act::Press(yes) => {
                    approved = yes && rig.device.is_waiting();
                    rig.button.press(if yes { Decision::Approve } else { Decision::Reject });
                    vec![]
                }
            };
            let asked = rig.button.asked().len();
            let waits = rig.device.is_waiting();
            for (_, answer) in read(&rig.send_bytes(&bytes)) {
                let Answer::Signature(bytes) = answer else { continue };
                prop_assert!(approved && waits, "signed without approval");
                prop_assert_eq!(rig.button.asked().len(), asked);
                let hash = *rig.button.asked().last().unwrap();
                let line = format!("Hash of all this {hash}");
                prop_assert!(rig.screen.lines().contains(&line));
                let signature = Signature::from_raw(&bytes).unwrap();
                let signers = [signing_hash(hash), hash]
                    .map(|digest| signature.recover_address_from_prehash(&digest).unwrap());
                prop_assert!(signers.contains(&rig.device.address()));
            }
            approved = false;
        }
    }
}
