//! keccak-256 at compile time, for the selectors of functions that a program names in its source.
//!
//! Source: FIPS 202, sections 3.2 and 5, with the padding that Keccak had before.

#![allow(clippy::indexing_slicing, reason = "a const fn has no other way to a place that it computes")]
#![allow(clippy::cast_lossless, reason = "nor another way from a byte to a lane")]

/// Takes its bytes text by text.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConstKeccak {
    lanes: [u64; 25],
    /// Where in the block the next byte goes.
    at: usize,
}

/// The bytes of a block.
const RATE: usize = 136;

impl ConstKeccak {
    pub(super) const fn new() -> Self {
        Self { lanes: [0; 25], at: 0 }
    }

    pub(super) const fn update(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let [byte, after @ ..] = rest {
            self.add(*byte, self.at);
            self.at += 1;
            if self.at == RATE {
                permute(&mut self.lanes);
                self.at = 0;
            }
            rest = after;
        }
    }

    /// The first four bytes of the hash.
    pub(super) const fn selector(mut self) -> [u8; 4] {
        self.add(0x01, self.at);
        self.add(0x80, RATE - 1);
        permute(&mut self.lanes);
        let [a, b, c, d, ..] = self.lanes[0].to_le_bytes();
        [a, b, c, d]
    }

    const fn add(&mut self, byte: u8, at: usize) {
        self.lanes[at / 8] ^= (byte as u64) << (at % 8 * 8);
    }
}

/// Keccak-f\[1600\]. The lane of column x and row y is at 5y + x.
const fn permute(lanes: &mut [u64; 25]) {
    let mut constants = 1;
    let mut round = 0;
    while round < 24 {
        add_parities(lanes);
        move_lanes(lanes);
        combine_rows(lanes);
        add_constant(lanes, &mut constants);
        round += 1;
    }
}

/// θ: to each lane the parities of two columns.
const fn add_parities(lanes: &mut [u64; 25]) {
    let mut parities = [0; 5];
    let mut lane = 0;
    while lane < 25 {
        parities[lane % 5] ^= lanes[lane];
        lane += 1;
    }
    lane = 0;
    while lane < 25 {
        lanes[lane] ^= parities[(lane + 4) % 5] ^ parities[(lane + 1) % 5].rotate_left(1);
        lane += 1;
    }
}

/// ρ and π: each lane is rotated, and goes to another one's place.
const fn move_lanes(lanes: &mut [u64; 25]) {
    let (mut x, mut y) = (1, 0);
    let mut moved = lanes[x];
    let (mut step, mut distance) = (1, 0);
    while step <= 24 {
        distance = (distance + step) % 64;
        (x, y) = (y, (2 * x + 3 * y) % 5);
        let place = 5 * y + x;
        (moved, lanes[place]) = (lanes[place], moved.rotate_left(distance));
        step += 1;
    }
}

/// χ: each lane is combined with the next two of its row.
const fn combine_rows(lanes: &mut [u64; 25]) {
    let before = *lanes;
    let mut lane = 0;
    while lane < 25 {
        let row = lane / 5 * 5;
        lanes[lane] ^= !before[row + (lane + 1) % 5] & before[row + (lane + 2) % 5];
        lane += 1;
    }
}

/// ι: a constant of the round, whose seven bits come from a shift register.
const fn add_constant(lanes: &mut [u64; 25], register: &mut u8) {
    let mut power = 0;
    while power < 7 {
        lanes[0] ^= ((*register & 1) as u64) << ((1 << power) - 1);
        let feedback = if *register & 0x80 == 0 { 0 } else { 0x71 };
        *register = *register << 1 ^ feedback;
        power += 1;
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_alloy_s(parts in proptest::collection::vec("[ -~]{0,150}", 0..4)) {
            let mut hasher = ConstKeccak::new();
            parts.iter().for_each(|part| hasher.update(part));
            let hash = keccak256(parts.concat());
            prop_assert_eq!(&hasher.selector()[..], hash.get(..4).unwrap());
        }
    }
}
