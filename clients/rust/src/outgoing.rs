//! The fields that the client fills in before it sends a request: the namespace, and the id that makes a change
//! repeatable.

use uuid::Uuid;

use crate::v1;

/// A request with one reply.
pub(crate) trait Outgoing: Clone {
    /// Whether sending it twice does the same as sending it once.
    const REPEATABLE: bool = true;
    /// Whether it is to change something.
    const CHANGES: bool = false;

    /// The field of the namespace. `None`: the request has none that the client's could stand in.
    fn namespace(&mut self) -> Option<&mut String> {
        None
    }

    /// The id by which the service knows a repeat. `None`: the request has no such field.
    fn request_id(&mut self) -> Option<&mut String> {
        None
    }

    /// Fills in the fields that the caller left empty.
    fn complete(&mut self, namespace: &str) {
        if let Some(empty) = self.namespace().filter(|own| own.is_empty()) {
            namespace.clone_into(empty);
        }
        if let Some(empty) = self.request_id().filter(|own| own.is_empty()) {
            *empty = Uuid::new_v4().to_string();
        }
    }
}

macro_rules! reads {
    ($($message:ident)*) => { $(
        impl Outgoing for v1::$message {
            fn namespace(&mut self) -> Option<&mut String> {
                Some(&mut self.namespace)
            }
        }
    )* };
}

macro_rules! changes {
    ($($message:ident)*) => { $(
        impl Outgoing for v1::$message {
            const CHANGES: bool = true;

            fn namespace(&mut self) -> Option<&mut String> {
                Some(&mut self.namespace)
            }

            fn request_id(&mut self) -> Option<&mut String> {
                Some(&mut self.request_id)
            }
        }
    )* };
}

reads! {
    GetSecretRequest BatchGetSecretsRequest ListSecretsRequest ListSecretVersionsRequest ResolveReferencesRequest
    WatchSecretsRequest
}

changes! {
    CreateSecretRequest UpdateSecretRequest DeleteSecretRequest UndeleteSecretRequest RotateSecretRequest
    PromoteVersionRequest DisableVersionRequest EnableVersionRequest DestroyVersionRequest
}

/// Of these, a second request would do more than the first, or be refused because the first was made.
macro_rules! once {
    ($($message:ident)*) => { $(
        impl Outgoing for v1::$message {
            const REPEATABLE: bool = false;
            const CHANGES: bool = true;
        }
    )* };
}

once! {
    CreateApiKeyRequest RotateApiKeyRequest CreateRoleRequest DeleteRoleRequest DeleteBindingRequest ReleaseRotationRequest
}

/// A second request would claim a second rotation.
impl Outgoing for v1::ClaimRotationRequest {
    const REPEATABLE: bool = false;
    const CHANGES: bool = true;

    fn namespace(&mut self) -> Option<&mut String> {
        Some(&mut self.namespace)
    }
}

/// A change without a request id: the second acknowledgement says the same again.
impl Outgoing for v1::AcknowledgeVersionRequest {
    const CHANGES: bool = true;

    fn namespace(&mut self) -> Option<&mut String> {
        Some(&mut self.namespace)
    }
}

impl Outgoing for v1::CreateBindingRequest {
    const CHANGES: bool = true;

    fn request_id(&mut self) -> Option<&mut String> {
        Some(&mut self.request_id)
    }
}

/// Revoking a revoked key changes nothing and succeeds.
impl Outgoing for v1::RevokeApiKeyRequest {
    const CHANGES: bool = true;
}

impl Outgoing for v1::ListApiKeysRequest {}
impl Outgoing for v1::WhoAmIRequest {}
impl Outgoing for v1::ListRolesRequest {}
impl Outgoing for v1::ListNamespacesRequest {}
impl Outgoing for v1::ListBindingsRequest {}
impl Outgoing for v1::ExplainAccessRequest {}
impl Outgoing for v1::GetStatusRequest {}
impl Outgoing for v1::GetMasterKeyStatusRequest {}
impl Outgoing for v1::ListAuditRecordsRequest {}
impl Outgoing for v1::GetCheckpointRequest {}
impl Outgoing for v1::GetInclusionProofRequest {}
impl Outgoing for v1::GetConsistencyProofRequest {}
impl Outgoing for v1::FindAuditNamesRequest {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_empty_is_filled_in() {
        let mut empty = v1::DeleteSecretRequest::default();
        empty.complete("team");
        assert_eq!(empty.namespace, "team");
        assert_eq!(Uuid::parse_str(&empty.request_id).unwrap().get_version_num(), 4);
        let mut other = v1::DeleteSecretRequest::default();
        other.complete("team");
        assert_ne!(other.request_id, empty.request_id);

        let own = v1::DeleteSecretRequest {
            namespace: "own".into(),
            request_id: "own-id".into(),
            ..v1::DeleteSecretRequest::default()
        };
        let mut completed = own.clone();
        completed.complete("team");
        assert_eq!(completed, own);
    }
}
