//! See [`express_session_fuzz::memcached_protocol`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::memcached_protocol::run(data));
