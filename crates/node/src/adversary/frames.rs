//! What strangers' bytes are read as.

use serde::de::DeserializeOwned;

use crate::gateway::round_of;
use crate::node::{Remark, RunMessage, Told};
use crate::wire::{self, Frame, FromNode, PeerMessage, ToNode};

/// Whether bytes are taken as anything that the gateway, a node or a run's participant reads: a frame to a node, one from a
/// node, what nodes write to each other outside runs, a run's message, what signers tell each other, and what they remark with
/// a hello.
///
/// # Panics
/// If what is read is written as more bytes than were read, or then read as something else. Fewer it may be: postcard reads
/// numbers with needless leading zeros, and maps in any order.
pub fn check_frames(bytes: &[u8]) -> bool {
    let read = read(bytes);
    for (kind, frame) in read.iter().enumerate() {
        let Some(frame) = frame else { continue };
        assert!(frame.len() <= bytes.len(), "what is read is all there is");
        assert_eq!(self::read(frame)[kind].as_ref(), Some(frame));
    }
    read.iter().any(Option::is_some)
}

/// The canonical encoding of what was read, as each kind.
fn read(bytes: &[u8]) -> [Option<Vec<u8>>; 6] {
    // A gateway reads of a run's message where it begins.
    let _ = round_of(bytes);
    [
        encoded_again::<ToNode>(bytes),
        encoded_again::<FromNode>(bytes),
        encoded_again::<PeerMessage>(bytes),
        encoded_again::<RunMessage>(bytes),
        encoded_again::<Told>(bytes),
        encoded_again::<Remark>(bytes),
    ]
}

fn encoded_again<T: Frame + DeserializeOwned>(bytes: &[u8]) -> Option<Vec<u8>> {
    wire::decode::<T>(bytes).ok().map(|frame| wire::encode(&frame))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What the fuzzer begins with, too.
    static KEPT: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/frames");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let read =
            files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()));
        let mut kept: Vec<_> = read.collect();
        kept.sort();
        kept
    });

    #[test]
    fn what_is_kept_is_taken() {
        assert!(KEPT.len() > 10);
        let refused =
            KEPT.iter().filter(|(_, bytes)| !check_frames(bytes)).map(|(name, _)| name).collect::<Vec<_>>();
        assert!(refused.is_empty(), "{refused:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn altered_frames_are_refused_or_read(
            kept in any::<proptest::sample::Index>(),
            alterations in vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3), 1..4),
        ) {
            let mut bytes = KEPT[kept.index(KEPT.len())].1.clone();
            for (place, byte, kind) in alterations {
                let place = place.index(bytes.len() + 1);
                match kind {
                    0 => bytes.insert(place, byte),
                    1 => bytes.truncate(place),
                    _ => bytes.iter_mut().skip(place).take(1).for_each(|altered| *altered ^= byte),
                }
            }
            check_frames(&bytes);
        }
    }
}
