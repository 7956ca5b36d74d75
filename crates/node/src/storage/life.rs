//! One process at a time, and never an older database than the last.
//!
//! A file beside the database is locked as long as the database is open. It holds how often the database was opened: one
//! that knows of fewer starts is a copy from before, and one that comes without the file is from elsewhere.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::{StorageError, with_suffix};

/// A database's lock, and what it says of earlier starts.
pub(super) struct Life {
    path: PathBuf,
    file: File,
    /// How often the database was opened here; none where it never was.
    starts: Option<u64>,
}

impl Life {
    /// Locks the database at `path`.
    pub(super) fn begin(path: &Path) -> Result<Self, StorageError> {
        let beside = with_suffix(path, ".life");
        let failed = |source| StorageError::File { path: beside.display().to_string(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StorageError::InUse { path: path.display().to_string() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let life = Self { starts: text.trim().parse().ok(), path: beside, file };
        // Before the database is made: one that exists without a number here is from elsewhere.
        if !path.exists() {
            life.record(0)?;
        }
        Ok(life)
    }

    /// Whether a database that was opened `starts` times is not the last one that was opened here.
    pub(super) fn is_ahead_of(&self, starts: u64) -> bool {
        self.starts.is_none_or(|here| here > starts)
    }

    /// How often a database was opened here.
    pub(super) fn starts(&self) -> u64 {
        self.starts.unwrap_or_default()
    }

    /// Notes a start, after the database has.
    pub(super) fn record(&self, starts: u64) -> Result<(), StorageError> {
        let mut file = &self.file;
        // Always as many digits, so that one write replaces the number.
        let text = format!("{starts:020}\n");
        let written =
            file.rewind().and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.sync_all());
        written.map_err(|source| StorageError::File { path: self.path.display().to_string(), source })
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use quorate_protocol::NodeIndex;
    use quorate_seal::Seal;
    use tempfile::TempDir;

    use super::super::Storage;
    use super::*;

    async fn open(path: &Path) -> Result<Storage, StorageError> {
        Storage::open(path, Seal::new(&[7; 32]), B256::ZERO, NodeIndex::new(1).unwrap()).await
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::copy(from, to).unwrap();
    }

    #[tokio::test]
    async fn a_database_is_open_once() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("node.db");
        let first = open(&path).await.unwrap();
        assert!(matches!(open(&path).await, Err(StorageError::InUse { .. })));
        first.close().await;
        drop(first);
        assert!(!open(&path).await.unwrap().is_quarantined());
    }

    #[tokio::test]
    async fn a_restored_database_is_another_journal_and_signs_nothing() {
        let folder = TempDir::new().unwrap();
        let (path, backup) = (folder.path().join("node.db"), folder.path().join("backup.db"));
        let first = open(&path).await.unwrap();
        let journal = first.journal();
        first.close().await;
        drop(first);
        copy(&path, &backup);
        let second = open(&path).await.unwrap();
        assert_eq!((second.journal(), second.is_quarantined()), (journal, false));
        second.close().await;
        drop(second);

        copy(&backup, &path);
        let restored = open(&path).await.unwrap();
        assert!(restored.is_quarantined());
        assert_ne!(restored.journal(), journal, "what peers have read of it is not read of this one");
        let restored_journal = restored.journal();
        restored.close().await;
        drop(restored);
        let again = open(&path).await.unwrap();
        assert!(again.is_quarantined(), "it stays so");
        assert_eq!(again.journal(), restored_journal);
    }

    #[tokio::test]
    async fn a_database_from_elsewhere_is_quarantined() {
        let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (from, to) = (here.path().join("node.db"), there.path().join("node.db"));
        let first = open(&from).await.unwrap();
        first.close().await;
        drop(first);
        copy(&from, &to);
        assert!(open(&to).await.unwrap().is_quarantined());
    }
}
