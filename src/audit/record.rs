use std::net::SocketAddr;

use crate::domain::{Namespace, SecretName};

/// One request that was answered. The time is that of the log event.
#[derive(Debug, Clone)]
pub struct Record {
    /// Who asked; `None` where that was not established.
    pub principal: Option<String>,
    /// The address that the request came from.
    pub peer: Option<SocketAddr>,
    /// The RPC's full name, such as `strongroom.v1.SecretService/GetSecret`.
    pub rpc: &'static str,
    /// What it was about.
    pub target: Target,
    /// `ok`, or the gRPC code's name, such as `NOT_FOUND`.
    pub outcome: &'static str,
    /// The error's reason.
    pub reason: Option<&'static str>,
    /// The id of the request, which an error's `google.rpc.RequestInfo` also has.
    pub request_id: String,
}

/// What a request is about, as far as it is known: filled in as the request is understood, and only with what has
/// been validated, since a misplaced value could stand in any field.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The namespace.
    pub namespace: Option<Namespace>,
    /// The secret's name.
    pub name: Option<SecretName>,
    /// The version that was read or made.
    pub version: Option<u32>,
    /// What else it was about: an API key's id, a secret's new name.
    pub subject: Option<String>,
}
