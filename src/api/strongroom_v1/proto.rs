//! The messages and services of `proto/strongroom/v1`: the server traits, which are generated here, beside the messages
//! and client stubs of the client's crate.

#![allow(missing_docs, clippy::all, unreachable_pub)] // generated: its comments are those of the proto files

pub use strongroom_client::v1::*;

tonic::include_proto!("strongroom.v1");

/// The descriptors of the package, for server reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("strongroom.v1");
