//! See `quorate_fuzz::evaluate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::evaluate(data);
});
