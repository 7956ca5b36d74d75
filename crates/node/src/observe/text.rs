//! Texts from outside, as they stand in a log.

use std::fmt::Display;

/// The most bytes of one text, so that a line with one of them is at most 300 bytes beside what the log itself adds.
const LONGEST: usize = 140;

const ELLIPSIS: &str = "…";

/// What somebody else may have chosen, in one short line without anything that a log has to escape.
pub(crate) fn one_line(text: impl Display) -> String {
    let mut line: String = text.to_string().chars().map(plain).collect();
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST - ELLIPSIS.len()));
        line.push_str(ELLIPSIS);
    }
    line
}

/// The character, or what stands for one that JSON or a terminal takes for something else.
fn plain(character: char) -> char {
    match character {
        '"' => '\'',
        '\\' => '/',
        // Marks that turn a line's direction.
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
        _ if character.is_control() => ' ',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_one_short_line_that_needs_no_escape() {
        assert_eq!(one_line("unknown field `x`, expected `t`"), "unknown field `x`, expected `t`");
        assert_eq!(one_line("a\nb\u{1b}[31m\u{202e}\"\\"), "a b [31m '/");
        for long in ["ü".repeat(100_000), "\0\"\\".repeat(100_000)] {
            let line = one_line(long);
            assert!(line.len() <= LONGEST && line.ends_with(ELLIPSIS), "{line}");
            assert_eq!(serde_json::to_string(&line).unwrap().len(), line.len() + 2);
        }
    }
}
