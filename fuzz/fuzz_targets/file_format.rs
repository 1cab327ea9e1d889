//! See [`express_session_fuzz::file_format`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::file_format::run(data));
