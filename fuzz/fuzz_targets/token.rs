//! See [`express_session_fuzz::token`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::token::run(data));
