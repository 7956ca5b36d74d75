//! See `quorate_fuzz::grant`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::grant(data);
});
