//! Operations and sessions as C hands them in.

use quorate_core::{
    Address, B256, Digest, Domain, EntryPointVersion, Keccak256, OperationHead, PackedUserOperation,
    SessionEpoch, SessionLeaf, U256, UserOperation,
};

use crate::border::{Bytes, Status, read_array};

/// `quorate_operation`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the header says it")]
pub struct Operation {
    pub version: u32,
    pub entry_point: [u8; 20],
    pub chain_id: u64,
    pub sender: [u8; 20],
    pub nonce: [u8; 32],
    pub init_code: Bytes,
    pub call_gas_limit: [u8; 32],
    pub verification_gas_limit: [u8; 32],
    pub pre_verification_gas: [u8; 32],
    pub max_fee_per_gas: [u8; 32],
    pub max_priority_fee_per_gas: [u8; 32],
    pub account_gas_limits: [u8; 32],
    pub gas_fees: [u8; 32],
    pub paymaster_and_data: Bytes,
    pub delegate: *const u8,
}

/// `quorate_session`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the header says it")]
pub struct Session {
    pub valid_after: u64,
    pub valid_until: u64,
    pub validation_module: [u8; 20],
    pub session_key_data: Bytes,
}

impl Operation {
    pub(crate) fn target(&self) -> Domain {
        Domain { entry_point: Address::from(self.entry_point), chain_id: self.chain_id }
    }

    pub(crate) fn hash(&self, call_data: &[u8]) -> Result<B256, Status> {
        // SAFETY: whoever has this was promised so by C.
        let head = unsafe { self.head() }?;
        let mut hasher = Keccak256::new();
        hasher.update(call_data);
        head.hash(Digest(hasher.finalize()), self.target()).map_err(|_| Status::Malformed)
    }

    /// # Safety
    /// The pointers are good for as long as `'a`.
    pub(crate) unsafe fn head<'a>(&self) -> Result<OperationHead<'a>, Status> {
        // SAFETY: the caller's promise.
        let (init_code, paymaster_and_data) =
            unsafe { (self.init_code.read::<'a>()?, self.paymaster_and_data.read::<'a>()?) };
        let number = U256::from_be_bytes::<32>;
        if self.version == 6 {
            return Ok(OperationHead::V0_6(UserOperation {
                sender: Address::from(self.sender),
                nonce: number(self.nonce),
                init_code,
                call_data: (),
                call_gas_limit: number(self.call_gas_limit),
                verification_gas_limit: number(self.verification_gas_limit),
                pre_verification_gas: number(self.pre_verification_gas),
                max_fee_per_gas: number(self.max_fee_per_gas),
                max_priority_fee_per_gas: number(self.max_priority_fee_per_gas),
                paymaster_and_data,
            }));
        }
        let delegate = match self.delegate.is_null() {
            true => None,
            // SAFETY: the caller's promise.
            false => Some(Address::from(*unsafe { read_array::<20>(self.delegate) }?)),
        };
        let packed = PackedUserOperation {
            sender: Address::from(self.sender),
            nonce: number(self.nonce),
            init_code,
            call_data: (),
            account_gas_limits: B256::new(self.account_gas_limits),
            pre_verification_gas: number(self.pre_verification_gas),
            gas_fees: B256::new(self.gas_fees),
            paymaster_and_data,
        };
        let (version, head): (_, fn(_) -> OperationHead<'a>) = match self.version {
            7 => (EntryPointVersion::V0_7, OperationHead::V0_7),
            8 => (EntryPointVersion::V0_8, OperationHead::V0_8),
            9 => (EntryPointVersion::V0_9, OperationHead::V0_9),
            _ => return Err(Status::Malformed),
        };
        packed.unpack_head(version, delegate).map(head).map_err(|_| Status::Malformed)
    }
}

impl Session {
    /// # Safety
    /// The pointer is good for as long as `'a`.
    pub(crate) unsafe fn leaf<'a>(&self) -> Result<SessionLeaf<'a>, Status> {
        Ok(SessionLeaf {
            epoch: SessionEpoch::new(self.valid_after, self.valid_until).map_err(|_| Status::Malformed)?,
            validation_module: Address::from(self.validation_module),
            // SAFETY: the caller's promise.
            session_key_data: unsafe { self.session_key_data.read()? },
        })
    }
}
