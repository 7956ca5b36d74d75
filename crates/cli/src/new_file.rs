//! Files that are written once.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::exit::Failure;

/// Who may read a new file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Readers {
    /// Who runs the program.
    Owner,
    /// Whoever the system lets.
    Everyone,
}

/// Writes a file that is not there: what somebody wrote is not overwritten. It is on the disk afterwards.
pub(crate) fn write_new(path: &Path, text: &str, readers: Readers) -> Result<(), Failure> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everyone => 0o666,
    };
    let refused = |error| Failure::bad_input(format!("{} cannot be written: {error}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(refused)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(refused)
}
