//! `from`, `until` and `for`.

use super::{End, Validity};
use crate::mistake::{Found, MistakeKind};
use crate::read::{Fields, Spanned};
use crate::time::{self, Day};

pub(super) fn read(fields: &Fields<'_>, found: &mut Found) -> Validity {
    let mut moment = |key, day| {
        let written = fields.time(key, found)?;
        Some(Spanned::new(found.ok(time::moment(written.text, day), written.span())?, written.span()))
    };
    let from = moment("from", Day::Start);
    let until = moment("until", Day::End);
    let duration = fields.text("for", found).and_then(|written| {
        Some(Spanned::new(found.ok(time::duration(written.text), written.span())?, written.span()))
    });
    if let (Some(until), Some(duration)) = (fields.key_span("until"), fields.key_span("for")) {
        found.report_both(MistakeKind::TwoEnds, duration, until, "and this one");
    }
    Validity { from, end: until.map(End::Until).or(duration.map(End::For)) }
}
