//! The audit's records.

use std::net::SocketAddr;

use crate::domain::{Namespace, SecretName};

/// A request that was answered. Its time is that of the log event.
#[derive(Debug, Clone)]
pub struct Record {
    /// The caller; `None` where it was not established.
    pub principal: Option<String>,
    /// The address that the request came from.
    pub peer: Option<SocketAddr>,
    /// The RPC's full name, such as `strongroom.v1.SecretService/GetSecret`.
    pub rpc: &'static str,
    /// The object of the request.
    pub target: Target,
    /// `ok`, or the gRPC code's name, such as `NOT_FOUND`.
    pub outcome: &'static str,
    /// The reason of the error, such as `SECRET_NOT_FOUND`.
    pub reason: Option<&'static str>,
    /// The id of the request, which an error's `google.rpc.RequestInfo` also has.
    pub request_id: String,
}

/// The object of a request, as far as it is known. It is filled in as the request is understood, and only with validated
/// fields, since any field could hold a value by mistake.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The namespace.
    pub namespace: Option<Namespace>,
    /// The secret's name.
    pub name: Option<SecretName>,
    /// The version that was read or made.
    pub version: Option<u32>,
    /// Another object: an API key's id, a secret's new name, or the result of a long operation.
    pub subject: Option<String>,
}
