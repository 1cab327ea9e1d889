//! See [`express_session_fuzz::date`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::date::run(data));
