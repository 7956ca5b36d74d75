//! The memory that a list takes at its peak, in a program of its own: an allocator keeps what it once had.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tokio::runtime;

use super::stored_sessions::StoredSessions;
use crate::ratio::median;

/// Bytes to list the sessions of a folder: the median of some programs' that do nothing else.
pub(super) fn of_listing(folder: &Path, programs: usize) -> anyhow::Result<f64> {
    let measure = |_| {
        let program = std::env::current_exe()?;
        let output = Command::new(program).arg("listing-memory").arg(folder).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().parse::<f64>()?)
    };
    Ok(median((0..programs).map(measure).collect::<anyhow::Result<Vec<_>>>()?))
}

/// Lists the sessions of a folder, and gives how many bytes this program grew by at its peak.
pub(crate) fn listing_memory(folder: &Path) -> anyhow::Result<u64> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let stored = StoredSessions::open(folder).await?;
        let before = kibibytes("VmRSS:")?;
        stored.account.sessions().await?;
        Ok(kibibytes("VmHWM:")?.saturating_sub(before) * 1024)
    })
}

/// A line of `/proc/self/status`.
fn kibibytes(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
