#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| counterpoint_fuzz::index(bytes));
