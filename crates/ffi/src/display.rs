//! Where a review shows its items: a function of C's.

use core::ffi::{c_char, c_void};
use core::fmt;

use quorate_core::{Label, NotShown, Severity, Value, Written as _};

use crate::error::Error;

/// What is done.
pub const QUORATE_INFO: u8 = 0;
/// What most owners would not want.
pub const QUORATE_WARNING: u8 = 1;
/// What can cost the owner the account or all that is in it.
pub const QUORATE_DANGER: u8 = 2;
/// Why nothing is signed. Such an item is the last one, and takes the place of all before it.
pub const QUORATE_REFUSAL: u8 = 3;

/// The longest value in bytes. An item whose value is longer is not shown, and the review refuses.
pub const QUORATE_VALUE_SIZE: usize = 512;

/// One thing that is shown, and its texts in ASCII without a final zero. It lives as long as the call that hands it over.
///
/// In a line, it is two blanks for each step of its depth, "WARNING: " or "DANGER: " if it is one, its label, and a blank
/// and its value if they are not empty.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// What the value is: one of QUORATE_LABEL_….
    pub kind: u16,
    /// QUORATE_INFO to QUORATE_REFUSAL.
    pub severity: u8,
    /// 0 for what begins a part of the review, 1 for what belongs to it, 2 for what belongs to the item before.
    pub depth: u8,
    /// The kind in English.
    pub label: *const c_char,
    /// Its length.
    pub label_len: usize,
    /// The value.
    pub value: *const c_char,
    /// Its length, which may be 0.
    pub value_len: usize,
}

/// Shows one more item, and returns 0 when it is shown whole. Anything else ends the review. The context is what was given
/// along with this function.
pub type Show = Option<unsafe extern "C" fn(context: *mut c_void, item: *const Item) -> i32>;

type ShowItem = unsafe extern "C" fn(context: *mut c_void, item: *const Item) -> i32;

pub(crate) fn given(show: Show) -> Result<ShowItem, Error> {
    show.ok_or(Error::Null("the function that shows items"))
}

/// That function, and the text that it is given.
pub(crate) struct Display {
    show: ShowItem,
    context: *mut c_void,
    value: heapless::String<QUORATE_VALUE_SIZE>,
}

impl Display {
    /// # Safety
    /// The function may be called with the context for as long as this is.
    pub(crate) const unsafe fn new(show: ShowItem, context: *mut c_void) -> Self {
        Self { show, context, value: heapless::String::new() }
    }
}

impl quorate_core::Show for Display {
    fn show(&mut self, item: &quorate_core::Item<'_>) -> Result<(), NotShown> {
        self.value.clear();
        item.value.write(&mut |piece| self.value.push_str(piece).map_err(|_| fmt::Error))?;
        let label = item.label.text();
        let item = Item {
            kind: item.label as u16,
            severity: number(item.severity),
            depth: u8::try_from(item.label.depth()).map_err(|_| NotShown)?,
            label: label.as_ptr().cast(),
            label_len: label.len(),
            value: self.value.as_ptr().cast(),
            value_len: self.value.len(),
        };
        // SAFETY: the promise given to `new`; the item and its texts live until the call returns.
        let shown = unsafe { (self.show)(self.context, &raw const item) };
        if shown == 0 { Ok(()) } else { Err(NotShown) }
    }
}

const fn number(severity: Severity) -> u8 {
    match severity {
        Severity::Info => QUORATE_INFO,
        Severity::Warning => QUORATE_WARNING,
        Severity::Danger => QUORATE_DANGER,
        Severity::Refused => QUORATE_REFUSAL,
    }
}

/// Shows a refusal that the core does not know of.
pub(crate) fn refuse(show: &mut dyn quorate_core::Show, error: &Error) {
    // A display that is gone shows no refusal either; the caller has it.
    let _ = show.show(&quorate_core::Item {
        severity: Severity::Refused,
        label: Label::Refused,
        value: Value::Reason(error),
    });
}
