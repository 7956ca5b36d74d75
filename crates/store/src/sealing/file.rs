use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use alloy_primitives::hex;
use zeroize::Zeroizing;

use super::{SealingKey, SealingKeyError};
use crate::Secret;

impl SealingKey {
    /// Reads the key from a file that nobody but its owner may read: 64 hex digits.
    ///
    /// # Errors
    /// [`SealingKeyError::Exposed`] for a file that others can read, [`SealingKeyError::Form`] for other content,
    /// [`SealingKeyError::Io`].
    pub fn read_file(path: impl AsRef<Path>) -> Result<Self, SealingKeyError> {
        let path = path.as_ref();
        let io = |source| SealingKeyError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        if is_exposed(&file).map_err(io)? {
            return Err(SealingKeyError::Exposed { path: path.to_owned() });
        }
        // Room enough for the digits: a vector that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(128));
        file.read_to_end(&mut text).map_err(io)?;
        let form = |_| SealingKeyError::Form { path: path.to_owned() };
        let bytes = hex::decode_to_array(text.trim_ascii()).map(Zeroizing::new).map_err(form)?;
        Ok(Self(Secret::from(*bytes)))
    }

    /// Makes a fresh key and writes it to a new file that nobody but its owner may read. Where the process ends
    /// on the way there is no file.
    ///
    /// # Errors
    /// [`SealingKeyError::Io`], also where there is such a file.
    pub fn create_file(path: impl AsRef<Path>) -> Result<Self, SealingKeyError> {
        let path = path.as_ref();
        let key = Self::random()?;
        write_new(path, &Zeroizing::new(hex::encode(key.expose())))
            .map_err(|source| SealingKeyError::Io { path: path.to_owned(), source })?;
        Ok(key)
    }
}

#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// The file appears at its path when all of it is on disk.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_with_anything_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.key");
        let key = SealingKey::create_file(&path).unwrap();
        assert_eq!(SealingKey::read_file(&path).unwrap().expose(), key.expose());

        let written = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{written}\r\n")).unwrap();
        assert_eq!(SealingKey::read_file(&path).unwrap().expose(), key.expose());
        for text in
            [String::new(), written[1..].to_owned(), format!("{written}00"), format!("{written}\n# mine")]
        {
            fs::write(&path, &text).unwrap();
            let error = SealingKey::read_file(&path).unwrap_err();
            assert!(matches!(error, SealingKeyError::Form { .. }), "{text:?}: {error}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.key");
        SealingKey::create_file(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = SealingKey::read_file(&path).unwrap_err();
            assert!(matches!(error, SealingKeyError::Exposed { .. }), "{mode:o}: {error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        SealingKey::read_file(&path).unwrap();
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealing.key");
        let key = SealingKey::create_file(&path).unwrap();
        assert!(matches!(SealingKey::create_file(&path), Err(SealingKeyError::Io { .. })));
        assert_eq!(SealingKey::read_file(&path).unwrap().expose(), key.expose());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}
