//! Generates the Rust types and services of `proto/`, and the descriptor set that reflection serves.
//! The compiler is protox, so no `protoc` is needed on the machine.

use std::path::{Path, PathBuf};
use std::{env, fs};

const SERVICES: [&str; 5] = [
    "strongroom/v1/access.proto",
    "strongroom/v1/error.proto",
    "strongroom/v1/operator.proto",
    "strongroom/v1/reference.proto",
    "strongroom/v1/secret.proto",
];

/// Messages that carry a value, here or in a field. Their `Debug` is written by hand in `src/api/v1.rs`
/// so that no log line can hold a value.
const CARRIES_A_VALUE: [&str; 5] = [
    ".strongroom.v1.CreateApiKeyResponse",
    ".strongroom.v1.Credential",
    ".strongroom.v1.ResolveReferencesRequest",
    ".strongroom.v1.ResolveReferencesResponse",
    ".strongroom.v1.SecretValue",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(SERVICES)?;

    // Comments make the generated code readable, but reflection does not need them.
    let described = compiler.file_descriptor_set();
    compiler.include_source_info(false);
    write(&out.join("strongroom.v1.bin"), &compiler.encode_file_descriptor_set())?;

    let mut config = tonic_prost_build::Config::new();
    config.skip_debug(CARRIES_A_VALUE);
    // Maps in key order: a request's encoding, which idempotency compares, is then always the same.
    config.btree_map(["."]);
    tonic_prost_build::configure().compile_fds_with_config(described, config)?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    Ok(fs::write(path, bytes)?)
}
