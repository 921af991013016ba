//! The generated messages and client stubs of the package `strongroom.v1`.
//!
//! The comments are those of the proto files. A message that carries a value has a `Debug` that leaves the value out,
//! so that no log line can hold one.

#![allow(missing_docs, clippy::all, rustdoc::all, unreachable_pub)] // generated

use std::fmt;

use zeroize::Zeroize;

tonic::include_proto!("strongroom.v1");

/// A value is wiped when its message is dropped.
impl Drop for SecretValue {
    fn drop(&mut self) {
        match &mut self.kind {
            Some(secret_value::Kind::Text(text)) => text.zeroize(),
            Some(secret_value::Kind::Binary(bytes)) => bytes.zeroize(),
            Some(secret_value::Kind::Redacted(_)) | None => {}
        }
    }
}

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

impl fmt::Debug for RotateApiKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateApiKeyResponse").field("api_key", &self.api_key).finish_non_exhaustive()
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
