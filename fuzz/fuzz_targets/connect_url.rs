//! See [`express_session_fuzz::connect_url`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::connect_url::run(data));
