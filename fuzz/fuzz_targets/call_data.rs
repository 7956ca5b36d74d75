//! See `quorate_fuzz::call_data`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::call_data(data);
});
