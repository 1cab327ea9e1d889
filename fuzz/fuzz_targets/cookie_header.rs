//! See [`express_session_fuzz::cookie_header`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::cookie_header::run(data));
