use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use quorate_devnet::Step;

/// What is being measured at present, on stderr.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Default for Progress {
    fn default() -> Self {
        let spinner = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self(spinner)
    }
}

impl Progress {
    pub(crate) fn begin(&self, what: &str) {
        self.0.set_message(what.to_owned());
        // Where there is no terminal for the spinner, lines tell the same.
        if self.0.is_hidden() {
            eprintln!("… {what}");
        }
    }

    /// `done` of `all` rounds are over.
    pub(crate) fn round(&self, what: &str, done: usize, all: usize) {
        self.0.set_message(format!("{what} ({done} of {all})"));
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl quorate_devnet::Progress for Progress {
    fn step(&self, step: Step) {
        self.begin(&step.to_string());
    }
}
