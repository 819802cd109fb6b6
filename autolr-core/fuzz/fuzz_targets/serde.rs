//! Bytes in, read as JSON of every kind that autolr-core reads.
#![no_main]

#[path = "../reading.rs"]
mod reading;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reading::read_and_use(bytes);
});
