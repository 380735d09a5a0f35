#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| posgate_fuzz::control::run(input));
