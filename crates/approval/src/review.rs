use std::fmt;

use quorate_core::{Item, NotShown, Severity, Show};
use serde::Serialize;

/// What is about to be signed, as the page shows it: a title, and items that a review of the bytes gives
/// ([`Show`]).
///
/// ```
/// use quorate_approval::Review;
///
/// let review = Review::new("End a session").with_note("The network's nodes end its key as well.");
/// assert_eq!(review.title(), "End a session");
/// ```
#[derive(Clone, Debug, Default, Serialize)]
pub struct Review {
    title: String,
    notes: Vec<String>,
    items: Vec<ShownItem>,
}

#[derive(Clone, Debug, Serialize)]
struct ShownItem {
    severity: String,
    /// As [`quorate_core::Label::depth`] says.
    depth: usize,
    label: String,
    value: String,
}

impl Review {
    /// A review without items so far.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// The same under another title.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The same with a sentence below the title.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same with one more thing that is signed, as a label and what it is.
    #[must_use]
    pub fn with_fact(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        let (label, value) = (label.into(), value.into());
        self.items.push(ShownItem { severity: Severity::Info.to_string(), depth: 1, label, value });
        self
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.title
    }
}

impl Show for Review {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        let severity = item.severity.to_string();
        self.items.push(ShownItem {
            severity,
            depth: item.label.depth(),
            label: item.label.text().to_owned(),
            value: item.value.to_string(),
        });
        Ok(())
    }
}

/// The same as lines, for a terminal.
impl fmt::Display for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        for note in &self.notes {
            write!(f, "\n{note}")?;
        }
        for ShownItem { severity, depth, label, value } in &self.items {
            write!(f, "\n{:1$}", "", depth * 2)?;
            if severity != &Severity::Info.to_string() {
                write!(f, "{}: ", severity.to_uppercase())?;
            }
            write!(f, "{label} {value}")?;
        }
        Ok(())
    }
}
