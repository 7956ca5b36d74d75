//! See `quorate_fuzz::delegation_context`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::delegation_context(data);
});
