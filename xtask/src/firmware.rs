//! `cargo xtask firmware`: builds the hardware signer, and has it sign a grant in QEMU.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::command::{cargo, cargo_command, execute, target_directory};

const TARGET: &str = "thumbv7em-none-eabi";
const FOLDER: &str = "crates/firmware";
const MANIFEST: &str = "crates/firmware/Cargo.toml";

pub(crate) fn run() -> anyhow::Result<()> {
    let folder = build()?;
    build_c_library()?;
    let firmware = folder.join("quorate-firmware");
    let flash = report("the signer", &firmware)?;
    report("of it k256", &folder.join("k256-alone"))?;
    let without_core = report("all but the core", &folder.join("without-core"))?;
    hold("flash of the signer", flash, 64 * 1024);
    hold("flash of the core's share", flash - without_core, 20 * 1024);
    install("qemu-system-arm", &["qemu-system-arm"])?;
    let firmware = std::fs::canonicalize(firmware)?;
    execute(
        cargo_command(&[
            "test",
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
    let folder = std::path::absolute(target_directory().join("firmware"))?;
    // Run in its folder, whose `.cargo/config.toml` names the target and what else the board needs.
    let mut build = cargo_command(&["build", "--release", "--locked"]);
    execute(build.current_dir(FOLDER).env("CARGO_TARGET_DIR", &folder))?;
    Ok(folder.join(TARGET).join("release"))
}

/// The static library for C firmware, which has to build without an operating system.
fn build_c_library() -> anyhow::Result<()> {
    let library = ["rustc", "--package", "quorate-ffi", "--profile", "embedded", "--crate-type", "staticlib"];
    cargo(&[&library[..], &["--target", TARGET]].concat())
}

/// Prints what was measured and what it should be. Another compiler may make more of the same code, so that a goal
/// missed is no failure.
fn hold(what: &str, bytes: u64, goal: u64) {
    println!("{what}  {bytes}  ≤ {goal}  {}", if bytes <= goal { "ok" } else { "missed" });
}

/// Prints what is flashed, and what of the RAM is set aside; gives the former.
fn report(name: &str, firmware: &Path) -> anyhow::Result<u64> {
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
    Ok(flash)
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
