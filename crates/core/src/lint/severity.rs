//! How much somebody who reads has to mind something.

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
