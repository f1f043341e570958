//! From the `.proto` files to Rust.

use std::{error::Error, fs, path::Path};

/// Where the `.proto` files are, from this package.
pub const PROTO: &str = "..";

/// The files, from there.
pub const FILES: [&str; 5] = [
    "synod/v1/types.proto",
    "synod/v1/peer.proto",
    "synod/v1/roles.proto",
    "synod/v1/store.proto",
    "synod/v1/transactions.proto",
];

/// The committed code, from this package.
pub const GENERATED: &str = "../../src/generated/synod.v1.rs";

/// The committed descriptors, which servers tell such tools as `grpcurl`, from this package.
pub const DESCRIPTORS: &str = "../../src/generated/synod.v1.bin";

/// The descriptors that the `.proto` files make today, without comments.
pub fn describe() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([PROTO])?;
    Ok(compiler.include_imports(true).include_source_info(false).open_files(FILES)?.encode_file_descriptor_set())
}

/// The code that the `.proto` files make today.
pub fn generate() -> Result<String, Box<dyn Error>> {
    let descriptors = protox::compile(FILES, [PROTO])?;
    let folder = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        // Or a message that says little would take as much memory as one that says much.
        .boxed("synod.v1.Message.message.about")
        .boxed("synod.v1.Message.message.retired")
        .boxed("synod.v1.Message.message.epoch")
        .out_dir(folder.path())
        .compile_fds(descriptors)?;
    Ok(fs::read_to_string(folder.path().join(Path::new(GENERATED).file_name().ok_or("no name")?))?)
}
