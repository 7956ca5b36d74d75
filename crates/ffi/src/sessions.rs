//! Sessions, their tree, and what they allow.

use quorate_core::{Address, B256, SessionEpoch, SessionLeaf, evaluate, merkle};

use crate::border::{Bytes, Output, read, read_array, read_words};
use crate::error::{Error, Reason, Status, end};

/// A session as the tree of an account's sessions holds it. Times are seconds since 1970, 0 for none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// When it begins.
    pub valid_after: u64,
    /// When it ends.
    pub valid_until: u64,
    /// The session validation module.
    pub validation_module: [u8; 20],
    /// What that module is given.
    pub session_key_data: Bytes,
}

impl Session {
    /// # Safety
    /// The pointer is good for as long as `'a`.
    pub(crate) unsafe fn leaf<'a>(&self) -> Result<SessionLeaf<'a>, Error> {
        Ok(SessionLeaf {
            epoch: SessionEpoch::new(self.valid_after, self.valid_until).map_err(|_| Error::Malformed {
                what: "valid_after or valid_until",
                wanted: "it is seconds since 1970, below 2^48",
            })?,
            validation_module: Address::from(self.validation_module),
            // SAFETY: the caller's promise.
            session_key_data: unsafe { self.session_key_data.read("session_key_data")? },
        })
    }
}

/// A session's leaf.
/// cbindgen:ptrs-as-arrays=[[leaf; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_session_leaf(
    session: *const Session,
    leaf: *mut u8,
    reason: *mut Reason,
) -> Status {
    let hashed = || {
        // SAFETY: the caller's promise, for both.
        let (session, leaf) = unsafe { (read(session, "the session")?, Output::new(leaf, "leaf")?) };
        // SAFETY: as above.
        leaf.write(unsafe { session.leaf()? }.hash().0);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { end(hashed(), reason) }
}

/// The root of the tree over some leaves, in their order: what the account keeps on chain. `leaves` is `count` times 32 bytes,
/// and at least once.
/// cbindgen:ptrs-as-arrays=[[root; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_merkle_root(
    leaves: *const u8,
    count: usize,
    root: *mut u8,
    reason: *mut Reason,
) -> Status {
    let hashed = || {
        // SAFETY: the caller's promise, for both.
        let (leaves, root) = unsafe { (read_words(leaves, count, "leaves")?, Output::new(root, "root")?) };
        root.write(merkle::root(leaves)?.0);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { end(hashed(), reason) }
}

/// Whether a leaf is under a root: QUORATE_OK or QUORATE_REFUSED. `siblings` is `count` times 32 bytes.
/// cbindgen:ptrs-as-arrays=[[root; 32], [leaf; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_verify_proof(
    root: *const u8,
    leaf: *const u8,
    siblings: *const u8,
    count: usize,
    reason: *mut Reason,
) -> Status {
    let verified = || {
        // SAFETY: the caller's promise, for all three.
        let (root, leaf, siblings) = unsafe {
            (read_array(root, "root")?, read_array(leaf, "leaf")?, read_words(siblings, count, "siblings")?)
        };
        let is_under = merkle::verify(B256::new(*root), B256::new(*leaf), siblings);
        if is_under { Ok(()) } else { Err(Error::NotUnderRoot) }
    };
    // SAFETY: the caller's promise.
    unsafe { end(verified(), reason) }
}

/// Whether a session of the ABI session validation module allows a call of the account, as that module decides it:
/// QUORATE_OK, and the session key that has to have signed, or QUORATE_REFUSED.
/// cbindgen:ptrs-as-arrays=[[session_key; 20]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_evaluate(
    session_key_data: Bytes,
    call_data: Bytes,
    session_key: *mut u8,
    reason: *mut Reason,
) -> Status {
    let evaluated = || {
        // SAFETY: the caller's promise, for all three.
        let (data, call_data, session_key) = unsafe {
            (
                session_key_data.read("session_key_data")?,
                call_data.read("the call data")?,
                Output::new(session_key, "session_key")?,
            )
        };
        session_key.write(evaluate(data, call_data)?.into_array());
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { end(evaluated(), reason) }
}
