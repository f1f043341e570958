//! Every file of the fuzzers' corpora, through its target: what a fuzzer once found interesting stays tested without
//! one. A file that fails is replayed by `cargo +nightly fuzz run TARGET FILE`.

#[path = "../fuzz/bodies/acceptor.rs"]
mod acceptor;
#[path = "../fuzz/bodies/commit_schedule.rs"]
mod commit_schedule;
#[path = "../fuzz/bodies/decode.rs"]
mod decode;
#[path = "../fuzz/bodies/paxos_schedule.rs"]
mod paxos_schedule;
#[path = "../fuzz/bodies/restore.rs"]
mod restore;

use std::{fs, path::Path};

/// Runs all files of a target's corpus.
fn run_corpus(target: &str, run: fn(&[u8])) {
    let folder = Path::new("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no corpus");
    for file in files {
        // Shown only if it fails.
        println!("cargo +nightly fuzz run {target} {}", file.display());
        run(&fs::read(&file).unwrap());
    }
}

#[test]
fn the_corpus_of_decode_passes() {
    run_corpus("decode", decode::run);
}

#[test]
fn the_corpus_of_acceptor_passes() {
    run_corpus("acceptor", acceptor::run);
}

#[test]
fn the_corpus_of_paxos_schedule_passes() {
    run_corpus("paxos_schedule", paxos_schedule::run);
}

#[test]
fn the_corpus_of_commit_schedule_passes() {
    run_corpus("commit_schedule", commit_schedule::run);
}

#[test]
fn the_corpus_of_restore_passes() {
    run_corpus("restore", restore::run);
}
