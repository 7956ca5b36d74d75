//! The browser of the approval page's tests, and the page's pictures: `cargo xtask screenshots`.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::command::{cargo_command, execute};
use crate::debian::install;

const CHROMIUM: &str = "chromium";

/// Where the tests look for the browser; empty where it is not to be tested.
pub(crate) const VARIABLE: &str = "QUORATE_CHROMIUM";

/// Where the tests put their pictures.
const PICTURES: &str = "QUORATE_SCREENSHOTS";

/// The browser, installed.
pub(crate) fn prepare() -> anyhow::Result<PathBuf> {
    install(CHROMIUM, &[CHROMIUM])?;
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(CHROMIUM)).find(|file| file.is_file());
    found.context("chromium runs, and is in no folder of PATH")
}

/// Takes the pictures of the README from the page.
pub(crate) fn screenshots() -> anyhow::Result<()> {
    let folder = env::current_dir()?.join("docs");
    std::fs::create_dir_all(&folder)?;
    let test = ["test", "--package", "quorate-cli", "--test", "browser", "--", "pictures"];
    execute(cargo_command(&test).env(VARIABLE, prepare()?).env(PICTURES, folder))
}
