//! What can be encoded and most owners would not want.

pub(crate) mod danger;
pub(crate) mod mistake;
pub(crate) mod severity;
