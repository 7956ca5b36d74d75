//! The enforcers that can be judged here, and where they are deployed.

use core::fmt;

use alloy_primitives::{Address, address};

use crate::written::{TextSink, Written, displays};

/// The delegation manager of version 1.3.0, the same on every chain that it is deployed on.
pub const MANAGER_V1_3_0: Address = address!("db9B1e94B5b69Df7e401DDbedE43491141047dB3");

macro_rules! enforcers {
    ($($(#[$doc:meta])* $name:ident $address:literal,)+) => {
        /// A contract that enforces caveats.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Enforcer {
            $($(#[$doc])* $name,)+
        }

        impl Enforcer {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What it is called, without the `Enforcer` at the end of a contract's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// Where the framework's version 1.3.0 has it, on every chain that it is deployed on.
            pub const fn address_v1_3_0(self) -> Address {
                match self {
                    $(Self::$name => address!($address),)+
                }
            }
        }
    };
}

enforcers! {
    /// Terms: the contracts that may be called, 20 bytes each.
    AllowedTargets "7F20f61b1f09b08D970938F6fa563634d65c4EeB",
    /// Terms: the functions that may be called, 4 bytes each.
    AllowedMethods "2c21fD0Cb9DC8445CB3fb0DC5E7Bb0Aca01842B5",
    /// Terms: a place in the call data, from its first byte (32 bytes), and what has to stand there.
    AllowedCalldata "c2b0d624c1c4319760C96503BA27C347F3260f55",
    /// Terms: the call data.
    ExactCalldata "99F2e9bF15ce5eC84685604836F71aB835DBBdED",
    /// Terms: the most value of a call, in wei (32 bytes).
    ValueLte "92Bf12322527cAA612fd31a0e810472BBB106A8F",
    /// Terms: after and before which second since 1970, both exclusive, 16 bytes each, 0 for an open end.
    Timestamp "1046bb45C8d673d4ea75321280DB34899413c069",
    /// Terms: after and before which block, as for [`Timestamp`](Self::Timestamp).
    BlockNumber "5d9818dF0AE3f66e9c3D0c5029DAF99d1823ca6c",
    /// Terms: how many times the delegation may be redeemed (32 bytes).
    LimitedCalls "04658B29F6b82ed55274221a06Fc97D318E25416",
    /// Terms: the most value of all calls together, in wei (32 bytes).
    NativeTokenTransferAmount "F71af580b9c3078fbc2BBF16FbB8EEd82b330320",
    /// Terms: a token (20 bytes), and the most that may be transferred in all (32).
    ERC20TransferAmount "f100b0819427117EcF76Ed94B358B1A5b5C6D2Fc",
    /// Terms: the most value in a period, its duration in seconds, when the first one starts, 32 bytes each.
    NativeTokenPeriodTransfer "9BC0FAf4Aca5AE429F4c06aEEaC517520CB16BD9",
    /// Terms: a token (20 bytes), and then as for the chain's coin.
    ERC20PeriodTransfer "474e3Ae7E169e940607cC624Da8A15Eb120139aB",
    /// Terms: what is there at the start, the most in all, what is added each second, and the start, 32 bytes each.
    NativeTokenStreaming "D10b97905a320b13a0608f7E9cC506b56747df19",
    /// Terms: a token (20 bytes), and then as for the chain's coin.
    ERC20Streaming "56c97aE02f233B29fa03502Ecc0457266d9be00e",
    /// Terms: who may redeem, 20 bytes each.
    Redeemer "E144b0b2618071B4E56f746313528a669c7E65c5",
    /// Terms: what the delegator's nonce has to be (32 bytes).
    Nonce "DE4f2FAC4B3D87A1d9953Ca5FC09FCa7F366254f",
    /// Terms: a number that is used up, for all delegations of the delegator (32 bytes).
    Id "C8B5D93463c893401094cc70e66A206fb5987997",
    /// Terms: a bit for each of the six calls that take an approval back (1 byte); see [`Primitive`](super::Primitive).
    ApprovalRevocation "e264F1f09A19505a1ca1a86D5b01E8bFdb64324A",
}

impl Enforcer {
    /// Whether it also lets a batch pass, at whose calls it does not look.
    pub const fn takes_batches(self) -> bool {
        matches!(
            self,
            Self::Timestamp
                | Self::BlockNumber
                | Self::LimitedCalls
                | Self::Redeemer
                | Self::Nonce
                | Self::Id
        )
    }
}

/// Its contract's name.
impl Written for Enforcer {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        out(self.name())?;
        out("Enforcer")
    }
}

displays!(Enforcer);

/// Which enforcers are deployed where. What is not among them is not judged.
#[derive(Clone, Copy, Debug)]
pub struct Enforcers<'a>(&'a [(Address, Enforcer)]);

impl<'a> Enforcers<'a> {
    /// Takes the addresses as they are.
    pub const fn new(deployed: &'a [(Address, Enforcer)]) -> Self {
        Self(deployed)
    }

    /// The one at that address, if it is known.
    pub fn at(&self, address: Address) -> Option<Enforcer> {
        self.0.iter().find(|(deployed, _)| *deployed == address).map(|(_, enforcer)| *enforcer)
    }
}

impl Enforcers<'static> {
    /// Version 1.3.0 of the framework, the same on every chain that it is deployed on.
    pub const V1_3_0: Self = Self(&DEPLOYED_V1_3_0);
}

const DEPLOYED_V1_3_0: [(Address, Enforcer); Enforcer::ALL.len()] = deployed_v1_3_0();

#[allow(clippy::indexing_slicing, reason = "in a constant, which does not compile where it is out of bounds")]
const fn deployed_v1_3_0() -> [(Address, Enforcer); Enforcer::ALL.len()] {
    let mut deployed = [(Address::ZERO, Enforcer::AllowedTargets); Enforcer::ALL.len()];
    let mut index = 0;
    while index < deployed.len() {
        deployed[index] = (Enforcer::ALL[index].address_v1_3_0(), Enforcer::ALL[index]);
        index += 1;
    }
    deployed
}
