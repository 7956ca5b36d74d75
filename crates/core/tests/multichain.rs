//! The owner's signature for several operations.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use alloy_primitives::{hex, keccak256};
use proptest::{collection::vec, prelude::*};
use quorate_core::*;

type Bytes = heapless::Vec<u8, 1024>;

fn encode(encoder: &impl Encode) -> Bytes {
    let mut bytes = Bytes::new();
    encoder.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.len(), encoder.encoded_len());
    bytes
}

prop_compose! {
    fn any_epoch()(after in 0..=SessionEpoch::MAX_TIME, until in 0..=SessionEpoch::MAX_TIME) -> SessionEpoch {
        SessionEpoch::new(after, until).unwrap()
    }
}

fn any_nodes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<B256>> {
    vec(any::<[u8; 32]>().prop_map(B256::new), count)
}

fn any_signature() -> impl Strategy<Value = [u8; 65]> {
    vec(any::<u8>(), 65).prop_map(|bytes| bytes.try_into().unwrap())
}

#[test]
fn a_leaf_is_44_packed_bytes() {
    let epoch = SessionEpoch::new(0x0102_0304_0506, 0x0a0b_0c0d_0e0f).unwrap();
    let packed = [hex!("0a0b0c0d0e0f" "010203040506").as_slice(), &[0x77; 32]].concat();
    assert_eq!(packed.len(), 44);
    assert_eq!(multichain::leaf(epoch, B256::repeat_byte(0x77)), keccak256(packed));
}

#[test]
fn no_proof_is_longer_than_the_dummys() {
    for operations in 1..=70_u8 {
        let leaves: Vec<_> = (0..operations).map(|n| keccak256([n])).collect();
        let longest =
            leaves.iter().map(|leaf| merkle::Proof::of(&leaves, *leaf).unwrap().siblings().len()).max();
        assert_eq!(longest, Some(multichain::proof_len(leaves.len())), "{operations} operations");
        let dummy = MultichainSignature::dummy(SessionEpoch::UNLIMITED, leaves.len());
        assert_eq!(Some(dummy.proof.len()), longest);
    }
    assert_eq!(multichain::proof_len(usize::MAX), usize::BITS as usize);
    let most = MultichainSignature::dummy(SessionEpoch::UNLIMITED, usize::MAX);
    assert_eq!(most.proof.len(), 32);
}

#[test]
fn a_dummy_is_read_as_a_signature_and_proves_nothing() {
    let epoch = SessionEpoch::new(0, 1_900_000_000).unwrap();
    let bytes = encode(&MultichainSignature::dummy(epoch, 5));
    let read = MultichainSignature::parse(&bytes).unwrap();
    assert_eq!((read.epoch, read.proof.len()), (epoch, 3));
    assert_eq!(*read.signature, DUMMY_SESSION_SIGNATURE);
    assert!(!read.verify(B256::ZERO));
}

#[test]
fn one_operation_needs_no_proof() {
    let epoch = SessionEpoch::new(0, 9).unwrap();
    let user_op_hash = B256::repeat_byte(3);
    let root = multichain::leaf(epoch, user_op_hash);
    let signature =
        MultichainSignature::<B256> { epoch, root, proof: &[], signature: &DUMMY_SESSION_SIGNATURE };
    assert!(signature.verify(user_op_hash));
    assert!(!MultichainSignature { epoch: SessionEpoch::UNLIMITED, ..signature }.verify(user_op_hash));
    // The module would take 65 bytes for a signature over the operation's hash.
    assert_eq!(signature.encoded_len(), 320);
}

#[test]
fn what_is_no_signature_is_told_why() {
    let dummy = encode(&MultichainSignature::dummy(SessionEpoch::UNLIMITED, 2));
    let refused = |bytes: &[u8]| MultichainSignature::parse(bytes).unwrap_err();
    let changed = |at: usize, byte: u8| {
        let mut bytes = dummy.clone();
        bytes[at] = byte;
        refused(&bytes)
    };
    for len in [0, 65, 288, 319, 351] {
        let bytes = dummy.get(..len).unwrap();
        assert_eq!(refused(bytes), MalformedMultichainSignature::Length { len });
    }
    // A word more or less is another number of nodes, which the offsets do not fit.
    let longer = [dummy.as_slice(), &[0; 32]].concat();
    for bytes in [&longer, &dummy[..320]] {
        assert_eq!(refused(bytes), MalformedMultichainSignature::NotCanonical { at: 4 * 32 });
    }
    assert_eq!(changed(3 * 32 + 31, 0x80), MalformedMultichainSignature::NotCanonical { at: 3 * 32 });
    assert_eq!(changed(5 * 32 + 31, 2), MalformedMultichainSignature::NotCanonical { at: 5 * 32 });
    assert_eq!(changed(7 * 32 + 31, 64), MalformedMultichainSignature::NotCanonical { at: 7 * 32 });
    assert_eq!(changed(8 * 32 + 65, 1), MalformedMultichainSignature::NotCanonical { at: 8 * 32 + 65 });
    for (at, field) in [(0, TimeField::ValidUntil), (32, TimeField::ValidAfter)] {
        for byte in 0..26 {
            let error = changed(at + byte, 1);
            let MalformedMultichainSignature::Time(EncodeError::TimeTooLarge { field: found, .. }) = error
            else {
                panic!("{error}");
            };
            assert_eq!(found, field);
        }
    }
}

proptest! {
    /// The encoder of `alloy-sol-types`, which is not this crate's.
    #[cfg(feature = "abi")]
    #[test]
    fn the_encoding_is_the_abis(
        epoch in any_epoch(),
        root in any::<[u8; 32]>(),
        proof in any_nodes(0..9),
        signature in any_signature(),
        module in any::<[u8; 20]>(),
    ) {
        use alloy_primitives::aliases::U48;
        use alloy_sol_types::{SolType, sol_data::{self, Array, FixedBytes, Uint}};

        type Inner = (Uint<48>, Uint<48>, FixedBytes<32>, Array<FixedBytes<32>>, sol_data::Bytes);
        let expected = Inner::abi_encode_params(&(
            U48::from(epoch.valid_until()),
            U48::from(epoch.valid_after()),
            B256::new(root),
            proof.clone(),
            signature,
        ));
        let encoder = MultichainSignature { epoch, root: root.into(), proof: &proof, signature: &signature };
        let encoded = encode(&encoder);
        prop_assert_eq!(&encoded[..], &expected[..]);
        prop_assert_ne!(encoded.len(), 65);

        let module = Address::new(module);
        let wrapped = encode(&ModuleSignature { module_signature: encoder, module });
        let expected = <(sol_data::Bytes, sol_data::Address)>::abi_encode_params(&(expected, module));
        prop_assert_eq!(&wrapped[..], &expected[..]);
    }

    #[test]
    fn what_is_read_encodes_to_the_same_bytes(
        epoch in any_epoch(),
        root in any::<[u8; 32]>(),
        proof in any_nodes(0..9),
        signature in any_signature(),
        module in any::<[u8; 20]>(),
    ) {
        let root = B256::new(root);
        let module_signature = MultichainSignature { epoch, root, proof: &proof, signature: &signature };
        let module = Address::new(module);
        let wrapped = encode(&ModuleSignature { module_signature, module });
        let unwrapped = ModuleSignature::parse(&wrapped).unwrap();
        prop_assert_eq!(unwrapped.module, module);
        let read = MultichainSignature::parse(unwrapped.module_signature).unwrap();
        prop_assert_eq!((read.epoch, read.root, read.signature), (epoch, root, &signature));
        prop_assert!(read.proof.iter().eq(proof.iter().map(|node| &node.0)));
        prop_assert_eq!(encode(&read), encode(&module_signature));
    }

    /// One layout only: what is read after a change is the change, and nothing else is taken.
    #[test]
    fn a_changed_byte_is_refused_or_read(
        epoch in any_epoch(),
        proof in any_nodes(0..5),
        signature in any_signature(),
        at in any::<prop::sample::Index>(),
        mask in 1..=u8::MAX,
    ) {
        let signature = MultichainSignature { epoch, root: B256::ZERO, proof: &proof, signature: &signature };
        for wrapped in [false, true] {
            let mut bytes = match wrapped {
                true => encode(&ModuleSignature { module_signature: signature, module: Address::ZERO }),
                false => encode(&signature),
            };
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            if wrapped {
                if let Some(read) = ModuleSignature::parse(&bytes) {
                    prop_assert_eq!(encode(&read), bytes);
                }
            } else if let Ok(read) = MultichainSignature::parse(&bytes) {
                prop_assert_eq!(encode(&read), bytes);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(words in any_nodes(0..14), cut in 0..32_usize) {
        let bytes = words.concat();
        let bytes = &bytes[..bytes.len().saturating_sub(cut)];
        if let Ok(read) = MultichainSignature::parse(bytes) {
            prop_assert_eq!(&encode(&read)[..], bytes);
        }
        if let Some(read) = ModuleSignature::parse(bytes) {
            prop_assert_eq!(&encode(&read)[..], bytes);
        }
    }

    #[test]
    fn a_proof_is_for_one_operation_and_whole(
        epoch in any_epoch(),
        mut hashes in any_nodes(1..9),
        which in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        hashes.sort_unstable();
        hashes.dedup();
        let leaves: Vec<_> = hashes.iter().map(|hash| multichain::leaf(epoch, *hash)).collect();
        let root = merkle::root(&leaves).unwrap();
        let which = which.index(hashes.len());
        let proof = merkle::Proof::of(&leaves, leaves[which]).unwrap();
        let signature =
            MultichainSignature { epoch, root, proof: proof.siblings(), signature: &DUMMY_SESSION_SIGNATURE };
        for (at, hash) in hashes.iter().enumerate() {
            prop_assert_eq!(signature.verify(*hash), at == which);
        }

        let hash = hashes[which];
        let mut longer = proof.siblings().to_vec();
        longer.push(B256::ZERO);
        let with_proof = |proof: &[B256]| MultichainSignature { proof, ..signature }.verify(hash);
        prop_assert!(!with_proof(&longer));
        let other = SessionEpoch::new(epoch.valid_after(), epoch.valid_until() ^ 1).unwrap();
        let other = MultichainSignature { epoch: other, ..signature };
        prop_assert!(!other.verify(hash));
        if !proof.siblings().is_empty() {
            prop_assert!(!with_proof(&proof.siblings()[1..]));
            let mut changed = proof.siblings().to_vec();
            let bit = bit.index(changed.len() * 256);
            changed[bit / 256].0[bit / 8 % 32] ^= 1 << (bit % 8);
            prop_assert!(!with_proof(&changed));
        }
    }
}
