//! The life of sessions and operations.
//!
//! Two questions are asked of the chain and never mixed: did this *operation* land ([`settle`], by its nonce), and is
//! this *session* live ([`status`], by its leaves). They, and what becomes of the tree ([`plan`]), are pure functions of
//! the facts of one block ([`facts`]); the other modules only carry them out.

pub(crate) mod facts;
pub(crate) mod import;
pub(crate) mod plan;
pub(crate) mod resume;
pub(crate) mod sessions;
pub(crate) mod settle;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod summary;
pub(crate) mod update;
