//! References in documents: `strongroom.v1.ReferenceService`.

use crate::client::Client;
use crate::error::Error;
use crate::v1::reference_service_client::ReferenceServiceClient;
use crate::v1::{ResolveReferencesRequest, ResolveReferencesResponse};

/// The references in documents; see [`Client::references`].
#[derive(Clone, Debug)]
pub struct References(pub(crate) Client);

impl References {
    /// Replaces the references in a document by the values that they refer to: all of them, at one moment, or none.
    pub async fn resolve(
        &self,
        request: ResolveReferencesRequest,
    ) -> Result<ResolveReferencesResponse, Error> {
        let send = |transport, request| async move {
            ReferenceServiceClient::new(transport).resolve_references(request).await
        };
        self.0.unary(request, send).await
    }
}
