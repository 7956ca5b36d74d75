//! See `quorate_fuzz::text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::text(data);
});
