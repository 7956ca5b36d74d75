//! Caveats and what is done under them, near to where their enforcers change their minds.

use std::fmt;

use alloy_primitives::{Address, U256, address};
use proptest::prelude::*;
use proptest::test_runner::TestRng;
use quorate_core::delegation::{CallType, Enforcer, ExecutionType, Mode};

use super::{TOKEN_APPROVED, TOKEN_NOT_APPROVED};
use crate::machine::Hex;

/// A delegation with its caveats, and what is redeemed under it, one after another.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) delegator: Address,
    pub(super) redeemer: Address,
    pub(super) salt: U256,
    /// How often the delegator's nonce was incremented.
    pub(super) nonce: u8,
    /// Calls that were counted before, where the first caveat counts calls.
    pub(super) calls: U256,
    pub(super) caveats: Vec<Bound>,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) struct Bound {
    pub(super) enforcer: Enforcer,
    pub(super) terms: Hex,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) mode: Mode,
    pub(super) execution: Hex,
    pub(super) time: u64,
    pub(super) block: u64,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    Just(()).prop_perturb(|(), rng| Dice::new(rng).case())
}

const CONTRACTS: [Address; 2] = [Address::repeat_byte(0xa1), Address::repeat_byte(0xa2)];
const PERMIT2: Address = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
const REDEEMERS: [Address; 3] =
    [Address::repeat_byte(0xb1), Address::repeat_byte(0xb2), Address::repeat_byte(0xb3)];
const TIME: u64 = 1_900_000_000;
const BLOCK: u64 = 20_000_000;

const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
const APPROVE: [u8; 4] = [0x09, 0x5e, 0xa7, 0xb3];
const SET_APPROVAL_FOR_ALL: [u8; 4] = [0xa2, 0x2c, 0xb4, 0x65];
const PERMIT2_APPROVE: [u8; 4] = [0x87, 0x51, 0x7c, 0x45];
const PERMIT2_LOCKDOWN: [u8; 4] = [0xcc, 0x53, 0x28, 0x7f];
const PERMIT2_INVALIDATE_NONCES: [u8; 4] = [0x65, 0xd9, 0x72, 0x3c];
const SELECTORS: [[u8; 4]; 6] =
    [TRANSFER, APPROVE, SET_APPROVAL_FOR_ALL, PERMIT2_APPROVE, PERMIT2_LOCKDOWN, PERMIT2_INVALIDATE_NONCES];

const TRANSFERS: [Enforcer; 4] = [
    Enforcer::ERC20TransferAmount,
    Enforcer::ERC20PeriodTransfer,
    Enforcer::ERC20Streaming,
    Enforcer::NativeTokenStreaming,
];

/// Everything that is left to chance.
pub(super) struct Dice {
    rng: TestRng,
    /// Numbers are near 2^256 in this case.
    huge: bool,
}

impl fmt::Debug for Dice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dice").finish_non_exhaustive()
    }
}

impl Dice {
    pub(super) fn new(mut rng: TestRng) -> Self {
        let huge = rng.next_u32().is_multiple_of(5);
        Self { rng, huge }
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.rng.next_u32() % end
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(u32::try_from(items.len()).unwrap()) as usize]
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// A small number, or in some cases a huge one.
    fn number(&mut self) -> U256 {
        let small = U256::from(self.below(8));
        if self.huge && self.percent(60) {
            let huge = [U256::MAX, U256::MAX, U256::MAX - small, U256::ONE << 255];
            return self.pick(&huge);
        }
        small
    }

    fn case(mut self) -> Case {
        let enforcer = match self.below(20) {
            // They have the most to say.
            0..3 => Enforcer::ApprovalRevocation,
            3..6 => self.pick(&TRANSFERS),
            _ => self.pick(Enforcer::ALL),
        };
        let number_of_steps = 1 + self.below(4);
        let steps: Vec<_> = (0..number_of_steps).map(|_| self.step(enforcer)).collect();
        let first = &steps[0].execution.0;
        let mut caveats = vec![self.caveat(enforcer, first)];
        if self.percent(20) {
            caveats.push(self.caveat(enforcer, first));
        }
        if self.percent(15) {
            let other = self.pick(Enforcer::ALL);
            let place = self.below(u32::try_from(caveats.len()).unwrap() + 1) as usize;
            caveats.insert(place, self.caveat(other, first));
        }
        let calls = match self.below(12) {
            0 => U256::MAX,
            1 => U256::MAX - U256::ONE,
            2 => U256::from(2),
            _ => U256::ZERO,
        };
        Case {
            delegator: Address::new(self.bytes()),
            redeemer: self.pick(&REDEEMERS),
            salt: U256::from_be_bytes::<32>(self.bytes()),
            nonce: u8::try_from(self.below(3)).unwrap(),
            calls,
            caveats,
            steps,
        }
    }

    fn step(&mut self, enforcer: Enforcer) -> Step {
        let mode = Mode {
            call: if self.percent(5) { CallType::Batch } else { CallType::Single },
            execution: if self.percent(5) { ExecutionType::Try } else { ExecutionType::Default },
        };
        Step { mode, execution: self.execution(enforcer), time: self.moment(TIME), block: self.moment(BLOCK) }
    }

    /// A moment near that one, mostly.
    fn moment(&mut self, base: u64) -> u64 {
        match self.below(30) {
            0 => 0,
            1 => u64::MAX,
            _ => base - 5 + u64::from(self.below(40)),
        }
    }

    pub(super) fn caveat(&mut self, enforcer: Enforcer, execution: &[u8]) -> Bound {
        let mut terms = self.terms(enforcer, execution.get(52..).unwrap_or_default());
        match self.below(25) {
            0 => terms.truncate(terms.len().saturating_sub(1 + self.below(32) as usize)),
            1 => {
                let more = 1 + self.below(33) as usize;
                terms.resize(terms.len() + more, 1);
            }
            2 => terms.clear(),
            _ => {}
        }
        Bound { enforcer, terms: Hex(terms) }
    }

    fn terms(&mut self, enforcer: Enforcer, data: &[u8]) -> Vec<u8> {
        let words = |numbers: &[U256]| numbers.iter().flat_map(U256::to_be_bytes::<32>).collect::<Vec<u8>>();
        let items = 1 + self.below(3);
        match enforcer {
            Enforcer::AllowedTargets => {
                let all = [CONTRACTS[0], CONTRACTS[1], TOKEN_APPROVED, PERMIT2];
                (0..items).flat_map(|_| self.pick(&all).0.0).collect()
            }
            Enforcer::AllowedMethods => (0..items).flat_map(|_| self.pick(&SELECTORS)).collect(),
            Enforcer::AllowedCalldata => self.place_in(data),
            Enforcer::ExactCalldata if self.percent(70) => data.to_vec(),
            Enforcer::ExactCalldata => self.any_data(),
            Enforcer::ValueLte | Enforcer::NativeTokenTransferAmount => words(&[self.number()]),
            Enforcer::LimitedCalls if self.percent(30) => words(&[U256::MAX]),
            Enforcer::LimitedCalls | Enforcer::Id | Enforcer::Nonce => words(&[U256::from(self.below(4))]),
            Enforcer::Timestamp => self.bounds(TIME),
            Enforcer::BlockNumber => self.bounds(BLOCK),
            Enforcer::Redeemer => (0..items).flat_map(|_| self.pick(&REDEEMERS).0.0).collect(),
            Enforcer::NativeTokenPeriodTransfer => words(&self.period()),
            Enforcer::NativeTokenStreaming => words(&self.stream()),
            Enforcer::ERC20TransferAmount => [self.token().to_vec(), words(&[self.number()])].concat(),
            Enforcer::ERC20PeriodTransfer => [self.token().to_vec(), words(&self.period())].concat(),
            Enforcer::ERC20Streaming => [self.token().to_vec(), words(&self.stream())].concat(),
            Enforcer::ApprovalRevocation => {
                let some = 1 + u8::try_from(self.below(63)).unwrap();
                let any = u8::try_from(self.below(256)).unwrap();
                vec![self.pick(&[0x3f, 0x3f, some, some, some, any, 0])]
            }
            other => panic!("{other:?} has no terms"),
        }
    }

    /// A place in call data and what stands there, mostly.
    fn place_in(&mut self, data: &[u8]) -> Vec<u8> {
        let len = u32::try_from(data.len()).unwrap();
        let start = self.below(len + 1);
        let end = start + self.below(len - start + 2);
        let mut value = data[start as usize..end.min(len) as usize].to_vec();
        value.resize((end - start) as usize, 0);
        if self.percent(20)
            && let Some(byte) = value.last_mut()
        {
            *byte ^= 1;
        }
        let start = if self.percent(8) { U256::MAX - U256::from(start) } else { U256::from(start) };
        [start.to_be_bytes::<32>().to_vec(), value].concat()
    }

    fn bounds(&mut self, base: u64) -> Vec<u8> {
        let [after, before] = [(); 2].map(|()| match self.below(10) {
            0..4 => 0,
            4 => u128::from(self.pick(&[1, u64::MAX])) << self.pick(&[0, 64]),
            _ => u128::from(base - 5 + u64::from(self.below(40))),
        });
        [after.to_be_bytes(), before.to_be_bytes()].concat()
    }

    fn token(&mut self) -> [u8; 20] {
        if self.percent(92) { CONTRACTS[0].0.0 } else { CONTRACTS[1].0.0 }
    }

    /// A start that is mostly there already.
    fn start(&mut self) -> U256 {
        match self.below(20) {
            0 => U256::ZERO,
            1 => U256::MAX,
            2..6 => U256::from(TIME + u64::from(self.below(20))),
            _ => U256::from(TIME - u64::from(self.below(20))),
        }
    }

    fn period(&mut self) -> [U256; 3] {
        let durations = [1, 3, 10, 10, 100, 0].map(U256::from);
        let duration = if self.percent(8) { U256::MAX } else { self.pick(&durations) };
        [self.number(), duration, self.start()]
    }

    fn stream(&mut self) -> [U256; 4] {
        let per_second = U256::from(self.below(3));
        let huge = self.number();
        let per_second = if self.huge { self.pick(&[per_second, huge, huge]) } else { per_second };
        let max = U256::from(self.below(30));
        let max = if self.percent(20) { U256::MAX } else { max };
        [self.number(), max, per_second, self.start()]
    }

    fn execution(&mut self, enforcer: Enforcer) -> Hex {
        let (mut to, value, mut data) = match enforcer {
            Enforcer::ERC20TransferAmount | Enforcer::ERC20PeriodTransfer | Enforcer::ERC20Streaming => {
                (CONTRACTS[0], U256::ZERO, self.transfer())
            }
            Enforcer::ApprovalRevocation => self.revocation(),
            _ => {
                let all = [CONTRACTS[0], CONTRACTS[1], TOKEN_APPROVED];
                (self.pick(&all), self.number(), self.any_data())
            }
        };
        match self.below(40) {
            0 => to = CONTRACTS[1],
            1 => drop(data.pop()),
            2 => data.push(0),
            3 => data.truncate(self.below(5) as usize),
            4 | 5 => data.splice(..4.min(data.len()), self.pick(&SELECTORS)).for_each(drop),
            _ => {}
        }
        let mut bytes = [to.as_slice(), &value.to_be_bytes::<32>(), &data].concat();
        if self.percent(3) {
            bytes.truncate(self.below(60) as usize);
        }
        Hex(bytes)
    }

    fn transfer(&mut self) -> Vec<u8> {
        let dirty_address: [u8; 32] = self.bytes();
        [&TRANSFER[..], &dirty_address, &self.number().to_be_bytes::<32>()].concat()
    }

    fn any_data(&mut self) -> Vec<u8> {
        if self.percent(15) {
            return Vec::new();
        }
        let words = self.below(4);
        let mut data = self.pick(&SELECTORS).to_vec();
        data.extend((0..words).flat_map(|_| self.number().to_be_bytes::<32>()));
        data
    }

    /// Mostly something that takes an approval back.
    fn revocation(&mut self) -> (Address, U256, Vec<u8>) {
        let value = if self.percent(4) { U256::ONE } else { U256::ZERO };
        let selector = self.pick(&SELECTORS);
        let token = if self.percent(70) { TOKEN_APPROVED } else { TOKEN_NOT_APPROVED };
        let someone = U256::from(0xb0b + self.below(3));
        let number = if self.percent(35) { self.number() } else { U256::ZERO };
        let (to, words) = match selector {
            PERMIT2_APPROVE if self.percent(15) => (PERMIT2, vec![someone; 3]),
            PERMIT2_APPROVE => {
                let [amount, expiration] = [(); 2].map(|()| self.pick(&[number, U256::ZERO]));
                (PERMIT2, vec![someone, someone, amount, expiration])
            }
            PERMIT2_LOCKDOWN | PERMIT2_INVALIDATE_NONCES => (PERMIT2, vec![someone; self.below(5) as usize]),
            APPROVE if self.percent(40) => (token, vec![U256::ZERO, someone]),
            _ => (token, vec![someone, number]),
        };
        let to = if self.percent(6) { self.pick(&[CONTRACTS[0], TOKEN_APPROVED, PERMIT2]) } else { to };
        let data = words.iter().flat_map(U256::to_be_bytes::<32>);
        (to, value, selector.into_iter().chain(data).collect())
    }
}
