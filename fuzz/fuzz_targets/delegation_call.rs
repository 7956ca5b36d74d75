//! See `quorate_fuzz::delegation_call`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::delegation_call(data);
});
