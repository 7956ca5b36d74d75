//! `cargo xtask firmware`: builds the hardware signer, holds it to its size, and has it sign a grant in QEMU.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use crate::command::{cargo, cargo_command, execute, target_directory};
use crate::debian::install;

const TARGET: &str = "thumbv7em-none-eabi";
const FOLDER: &str = "crates/firmware";
const MANIFEST: &str = "crates/firmware/Cargo.toml";

/// The compiler for which the bounds hold: another may make more of the same code.
const COMPILER: &str = "rustc 1.95.0 ";

/// Bytes of flash of the whole signer.
const FLASH: Bound = Bound { goal: 64 * 1024, most: 64 * 1024 };
/// Of it, those that are there because of the core: the goal, and what it may be until that is reached.
const FLASH_OF_CORE: Bound = Bound { goal: 20 * 1024, most: 38 * 1024 };
/// Bytes of stack, as measured while the signer works.
const STACK: Bound = Bound { goal: 12 * 1024, most: 12 * 1024 };

#[derive(Clone, Copy)]
struct Bound {
    goal: u64,
    /// More fails.
    most: u64,
}

/// A feature of the firmware, whose flash is told by itself; the bounds of the signer are for one without any.
#[derive(Clone, Copy)]
pub(crate) struct Feature {
    name: &'static str,
    /// The feature beside which it is measured, with which it shares code; none for the signer.
    beside: Option<&'static str>,
    /// What its line says, and what it may be, where it has a bound of its own.
    bound: Option<(&'static str, Bound)>,
}

const FEATURES: [Feature; 5] = [
    Feature { name: "lint", beside: None, bound: None },
    Feature { name: "use", beside: None, bound: None },
    // The review of delegations, with the reading of contexts and all texts.
    Feature {
        name: "delegation",
        beside: None,
        bound: Some(("flash of feature delegation", Bound { goal: 12 * 1024, most: 13 * 1024 })),
    },
    // The core's evaluators of delegations, with the same reading and their own texts.
    Feature {
        name: "evaluate",
        beside: None,
        bound: Some(("flash of feature evaluate", Bound { goal: 12 * 1024, most: 15 * 1024 })),
    },
    // The same beside the review, which reads as they do.
    Feature {
        name: "evaluate",
        beside: Some("delegation"),
        bound: Some(("flash of the evaluators", Bound { goal: 12 * 1024, most: 12 * 1024 })),
    },
];

/// Builds the signer, with each feature by itself first, and has it sign.
pub(crate) fn run() -> anyhow::Result<()> {
    let signer = prepare(&FEATURES)?;
    let test = [
        "test",
        "--package",
        "quorate",
        "--features",
        "emulated-device",
        "--test",
        "device",
        "--",
        "--nocapture",
    ];
    let mut test = cargo_command(&test);
    let ran = test.env(VARIABLE, signer).stderr(Stdio::inherit()).output();
    let ran = ran.context("cargo does not start")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    print!("{said}");
    ensure!(ran.status.success(), "the emulated device did not do what it should");
    hold_stack(&said)
}

/// Builds the signer, holds its sources and its flash to what they should be, and has its stack overflow. Gives the program.
pub(crate) fn prepare(features: &[Feature]) -> anyhow::Result<PathBuf> {
    ensure!(has_target(), "rustup cannot add the target {TARGET}, for which the firmware is built");
    install("qemu-system-arm", &["qemu-system-arm"])?;
    firmware_cargo(&["clippy", "--release", "--locked", "--all-features", "--", "--deny", "warnings"])?;
    build_c_library()?;
    hold(&measure_flash(features)?)?;
    check_stack_guard(&built("stack-guard"))?;
    Ok(std::fs::canonicalize(built("quorate-firmware"))?)
}

/// The feature of the facade's tests of the emulated device, and the variable that names the signer for them.
pub(crate) const EMULATED_DEVICE: &str = "quorate/emulated-device";
pub(crate) const VARIABLE: &str = "QUORATE_FIRMWARE";

/// Holds the stack to its bound, by what the signer has said of it while it was tested.
pub(crate) fn hold_stack(said: &str) -> anyhow::Result<()> {
    let bytes = most_stack(said).context("the firmware does not say how much of its stack it used")?;
    hold(&[Measured { what: "stack of the signer", bytes, bound: STACK }.print()])
}

fn hold(measured: &[Measured]) -> anyhow::Result<()> {
    let missed: Vec<_> = measured.iter().filter(|measured| !measured.holds()).map(|it| it.what).collect();
    if missed.is_empty() || !is_pinned_compiler() {
        return Ok(());
    }
    bail!("over its bound: {}", missed.join(", "))
}

/// Checks the formatting, which the workspace's own check does not see.
pub(crate) fn check_format() -> anyhow::Result<()> {
    cargo(&["fmt", "--manifest-path", MANIFEST, "--check"])
}

/// Whether the toolchain can build for the device, with its target added where rustup can.
fn has_target() -> bool {
    let added = Command::new("rustup").args(["target", "add", TARGET]).stderr(Stdio::null()).status();
    added.is_ok_and(|status| status.success())
}

/// Runs cargo in the firmware's folder, whose `.cargo/config.toml` names the target and what else the board needs.
fn firmware_cargo(arguments: &[&str]) -> anyhow::Result<()> {
    execute(cargo_command(arguments).current_dir(FOLDER).env("CARGO_TARGET_DIR", folder()?))
}

fn folder() -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(target_directory().join("firmware"))?)
}

fn built(program: &str) -> PathBuf {
    target_directory().join("firmware").join(TARGET).join("release").join(program)
}

/// The static library for C firmware, which has to build without an operating system.
fn build_c_library() -> anyhow::Result<()> {
    let library = ["rustc", "--package", "quorate-ffi", "--profile", "embedded", "--crate-type", "staticlib"];
    cargo(&[&library[..], &["--target", TARGET]].concat())
}

/// Something that was measured, and what it may be.
struct Measured {
    what: &'static str,
    bytes: u64,
    bound: Bound,
}

impl Measured {
    fn holds(&self) -> bool {
        self.bytes <= self.bound.most
    }

    fn print(self) -> Self {
        let Self { what, bytes, bound: Bound { goal, most } } = &self;
        let verdict = match bytes {
            bytes if bytes <= goal => "ok",
            bytes if bytes <= most => "over its goal",
            _ => "OVER ITS BOUND",
        };
        println!("{what}  {bytes}  goal {goal}  bound {most}  {verdict}");
        self
    }
}

/// Builds the signer, with each feature by itself first, and prints what it takes.
fn measure_flash(features: &[Feature]) -> anyhow::Result<Vec<Measured>> {
    let mut with_features = BTreeMap::new();
    for Feature { name, beside, .. } in features {
        let both = [*beside, Some(*name)].into_iter().flatten().collect::<Vec<_>>().join(",");
        firmware_cargo(&["build", "--release", "--locked", "--features", &both])?;
        with_features.insert((*name, *beside), flash("quorate-firmware")?);
    }
    firmware_cargo(&["build", "--release", "--locked"])?;
    let (signer, without_core) = (flash("quorate-firmware")?, flash("without-core")?);
    let flash_with = |name, beside| with_features.get(&(name, beside)).copied().unwrap_or(signer);
    let mut measured = Vec::new();
    for Feature { name, beside, bound } in features {
        let without = beside.map_or(signer, |beside| flash_with(beside, None));
        let bytes = flash_with(name, *beside).saturating_sub(without);
        match *bound {
            Some((what, bound)) => measured.push(Measured { what, bytes, bound }.print()),
            None => println!("flash of feature {name}  {bytes}"),
        }
    }
    println!("flash without the core  {without_core}");
    println!("static RAM  {}, heap 0", section(&built("quorate-firmware"), &[".data", ".bss"])?);
    let core = signer.saturating_sub(without_core);
    measured.extend([
        Measured { what: "flash of the signer", bytes: signer, bound: FLASH }.print(),
        Measured { what: "flash of the core's share", bytes: core, bound: FLASH_OF_CORE }.print(),
    ]);
    Ok(measured)
}

fn flash(program: &str) -> anyhow::Result<u64> {
    section(&built(program), &[".vector_table", ".text", ".rodata", ".data"])
}

/// The bytes of some sections of a program.
fn section(program: &Path, names: &[&str]) -> anyhow::Result<u64> {
    let sizes = Command::new("size").args(["-A", "-d"]).arg(program).output();
    let sizes = sizes.context("`size` of binutils does not start")?;
    ensure!(sizes.status.success(), "`size` cannot read {}", program.display());
    Ok(sum_of_sections(&String::from_utf8_lossy(&sizes.stdout), names))
}

fn sum_of_sections(sizes: &str, names: &[&str]) -> u64 {
    let lines = sizes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_names = lines.filter(|line| line.first().is_some_and(|name| names.contains(name)));
    of_names.filter_map(|line| line.get(1)?.parse::<u64>().ok()).sum()
}

/// Runs a program that uses up its stack: it has to end in a fault, and not in another program's memory.
fn check_stack_guard(program: &Path) -> anyhow::Result<()> {
    let mut machine = Command::new("qemu-system-arm")
        .args(["-machine", "mps2-an386", "-cpu", "cortex-m4", "-nographic", "-monitor", "none"])
        .args(["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("QEMU does not start")?;
    for _ in 0..100 {
        if machine.try_wait()?.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // A machine that goes on is one that has not faulted.
    let went_on = machine.try_wait()?.is_none();
    let _ = machine.kill();
    let ended = machine.wait_with_output()?;
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(said.contains("using up the stack"), "the program for the stack's guard does not run: {said}");
    ensure!(!went_on && said.contains("stopped: fault"), "too much of the stack is no fault: {said}");
    println!("a stack that overflows faults");
    Ok(())
}

/// The largest of the lines `stack N bytes`.
fn most_stack(said: &str) -> Option<u64> {
    let after = said.split("stack ").skip(1);
    after.filter_map(|rest| rest.split_once(" bytes")?.0.parse().ok()).max()
}

fn is_pinned_compiler() -> bool {
    let version = Command::new("rustc").arg("--version").output();
    let is_pinned = version.is_ok_and(|output| output.stdout.starts_with(COMPILER.as_bytes()));
    if !is_pinned {
        println!("the bounds are those of {COMPILER}, which this is not");
    }
    is_pinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_is_the_sum_of_its_sections() {
        let sizes =
            "firmware  :\nsection  size  addr\n.text  100  1024\n.rodata  20  3\n.bss  7  9\nTotal 127\n";
        assert_eq!(sum_of_sections(sizes, &[".text", ".rodata"]), 120);
        assert_eq!(sum_of_sections(sizes, &[".data"]), 0);
    }

    #[test]
    fn the_stack_is_the_most_that_was_used() {
        assert_eq!(most_stack("stack 900 bytes\ntest a stack 10400 bytes\nstack 1000 bytes"), Some(10_400));
        assert_eq!(most_stack("a stack that overflows faults"), None);
    }
}
