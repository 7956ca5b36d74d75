use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{self, CacheError};
use crate::process::{Process, ProcessError, Program};
use crate::progress::{Progress, Step};
use crate::watchdog::Watchdog;

/// The oldest major version of Node.js that runs the packages.
pub const OLDEST_NODE: u32 = 20;

const PACKAGES: PinnedPackages<'static> = PinnedPackages {
    package_json: include_str!("../npm/package.json"),
    package_lock: include_str!("../npm/package-lock.json"),
    npmrc: include_str!("../npm/.npmrc"),
};
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);

/// The npm packages could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// `node` or `npm` is not there.
    #[error(
        "{program} was not found; install Node.js {OLDEST_NODE} or newer, which brings it \
         (https://nodejs.org, or the system's packages nodejs and npm)"
    )]
    NodeMissing {
        /// `node` or `npm`.
        program: &'static str,
    },
    /// `node` is older than [`OLDEST_NODE`].
    #[error("node is {found}, and {OLDEST_NODE} or newer is needed (https://nodejs.org)")]
    NodeTooOld {
        /// What `node --version` says.
        found: String,
    },
    /// `node` or `npm` is there and could not be run.
    #[error("cannot run {program}")]
    NodeBroken {
        /// `node` or `npm`.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// `npm ci` failed, as it does without a network.
    #[error("the npm packages could not be installed")]
    Install(#[source] ProcessError),
    /// The installed packages have no anvil for this platform.
    #[error("there is no anvil for {os} on {arch}")]
    NoAnvil {
        /// The operating system, as [`std::env::consts::OS`] calls it.
        os: &'static str,
        /// The processor architecture, as [`std::env::consts::ARCH`] calls it.
        arch: &'static str,
    },
    /// The cache folder could not be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// npm packages of exact versions: the texts of the files that `npm ci` reads.
#[derive(Debug, Clone, Copy)]
pub struct PinnedPackages<'a> {
    /// `package.json`.
    pub package_json: &'a str,
    /// `package-lock.json`.
    pub package_lock: &'a str,
    /// `.npmrc`.
    pub npmrc: &'a str,
}

impl PinnedPackages<'_> {
    /// Installs the packages into a folder of their own below `cache`, unless they are there, and gives that folder.
    ///
    /// The folder's name tells the lockfile's hash. Nothing is written outside of `cache`. Processes that do this at
    /// the same time wait for each other, and an installation that was cut off is begun again.
    ///
    /// # Errors
    /// Node.js 20 or newer and npm must be there, and the npm registry within reach.
    pub async fn install(self, cache: &Path, progress: &dyn Progress) -> Result<PathBuf, ToolchainError> {
        check_node()?;
        let key = self.key();
        let lock = cache::lock(cache).await?;
        let cache = fs::canonicalize(cache).map_err(CacheError::at("find", cache))?;
        let folder = cache.join(format!("npm-{key}"));
        if !folder.exists() {
            progress.step(Step::InstallPackages);
            let partial = cache.join(format!("npm-{key}.partial"));
            fill(self, &partial, &cache).await?;
            fs::rename(&partial, &folder).map_err(CacheError::at("make", &folder))?;
        }
        drop(lock);
        Ok(folder)
    }

    /// A name that changes with any of the packages.
    fn key(self) -> String {
        let Self { package_json, package_lock, npmrc } = self;
        cache::key(&[package_json, package_lock, npmrc, std::env::consts::OS, std::env::consts::ARCH])
    }
}

/// The npm packages that a development network runs, installed.
#[derive(Debug, Clone)]
pub struct Toolchain {
    cache: PathBuf,
    folder: PathBuf,
    key: String,
}

impl Toolchain {
    /// Installs the packages below `cache`; see [`PinnedPackages::install`].
    ///
    /// # Errors
    /// Node.js 20 or newer and npm must be there, and the npm registry within reach.
    pub async fn install(cache: &Path, progress: &dyn Progress) -> Result<Self, ToolchainError> {
        let folder = PACKAGES.install(cache, progress).await?;
        let cache = fs::canonicalize(cache).map_err(CacheError::at("find", cache))?;
        Ok(Self { cache, folder, key: PACKAGES.key() })
    }

    /// The folder that holds `package.json` and `node_modules`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder that the packages were installed below.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// A name that changes with any of the packages.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The native program, since `.bin/anvil` starts it as a child that outlives it.
    pub(crate) fn anvil(&self) -> Result<PathBuf, ToolchainError> {
        let missing = ToolchainError::NoAnvil { os: std::env::consts::OS, arch: std::env::consts::ARCH };
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            _ => return Err(missing),
        };
        let program = self.folder.join(format!("node_modules/@foundry-rs/anvil-{os}-{arch}/bin/anvil"));
        if program.exists() { Ok(program) } else { Err(missing) }
    }

    pub(crate) fn alto(&self) -> PathBuf {
        self.folder.join("node_modules/@pimlico/alto/esm/cli/alto.js")
    }
}

async fn fill(packages: PinnedPackages<'_>, partial: &Path, cache: &Path) -> Result<(), ToolchainError> {
    if partial.exists() {
        fs::remove_dir_all(partial).map_err(CacheError::at("remove", partial))?;
    }
    fs::create_dir_all(partial).map_err(CacheError::at("make", partial))?;
    let PinnedPackages { package_json, package_lock, npmrc } = packages;
    for (name, text) in
        [("package.json", package_json), ("package-lock.json", package_lock), (".npmrc", npmrc)]
    {
        let path = partial.join(name);
        fs::write(&path, text).map_err(CacheError::at("write", &path))?;
    }
    // npm's own cache would otherwise be in the home folder; here it goes when the packages are in place.
    let npm_cache = partial.join("npm-cache");
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--cache"];
    let program = Program {
        name: "npm ci".to_owned(),
        program: Path::new("npm"),
        arguments: arguments.into_iter().map(Into::into).chain([npm_cache.clone().into()]).collect(),
        directory: partial,
        log: cache.join("npm.log"),
    };
    let watchdog =
        Watchdog::start().map_err(|source| ToolchainError::Install(ProcessError::Watchdog { source }))?;
    let mut npm = Process::start(program, &Arc::new(watchdog)).map_err(|error| match error {
        ProcessError::Start { source, .. } => not_run("npm", source),
        other => ToolchainError::Install(other),
    })?;
    npm.finished(INSTALL_DEADLINE).await.map_err(ToolchainError::Install)?;
    if npm_cache.exists() {
        fs::remove_dir_all(&npm_cache).map_err(CacheError::at("remove", &npm_cache))?;
    }
    Ok(())
}

fn check_node() -> Result<(), ToolchainError> {
    let output = Command::new("node").arg("--version").output().map_err(|source| not_run("node", source))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match major(&version) {
        Some(major) if major >= OLDEST_NODE => Ok(()),
        _ => Err(ToolchainError::NodeTooOld { found: version }),
    }
}

/// The 20 of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn not_run(program: &'static str, source: io::Error) -> ToolchainError {
    if source.kind() == io::ErrorKind::NotFound {
        ToolchainError::NodeMissing { program }
    } else {
        ToolchainError::NodeBroken { program, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version_of_node() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("20"), None);
    }

    #[test]
    fn a_missing_program_is_named_with_how_to_get_it() {
        let message = not_run("npm", io::ErrorKind::NotFound.into()).to_string();
        assert!(message.starts_with("npm was not found; install Node.js 20 or newer"), "{message}");
    }

    #[test]
    fn the_lockfile_names_no_registry() {
        let PinnedPackages { package_lock, npmrc, .. } = PACKAGES;
        assert!(!package_lock.contains("\"resolved\"") && !package_lock.contains("registry"));
        assert!(npmrc.contains("omit-lockfile-registry-resolved=true"));
    }
}
