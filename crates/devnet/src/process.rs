use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::watchdog::Watchdog;

const POLL_INTERVAL: Duration = Duration::from_millis(20);
const TAIL_LINES: usize = 20;

/// A process that could not be started, or ended when it should not have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The program could not be run.
    #[error("cannot run {program} for {process}", program = program.display())]
    Start {
        /// What the process is for.
        process: String,
        /// The program that was tried.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file that its output goes to could not be written.
    #[error("cannot write the log {log}", log = log.display())]
    Log {
        /// The file.
        log: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The shell that ends the processes after this program could not be started or told.
    #[error("cannot run the shell that ends the processes after this program")]
    Watchdog {
        /// Why not.
        source: io::Error,
    },
    /// A port that was asked for is in use.
    #[error("port {port}, wanted for {process}, is taken; choose another, or end what listens there")]
    PortTaken {
        /// What the port was wanted for.
        process: String,
        /// The port.
        port: u16,
    },
    /// A port could not be opened for another reason, such as a missing right.
    #[error("cannot open port {port} for {process}")]
    Port {
        /// What the port was wanted for.
        process: String,
        /// The port, 0 for any.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// The process ended by itself.
    #[error("{process} ended ({status}); the log {log} closes with\n{tail}", log = log.display())]
    Died {
        /// What the process was for.
        process: String,
        /// How it ended.
        status: ExitStatus,
        /// All that it wrote.
        log: PathBuf,
        /// The last lines that it wrote.
        tail: LogTail,
    },
    /// The process did not do in time what it should.
    #[error(
        "{process} was not ready after {seconds} s; the log {log} closes with\n{tail}",
        seconds = waited.as_secs(),
        log = log.display()
    )]
    NotReady {
        /// What the process is for.
        process: String,
        /// How long it had.
        waited: Duration,
        /// All that it wrote.
        log: PathBuf,
        /// The last lines that it wrote.
        tail: LogTail,
    },
}

impl ProcessError {
    /// Whether somebody else took a port between its choice and its use.
    pub(crate) fn is_lost_port(&self) -> bool {
        let words = ["address already in use", "eaddrinuse"];
        matches!(self, Self::Died { tail, .. } if {
            let tail = tail.as_str().to_lowercase();
            words.iter().any(|word| tail.contains(word))
        })
    }
}

/// The last lines of a process's log; empty where nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail(String);

impl LogTail {
    /// The lines.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(log: &Path) -> Self {
        let bytes = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        Self(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
    }
}

impl fmt::Display for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(nothing)" } else { &self.0 })
    }
}

/// A child in a process group of its own, whose output goes to a file.
///
/// Dropping it kills the group.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: PathBuf,
    watchdog: Arc<Watchdog>,
    ended: Option<ExitStatus>,
}

/// What to run, and where.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// What it is for, as error messages should call it.
    pub(crate) name: String,
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) directory: &'a Path,
    /// Written from its beginning.
    pub(crate) log: PathBuf,
}

impl Process {
    pub(crate) fn start(program: Program<'_>, watchdog: &Arc<Watchdog>) -> Result<Self, ProcessError> {
        let Program { name, program, arguments, directory, log } = program;
        let output = File::create(&log)
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|source| ProcessError::Log { log: log.clone(), source })?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.0)
            .stderr(output.1)
            .process_group(0)
            .spawn()
            .map_err(|source| ProcessError::Start {
                process: name.clone(),
                program: program.to_owned(),
                source,
            })?;
        // The process group has the number of its first process, which fits: the kernel's type is the same.
        let group = Pid::from_raw(child.id().cast_signed());
        let process = Self { name, child, group, log, watchdog: Arc::clone(watchdog), ended: None };
        process.watchdog.watch(group).map_err(|source| ProcessError::Watchdog { source })?;
        Ok(process)
    }

    /// Waits until the probe says that the process is ready.
    ///
    /// A process that ends before, or a deadline that passes, is an error.
    pub(crate) async fn ready(
        &mut self,
        deadline: Duration,
        mut probe: impl AsyncFnMut() -> bool,
    ) -> Result<(), ProcessError> {
        let start = Instant::now();
        loop {
            self.alive()?;
            if probe().await {
                return Ok(());
            }
            if start.elapsed() > deadline {
                return Err(self.not_ready(deadline));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for a process that does its work and ends.
    pub(crate) async fn finished(&mut self, deadline: Duration) -> Result<(), ProcessError> {
        match self.wait(deadline).await {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.died(status)),
            None => Err(self.not_ready(deadline)),
        }
    }

    /// An error if the process has ended.
    pub(crate) fn alive(&mut self) -> Result<(), ProcessError> {
        match self.poll() {
            Some(status) => Err(self.died(status)),
            None => Ok(()),
        }
    }

    /// Asks the whole group to end, and kills what is left of it when the patience is at its end.
    pub(crate) async fn terminate(&mut self, patience: Duration) {
        if self.poll().is_none() {
            // A group that is gone needs no signal.
            let _ = killpg(self.group, Signal::SIGTERM);
            self.wait(patience).await;
        }
        self.kill();
    }

    /// Kills the whole group at once.
    pub(crate) fn kill(&mut self) {
        if self.ended.is_none() {
            let _ = killpg(self.group, Signal::SIGKILL);
            if let Ok(status) = self.child.wait() {
                self.end(status);
            }
        }
    }

    pub(crate) fn not_ready(&self, waited: Duration) -> ProcessError {
        ProcessError::NotReady {
            process: self.name.clone(),
            waited,
            log: self.log.clone(),
            tail: LogTail::read(&self.log),
        }
    }

    fn died(&self, status: ExitStatus) -> ProcessError {
        ProcessError::Died {
            process: self.name.clone(),
            status,
            log: self.log.clone(),
            tail: LogTail::read(&self.log),
        }
    }

    async fn wait(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while self.poll().is_none() && start.elapsed() < deadline {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        self.ended
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.end(status);
        }
        self.ended
    }

    /// Kills what the first process of the group left behind, before its number can be another's.
    fn end(&mut self, status: ExitStatus) {
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.watchdog.forget(self.group);
        self.ended = Some(status);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, directory: &Path) -> Process {
        let program = Program {
            name: "the shell".to_owned(),
            program: Path::new("sh"),
            arguments: vec!["-c".into(), script.into()],
            directory,
            log: directory.join("shell.log"),
        };
        Process::start(program, &Arc::new(Watchdog::start().unwrap())).unwrap()
    }

    #[tokio::test]
    async fn shows_the_last_lines_of_a_process_that_dies() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = shell("seq 100; echo 'no such flag' >&2; exit 3", directory.path());

        let error = process.ready(Duration::from_secs(60), async || false).await.unwrap_err();

        let ProcessError::Died { status, tail, .. } = &error else { panic!("{error}") };
        assert_eq!(status.code(), Some(3));
        assert!(tail.as_str().starts_with("82\n83\n") && tail.as_str().ends_with("100\nno such flag"));
    }

    #[tokio::test]
    async fn tells_a_lost_port_from_other_ends() {
        let directory = tempfile::tempdir().unwrap();
        for (words, lost) in [
            ("Error: Address already in use (os error 98)", true),
            ("Error: listen EADDRINUSE: 127.0.0.1:1", true),
            ("out of memory", false),
        ] {
            let mut process = shell(&format!("echo '{words}' >&2; exit 1"), directory.path());
            let error = process.ready(Duration::from_secs(60), async || false).await.unwrap_err();
            assert_eq!(error.is_lost_port(), lost, "{error}");
        }
    }

    #[tokio::test]
    async fn gives_up_at_the_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = shell("sleep 1000", directory.path());
        let error = process.ready(Duration::from_millis(50), async || false).await.unwrap_err();
        assert!(matches!(error, ProcessError::NotReady { .. }), "{error}");
    }

    #[tokio::test]
    async fn kills_grandchildren_and_those_who_do_not_listen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("grandchild");
        let mut process = shell("trap '' TERM; sleep 1000 & echo $! > grandchild; wait", directory.path());
        let written = async || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'));
        process.ready(Duration::from_secs(60), written).await.unwrap();
        let grandchild = fs::read_to_string(&file).unwrap().trim().parse().unwrap();

        process.terminate(Duration::from_millis(50)).await;

        assert!(gone(Pid::from_raw(grandchild)).await);
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let program = Program {
            name: "the chain".to_owned(),
            program: Path::new("/nowhere/anvil"),
            arguments: Vec::new(),
            directory: directory.path(),
            log: directory.path().join("log"),
        };
        let error = Process::start(program, &Arc::new(Watchdog::start().unwrap())).unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nowhere/anvil for the chain");
    }

    /// Whether the process ends soon; what was killed may take a moment to be reaped by its new parent.
    async fn gone(process: Pid) -> bool {
        for _ in 0..3000 {
            let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                return true;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        false
    }
}
