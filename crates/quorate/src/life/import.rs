//! Sessions and leaves that come from another device, or go there.

use alloy_primitives::B256;
use quorate_core::{Leaf, merkle};
use quorate_store::original::{self, Documents, Quorum};
use quorate_store::{Change, NewSession};

use crate::{Error, SmartAccount};

/// What was taken in of the sessions given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// How many sessions, from the first on, are those of the tree on chain.
    pub in_tree: usize,
    /// How many more were given, which are not under the root on chain. They are stored as well.
    pub beside: usize,
}

impl SmartAccount {
    /// The leaves of the account's present tree, in their order: what another device needs to keep these sessions
    /// ([`import_leaves`](Self::import_leaves)).
    ///
    /// # Errors
    /// [`Error::UnknownTree`] where the store does not know the tree either.
    pub async fn export_leaves(&self) -> Result<Vec<B256>, Error> {
        let root = self.client.chain.session_root(self.address).await?;
        let tree = self.client.tree(self.id(), root).await?;
        let tree = tree.ok_or(Error::UnknownTree { account: self.id(), root })?;
        Ok(tree.leaves().to_vec())
    }

    /// Takes in sessions that another device made, by the leaves of the account's present tree in their order: updates
    /// made here keep them from now on, and sessions made here can be used again. They are not listed, as nothing is
    /// known of them but that they are there.
    ///
    /// # Errors
    /// [`Error::OtherTree`] if these are not the leaves under the root on chain.
    pub async fn import_leaves(&self, leaves: impl IntoIterator<Item = B256>) -> Result<(), Error> {
        let leaves: Vec<B256> = leaves.into_iter().collect();
        let found = self.client.chain.session_root(self.address).await?;
        let given = merkle::root(&leaves).unwrap_or_default();
        if given != found {
            return Err(Error::OtherTree { given, found });
        }
        Ok(self.client.store.apply(self.id(), vec![Change::AddTree(leaves)]).await?)
    }

    /// Takes in sessions with all that is known of them, such as those of the original's storage
    /// ([`quorate_store::original`]), in one step.
    ///
    /// The original stores a leaf before its grant succeeds, and stores leaves again when it revokes. So the tree on
    /// chain is looked for among the first of them, with and without those that come twice, and the longest that fits
    /// counts. What comes after it is stored beside.
    ///
    /// # Errors
    /// [`Error::OtherAccount`] for a session of another account or chain; [`Error::OtherTree`] if no first part of their
    /// leaves is the tree on chain, and where there is none on chain ([`import_beside`](Self::import_beside) takes them in
    /// all the same). Nothing is stored then.
    pub async fn import(&self, sessions: Vec<NewSession>) -> Result<Imported, Error> {
        self.check_accounts(&sessions)?;
        let found = self.client.chain.session_root(self.address).await?;
        let leaves = leaves_of(&sessions);
        let Some(tree) = longest_prefix(&leaves, found) else {
            return Err(Error::OtherTree { given: merkle::root(&leaves).unwrap_or_default(), found });
        };
        let is_in = |session: &NewSession| session.leaves.iter().all(|leaf| tree.contains(&leaf.hash()));
        let in_tree = sessions.iter().filter(|session| is_in(session)).count();
        let imported = Imported { in_tree, beside: sessions.len() - in_tree };
        let mut changes: Vec<Change> =
            sessions.into_iter().map(|session| Change::AddSession(Box::new(session))).collect();
        changes.push(Change::AddTree(tree));
        self.client.store.apply(self.id(), changes).await?;
        Ok(imported)
    }

    /// Takes in sessions whatever the tree on chain is, in one step: for an account whose sessions were all revoked, or
    /// whose tree another device has changed.
    ///
    /// # Errors
    /// [`Error::OtherAccount`] for a session of another account or chain, and then none is stored.
    pub async fn import_beside(&self, sessions: Vec<NewSession>) -> Result<(), Error> {
        self.check_accounts(&sessions)?;
        let changes = sessions.into_iter().map(|session| Change::AddSession(Box::new(session)));
        Ok(self.client.store.apply(self.id(), changes.collect()).await?)
    }

    /// The account's sessions as the original stores them: the tree on chain, leaf by leaf.
    ///
    /// # Errors
    /// [`Error::UnknownTree`] where the store does not know the tree on chain;
    /// [`OriginalError`](original::OriginalError) for a leaf of which only the hash is known.
    pub async fn export_original(&self, quorum: Option<Quorum>) -> Result<Documents, Error> {
        let leaves = self.export_leaves().await?;
        let store = self.client.store.as_ref();
        original::write(store, self.id(), &leaves, quorum).await.map_err(Error::Original)
    }

    fn check_accounts(&self, sessions: &[NewSession]) -> Result<(), Error> {
        match sessions.iter().find(|session| session.account != self.id()) {
            Some(session) => Err(Error::OtherAccount { draft: session.account, account: self.id() }),
            None => Ok(()),
        }
    }
}

fn leaves_of(sessions: &[NewSession]) -> Vec<B256> {
    sessions.iter().flat_map(|session| &session.leaves).map(Leaf::hash).collect()
}

/// The longest first part of the leaves whose root this is, with those that come again, or without them. None has the
/// root zero: that of no leaves fits any document.
fn longest_prefix(leaves: &[B256], root: B256) -> Option<Vec<B256>> {
    let mut seen = std::collections::HashSet::new();
    let distinct: Vec<B256> = leaves.iter().copied().filter(|leaf| seen.insert(*leaf)).collect();
    [leaves, &distinct].into_iter().filter_map(|leaves| prefix_with(leaves, root)).max_by_key(Vec::len)
}

fn prefix_with(leaves: &[B256], root: B256) -> Option<Vec<B256>> {
    let mut builder = merkle::RootBuilder::default();
    let mut longest = None;
    for (place, leaf) in leaves.iter().enumerate() {
        builder.push(*leaf).ok()?;
        if builder.root() == Some(root) {
            longest = leaves.get(..=place);
        }
    }
    longest.map(<[B256]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_on_chain_is_found_in_what_the_original_appended_to() {
        let [a, b, c] = [1, 2, 3].map(B256::repeat_byte);
        let root = |leaves: &[B256]| merkle::root(leaves).unwrap();
        assert_eq!(longest_prefix(&[a, b, c], root(&[a, b, c])), Some(vec![a, b, c]));
        assert_eq!(
            longest_prefix(&[a, b, c], root(&[a, b])),
            Some(vec![a, b]),
            "the third never got on chain"
        );
        assert_eq!(
            longest_prefix(&[a, b, a, b], root(&[a, b, a, b])),
            Some(vec![a, b, a, b]),
            "revoked, it says"
        );
        assert_eq!(longest_prefix(&[a, b, a, c], root(&[a, b, c])), Some(vec![a, b, c]));
        assert_eq!(longest_prefix(&[a, b, c], root(&[b])), None);
        assert_eq!(longest_prefix(&[a], B256::ZERO), None);
        assert_eq!(longest_prefix(&[], B256::ZERO), None);
    }
}
