//! Programs of the system that the tests need, installed where Debian's packages can be had.

use std::process::{Command, Stdio};

use anyhow::bail;

/// Installs Debian packages where a program is missing.
pub(crate) fn install(program: &str, packages: &[&str]) -> anyhow::Result<()> {
    let is_there =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if is_there {
        return Ok(());
    }
    println!("installing {}", packages.join(", "));
    let _ = Command::new("apt-get").arg("update").stdout(Stdio::null()).status();
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes", "--no-install-recommends"]).args(packages).stdout(Stdio::null());
    match apt.status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("{program} is missing; install {} (Debian's names)", packages.join(", ")),
    }
}
