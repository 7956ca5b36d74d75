//! Shares at rest.

use std::sync::Arc;

use quorate_mpc::{KeyShare, ShareError, Unconfirmed};
use sha2::{Digest, Sha256};

use crate::router::*;

#[test]
fn a_share_signs_after_a_round_trip() {
    let shares: Shares = two_of_two()
        .iter()
        .map(|(party, share)| {
            let bytes = share.to_bytes().unwrap();
            let read = KeyShare::from_bytes(&bytes).unwrap();
            assert_eq!(read.to_bytes().unwrap(), bytes);
            assert_eq!(read.index(), *party);
            assert_eq!(read.public_key(), share.public_key());
            (*party, Arc::new(read))
        })
        .collect();
    sign(&shares, &[1, 2], [7; 32]);
}

#[test]
fn a_pending_share_is_confirmed_after_a_round_trip() {
    let pending = keygen_unconfirmed(quorum(2, 2));
    let read: Each<Unconfirmed> = pending
        .iter()
        .map(|(party, pending)| {
            let bytes = pending.to_bytes().unwrap();
            assert_eq!(KeyShare::from_bytes(&bytes).unwrap_err(), ShareError::Kind);
            let read = Unconfirmed::from_bytes(&bytes).unwrap();
            assert_eq!(read.confirmation(), pending.confirmation());
            (*party, read)
        })
        .collect();
    sign(&confirm_all(read), &[1, 2], [7; 32]);
}

#[test]
fn damaged_bytes_are_refused() {
    let bytes = two_of_two()[&party(1)].to_bytes().unwrap();
    assert_eq!(Unconfirmed::from_bytes(&bytes).unwrap_err(), ShareError::Kind);
    let changed = |at: usize| {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x40;
        KeyShare::from_bytes(&changed).unwrap_err()
    };
    assert_eq!(changed(0), ShareError::Version { found: 0x41, expected: 1 });
    assert_eq!(changed(1), ShareError::Kind);
    for at in (2..bytes.len()).step_by(997) {
        assert_eq!(changed(at), ShareError::Checksum);
    }
    for len in [0, 1, 33, bytes.len() - 1] {
        assert!(KeyShare::from_bytes(&bytes[..len]).is_err(), "{len}");
    }
}

/// Bytes with a right checksum and a wrong content lead to an error or a share, and never to a panic.
#[test]
fn hostile_bytes_are_refused_or_read() {
    let bytes = two_of_two()[&party(1)].to_bytes().unwrap();
    let content = &bytes[..bytes.len() - 32];
    let read = |content: &[u8]| {
        let mut hostile = content.to_vec();
        hostile.extend(Sha256::digest(content));
        KeyShare::from_bytes(&hostile)
    };
    for at in (2..120).chain((120..content.len()).step_by(307)) {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = content.to_vec();
            changed[at] ^= flip;
            drop(read(&changed));
        }
        assert!(read(&content[..at]).is_err());
    }
    // The threshold, the number of parties and the party's index come first.
    for (at, to) in [(2, 1), (2, 3), (3, 3), (4, 0), (4, 2), (4, 3)] {
        let mut changed = content.to_vec();
        assert_ne!(changed[at], to);
        changed[at] = to;
        assert!(
            matches!(read(&changed), Err(ShareError::Encoding | ShareError::Inconsistent { .. })),
            "{at} {to}"
        );
    }
}

#[test]
fn a_share_shows_nothing_secret() {
    let shown = format!("{:?}", two_of_two()[&party(1)]);
    assert!(shown.contains("[redacted]"));
    assert!(shown.len() < 250, "{shown}");
}
