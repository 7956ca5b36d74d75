//! See `quorate_fuzz::user_operation_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::user_operation_json(data);
});
