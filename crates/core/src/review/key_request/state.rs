//! The review of a request for a key, and its steps in their order.

use alloy_primitives::{B256, Keccak256};

use super::{KeyRequest, entries::PermissionsClaim, error::KeyRequestError, permissions::Permissions};
use crate::{
    lint::severity::Severity,
    review::{
        item::{Item, Show, Value},
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
        let begun = request.show(&mut self.show).map(|begun| self.begun = Some(begun));
        self.end_if_refused(begun)
    }

    /// Takes the next piece of the permissions' text, and shows what they allow.
    ///
    /// # Errors
    /// Text that is not in the form that clients write, and permissions that the request does not name.
    pub fn permissions(&mut self, piece: &[u8]) -> Result<(), KeyRequestError> {
        let Self { trusted, show, begun } = self;
        let taken = match begun {
            None => Err(KeyRequestError::NotBegun),
            Some(Begun { permissions: None, .. }) => Err(KeyRequestError::Unclaimed),
            Some(Begun { permissions: Some(permissions), hasher, has_permissions, .. }) => {
                *has_permissions = true;
                hasher.update(piece);
                permissions.push(show, trusted, piece)
            }
        };
        self.end_if_refused(taken)
    }

    /// Ends the review, and gives the digest to sign if the items are approved.
    ///
    /// Where no permissions were given, an item of [`Severity::Danger`] says so.
    ///
    /// # Errors
    /// Permissions that are not whole, or not those that the request names.
    pub fn finish(&mut self) -> Result<B256, KeyRequestError> {
        let digest = self.begun.take().ok_or(KeyRequestError::NotBegun).and_then(|begun| {
            let digest = begun.digest;
            begun.check_permissions(&mut self.show)?;
            self.show.show(&Item::new(Label::Hash, Value::Hash(digest)))?;
            Ok(digest)
        });
        self.end_if_refused(digest)
    }

    /// Where the items go.
    pub const fn display(&mut self) -> &mut S {
        &mut self.show
    }

    /// Shows a refusal, after which nothing gives a digest.
    fn end_if_refused<T>(&mut self, step: Result<T, KeyRequestError>) -> Result<T, KeyRequestError> {
        if let Err(error) = &step {
            self.begun = None;
            let item = Item::new(Label::Refused, Value::Reason(error)).with_severity(Severity::Refused);
            // A display that is gone shows no refusal either; the caller has it.
            let _ = self.show.show(&item);
        }
        step
    }
}

impl Begun {
    pub(super) fn new(digest: B256, claim: Option<PermissionsClaim>) -> Self {
        let permissions = claim.as_ref().map(|claim| Permissions::new(claim.chain_id));
        Self { digest, claim, permissions, hasher: Keccak256::new(), has_permissions: false }
    }

    fn check_permissions(self, show: &mut dyn Show) -> Result<(), KeyRequestError> {
        let unseen = match (&self.claim, self.has_permissions) {
            (None, _) => Label::PermissionsNotSigned,
            (Some(_), false) => Label::PermissionsNotShown,
            (Some(claim), true) => {
                if !self.permissions.is_some_and(|permissions| permissions.is_whole()) {
                    return Err(KeyRequestError::PermissionsEnd);
                }
                let (shown, claimed) = (self.hasher.finalize(), claim.permissions);
                return if shown == claimed {
                    Ok(())
                } else {
                    Err(KeyRequestError::OtherPermissions { shown, claimed })
                };
            }
        };
        Ok(show.show(&Item::new(unseen, Value::None).with_severity(Severity::Danger))?)
    }
}
