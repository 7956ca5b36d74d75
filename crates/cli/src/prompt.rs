//! What is asked at the terminal. Ctrl-C at a question ends the program, with the terminal as it was.

use std::io::{BufRead as _, ErrorKind, IsTerminal as _, Write as _};

use anyhow::Context as _;
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::exit::Failure;
use crate::interrupt::interrupted;

/// A secret: from an environment variable, or else typed without being shown.
pub(crate) async fn secret(variable: &str, what: &'static str) -> anyhow::Result<Zeroizing<String>> {
    if let Ok(secret) = std::env::var(variable) {
        return Ok(Zeroizing::new(secret));
    }
    if !std::io::stdin().is_terminal() {
        let message = format!("no {what}: set {variable}, or run this at a terminal, which asks for it");
        return Err(Failure::bad_input(message).into());
    }
    let typed = asked(move || rpassword::prompt_password(format!("{what}: "))).await?;
    Ok(Zeroizing::new(typed))
}

/// Asks a question whose answer is no unless it is yes.
pub(crate) async fn confirm(question: &'static str) -> anyhow::Result<()> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        let message = format!(
            "nobody can be asked \"{question}\" without a terminal: give --yes, or --print to sign elsewhere"
        );
        return Err(Failure::bad_input(message).into());
    }
    let line = asked(move || {
        eprint!("{question} [y/N] ");
        std::io::stderr().flush()?;
        read_line()
    });
    match line.await?.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::refused("not confirmed; nothing was signed").into()),
    }
}

/// A line of stdin, whether somebody types it or a program writes it.
pub(crate) async fn line(what: &'static str) -> anyhow::Result<String> {
    let line = asked(read_line).await?;
    if line.is_empty() {
        return Err(Failure::bad_input(format!("stdin ended without {what}")).into());
    }
    Ok(line)
}

fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// The answer. Ctrl-C is listened for before the question appears; the thread that reads is not waited for when the program
/// ends.
async fn asked(read: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> anyhow::Result<String> {
    let terminal = tcgetattr(std::io::stdin());
    let (answer, answered) = oneshot::channel();
    std::thread::spawn(move || answer.send(read()));
    let answer = tokio::select! {
        answer = answered => answer.context("nothing was read from stdin")?,
        () = interrupted() => Err(ErrorKind::Interrupted.into()),
    };
    // Whoever reads a password sees Ctrl-C as well, and may be the first to say so.
    match answer {
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            if let Ok(terminal) = &terminal {
                let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, terminal);
            }
            eprintln!();
            Err(Failure::stopped().into())
        }
        answer => Ok(answer?),
    }
}
