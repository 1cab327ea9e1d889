//! See [`express_session_fuzz::stored_cookie`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::stored_cookie::run(data));
