//! A program at a terminal of its own.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::io::{Read as _, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

pub(crate) struct Terminal {
    master: Box<dyn MasterPty>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Screen>,
}

/// What stands there, as it comes.
#[derive(Default)]
struct Screen {
    text: Mutex<String>,
    changed: Condvar,
}

const PATIENCE: Duration = Duration::from_secs(300);

impl Terminal {
    pub(crate) fn run(
        program: &str,
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let pair = native_pty_system().openpty(PtySize { cols: 500, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(program);
        command.cwd(folder);
        command.args(arguments);
        environment.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let (master, screen) = (pair.master, Arc::<Screen>::default());
        let (mut reader, keys) = (master.try_clone_reader().unwrap(), master.take_writer().unwrap());
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It is an error on Linux, not an end, once the program has ended.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
                shown.changed.notify_all();
            }
        });
        Self { master, keys, child, screen }
    }

    /// Waits until the program says this.
    pub(crate) fn wait_for(&self, words: &str) {
        let text = self.screen.text.lock().unwrap();
        let missing = |text: &mut String| !text.contains(words);
        let (text, waited) = self.screen.changed.wait_timeout_while(text, PATIENCE, missing).unwrap();
        assert!(!waited.timed_out(), "no `{words}` in: {text}");
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        self.screen.text.lock().unwrap().clone()
    }

    /// Waits until what is typed is shown, or is not.
    pub(crate) fn wait_for_echo(&self, is_on: bool) {
        let start = Instant::now();
        while self.echoes() != is_on {
            assert!(start.elapsed() < PATIENCE, "the echo stays {}", if is_on { "off" } else { "on" });
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn echoes(&self) -> bool {
        let flags = self.master.get_termios().unwrap().local_flags.bits();
        flags & LocalFlags::ECHO.bits() != 0
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Ctrl-C, or the signal that it stands for from somewhere else.
    pub(crate) fn interrupt(&mut self, by_signal: bool) {
        if by_signal {
            let child = self.child.process_id().unwrap().cast_signed();
            kill(Pid::from_raw(child), Signal::SIGINT).unwrap();
        } else {
            self.press("\u{3}");
        }
    }

    /// What the program exits with.
    pub(crate) fn exit(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.screen.text.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
