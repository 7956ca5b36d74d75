//! See `quorate_fuzz::key_request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::key_request(data);
});
