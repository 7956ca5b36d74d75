//! Puts the memory map, and the names of the interrupts' handlers, where the linker looks.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for what is built"));
    fs::write(out.join("memory.x"), include_bytes!("memory.x")).expect("the folder can be written");
    // The board's interrupts have no handlers: see `interrupts.rs`.
    fs::write(out.join("device.x"), "").expect("the folder can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rerun-if-changed=memory.x");
}
