//! The generated types and services of `proto/strongroom/v1`.
//!
//! Messages that carry a value have a `Debug` of their own here, so that no log line can hold a value.

#![allow(missing_docs, clippy::all, unreachable_pub)] // generated: its comments are those of the proto files

use std::fmt;

tonic::include_proto!("strongroom.v1");

/// The descriptors of the package, for server reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("strongroom.v1");

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

impl fmt::Debug for CreateApiKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateApiKeyResponse").field("api_key", &self.api_key).finish_non_exhaustive()
    }
}

impl fmt::Debug for ResolveReferencesRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveReferencesRequest").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl fmt::Debug for ResolveReferencesResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolveReferencesResponse")
            .field("references", &self.references)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("secret_name", &self.secret_name).finish_non_exhaustive()
    }
}
