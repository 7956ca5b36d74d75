//! The review of a request for a key, and its steps in their order.

use alloy_primitives::{B256, Keccak256};

use super::{KeyRequest, entries::PermissionsClaim, error::KeyRequestError, permissions::Permissions};
use crate::{
    keccak::digest,
    lint::severity::Severity,
    review::{
        item::Show,
        items::{self, Items},
        label::Label,
    },
    trusted::TrustedContext,
};

/// The review of an owner's request for a key, in the caller's storage: [`begin`](Self::begin), the key's
/// [`permissions`](Self::permissions) in pieces, [`finish`](Self::finish).
///
/// The request names the permissions by their keccak-256 alone. What is shown of them comes from the bytes that have it. A step
/// that fails ends the review, and nothing gives a digest then but a new one.
///
/// ```
/// use quorate_core::{KeyRequest, KeyRequestReview, TaggedValue, Text, TrustedContext};
///
/// let ephemeral = r#"{"ephId":"app","ephPK":"0x0101010101010101010101010101010101010101010101010101010101010101","expiry":1900000000}"#;
/// let request = KeyRequest {
///     threshold: 3,
///     nodes: 5,
///     metadata: &[TaggedValue { tag: TaggedValue::EPHEMERAL_KEY, value: ephemeral }],
///     challenge: "9f9f",
/// };
/// let mut lines = String::new();
/// let mut review = KeyRequestReview::new(TrustedContext::CANONICAL, Text(&mut lines));
/// review.begin(&request)?;
/// assert_eq!(review.finish()?, request.digest());
/// assert!(lines.contains("until 2030-03-17 17:46:40 UTC"));
/// assert!(lines.contains("DANGER: what the key may sign is not covered by this signature"));
/// # Ok::<(), quorate_core::KeyRequestError>(())
/// ```
#[derive(Debug)]
pub struct KeyRequestReview<'a, S> {
    trusted: TrustedContext<'a>,
    show: S,
    /// There while a request is reviewed.
    begun: Option<Begun>,
}

/// A request that was shown.
#[derive(Debug)]
pub(super) struct Begun {
    digest: B256,
    claim: Option<PermissionsClaim>,
    permissions: Option<Permissions>,
    hasher: Keccak256,
    has_permissions: bool,
}

impl<'a, S: Show> KeyRequestReview<'a, S> {
    /// No review yet.
    pub const fn new(trusted: TrustedContext<'a>, show: S) -> Self {
        Self { trusted, show, begun: None }
    }

    /// Begins a review, whatever was there before: shows the request.
    ///
    /// # Errors
    /// An entry that cannot be read, or is there twice; a threshold of none or more than all; a text that is not shown.
    pub fn begin(&mut self, request: &KeyRequest<'_>) -> Result<(), KeyRequestError> {
        self.begun = None;
        self.step(&mut |begun, _, items| {
            *begun = Some(request.show(items)?);
            Ok(())
        })
    }

    /// Takes the next piece of the permissions' text, and shows what they allow.
    ///
    /// # Errors
    /// Text that is not in the form that clients write, and permissions that the request does not name.
    pub fn permissions(&mut self, piece: &[u8]) -> Result<(), KeyRequestError> {
        self.step(&mut |begun, trusted, items| match begun {
            None => Err(KeyRequestError::NotBegun),
            Some(Begun { permissions: None, .. }) => Err(KeyRequestError::Unclaimed),
            Some(Begun { permissions: Some(permissions), hasher, has_permissions, .. }) => {
                *has_permissions = true;
                hasher.update(piece);
                permissions.push(items, trusted, piece)
            }
        })
    }

    /// Ends the review, and gives the digest to sign if the items are approved.
    ///
    /// Where no permissions were given, an item of [`Severity::Danger`] says so.
    ///
    /// # Errors
    /// Permissions that are not whole, or not those that the request names.
    pub fn finish(&mut self) -> Result<B256, KeyRequestError> {
        let mut digest = B256::ZERO;
        self.step(&mut |begun, _, items| {
            let mut begun = begun.take().ok_or(KeyRequestError::NotBegun)?;
            begun.check_permissions(items)?;
            digest = begun.digest;
            items.hash(Label::Hash, &digest);
            Ok(())
        })?;
        Ok(digest)
    }

    /// Where the items go.
    pub const fn display(&mut self) -> &mut S {
        &mut self.show
    }

    /// Takes a step; after one that fails nothing gives a digest.
    fn step(&mut self, step: &mut Step<'_>) -> Result<(), KeyRequestError> {
        let Self { trusted, show, begun } = self;
        let taken = items::step(show, &mut |items| step(begun, trusted, items));
        if taken.is_err() {
            *begun = None;
        }
        taken
    }
}

type Step<'s> =
    dyn FnMut(&mut Option<Begun>, &TrustedContext<'_>, &mut Items<'_>) -> Result<(), KeyRequestError> + 's;

impl Begun {
    pub(super) fn new(digest: B256, claim: Option<PermissionsClaim>) -> Self {
        let permissions = claim.as_ref().map(|claim| Permissions::new(claim.chain_id));
        Self { digest, claim, permissions, hasher: Keccak256::new(), has_permissions: false }
    }

    fn check_permissions(&mut self, items: &mut Items<'_>) -> Result<(), KeyRequestError> {
        let unseen = match (&self.claim, self.has_permissions) {
            (None, _) => Label::PermissionsNotSigned,
            (Some(_), false) => Label::PermissionsNotShown,
            (Some(claim), true) => {
                if !self.permissions.as_ref().is_some_and(Permissions::is_whole) {
                    return Err(KeyRequestError::PermissionsEnd);
                }
                let (shown, claimed) = (digest(&self.hasher), claim.permissions);
                return if shown == claimed {
                    Ok(())
                } else {
                    Err(KeyRequestError::OtherPermissions { shown, claimed })
                };
            }
        };
        items.with_severity(Severity::Danger).label(unseen);
        Ok(())
    }
}
