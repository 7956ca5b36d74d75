//! Builds the static library and the C programs over it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// Set where the C compiler has no sanitizers and that is known: the programs run without them.
const WITHOUT_SANITIZERS: &str = "QUORATE_WITHOUT_SANITIZERS";

/// A C program of `tests/c`.
pub(crate) struct Program {
    folder: TempDir,
}

impl Program {
    /// The program with AddressSanitizer and UndefinedBehaviorSanitizer, and without.
    pub(crate) fn with_and_without_sanitizers(name: &str) -> Vec<Self> {
        let sanitizers: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"];
        let library = &*LIBRARY;
        let mut programs = vec![Self::compile(name, &[], library).unwrap()];
        match Self::compile(name, sanitizers, library) {
            Ok(program) => programs.push(program),
            Err(_) if std::env::var_os(WITHOUT_SANITIZERS).is_some() => {}
            Err(error) => panic!(
                "{name}.c does not compile with sanitizers. Where the compiler has none, install them (Debian: libasan and \
                 libubsan come with gcc), or set {WITHOUT_SANITIZERS}=1 to test without: {error}"
            ),
        }
        programs
    }

    /// The program over the library as it is shipped.
    pub(crate) fn as_shipped(name: &str) -> Self {
        Self::compile(name, &["-pthread"], &build(&["--profile", "embedded"])).unwrap()
    }

    fn compile(name: &str, options: &[&str], library: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-Iinclude"]);
        cc.args(options).arg(format!("tests/c/{name}.c")).arg("-o").arg(folder.path().join("program"));
        let output = cc.arg(library).args(["-lpthread", "-ldl", "-lm"]).output().unwrap();
        if output.status.success() {
            Ok(Self { folder })
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// Runs the program. What it does not free before it ends is not looked for.
    pub(crate) fn run(&self, command: &mut Command) -> Output {
        command
            .env("ASAN_OPTIONS", "detect_leaks=0:exitcode=99")
            .env("UBSAN_OPTIONS", "exitcode=99")
            .output()
            .unwrap()
    }
}

/// The static library of daily work, with debug assertions.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| build(&[]));

fn build(profile: &[&str]) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["rustc", "--package", "quorate-ffi", "--lib", "--crate-type", "staticlib"]).args(profile);
    let output = cargo.args(["--message-format", "json-render-diagnostics"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let files =
        messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter_map(|message| {
            let files = message.get("filenames")?.as_array()?;
            files
                .iter()
                .filter_map(Value::as_str)
                .find(|file| file.ends_with("libquorate_ffi.a"))
                .map(Into::into)
        });
    files.rev().find(|library: &PathBuf| library.exists()).unwrap()
}
