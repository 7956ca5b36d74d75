//! What a review has shown.

use quorate_approval::Review;
use quorate_core::{Item, NotShown, Severity, Show};
use serde::Serialize;

/// The items of a review, each also as a line. Unlike on a device, what was shown before a refusal stays.
#[derive(Default, Serialize)]
pub(crate) struct Shown {
    items: Vec<ShownItem>,
    lines: Vec<String>,
    /// The same for the approval page.
    #[serde(skip)]
    page: Review,
}

#[derive(Serialize)]
struct ShownItem {
    severity: &'static str,
    label: &'static str,
    value: String,
}

impl Shown {
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }

    pub(crate) fn into_page(self, title: &str) -> Review {
        self.page.titled(title)
    }
}

impl Show for Shown {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        let severity = match item.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Danger => "danger",
            Severity::Refused => "refused",
        };
        self.items.push(ShownItem { severity, label: item.label.text(), value: item.value.to_string() });
        self.lines.push(item.to_string());
        self.page.show(item)
    }
}
