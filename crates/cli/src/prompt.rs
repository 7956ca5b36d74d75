//! What is asked at the terminal. Ctrl-C at a question ends the program, with the terminal as it was.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::exit::Failure;

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

/// Asks a question whose answer is no unless it is yes. Where nobody can be asked, whoever runs the program has said yes.
pub(crate) async fn confirm(question: &'static str) -> anyhow::Result<()> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(());
    }
    let line = asked(move || {
        eprint!("{question} [y/N] ");
        std::io::stderr().flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(line)
    });
    match line.await?.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::refused("not confirmed; nothing was signed").into()),
    }
}

/// The answer, which is read on a thread of its own.
async fn asked(read: impl FnOnce() -> std::io::Result<String> + Send + 'static) -> anyhow::Result<String> {
    let terminal = tcgetattr(std::io::stdin());
    tokio::select! {
        read = spawn_blocking(read) => Ok(read??),
        _ = tokio::signal::ctrl_c() => {
            if let Ok(terminal) = &terminal {
                let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, terminal);
            }
            eprintln!();
            Err(Failure::stopped().into())
        }
    }
}
