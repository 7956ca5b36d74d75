//! See `quorate_fuzz::policy_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::policy_json(data);
});
