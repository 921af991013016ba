//! Generates the messages and the client stubs of `proto/`. The compiler is protox, so no `protoc` is needed on the
//! machine.
//!
//! `proto` is a link to the repository's folder; in a published package it is a folder with the same files.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Messages that carry a value, here or in a field. `src/v1.rs` has their `Debug`, which shows no value, so that no log
/// line can hold one.
const CARRIES_A_VALUE: [&str; 6] = [
    ".strongroom.v1.CreateApiKeyResponse",
    ".strongroom.v1.Credential",
    ".strongroom.v1.ResolveReferencesRequest",
    ".strongroom.v1.ResolveReferencesResponse",
    ".strongroom.v1.RotateApiKeyResponse",
    ".strongroom.v1.SecretValue",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    // The source information holds the comments, which become the docs of the generated code.
    compiler.include_imports(true).include_source_info(true).open_files(proto_files()?)?;

    let mut config = tonic_prost_build::Config::new();
    config.skip_debug(CARRIES_A_VALUE);
    // Maps in key order: the server compares the encoding of requests that carry the same request id.
    config.btree_map(["."]);
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

/// The files of the package, in the order of their names.
fn proto_files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir("proto/strongroom/v1")? {
        files.push(Path::new("strongroom/v1").join(entry?.file_name()));
    }
    files.sort();
    Ok(files)
}
