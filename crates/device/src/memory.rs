//! What a device has signed.

use quorate_core::{Address, B256, texts};

/// Whose sessions a root is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootOwner {
    /// The account.
    pub account: Address,
    /// The chain.
    pub chain_id: u64,
    /// The session key manager.
    pub manager: Address,
}

/// Keeps the last root that the device itself has signed, over times without power.
///
/// A session that the device cannot show is kept in an account only against such a root: whoever lies about a session
/// lies about the root that the account has, and a leaf has a proof under any root made for it. One entry is enough.
pub trait Memory {
    /// The last root that was signed for `owner`, where it is still there.
    fn last_root(&self, owner: &RootOwner) -> Option<B256>;

    /// Keeps a root before its signature leaves the device; zero where all sessions end.
    ///
    /// # Errors
    /// [`NotRecorded`], and the signature does not leave the device.
    fn record(&mut self, owner: &RootOwner, root: B256) -> Result<(), NotRecorded>;
}

/// A root was not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct NotRecorded;

texts!(NotRecorded => "the device could not keep the root it signed");

/// Keeps nothing: sessions that the device cannot show are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMemory;

impl Memory for NoMemory {
    fn last_root(&self, _owner: &RootOwner) -> Option<B256> {
        None
    }

    fn record(&mut self, _owner: &RootOwner, _root: B256) -> Result<(), NotRecorded> {
        Ok(())
    }
}

/// Keeps one root for as long as the device has power.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastRoot(Option<(RootOwner, B256)>);

impl Memory for LastRoot {
    fn last_root(&self, owner: &RootOwner) -> Option<B256> {
        self.0.filter(|(kept, _)| kept == owner).map(|(_, root)| root)
    }

    fn record(&mut self, owner: &RootOwner, root: B256) -> Result<(), NotRecorded> {
        self.0 = Some((*owner, root));
        Ok(())
    }
}
