//! How much somebody who reads has to mind something.

use core::fmt;

/// How much of a warning an item of a review or a lint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// What is done.
    #[default]
    Info,
    /// What most owners would not want.
    Warning,
    /// What can cost the owner the account or all that is in it.
    Danger,
    /// Why nothing is signed.
    Refused,
}

/// `info`, `warning`, `danger` or `refused`.
impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Danger => "danger",
            Self::Refused => "refused",
        })
    }
}
