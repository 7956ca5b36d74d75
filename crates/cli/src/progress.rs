//! What is going on, while it takes longer than a moment.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::Failure;
use crate::offline::Output;

/// The steps of a command: a spinner at a terminal, lines elsewhere, and nothing where JSON is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    is_silent: bool,
}

impl Steps {
    pub(crate) const fn new(output: Output) -> Self {
        Self { is_silent: output.is_json() }
    }

    /// Does a step's work, and tells what it is meanwhile. Ctrl-C ends it: what was sent stays sent, and
    /// `quorate session resume` says what became of it.
    pub(crate) async fn during<T, E: Into<anyhow::Error>>(
        self,
        what: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        let spinner = if self.is_silent { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        spinner.set_style(ProgressStyle::default_spinner());
        spinner.set_message(what);
        spinner.enable_steady_tick(Duration::from_millis(100));
        if spinner.is_hidden() && !self.is_silent {
            eprintln!("… {what}");
        }
        let done = tokio::select! {
            done = work => done.map_err(Into::into),
            _ = tokio::signal::ctrl_c() => Err(Failure::stopped().into()),
        };
        spinner.finish_and_clear();
        done
    }
}
