//! See `quorate_fuzz::session_key_data`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::session_key_data(data);
});
