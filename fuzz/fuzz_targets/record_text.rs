//! See [`express_session_fuzz::record_text`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::record_text::run(data));
