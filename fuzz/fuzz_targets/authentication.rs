//! See `quorate_fuzz::authentication`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::authentication(data);
});
