//! See `quorate_fuzz::device_frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    quorate_fuzz::device_frames(data);
});
