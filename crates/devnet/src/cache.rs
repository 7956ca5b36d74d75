use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A cache folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}", path = path.display())]
pub struct CacheError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl CacheError {
    /// For `map_err`: what was being done, and to which path.
    pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Waits until no other process or task works in the cache folder, which it makes if need be.
///
/// The lock ends with the file, also when this program is killed.
pub(crate) async fn lock(cache: &Path) -> Result<File, CacheError> {
    fs::create_dir_all(cache).map_err(CacheError::at("make", cache))?;
    let path = cache.join("lock");
    let file = File::create(&path).map_err(CacheError::at("make", &path))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL_INTERVAL).await,
            Err(TryLockError::Error(source)) => return Err(CacheError::at("lock", &path)(source)),
        }
    }
}

/// A short name, in hexadecimal, for what is made from these inputs.
pub(crate) fn key(inputs: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for input in inputs {
        hasher.update((input.len() as u64).to_be_bytes());
        hasher.update(input);
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_depends_on_where_an_input_ends() {
        assert_eq!(key(&["ab", "c"]), key(&["ab", "c"]));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&[]).len(), 16);
    }

    #[tokio::test]
    async fn one_works_while_the_other_waits() {
        let cache = tempfile::tempdir().unwrap();
        let first = lock(cache.path()).await.unwrap();

        let second = tokio::time::timeout(3 * LOCK_POLL_INTERVAL, lock(cache.path())).await;
        assert!(second.is_err());

        drop(first);
        lock(cache.path()).await.unwrap();
    }
}
