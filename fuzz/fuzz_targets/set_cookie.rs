//! See [`express_session_fuzz::set_cookie`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::set_cookie::run(data));
