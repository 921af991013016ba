//! Generates the server traits of `proto/`, and the descriptor set that reflection serves. The messages are those of the
//! client's crate, `clients/rust`, so that each is generated once. The compiler is protox, so no `protoc` is needed on the
//! machine.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(proto_files()?)?;

    // Comments make the generated code readable, but reflection does not need them.
    let described = compiler.file_descriptor_set();
    compiler.include_source_info(false);
    fs::write(out.join("strongroom.v1.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::api::codec::Codec")
        .extern_path(".strongroom.v1", "::strongroom_client::v1")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(described)?;
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
