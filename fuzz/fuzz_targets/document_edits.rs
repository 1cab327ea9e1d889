//! See [`express_session_fuzz::document_edits`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| express_session_fuzz::document_edits::run(data));
