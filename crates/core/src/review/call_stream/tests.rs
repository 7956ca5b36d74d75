use std::{vec, vec::Vec};

use super::*;
use crate::{AccountCall, Call, Encode, Execute, ExecuteBatch};

/// The calls that a stream reports, with their data, fed in pieces of `piece` bytes.
fn read(call_data: &[u8], piece: usize) -> Result<Vec<(CallHead, Vec<u8>)>, ReviewError> {
    let mut stream = CallStream::<4>::new();
    let mut calls: Vec<(CallHead, Vec<u8>)> = Vec::new();
    let mut ended = 0;
    let mut report = |event: Event<'_>| {
        match event {
            Event::Begin { number, head, .. } => {
                assert_eq!((number, calls.len()), (ended, ended));
                calls.push((head, Vec::new()));
            }
            Event::Data(bytes) => calls.last_mut().unwrap().1.extend_from_slice(bytes),
            Event::End { .. } => ended += 1,
        }
        Ok(())
    };
    for piece in call_data.chunks(piece) {
        stream.push(piece, &mut Keccak256::new(), &mut report)?;
    }
    stream.finish()?;
    assert_eq!(ended, calls.len());
    Ok(calls)
}

fn encode(encoder: &impl Encode) -> Vec<u8> {
    let mut bytes = heapless::Vec::<u8, 2048>::new();
    encoder.write_to(&mut bytes).unwrap();
    bytes.to_vec()
}

fn samples() -> Vec<Vec<u8>> {
    let data: Vec<Vec<u8>> = [0, 1, 31, 32, 33, 100].map(|len| vec![7; len]).into();
    let call = |data| Call { to: Address::repeat_byte(9), value: U256::from(5), data };
    let single = data.iter().map(|data| encode(&Execute(call(data))));
    let calls: Vec<Call<'_>> = data.iter().map(|data| call(data)).collect();
    let batches = (0..=4).map(|len| encode(&ExecuteBatch(calls.get(..len).unwrap())));
    single.chain(batches).collect()
}

#[test]
fn the_same_calls_as_the_whole_in_pieces_of_any_size() {
    for call_data in samples() {
        let whole: Vec<_> = AccountCall::decode(&call_data).unwrap().calls().collect();
        for piece in [1, 4, 7, 32, 1000] {
            let read = read(&call_data, piece).unwrap();
            assert_eq!(read.len(), whole.len());
            for ((head, data), call) in read.iter().zip(&whole) {
                assert_eq!((head.to, head.value, data.as_slice()), (call.to, call.value, call.data));
                assert_eq!(head.data_len, data.len() as u64);
            }
        }
    }
}

#[test]
fn what_is_not_canonical_is_refused_where_the_whole_is() {
    for call_data in samples() {
        for at in 0..call_data.len() {
            for bit in [1, 0x80] {
                let mut changed = call_data.clone();
                *changed.get_mut(at).unwrap() ^= bit;
                let canonical = AccountCall::decode(&changed).is_ok();
                assert_eq!(read(&changed, 64).is_ok(), canonical, "byte {at} of {call_data:02x?}");
            }
        }
        let cut = call_data.len() - 1;
        assert!(matches!(read(call_data.get(..cut).unwrap(), 64), Err(ReviewError::Ends { .. })));
        let longer = [call_data.as_slice(), &[0]].concat();
        assert_eq!(read(&longer, 64), Err(ReviewError::Unreadable { at: call_data.len() }));
    }
}

#[test]
fn more_calls_than_there_is_room_for() {
    let call = Call { to: Address::ZERO, value: U256::ZERO, data: &[] };
    let call_data = encode(&ExecuteBatch(&[call; 5]));
    assert_eq!(read(&call_data, 64), Err(ReviewError::TooManyCalls { calls: 5, limit: 4 }));
}

/// Every string of these words that a stream takes, and each word that it does not take: what the stream says of them is what
/// the decoder of whole call data says.
#[test]
fn all_short_strings_of_words_are_read_as_the_decoder_reads_them() {
    let numbers = [0, 1, 2, 4, 31, 32, 33, 64, 96, 128, 160, 192, 224, 256, 320];
    let mut words: Vec<[u8; WORD]> = numbers.map(U256::from).map(|number| number.to_be_bytes()).to_vec();
    words.extend(
        [U256::from(u64::MAX), U256::ONE << 160, U256::MAX].map(|number| number.to_be_bytes::<WORD>()),
    );
    let mut seen = Seen::default();
    for selector in [selectors::EXECUTE, selectors::EXECUTE_BATCH_Y6U] {
        let mut stream = CallStream::<4>::new();
        stream.push(&selector, &mut Keccak256::new(), &mut |_| Ok(())).unwrap();
        walk(&mut selector.to_vec(), &stream, &words, &mut seen);
    }
    assert!(seen.whole > 100 && seen.refused > 10_000, "{seen:?}");
}

#[derive(Debug, Default)]
struct Seen {
    whole: usize,
    refused: usize,
}

/// Goes on from a string that a stream takes, up to a batch of two calls with a word of data each.
fn walk(call_data: &mut Vec<u8>, stream: &CallStream<4>, words: &[[u8; WORD]], seen: &mut Seen) {
    const LONGEST: usize = 4 + 16 * WORD;
    if call_data.len() == LONGEST {
        return;
    }
    // Of what may be anything, a few words stand for all.
    let any = [U256::from(2), U256::MAX].map(|number| number.to_be_bytes::<WORD>());
    let next = match stream.place {
        Place::Data | Place::To | Place::Value | Place::ToOf | Place::ValueOf => &any[..],
        _ => words,
    };
    for word in next {
        call_data.extend_from_slice(word);
        let mut next = stream.clone();
        let is_whole =
            next.push(word, &mut Keccak256::new(), &mut |_| Ok(())).map(|()| next.finish().is_ok());
        let decoded = AccountCall::decode(call_data);
        assert_eq!(is_whole == Ok(true), decoded.is_ok(), "{call_data:02x?}");
        match is_whole {
            Ok(true) => {
                seen.whole += 1;
                let calls: Vec<_> =
                    decoded.unwrap().calls().map(|call| (call.to, call.value, call.data.to_vec())).collect();
                let streamed = read(call_data, 40).unwrap();
                assert!(streamed.into_iter().map(|(head, data)| (head.to, head.value, data)).eq(calls));
                walk(call_data, &next, words, seen);
            }
            Ok(false) => walk(call_data, &next, words, seen),
            Err(_) => seen.refused += 1,
        }
        call_data.truncate(call_data.len() - WORD);
    }
}
