//! Ends with an exit code of their own.

use std::fmt;
use std::process::ExitCode;

/// A command's end that is no success: its exit code, and what is written to stderr, as it is.
#[derive(Debug)]
pub(crate) struct Ended {
    code: u8,
    message: String,
}

impl Ended {
    /// The answer is no.
    pub(crate) const fn refused(message: String) -> Self {
        Self { code: 1, message }
    }

    /// What was given cannot be taken.
    pub(crate) const fn bad_input(message: String) -> Self {
        Self { code: 2, message }
    }

    /// Writes the message, and gives the exit code.
    pub(crate) fn exit(&self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("{}", self.message.trim_end());
        }
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ended {}
