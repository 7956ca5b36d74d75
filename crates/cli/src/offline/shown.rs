//! What a review has shown.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use quorate_approval::Review;
use quorate_core::{Item, NotShown, Show};
use serde::Serialize;

use super::Output;
use crate::exit::Failure;

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
    severity: String,
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
        let severity = item.severity.to_string();
        self.items.push(ShownItem { severity, label: item.label.text(), value: item.value.to_string() });
        self.lines.push(item.to_string());
        self.page.show(item)
    }
}

/// What a review has come to.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    shown: Shown,
    /// By its name, what is to be signed.
    #[serde(flatten)]
    hash: BTreeMap<&'static str, Option<B256>>,
    refusal: Option<String>,
}

impl Shown {
    /// Writes what was shown, and the hash, which is known once all of it was shown; or the refusal.
    pub(super) fn write(
        self,
        name: &'static str,
        hash: anyhow::Result<B256>,
        output: Output,
    ) -> anyhow::Result<()> {
        let refusal = hash.as_ref().err().map(ToString::to_string);
        let answer = Answer { shown: self, hash: [(name, hash.as_ref().ok().copied())].into(), refusal };
        output.write(&answer, |answer| answer.shown.text())?;
        match hash {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::refused(format!("{error:#}")).into()),
        }
    }
}
