//! Whether a node can write.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::error::reasons;
use crate::storage::Storage;

/// Writes beside the database and in it, and takes both back.
pub(super) struct Probe {
    /// A file that exists only while it is written.
    file: PathBuf,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// How long a result is repeated: whoever asks must not keep the disk busy.
const FRESH: Duration = Duration::from_secs(5);

/// What is written beside the database, in bytes.
const BYTES: [u8; 4096] = [0; 4096];

impl Probe {
    pub(super) fn new(database: &Path) -> Self {
        let mut file = database.as_os_str().to_owned();
        file.push(".probe");
        Self { file: file.into(), last: Mutex::default() }
    }

    /// Why nothing can be written, if so.
    pub(super) async fn check(&self, storage: &Storage) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < FRESH
        {
            return result.clone();
        }
        let result = self.write(storage).await;
        *last = Some((Instant::now(), result.clone()));
        result
    }

    async fn write(&self, storage: &Storage) -> Result<(), String> {
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || {
            let written = File::create(&file).and_then(|mut probe| {
                probe.write_all(&BYTES)?;
                probe.sync_all()
            });
            // One that was never made cannot be removed.
            let _ = std::fs::remove_file(&file);
            written
        });
        match written.await {
            Ok(written) => written.map_err(|error| format!("beside the database: {error}"))?,
            Err(stopped) => return Err(stopped.to_string()),
        }
        storage.probe().await.map_err(|error| reasons(&error))
    }
}
