#![no_main]

#[path = "../bodies/paxos_schedule.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| body::run(bytes));
