//! What is going on, while it takes longer than a moment.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use quorate_approval::Approval;

use crate::exit::Failure;
use crate::interrupt::interrupted;
use crate::offline::Output;

/// The steps of a command: a spinner at a terminal, lines elsewhere, and nothing where JSON is asked for; and on the approval
/// page, where the owner signs there.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    is_silent: bool,
    bars: MultiProgress,
    page: Option<Approval>,
}

impl Steps {
    pub(crate) fn new(output: Output) -> Self {
        Self { is_silent: output.is_json(), bars: MultiProgress::new(), page: None }
    }

    /// Tells the page as well from now on.
    pub(crate) fn tell(&mut self, page: Approval) {
        self.page = Some(page);
    }

    /// Writes to stderr, beside the spinner.
    pub(crate) fn say(&self, line: &str) {
        self.bars.suspend(|| eprintln!("{line}"));
    }

    /// Does a step's work, and tells what it is meanwhile. Ctrl-C ends it: what was sent stays sent, and
    /// `quorate session resume` says what became of it.
    pub(crate) async fn during<T, E: Into<anyhow::Error>>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        if let Some(page) = &self.page {
            page.step(what);
        }
        let spinner =
            if self.is_silent { ProgressBar::hidden() } else { self.bars.add(ProgressBar::new_spinner()) };
        spinner.set_style(ProgressStyle::default_spinner());
        spinner.set_message(what);
        spinner.enable_steady_tick(Duration::from_millis(100));
        if spinner.is_hidden() && !self.is_silent {
            eprintln!("… {what}");
        }
        let done = tokio::select! {
            biased; // so that nothing is begun after Ctrl-C
            () = interrupted() => Err(Failure::stopped().into()),
            done = work => done.map_err(Into::into),
        };
        spinner.finish_and_clear();
        done
    }
}
