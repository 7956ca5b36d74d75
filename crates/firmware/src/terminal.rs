//! Words for whoever runs the machine, without `core::fmt`: what the signer has of that is the core's.

use cortex_m_semihosting::hprint;

/// Prints a text.
pub(crate) fn print(text: &str) {
    hprint!(text);
}

/// Prints a number in decimal.
pub(crate) fn print_number(number: usize) {
    if number > 9 {
        print_number(number / 10);
    }
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    print(DIGITS[number % 10]);
}
