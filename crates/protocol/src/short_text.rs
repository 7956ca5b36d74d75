use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Text of at most 1 KiB, for what others are told and what is logged. What is longer is cut when it is made.
///
/// Whoever asks chooses names, ids and field names that a refusal repeats: without a bound a request near its largest
/// size would make an answer that is larger than any frame.
///
/// ```
/// use quorate_protocol::ShortText;
///
/// assert_eq!(*ShortText::from("unknown field `x`"), *"unknown field `x`");
/// let long = "ü".repeat(1_000_000);
/// for long in [ShortText::from(long.as_str()), ShortText::from(long)] {
///     assert!(long.len() <= ShortText::MAX_LEN && long.ends_with("ü…"));
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ShortText(String);

impl ShortText {
    /// The most bytes.
    pub const MAX_LEN: usize = 1024;
}

pub(crate) const ELLIPSIS: &str = "…";

/// The text in at most so many bytes, which ends with an ellipsis where it was longer.
pub(crate) fn cut(mut text: String, max_len: usize) -> String {
    if text.len() > max_len {
        text.truncate(text.floor_char_boundary(max_len - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
        text.shrink_to_fit();
    }
    text
}

impl From<String> for ShortText {
    fn from(text: String) -> Self {
        Self(cut(text, Self::MAX_LEN))
    }
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<ShortText> for String {
    fn from(text: ShortText) -> Self {
        text.0
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
