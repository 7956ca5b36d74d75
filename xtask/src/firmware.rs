//! `cargo xtask firmware`: builds the hardware signer, and has it sign a grant in QEMU.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::test::{cargo, cargo_command, execute, target_directory};

const TARGET: &str = "thumbv7em-none-eabi";
const MANIFEST: &str = "crates/firmware/Cargo.toml";

pub(crate) fn run() -> anyhow::Result<()> {
    let folder = build()?;
    let firmware = folder.join("quorate-firmware");
    report("the signer", &firmware)?;
    report("of it k256", &folder.join("k256-alone"))?;
    install("qemu-system-arm", &["qemu-system-arm"])?;
    let firmware = std::fs::canonicalize(firmware)?;
    execute(
        cargo_command(&[
            "test",
            "--release",
            "--package",
            "quorate",
            "--test",
            "device",
            "--",
            "--ignored",
            "--nocapture",
        ])
        .env("QUORATE_FIRMWARE", firmware),
    )
}

/// Checks the formatting, which the workspace's own check does not see.
pub(crate) fn check_format() -> anyhow::Result<()> {
    cargo(&["fmt", "--manifest-path", MANIFEST, "--check"])
}

/// Whether the toolchain can build for the device, with its target added where rustup can.
pub(crate) fn has_target() -> bool {
    let added = Command::new("rustup").args(["target", "add", TARGET]).stderr(Stdio::null()).status();
    added.is_ok_and(|status| status.success())
}

/// Builds the programs, and gives their folder.
fn build() -> anyhow::Result<PathBuf> {
    ensure!(has_target(), "rustup cannot add the target {TARGET}, for which the firmware is built");
    let folder = target_directory().join("firmware");
    let arguments = ["build", "--release", "--locked", "--manifest-path", MANIFEST, "--target", TARGET];
    execute(cargo_command(&arguments).env("CARGO_TARGET_DIR", &folder))?;
    Ok(folder.join(TARGET).join("release"))
}

/// Prints what is flashed, and what of the RAM is set aside.
fn report(name: &str, firmware: &Path) -> anyhow::Result<()> {
    let sizes = Command::new("size").args(["-A", "-d"]).arg(firmware).output();
    let sizes = sizes.context("`size` of binutils does not start")?;
    ensure!(sizes.status.success(), "`size` cannot read {}", firmware.display());
    let text = String::from_utf8_lossy(&sizes.stdout);
    let section = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
    };
    let flash: u64 = [".vector_table", ".text", ".rodata", ".data"].into_iter().map(section).sum();
    println!("{name}  flash {flash} bytes  static RAM {} bytes  heap 0", section(".data") + section(".bss"));
    Ok(())
}

/// Installs Debian packages where a program is missing.
fn install(program: &str, packages: &[&str]) -> anyhow::Result<()> {
    if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok() {
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
