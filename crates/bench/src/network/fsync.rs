//! What a durable write takes where the nodes have their databases.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::ratio::median;

/// A page of a database.
const PAGE: [u8; 4096] = [0x51; 4096];

/// Milliseconds to append a page to a file in `folder` and have it on the disk: the median of so many.
pub(super) fn measure(folder: &Path, writes: usize) -> anyhow::Result<f64> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..writes {
        let began = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(path)?;
    Ok(median(times))
}
